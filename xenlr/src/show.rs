//! Records as text for people and as JSON for machines.

use log_format::{End, Item, Record, RingIn};
use serde_json::{Map, Value as Json, json};

use crate::output::{duration, hex};

/// How true the time is that a guest reads: `exact`, or by how much it may be behind.
pub fn time_policy(bound_us: u32) -> String {
    match bound_us {
        0 => "exact".to_owned(),
        bound => format!("up to {} behind", duration(u64::from(bound) * 1000)),
    }
}

/// One record as a JSON object: `sync`, `kind`, `guest_ns` where it is known, `witness` for
/// commits, and what the kind has besides. Digests and addresses are hexadecimal strings, because
/// JSON numbers are not exact beyond 2^53 everywhere.
pub fn json(item: &Item<'_>, guest_ns: Option<u64>) -> Json {
    let mut object = Map::new();
    let mut put = |key: &str, value: Json| object.insert(key.to_owned(), value);
    put("sync", item.sync.into());
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
