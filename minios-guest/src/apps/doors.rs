//! `doors frames=N`: ways into a guest beside the log.
//!
//! Tries each and prints what came of it: what the grant table says of the use that dom0 makes of
//! the rings, how many of the machine's first N frames can be mapped that are none of this
//! domain's, Xen's watchdog timer, the performance counters, NMIs. Before the last line it waits
//! for a key, so that dom0 can send an NMI of its own. A logged guest finds all of them closed.

use crate::abi::{nr, vcpuop, DOMID_SELF};
use crate::memory::{Page, PTE_RO, PTE_RW};
use crate::{boot, clock, cmdline, console, hypercall, memory, say, shared, trap};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A range of addresses to map frames at.
static WINDOW: Page = Page::new();
/// A bit for each frame of this domain, up to 4 GiB.
static OWN: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// The vector whose entry the NMI takes, too.
const VECTOR_INT3: u8 = 3;

/// Runs the application.
pub fn run() {
    grants();
    frames(cmdline::number("frames").unwrap_or(0));
    watchdog();
    counters();
    nmis();
}

fn grants() {
    const SETUP_TABLE: u64 = 2;
    let mut frame = 0u64;
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

fn frames(count: u64) {
    let bit = |frame: u64| Some((OWN.get(frame as usize / 64)?, 1 << (frame % 64)));
    for pfn in 0..shared::start_info().nr_pages {
        if let Some((word, bit)) = bit(memory::mfn_of_pfn(pfn)) {
            word.fetch_or(bit, Relaxed);
        }
    }
    let mut mapped = 0;
    for frame in 0..count {
        let is_own = bit(frame).is_none_or(|(word, bit)| word.load(Relaxed) & bit != 0);
        mapped += u64::from(!is_own && WINDOW.remap(frame << 12 | PTE_RW) == 0);
    }
    WINDOW.remap(WINDOW.mfn() << 12 | PTE_RW);
    say!("doors: mapped {mapped} frames beside its memory");
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
    assert!(caught == before || vector == 13, "another exception");
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
