//! Page tables, multicalls and ballooning.

use super::cpu::probe;
use super::Torture;
use crate::abi::{mmuext, nr, MmuUpdate, MmuextOp, MulticallEntry, UVMF_INVLPG};
use crate::memory::{self, Page, PTE_RO, PTE_RW};
use crate::{exits, hypercall, start, trap};
use core::arch::asm;

/// Pages to map, unmap, make tables of, and give away.
static POOL: [Page; 16] = [const { Page::new() }; 16];
/// An address range to map them at.
static WINDOW: Page = Page::new();
/// A copy of the top page table.
static ROOT: Page = Page::new();

fn pick(t: &mut Torture) -> &'static Page {
    &POOL[t.random.below(POOL.len() as u64) as usize]
}

fn same(t: &mut Torture, expected: bool) {
    t.sum.mix(u64::from(expected));
    assert!(expected, "memory operation failed");
}

/// Maps a page a second time and writes through the new mapping.
pub fn remap(t: &mut Torture) {
    let page = pick(t);
    let ok = WINDOW.remap((page.mfn() << 12) | PTE_RW) == 0;
    same(t, ok);
    for _ in 0..8 {
        let (index, value) = (t.random.below(512) as usize, t.random.word());
        WINDOW.write(index, value);
        same(t, page.read(index) == value);
        t.sum.mix(value);
    }
    let ok = WINDOW.remap((WINDOW.mfn() << 12) | PTE_RW) == 0;
    same(t, ok);
}

/// Write-protects pages in one batch, writes to one (which faults), and undoes it.
pub fn batch(t: &mut Torture) {
    let count = 1 + t.random.below(POOL.len() as u64) as usize;
    let preserve = if t.random.one_in(2) { 2 } else { 0 };
    let mut updates = [MmuUpdate::default(); POOL.len()];
    for flags in [PTE_RO, PTE_RW] {
        for (update, page) in updates.iter_mut().zip(&POOL) {
            let Some(ptr) = memory::entry_address(page.address()) else {
                return same(t, false);
            };
            *update = MmuUpdate { ptr: ptr | preserve, val: (page.mfn() << 12) | flags };
        }
        let done = memory::mmu_update(&updates[..count]);
        same(t, done == count as i64);
        if flags == PTE_RO {
            let page = &POOL[t.random.below(count as u64) as usize];
            memory::mmuext(mmuext::INVLPG_LOCAL, page.address(), 0);
            let before = page.read(0);
            probe!("mov qword ptr [{at}], 1", at = page.address());
            trap::set_resume(0);
            exits::look();
            same(t, page.read(0) == before);
            t.sum.mix(trap::caught().0);
        }
    }
    memory::mmuext(mmuext::TLB_FLUSH_LOCAL, 0, 0);
}

/// Pins and unpins page tables: a small L1, or a copy of the top table that is
/// switched to for a moment.
pub fn tables(t: &mut Torture) {
    if t.random.one_in(3) {
        return switch_root(t);
    }
    let (table, target) = (&POOL[0], &POOL[1]);
    table.clear();
    let mut ok = memory::pin_l1(table);
    for _ in 0..t.random.below(10) {
        let index = t.random.below(512);
        let update = MmuUpdate { ptr: (table.mfn() << 12) + index * 8, val: (target.mfn() << 12) | PTE_RO };
        ok &= memory::mmu_update(&[update]) == 1;
        t.sum.mix(table.read(index as usize) & memory::PTE_FRAME);
    }
    ok &= memory::unpin(table);
    table.clear();
    same(t, ok);
}

/// Switches to a copy of the top table for a moment.
pub fn switch_root(t: &mut Torture) {
    let root = start::info().pt_base;
    for index in 0..512 {
        // Slots 256 to 271 are Xen's.
        if !(256..272).contains(&index) {
            // SAFETY: the builder maps the top table read-only.
            ROOT.write(index, unsafe { (root as *const u64).add(index).read_volatile() });
        }
    }
    let (old, new) = (memory::mfn_of_pfn((root - memory::VIRT_BASE) >> 12), ROOT.mfn());
    let mut ok = ROOT.remap((new << 12) | PTE_RO) == 0
        && memory::mmuext(mmuext::PIN_L4_TABLE, new, 0) == 0
        && memory::mmuext(mmuext::NEW_BASEPTR, new, 0) == 0;
    t.sum.mix(crate::clock::tsc());
    ok &= memory::mmuext(mmuext::NEW_BASEPTR, old, 0) == 0 && memory::unpin(&ROOT);
    ROOT.clear();
    same(t, ok);
}

/// Several hypercalls in one.
pub fn multicall(t: &mut Torture) {
    let mut calls = [MulticallEntry::default(); 12];
    let count = 1 + t.random.below(12) as usize;
    let page = pick(t);
    let clear = MmuextOp { cmd: mmuext::CLEAR_PAGE, pad: 0, arg1: page.mfn(), arg2: 0 };
    for call in &mut calls[..count] {
        *call = match t.random.below(5) {
            0 => MulticallEntry { op: nr::XEN_VERSION, ..MulticallEntry::default() },
            1 => MulticallEntry {
                op: nr::UPDATE_VA_MAPPING,
                args: [page.address(), (page.mfn() << 12) | PTE_RW, UVMF_INVLPG, 0, 0, 0],
                ..MulticallEntry::default()
            },
            2 => MulticallEntry { op: nr::SCHED_OP, ..MulticallEntry::default() },
            3 => MulticallEntry {
                op: nr::MMUEXT_OP,
                args: [&raw const clear as u64, 1, 0, 0x7ff0, 0, 0],
                ..MulticallEntry::default()
            },
            // No such hypercall: an error that stays in its entry.
            _ => MulticallEntry { op: 60, ..MulticallEntry::default() },
        };
    }
    // SAFETY: all entries and what they point to outlive the call.
    let result = unsafe { hypercall::call(nr::MULTICALL, [calls.as_ptr() as u64, count as u64, 0, 0, 0]) };
    t.sum.mix(result as u64);
    for call in &calls {
        t.sum.mix(call.result);
        t.sum.mix(call.args[0] ^ call.args[1]);
    }
}

/// Gives pages back to Xen and gets others.
pub fn balloon(t: &mut Torture) {
    let count = 1 + t.random.below(6) as usize;
    let pages = &POOL[POOL.len() - count..];
    let mut ok = true;
    for page in pages {
        ok &= memory::balloon_out(page);
    }
    let increase = t.random.one_in(3);
    for page in pages.iter().rev() {
        ok &= memory::balloon_in(page, increase);
        t.sum.mix(page.mfn());
    }
    same(t, ok);
}
