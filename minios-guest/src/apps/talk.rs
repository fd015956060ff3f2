//! `talk [seconds=N]`: as talkative as the test application of upstream
//! Mini-OS: 11 clock reads, 2.6 events and 1.2 console records a second.
//!
//! In five seconds: seven timer wake-ups with 55 clock reads among them, six
//! of which print a line (dom0's answer is the event and the console record).

use crate::clock::{self, SECOND};
use crate::{cmdline, say};

const WAKES: u64 = 7;
const PERIOD_NS: u64 = 5 * SECOND;

/// Runs the application.
pub fn run() {
    let periods = cmdline::number("seconds").map_or(u64::MAX, |seconds| seconds.div_ceil(5));
    let begin = clock::now();
    for period in 0..periods {
        for wake in 0..WAKES {
            let last = wake == WAKES - 1;
            let reads = if last { 7 } else { 8 };
            let now = (0..reads).fold(0, |_, _| clock::now());
            if !last {
                say!("talk: {} ms", (now - begin) / clock::MILLISECOND);
            }
            clock::sleep_until(begin + period * PERIOD_NS + (wake + 1) * PERIOD_NS / WAKES);
        }
    }
}
