//! `xenlr info`: what a log holds.

use log_format::file::{Closing, Header};
use log_format::{Kind, Record};
use serde_json::{Map, Value as Json, json};

use crate::cli::Info;
use crate::error::{Error, Exit};
use crate::logfile::{self, Summary};
use crate::output::{Output, bytes, duration, pairs, table};
use crate::show::{date, time_policy};

use super::dump::damage_exit;

/// Records and wire bytes of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    records: u64,
    wire_bytes: u64,
}

/// A count for each number that a kind may have.
type Counts = [Count; 256];

fn of(counts: &Counts, kind: Kind) -> Count {
    counts[usize::from(kind.number())]
}

/// Reads the whole log and summarises it.
pub fn run(args: &Info, output: Output) -> Result<Exit, Error> {
    let file = args.log.file(output)?;
    let mut reader = logfile::open(&file)?;
    let header = reader.header().clone();
    let mut counts = [Count::default(); 256];
    let summary = logfile::scan(&mut reader, |item, length, _| {
        let count = &mut counts[usize::from(item.record.kind().number())];
        count.records += 1;
        count.wire_bytes += length as u64;
    })?;
    let mut text = pairs(&rows(&header, &summary));
    if args.by_kind {
        text.push('\n');
        text.push_str(&kinds_text(&counts));
    }
    output.result(&to_json(&header, &summary, &counts), &text)?;
    if let Some(trouble) = logfile::trouble(&summary.integrity) {
        output.warn(&format!("{}: {trouble}", file.display()));
    }
    Ok(damage_exit(&summary.integrity))
}

/// Megabytes (10^6) of file that a day of guest time makes, without header and images.
fn megabytes_a_day(summary: &Summary) -> Option<f64> {
    (summary.guest_ns > 0)
        .then(|| summary.file_bytes as f64 / 1e6 * 86_400e9 / summary.guest_ns as f64)
}

fn rows(header: &Header, summary: &Summary) -> Vec<(&'static str, String)> {
    let rate = megabytes_a_day(summary).map_or("unknown".into(), |r| format!("{r:.3} MB a day"));
    let image = |file: &log_format::file::ImageFile| {
        format!(
            "{} ({}, {})",
            file.path,
            bytes(file.len),
            if file.inline {
                "in the log"
            } else {
                "digest only"
            }
        )
    };
    let mut rows = vec![
        (
            "domain",
            format!("{} {}", header.domain.name, header.domain.uuid),
        ),
        (
            "host",
            format!("{}, Xen {}", header.host, header.xen_version),
        ),
        (
            "build id",
            header.xen_build_id.clone().unwrap_or("none".to_owned()),
        ),
        ("started", date(header.started_unix_ns)),
        ("state", logfile::state_text(summary)),
        (
            "duration",
            format!("{} of the guest's time", duration(summary.guest_ns)),
        ),
        ("sync points", summary.sync.to_string()),
        ("records", summary.records.to_string()),
        ("wire bytes", bytes(summary.wire_bytes)),
        (
            "file bytes",
            format!(
                "{} in {} chunks, and {} of header and images",
                bytes(summary.file_bytes),
                summary.chunks,
                bytes(summary.preamble_bytes)
            ),
        ),
        ("rate", rate),
        ("time", time_policy(header.time_bound_us)),
        ("kernel", image(&header.kernel)),
    ];
    if header.trap_syscalls {
        rows.push(("system calls", "leave to Xen".to_owned()));
    }
    if let Some(ramdisk) = &header.ramdisk {
        rows.push(("ramdisk", image(ramdisk)));
    }
    rows.push(("memory", format!("{} KiB", header.domain.memory_kib)));
    rows.push((
        "arena",
        match header.arena_frames {
            0 => "none, any frames will do".to_owned(),
            frames => format!("{frames} frames from {:#x}", header.arena_first_mfn),
        },
    ));
    rows.push((
        "CPU",
        match (header.cpu, header.cpuid_faults) {
            (Some(cpu), _) => format!("pinned to {cpu} (APIC id {})", header.apic_id),
            (None, true) => "any: CPUID faults".to_owned(),
            (None, false) => format!("not pinned (APIC id {})", header.apic_id),
        },
    ));
    if let Some(model) = header.extra.get("cpu_model").and_then(Json::as_str) {
        rows.push(("CPU model", model.to_owned()));
    }
    rows.push((
        "end",
        match (&summary.end, summary.closing) {
            (Some(end), _) => Record::End(*end).to_string(),
            (None, Some(closing)) => format!("none ({})", closing.name()),
            (None, None) => "none".to_owned(),
        },
    ));
    rows
}

fn kinds_text(counts: &Counts) -> String {
    let mut table = table(&["KIND", "RECORDS", "BYTES", "BYTES EACH"], &[1, 2, 3]);
    for &kind in Kind::ALL {
        let count = of(counts, kind);
        if count.records > 0 {
            table.add_row([
                kind.name().to_owned(),
                count.records.to_string(),
                count.wire_bytes.to_string(),
                format!("{:.2}", count.wire_bytes as f64 / count.records as f64),
            ]);
        }
    }
    table.trim_fmt()
}

fn to_json(header: &Header, summary: &Summary, counts: &Counts) -> Json {
    let kinds: Map<String, Json> = Kind::ALL
        .iter()
        .map(|&kind| (kind, of(counts, kind)))
        .filter(|(_, count)| count.records > 0)
        .map(|(kind, count)| {
            let value = json!({ "records": count.records, "bytes": count.wire_bytes });
            (kind.name().to_owned(), value)
        })
        .collect();
    json!({
        "header": serde_json::to_value(header).unwrap_or(Json::Null),
        "state": logfile::integrity_name(&summary.integrity),
        "closing": summary.closing.map(Closing::name),
        "trouble": logfile::trouble(&summary.integrity),
        "duration_ns": summary.guest_ns,
        "sync": summary.sync,
        "records": summary.records,
        "wire_bytes": summary.wire_bytes,
        "file_bytes": summary.file_bytes,
        "preamble_bytes": summary.preamble_bytes,
        "chunks": summary.chunks,
        "mb_per_day": megabytes_a_day(summary),
        "by_kind": kinds,
        "end": summary.end.map(|end| Record::End(end).json()),
    })
}
