//! A PVH guest's own page tables: mapped, unmapped, remapped, flushed.

use super::cpu::probe;
use super::Torture;
use crate::machine::pvh;
use crate::memory::{Page, PTE_RO, PTE_RW};
use crate::{exits, trap};
use core::arch::asm;

/// Three tables, one below the other, for a region that nothing else uses.
static TABLES: [Page; 3] = [const { Page::new() }; 3];
static POOL: [Page; 8] = [const { Page::new() }; 8];
/// Of the top table: the region begins at 512 GB.
const SLOT: usize = 1;
const REGION: u64 = (SLOT as u64) << 39;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;

/// Links the tables. Again and again: what is there already stays as it is.
fn prepare() {
    TABLES[0].write(0, TABLES[1].pfn() << 12 | PTE_RW);
    TABLES[1].write(0, TABLES[2].pfn() << 12 | PTE_RW);
    pvh::set_top_entry(SLOT, TABLES[0].pfn() << 12 | PTE_RW);
}

fn invalidate(address: u64) {
    // SAFETY: drops what the processor remembers of an address.
    unsafe { asm!("invlpg [{}]", in(reg) address) };
}

/// Tries to write to an address; what the handler saw.
fn write_fails(t: &mut Torture, address: u64) {
    probe!("mov qword ptr [{at}], 1", at = address);
    fault(t);
}

fn fault(t: &mut Torture) {
    trap::set_resume(0);
    exits::look();
    let (count, last) = trap::caught();
    t.sum.mix(count);
    last.iter().for_each(|value| t.sum.mix(*value));
}

/// Maps pages anywhere in the region, writes through the mappings, moves and protects them, takes them away.
pub fn own(t: &mut Torture) {
    prepare();
    for _ in 0..1 + t.random.below(6) {
        let index = t.random.below(512);
        let address = REGION + (index << 12);
        let page = &POOL[t.random.below(POOL.len() as u64) as usize];
        let other = &POOL[t.random.below(POOL.len() as u64) as usize];
        let at = |page: &Page, flags| TABLES[2].write(index as usize, page.pfn() << 12 | flags);
        at(page, PTE_RW);
        invalidate(address);
        let value = t.random.word();
        // SAFETY: the page is mapped there.
        unsafe { (address as *mut u64).write_volatile(value) };
        assert!(page.read(0) == value, "another page is mapped");
        match t.random.below(4) {
            0 => {
                at(other, PTE_RW);
                invalidate(address);
                // SAFETY: another page is mapped there now.
                t.sum.mix(unsafe { (address as *const u64).read_volatile() });
            }
            1 => {
                at(page, PTE_RO);
                invalidate(address);
                write_fails(t, address);
            }
            // Not present, and what is left of the entry is of no use.
            _ => {
                TABLES[2].write(index as usize, t.random.word() & !1);
                invalidate(address);
                write_fails(t, address);
            }
        }
        TABLES[2].write(index as usize, 0);
        invalidate(address);
        t.sum.mix(value);
    }
}

/// A large page over the start of memory, and a global one that outlives a change of tables.
pub fn switch(t: &mut Torture) {
    prepare();
    let page = &POOL[0];
    let address = page.address() - crate::memory::VIRT_BASE;
    TABLES[1].write(1, (address & !0x1f_ffff) | PTE_RW | LARGE);
    TABLES[2].write(7, page.pfn() << 12 | PTE_RW | GLOBAL);
    // Present all the while: twice the same page, by a large and by a small entry.
    for _ in 0..1 + t.random.below(3) {
        pvh::set_top_entry(SLOT, TABLES[0].pfn() << 12 | PTE_RW);
        let value = t.random.word();
        page.write(3, value);
        let [large, small] = [REGION + 0x20_0000 + (address & 0x1f_f000), REGION + (7 << 12)];
        for at in [large, small] {
            // SAFETY: the page is mapped at both.
            assert!(unsafe { (at as *const u64).add(3).read_volatile() } == value, "another page is mapped");
        }
        t.sum.mix(value);
    }
    TABLES[1].write(1, 0);
    TABLES[2].write(7, 0);
    pvh::set_top_entry(SLOT, 0);
    invalidate(REGION + (7 << 12));
    write_fails(t, REGION + (7 << 12));
}

/// Global pages on and off, which flushes everything.
pub fn flush_all(t: &mut Torture) {
    const GLOBAL_PAGES: u64 = 1 << 7;
    let cr4: u64;
    // SAFETY: one bit of the register is changed and changed back.
    unsafe {
        asm!("mov {}, cr4", out(reg) cr4);
        asm!("mov cr4, {}", in(reg) cr4 | GLOBAL_PAGES);
        exits::passed();
        asm!("mov cr4, {}", in(reg) cr4 & !GLOBAL_PAGES);
        exits::passed();
    }
    t.sum.mix(cr4);
}

/// Which entries the processor marked as accessed and dirty.
pub fn marks(t: &mut Torture) {
    const ENTRIES: usize = 8;
    prepare();
    for (index, page) in POOL.iter().enumerate().take(ENTRIES) {
        TABLES[2].write(index, page.pfn() << 12 | PTE_RW & !(ACCESSED | DIRTY));
        invalidate(REGION + (index as u64) * 4096);
    }
    for _ in 0..t.random.below(6) {
        let at = (REGION + t.random.below(ENTRIES as u64) * 4096) as *mut u64;
        // SAFETY: the pages are mapped there.
        unsafe {
            if t.random.one_in(2) {
                at.write_volatile(t.random.word());
            } else {
                t.sum.mix(at.read_volatile());
            }
        }
    }
    for index in 0..ENTRIES {
        t.sum.mix(TABLES[2].read(index) & (ACCESSED | DIRTY));
        TABLES[2].write(index, 0);
        invalidate(REGION + (index as u64) * 4096);
    }
}
