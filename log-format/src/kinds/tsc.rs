//! The answer to RDTSC or RDTSCP.
//!
//! Most are read soon after the one before, and take one to three bytes, tag and all:
//!
//! ```text
//! 1LLPPPPP  at the expected step: ticks since the last TSC value are PPPPP followed by
//!           LL bytes (0 to 2), little-endian, PPPPP being the highest bits
//! ```
//!
//! A guest that sleeps wakes either after the same time again, or at the same distance from when it
//! woke last.

use core::fmt;

use super::{Form, Kind, Record, Rules};
use crate::decode::At;
use crate::encode::Head;
use crate::item::Item;
use crate::predict::{Phase, Predictor};
use crate::varint::{In, Out, fold};
use crate::{DecodeError, Decoder, Encoder};

/// The fields of [`Record::Tsc`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tsc {
    /// The counter that the guest was given.
    pub value: u64,
}

/// A difference of this many ticks or more means that the guest slept.
pub(crate) const SLEEP_TICKS: u64 = 1 << 21;

/// The bit of a tag that makes it a short TSC record's.
pub(crate) const SHORT_TSC: u8 = 0x80;

/// Expected values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// The value last read.
    last: u64,
    /// The first value after the last sleep.
    woken: u64,
    /// Ticks between the first values after the last two sleeps.
    period: u64,
    /// Length of the last sleep in ticks.
    sleep: u64,
}

impl State {
    const fn after_period(&self) -> u64 {
        self.woken.wrapping_add(self.period)
    }

    const fn after_sleep(&self) -> u64 {
        self.last.wrapping_add(self.sleep)
    }

    /// The form in which a value is shortest, unless it is a short one, and the number to write.
    fn form(&self, value: u64) -> (Form, u64) {
        let ticks = value.wrapping_sub(self.last);
        if ticks < SLEEP_TICKS {
            return (Form::Tsc, ticks);
        }
        let period = fold(value.wrapping_sub(self.after_period()));
        let sleep = fold(value.wrapping_sub(self.after_sleep()));
        if period < ticks && period <= sleep {
            (Form::TscPeriod, period)
        } else if sleep < ticks {
            (Form::TscSleep, sleep)
        } else {
            (Form::Tsc, ticks)
        }
    }
}

impl Rules for Tsc {
    type Fields<'a> = Self;
    type State = State;
    const START: State = State {
        last: 0,
        woken: 0,
        period: 0,
        sleep: 0,
    };

    #[inline(always)]
    fn put(&Self { value }: &Self, head: &Head, out: &mut Out) {
        let (form, number) = head.predictor.states.tsc.form(value);
        head.put(form, out);
        out.varint(number);
    }

    #[inline(always)]
    fn get(
        form: Form,
        predictor: &Predictor,
        at: &At,
        input: &mut In,
    ) -> Result<Self, DecodeError> {
        let state = &predictor.states.tsc;
        let value = match form {
            Form::TscPeriod => state.after_period().wrapping_add(input.signed()?),
            Form::TscSleep => state.after_sleep().wrapping_add(input.signed()?),
            _ => {
                let ticks = input.varint()?;
                if ticks < SLEEP_TICKS && at.step == u64::from(at.expected.step) {
                    return Err(DecodeError::Overlong);
                }
                state.last.wrapping_add(ticks)
            }
        };
        if state.form(value).0 == form {
            Ok(Self { value })
        } else {
            Err(DecodeError::Overlong)
        }
    }

    #[inline(always)]
    fn observe(&Self { value }: &Self, predictor: &mut Predictor, _: usize) {
        let state = &mut predictor.states.tsc;
        let ticks = value.wrapping_sub(state.last);
        if ticks >= SLEEP_TICKS {
            state.sleep = ticks;
            state.period = value.wrapping_sub(state.woken);
            state.woken = value;
        }
        state.last = value;
    }

    fn text(Self { value }: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{value}")
    }

    #[cfg(feature = "std")]
    fn json(Self { value }: &Self) -> serde_json::Value {
        serde_json::json!({ "value": value })
    }
}

impl Encoder {
    /// [`Self::encode`] for a TSC value of the usual form: its bytes, lowest first, and how many
    /// they are. Otherwise it remembers nothing.
    #[inline]
    pub fn encode_short_tsc(&mut self, sync: u64, value: u64) -> Option<(u64, usize)> {
        let predictor = &self.predictor;
        let step = sync.wrapping_sub(predictor.sync);
        let slot = predictor.slot();
        let ticks = value.wrapping_sub(predictor.states.tsc.last);
        if ticks >= SLEEP_TICKS
            || step != u64::from(predictor.follower(slot).step)
            || sync < predictor.sync
            || predictor.phase == Phase::Ended
        {
            return None;
        }
        let (word, len) = short(ticks as u32);
        self.predictor.observe_short_tsc(slot, step, sync, value);
        Some((u64::from(word), len))
    }
}

impl Decoder {
    /// [`Self::decode`] for what [`short_of`] found at the beginning of the input.
    #[inline]
    pub(crate) fn take_short_tsc<'a>(
        &mut self,
        slot: usize,
        step: u32,
        ticks: u32,
    ) -> Result<Item<'a>, DecodeError> {
        let step = u64::from(step);
        let predictor = &mut self.predictor;
        let sync = predictor.sync.checked_add(step).ok_or(DecodeError::Range)?;
        let value = predictor.states.tsc.last.wrapping_add(u64::from(ticks));
        predictor.observe_short_tsc(slot, step, sync, value);
        Ok(Item {
            sync,
            witness: 0,
            record: Record::Tsc(Tsc { value }),
        })
    }
}

impl Predictor {
    /// Takes in a value less than [`SLEEP_TICKS`] after the last: [`Self::observe`] for the most
    /// frequent kind.
    #[inline]
    fn observe_short_tsc(&mut self, slot: usize, step: u64, sync: u64, value: u64) {
        self.advance(slot, step, sync, Kind::Tsc);
        self.phase = Phase::Values;
        self.states.tsc.last = value;
    }
}

/// A short record, with `ticks` below 2^21: its bytes, lowest first, and how many they are.
#[inline]
const fn short(ticks: u32) -> (u32, usize) {
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

/// A short record that begins with `tag`, from it and the two bytes behind it, which need not be the
/// record's: its length and ticks; nothing if there is no such record.
#[inline]
pub(crate) const fn short_of(tag: u8, behind: [u8; 2]) -> Option<(usize, u32)> {
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

/// A short record at the end of the input, or what is wrong with it: its length and ticks; nothing
/// if it is a record of another form.
pub(crate) fn last_short_of(input: &[u8]) -> Option<Result<(usize, u32), DecodeError>> {
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
    Some(match short_of(tag, behind) {
        _ if length > 3 => Err(DecodeError::Tag(tag)),
        _ if length > given => Err(DecodeError::Incomplete),
        Some(short) => Ok(short),
        None => Err(DecodeError::Overlong),
    })
}
