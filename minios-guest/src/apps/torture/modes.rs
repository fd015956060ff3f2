//! Hypercalls of a PVH guest from 32-bit code, and long ones that Xen makes in several pieces.

use super::Torture;
use crate::abi::{evtchnop, memop, nr, vcpuop, MemoryReservation, DOMID_SELF};
use crate::clock::{self, MILLISECOND};
use crate::machine::pvh;
use crate::memory::{Page, PTE_RW};
use crate::{event, hypercall};

static BUFFER: Page = Page::new();
/// Entries of a multicall, 64 a page.
static ENTRIES: [Page; 8] = [const { Page::new() }; 8];
static ANSWER: Page = Page::new();
/// Pages to give away and take back in one call, and the list of their frames.
static POOL: [Page; 192] = [const { Page::new() }; 192];
static LIST: Page = Page::new();
/// Descriptions of copies, one behind the other.
static COPIES: [Page; 10] = [const { Page::new() }; 10];

/// A few calls from compatibility mode. Structures have the layout of 32-bit guests.
pub fn calls_32(t: &mut Torture) {
    let at = (BUFFER.pfn() << 12) as u32;
    for _ in 0..1 + t.random.below(4) {
        BUFFER.clear();
        let result = match t.random.below(6) {
            0 => pvh::call_32(nr::XEN_VERSION as u32, [0, 0, 0]),
            1 => pvh::call_32(nr::XEN_VERSION as u32, [1, at, 0]),
            2 => pvh::call_32(nr::VCPU_OP as u32, [vcpuop::GET_RUNSTATE_INFO as u32, 0, at]),
            3 => {
                BUFFER.write(0, u64::from(t.ports.own()));
                pvh::call_32(nr::EVENT_CHANNEL_OP as u32, [evtchnop::SEND as u32, at, 0])
            }
            4 => {
                // Number and result, six arguments, in 32 bits each: a version, a yield, what there is not.
                for (entry, number) in [nr::XEN_VERSION, nr::SCHED_OP, 60].into_iter().enumerate() {
                    BUFFER.write(entry * 4, number);
                }
                pvh::call_32(nr::MULTICALL as u32, [at, 3, 0])
            }
            _ => pvh::call_32(nr::SCHED_OP as u32, [0, 0, 0]),
        };
        t.sum.mix(result as u64);
        (0..16).for_each(|word| t.sum.mix(BUFFER.read(word)));
    }
}

/// A multicall of hundreds, while the timer ticks: Xen goes back to the guest between two of them.
pub fn long_multicall(t: &mut Torture) {
    const WORDS: usize = 8;
    let count = 64 + t.random.below(ENTRIES.len() as u64 * 64 - 64) as usize;
    let masked = t.random.one_in(2);
    if masked {
        event::mask_upcalls();
    }
    let port = t.ports.own();
    BUFFER.write(0, u64::from(port));
    for entry in 0..count {
        let words = match t.random.below(6) {
            0 => [nr::EVENT_CHANNEL_OP, 0, evtchnop::SEND, BUFFER.address(), 0, 0, 0, 0],
            1 => [nr::VCPU_OP, 0, vcpuop::GET_RUNSTATE_INFO, 0, ANSWER.address(), 0, 0, 0],
            2 => [60, 0, 0, 0, 0, 0, 0, 0],
            3 => [nr::SCHED_OP, 0, 0, 0, 0, 0, 0, 0],
            _ => [nr::XEN_VERSION, 0, 0, 0, 0, 0, 0, 0],
        };
        for (word, value) in words.into_iter().enumerate() {
            ENTRIES[entry / 64].write(entry % 64 * WORDS + word, value);
        }
    }
    let mut period = MILLISECOND;
    hypercall::vcpu_op(vcpuop::SET_PERIODIC_TIMER, &mut period);
    // SAFETY: Xen reads the entries, and writes results into them and the answers into a page that is for that.
    let result = unsafe { hypercall::call(nr::MULTICALL, [ENTRIES[0].address(), count as u64, 0, 0, 0]) };
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_PERIODIC_TIMER, 0, 0, 0, 0]);
    assert!(result == 0, "multicall: {result}");
    for entry in 0..count {
        t.sum.mix(ENTRIES[entry / 64].read(entry % 64 * WORDS + 1));
    }
    (0..6).for_each(|word| t.sum.mix(ANSWER.read(word)));
    t.sum.mix(event::latched(port));
    if masked {
        event::unmask_upcalls();
    }
    t.sum.mix(event::latched(port));
}

/// Gives many pages to Xen in one call, and takes them back in another.
pub fn long_memory_op(t: &mut Torture) {
    let count = 1 + t.random.below(POOL.len() as u64) as usize;
    let pages = &POOL[..count];
    for (index, page) in pages.iter().enumerate() {
        page.remap(0);
        LIST.write(index, page.pfn());
    }
    let mut period = MILLISECOND;
    hypercall::vcpu_op(vcpuop::SET_PERIODIC_TIMER, &mut period);
    for command in [memop::DECREASE_RESERVATION, memop::POPULATE_PHYSMAP] {
        let mut argument = MemoryReservation {
            extent_start: LIST.address(),
            nr_extents: count as u64,
            domid: DOMID_SELF,
            ..MemoryReservation::default()
        };
        let result = hypercall::op(nr::MEMORY_OP, command, &mut argument);
        assert!(result == count as i64, "memory_op {command}: {result} of {count}");
        t.sum.mix(clock::coarse());
    }
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_PERIODIC_TIMER, 0, 0, 0, 0]);
    for (index, page) in pages.iter().enumerate() {
        page.remap(page.pfn() << 12 | PTE_RW);
        t.sum.mix(page.read(0));
        page.clear();
        page.write(0, index as u64);
    }
}

/// A call that copies hundreds of pieces from one page to another.
pub fn long_copy(t: &mut Torture) {
    const COPY: u64 = 5;
    // struct gnttab_copy: frame, domain and offset of each side, length, flags and status.
    const WORDS: usize = 5;
    const BYTES: u64 = 8;
    let count = 1 + t.random.below((COPIES.len() * 512 / WORDS) as u64);
    let own = u64::from(DOMID_SELF);
    ANSWER.clear();
    for copy in 0..count {
        let offset = copy % 512 * BYTES;
        let words = [BUFFER.pfn(), own | offset << 16, ANSWER.pfn(), own | (4088 - offset) << 16, BYTES];
        for (word, value) in words.into_iter().enumerate() {
            let at = copy as usize * WORDS + word;
            COPIES[at / 512].write(at % 512, value);
        }
    }
    (0..512).for_each(|word| BUFFER.write(word, t.random.word()));
    let masked = t.random.one_in(2);
    if masked {
        event::mask_upcalls();
    }
    let mut period = MILLISECOND;
    hypercall::vcpu_op(vcpuop::SET_PERIODIC_TIMER, &mut period);
    // SAFETY: Xen reads the structures, writes into them how each ended, and copies into a page that is for that.
    let result = unsafe { hypercall::call(nr::GRANT_TABLE_OP, [COPY, COPIES[0].address(), count, 0, 0]) };
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_PERIODIC_TIMER, 0, 0, 0, 0]);
    assert!(result == 0, "gnttab_copy: {result}");
    for copy in 0..(count as usize).min(512) {
        assert!(ANSWER.read(511 - copy) == BUFFER.read(copy), "copy {copy} of {count}");
    }
    t.sum.mix(event::latched(clock::timer_port()));
    if masked {
        event::unmask_upcalls();
    }
}
