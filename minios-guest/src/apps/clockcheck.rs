//! `clockcheck [seconds=N]`: compares the clock that it reads with Xen's own
//! time, after sleeps and in bursts, for N seconds (5 unless told).
//!
//! Xen's time comes from `HVMOP_get_time`, which answers PV guests as well. It
//! is asked for before and after each reading of the clock, which must lie
//! between: how far outside it was is printed, and whether the clock ever
//! stood or went back.

use crate::abi::nr;
use crate::clock::{self, MILLISECOND, SECOND};
use crate::{cmdline, hypercall, say};

const HVMOP_GET_TIME: u64 = 10;

/// Readings in a row.
const BURST: u32 = 40;

/// Runs the application.
pub fn run() {
    let seconds = cmdline::number("seconds").unwrap_or(5);
    let Some(begin) = xen_time() else {
        say!("clockcheck: Xen does not tell its time");
        return;
    };
    let (mut readings, mut ahead, mut behind, mut backwards) = (0u64, 0, 0, 0u64);
    let (mut last, mut round) = (0, 0);
    while let Some(now) = xen_time() {
        if now >= begin + seconds * SECOND {
            break;
        }
        // From 1 to 20 ms, so that what wakes it up comes at all times.
        round += 1;
        clock::sleep((round * 7 % 20 + 1) * MILLISECOND);
        for _ in 0..BURST {
            let (Some(before), time, Some(after)) = (xen_time(), clock::now(), xen_time()) else {
                return;
            };
            readings += 1;
            ahead = ahead.max(time.saturating_sub(after));
            behind = behind.max(before.saturating_sub(time));
            backwards += u64::from(time <= last);
            last = time;
        }
    }
    say!("clockcheck: {readings} readings, at most {ahead} ns ahead, {behind} ns behind, {backwards} not after the last");
}

/// Nanoseconds since the host's boot.
fn xen_time() -> Option<u64> {
    let mut now = 0u64;
    (hypercall::op(nr::HVM_OP, HVMOP_GET_TIME, &mut now) == 0).then_some(now)
}
