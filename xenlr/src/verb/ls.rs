//! `xenlr ls`: the logs that there are.

use std::fs;

use serde_json::{Value as Json, json};

use crate::cli::{Ls, log_dir};
use crate::error::{Error, Exit};
use crate::library::{self, LogFile};
use crate::logfile::{self, Summary, integrity_name};
use crate::output::{Output, bytes, duration, table};
use crate::replayer::plan;
use crate::show::date;
use crate::xen::Xen;

/// One line of the listing.
struct Entry {
    log: LogFile,
    summary: Summary,
    file_bytes: u64,
    /// Whether it fits this host; `None` where there is no Xen that could be asked.
    fit: Option<Result<(), String>>,
}

/// Lists them, the latest first. Each log is read to its end, which its length is taken from.
pub fn run(args: &Ls, output: Output) -> Result<Exit, Error> {
    let dir = args.dir.clone().unwrap_or_else(log_dir);
    let (logs, bad) = library::logs(&dir)?;
    let host = match Xen::open().and_then(|xen| plan::Host::of(&xen)) {
        Ok(host) => Some(host),
        Err(e) => {
            output.note(&format!("whether logs fit this host is not known: {e}"));
            None
        }
    };
    let mut entries = Vec::new();
    for log in logs {
        let mut reader = logfile::open(&log.path)?;
        entries.push(Entry {
            summary: logfile::scan(&mut reader, |_, _, _| ())?,
            file_bytes: fs::metadata(&log.path).map_or(0, |metadata| metadata.len()),
            fit: host.as_ref().map(|host| host.check(&log.header)),
            log,
        });
    }
    let all: Vec<Json> = entries.iter().map(to_json).collect();
    let text = if entries.is_empty() {
        format!("there is no log in {}", dir.display())
    } else {
        to_text(&entries)
    };
    output.result(&Json::Array(all), &text)?;
    for e in bad {
        output.warn(&e.to_string());
    }
    Ok(Exit::Ok)
}

fn to_text(entries: &[Entry]) -> String {
    let heading = [
        "STARTED", "DOMAIN", "LENGTH", "SYNC", "SIZE", "STATE", "FITS", "FILE",
    ];
    let mut table = table(&heading, &[2, 3, 4]);
    for entry in entries {
        let state = match entry.summary.closing {
            Some(closing) => closing.name(),
            None => integrity_name(&entry.summary.integrity),
        };
        let name = entry.log.path.file_name().unwrap_or_default();
        table.add_row([
            date(entry.log.header.started_unix_ns),
            entry.log.header.domain.name.clone(),
            duration(entry.summary.guest_ns),
            entry.summary.sync.to_string(),
            bytes(entry.file_bytes),
            state.to_owned(),
            fit_text(entry).to_owned(),
            name.to_string_lossy().into_owned(),
        ]);
    }
    let mut text = table.trim_fmt();
    for entry in entries {
        if let Some(Err(why)) = &entry.fit {
            text.push_str(&format!("\n{}: {why}", entry.log.path.display()));
        }
    }
    text
}

fn fit_text(entry: &Entry) -> &'static str {
    match entry.fit {
        Some(Ok(())) => "yes",
        Some(Err(_)) => "no",
        None => "?",
    }
}

fn to_json(entry: &Entry) -> Json {
    let (header, summary) = (&entry.log.header, &entry.summary);
    json!({
        "file": entry.log.path,
        "domain": header.domain.name,
        "uuid": header.domain.uuid,
        "started": date(header.started_unix_ns),
        "started_unix_ns": header.started_unix_ns,
        "duration_ns": summary.guest_ns,
        "sync": summary.sync,
        "records": summary.records,
        "bytes": entry.file_bytes,
        "state": integrity_name(&summary.integrity),
        "closing": summary.closing.map(log_format::file::Closing::name),
        "fits": entry.fit.as_ref().map(Result::is_ok),
        "why_not": entry.fit.as_ref().and_then(|fit| fit.as_ref().err()),
    })
}
