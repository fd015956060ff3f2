//! What watches the guest's exits: after each it looks at all that Xen may have changed.
//!
//! On a domain whose inputs change only at sync points nothing can slip through:
//! each content that was ever visible is seen. The shared info page is mapped by
//! the first exit of a PV guest, or a later one of a PVH guest, so what came up to that is seen together: the last
//! time page content, and the set of ports.

use crate::{event, hypercall, machine, shared, witness};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

static LAST_TIME: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
static LAST_WALLCLOCK: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Has every exit watched from now on.
pub fn init() {
    hypercall::watch_exits(passed);
}

/// After every exit of the guest's own: counts it and looks.
pub fn passed() {
    witness::count_exit();
    look();
}

/// After an exception, a system call, or the way to user mode: an exit of some guests.
pub fn trapped() {
    if machine::this().traps_exit {
        passed();
    }
}

/// The handler of one of them, or of an upcall, is about to return. What comes in with that is looked at after the
/// interrupted exit, or by the next upcall.
pub fn returning() {
    if machine::this().traps_exit {
        witness::count_exit();
    }
}

/// Notes changes of the time page, the wall clock and the pending ports.
pub fn look() {
    let Some(info) = shared::try_info() else { return };
    let page = &info.vcpu[0].time;
    let scale = u64::from(page.tsc_to_system_mul.load(Relaxed))
        | u64::from(page.tsc_shift.load(Relaxed) as u8) << 32
        | u64::from(page.flags.load(Relaxed)) << 40;
    let time = [page.tsc_timestamp.load(Relaxed), page.system_time.load(Relaxed), scale];
    // An odd version is a write under way: the next look sees the result.
    if page.version.load(Relaxed) & 1 == 0 && changed(&LAST_TIME, &time) {
        let mut bytes = [0; 22];
        bytes[..8].copy_from_slice(&time[0].to_le_bytes());
        bytes[8..16].copy_from_slice(&time[1].to_le_bytes());
        bytes[16..].copy_from_slice(&scale.to_le_bytes()[..6]);
        witness::TIME.feed(&bytes);
    }

    let seconds = u64::from(info.wc_sec.load(Relaxed)) | u64::from(info.wc_sec_hi.load(Relaxed)) << 32;
    let wallclock = [seconds, u64::from(info.wc_nsec.load(Relaxed))];
    if info.wc_version.load(Relaxed) & 1 == 0 && changed(&LAST_WALLCLOCK, &wallclock) {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&seconds.to_le_bytes());
        bytes[8..].copy_from_slice(&(wallclock[1] as u32).to_le_bytes());
        witness::WALLCLOCK.feed(&bytes);
    }

    event::collect(info);
}

/// Whether `now` differs from what `last` holds; stores it there.
fn changed<const N: usize>(last: &[AtomicU64; N], now: &[u64; N]) -> bool {
    let mut differs = false;
    for (last, now) in last.iter().zip(now) {
        differs |= last.load(Relaxed) != *now;
        last.store(*now, Relaxed);
    }
    differs
}

/// Upcalls that are still to be nested, and the port that makes them.
pub static NEST: AtomicU64 = AtomicU64::new(0);
/// A port of our own that notifies this vCPU.
pub static NEST_PORT: AtomicU64 = AtomicU64::new(0);

/// The upcall handler: notes what there is; the waiting code does the rest.
pub fn upcall() {
    witness::UPCALLS.fetch_add(1, Relaxed);
    look();
    if NEST.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
        event::allow_upcalls();
        hypercall::notify(NEST_PORT.load(Relaxed) as u32);
    }
}
