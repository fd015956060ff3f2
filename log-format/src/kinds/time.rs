//! The guest's time page: `vcpu_info.time` without its version.
//!
//! It is expected to come as long after the last one as that came after its own predecessor, with
//! the same factors, and its TSC on a straight line ([`Line`]) with those before.

mod line;

use bitflags::bitflags;
use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::Predictor;
use crate::varint::{In, Out};

pub use line::Line;

/// The contents of `vcpu_info.time` without its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeInfo {
    /// Guest TSC at the update.
    pub tsc_timestamp: u64,
    /// Nanoseconds since the host's boot at the update.
    pub system_time: u64,
    /// Factor from TSC ticks to nanoseconds, as a fraction of 2^32.
    pub tsc_to_system_mul: u32,
    /// Shift of the ticks before the multiplication, to the left when positive.
    pub tsc_shift: i8,
    /// `XEN_PVCLOCK_*` bits.
    pub flags: u8,
}

bitflags! {
    /// What is not as expected.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Surprises: u8 {
        /// `tsc_to_system_mul` changed.
        const MUL = 1 << 0;
        /// `tsc_shift` changed.
        const SHIFT = 1 << 1;
        /// `flags` changed.
        const FLAGS = 1 << 2;
        /// `tsc_timestamp` is off the line; the line before this page's changes counts.
        const TSC = 1 << 3;
    }
}

/// Expected pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    last: TimeInfo,
    /// Nanoseconds between the last two.
    step: u64,
    line: Line,
}

impl State {
    const fn next_system_time(&self) -> u64 {
        self.last.system_time.wrapping_add(self.step)
    }

    fn surprises(&self, time: &TimeInfo) -> Surprises {
        let mut surprises = Surprises::empty();
        surprises.set(
            Surprises::MUL,
            time.tsc_to_system_mul != self.last.tsc_to_system_mul,
        );
        surprises.set(Surprises::SHIFT, time.tsc_shift != self.last.tsc_shift);
        surprises.set(Surprises::FLAGS, time.flags != self.last.flags);
        surprises.set(
            Surprises::TSC,
            time.tsc_timestamp != self.line.ticks(time.system_time),
        );
        surprises
    }
}

impl Rules for TimeInfo {
    type Fields<'a> = Self;
    type State = State;
    const START: State = State {
        last: TimeInfo {
            tsc_timestamp: 0,
            system_time: 0,
            tsc_to_system_mul: 0,
            tsc_shift: 0,
            flags: 0,
        },
        step: 0,
        line: Line::new(),
    };

    #[inline(always)]
    fn put(time: &Self, head: &Head, out: &mut Out) {
        let state = &head.predictor.states.time;
        let surprises = state.surprises(time);
        if surprises.is_empty() {
            head.put(Form::TimeExpected, out);
        } else {
            head.put(Form::Time, out);
            out.byte(surprises.bits());
        }
        out.signed(time.system_time.wrapping_sub(state.next_system_time()));
        if surprises.contains(Surprises::MUL) {
            out.varint(u64::from(time.tsc_to_system_mul));
        }
        if surprises.contains(Surprises::SHIFT) {
            out.byte(time.tsc_shift as u8);
        }
        if surprises.contains(Surprises::FLAGS) {
            out.byte(time.flags);
        }
        if surprises.contains(Surprises::TSC) {
            let expected = state.line.ticks(time.system_time);
            out.signed(time.tsc_timestamp.wrapping_sub(expected));
        }
    }

    #[inline(always)]
    fn get(form: Form, predictor: &Predictor, _: &At, input: &mut In) -> Result<Self, DecodeError> {
        let mut surprises = Surprises::empty();
        if form == Form::Time {
            surprises = Surprises::from_bits(input.byte()?)
                .filter(|surprises| !surprises.is_empty())
                .ok_or(DecodeError::Range)?;
        }
        get_fields(&predictor.states.time, surprises, input)
    }

    #[inline(always)]
    fn observe(time: &Self, predictor: &mut Predictor, _: usize) {
        let state = &mut predictor.states.time;
        state.line.observe(time);
        state.step = time.system_time.wrapping_sub(state.last.system_time);
        state.last = *time;
    }

    fn text(time: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "system time {} ns at TSC {}, factor {}/2^32 shift {}, flags {:#x}",
            time.system_time,
            time.tsc_timestamp,
            time.tsc_to_system_mul,
            time.tsc_shift,
            time.flags
        )
    }

    #[cfg(feature = "std")]
    fn json(time: &Self) -> serde_json::Value {
        serde_json::json!({
            "tsc_timestamp": time.tsc_timestamp,
            "system_time_ns": time.system_time,
            "tsc_to_system_mul": time.tsc_to_system_mul,
            "tsc_shift": time.tsc_shift,
            "flags": time.flags,
        })
    }
}

#[inline(always)]
fn get_fields(
    state: &State,
    surprises: Surprises,
    input: &mut In,
) -> Result<TimeInfo, DecodeError> {
    let last = &state.last;
    let mut time = *last;
    let mut are_surprises = true;
    time.system_time = state.next_system_time().wrapping_add(input.signed()?);
    if surprises.contains(Surprises::MUL) {
        time.tsc_to_system_mul = input.varint_u32()?;
        are_surprises &= time.tsc_to_system_mul != last.tsc_to_system_mul;
    }
    if surprises.contains(Surprises::SHIFT) {
        time.tsc_shift = input.byte()? as i8;
        are_surprises &= time.tsc_shift != last.tsc_shift;
    }
    if surprises.contains(Surprises::FLAGS) {
        time.flags = input.byte()?;
        are_surprises &= time.flags != last.flags;
    }
    time.tsc_timestamp = state.line.ticks(time.system_time);
    if surprises.contains(Surprises::TSC) {
        let difference = input.signed()?;
        are_surprises &= difference != 0;
        time.tsc_timestamp = time.tsc_timestamp.wrapping_add(difference);
    }
    if !are_surprises {
        return Err(DecodeError::Overlong);
    }
    Ok(time)
}
