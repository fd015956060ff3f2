//! The straight line between system time and guest TSC.
//!
//! With an emulated TSC Xen computes the guest's TSC from system time: `ticks = (ns - offset) *
//! scale`, where `scale` is the reciprocal of the time page's own `tsc_to_system_mul` and
//! `tsc_shift`. The arithmetic here is that of `scale_delta()`, `scale_reciprocal()` and
//! `gtime_to_gtsc()` in Xen's `arch/x86/time.c`, bit for bit, so that the TSC timestamp of a time
//! page follows from its system time.

use crate::TimeInfo;

/// `x * mul / 2^32` after a shift of `x` by `shift` to the left (negative: to the right).
#[derive(Clone, Copy, Debug)]
struct Scale {
    mul: u32,
    shift: i8,
}

impl Scale {
    const fn apply(self, x: u64) -> u64 {
        let distance = self.shift.unsigned_abs() as u32;
        let x = if distance > 63 {
            0
        } else if self.shift < 0 {
            x >> distance
        } else {
            x << distance
        };
        let mul = self.mul as u64;
        let low = ((x & 0xffff_ffff) * mul) >> 32;
        (x >> 32).wrapping_mul(mul).wrapping_add(low)
    }

    const fn apply_signed(self, x: u64) -> u64 {
        if (x as i64) < 0 {
            self.apply(x.wrapping_neg()).wrapping_neg()
        } else {
            self.apply(x)
        }
    }

    const fn reciprocal(self) -> Self {
        if self.mul == 0 {
            return self;
        }
        let mut dividend = 0x8000_0000u32;
        let mut shift = 1i8.wrapping_sub(self.shift);
        while dividend >= self.mul && dividend != 0 {
            dividend >>= 1;
            shift = shift.wrapping_add(1);
        }
        match ((dividend as u64) << 32).checked_div(self.mul as u64) {
            Some(quotient) => Self {
                mul: quotient as u32,
                shift,
            },
            None => self,
        }
    }
}

/// A line that time pages lie on.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    to_ns: Scale,
    to_ticks: Scale,
    /// System time at which the TSC is 0.
    offset: u64,
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// The line before the first time page: its TSC is always 0.
    pub const fn new() -> Self {
        const NONE: Scale = Scale { mul: 0, shift: 0 };
        Self {
            to_ns: NONE,
            to_ticks: NONE,
            offset: 0,
        }
    }

    /// Takes in a time page, which is on the line afterwards.
    pub fn observe(&mut self, time: &TimeInfo) {
        if time.tsc_to_system_mul != self.to_ns.mul || time.tsc_shift != self.to_ns.shift {
            self.set_scale(time.tsc_to_system_mul, time.tsc_shift);
        }
        if self.ticks(time.system_time) != time.tsc_timestamp {
            self.pass_through(time.system_time, time.tsc_timestamp);
        }
    }

    /// How many nanoseconds so many ticks take.
    pub const fn distance_ns(&self, ticks: u64) -> u64 {
        self.to_ns.apply(ticks)
    }

    /// How many ticks so many nanoseconds take.
    pub const fn distance_ticks(&self, ns: u64) -> u64 {
        self.to_ticks.apply(ns)
    }

    /// The TSC at a system time in nanoseconds.
    pub const fn ticks(&self, system_time: u64) -> u64 {
        self.to_ticks
            .apply_signed(system_time.wrapping_sub(self.offset))
    }

    /// Sets the slope, as a time page gives it.
    const fn set_scale(&mut self, mul: u32, shift: i8) {
        self.to_ns = Scale { mul, shift };
        self.to_ticks = self.to_ns.reciprocal();
    }

    /// Moves the line so that it goes through a time page, as nearly as its slope allows.
    const fn pass_through(&mut self, system_time: u64, ticks: u64) {
        // Each round takes the remaining error down by a factor of about 2^31.
        let mut distance = self.to_ns.apply_signed(ticks);
        let mut round = 0;
        while round < 3 {
            let missing = ticks.wrapping_sub(self.to_ticks.apply_signed(distance));
            distance = distance.wrapping_add(self.to_ns.apply_signed(missing));
            round += 1;
        }
        // Both scales round down, which leaves an error of a few ticks at most.
        let mut tries = 0;
        while tries < 4 {
            let missing = ticks.wrapping_sub(self.to_ticks.apply_signed(distance)) as i64;
            distance = distance.wrapping_add(missing.signum() as u64);
            tries += 1;
        }
        self.offset = system_time.wrapping_sub(distance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `set_time_scale()` of Xen.
    fn scale_of_hz(hz: u64) -> Scale {
        let mut tps = hz;
        let mut shift = 0i8;
        while tps > 2_000_000_000 {
            tps >>= 1;
            shift -= 1;
        }
        let mut tps32 = tps as u32;
        while tps32 <= 1_000_000_000 {
            tps32 <<= 1;
            shift += 1;
        }
        let mul = ((1_000_000_000u64 << 32) / u64::from(tps32)) as u32;
        Scale { mul, shift }
    }

    #[test]
    fn time_pages_stay_on_the_line_that_the_first_one_gave() {
        for hz in [1_000_000_000, 1_900_000_000, 2_400_000_123, 3_700_000_000] {
            let to_ns = scale_of_hz(hz);
            let to_ticks = to_ns.reciprocal();
            for offset in [0u64, 123_456_789_012, 86_400_000_000_000 * 300] {
                let mut line = Line::new();
                line.set_scale(to_ns.mul, to_ns.shift);
                let first = offset.wrapping_sub(700_001);
                let ticks = to_ticks.apply_signed(first.wrapping_sub(offset));
                line.pass_through(first, ticks);
                for second in 1..2000u64 {
                    let ns = offset + second * 999_999_937;
                    assert_eq!(
                        line.ticks(ns),
                        to_ticks.apply_signed(ns - offset),
                        "{hz} Hz, offset {offset}, second {second}"
                    );
                }
            }
        }
    }
}
