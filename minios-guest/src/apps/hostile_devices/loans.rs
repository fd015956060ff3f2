//! Pages lent that should not be, or changed while they are.

use super::connection::{pause, Segment, DATA};
use super::Hostile;
use crate::abi::gtf;
use crate::grants::{self, Access};
use crate::memory::{self, PTE_RW};
use crate::{hypercall, machine, shared, start};

/// Read from the disk: the backend writes to what is lent.
const READ: u8 = 0;
const WRITE: u8 = 1;

/// One request for these pages.
fn transfer(h: &mut Hostile, operation: u8, segments: &[Segment]) {
    let (id, sector) = (h.random.word(), h.random.below(4_096));
    h.disk.request(operation, id, sector, segments);
}

fn push(h: &mut Hostile) {
    let result = h.disk.push();
    h.sum.mix(result);
}

/// Whether the kernel would not live on without it.
fn is_own(frame: u64) -> bool {
    (0..start::info().nr_pages).any(|pfn| memory::mfn_of_pfn(pfn) == frame)
}

/// Frames of others, of nobody, that do not exist; references that do not, either.
pub fn foreign(h: &mut Hostile) {
    for _ in 0..1 + h.random.below(6) {
        let segments: [Segment; 4] = core::array::from_fn(|_| {
            let frame = match h.random.below(5) {
                0 => h.random.below(1 << 19),
                1 => u64::from(u32::MAX),
                2 => u64::from(u32::MAX) - h.random.below(1 << 12),
                3 => start::info().nr_pages + h.random.below(1 << 12),
                _ => h.random.word() & u64::from(u32::MAX),
            };
            let grant = match h.random.below(4) {
                0 => h.random.word() as u32,
                1 => 2 + h.random.below(6) as u32,
                _ if is_own(frame) => 2,
                _ => h.disk.lend(frame, Access::Write),
            };
            (grant, 0, 7)
        });
        let operation = if h.random.one_in(2) { READ } else { WRITE };
        transfer(h, operation, &segments);
        push(h);
    }
    pause(h);
}

/// Revoked, made read-only, another's or another frame's, at once or a little later.
pub fn changed_in_flight(h: &mut Hostile) {
    for _ in 0..1 + h.random.below(6) {
        let segments: [Segment; 6] = core::array::from_fn(|_| {
            let page = DATA[h.random.below(DATA.len() as u64) as usize].mfn();
            (h.disk.lend(page, Access::Write), 0, 7)
        });
        transfer(h, READ, &segments);
        if h.random.one_in(2) {
            push(h);
        }
        if h.random.one_in(3) {
            hypercall::sched_yield();
        }
        let domain = h.disk.device.domain;
        for (grant, ..) in segments {
            let frame = DATA[h.random.below(DATA.len() as u64) as usize].mfn() as u32;
            match h.random.below(6) {
                0 => grants::set(grant, 0, 0, 0),
                1 => grants::set(grant, gtf::PERMIT_ACCESS | gtf::READONLY, domain, frame),
                2 => grants::set(grant, gtf::PERMIT_ACCESS, domain ^ 1, frame),
                3 => grants::set(grant, gtf::PERMIT_ACCESS | gtf::READING | gtf::WRITING, domain, frame),
                4 => {
                    grants::set(grant, h.random.word() as u16, h.random.word() as u16, h.random.word() as u32)
                }
                _ => {}
            }
        }
        push(h);
    }
    pause(h);
}

/// One page a hundred times, by one reference each or by one for all.
pub fn hundred_times(h: &mut Hostile) {
    let frame = DATA[h.random.below(DATA.len() as u64) as usize].mfn();
    let one = h.disk.lend(frame, Access::Write);
    let each = h.random.one_in(2);
    for _ in 0..10 {
        let segments: [Segment; 10] = core::array::from_fn(|_| {
            let first = h.random.below(8) as u8;
            (if each { h.disk.lend(frame, Access::Write) } else { one }, first, 7)
        });
        let operation = if h.random.one_in(3) { WRITE } else { READ };
        transfer(h, operation, &segments);
    }
    push(h);
    pause(h);
    h.sum.mix(h.disk.lent().len() as u64);
}

/// Pages that become page tables while they are lent, and such that are some.
pub fn tables(h: &mut Hostile) {
    let page = &DATA[0];
    let before = h.random.one_in(2);
    page.clear();
    let mut pinned = before && memory::pin_l1(page);
    let root = (start::info().pt_base - memory::VIRT_BASE) >> 12;
    let segments = [
        (h.disk.lend(page.mfn(), Access::Write), 0, 7),
        (h.disk.lend(memory::mfn_of_pfn(root), Access::Write), 0, 7),
        (h.disk.lend(memory::mfn_of_pfn(root + 1), Access::Write), 0, 7),
    ];
    transfer(h, READ, &segments);
    push(h);
    if !before {
        page.clear();
        pinned = memory::pin_l1(page);
    }
    h.sum.mix(pinned.into());
    pause(h);
    if pinned {
        memory::unpin(page);
    } else {
        page.remap((page.mfn() << 12) | PTE_RW);
    }
    pause(h);
}

/// Pages given back to Xen while they are lent, and taken again.
pub fn ballooned(h: &mut Hostile) {
    let (one, other) = (&DATA[1], &DATA[2]);
    let segments =
        [(h.disk.lend(one.mfn(), Access::Write), 0, 7), (h.disk.lend(other.mfn(), Access::Write), 0, 7)];
    let operation = if h.random.one_in(4) { WRITE } else { READ };
    for _ in 0..1 + h.random.below(4) {
        transfer(h, operation, &segments);
    }
    push(h);
    if h.random.one_in(2) {
        hypercall::sched_yield();
    }
    for page in [one, other] {
        h.sum.mix(memory::balloon_out(page).into());
    }
    if h.random.one_in(2) {
        pause_without_data(h);
    }
    // In the other order: a PV guest gets the lowest frame first.
    for page in [other, one] {
        let increase = h.random.one_in(2);
        while !memory::balloon_in(page, increase) {
            hypercall::sched_yield();
        }
        h.sum.mix(page.mfn());
    }
    if !machine::is_pvh() && h.random.one_in(2) {
        h.sum.mix(memory::exchange(one) as u64);
        h.sum.mix(one.mfn());
    }
    pause(h);
}

fn pause_without_data(h: &mut Hostile) {
    for _ in 0..1 + h.random.below(20) {
        hypercall::sched_yield();
    }
}

/// What Xen shares with the guest: the end of the grant table, of the shared info page, the rings' pages behind what is used.
pub fn shared_pages(h: &mut Hostile) {
    let console = core::ptr::from_ref(shared::console()) as u64;
    let info = core::ptr::from_ref(shared::info()) as u64;
    let frame = |address| memory::mapped_frame(address).unwrap_or(0);
    let frames = [frame(grants::last_page()), frame(info), frame(console)];
    let segments = frames.map(|frame| (h.disk.lend(frame, Access::Write), 7, 7));
    transfer(h, READ, &segments);
    let all = frames.map(|frame| (h.disk.lend(frame, Access::Read), 0, 7));
    transfer(h, WRITE, &all);
    push(h);
    pause(h);
}
