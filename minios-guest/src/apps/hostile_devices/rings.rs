//! The ring itself: what stands in it, and what becomes of its page and of its port.

use super::connection::{pause, Connection, Segment, DATA, RING};
use super::Hostile;
use crate::abi::{gtf, VIRQ_TIMER};
use crate::grants::{self, Access};
use crate::memory::{self, PTE_RW};
use crate::{event, hypercall};

const READ: u8 = 0;
const WRITE: u8 = 1;
/// Grants below belong to the console and to xenstore, which are to live to the end.
const KEPT: u64 = 8;

/// Requests as they should be, or nearly.
pub fn requests(h: &mut Hostile) {
    for id in 0..1 + h.random.below(12) {
        let (operation, access) =
            if h.random.one_in(3) { (WRITE, Access::Read) } else { (READ, Access::Write) };
        let mut segments: [Segment; 11] = [(0, 0, 7); 11];
        let count = 1 + h.random.below(11) as usize;
        for segment in &mut segments[..count] {
            let page = DATA[h.random.below(DATA.len() as u64) as usize].mfn();
            let first = h.random.below(8) as u8;
            let last = first + h.random.below(8 - u64::from(first)) as u8;
            *segment = (h.disk.lend(page, access), first, last);
        }
        let sector = h.random.below(4_096);
        h.disk.request(operation, id, sector, &segments[..count]);
        if h.random.one_in(3) {
            let result = h.disk.push();
            h.sum.mix(result);
        }
    }
    let result = h.disk.push();
    h.sum.mix(result);
    pause(h);
}

/// Garbage in the slots.
pub fn slots(h: &mut Hostile) {
    for _ in 0..h.random.below(200) {
        let word = h.random.word() >> (h.random.below(8) * 8) | KEPT;
        RING.write(8 + h.random.below(504) as usize, word);
    }
    for id in 0..h.random.below(6) {
        let (operation, sector) = (h.random.word() as u8, h.random.word() >> h.random.below(64));
        let segments: [Segment; 12] = core::array::from_fn(|_| {
            let grant = h.random.word() as u32 >> h.random.below(32) | KEPT as u32;
            (grant, h.random.word() as u8, h.random.word() as u8)
        });
        let count = h.random.below(13) as usize;
        h.disk.request(operation, id, sector, &segments[..count]);
    }
    let result = h.disk.push();
    h.sum.mix(result);
    pause(h);
}

/// An index that is wrong in one of several ways.
fn bogus(h: &mut Hostile, sane: u32) -> u32 {
    h.random.bogus_index(sane, 100, 33)
}

/// All indices, most likely the end of this connection.
pub fn indices(h: &mut Hostile) {
    for index in 0..4 {
        if h.random.one_in(2) {
            let value = bogus(h, Connection::index(index));
            Connection::set_index(index, value);
        }
        h.sum.mix(hypercall::notify(h.disk.port) as u64);
    }
    pause(h);
}

/// Who wants to be told of what, and how far the backend is said to be; storms of notifications.
pub fn events(h: &mut Hostile) {
    for _ in 0..1 + h.random.below(8) {
        let index = 1 + h.random.below(3) as usize;
        let value = bogus(h, Connection::index(index));
        Connection::set_index(index, value);
        for _ in 0..h.random.below(30) {
            h.sum.mix(hypercall::notify(h.disk.port) as u64);
        }
        h.sum.mix(Connection::index(1).into());
    }
    requests(h);
}

/// The ring's grant revoked, read-only, another's, for another frame.
pub fn revoked(h: &mut Hostile) {
    let (grant, domain, frame) = (h.disk.grant, h.disk.device.domain, RING.mfn() as u32);
    if grant == 0 {
        return;
    }
    let (flags, whose, which) = match h.random.below(4) {
        0 => (0, 0, 0),
        1 => (gtf::PERMIT_ACCESS | gtf::READONLY, domain, frame),
        2 => (gtf::PERMIT_ACCESS, domain + 1 + h.random.below(100) as u16, frame),
        _ => (gtf::PERMIT_ACCESS, domain, DATA[0].mfn() as u32),
    };
    requests(h);
    grants::set(grant, flags, whose, which);
    requests(h);
    if h.random.one_in(2) {
        grants::set(grant, gtf::PERMIT_ACCESS, domain, frame);
    }
    requests(h);
}

/// The ring's page given back to Xen, and another one in its place.
pub fn given_away(h: &mut Hostile) {
    requests(h);
    if !memory::balloon_out(&RING) {
        return;
    }
    for _ in 0..3 {
        h.sum.mix(hypercall::notify(h.disk.port) as u64);
        hypercall::sched_yield();
    }
    let increase = h.random.one_in(2);
    while !memory::balloon_in(&RING, increase) {
        hypercall::sched_yield();
    }
    // The old frame, or another one: the entry says the old one.
    h.sum.mix(RING.mfn());
    requests(h);
}

/// The ring's page as a page table.
pub fn as_table(h: &mut Hostile) {
    requests(h);
    RING.clear();
    let pinned = memory::pin_l1(&RING);
    h.sum.mix(pinned.into());
    for _ in 0..3 {
        h.sum.mix(hypercall::notify(h.disk.port) as u64);
        hypercall::sched_yield();
    }
    if pinned {
        memory::unpin(&RING);
    } else {
        RING.remap((RING.mfn() << 12) | PTE_RW);
    }
    requests(h);
}

/// The ring's port closed, and something else under its number, most likely.
pub fn port_is_another(h: &mut Hostile) {
    requests(h);
    let port = h.disk.port;
    if port != 0 {
        event::close(port);
    }
    h.sum.mix(hypercall::notify(port) as u64);
    let (mine, other) = match h.random.below(4) {
        0 => (event::bind_ipi(), None),
        1 => event::bind_loopback().map_or((None, None), |(one, other)| (Some(one), Some(other))),
        2 => (event::offer(h.disk.device.domain), None),
        // Its timer has a port already.
        _ => (event::bind_virq(VIRQ_TIMER), None),
    };
    for _ in 0..1 + h.random.below(4) {
        h.sum.mix(hypercall::notify(port) as u64);
        hypercall::sched_yield();
    }
    h.sum.mix(event::latched(port));
    for port in [mine, other].into_iter().flatten() {
        event::close(port);
    }
    h.disk.port = 0;
    pause(h);
}
