//! Time: the TSC, the time page with its version protocol, the wall clock, the timer.

use crate::abi::{nr, vcpuop, VIRQ_TIMER};
use crate::{event, exits, hypercall, machine, shared, witness};
use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed};

/// Nanoseconds a second.
pub const SECOND: u64 = 1_000_000_000;
/// Nanoseconds a millisecond.
pub const MILLISECOND: u64 = 1_000_000;

static TIMER_PORT: AtomicU32 = AtomicU32::new(0);

/// Reads the TSC; each value is digested.
pub fn tsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: no memory is touched. Deliberately without `nomem`: on the way
    // back from an emulated RDTSC Xen may have changed the shared pages.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high) };
    note(u64::from(high) << 32 | u64::from(low))
}

/// Reads the TSC by RDTSCP, where the CPU has it.
pub fn tscp() -> u64 {
    note((machine::this().tscp)())
}

fn note(value: u64) -> u64 {
    witness::TSC.feed(&value.to_le_bytes());
    exits::passed();
    value
}

/// Nanoseconds since the domain's start. One RDTSC, more only when the time
/// page changed meanwhile.
pub fn now() -> u64 {
    let page = &shared::vcpu().time;
    loop {
        let version = page.version.load(Acquire);
        let stamp = page.tsc_timestamp.load(Relaxed);
        let base = page.system_time.load(Relaxed);
        let mul = page.tsc_to_system_mul.load(Relaxed);
        let shift = page.tsc_shift.load(Relaxed);
        let tsc = tsc();
        if version & 1 == 0 && version == page.version.load(Acquire) {
            // The stamp of a page from before the domain's TSC was 0 is negative.
            return base + scale(tsc.wrapping_sub(stamp), mul, shift);
        }
    }
}

/// TSC cycles to nanoseconds.
fn scale(cycles: u64, mul: u32, shift: i8) -> u64 {
    let cycles = if shift >= 0 {
        cycles.wrapping_shl(shift as u32)
    } else {
        cycles.wrapping_shr(u32::from(shift.unsigned_abs()))
    };
    ((u128::from(cycles) * u128::from(mul)) >> 32) as u64
}

/// System time of the time page's last update; reads no TSC.
pub fn coarse() -> u64 {
    shared::vcpu().time.system_time.load(Relaxed)
}

/// Unix time in nanoseconds at system time 0.
pub fn boot_time() -> u64 {
    let info = shared::info();
    loop {
        let version = info.wc_version.load(Acquire);
        let seconds = u64::from(info.wc_sec_hi.load(Relaxed)) << 32 | u64::from(info.wc_sec.load(Relaxed));
        let nanoseconds = u64::from(info.wc_nsec.load(Relaxed));
        if version & 1 == 0 && version == info.wc_version.load(Acquire) {
            return seconds * SECOND + nanoseconds;
        }
    }
}

/// Stops Xen's periodic tick and binds the timer's virtual interrupt.
pub fn init() {
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_PERIODIC_TIMER, 0, 0, 0, 0]);
    if let Some(port) = event::bind_virq(VIRQ_TIMER) {
        TIMER_PORT.store(port, Relaxed);
    }
}

/// The timer's port.
pub fn timer_port() -> u32 {
    TIMER_PORT.load(Relaxed)
}

/// Blocks until the timer set to `deadline_ns` fires; other events are taken
/// meanwhile. Reads no clock.
pub fn sleep_until(deadline_ns: u64) {
    let fired = event::latched(timer_port());
    hypercall::set_timer(deadline_ns);
    event::wait_port(timer_port(), fired);
}

/// Blocks for `duration_ns`.
pub fn sleep(duration_ns: u64) {
    sleep_until(now() + duration_ns);
}

/// A date and time of day (UTC) that prints as `2026-01-31 23:59:59`.
pub struct Date {
    /// Seconds since the Unix epoch.
    pub unix_seconds: u64,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.unix_seconds / 86_400;
        let second = self.unix_seconds % 86_400;
        // Days since 0000-03-01 in eras of 400 years, so that leap days come
        // last in a year (Howard Hinnant, "chrono-compatible low-level date
        // algorithms").
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}
