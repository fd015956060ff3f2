//! Records as text for people and as JSON for machines.

use log_format::control::{Failure, Mode};
use log_format::{Digits, Item};
use serde_json::Value as Json;

use crate::output::duration;

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
        (Some(Failure::Full), _) => {
            "one hypercall asked for more values than the ring had room for; a larger buffer_kb \
             helps"
                .to_owned()
        }
        (None, _) => format!("error {number}, which this xenlr does not know"),
    }
}

/// One record as a JSON object: `sync` (the sync point that the guest had reached), `kind`, `guest_ns` where it
/// is known, `witness` for commits, and what the kind has besides.
pub fn json(item: &Item<'_>, guest_ns: Option<u64>) -> Json {
    let mut json = item.record.json();
    json["sync"] = item.reached().into();
    json["kind"] = item.record.kind_name().into();
    json["guest_ns"] = guest_ns.into();
    if item.record.is_commit() {
        json["witness"] = item.witness.into();
    }
    json
}

/// A 64-bit number that is an address or a digest.
pub fn address(value: u64) -> Json {
    Digits(value).to_string().into()
}
