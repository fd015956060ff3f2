//! Printing: tables for people, JSON for machines, remarks and progress on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};

use crate::cli::Cli;
use crate::error::{Error, Exit};

/// Where and how results are printed.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON instead of text.
    pub json: bool,
    /// No remarks and no progress.
    pub quiet: bool,
}

impl Output {
    /// As the command line wants it.
    pub fn of(cli: &Cli) -> Self {
        Self {
            json: cli.json,
            quiet: cli.quiet,
        }
    }

    /// A remark that is not a result.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(&json!({ "note": text }), text);
        }
    }

    /// Something that the user should act on; shown even when quiet.
    pub fn warn(&self, text: &str) {
        self.say(&json!({ "warning": text }), &format!("warning: {text}"));
    }

    /// Why the command fails, and the status that it ends with.
    pub fn error(&self, text: &str, exit: Exit) {
        self.say(&json!({ "error": text, "status": exit as u8 }), text);
    }

    /// Something that happened while a verb works on: for machines one of its results, for people
    /// a remark.
    pub fn event(&self, json: &Json, text: &str) {
        if !self.json {
            return self.note(text);
        }
        // A daemon whose listener is gone still has logs to write.
        let _ = self.result(json, text);
    }

    /// One line on stderr.
    fn say(&self, json: &Json, text: &str) {
        // Nobody reads stderr when it cannot be written; that is no reason to fail.
        let _ = if self.json {
            writeln!(io::stderr(), "{json}")
        } else {
            writeln!(io::stderr(), "xenlr: {text}")
        };
    }

    /// Prints one result: the JSON, or the text.
    pub fn result(&self, json: &Json, text: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let written = if self.json {
            writeln!(out, "{json}")
        } else {
            writeln!(out, "{}", text.trim_end())
        };
        stdout_result(written.and_then(|()| out.flush()))
    }

    /// A progress bar on stderr when that is a terminal; otherwise one that shows nothing.
    pub fn progress(&self, what: &'static str, total: u64) -> ProgressBar {
        if self.quiet || self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(
            "{prefix} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}{msg}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total).with_style(style);
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }
}

/// Turns a failure to write to stdout into an error; a closed pipe ends the program quietly.
pub fn stdout_result(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| Error::io("write the result", e)),
    }
}

/// A plain table with a heading; columns in `right` hold numbers.
pub fn table(heading: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heading);
    for &index in right {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Pairs of name and value, one a line, aligned.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// A number of bytes with a fitting unit.
pub fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// A time with a fitting unit.
pub fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match ns {
        0..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        1_000_000_000..120_000_000_000 => format!("{:.2} s", ns as f64 / 1e9),
        _ if seconds < 7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!(
            "{} h {} min {} s",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    }
}

/// Lower-case hexadecimal digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    log_format::Hex(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_units() {
        assert_eq!(bytes(9_999), "9999 B");
        assert_eq!(bytes(262_144), "262.1 kB");
        assert_eq!(duration(9_800_000), "9.8 ms");
        assert_eq!(duration(86_400_000_000_000), "24 h 0 min 0 s");
        assert_eq!(hex(b"\x00\xff"), "00ff");
    }

    #[test]
    fn pairs_are_aligned() {
        let rows = [("a", "1".to_owned()), ("long", "2".to_owned())];
        assert_eq!(pairs(&rows), "a     1\nlong  2\n");
    }
}
