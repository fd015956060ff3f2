//! Hypercalls that name domains by number: others', one's own, reserved ones.
//!
//! Which domains exist, and which number this one has, must not show on a
//! logged domain: each result goes into the checksum, and so does what Xen
//! wrote. The structures are well-formed, so that the number decides.

use super::Hostile;
use crate::abi::{evtchnop, nr, DOMID_SELF};
use crate::memory::Page;
use crate::{event, hypercall, xenstore};

/// The structure of a call, and behind it the lists that it points to.
static BUFFER: [Page; 2] = [const { Page::new() }; 2];
/// `XEN_DOMCTL_INTERFACE_VERSION` of Xen 4.20; those beside it are tried as well.
const DOMCTL_VERSION: u64 = 0x18;

/// This domain's number, as xenstore tells it; asked while the ring is sane.
pub fn own_number() -> u16 {
    let mut text = [0; 8];
    let length = xenstore::read(b"domid", &mut text).unwrap_or(0);
    text.get(..length).unwrap_or_default().iter().fold(0, |number, digit| {
        u16::wrapping_add(u16::wrapping_mul(number, 10), u16::from(digit.wrapping_sub(b'0')))
    })
}

/// A domain's number, often one that exists.
fn number(h: &mut Hostile) -> u64 {
    match h.random.below(8) {
        0 => 0,
        1 | 2 => h.random.below(40),
        3 => u64::from(h.own_number),
        4 => u64::from(h.own_number).wrapping_add(h.random.below(9)).wrapping_sub(4) & 0xffff,
        5 => u64::from(DOMID_SELF),
        // I/O, Xen, copy-on-write, invalid, idle.
        6 => 0x7ff0 + h.random.below(16),
        _ => h.random.word() & 0xffff,
    }
}

/// A number that is not this domain's, nor means it.
fn foreign(h: &mut Hostile) -> u64 {
    match number(h) {
        number if number == u64::from(DOMID_SELF) || number == u64::from(h.own_number) => 1,
        number => number,
    }
}

/// Makes a call whose argument `at` (0 to 4) points to `words`; mixes in its
/// result and what it left of them. Returns both.
fn call<const N: usize>(
    h: &mut Hostile,
    nr: u64,
    mut a: [u64; 5],
    at: usize,
    words: [u64; N],
) -> (i64, [u64; N]) {
    let page = &BUFFER[0];
    page.clear();
    words.iter().enumerate().for_each(|(index, word)| page.write(index, *word));
    a[at] = page.address();
    // SAFETY: Xen writes at most into the two pages of the buffer, which Rust
    // holds no references into.
    let result = unsafe { hypercall::any(nr, a) };
    let after = core::array::from_fn(|index| page.read(index));
    h.sum.mix(result as u64);
    after.iter().for_each(|word: &u64| h.sum.mix(*word));
    (result, after)
}

/// The same where nothing is left to clear up.
fn try_call<const N: usize>(h: &mut Hostile, nr: u64, a: [u64; 5], at: usize, words: [u64; N]) {
    call(h, nr, a, at, words);
}

/// One call of one kind.
pub fn numbers(h: &mut Hostile) {
    match h.random.below(6) {
        0 => events(h),
        1 => grants(h),
        2 => memory(h),
        3 => page_tables(h),
        4 => control(h),
        _ => identity(h),
    }
}

/// Event channels to others; what succeeds is closed again.
fn events(h: &mut Hostile) {
    let (one, other) = (number(h), number(h));
    let port = h.random.below(20);
    match h.random.below(4) {
        0 => {
            let (result, after) =
                call(h, nr::EVENT_CHANNEL_OP, [evtchnop::ALLOC_UNBOUND, 0, 0, 0, 0], 1, [one | other << 16]);
            if result == 0 {
                status(h, u64::from(DOMID_SELF), after[0] >> 32);
                let pair = [one | after[0] & !0xffff_ffff, 0];
                let (result, after) =
                    call(h, nr::EVENT_CHANNEL_OP, [evtchnop::BIND_INTERDOMAIN, 0, 0, 0, 0], 1, pair);
                if result == 0 {
                    event::close(after[1] as u32);
                }
                event::close((after[0] >> 32) as u32);
            }
        }
        1 => {
            let (result, after) = call(
                h,
                nr::EVENT_CHANNEL_OP,
                [evtchnop::BIND_INTERDOMAIN, 0, 0, 0, 0],
                1,
                [one | port << 32, 0],
            );
            if result == 0 {
                event::close(after[1] as u32);
            }
        }
        2 => status(h, one, port),
        _ => {
            let one = foreign(h);
            call(h, nr::EVENT_CHANNEL_OP, [evtchnop::RESET, 0, 0, 0, 0], 1, [one]);
        }
    }
}

fn status(h: &mut Hostile, domain: u64, port: u64) {
    call(h, nr::EVENT_CHANNEL_OP, [evtchnop::STATUS, 0, 0, 0, 0], 1, [domain | port << 32, 0, 0]);
}

/// Grant tables and grants of others.
fn grants(h: &mut Hostile) {
    let domain = number(h);
    let list = BUFFER[1].address();
    let flags = h.random.below(32);
    match h.random.below(7) {
        // Map: by address, flags and reference, domain.
        0 => {
            let at = BUFFER[1].address();
            let reference = h.random.below(12);
            call(h, nr::GRANT_TABLE_OP, [0, 0, 1, 0, 0], 1, [at, flags | reference << 32, domain, 0]);
        }
        // Set up the table, its size, its status frames, its version.
        1 => try_call(h, nr::GRANT_TABLE_OP, [2, 0, 1, 0, 0], 1, [domain | 1 << 32, 0, list]),
        2 => try_call(h, nr::GRANT_TABLE_OP, [6, 0, 1, 0, 0], 1, [domain, 0]),
        3 => try_call(h, nr::GRANT_TABLE_OP, [9, 0, 1, 0, 0], 1, [1 | domain << 32, list]),
        4 => try_call(h, nr::GRANT_TABLE_OP, [10, 0, 1, 0, 0], 1, [domain]),
        // Transfer: a frame that is not ours, domain, reference.
        5 => try_call(h, nr::GRANT_TABLE_OP, [4, 0, 1, 0, 0], 1, [u64::MAX >> 20, domain, 0]),
        // Copy: reference or frame, domain, offset; the same; length and flags.
        _ => {
            let (reference, other) = (h.random.below(12), number(h));
            let copied = [reference, domain, reference, other, 16 | (flags & 3) << 16];
            call(h, nr::GRANT_TABLE_OP, [5, 0, 1, 0, 0], 1, copied);
        }
    }
}

/// Memory of others: their reservations, their resources.
fn memory(h: &mut Hostile) {
    let domain = number(h);
    let list = BUFFER[1].address();
    match h.random.below(6) {
        // Its current and its largest size, its highest frame number.
        0 => try_call(h, nr::MEMORY_OP, [3, 0, 0, 0, 0], 1, [domain]),
        5 => try_call(h, nr::MEMORY_OP, [4, 0, 0, 0, 0], 1, [domain]),
        1 => try_call(h, nr::MEMORY_OP, [14, 0, 0, 0, 0], 1, [domain]),
        // Increase, decrease or populate by one extent that is too large.
        2 => {
            let command = [0, 1, 6][h.random.below(3) as usize];
            call(h, nr::MEMORY_OP, [command, 0, 0, 0, 0], 1, [list, 1, 30, domain]);
        }
        3 => try_call(h, nr::MEMORY_OP, [24, 0, 0, 0, 0], 1, [0, 1, 0, domain]),
        // A resource's size, or its frames.
        _ => {
            let kind = h.random.below(6);
            let frames = h.random.below(3);
            let list = if frames == 0 { 0 } else { list };
            call(h, nr::MEMORY_OP, [28, 0, 0, 0, 0], 1, [domain | kind << 16, frames, 0, list]);
        }
    }
}

/// Page tables and frames of others.
fn page_tables(h: &mut Hostile) {
    let domain = number(h);
    let tables = if h.random.one_in(2) { 0 } else { number(h).wrapping_add(1) & 0xffff };
    let frame = h.random.below(1 << 18);
    let page = &BUFFER[1];
    match h.random.below(3) {
        0 => {
            let update = [page.mfn() << 12, frame << 12];
            call(h, nr::MMU_UPDATE, [0, 1, 0, domain | tables << 16, 0], 0, update);
        }
        1 => {
            // On a page of our own, some of these would succeed.
            let (command, domain) = (h.random.below(22), foreign(h));
            call(h, nr::MMUEXT_OP, [0, 1, 0, domain, 0], 0, [command, frame, 0]);
        }
        _ => {
            let a = [page.address(), frame << 12 | 1, 0, foreign(h), 0];
            h.sum.mix(hypercall::plain(nr::UPDATE_VA_MAPPING_OTHERDOMAIN, a) as u64);
        }
    }
}

/// What only dom0 may: control, shutdown, parameters, interrupts, devices.
fn control(h: &mut Hostile) {
    let domain = number(h);
    match h.random.below(6) {
        0 => {
            let (command, version) = (h.random.below(100), DOMCTL_VERSION - 1 + h.random.below(3));
            call(h, nr::DOMCTL, [0; 5], 0, [command | version << 32, domain, 0, 0, 0, 0]);
        }
        1 => {
            let domain = foreign(h);
            call(h, nr::SCHED_OP, [4, 0, 0, 0, 0], 1, [domain]);
        }
        2 => {
            let command = [0, 1, 6, 9, 15, 25][h.random.below(6) as usize];
            let index = h.random.below(40);
            call(h, nr::HVM_OP, [command, 0, 0, 0, 0], 1, [domain | index << 32, 0, 0]);
        }
        3 => try_call(h, nr::PHYSDEV_OP, [13, 0, 0, 0, 0], 1, [domain, 0, 0, 0, 0]),
        4 => try_call(h, nr::PHYSDEV_OP, [14, 0, 0, 0, 0], 1, [domain]),
        _ => try_call(h, nr::DM_OP, [domain, 1, 0, 0, 0], 2, [BUFFER[1].address(), 16]),
    }
}

/// Who am I, and when is it?
fn identity(h: &mut Hostile) {
    match h.random.below(3) {
        // HVMOP_get_time
        0 => try_call(h, nr::HVM_OP, [10, 0, 0, 0, 0], 1, [0]),
        // XENVER_guest_handle
        1 => try_call(h, nr::XEN_VERSION, [8, 0, 0, 0, 0], 1, [0, 0]),
        // Answers that say what Xen and host are.
        _ => {
            let command = h.random.below(12);
            call(h, nr::XEN_VERSION, [command, 0, 0, 0, 0], 1, [0; 8]);
        }
    }
}
