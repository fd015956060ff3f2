//! The first byte of a record, and the flag bytes of its payload.
//!
//! ```text
//! 1LLPPPPP  short TSC at the expected step: ticks since the last TSC are PPPPP followed by
//!           LL bytes (0 to 2), little-endian, PPPPP being the highest bits
//! 0SSSFFFF  any other record of form FFFF; SSS says how many sync points after the last record:
//!           0 as expected, 1 to 6 for 0 to 5, 7 for a varint (less 6) that follows
//! ```

use crate::DecodeError;
use crate::predict::{Predictor, SLEEP_TICKS, TscState};
use crate::record::{Runstate, TimeInfo};
use crate::varint::{In, Out, fold};

/// What follows the tag. 0 and 15 are not used, so that a run of zeros is not a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Form {
    /// An event on the expected port.
    EventExpected = 1,
    /// An event; the port follows.
    Event = 2,
    /// A time page on the expected line; the surprise in system time follows.
    TimeExpected = 3,
    /// A time page with flags for what is not as expected.
    Time = 4,
    Wallclock = 5,
    Runstate = 6,
    ConsoleIn = 7,
    XenstoreIn = 8,
    Start = 9,
    End = 10,
    /// Ticks since the last TSC.
    Tsc = 11,
    /// Difference to one period after the last wake-up.
    TscPeriod = 12,
    /// Difference to a sleep as long as the last one.
    TscSleep = 13,
    Value = 14,
}

impl Form {
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::EventExpected,
            2 => Self::Event,
            3 => Self::TimeExpected,
            4 => Self::Time,
            5 => Self::Wallclock,
            6 => Self::Runstate,
            7 => Self::ConsoleIn,
            8 => Self::XenstoreIn,
            9 => Self::Start,
            10 => Self::End,
            11 => Self::Tsc,
            12 => Self::TscPeriod,
            13 => Self::TscSleep,
            14 => Self::Value,
            _ => return None,
        })
    }

    pub(crate) const fn is_commit(self) -> bool {
        !matches!(
            self,
            Self::Tsc | Self::TscPeriod | Self::TscSleep | Self::Value
        )
    }
}

/// `tsc_to_system_mul` changed.
pub(crate) const TIME_MUL: u8 = 1;
/// `tsc_shift` changed.
pub(crate) const TIME_SHIFT: u8 = 2;
/// `flags` changed.
pub(crate) const TIME_FLAGS: u8 = 4;
/// `tsc_timestamp` is off the line; the line before this page's changes counts.
pub(crate) const TIME_TSC: u8 = 8;
pub(crate) const TIME_ALL: u8 = TIME_MUL | TIME_SHIFT | TIME_FLAGS | TIME_TSC;

/// `state` changed.
pub(crate) const RUNSTATE_STATE: u8 = 1;
/// The entry time is not as the times in the states say.
pub(crate) const RUNSTATE_ENTRY: u8 = 2;
/// The first of four bits: the time in that state changed.
pub(crate) const RUNSTATE_TIME: u8 = 4;
pub(crate) const RUNSTATE_ALL: u8 = 0x3f;

/// Length of the ring's new bytes.
pub(crate) const RING_LENGTH_MASK: u8 = 3;
pub(crate) const RING_EMPTY: u8 = 0;
pub(crate) const RING_ONE_BYTE: u8 = 1;
/// A varint of the length less 2 follows.
pub(crate) const RING_BYTES: u8 = 2;
/// The producer moved by another distance than the length; a varint of it follows.
pub(crate) const RING_PROD: u8 = 4;
pub(crate) const RING_CONS_MASK: u8 = 0x18;
pub(crate) const RING_CONS_SAME: u8 = 0;
/// The consumer moved as far as the last time it moved.
pub(crate) const RING_CONS_STEP: u8 = 8;
/// A varint of the consumer's step follows.
pub(crate) const RING_CONS: u8 = 0x10;
/// The first of three bits: that word of `ext` changed and follows.
pub(crate) const RING_EXT: u8 = 0x20;

const SHORT_TSC: u8 = 0x80;
const STEP_VARINT: u8 = 7;
const STEP_VARINT_BASE: u64 = 6;

/// How far the entry time moves when all time between the two is accounted for in the states.
pub(crate) fn entry_step(before: &Runstate, time_ns: &[u64; 4]) -> u64 {
    time_ns
        .iter()
        .zip(&before.time_ns)
        .fold(0u64, |sum, (new, old)| {
            sum.wrapping_add(new.wrapping_sub(*old))
        })
}

/// Which fields of a time page are not as expected, as `TIME_*` bits.
pub(crate) fn time_surprises(predictor: &Predictor, time: &TimeInfo) -> u8 {
    let before = &predictor.time;
    let mut surprises = 0;
    if time.tsc_to_system_mul != before.tsc_to_system_mul {
        surprises |= TIME_MUL;
    }
    if time.tsc_shift != before.tsc_shift {
        surprises |= TIME_SHIFT;
    }
    if time.flags != before.flags {
        surprises |= TIME_FLAGS;
    }
    if time.tsc_timestamp != predictor.line.ticks(time.system_time) {
        surprises |= TIME_TSC;
    }
    surprises
}

/// The tag of a record whose step needs no more than the tag.
#[inline]
pub(crate) fn short(form: Form, step: u64, expected_step: u32) -> Option<u8> {
    let form = form as u8;
    if step == u64::from(expected_step) {
        Some(form)
    } else if step < STEP_VARINT_BASE {
        Some((step as u8).wrapping_add(1) << 4 | form)
    } else {
        None
    }
}

pub(crate) fn put(out: &mut Out, form: Form, step: u64, expected_step: u32) {
    if let Some(tag) = short(form, step, expected_step) {
        out.byte(tag);
    } else {
        out.byte(STEP_VARINT << 4 | form as u8);
        out.varint(step.wrapping_sub(STEP_VARINT_BASE));
    }
}

/// The form in which a TSC value is shortest, unless it is a short one, and the number to write.
pub(crate) fn tsc_form(tsc: &TscState, value: u64) -> (Form, u64) {
    let ticks = value.wrapping_sub(tsc.last);
    if ticks < SLEEP_TICKS {
        return (Form::Tsc, ticks);
    }
    let period = fold(value.wrapping_sub(tsc.woken.wrapping_add(tsc.period)));
    let sleep = fold(value.wrapping_sub(tsc.last.wrapping_add(tsc.sleep)));
    if period < ticks && period <= sleep {
        (Form::TscPeriod, period)
    } else if sleep < ticks {
        (Form::TscSleep, sleep)
    } else {
        (Form::Tsc, ticks)
    }
}

/// A short TSC record, with `ticks` below 2^21: its bytes, lowest first, and how many they are.
#[inline]
pub(crate) const fn short_tsc(ticks: u32) -> (u32, usize) {
    let short = SHORT_TSC as u32;
    if ticks < 1 << 5 {
        (short | ticks, 1)
    } else if ticks < 1 << 13 {
        (short | 1 << 5 | ticks >> 8 | (ticks & 0xff) << 8, 2)
    } else {
        let low = ticks & 0xffff;
        (short | 2 << 5 | ticks >> 16 & 0x1f | low << 8, 3)
    }
}

/// A short TSC record that begins with `tag`, from it and the two bytes behind it, which need not be
/// the record's: its length and ticks; nothing if there is no such record.
#[inline]
pub(crate) const fn short_tsc_of(tag: u8, behind: [u8; 2]) -> Option<(usize, u32)> {
    let low_bytes = (tag >> 5 ^ SHORT_TSC >> 5) as u32;
    if low_bytes > 2 {
        return None;
    }
    let low_values = 1u32 << (low_bytes << 3 & 31);
    let low = u16::from_le_bytes(behind) as u32 & low_values.wrapping_sub(1);
    let ticks = (tag as u32 & 0x1f).wrapping_mul(low_values) | low;
    // Fewer would take fewer bytes: 0, 2^5 or 2^13.
    if ticks < low_values >> 3 {
        return None;
    }
    Some((low_bytes.wrapping_add(1) as usize, ticks))
}

/// Reads a short TSC record at the end of the input, or says what is wrong with it: its length and
/// ticks; nothing if it is a record of another form.
pub(crate) fn get_short_tsc(input: &[u8]) -> Option<Result<(usize, u32), DecodeError>> {
    let (tag, behind, given) = match *input {
        [tag, first, second, ..] => (tag, [first, second], 3),
        [tag, first] => (tag, [first, 0], 2),
        [tag] => (tag, [0, 0], 1),
        [] => return None,
    };
    if tag & SHORT_TSC == 0 {
        return None;
    }
    let length = usize::from(tag >> 5 & 3).wrapping_add(1);
    Some(match short_tsc_of(tag, behind) {
        _ if length > 3 => Err(DecodeError::Tag(tag)),
        _ if length > given => Err(DecodeError::Incomplete),
        Some(short) => Ok(short),
        None => Err(DecodeError::Overlong),
    })
}

/// Reads the tag of any other record: its form and its step.
#[inline]
pub(crate) fn get(input: &mut In, expected_step: u32) -> Result<(Form, u64), DecodeError> {
    let tag = input.byte()?;
    let form = Form::from_number(tag & 15).ok_or(DecodeError::Tag(tag))?;
    let expected_step = u64::from(expected_step);
    let step = match tag >> 4 {
        0 => return Ok((form, expected_step)),
        STEP_VARINT => input
            .varint()?
            .checked_add(STEP_VARINT_BASE)
            .ok_or(DecodeError::Range)?,
        1..STEP_VARINT => u64::from((tag >> 4).wrapping_sub(1)),
        _ => return Err(DecodeError::Tag(tag)),
    };
    if step == expected_step {
        return Err(DecodeError::Overlong);
    }
    Ok((form, step))
}
