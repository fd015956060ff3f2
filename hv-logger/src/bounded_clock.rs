//! The guest's TSC under a time policy with a bounded error.
//!
//! Most values of the TSC can be told from what the guest itself did: it reads again at once, or
//! it was woken up by a timer whose deadline it had set. With a bound the guest gets such an
//! expected value, without a record, as long as that is at most the bound behind the true one and
//! never ahead of it; otherwise it gets the true one, which is logged. A replay computes the same
//! expectation from the same hypercalls, and uses it wherever the log has no record.

use log_format::{Line, TimeInfo};

/// A timer's event can come a little after its deadline, never before: expecting it later by this
/// much keeps a guest from seeing its clock short of the deadline through rounding.
const WAKE_NS: u64 = 1_000;

/// How far a clock that is read again at once has moved on: as long as no guest reads faster, since
/// each reading traps, and long enough for the time that the guest reckons from it to advance.
const READ_NS: u64 = 100;

/// What is known of the guest's clock. All zero: exact values, nothing known.
#[derive(Clone, Copy, Debug)]
pub struct BoundedClock {
    /// The largest error; 0 for exact values.
    bound_ns: u64,
    /// The TSC that the guest last got, by an instruction or in a time page.
    last: u64,
    /// Ticks from one reading to the next.
    step: u64,
    /// The time pages' line between system time and TSC.
    line: Line,
    /// The guest's port for its timer.
    timer_port: u16,
    /// When the timer fires, in system time; 0 when it is not set.
    deadline_ns: u64,
    /// The deadline of the timer that woke the guest up, until it reads the TSC; 0 for none.
    woken_ns: u64,
}

impl BoundedClock {
    /// A clock whose values are at most `bound_ns` behind; 0 for exact ones.
    pub const fn new(bound_ns: u64) -> Self {
        Self {
            bound_ns,
            last: 0,
            step: 0,
            line: Line::new(),
            timer_port: 0,
            deadline_ns: 0,
            woken_ns: 0,
        }
    }

    /// Whether values may be expected ones: not before a time page has told how long a tick is.
    pub const fn is_bounded(&self) -> bool {
        self.bound_ns != 0 && self.step != 0
    }

    /// The guest set its timer (or stopped it, with 0), whose event comes through `port`.
    pub const fn set_timer(&mut self, port: u16, deadline_ns: u64) {
        if self.bound_ns != 0 {
            self.timer_port = port;
            self.deadline_ns = deadline_ns;
        }
    }

    /// An event is committed.
    pub const fn observe_event(&mut self, port: u16) {
        if self.deadline_ns != 0 && port == self.timer_port {
            self.woken_ns = self.deadline_ns;
            self.deadline_ns = 0;
        }
    }

    /// A time page is committed.
    pub fn observe_page(&mut self, time: &TimeInfo) {
        self.line.observe(time);
        self.step = self.line.distance_ticks(READ_NS);
        self.observe_tsc(time.tsc_timestamp);
    }

    /// The guest sees this TSC in a second time page. A guest reckons from there: what it gets
    /// later must not be less.
    pub fn observe_tsc(&mut self, tsc: u64) {
        self.last = self.last.max(tsc);
    }

    /// The value that the guest is expected to get next.
    pub fn expected(&self) -> u64 {
        let next = self.last.wrapping_add(self.step.max(1));
        if self.woken_ns == 0 {
            return next;
        }
        next.max(self.line.ticks(self.woken_ns.wrapping_add(WAKE_NS)))
    }

    /// Whether the expected value may stand for the true one.
    pub const fn is_close(&self, expected: u64, live: u64) -> bool {
        expected <= live && self.line.distance_ns(live.wrapping_sub(expected)) <= self.bound_ns
    }

    /// The guest gets this value.
    pub const fn give(&mut self, value: u64) {
        self.last = value;
        self.woken_ns = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 GHz, and system time 0 at TSC 0.
    const PAGE: TimeInfo = TimeInfo {
        tsc_timestamp: 2_000_000,
        system_time: 1_000_000,
        tsc_to_system_mul: 1 << 31,
        tsc_shift: 0,
        flags: 0,
    };

    /// 100 ns.
    const STEP: u64 = 200;

    fn clock(bound_ns: u64) -> BoundedClock {
        let mut clock = BoundedClock::new(bound_ns);
        clock.observe_page(&PAGE);
        clock
    }

    /// What a recording gives the guest, and whether it is a record.
    fn read(clock: &mut BoundedClock, live: u64) -> (u64, bool) {
        let expected = clock.expected();
        let value = if clock.is_close(expected, live) {
            expected
        } else {
            live
        };
        clock.give(value);
        (value, value == live)
    }

    #[test]
    fn a_polling_guest_sees_its_clock_advance_and_never_by_more_than_the_bound_behind() {
        let mut clock = clock(10_000);
        let mut before = PAGE.tsc_timestamp;
        let mut records = 0;
        for read_number in 0..100_000u64 {
            let live = PAGE.tsc_timestamp + 1 + read_number * 1001;
            let (value, logged) = read(&mut clock, live);
            assert!(before < value && value <= live, "{before} {value} {live}");
            assert!(live - value <= 20_000, "{value} {live}");
            before = value;
            records += u32::from(logged);
        }
        assert!((3000..6000).contains(&records), "{records} records");
    }

    #[test]
    fn a_timer_wakes_at_the_deadline_that_was_set() {
        let mut clock = clock(1_000_000);
        clock.set_timer(3, 500_000_000);
        clock.observe_event(4);
        assert_eq!(clock.expected(), PAGE.tsc_timestamp + STEP);
        clock.observe_event(3);
        let deadline = 2 * 500_000_000;
        let (value, logged) = read(&mut clock, deadline + 100_000);
        assert!(!logged && value >= deadline && value <= deadline + 2 * WAKE_NS);
        assert_eq!(clock.expected(), value + STEP);
        // The same timer does not wake twice, and one that comes too late is not what is told.
        clock.observe_event(3);
        assert_eq!(clock.expected(), value + STEP);
        clock.set_timer(3, 600_000_000);
        clock.observe_event(3);
        let late = 2 * 602_000_000;
        assert_eq!(read(&mut clock, late), (late, true));
    }

    #[test]
    fn no_value_lies_before_a_time_page() {
        let mut clock = clock(1_000_000);
        let live = PAGE.tsc_timestamp + 300;
        assert!(read(&mut clock, live).0 < live);
        clock.observe_tsc(live + 50);
        assert!(read(&mut clock, live + 300).0 > live + 50);
    }

    #[test]
    fn nothing_is_expected_before_the_first_time_page() {
        let mut clock = BoundedClock::new(1_000_000);
        assert!(!clock.is_bounded());
        clock.observe_page(&TimeInfo {
            tsc_to_system_mul: 0,
            ..PAGE
        });
        assert!(!clock.is_bounded());
        clock.observe_page(&PAGE);
        assert!(clock.is_bounded());
    }

    #[test]
    fn without_a_bound_only_the_true_value_is_close() {
        let clock = clock(0);
        assert!(!clock.is_bounded());
        assert!(clock.is_close(5, 5) && !clock.is_close(5, 7) && !clock.is_close(7, 5));
    }
}
