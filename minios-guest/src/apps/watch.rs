//! `watch [seconds=N]`: does anything change while the guest does not leave?
//!
//! Spins N seconds (5 unless told) with upcalls masked and N seconds with
//! upcalls unmasked, without a hypercall and without RDTSC, and compares the
//! shared info page and both ring pages with a snapshot all the while. A pass
//! over the pages is timed beforehand, so that the spin is a count of passes.
//! Then it makes one hypercall and looks again.

use crate::abi::{nr, vcpuop};
use crate::clock::{self, MILLISECOND, SECOND};
use crate::memory::Page;
use crate::{cmdline, console, event, exits, hypercall, say, shared, witness};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const PAGES: usize = 3;
static SNAPSHOT: [Page; PAGES] = [const { Page::new() }; PAGES];

/// Runs the application.
pub fn run() {
    let seconds = cmdline::number("seconds").unwrap_or(5);
    pass();
    let passes = (seconds * SECOND / calibrate()).max(1);

    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_SINGLESHOT_TIMER, 0, 0, 0, 0]);
    say!("watch: spin begins");
    quiesce();

    event::mask_upcalls();
    exits::look();
    pass();
    let masked = spin(passes);

    let upcalls_before = witness::UPCALLS.load(Relaxed);
    shared::vcpu().upcall_mask.store(0, Relaxed);
    pass();
    let unmasked = spin(passes);
    let upcalls = witness::UPCALLS.load(Relaxed) - upcalls_before;

    event::mask_upcalls();
    pass();
    // SAFETY: asks for Xen's version; no memory is passed.
    unsafe { hypercall::raw(nr::XEN_VERSION, [0; 5]) };
    let after = pass();
    exits::passed();
    event::unmask_upcalls();

    say!("watch: spin ends");
    say!("watch: masked changes={masked} unmasked changes={unmasked} upcalls={upcalls}");
    say!("watch: after hypercall changes={after}");
    // The keys that came are nobody's: take them, so that dom0 is not held up.
    let mut keys = [0; 64];
    while console::read(&mut keys) > 0 {}
}

/// Lets all output go and everything that it causes come in.
fn quiesce() {
    console::flush();
    clock::sleep(300 * MILLISECOND);
    console::flush();
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_SINGLESHOT_TIMER, 0, 0, 0, 0]);
}

/// Nanoseconds of one pass.
fn calibrate() -> u64 {
    const PASSES: u64 = 2_000;
    let begin = clock::now();
    spin(PASSES);
    ((clock::now() - begin) / PASSES).max(1)
}

/// Changes seen in so many passes.
#[inline(never)]
fn spin(passes: u64) -> u64 {
    (0..passes).map(|_| pass()).sum()
}

/// Compares the watched pages with the snapshot, brings the snapshot up to
/// date, and returns the number of words that had changed.
fn pass() -> u64 {
    let watched = [
        shared::info() as *const _ as *const AtomicU64,
        shared::console() as *const _ as *const AtomicU64,
        shared::store() as *const _ as *const AtomicU64,
    ];
    let mut changes = 0;
    for (page, snapshot) in watched.iter().zip(&SNAPSHOT) {
        for index in 0..512 {
            // SAFETY: all three are whole mapped pages; every access is a
            // relaxed atomic load.
            let now = unsafe { (*page.add(index)).load(Relaxed) };
            if now != snapshot.read(index) {
                snapshot.write(index, now);
                changes += 1;
            }
        }
    }
    changes
}
