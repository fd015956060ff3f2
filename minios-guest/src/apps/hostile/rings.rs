//! Spoilt console and xenstore rings.

use super::Hostile;
use crate::abi::{memop, mmuext, nr, MemoryReservation, DOMID_SELF};
use crate::memory::{self, PTE_RO, PTE_RW};
use crate::{console, hypercall, shared, start, xenstore};
use core::fmt::{self, Write};
use core::sync::atomic::Ordering::Relaxed;

/// An index that is wrong in one of several ways.
fn bogus(h: &mut Hostile, sane: u32) -> u32 {
    h.random.bogus_index(sane, 5000, 2049)
}

/// Bogus console indices, a notification, and the old ones again.
pub fn console_indices(h: &mut Hostile) {
    let ring = shared::console();
    let indices = [&ring.in_cons, &ring.in_prod, &ring.out_cons, &ring.out_prod];
    let saved = indices.map(|index| index.load(Relaxed));
    for (index, sane) in indices.iter().zip(saved) {
        if h.random.one_in(2) {
            index.store(bogus(h, sane), Relaxed);
        }
    }
    for _ in 0..h.random.below(20) {
        ring.output[h.random.below(2048) as usize].store(b'#', Relaxed);
    }
    hypercall::notify(console::port());
    if h.random.one_in(2) {
        hypercall::sched_yield();
    }
    for (index, sane) in indices.iter().zip(saved) {
        index.store(sane, Relaxed);
    }
}

/// Bogus xenstore indices and messages; nothing is put back.
pub fn store_indices(h: &mut Hostile) {
    let ring = shared::store();
    for index in [&ring.req_cons, &ring.req_prod, &ring.rsp_cons, &ring.rsp_prod] {
        if h.random.one_in(2) {
            let sane = index.load(Relaxed);
            index.store(bogus(h, sane), Relaxed);
        }
    }
    for byte in &ring.request[..h.random.below(1024) as usize] {
        byte.store(h.random.word() as u8, Relaxed);
    }
    hypercall::notify(xenstore::port());
    hypercall::sched_yield();
}

/// Tries to make a page table of the console page, which dom0 has mapped writable.
pub fn console_as_table(h: &mut Hostile) {
    let mfn = start::info().console_mfn;
    let address = core::ptr::from_ref(shared::console()) as u64;
    h.sum.mix(memory::update_va(address, (mfn << 12) | PTE_RO) as u64);
    let level = h.random.below(4) as u32;
    let pinned = memory::mmuext(mmuext::PIN_L1_TABLE + level, mfn, 0);
    h.sum.mix(pinned as u64);
    // Whoever copies into the ring now writes to a page table, if it lets itself.
    hypercall::notify(console::port());
    hypercall::sched_yield();
    if pinned == 0 {
        memory::mmuext(mmuext::UNPIN_TABLE, mfn, 0);
    }
    h.sum.mix(memory::update_va(address, (mfn << 12) | PTE_RW) as u64);
}

/// Unmaps both ring pages and gives their frames back to Xen.
pub fn give_console_away() {
    let addresses =
        [core::ptr::from_ref(shared::console()) as u64, core::ptr::from_ref(shared::store()) as u64];
    for (mfn, address) in [start::info().console_mfn, start::info().store_mfn].into_iter().zip(addresses) {
        memory::update_va(address, 0);
        let mut frame = mfn;
        let mut argument = MemoryReservation {
            extent_start: &raw mut frame as u64,
            nr_extents: 1,
            domid: DOMID_SELF,
            ..MemoryReservation::default()
        };
        hypercall::op(nr::MEMORY_OP, memop::DECREASE_RESERVATION, &mut argument);
    }
}

/// Prints without waiting: what does not fit is lost.
pub fn report(text: fmt::Arguments<'_>) {
    struct NoWait;
    impl Write for NoWait {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let ring = shared::console();
            for byte in text.bytes() {
                let prod = ring.out_prod.load(Relaxed);
                if prod.wrapping_sub(ring.out_cons.load(Relaxed)) < 2048 {
                    ring.output[prod as usize % 2048].store(byte, Relaxed);
                    ring.out_prod.store(prod.wrapping_add(1), Relaxed);
                }
            }
            Ok(())
        }
    }
    // The writer never fails.
    let _ = NoWait.write_fmt(text);
    hypercall::notify(console::port());
}
