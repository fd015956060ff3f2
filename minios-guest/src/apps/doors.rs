//! `doors frames=N [calls=M]`: ways into a guest beside the log.
//!
//! Tries each and prints what came of it: what the grant table says of the use that dom0 makes of
//! the rings, how many of the machine's first N frames that are none of this domain's can be mapped,
//! with how many of the first M (N) each call succeeds that takes one, Xen's watchdog timer, the performance counters, NMIs. Before the
//! last line it waits for a key, so that dom0 can send an NMI of its own. A logged guest finds all
//! of them closed. A PVH guest has other doors: see [`own`].

use crate::abi::{nr, vcpuop, DOMID_SELF};
use crate::memory::{self, Page, PTE_RO};
use crate::{boot, clock, cmdline, console, hypercall, machine, say, trap};
use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

mod frames;
mod own;

/// A range of addresses to map frames at.
static WINDOW: Page = Page::new();
/// A page to exchange.
static POOL: Page = Page::new();
/// The vector whose entry the NMI takes, too.
const VECTOR_INT3: u8 = 3;

/// Runs the application.
pub fn run() {
    grants();
    batches();
    exchanged();
    let frames = cmdline::number("frames").unwrap_or(0);
    if machine::is_pvh() {
        own::run(frames);
    } else {
        frames::run(frames, cmdline::number("calls").unwrap_or(frames));
    }
    watchdog();
    counters();
    nmis();
}

fn grants() {
    const SETUP_TABLE: u64 = 2;
    let mut frame = 0u64;
    if machine::is_pvh() {
        own::place_grant_table(&WINDOW);
    }
    // struct gnttab_setup_table: the domain and how many frames, the result, where their numbers go.
    let mut setup = [u64::from(DOMID_SELF) | 1 << 32, 0, &raw mut frame as u64];
    // SAFETY: Xen reads and writes the structure and the one number, which outlive the call.
    unsafe { hypercall::call(nr::GRANT_TABLE_OP, [SETUP_TABLE, setup.as_mut_ptr() as u64, 1, 0, 0]) };
    if WINDOW.remap(frame << 12 | PTE_RO) != 0 {
        say!("doors: no grant table");
        return;
    }
    // The entries of the console's and of xenstore's ring; their flags are the lowest 16 bits.
    let [console, xenstore] = [0, 1].map(|entry| WINDOW.read(entry) & 0xffff);
    say!("doors: flags of the rings' grants {console:#x} {xenstore:#x}");
}

/// Takes other frames for a page: they are to come from where the others did.
fn exchanged() {
    let result = memory::exchange(&POOL);
    say!("doors: exchanged {result}");
}

/// What does not depend on the log but on what dom0 has mapped, or on this domain's number.
fn batches() {
    const COPY: u64 = 5;
    const COPY_SOURCE_IS_GRANT: u64 = 1 << 16;
    const SWAP: u64 = 11;
    let (own, domain) = (POOL.mfn(), u64::from(DOMID_SELF));
    // Two of struct gnttab_copy: by frame, then between the same domains, by a grant.
    let mut copies = [own, domain, own, domain, 8, 0, domain, own, domain, 8 | COPY_SOURCE_IS_GRANT];
    // SAFETY: Xen reads and writes the structures, which outlive the call.
    unsafe { hypercall::call(nr::GRANT_TABLE_OP, [COPY, copies.as_mut_ptr() as u64, 2, 0, 0]) };
    let [by_frame, by_grant] = [4, 9].map(|word: usize| (copies[word] >> 32) as i16);
    // struct gnttab_swap_grant_ref: the console's ring and a reference that nobody uses.
    let mut swap = [8u64 << 32, 0];
    // SAFETY: as above.
    unsafe { hypercall::call(nr::GRANT_TABLE_OP, [SWAP, swap.as_mut_ptr() as u64, 1, 0, 0]) };
    say!("doors: copied {by_frame} {by_grant}, swapped {}", swap[1] as i16);
}

fn watchdog() {
    const WATCHDOG: u64 = 6;
    const SECONDS: u64 = 1;
    // struct sched_watchdog: a new one, and its seconds.
    let result = hypercall::op(nr::SCHED_OP, WATCHDOG, &mut [SECONDS << 32]);
    say!("doors: watchdog {result}");
    if result > 0 {
        // It would end the domain.
        hypercall::op(nr::SCHED_OP, WATCHDOG, &mut [result as u64]);
    }
}

fn counters() {
    let before = trap::caught().0;
    super::torture::probe!("xor ecx, ecx", "rdpmc");
    trap::set_resume(0);
    let (caught, [vector, ..]) = trap::caught();
    say!("doors: counters {}", if caught == before { "read" } else { "fault" });
    // An emulated processor knows no such instruction.
    assert!(caught == before || matches!(vector, 6 | 13), "another exception");
}

fn nmis() {
    const REGISTER_CALLBACK: u64 = 0;
    let entry = boot::trap_entries().into_iter().find(|(vector, ..)| *vector == VECTOR_INT3);
    let mut callback = [entry.map_or(0, |(.., address)| address), 0];
    let registered = hypercall::op(nr::NMI_OP, REGISTER_CALLBACK, &mut callback);
    trap::TOLERANT.store(1, Relaxed);
    let before = trap::caught().0;
    let sent = hypercall::plain(nr::VCPU_OP, [vcpuop::SEND_NMI, 0, 0, 0, 0]);
    say!("doors: NMI callback {registered}, sent {sent}");
    say!("doors: waits for a key");
    console::flush();
    while console::read(&mut [0]) == 0 {
        clock::sleep(100 * clock::MILLISECOND);
    }
    trap::TOLERANT.store(0, Relaxed);
    say!("doors: NMIs {}", trap::caught().0 - before);
}
