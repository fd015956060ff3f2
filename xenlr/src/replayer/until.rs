//! `--until`: a sync number, or a time of the guest since its start.

use std::path::Path;

use crate::error::Error;
use crate::logfile;

/// What was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// This sync number.
    Sync(u64),
    /// The first sync point at or after this time.
    Time {
        /// Nanoseconds since the first time that the guest was told.
        ns: u64,
    },
}

/// Units and their nanoseconds, longest names first where one ends with another.
const UNITS: [(&str, f64); 6] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("ms", 1e6),
    ("min", 60e9),
    ("h", 3600e9),
    ("s", 1e9),
];

/// Reads the argument.
pub fn parse(text: &str) -> Result<Until, Error> {
    if let Ok(sync) = text.parse() {
        return Ok(Until::Sync(sync));
    }
    UNITS
        .iter()
        .find_map(|(unit, factor)| {
            let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            let ns = number * factor;
            // The comparison is false for what is no number.
            (0.0..9e18)
                .contains(&ns)
                .then_some(Until::Time { ns: ns as u64 })
        })
        .ok_or_else(|| {
            Error::Usage(format!(
                "\"{text}\" is neither a sync number nor a time: give 120000, or 12.5s \
                 (ns, us, ms, s, min, h)"
            ))
        })
}

/// The sync number that is meant in this log.
pub fn resolve(until: Until, file: &Path) -> Result<u64, Error> {
    let ns = match until {
        Until::Sync(sync) => return Ok(sync),
        Until::Time { ns } => ns,
    };
    let mut reader = logfile::open(file)?;
    let (mut first, mut found) = (None, None);
    let whole = logfile::scan_while(&mut reader, |item, _, guest_ns| {
        if let Some(now) = guest_ns {
            let start = *first.get_or_insert(now);
            if now - start >= ns {
                found = Some(item.reached());
            }
        }
        found.is_none()
    })?;
    match (found, whole) {
        (Some(sync), _) => Ok(sync),
        (None, whole) => Err(Error::Usage(format!(
            "the log ends after {} of the guest's time, before the time that --until names",
            crate::output::duration(whole.map_or(0, |summary| summary.guest_ns))
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times() {
        assert_eq!(parse("120").unwrap(), Until::Sync(120));
        assert_eq!(parse("12.5s").unwrap(), Until::Time { ns: 12_500_000_000 });
        assert_eq!(parse("3 ms").unwrap(), Until::Time { ns: 3_000_000 });
        assert_eq!(
            parse("2min").unwrap(),
            Until::Time {
                ns: 120_000_000_000
            }
        );
        for bad in ["", "s", "-1s", "12x", "1e300s", "NaNs"] {
            assert!(matches!(parse(bad), Err(Error::Usage(_))), "{bad}");
        }
    }
}
