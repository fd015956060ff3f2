//! Frames, page-table entries and the few pages that this kernel plays with.
//!
//! The domain builder's page tables, or a PVH guest's own, map the kernel and everything that was loaded at
//! [`VIRT_BASE`] plus the pseudo-physical address. No further memory is used:
//! whatever needs a page takes one of the kernel's own zeroed pages.

use crate::abi::{
    memop, mmuext, nr, MemoryExchange, MemoryReservation, MmuUpdate, DOMID_SELF, MACHINE_TO_PHYS,
};
pub use crate::boot::VIRT_BASE;
use crate::{hypercall, machine, start};
use core::cell::UnsafeCell;

/// Entry flags: present, writable, user (all of a PV kernel is), accessed, dirty.
pub const PTE_RW: u64 = 0x67;
/// The same, read-only.
pub const PTE_RO: u64 = 0x65;
/// The frame number's bits of an entry.
pub const PTE_FRAME: u64 = 0x000f_ffff_ffff_f000;

/// A page of the kernel's own, zero at start.
#[repr(C, align(4096))]
pub struct Page(UnsafeCell<[u8; 4096]>);

// SAFETY: the content is only reached through `words` (volatile accesses) and
// through Xen; there is one vCPU and upcalls do not touch these pages.
unsafe impl Sync for Page {}

impl Page {
    /// A zero page. Only ever a static, so there is no `Default`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; 4096]))
    }

    /// Its virtual address.
    pub fn address(&self) -> u64 {
        self.0.get() as u64
    }

    /// Its pseudo-physical frame number.
    pub fn pfn(&self) -> u64 {
        (self.address() - VIRT_BASE) >> 12
    }

    /// Its machine frame number.
    pub fn mfn(&self) -> u64 {
        mfn_of_pfn(self.pfn())
    }

    /// Reads the 8-byte word `index` (below 512).
    pub fn read(&self, index: usize) -> u64 {
        // SAFETY: within the page; the page is mapped when this is called.
        unsafe { (self.address() as *const u64).add(index & 511).read_volatile() }
    }

    /// Writes the 8-byte word `index` (below 512).
    pub fn write(&self, index: usize, value: u64) {
        // SAFETY: within the page; the page is mapped writable when this is called.
        unsafe { (self.address() as *mut u64).add(index & 511).write_volatile(value) }
    }

    /// Copies bytes from the page, from `offset` on.
    pub fn copy_out(&self, offset: usize, to: &mut [u8]) {
        assert!(offset + to.len() <= 4096, "bytes outside of the page");
        let from = self.address() as *const u8;
        for (at, byte) in (offset..).zip(to) {
            // SAFETY: within the page; the page is mapped when this is called.
            *byte = unsafe { from.add(at).read_volatile() };
        }
    }

    /// Copies bytes into the page, from `offset` on.
    pub fn copy_in(&self, offset: usize, from: &[u8]) {
        assert!(offset + from.len() <= 4096, "bytes outside of the page");
        let to = self.address() as *mut u8;
        for (at, byte) in (offset..).zip(from) {
            // SAFETY: within the page; the page is mapped writable when this is called.
            unsafe { to.add(at).write_volatile(*byte) };
        }
    }

    /// Sets the whole page to zero.
    pub fn clear(&self) {
        (0..512).for_each(|index| self.write(index, 0));
    }

    /// Changes the mapping of the page's own address.
    pub fn remap(&self, entry: u64) -> i64 {
        update_va(self.address(), entry)
    }
}

/// Whether frames are known by this domain's own numbers; else Xen has a table.
fn are_frames_own() -> bool {
    start::info().mfn_list == 0
}

fn frame_list() -> *mut u64 {
    start::info().mfn_list as *mut u64
}

/// Machine frame of one of our frames.
pub fn mfn_of_pfn(pfn: u64) -> u64 {
    if pfn >= start::info().nr_pages {
        return u64::MAX;
    }
    if are_frames_own() {
        return pfn;
    }
    // SAFETY: the builder's list has `nr_pages` entries.
    unsafe { frame_list().add(pfn as usize).read_volatile() }
}

/// Notes that `pfn` is now backed by `mfn`.
pub fn set_mfn_of_pfn(pfn: u64, mfn: u64) {
    if pfn < start::info().nr_pages && !are_frames_own() {
        // SAFETY: as in `mfn_of_pfn`; the list is ordinary memory of ours.
        unsafe { frame_list().add(pfn as usize).write_volatile(mfn) }
    }
}

/// Our frame number of a machine frame of ours, from Xen's table.
pub fn pfn_of_mfn(mfn: u64) -> u64 {
    if are_frames_own() {
        return mfn;
    }
    // SAFETY: Xen maps its table there, readable, for every existing frame.
    unsafe { ((MACHINE_TO_PHYS + mfn * 8) as *const u64).read_volatile() }
}

/// Address of a machine frame that the domain builder mapped.
pub fn virt_of_mfn(mfn: u64) -> u64 {
    VIRT_BASE + (pfn_of_mfn(mfn) << 12)
}

/// Machine address of the last-level entry that maps `address`, if there is one.
pub fn entry_address(address: u64) -> Option<u64> {
    let mut table = start::info().pt_base;
    for level in (0..4).rev() {
        let index = (address >> (12 + 9 * level)) & 511;
        if level == 0 {
            return Some((mfn_of_pfn((table - VIRT_BASE) >> 12) << 12) + index * 8);
        }
        // SAFETY: the builder maps all of its page tables read-only.
        let entry = unsafe { (table as *const u64).add(index as usize).read_volatile() };
        if entry & 1 == 0 {
            return None;
        }
        table = virt_of_mfn((entry & PTE_FRAME) >> 12);
    }
    None
}

/// The frame that is mapped at an address of the kernel's, if there is one.
pub fn mapped_frame(address: u64) -> Option<u64> {
    let at = entry_address(address)?;
    // SAFETY: an entry of one of the tables that the kernel runs on, all of which are mapped.
    let entry = unsafe { ((virt_of_mfn(at >> 12) + (at & 0xfff)) as *const u64).read_volatile() };
    (entry & 1 != 0).then_some((entry & PTE_FRAME) >> 12)
}

/// Sets the entry of `address`, which must belong to a [`Page`].
pub fn update_va(address: u64, entry: u64) -> i64 {
    (machine::this().map)(address, entry)
}

/// Writes page-table entries in one batch.
pub fn mmu_update(updates: &[MmuUpdate]) -> i64 {
    (machine::this().write_entries)(updates)
}

/// One extended MMU operation.
pub fn mmuext(cmd: u32, arg1: u64, arg2: u64) -> i64 {
    (machine::this().extended)(cmd, arg1, arg2)
}

fn reservation(command: u64, frame: &mut u64) -> i64 {
    let mut argument = MemoryReservation {
        extent_start: frame as *mut u64 as u64,
        nr_extents: 1,
        domid: DOMID_SELF,
        ..MemoryReservation::default()
    };
    hypercall::op(nr::MEMORY_OP, command, &mut argument)
}

/// Gives the page's frame back to Xen; its address is unmapped.
pub fn balloon_out(page: &Page) -> bool {
    let mut mfn = page.mfn();
    if page.remap(0) != 0 || reservation(memop::DECREASE_RESERVATION, &mut mfn) != 1 {
        return false;
    }
    set_mfn_of_pfn(page.pfn(), u64::MAX);
    true
}

/// Gets a frame for a page that was ballooned out; it comes back zeroed.
///
/// `increase`: ask for any frame and enter it into the machine-to-physical
/// table ourselves, instead of letting Xen do both (which it always does where that table is none of ours).
pub fn balloon_in(page: &Page, increase: bool) -> bool {
    let mut frame = page.pfn();
    if increase && !are_frames_own() {
        if reservation(memop::INCREASE_RESERVATION, &mut frame) != 1 {
            return false;
        }
        let machphys = MmuUpdate { ptr: (frame << 12) | 1, val: page.pfn() };
        if mmu_update(&[machphys]) != 1 {
            return false;
        }
    } else if reservation(memop::POPULATE_PHYSMAP, &mut frame) != 1 {
        return false;
    }
    set_mfn_of_pfn(page.pfn(), frame);
    if page.remap((frame << 12) | PTE_RW) != 0 {
        return false;
    }
    page.clear();
    true
}

/// Gives the page's frame to Xen for another one (`XENMEM_exchange`); it comes back zeroed.
pub fn exchange(page: &Page) -> i64 {
    let (old, mut new) = (page.mfn(), page.pfn());
    let one = |list: u64| MemoryReservation {
        extent_start: list,
        nr_extents: 1,
        domid: DOMID_SELF,
        ..MemoryReservation::default()
    };
    let mut argument =
        MemoryExchange { given: one(&raw const old as u64), taken: one(&raw mut new as u64), done: 0 };
    page.remap(0);
    let result = hypercall::op(nr::MEMORY_OP, memop::EXCHANGE, &mut argument);
    if result == 0 {
        set_mfn_of_pfn(page.pfn(), new);
    }
    page.remap((page.mfn() << 12) | PTE_RW);
    page.clear();
    result
}

/// Makes a zero page an L1 table (read-only and pinned), or back.
pub fn pin_l1(page: &Page) -> bool {
    let mfn = page.mfn();
    page.remap((mfn << 12) | PTE_RO) == 0 && mmuext(mmuext::PIN_L1_TABLE, mfn, 0) == 0
}

/// Undoes [`pin_l1`] or any other pin.
pub fn unpin(page: &Page) -> bool {
    let mfn = page.mfn();
    mmuext(mmuext::UNPIN_TABLE, mfn, 0) == 0 && page.remap((mfn << 12) | PTE_RW) == 0
}
