//! `xenlr status`: how recordings and replays stand.

use std::path::Path;

use log_format::Kind;
use log_format::control::{Divergence, Mode, State};
use serde_json::{Value as Json, json};

use crate::cli::StatusArgs;
use crate::domains::{self, NamedDomain};
use crate::error::{Error, Exit};
use crate::lock::{self, LOCK_DIR};
use crate::output::{Output, bytes, duration, pairs, table};
use crate::show::{address, failure_text, time_policy};
use crate::xen::abi::XENLR_NO_PORT;
use crate::xen::{Status, Xen};
use crate::xenstore::Xenstore;

/// Shows one domain in full, or all logged ones in a table.
pub fn run(args: &StatusArgs, output: Output) -> Result<Exit, Error> {
    let xen = Xen::open()?;
    xen.require_xenlr()?;
    if let Some(wanted) = &args.domain {
        let named = domains::find(&xen, wanted)?;
        let status = xen
            .domain(named.info.domid)
            .status()?
            .ok_or(Error::NotLogged {
                name: named.name.clone(),
            })?;
        let seen = Seen::look(&xen, named, status);
        output.result(&to_json(&seen), &pairs(&rows(&seen)))?;
        return Ok(Exit::Ok);
    }
    let mut logged = Vec::new();
    for named in domains::list(&xen, Xenstore::connect().ok().as_mut())? {
        match xen.domain(named.info.domid).status() {
            Ok(Some(status)) => logged.push(Seen::look(&xen, named, status)),
            // A domain that comes or goes is no reason to fail.
            Ok(None) | Err(Error::NoDomain { .. } | Error::NotReady { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    let all: Vec<Json> = logged.iter().map(to_json).collect();
    let text = if logged.is_empty() {
        "no domain is logged".to_owned()
    } else {
        all_text(&logged)
    };
    output.result(&Json::Array(all), &text)?;
    Ok(Exit::Ok)
}

/// A logged domain, and what dom0 sees of it for itself.
struct Seen {
    named: NamedDomain,
    status: Status,
    /// A process reads (or feeds) the ring.
    has_reader: bool,
    ring_used: u64,
}

impl Seen {
    fn look(xen: &Xen, named: NamedDomain, status: Status) -> Self {
        let held = lock::is_held(Path::new(LOCK_DIR), named.info.uuid, named.info.domid);
        Self {
            has_reader: status.is_bound() && held != Some(false),
            // The ring of a domain that is being destroyed cannot be had any more.
            ring_used: xen
                .domain(named.info.domid)
                .ring_used()
                .unwrap_or(status.raw.ring_used),
            named,
            status,
        }
    }
}

fn all_text(logged: &[Seen]) -> String {
    let heading = [
        "NAME",
        "ID",
        "MODE",
        "STATE",
        "SYNC",
        "RECORDS",
        "BYTES",
        "RING",
        "MAX DELAY",
        "PAUSED",
    ];
    let mut table = table(&heading, &[1, 4, 5, 6, 7, 8, 9]);
    for seen in logged {
        let Seen { named, status, .. } = seen;
        let raw = &status.raw;
        table.add_row([
            named.name.clone(),
            named.info.domid.to_string(),
            status.mode.name().to_owned(),
            shown_state(seen).to_owned(),
            status.sync_points().to_string(),
            raw.records.to_string(),
            bytes(raw.bytes),
            format!("{} %", percent(seen.ring_used, raw.ring_size)),
            duration(raw.max_delay_ns),
            duration(raw.paused_ns),
        ]);
    }
    table.trim_fmt()
}

fn rows(seen: &Seen) -> Vec<(&'static str, String)> {
    let Seen { named, status, .. } = seen;
    let raw = &status.raw;
    let mut rows = vec![
        (
            "domain",
            format!("{} (number {})", named.name, named.info.domid),
        ),
        ("mode", status.mode.name().to_owned()),
        ("state", shown_state(seen).to_owned()),
        ("sync points", status.sync_points().to_string()),
        ("records", raw.records.to_string()),
        ("bytes", bytes(raw.bytes)),
        ("events", raw.events.to_string()),
        (
            "ring",
            format!(
                "{} of {} ({} %), {}",
                bytes(seen.ring_used),
                bytes(raw.ring_size),
                percent(seen.ring_used, raw.ring_size),
                if seen.has_reader {
                    "a reader is there"
                } else {
                    "no reader"
                }
            ),
        ),
        (
            "when full",
            if status.stops_when_full() {
                "the log stops"
            } else {
                "the guest pauses"
            }
            .to_owned(),
        ),
        ("time", time_policy(raw.time_bound_us)),
        ("events wait", force_policy(raw.force_us)),
        ("waiting", waiting(status)),
        ("longest delay", duration(raw.max_delay_ns)),
        ("forced", forced(status)),
        ("loans", loans(status)),
        (
            "paused",
            format!("{} in {} waits", duration(raw.paused_ns), raw.pauses),
        ),
        (
            "arena",
            match raw.arena_frames {
                0 => "none, its memory is anywhere".to_owned(),
                frames => format!(
                    "{} of {frames} frames from {:#x}",
                    raw.arena_used, raw.arena_first_mfn
                ),
            },
        ),
        (
            "CPU",
            format!(
                "{} (APIC id {}), {}",
                raw.cpu,
                raw.apic_id,
                if status.cpuid_faults() {
                    "CPUID faults"
                } else {
                    "pinned"
                }
            ),
        ),
    ];
    if status.traps_syscalls() {
        rows.push(("system calls", "leave to Xen".to_owned()));
    }
    if status.raw.error != 0 {
        rows.push(("failed", failure_text(status.mode, status.raw.error)));
    }
    if status.state == State::Diverged {
        let (expected, actual) = expected_and_actual(status);
        rows.push((
            "diverged",
            format!(
                "at sync {}, rip {:#x}: {}: expected {expected}, came {actual}",
                raw.diverge_sync,
                raw.diverge_rip,
                divergence_name(status.divergence()),
            ),
        ));
    }
    rows
}

/// How long an event may wait for a sync point.
fn force_policy(force_us: u32) -> String {
    match u64::from(force_us) {
        0 => "for a sync point, however long".to_owned(),
        us => format!("for a sync point, or {}", duration(us * 1000)),
    }
}

/// What waits for a guest that does not leave.
fn waiting(status: &Status) -> String {
    let raw = &status.raw;
    match (raw.waiting_ns, raw.waiting_port) {
        (0, _) => "nothing".to_owned(),
        (ns, XENLR_NO_PORT) => format!("for {}", duration(ns)),
        (ns, port) => format!("for {}: event {port}", duration(ns)),
    }
}

/// Commits between two sync points, and what they cost.
fn forced(status: &Status) -> String {
    let raw = &status.raw;
    let Some(mean) = raw.place_delay_ns.checked_div(raw.places) else {
        return "nothing".to_owned();
    };
    format!(
        "{} commits, after {} (at most {}); stopped {} times, {} for passes over memory",
        raw.places,
        duration(mean),
        duration(raw.place_max_delay_ns),
        raw.place_hits,
        duration(raw.place_pass_ns)
    )
}

/// Pages of the guest that backends have.
fn loans(status: &Status) -> String {
    let raw = &status.raw;
    if raw.max_loan_pages == 0 {
        return "none".to_owned();
    }
    let waits = match raw.loan_waits {
        0 => String::new(),
        times => format!(", none free {times} times"),
    };
    format!(
        "{} pages and {} rings; {} of {} private pages (at most {}){waits}; a notification waited {} at most",
        raw.loans,
        raw.rings,
        raw.loan_pages,
        raw.all_loan_pages,
        raw.max_loan_pages,
        duration(raw.loan_max_delay_ns)
    )
}

fn to_json(seen: &Seen) -> Json {
    let Seen { named, status, .. } = seen;
    let raw = &status.raw;
    let diverged = (status.state == State::Diverged).then(|| diverged_json(status));
    json!({
        "name": named.name,
        "domid": named.info.domid,
        "uuid": named.info.uuid.to_string(),
        "mode": status.mode.name(),
        "state": status.state.name(),
        "sync": status.sync_points(),
        "records": raw.records,
        "bytes": raw.bytes,
        "events": raw.events,
        "ring_size": raw.ring_size,
        "ring_used": seen.ring_used,
        "reader": seen.has_reader,
        "on_full": if status.stops_when_full() { "stop" } else { "pause" },
        "max_delay_ns": raw.max_delay_ns,
        "force_us": raw.force_us,
        "waiting": (raw.waiting_ns != 0).then(|| json!({
            "ns": raw.waiting_ns,
            "port": (raw.waiting_port != XENLR_NO_PORT).then_some(raw.waiting_port),
        })),
        "forced": {
            "commits": raw.places,
            "delay_ns": raw.place_delay_ns,
            "max_delay_ns": raw.place_max_delay_ns,
            "hits": raw.place_hits,
            "pass_ns": raw.place_pass_ns,
        },
        "loans": {
            "pages": raw.loans,
            "rings": raw.rings,
            "private_pages": raw.loan_pages,
            "max_private_pages": raw.max_loan_pages,
            "all_private_pages": raw.all_loan_pages,
            "waits": raw.loan_waits,
            "max_delay_ns": raw.loan_max_delay_ns,
        },
        "paused_ns": raw.paused_ns,
        "pauses": raw.pauses,
        "arena_first_mfn": raw.arena_first_mfn,
        "arena_frames": raw.arena_frames,
        "arena_used": raw.arena_used,
        "cpu": raw.cpu,
        "apic_id": raw.apic_id,
        "cpuid_faults": status.cpuid_faults(),
        "tsc_khz": raw.tsc_khz,
        "time_bound_us": raw.time_bound_us,
        "trap_syscalls": status.traps_syscalls(),
        "error": raw.error,
        "failure": (raw.error != 0).then(|| failure_text(status.mode, raw.error)),
        "end": status.is_final().then(|| json!({
            "sync": raw.end_sync,
            "reason": raw.end_reason,
            "code": raw.end_code,
            "rip": address(raw.end_rip),
            "registers": address(raw.end_registers),
            "memory": address(raw.end_memory),
            "pages": raw.end_pages,
        })),
        "diverged": diverged,
    })
}

/// Where and how a replay diverged.
pub fn diverged_json(status: &Status) -> Json {
    let raw = &status.raw;
    let (expected, actual) = expected_and_actual(status);
    json!({
        "sync": raw.diverge_sync,
        "rip": address(raw.diverge_rip),
        "kind": raw.diverge_kind,
        "what": divergence_name(status.divergence()),
        "expected": expected,
        "actual": actual,
    })
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

/// The word for the state, and what a recording waits for.
fn shown_state(seen: &Seen) -> &'static str {
    let status = &seen.status;
    match (status.mode, status.state) {
        (Mode::Record, State::Waiting) if status.raw.bytes == 0 && !seen.has_reader => {
            "no reader yet"
        }
        (Mode::Record, State::Waiting) => "ring full",
        (_, state) => state.name(),
    }
}

/// What was different when a replay diverged.
pub fn divergence_name(divergence: Option<Divergence>) -> &'static str {
    match divergence {
        Some(Divergence::Witness) => "the witness of the registers",
        Some(Divergence::RecordKind) => "the kind of the next record",
        Some(Divergence::SyncNumber) => "the sync number of the next record",
        Some(Divergence::EndRegisters) => "the registers at the end",
        Some(Divergence::EndMemory) => "the memory at the end",
        Some(Divergence::EndOfLog) => "the log has ended and the guest goes on",
        Some(Divergence::StartState) => "the state at the start",
        Some(Divergence::Place) => "the place of a forced commit, where the guest never came",
        Some(Divergence::PlaceMemory) => "the memory at the place of a forced commit",
        None => "an unknown thing",
    }
}

/// What the log said and what came, in words where the numbers are kinds or sync numbers.
pub fn expected_and_actual(status: &Status) -> (String, String) {
    let raw = &status.raw;
    let (expected, actual) = (raw.expected, raw.actual);
    match status.divergence() {
        Some(Divergence::SyncNumber) => (expected.to_string(), actual.to_string()),
        Some(Divergence::Place) => (
            format!("{expected:#x}"),
            format!("another end of {actual} hits"),
        ),
        Some(Divergence::RecordKind) => {
            let kind = |number| kind_name(number).unwrap_or_else(|| format!("kind {number}"));
            let same = expected == u64::from(raw.want_kind);
            let actual = match kind_name(expected).as_deref() {
                // The kinds are equal: what differs is the question, or the reason of the end.
                Some("value") if same => format!("value of question {actual}"),
                Some("end") if same => format!("end for reason {actual}"),
                _ => kind(actual),
            };
            (kind(expected), actual)
        }
        _ => (format!("{expected:#x}"), format!("{actual:#x}")),
    }
}

fn kind_name(number: u64) -> Option<String> {
    let kind = Kind::from_number(u8::try_from(number).ok()?)?;
    Some(kind.name().to_owned())
}
