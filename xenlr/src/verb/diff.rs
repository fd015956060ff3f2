//! `xenlr diff`: the first difference of two logs.
//!
//! The records are compared, and how each log ends; headers and chunk borders are not: two runs
//! of one guest have other domain numbers and were written at other moments.

use log_format::Item;
use serde_json::{Value as Json, json};

use crate::cli::Diff;
use crate::error::{Error, Exit};
use crate::logfile::{self, Reader};
use crate::output::Output;
use crate::show;

/// Compares two logs record by record.
pub fn run(args: &Diff, output: Output) -> Result<Exit, Error> {
    let mut first = logfile::open(&args.first)?;
    let mut second = logfile::open(&args.second)?;
    let (mut records, mut sync): (u64, u64) = (0, 0);
    loop {
        let a = first.next_item()?;
        let b = second.next_item()?;
        match (&a, &b) {
            (None, None) => break,
            (Some(item), Some(other)) if item == other => {
                records += 1;
                sync = item.reached();
            }
            _ => {
                report(args, output, records, a.as_ref(), b.as_ref())?;
                return Ok(Exit::Diverged);
            }
        }
    }
    whole(&first)?;
    whole(&second)?;
    output.result(
        &json!({ "equal": true, "records": records, "sync": sync }),
        &format!("no difference in {records} records, {sync} sync points"),
    )?;
    Ok(Exit::Ok)
}

/// Equal so far is not equal when one of the logs cannot be read to its end.
fn whole(reader: &Reader) -> Result<(), Error> {
    match reader.integrity() {
        damaged @ log_format::file::Integrity::Damaged { .. } => Err(Error::UnusableLog {
            file: reader.path().to_owned(),
            reason: logfile::trouble(&damaged).unwrap_or_default(),
        }),
        _ => Ok(()),
    }
}

fn report(
    args: &Diff,
    output: Output,
    records: u64,
    a: Option<&Item<'_>>,
    b: Option<&Item<'_>>,
) -> Result<(), Error> {
    let sync = [a, b].iter().flatten().map(|item| item.reached()).min();
    let line = |item: Option<&Item<'_>>| match item {
        None => "the log has ended".to_owned(),
        Some(item) => format!(
            "sync {} {} {}{}",
            item.reached(),
            item.record.kind_name(),
            item.record,
            if item.record.is_commit() {
                format!(" (witness {:#04x})", item.witness)
            } else {
                String::new()
            }
        ),
    };
    let object = |item: Option<&Item<'_>>| item.map_or(Json::Null, |i| show::json(i, None));
    output.result(
        &json!({
            "equal": false,
            "records_equal": records,
            "sync": sync,
            "first": object(a),
            "second": object(b),
        }),
        &format!(
            "the logs differ at sync {}, after {records} equal records\n  {}: {}\n  {}: {}",
            sync.unwrap_or(0),
            args.first.display(),
            line(a),
            args.second.display(),
            line(b)
        ),
    )
}
