//! `daytime [seconds=N]`: prints date and time once a second, for ever or N times.
//!
//! One clock read, one timer event and one line a second: the least that a
//! guest with a clock can do.

use crate::clock::{self, Date, SECOND};
use crate::{cmdline, say};

/// Runs the application.
pub fn run() {
    let lines = cmdline::number("seconds").unwrap_or(u64::MAX);
    let begin = clock::now();
    let mut deadline = begin;
    for _ in 0..lines {
        let now = clock::now();
        let unix_seconds = (clock::boot_time() + now) / SECOND;
        let uptime = (now - begin) / SECOND;
        say!("daytime: {} UTC, up {uptime} s", Date { unix_seconds });
        // Seconds missed while paused are left out.
        deadline = (deadline + SECOND).max(now);
        clock::sleep_until(deadline);
    }
}
