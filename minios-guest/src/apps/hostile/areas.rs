//! Shared areas at odd places, event storms, odd masks.

use super::Hostile;
use crate::abi::{evtchnop, nr, vcpuop};
use crate::memory::{self, Page};
use crate::{event, exits, hypercall, machine, shared, start};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Somewhere that Xen may write.
static AREA: Page = Page::new();

/// An address that is odd in one of several ways.
fn address(h: &mut Hostile) -> u64 {
    match h.random.below(9) {
        0 => 0,
        1 => AREA.address() + h.random.below(4096),
        // Across the end of the page.
        2 => AREA.address() + 4096 - h.random.below(48),
        3 => 0xffff_8000_0000_0000 + h.random.below(1 << 30),
        4 => 0xffff_82d0_4000_0000,
        5 => 0x8000_0000_0000_0000,
        // A page table that Xen does not let itself write to; a PVH guest's is none to Xen.
        6 if !machine::is_pvh() => start::info().pt_base + h.random.below(4096),
        // The rings and shared info themselves, past their live parts.
        7 => core::ptr::from_ref(shared::console()) as u64 + 3200 + h.random.below(800),
        _ => h.random.word(),
    }
}

/// Registers the second time area or the runstate area there.
pub fn time_and_runstate(h: &mut Hostile) {
    let command = match h.random.below(4) {
        0 => vcpuop::REGISTER_TIME_AREA,
        1 => vcpuop::REGISTER_RUNSTATE_AREA,
        // By physical address.
        2 => 14,
        _ => 15,
    };
    let mut argument = if command >= 14 && h.random.one_in(2) {
        AREA.mfn() << 12 | h.random.below(4096)
    } else {
        address(h)
    };
    let result = hypercall::vcpu_op(command, &mut argument);
    h.sum.mix(result as u64);
    hypercall::sched_yield();
}

/// Registers vcpu_info at a place that cannot work: across a page's end, in a
/// page table, in a frame that is not ours.
pub fn vcpu_info(h: &mut Hostile) {
    let (mfn, offset) = match h.random.below(3) {
        0 => (AREA.mfn(), 4096 - 1 - h.random.below(63)),
        1 if !machine::is_pvh() => {
            let root = (start::info().pt_base - memory::VIRT_BASE) >> 12;
            (memory::mfn_of_pfn(root), 64 * h.random.below(64))
        }
        _ => (h.random.word() >> h.random.below(40), h.random.below(5000)),
    };
    let mut argument = [mfn, offset];
    h.sum.mix(hypercall::vcpu_op(vcpuop::REGISTER_VCPU_INFO, &mut argument) as u64);
}

/// Puts vcpu_info into the console page, for good. Upcalls are masked from now on.
pub fn vcpu_info_into_console(h: &mut Hostile) {
    event::mask_upcalls();
    let mut argument = [start::info().console_mfn, 3200];
    h.sum.mix(hypercall::vcpu_op(vcpuop::REGISTER_VCPU_INFO, &mut argument) as u64);
    for _ in 0..100 {
        hypercall::notify(h.port);
        hypercall::sched_yield();
    }
}

/// A burst of events, to ourselves, to dom0, and to ports that do not exist.
pub fn storm(h: &mut Hostile) {
    for _ in 0..h.random.below(200) {
        let port = match h.random.below(6) {
            0 => crate::console::port(),
            1 => h.random.below(6000) as u32,
            _ => h.port,
        };
        hypercall::notify(port);
    }
    if h.random.one_in(4) {
        let bound: [Option<u32>; 100] = [(); 100].map(|()| event::bind_ipi());
        bound.iter().flatten().for_each(|port| {
            hypercall::notify(*port);
            event::close(*port);
        });
    }
    h.sum.mix(event::latched(h.port));
}

/// Upcalls within upcalls.
pub fn nested_upcalls(h: &mut Hostile) {
    exits::NEST.store(1 + h.random.below(40), Relaxed);
    hypercall::notify(h.port);
    event::unmask_upcalls();
    h.sum.mix(exits::NEST.swap(0, Relaxed));
}

/// Random pending, mask and selector bits; sane ones afterwards.
pub fn mask_bits(h: &mut Hostile) {
    let info = shared::info();
    let saved: [u64; 4] = core::array::from_fn(|index| info.mask[index].load(Relaxed));
    event::mask_upcalls();
    for _ in 0..h.random.below(10) {
        let index = h.random.below(64) as usize;
        match h.random.below(4) {
            0 => info.pending[index].store(h.random.word(), SeqCst),
            1 => info.mask[index].store(h.random.word(), SeqCst),
            2 => info.vcpu[0].pending_sel.store(h.random.word(), SeqCst),
            _ => info.vcpu[0].time.version.store(h.random.word() as u32, SeqCst),
        }
    }
    let mut port = h.random.below(5000) as u32;
    h.sum.mix(hypercall::op(nr::EVENT_CHANNEL_OP, evtchnop::UNMASK, &mut port) as u64);
    info.pending.iter().for_each(|word| word.store(0, SeqCst));
    for (word, saved) in info.mask.iter().zip(saved) {
        word.store(saved, SeqCst);
    }
    // A value that is neither 0 nor 1 masks as well.
    info.vcpu[0].upcall_mask.store(h.random.word() as u8, SeqCst);
    hypercall::nothing();
    event::unmask_upcalls();
}
