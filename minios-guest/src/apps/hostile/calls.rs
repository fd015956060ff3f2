//! Invalid hypercalls, singly and in multicalls.

use super::Hostile;
use crate::abi::{hvm, nr, MulticallEntry, DOMID_SELF, FLAT_KERNEL_SS};
use crate::memory::{Page, PTE_RW};
use crate::{event, hypercall, machine, shared, trap, user};

/// Structures with random contents for Xen to read and overwrite. No pointer
/// leads into the last page, so that long structures end within it.
static SCRATCH: [Page; 5] = [const { Page::new() }; 5];
/// The one address range whose mapping may be changed.
static WINDOW: Page = Page::new();

/// Hypercalls that are only made with a pointer that faults: with a good one
/// they take away what this kernel stands on.
const POINTER_ONLY: [u64; 6] = [nr::SET_TRAP_TABLE, 2, nr::CALLBACK_OP, 28, 10, nr::MMU_UPDATE];

/// Of a PVH guest, whose frames have small numbers that may well be hit: commands that move, copy or overwrite them, or replace the
/// way in which events come.
const FRAMES: [(u64, &[u64]); 4] = [
    (nr::MEMORY_OP, &[0, 1, 6, 7, 11, 15, 23]),
    (nr::GRANT_TABLE_OP, &[4, 5]),
    (nr::EVENT_CHANNEL_OP, &[11]),
    (nr::HVM_OP, &[23]),
];

fn moves_frames(number: u64, command: u64) -> bool {
    // The commands of `memory_op` are 6 bits, those of `hvm_op` 8.
    let command = command & if number == nr::MEMORY_OP { 63 } else { 255 };
    machine::is_pvh() && FRAMES.iter().any(|(moves, which)| *moves == number && which.contains(&command))
}

/// A number that is interesting as an argument.
fn argument(h: &mut Hostile) -> u64 {
    match h.random.below(12) {
        0 => 0,
        1 => u64::MAX,
        2 => h.random.below(64),
        3 => 0x7ff0,
        4 => 1 << h.random.below(64),
        5 => bad_pointer(h),
        6 => h.random.word(),
        7 => h.random.word() >> 32,
        _ => {
            let page = h.random.below(SCRATCH.len() as u64 - 1) as usize;
            SCRATCH[page].address() + (h.random.below(4096) & !7)
        }
    }
}

/// An address that Xen must not follow.
fn bad_pointer(h: &mut Hostile) -> u64 {
    match h.random.below(4) {
        0 => 0x10,
        1 => 0x8000_0000_0000_0000 + h.random.below(1 << 20),
        2 => 0xffff_82d0_4000_0000 + h.random.below(1 << 24),
        _ => 0xffff_8300_0000_0000 + h.random.below(1 << 30),
    }
}

/// One hypercall: mostly nonsense, never one that ends the domain by right.
fn call(h: &mut Hostile) -> (u64, [u64; 5]) {
    loop {
        let number = if h.random.one_in(30) { h.random.word() } else { h.random.below(64) };
        let mut a = [(); 5].map(|()| argument(h));
        let small = h.random.below(24);
        match number {
            number if POINTER_ONLY.contains(&number) => a[0] = bad_pointer(h),
            // Blocking, polling and shutting down are for others.
            nr::SCHED_OP => a[0] = [0, 4, 7, 8 + h.random.word() % 100][h.random.below(4) as usize],
            // The old calls of the same kind, callbacks, irets, console
            // output, vm assists (the m2p may vanish) are left out; the rest of
            // the debug registers and irets has tests of its own.
            6 | 16 | 19 | nr::SET_CALLBACKS | nr::IRET | nr::CONSOLE_IO | nr::VM_ASSIST => continue,
            nr::SET_DEBUGREG | nr::MULTICALL => continue,
            // Bringing the vCPU down would be the end, an NMI has no handler.
            nr::VCPU_OP => {
                a[0] = [3, 4, 7, 9, 12, 16, small + 16][h.random.below(7) as usize];
                a[1] = if h.random.one_in(2) { 0 } else { a[1] };
            }
            nr::UPDATE_VA_MAPPING => {
                a[0] = if h.random.one_in(2) { bad_pointer(h) } else { WINDOW.address() };
                a[1] = h.random.word() | 1;
            }
            22 => a[0] = bad_pointer(h),
            nr::MMUEXT_OP => a[0] = if h.random.one_in(2) { bad_pointer(h) } else { a[0] },
            // Ports above ours only: dom0 is to hear of us to the end. No reset.
            nr::EVENT_CHANNEL_OP => {
                a[0] = [2, 4, 5, 7, 8, 11, 12, 13, small + 14][h.random.below(9) as usize];
            }
            nr::MEMORY_OP if h.random.one_in(2) => a[0] = small,
            // Xen writes a status into each element: no more than fit.
            nr::GRANT_TABLE_OP => a = [small, a[1], h.random.below(64), 0, 0],
            35 | 36 | 38..=42 => a[0] = if h.random.one_in(2) { small } else { a[0] },
            _ => {}
        }
        if moves_frames(number, a[0]) {
            a[1] = bad_pointer(h);
        }
        return (number, a);
    }
}

fn scratch(h: &mut Hostile) {
    let page = &SCRATCH[h.random.below(SCRATCH.len() as u64) as usize];
    for _ in 0..32 {
        let value = argument(h);
        page.write(h.random.below(512) as usize, value);
    }
}

/// Makes calls one by one.
pub fn direct(h: &mut Hostile) {
    scratch(h);
    for _ in 0..10 {
        let (number, a) = call(h);
        // SAFETY: none in the usual sense: wrong on purpose. Good pointers lead
        // to scratch pages only, which Rust holds no references into.
        let result = unsafe { hypercall::any(number, a) };
        h.sum.mix(result as u64);
    }
    repair(h);
}

/// Makes calls in a multicall.
pub fn in_multicall(h: &mut Hostile) {
    scratch(h);
    let mut calls = [MulticallEntry::default(); 16];
    for entry in &mut calls {
        let (op, a) = call(h);
        *entry = MulticallEntry { op, result: 0, args: [a[0], a[1], a[2], a[3], a[4], 0] };
    }
    let count = h.random.below(calls.len() as u64 + 1);
    // SAFETY: as in `direct`; the entries outlive the call.
    let result = unsafe { hypercall::any(nr::MULTICALL, [calls.as_ptr() as u64, count, 0, 0, 0]) };
    h.sum.mix(result as u64);
    calls.iter().for_each(|entry| h.sum.mix(entry.result));
    repair(h);
}

/// Callbacks and kernel stacks at impossible addresses, then the real ones again.
pub fn callbacks(h: &mut Hostile) {
    event::mask_upcalls();
    let a = [bad_pointer(h), bad_pointer(h), bad_pointer(h), 0, 0];
    h.sum.mix(hypercall::plain(nr::SET_CALLBACKS, a) as u64);
    trap::init();
    let a = [h.random.word() & 0xffff, bad_pointer(h), 0, 0, 0];
    h.sum.mix(hypercall::plain(3, a) as u64);
    hypercall::plain(3, [u64::from(FLAT_KERNEL_SS), user::trap_stack(), 0, 0, 0]);
    event::unmask_upcalls();
}

/// Upcalls by vectors that have no entry, by lines that there are not; then by the real one again.
pub fn vectors(h: &mut Hostile) {
    event::mask_upcalls();
    for _ in 0..1 + h.random.below(4) {
        // Line, PCI line, vector, and what is none of these.
        let via = h.random.below(5) << 56 | h.random.word() & 0xffff;
        // struct xen_hvm_param: the domain, which parameter, its value.
        let mut parameter = [u64::from(DOMID_SELF) | u64::from(hvm::CALLBACK_IRQ) << 32, via];
        h.sum.mix(hypercall::op(nr::HVM_OP, hvm::SET_PARAM, &mut parameter) as u64);
        hypercall::notify(h.port);
    }
    trap::init();
    event::unmask_upcalls();
}

/// Puts back what later steps rely on.
fn repair(h: &mut Hostile) {
    WINDOW.remap((WINDOW.mfn() << 12) | PTE_RW);
    shared::vcpu().upcall_mask.store(0, core::sync::atomic::Ordering::SeqCst);
    if machine::is_pvh() {
        machine::pvh::repair();
    }
    if h.random.one_in(8) {
        hypercall::plain(nr::VCPU_OP, [crate::abi::vcpuop::STOP_PERIODIC_TIMER, 0, 0, 0, 0]);
    }
}
