//! `bench [hypercalls=N] [rdtsc=N] [events=N]`: N times one thing, in a tight
//! loop, to find what one costs. The figure is the difference of the domain's
//! processor time between two runs that differ in N or in how they are
//! recorded; the guest itself measures nothing.

use crate::{clock, cmdline, event, hypercall, say};

/// Runs the application.
pub fn run() {
    if let Some(count) = cmdline::number("hypercalls") {
        (0..count).for_each(|_| hypercall::nothing());
        say!("bench: {count} hypercalls");
    }
    if let Some(count) = cmdline::number("rdtsc") {
        let sum = (0..count).fold(0, |sum: u64, _| sum ^ clock::tsc());
        say!("bench: {count} clock reads, xor {sum:016x}");
    }
    if let Some(count) = cmdline::number("events") {
        events(count);
    }
}

/// Notifies itself `count` times. With upcalls masked the event is pending
/// when the hypercall returns, and nothing but that hypercall is an exit.
fn events(count: u64) {
    let Some((from, to)) = event::bind_loopback() else {
        say!("bench: no event channel");
        return;
    };
    event::unmask_port(to);
    event::mask_upcalls();
    let before = event::latched(to);
    for _ in 0..count {
        hypercall::notify(from);
    }
    let seen = event::latched(to) - before;
    event::unmask_upcalls();
    say!("bench: {count} notifications, {seen} events");
}
