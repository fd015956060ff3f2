//! `watch [seconds=N] [disk=N]`: does anything change while the guest does not leave?
//!
//! Spins N seconds (5 unless told) with upcalls masked and N seconds with
//! upcalls unmasked, without a hypercall and without RDTSC, and compares the
//! shared info page and both ring pages with a snapshot all the while. A pass
//! over the pages is timed beforehand, so that the spin is a count of passes.
//! Then it makes one hypercall and looks again.
//!
//! With `disk=N` it asks its disk for N reads (32 at most) just before the spin, and watches the ring that it shares
//! with the backend and the pages that are read into, too.

use crate::abi::{nr, vcpuop};
use crate::block::{self, Block, Operation, Segment, DEPTH, PAGE_SECTORS};
use crate::clock::{self, MILLISECOND, SECOND};
use crate::grants::{self, Access};
use crate::memory::Page;
use crate::{cmdline, console, event, exits, hypercall, say, shared, witness};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The shared info page, two rings; the disk's ring, and what is read.
const PAGES: usize = 3 + 1 + DEPTH;
static SNAPSHOT: [Page; PAGES] = [const { Page::new() }; PAGES];
static READ: [Page; DEPTH] = [const { Page::new() }; DEPTH];
/// Whether the disk's pages are watched.
static WITH_DISK: AtomicBool = AtomicBool::new(false);

/// Runs the application.
pub fn run() {
    let seconds = cmdline::number("seconds").unwrap_or(5);
    let mut block = match cmdline::number("disk") {
        None => None,
        Some(_) => match Block::open() {
            None => return say!("watch: no disk"),
            some => some,
        },
    };
    WITH_DISK.store(block.is_some(), Relaxed);
    pass();
    let passes = (seconds * SECOND / calibrate()).max(1);

    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_SINGLESHOT_TIMER, 0, 0, 0, 0]);
    say!("watch: spin begins");
    quiesce();

    event::mask_upcalls();
    let grants = block.as_mut().map_or([0; DEPTH], ask);
    exits::look();
    pass();
    let masked = spin(passes);

    let upcalls_before = witness::UPCALLS.load(Relaxed);
    event::allow_upcalls();
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
    if let Some(block) = block {
        finish(block, &grants);
    }
    say!("watch: masked changes={masked} unmasked changes={unmasked} upcalls={upcalls}");
    say!("watch: after hypercall changes={after}");
    // The keys that came are nobody's: take them, so that dom0 is not held up.
    let mut keys = [0; 64];
    while console::read(&mut keys) > 0 {}
}

/// Asks the disk for its first pages; their grants.
fn ask(block: &mut Block) -> [u32; DEPTH] {
    let mut grants = [0; DEPTH];
    let reads = cmdline::number("disk").unwrap_or(0).min(block.sectors / PAGE_SECTORS) as usize;
    for (id, (page, grant)) in READ.iter().zip(&mut grants).take(reads).enumerate() {
        *grant = grants::lend(page, block.domain(), Access::Write);
        let segment = Segment { grant: *grant, first: 0, last: PAGE_SECTORS as u8 - 1 };
        block.put(Operation::Read, id as u64, id as u64 * PAGE_SECTORS, PAGE_SECTORS, &[segment]);
    }
    // Its end is the last exit before the spin.
    block.push();
    grants
}

/// Waits for all answers.
fn finish(mut block: Block, grants: &[u32]) {
    while block.outstanding() > 0 {
        let since = event::total();
        while let Some(answer) = block.take() {
            let is_taken_back = grants::end(grants[answer.id as usize % DEPTH]);
            assert!(answer.status == 0 && is_taken_back, "a read of the disk failed");
        }
        if block.outstanding() > 0 && !block.look_again() {
            event::wait_any(since);
        }
    }
    block.close();
}

/// Lets all output go and everything that it causes come in.
fn quiesce() {
    console::flush();
    clock::sleep(300 * MILLISECOND);
    console::flush();
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_SINGLESHOT_TIMER, 0, 0, 0, 0]);
}

/// Nanoseconds of one pass: the median of some runs. In one somebody else may have had the CPU, and the clocks of two CPUs
/// that are not quite together make another one too short.
fn calibrate() -> u64 {
    const RUNS: usize = 9;
    const PASSES: u64 = 1000;
    let mut took = [0; RUNS];
    for run in &mut took {
        let begin = clock::now();
        spin(PASSES);
        *run = clock::now().saturating_sub(begin);
    }
    took.sort_unstable();
    (took[RUNS / 2] / PASSES).max(1)
}

/// Changes seen in so many passes.
#[inline(never)]
fn spin(passes: u64) -> u64 {
    (0..passes).map(|_| pass()).sum()
}

/// Compares the watched pages with the snapshot, brings the snapshot up to
/// date, and returns the number of words that had changed.
fn pass() -> u64 {
    let mut watched = [core::ptr::null::<AtomicU64>(); PAGES];
    watched[0] = shared::info() as *const _ as *const AtomicU64;
    watched[1] = shared::console() as *const _ as *const AtomicU64;
    watched[2] = shared::store() as *const _ as *const AtomicU64;
    let mut count = 3;
    if WITH_DISK.load(Relaxed) {
        count = PAGES;
        watched[3] = block::ring_page().address() as *const AtomicU64;
        for (slot, page) in watched[4..].iter_mut().zip(&READ) {
            *slot = page.address() as *const AtomicU64;
        }
    }
    let mut changes = 0;
    for (page, snapshot) in watched[..count].iter().zip(&SNAPSHOT) {
        for index in 0..512 {
            // SAFETY: all are whole mapped pages; every access is a
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
