//! The disk's ring, its grants, and how the backend comes and goes.

use super::{keys, Hostile};
use crate::clock::{self, MILLISECOND};
use crate::grants::{self, Access};
use crate::memory::Page;
use crate::xenbus::{Device, State};
use crate::{event, hypercall};

/// 32 slots of 112 bytes, behind 64.
const SLOTS: u32 = 32;
const SLOT_WORDS: usize = 14;
/// Looks at a backend's state, some milliseconds apart, before it is left alone.
const LOOKS: u32 = 200;
const LOOK: u64 = 5 * MILLISECOND;

/// The ring.
pub static RING: Page = Page::new();
/// What is lent.
pub static DATA: [Page; 8] = [const { Page::new() }; 8];

/// A page's part of a request: its grant, the first and the last sector.
pub type Segment = (u32, u8, u8);

/// A block device, connected or not.
pub struct Connection {
    /// Where its keys are.
    pub device: Device,
    /// The ring's grant, 0 for none.
    pub grant: u32,
    /// Its event channel, 0 for none.
    pub port: u32,
    /// The port that who relays the ring takes for its event channel, 0 if it is not misled.
    pub taken_for: u32,
    /// Requests put.
    put: u32,
    /// Responses seen on this connection.
    seen: u32,
    lent: [u32; 256],
    lent_count: usize,
    /// How often the backend was connected.
    pub connects: u64,
    /// Responses seen on all.
    pub answers: u64,
}

impl Connection {
    /// The first block device.
    pub fn find() -> Option<Self> {
        let device = Device::find("vbd")?;
        Some(Self {
            device,
            grant: 0,
            port: 0,
            taken_for: 0,
            put: 0,
            seen: 0,
            lent: [0; 256],
            lent_count: 0,
            connects: 0,
            answers: 0,
        })
    }

    /// Lends a frame until [`take_back`]; its reference.
    pub fn lend(&mut self, frame: u64, access: Access) -> u32 {
        if self.lent_count == self.lent.len() {
            self.take_back();
        }
        let grant = grants::lend_frame(frame as u32, self.device.domain, access);
        self.lent[self.lent_count] = grant;
        self.lent_count += 1;
        grant
    }

    /// Takes all of them back, used or not.
    pub fn take_back(&mut self) {
        self.lent[..self.lent_count].iter().for_each(|grant| grants::set(*grant, 0, 0, 0));
        self.lent_count = 0;
    }

    /// Those that are lent.
    pub fn lent(&self) -> &[u32] {
        &self.lent[..self.lent_count]
    }

    /// How far the backend is.
    pub fn answered() -> u32 {
        RING.read(1) as u32
    }

    /// Puts a request, if there is a slot for it.
    pub fn request(&mut self, operation: u8, id: u64, sector: u64, segments: &[Segment]) {
        if self.put.wrapping_sub(Self::answered()) >= SLOTS - 1 {
            return;
        }
        let slot = 8 + (self.put % SLOTS) as usize * SLOT_WORDS;
        RING.write(slot, u64::from(operation) | (segments.len() as u64 & 0xff) << 8);
        RING.write(slot + 1, id);
        RING.write(slot + 2, sector);
        for (index, (grant, first, last)) in segments.iter().take(11).enumerate() {
            RING.write(
                slot + 3 + index,
                u64::from(*grant) | u64::from(*first) << 32 | u64::from(*last) << 40,
            );
        }
        self.put = self.put.wrapping_add(1);
    }

    /// Writes the header's word `index` of 4.
    pub fn set_index(index: usize, value: u32) {
        let (word, shift) = (index / 2, index % 2 * 32);
        let other = RING.read(word) & !(0xffff_ffff << shift);
        RING.write(word, other | u64::from(value) << shift);
    }

    /// The header's word `index`.
    pub fn index(index: usize) -> u32 {
        (RING.read(index / 2) >> (index % 2 * 32)) as u32
    }

    /// Shows what was put, and notifies; Xen's answer.
    pub fn push(&mut self) -> u64 {
        Self::set_index(0, self.put);
        let misled = if self.taken_for == 0 { 0 } else { hypercall::notify(self.taken_for) as u64 };
        misled << 32 | hypercall::notify(self.port) as u64 & 0xffff_ffff
    }
}

/// Gives the backend some time, and takes what it answered.
pub fn pause(h: &mut Hostile) {
    for _ in 0..h.random.below(4) {
        hypercall::sched_yield();
    }
    if h.random.one_in(2) {
        clock::sleep((1 + h.random.below(4)) * MILLISECOND);
    }
    let answered = Connection::answered();
    h.disk.answers += u64::from(answered.wrapping_sub(h.disk.seen).min(SLOTS));
    h.disk.seen = answered;
    // To be told of the next one, or of one that comes later.
    let later = if h.random.one_in(4) { h.random.below(8) as u32 } else { 1 };
    Connection::set_index(3, Connection::answered().wrapping_add(later));
    (0..512).step_by(37).for_each(|word| h.sum.mix(RING.read(word)));
    let page = &DATA[h.random.below(DATA.len() as u64) as usize];
    (0..512).step_by(61).for_each(|word| h.sum.mix(page.read(word)));
}

fn wait(device: &Device, wanted: &[State]) -> State {
    for _ in 0..LOOKS {
        let state = device.backend_state();
        if wanted.contains(&state) {
            return state;
        }
        clock::sleep(LOOK);
    }
    State::Unknown
}

/// Ends the connection, however it is.
pub fn disconnect(h: &mut Hostile) {
    let disk = &mut h.disk;
    disk.device.enter(State::Closing);
    wait(&disk.device, &[State::Closing, State::Closed]);
    disk.device.enter(State::Closed);
    let state = wait(&disk.device, &[State::Closed, State::InitWait]);
    h.sum.mix(state as u64);
    disk.take_back();
    if disk.grant != 0 {
        grants::set(disk.grant, 0, 0, 0);
        disk.grant = 0;
    }
    if disk.port != 0 {
        event::close(disk.port);
        disk.port = 0;
    }
}

/// Connects anew, with garbage among the keys or without.
pub fn reconnect(h: &mut Hostile, garbled: bool) {
    disconnect(h);
    let domain = h.disk.device.domain;
    h.disk.device.enter(State::Initialising);
    wait(&h.disk.device, &[State::InitWait]);
    RING.clear();
    Connection::set_index(1, 1);
    Connection::set_index(3, 1);
    h.disk.put = 0;
    h.disk.seen = 0;
    h.disk.grant = grants::lend(&RING, domain, Access::Write);
    let Some(port) = event::offer(domain) else { return };
    event::unmask_port(port);
    h.disk.port = port;
    keys::clean(h);
    h.disk.taken_for = if h.random.one_in(3) { keys::announce_before(h) } else { 0 };
    let device = &h.disk.device;
    device.set("ring-ref", format_args!("{}", h.disk.grant));
    device.set("event-channel", format_args!("{port}"));
    device.set("protocol", format_args!("x86_64-abi"));
    device.set("feature-persistent", format_args!("1"));
    if garbled {
        keys::garbage(h);
    }
    // Requests that wait for the backend, some of them.
    if h.random.one_in(3) {
        super::rings::requests(h);
    }
    h.disk.device.enter(State::Initialised);
    let state = wait(&h.disk.device, &[State::Connected, State::Closing, State::Closed]);
    h.sum.mix(state as u64);
    h.disk.device.enter(State::Connected);
    h.disk.connects += u64::from(state == State::Connected);
}
