//! `xenlr dump`: lists the records of a log.

use std::io::{self, BufWriter, Write};

use crate::cli::Dump;
use crate::error::{Error, Exit};
use crate::logfile;
use crate::output::{Output, stdout_result};
use crate::show;

/// Lists records, one a line. A damaged log is listed as far as it is whole.
pub fn run(args: &Dump, output: Output) -> Result<Exit, Error> {
    let file = args.log.file(output)?;
    let mut reader = logfile::open(&file)?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut written = Ok(());
    let summary = logfile::scan_while(&mut reader, |item, _, guest_ns| {
        let sync = item.reached();
        if sync > args.to {
            return false;
        }
        let is_wanted = args.kinds.is_empty() || args.kinds.contains(&item.record.kind());
        if sync < args.from || !is_wanted {
            return true;
        }
        written = if output.json {
            writeln!(out, "{}", show::json(item, guest_ns))
        } else {
            let time = guest_ns.map_or("-".to_owned(), |ns| format!("{:.6}", ns as f64 / 1e9));
            writeln!(
                out,
                "{:>12} {:>16} {:<11} {}",
                sync,
                time,
                item.record.kind_name(),
                item.record
            )
        };
        written.is_ok()
    })?;
    stdout_result(written.and_then(|()| out.flush()))?;
    // Of a log that was not read to its end nothing can be said.
    let Some(summary) = summary else {
        return Ok(Exit::Ok);
    };
    if let Some(text) = logfile::trouble(&summary.integrity) {
        output.warn(&format!("{}: {text}", file.display()));
    }
    Ok(damage_exit(&summary.integrity))
}

/// A file that is only unfinished is listed with success; one that lost something is not.
pub fn damage_exit(integrity: &log_format::file::Integrity) -> Exit {
    match integrity {
        log_format::file::Integrity::Damaged { .. } => Exit::UnusableLog,
        _ => Exit::Ok,
    }
}
