//! The same for a network interface, if there is one: two rings with one port.

use super::Hostile;
use crate::clock::{self, MILLISECOND};
use crate::grants::{self, Access};
use crate::memory::Page;
use crate::xenbus::{Device, State};
use crate::{event, hypercall};

static RINGS: [Page; 2] = [const { Page::new() }; 2];
static DATA: [Page; 4] = [const { Page::new() }; 4];
const REQUESTS: u32 = 12;

fn index(ring: &Page, index: usize) -> u32 {
    (ring.read(index / 2) >> (index % 2 * 32)) as u32
}

fn set_index(ring: &Page, at: usize, value: u32) {
    let other = ring.read(at / 2) & !(0xffff_ffff << (at % 2 * 32));
    ring.write(at / 2, other | u64::from(value) << (at % 2 * 32));
}

/// A slot of `size` 32-bit words.
fn set_slot(ring: &Page, slot: u32, words: &[u32]) {
    let at = 64 + (slot as usize % 256) * words.len() * 4;
    for (place, word) in words.iter().enumerate() {
        ring.copy_in(at + place * 4, &word.to_le_bytes());
    }
}

/// Runs so many steps, if there is an interface.
pub fn run(h: &mut Hostile, steps: u64) {
    let Some(device) = Device::find("vif") else { return };
    let domain = device.domain;
    device.enter(State::Initialising);
    if !is_in(&device, &[State::InitWait]) {
        return;
    }
    for ring in &RINGS {
        set_index(ring, 1, 1);
        set_index(ring, 3, 1);
    }
    let rings = [0, 1].map(|ring| grants::lend(&RINGS[ring], domain, Access::Write));
    let Some(port) = event::offer(domain) else { return };
    event::unmask_port(port);
    let one = h.random.one_in(2);
    device.set("tx-ring-ref", format_args!("{}", rings[0]));
    device.set("rx-ring-ref", format_args!("{}", rings[1]));
    if one {
        device.set("event-channel", format_args!("{port}"));
    } else {
        device.set("event-channel-tx", format_args!("{port}"));
        let Some(port) = event::offer(domain) else { return };
        device.set("event-channel-rx", format_args!("{port}"));
    }
    device.set("request-rx-copy", format_args!("1"));
    device.set("feature-rx-notify", format_args!("1"));
    device.set("feature-sg", format_args!("1"));
    device.enter(State::Connected);
    h.sum.mix(is_in(&device, &[State::Connected, State::Closing, State::Closed]).into());

    let lent = DATA.each_ref().map(|page| grants::lend(page, domain, Access::Write));
    for step in 0..steps {
        requests(h, &lent, port, step + 10 > steps);
        if h.random.one_in(2) {
            clock::sleep((1 + h.random.below(3)) * MILLISECOND);
        }
        for ring in &RINGS {
            (0..512).step_by(37).for_each(|word| h.sum.mix(ring.read(word)));
            set_index(ring, 3, index(ring, 2).wrapping_add(1 + h.random.below(3) as u32));
        }
        if h.random.one_in(8) {
            // The backend's data is for a page that it may not write to.
            grants::set(
                lent[h.random.below(4) as usize],
                h.random.below(32) as u16,
                domain,
                DATA[0].mfn() as u32,
            );
        }
    }
    // As it stands: the backend is torn away from all of it.
    event::close(port);
    device.enter(State::Closing);
    h.sum.mix(is_in(&device, &[State::Closing, State::Closed]).into());
    device.enter(State::Closed);
    h.sum.mix(is_in(&device, &[State::Closed]).into());
}

/// Requests of both kinds, most of them of no use; with `fatal` such that the backend gives up.
fn requests(h: &mut Hostile, lent: &[u32; 4], port: u32, fatal: bool) {
    for (number, ring) in RINGS.iter().enumerate() {
        let mut put = index(ring, 0);
        let room = 250u32.saturating_sub(put.wrapping_sub(index(ring, 2)));
        for _ in 0..room.min(h.random.below(REQUESTS.into()) as u32) {
            let grant =
                if h.random.one_in(3) { h.random.word() as u32 } else { lent[h.random.below(4) as usize] };
            if number == 0 {
                // Offset and flags, number and size; no chain before the end, which it would wait for.
                let flags = if fatal { h.random.below(16) as u32 } else { 0 };
                let offset =
                    if fatal { h.random.word() as u32 & 0xffff } else { h.random.below(2_048) as u32 };
                let size =
                    if fatal { h.random.word() as u32 & 0xffff } else { 14 + h.random.below(1_500) as u32 };
                set_slot(ring, put, &[grant, offset | flags << 16, h.random.below(256) as u32 | size << 16]);
            } else {
                set_slot(ring, put, &[h.random.below(256) as u32, grant]);
            }
            put = put.wrapping_add(1);
        }
        let put = if fatal && h.random.one_in(6) { h.random.word() as u32 } else { put };
        set_index(ring, 0, put);
    }
    h.sum.mix(hypercall::notify(port) as u64);
}

fn is_in(device: &Device, wanted: &[State]) -> bool {
    for _ in 0..200 {
        if wanted.contains(&device.backend_state()) {
            return true;
        }
        clock::sleep(5 * MILLISECOND);
    }
    false
}
