//! From bytes back to items.

use core::fmt;

use crate::Encoder;
use crate::predict::{Follower, Phase, Predictor, RingState, SLEEP_TICKS, TscState};
use crate::record::{
    End, EndReason, Item, MAX_RING_BYTES, MAX_VALUE_BYTES, Record, RingIn, Runstate, TimeInfo,
    ValueKind,
};
use crate::tag::{self, Form};
use crate::varint::In;

/// Why bytes are not a record. The decoder's state is as before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The input ends inside the record: call again with more.
    Incomplete,
    /// No record begins with this byte.
    Tag(u8),
    /// A number, a step or a flag is written in a longer form than needed, which no encoder does.
    Overlong,
    /// A number lies outside its field's range.
    Range,
    /// The record cannot stand here: a commit after a value of the same sync number, or a start
    /// record behind the start.
    Order,
    /// Bytes follow the end record.
    AfterEnd,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the bytes end inside a record"),
            Self::Tag(tag) => write!(f, "no record begins with byte {tag:#04x}"),
            Self::Overlong => f.write_str("a number is longer than its value needs"),
            Self::Range => f.write_str("a number is out of its field's range"),
            Self::Order => f.write_str("a record stands where its kind must not"),
            Self::AfterEnd => f.write_str("bytes follow the end record"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Turns wire bytes into items. Plain data: a copy of it can go back to where it was taken.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    predictor: Predictor,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the beginning of a log.
    pub const fn new() -> Self {
        Self {
            predictor: Predictor::new(),
        }
    }

    /// Reads the record at the beginning of `input`: its length in bytes, and the item.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Item<'a>), DecodeError> {
        let predictor = &self.predictor;
        if predictor.phase == Phase::Ended {
            return Err(if input.is_empty() {
                DecodeError::Incomplete
            } else {
                DecodeError::AfterEnd
            });
        }
        let slot = predictor.slot();
        let expected = predictor.follower(slot);
        if let [tag, first, second, ..] = *input
            && let Some((length, ticks)) = tag::short_tsc_of(tag, [first, second])
        {
            return Ok((length, self.take_short_tsc(slot, expected.step, ticks)?));
        }
        if let [EVENT_AS_EXPECTED, witness, ..] = *input
            && predictor.allows(expected.step.into(), true)
            && predictor.needs_witness(expected.step.into())
            && let Some(sync) = predictor.sync.checked_add(expected.step.into())
        {
            let (step, port) = (expected.step.into(), expected.port);
            self.predictor
                .observe_event(slot, step, sync, witness, port);
            let record = Record::Event { port };
            return Ok((
                2,
                Item {
                    sync,
                    witness,
                    record,
                },
            ));
        }
        self.decode_any(slot, expected, input)
    }

    /// [`Self::decode`] for all forms, out of the way of the two frequent ones.
    #[inline(never)]
    fn decode_any<'a>(
        &mut self,
        slot: usize,
        expected: Follower,
        input: &'a [u8],
    ) -> Result<(usize, Item<'a>), DecodeError> {
        if let Some(short) = tag::get_short_tsc(input) {
            let (length, ticks) = short?;
            return Ok((length, self.take_short_tsc(slot, expected.step, ticks)?));
        }
        let mut input = In::new(input);
        let (form, place) = get_place(&self.predictor, slot, expected, &mut input)?;
        // Each form is taken in by itself, where its kind is known: one value of all the kinds
        // would be put together and taken apart again.
        let predictor = &self.predictor;
        match form {
            Form::EventExpected => {
                let port = expected.port;
                self.take(&place, Record::Event { port }, &input)
            }
            Form::Event => {
                let port = u16::try_from(input.varint()?).map_err(|_| DecodeError::Range)?;
                if port == expected.port {
                    return Err(DecodeError::Overlong);
                }
                self.take(&place, Record::Event { port }, &input)
            }
            Form::TimeExpected => {
                let time = get_time(predictor, 0, &mut input)?;
                self.take(&place, Record::Time(time), &input)
            }
            Form::Time => {
                let surprises = input.byte()?;
                if surprises == 0 || surprises & !tag::TIME_ALL != 0 {
                    return Err(DecodeError::Range);
                }
                let time = get_time(predictor, surprises, &mut input)?;
                self.take(&place, Record::Time(time), &input)
            }
            Form::Wallclock => {
                let sec = predictor.wallclock.0.wrapping_add(input.signed()?);
                let nsec = input.varint_u32()?;
                if nsec >= 1_000_000_000 {
                    return Err(DecodeError::Range);
                }
                self.take(&place, Record::Wallclock { sec, nsec }, &input)
            }
            Form::Runstate => {
                let runstate = get_runstate(&predictor.runstate, &mut input)?;
                self.take(&place, Record::Runstate(runstate), &input)
            }
            Form::ConsoleIn => {
                let ring = get_ring(&predictor.console, false, &mut input)?;
                self.take(&place, Record::ConsoleIn(ring), &input)
            }
            Form::XenstoreIn => {
                let ring = get_ring(&predictor.xenstore, true, &mut input)?;
                self.take(&place, Record::XenstoreIn(ring), &input)
            }
            Form::Start => {
                let record = Record::Start {
                    registers: input.little_endian(8)?,
                    memory: input.little_endian(8)?,
                    pages: input.varint_u32()?,
                };
                self.take(&place, record, &input)
            }
            Form::End => {
                let end = End {
                    reason: EndReason::from_number(input.byte()?).ok_or(DecodeError::Range)?,
                    code: input.varint_u32()?,
                    rip: input.varint()?,
                    registers: input.little_endian(8)?,
                    memory: input.little_endian(8)?,
                    pages: input.varint_u32()?,
                };
                self.take(&place, Record::End(end), &input)
            }
            Form::Tsc | Form::TscPeriod | Form::TscSleep => {
                let is_expected_step = place.step == u64::from(expected.step);
                let value = get_tsc(&predictor.tsc, form, is_expected_step, &mut input)?;
                self.take(&place, Record::Tsc { value }, &input)
            }
            Form::Value => {
                let (kind, bytes) = get_value(&mut input)?;
                self.take(&place, Record::Value { kind, bytes }, &input)
            }
        }
    }

    /// The record is whole: takes it in.
    #[inline(always)]
    fn take<'a>(
        &mut self,
        place: &Place,
        record: Record<'a>,
        input: &In,
    ) -> Result<(usize, Item<'a>), DecodeError> {
        let item = Item {
            sync: place.sync,
            witness: place.witness,
            record,
        };
        self.predictor.observe(place.slot, place.step, &item);
        Ok((input.used(), item))
    }

    /// [`Self::decode`] for the most frequent form.
    #[inline]
    fn take_short_tsc<'a>(
        &mut self,
        slot: usize,
        step: u32,
        ticks: u32,
    ) -> Result<Item<'a>, DecodeError> {
        let step = u64::from(step);
        let sync = self.predictor.sync.checked_add(step);
        let sync = sync.ok_or(DecodeError::Range)?;
        let value = self.predictor.tsc.last.wrapping_add(u64::from(ticks));
        self.predictor.observe_short_tsc(slot, step, sync, value);
        Ok(Item {
            sync,
            witness: 0,
            record: Record::Tsc { value },
        })
    }

    /// The sync number of the last record, 0 before the first.
    pub const fn sync(&self) -> u64 {
        self.predictor.sync
    }

    /// Whether the end record was read.
    pub fn is_ended(&self) -> bool {
        self.predictor.phase == Phase::Ended
    }

    /// An encoder that continues this log.
    pub const fn to_encoder(&self) -> Encoder {
        Encoder::from_predictor(self.predictor)
    }
}

/// The tag of the second most frequent form.
const EVENT_AS_EXPECTED: u8 = Form::EventExpected as u8;

/// Where a record stands.
struct Place {
    slot: usize,
    step: u64,
    sync: u64,
    witness: u8,
}

/// Reads what all forms begin with.
#[inline(always)]
fn get_place(
    predictor: &Predictor,
    slot: usize,
    expected: Follower,
    input: &mut In,
) -> Result<(Form, Place), DecodeError> {
    let (form, step) = tag::get(input, expected.step)?;
    let sync = predictor.sync.checked_add(step).ok_or(DecodeError::Range)?;
    if !predictor.allows(step, form.is_commit()) || (form == Form::Start && sync != 0) {
        return Err(DecodeError::Order);
    }
    let witness = if !form.is_commit() {
        0
    } else if predictor.needs_witness(step) {
        input.byte()?
    } else {
        predictor.witness
    };
    let place = Place {
        slot,
        step,
        sync,
        witness,
    };
    Ok((form, place))
}

/// A TSC value, if an encoder would write it in this form.
fn get_tsc(
    tsc: &TscState,
    form: Form,
    is_expected_step: bool,
    input: &mut In,
) -> Result<u64, DecodeError> {
    let value = match form {
        Form::TscPeriod => {
            let expected = tsc.woken.wrapping_add(tsc.period);
            expected.wrapping_add(input.signed()?)
        }
        Form::TscSleep => {
            let expected = tsc.last.wrapping_add(tsc.sleep);
            expected.wrapping_add(input.signed()?)
        }
        _ => {
            let ticks = input.varint()?;
            if ticks < SLEEP_TICKS && is_expected_step {
                return Err(DecodeError::Overlong);
            }
            tsc.last.wrapping_add(ticks)
        }
    };
    if tag::tsc_form(tsc, value).0 == form {
        Ok(value)
    } else {
        Err(DecodeError::Overlong)
    }
}

fn get_time(predictor: &Predictor, surprises: u8, input: &mut In) -> Result<TimeInfo, DecodeError> {
    let before = &predictor.time;
    let mut time = *before;
    let mut are_surprises = true;
    time.system_time = predictor.next_system_time().wrapping_add(input.signed()?);
    if surprises & tag::TIME_MUL != 0 {
        time.tsc_to_system_mul = input.varint_u32()?;
        are_surprises &= time.tsc_to_system_mul != before.tsc_to_system_mul;
    }
    if surprises & tag::TIME_SHIFT != 0 {
        time.tsc_shift = input.byte()? as i8;
        are_surprises &= time.tsc_shift != before.tsc_shift;
    }
    if surprises & tag::TIME_FLAGS != 0 {
        time.flags = input.byte()?;
        are_surprises &= time.flags != before.flags;
    }
    time.tsc_timestamp = predictor.line.ticks(time.system_time);
    if surprises & tag::TIME_TSC != 0 {
        let difference = input.signed()?;
        are_surprises &= difference != 0;
        time.tsc_timestamp = time.tsc_timestamp.wrapping_add(difference);
    }
    if !are_surprises {
        return Err(DecodeError::Overlong);
    }
    Ok(time)
}

fn get_runstate(before: &Runstate, input: &mut In) -> Result<Runstate, DecodeError> {
    let changes = input.byte()?;
    if changes & !tag::RUNSTATE_ALL != 0 {
        return Err(DecodeError::Range);
    }
    let mut now = *before;
    if changes & tag::RUNSTATE_STATE != 0 {
        now.state = input.varint_u32()?;
        if now.state == before.state {
            return Err(DecodeError::Overlong);
        }
    }
    let mut bit = tag::RUNSTATE_TIME;
    for time in &mut now.time_ns {
        if changes & bit != 0 {
            let difference = input.signed()?;
            if difference == 0 {
                return Err(DecodeError::Overlong);
            }
            *time = time.wrapping_add(difference);
        }
        bit = bit.wrapping_shl(1);
    }
    let entry_step = tag::entry_step(before, &now.time_ns);
    now.state_entry_time_ns = before.state_entry_time_ns.wrapping_add(entry_step);
    if changes & tag::RUNSTATE_ENTRY != 0 {
        let difference = input.signed()?;
        if difference == 0 {
            return Err(DecodeError::Overlong);
        }
        now.state_entry_time_ns = now.state_entry_time_ns.wrapping_add(difference);
    }
    Ok(now)
}

fn get_ring<'a>(
    before: &RingState,
    has_ext: bool,
    input: &mut In<'a>,
) -> Result<RingIn<'a>, DecodeError> {
    let flags = input.byte()?;
    if !has_ext && flags >= tag::RING_EXT {
        return Err(DecodeError::Range);
    }
    let cons_step = match flags & tag::RING_CONS_MASK {
        tag::RING_CONS_SAME => 0,
        tag::RING_CONS_STEP if before.cons_step != 0 => before.cons_step,
        tag::RING_CONS => {
            let step = input.varint_u32()?;
            if step == 0 || step == before.cons_step {
                return Err(DecodeError::Overlong);
            }
            step
        }
        _ => return Err(DecodeError::Range),
    };
    let prod_step = if flags & tag::RING_PROD != 0 {
        Some(input.varint_u32()?)
    } else {
        None
    };
    let mut ext = before.ext;
    let mut bit = tag::RING_EXT;
    for word in &mut ext {
        if flags & bit != 0 {
            let new = input.varint_u32()?;
            if new == *word {
                return Err(DecodeError::Overlong);
            }
            *word = new;
        }
        bit = bit.wrapping_shl(1);
    }
    let length = match flags & tag::RING_LENGTH_MASK {
        tag::RING_EMPTY => 0,
        tag::RING_ONE_BYTE => 1,
        tag::RING_BYTES => input.varint()?.saturating_add(2),
        _ => return Err(DecodeError::Range),
    };
    if length > MAX_RING_BYTES as u64 {
        return Err(DecodeError::Range);
    }
    if prod_step.is_some_and(|step| u64::from(step) == length) {
        return Err(DecodeError::Overlong);
    }
    Ok(RingIn {
        prod: before.prod.wrapping_add(prod_step.unwrap_or(length as u32)),
        cons: before.cons.wrapping_add(cons_step),
        bytes: input.bytes(length as usize)?,
        ext,
    })
}

fn get_value<'a>(input: &mut In<'a>) -> Result<(ValueKind, &'a [u8]), DecodeError> {
    let byte = input.byte()?;
    let kind = ValueKind::from_number(byte >> 4).ok_or(DecodeError::Range)?;
    let length = match byte & 15 {
        15 => input.varint()?.saturating_add(15),
        short => u64::from(short),
    };
    if length > MAX_VALUE_BYTES as u64 {
        return Err(DecodeError::Range);
    }
    Ok((kind, input.bytes(length as usize)?))
}
