//! The guest's own time, as far as its log tells.

use log_format::{Item, Record, TimeInfo, Tsc};

/// Follows the records of a log and knows the guest's system time at each.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogTime {
    page: Option<TimeInfo>,
    first_ns: Option<u64>,
    now_ns: Option<u64>,
}

impl LogTime {
    /// Takes the next record into account and returns the guest's system time in nanoseconds,
    /// if the log has said anything of it yet.
    pub fn follow(&mut self, item: &Item<'_>) -> Option<u64> {
        let said = match item.record {
            Record::Time(page) => {
                self.page = Some(page);
                Some(page.system_time)
            }
            Record::Tsc(Tsc { value }) => self.page.map(|page| system_time_ns(&page, value)),
            _ => None,
        };
        if let Some(ns) = said {
            self.first_ns.get_or_insert(ns);
            // Two clocks of a guest may disagree by a little; a listing that goes back would
            // only confuse.
            self.now_ns = Some(self.now_ns.map_or(ns, |now| now.max(ns)));
        }
        self.now_ns
    }

    /// Time from the first to the last known instant.
    pub fn elapsed_ns(&self) -> u64 {
        match (self.first_ns, self.now_ns) {
            (Some(first), Some(now)) => now.saturating_sub(first),
            _ => 0,
        }
    }
}

/// The system time that a guest computes from its time page for a TSC value; the rule is that of
/// `struct vcpu_time_info` in Xen's public `xen.h`.
pub fn system_time_ns(page: &TimeInfo, tsc: u64) -> u64 {
    // A stamp from before the domain's TSC was 0 is negative.
    let ticks = tsc.wrapping_sub(page.tsc_timestamp);
    let ticks = if ticks > i64::MAX as u64 { 0 } else { ticks };
    let shift = u32::from(page.tsc_shift.unsigned_abs());
    let scaled = if page.tsc_shift < 0 {
        ticks.checked_shr(shift).unwrap_or(0)
    } else {
        ticks.checked_shl(shift).unwrap_or(0)
    };
    let ns = (u128::from(scaled) * u128::from(page.tsc_to_system_mul)) >> 32;
    page.system_time
        .saturating_add(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_format::Event;

    fn page() -> TimeInfo {
        TimeInfo {
            tsc_timestamp: 1000,
            system_time: 5_000,
            // 1 tick is 1 ns: half of it, shifted left once.
            tsc_to_system_mul: 1 << 31,
            tsc_shift: 1,
            flags: 0,
        }
    }

    #[test]
    fn ticks_become_nanoseconds() {
        assert_eq!(system_time_ns(&page(), 1000), 5_000);
        assert_eq!(system_time_ns(&page(), 3000), 7_000);
        assert_eq!(system_time_ns(&page(), 0), 5_000);
    }

    #[test]
    fn time_is_known_from_the_first_time_page_on() {
        let mut clock = LogTime::default();
        let item = |record| Item {
            sync: 1,
            witness: 0,
            record,
        };
        assert_eq!(clock.follow(&item(Record::Tsc(Tsc { value: 9 }))), None);
        assert_eq!(clock.follow(&item(Record::Time(page()))), Some(5_000));
        assert_eq!(
            clock.follow(&item(Record::Tsc(Tsc { value: 2000 }))),
            Some(6_000)
        );
        assert_eq!(
            clock.follow(&item(Record::Event(Event { port: 1 }))),
            Some(6_000)
        );
        assert_eq!(clock.elapsed_ns(), 1_000);
    }
}
