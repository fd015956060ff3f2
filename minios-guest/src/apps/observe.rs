//! `observe [seconds=N|events=N]`: digests everything non-deterministic that it
//! sees and prints the digest at the end.
//!
//! It ends on a `q` key, after N seconds (10 unless told) or after N events,
//! whichever comes first. What is digested, and how a log's records give the
//! same digest, is said in [`crate::witness`] and in minios-guest/README.md.
//!
//! At the end upcalls are masked, the rest of the input ring is read, one last
//! look is taken and the figures are frozen, all without an exit in between:
//! they cover the commits up to and including sync point `sync`, and the
//! values before it. No TSC is read afterwards.

use crate::clock::{self, MILLISECOND, SECOND};
use crate::{cmdline, console, event, exits, say, witness};
use core::sync::atomic::Ordering::Relaxed;

/// Runs the application.
pub fn run() {
    let events = cmdline::number("events").unwrap_or(u64::MAX);
    let seconds = cmdline::number("seconds");
    let seconds = seconds.unwrap_or(if events == u64::MAX { 10 } else { u64::MAX / SECOND });
    say!("observe: begins (q ends it)");

    let begin = clock::now();
    let end = begin.saturating_add(seconds.saturating_mul(SECOND));
    let mut report = begin + SECOND;
    let mut quit = false;
    while !quit {
        let now = clock::now();
        if now >= end || witness::PORTS.count() >= events {
            break;
        }
        if now >= report {
            say!("observe: {} s", (now - begin) / SECOND);
            report += SECOND;
        }
        let mut keys = [0; 64];
        let count = console::read(&mut keys);
        quit = keys[..count].contains(&b'q');
        // A few reads in a row, as programs that measure make them.
        for _ in 0..count.min(8) + 2 {
            clock::tsc();
        }
        if !quit && count == 0 {
            wait(now + 100 * MILLISECOND);
        }
    }
    freeze();
}

/// Waits for any event, the timer at the latest.
fn wait(deadline_ns: u64) {
    let since = event::total();
    crate::hypercall::set_timer(deadline_ns);
    event::wait_any(since);
}

fn freeze() {
    event::mask_upcalls();
    while console::take().is_some() {}
    exits::look();
    let digest = witness::combined();
    let [tsc, time, ports, bytes, wallclock] =
        [&witness::TSC, &witness::TIME, &witness::PORTS, &witness::BYTES, &witness::WALLCLOCK]
            .map(|class| (class.count(), class.hash()));
    let upcalls = witness::UPCALLS.load(Relaxed);
    let (sync, mapped) = (witness::EXITS.load(Relaxed), witness::MAPPED.load(Relaxed));

    say!(
        "observe: digest {digest:016x} tsc={} time={} upcalls={upcalls} ports={} bytes={}",
        tsc.0,
        time.0,
        ports.0,
        bytes.0
    );
    say!(
        "observe: classes tsc={:016x} time={:016x} ports={:016x} bytes={:016x} \
         wallclock={:016x}/{} sync={sync} mapped={mapped}",
        tsc.1,
        time.1,
        ports.1,
        bytes.1,
        wallclock.1,
        wallclock.0
    );
}
