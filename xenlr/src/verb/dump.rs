//! `xenlr dump`: lists the records of a log.

use std::io::{self, BufWriter, Write};

use crate::cli::Dump;
use crate::error::{Error, Exit};
use crate::logfile;
use crate::output::{Output, stdout_result};
use crate::show;

/// Lists records, one a line. A damaged log is listed as far as it is whole.
pub fn run(args: &Dump, output: Output) -> Result<Exit, Error> {
    let mut reader = logfile::open(&args.file)?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut written = Ok(());
    let summary = logfile::scan(&mut reader, |item, _, guest_ns| {
        if item.sync > args.to {
            return false;
        }
        if item.sync < args.from {
            return true;
        }
        written = if output.json {
            writeln!(out, "{}", show::json(item, guest_ns))
        } else {
            let time = guest_ns.map_or("-".to_owned(), |ns| format!("{:.6}", ns as f64 / 1e9));
            writeln!(
                out,
                "{:>12} {:>16} {:<11} {}",
                item.reached(),
                time,
                item.record.kind_name(),
                show::text(&item.record)
            )
        };
        written.is_ok()
    })?;
    let stopped = written.is_err();
    stdout_result(written.and_then(|()| out.flush()))?;
    if stopped {
        return Ok(Exit::Ok);
    }
    match logfile::trouble(&summary.integrity) {
        Some(text) => {
            output.warn(&format!("{}: {text}", args.file.display()));
            Ok(damage_exit(&summary.integrity))
        }
        None => Ok(Exit::Ok),
    }
}

/// A file that is only unfinished is listed with success; one that lost something is not.
pub fn damage_exit(integrity: &log_format::file::Integrity) -> Exit {
    match integrity {
        log_format::file::Integrity::Damaged { .. } => Exit::UnusableLog,
        _ => Exit::Ok,
    }
}
