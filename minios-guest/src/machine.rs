//! What differs between a PV and a PVH guest: one table of operations for each kind.
//!
//! A PV kernel asks Xen for what is privileged; a PVH kernel has a processor of its own and does it. Everything
//! above this module is the same code for both, but for the applications that are about one of them.
//!
//! | | PV | PVH |
//! |---|---|---|
//! | frames | the builder's list | their own numbers |
//! | the grant table | is mapped by its machine frames | takes the place of frames of its own |
//! | page tables | changed by hypercalls | written |
//! | upcalls are masked by | a byte of the shared info page | the interrupt flag |
//! | an upcall comes as | a callback | vector 0xf3, without an EOI (`HVM_PARAM_CALLBACK_IRQ`) |
//! | the kernel waits by | `SCHEDOP_block` | `sti; hlt` |
//! | exceptions, system calls and the returns from them | are exits | are none |

use crate::abi::{MmuUpdate, StartInfo, VcpuInfo};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

pub mod pv;
pub mod pvh;

/// Frames of the grant table that can be mapped.
pub const GRANT_FRAMES_MAX: usize = 8;

/// The kind of guest that this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Paravirtual.
    Pv,
    /// An HVM container without devices.
    Pvh,
}

/// A code and a stack selector.
#[derive(Clone, Copy)]
pub struct Selectors {
    /// %cs.
    pub cs: u16,
    /// %ss.
    pub ss: u16,
}

/// The operations. Those that return an `i64` return what a hypercall would: 0 or more, or an error below 0.
pub struct Operations {
    /// Of which kind of guest.
    pub kind: Kind,
    /// What the kernel runs with, as a frame has them.
    pub kernel: Selectors,
    /// What user mode runs with.
    pub user: Selectors,
    /// Returns through the frame of rip, cs, rflags, rsp and ss on the stack.
    pub frame_return: unsafe extern "C" fn(),
    /// Whether exceptions, system calls and the returns from them are exits.
    pub traps_exit: bool,
    /// Maps the shared info page at this address, which is one of the kernel's pages. Nobody watches the exit.
    pub share_info: fn(&StartInfo, u64) -> i64,
    /// Sets up exceptions, system calls and upcalls.
    pub set_traps: fn(),
    /// Takes exceptions away: the next one is the end.
    pub clear_traps: fn(),
    /// Masks upcalls; whether they were unmasked before.
    pub mask: fn(&VcpuInfo) -> bool,
    /// Unmasks upcalls and takes the one that is due.
    pub unmask: fn(&VcpuInfo),
    /// Unmasks upcalls without an exit: whether one that is due comes now depends on the kind.
    pub allow: fn(&VcpuInfo),
    /// Whether upcalls are masked.
    pub is_masked: fn(&VcpuInfo) -> bool,
    /// Gives up the CPU until an event arrives; unmasks upcalls in the same step.
    pub block: fn(),
    /// Changes the last-level entry that maps an address of the kernel.
    pub map: fn(u64, u64) -> i64,
    /// Writes page-table entries; how many.
    pub write_entries: fn(&[MmuUpdate]) -> i64,
    /// One extended MMU operation.
    pub extended: fn(u32, u64, u64) -> i64,
    /// Makes the lowest half terabyte that of the top table in this frame, for user mode, and this address the kernel's
    /// stack for entries from there.
    pub user_tables: fn(u64, u64) -> bool,
    /// Address of the last page fault.
    pub fault_address: fn(&VcpuInfo) -> u64,
    /// Writes a debug register.
    pub set_debug_register: fn(u64, u64) -> i64,
    /// Reads one.
    pub debug_register: fn(u64) -> i64,
    /// Sets the base of %fs.
    pub set_fs_base: fn(u64) -> i64,
    /// The TSC, where it can be by RDTSCP.
    pub tscp: fn() -> u64,
    /// Maps so many frames of the grant table at consecutive pages of the kernel, whose own memory is not used any more.
    pub map_grants: fn(u64, usize) -> i64,
    /// CPUID of leaf and subleaf, asked of Xen by force or as it is; and whether that was an exit.
    pub cpuid: fn(u32, u32, bool) -> ([u32; 4], bool),
}

static THIS: AtomicPtr<Operations> = AtomicPtr::new((&raw const pv::OPERATIONS).cast_mut());

/// The operations of this guest.
#[inline]
pub fn this() -> &'static Operations {
    // SAFETY: always one of the two tables, which nobody writes.
    unsafe { &*THIS.load(Relaxed) }
}

/// This is a PVH guest.
pub fn become_pvh() {
    THIS.store((&raw const pvh::OPERATIONS).cast_mut(), Relaxed);
}

/// Whether it is.
pub fn is_pvh() -> bool {
    this().kind == Kind::Pvh
}
