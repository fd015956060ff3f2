//! Records as text for people and as JSON for machines.

use log_format::control::{Failure, Mode};
use log_format::{End, Item, Record, RingIn};
use serde_json::{Map, Value as Json, json};

use crate::output::{duration, hex};

/// A moment of the host's clock as people read it; nothing for a log that does not say it.
pub fn date(unix_ns: u64) -> String {
    match unix_ns / 1_000_000_000 {
        0 => "unknown".to_owned(),
        seconds => {
            let utc = Utc::of(seconds);
            format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
                utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second
            )
        }
    }
}

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Utc {
    pub year: u64,
    pub month: u64,
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
}

impl Utc {
    /// Of seconds of the epoch. The calendar rule is Howard Hinnant's `civil_from_days`.
    pub fn of(seconds: u64) -> Self {
        let days = seconds / 86_400 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = (shifted_month + 2) % 12 + 1;
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

/// How true the time is that a guest reads: `exact`, or by how much it may be behind.
pub fn time_policy(bound_us: u32) -> String {
    match bound_us {
        0 => "exact".to_owned(),
        bound => format!("up to {} behind", duration(u64::from(bound) * 1000)),
    }
}

/// Why Xen has ended a log with an error.
pub fn failure_text(mode: Mode, number: u32) -> String {
    match (Failure::from_number(number), mode) {
        (Some(Failure::RingIndex), _) => {
            "an index of the ring cannot be: something besides xenlr wrote to it".to_owned()
        }
        (Some(Failure::Log), Mode::Replay) => "a record cannot be decoded".to_owned(),
        (Some(Failure::Log), _) => "a record could not be logged".to_owned(),
        (None, _) => format!("error {number}, which this xenlr does not know"),
    }
}

/// One record as a JSON object: `sync` (the sync point that the guest had reached), `kind`, `guest_ns` where it is known, `witness` for
/// commits, and what the kind has besides. Digests and addresses are hexadecimal strings, because
/// JSON numbers are not exact beyond 2^53 everywhere.
pub fn json(item: &Item<'_>, guest_ns: Option<u64>) -> Json {
    let mut object = Map::new();
    let mut put = |key: &str, value: Json| object.insert(key.to_owned(), value);
    put("sync", item.reached().into());
    put("kind", item.record.kind_name().into());
    put("guest_ns", guest_ns.into());
    if item.record.is_commit() {
        put("witness", item.witness.into());
    }
    match item.record {
        Record::Event { port } => {
            put("port", port.into());
        }
        Record::Time(time) => {
            put("tsc_timestamp", time.tsc_timestamp.into());
            put("system_time_ns", time.system_time.into());
            put("tsc_to_system_mul", time.tsc_to_system_mul.into());
            put("tsc_shift", time.tsc_shift.into());
            put("flags", time.flags.into());
        }
        Record::Wallclock { sec, nsec } => {
            put("sec", sec.into());
            put("nsec", nsec.into());
        }
        Record::Runstate(runstate) => {
            put("state", runstate.state.into());
            put("state_entry_time_ns", runstate.state_entry_time_ns.into());
            put("time_ns", json!(runstate.time_ns));
        }
        Record::ConsoleIn(ring) => put_ring(&mut put, &ring),
        Record::XenstoreIn(ring) => {
            put_ring(&mut put, &ring);
            put("ext", json!(ring.ext));
        }
        Record::Start {
            registers,
            memory,
            pages,
        } => {
            put("registers", address(registers));
            put("memory", address(memory));
            put("pages", pages.into());
        }
        Record::End(end) => {
            put("reason", end.reason.name().into());
            put("code", end.code.into());
            put("rip", address(end.rip));
            put("registers", address(end.registers));
            put("memory", address(end.memory));
            put("pages", end.pages.into());
        }
        Record::Tsc { value } => {
            put("value", value.into());
        }
        Record::Value { kind, bytes } => {
            put("value_kind", kind.name().into());
            put("bytes", hex(bytes).into());
        }
    }
    Json::Object(object)
}

fn put_ring(put: &mut impl FnMut(&str, Json) -> Option<Json>, ring: &RingIn<'_>) {
    put("prod", ring.prod.into());
    put("cons", ring.cons.into());
    put("bytes", hex(ring.bytes).into());
}

/// A 64-bit number that is an address or a digest.
pub fn address(value: u64) -> Json {
    format!("{value:#018x}").into()
}

/// What a record says, without its place.
pub fn text(record: &Record<'_>) -> String {
    match record {
        Record::Event { port } => format!("port {port}"),
        Record::Time(t) => format!(
            "system time {} ns at TSC {}, factor {}/2^32 shift {}, flags {:#x}",
            t.system_time, t.tsc_timestamp, t.tsc_to_system_mul, t.tsc_shift, t.flags
        ),
        Record::Wallclock { sec, nsec } => format!("{sec}.{nsec:09} s of the epoch"),
        Record::Runstate(r) => format!(
            "state {} since {} ns, spent {:?} ns",
            r.state, r.state_entry_time_ns, r.time_ns
        ),
        Record::ConsoleIn(ring) => ring_text(ring),
        Record::XenstoreIn(ring) => format!("{}, ext {:?}", ring_text(ring), ring.ext),
        Record::Start {
            registers,
            memory,
            pages,
        } => format!("registers {registers:#018x}, memory {memory:#018x} of {pages} pages"),
        Record::End(end) => end_text(end),
        Record::Tsc { value } => value.to_string(),
        Record::Value { kind, bytes } => format!("{} {}", kind.name(), hex(bytes)),
    }
}

/// How a log ended.
pub fn end_text(end: &End) -> String {
    format!(
        "{} (code {}), rip {:#x}, registers {:#018x}, memory {:#018x} of {} pages",
        end.reason.name(),
        end.code,
        end.rip,
        end.registers,
        end.memory,
        end.pages
    )
}

fn ring_text(ring: &RingIn<'_>) -> String {
    format!(
        "prod {} cons {} \"{}\"",
        ring.prod,
        ring.cons,
        ring.bytes.escape_ascii()
    )
}
