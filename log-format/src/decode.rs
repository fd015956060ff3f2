//! From bytes back to items.

use core::fmt;

use crate::Encoder;
use crate::item::Item;
use crate::kinds::{FIRST_VECTOR, Form, Record, tsc};
use crate::predict::{Follower, Phase, Predictor};
use crate::tag;
use crate::varint::In;

/// Why bytes are not a record. The decoder's state is as before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The input ends inside the record: call again with more.
    Incomplete,
    /// No record begins with this byte.
    Tag(u8),
    /// No record has this form, which stands behind the tag.
    Form(u8),
    /// A number, a step or a flag is written in a longer form than needed, which no encoder does.
    Overlong,
    /// A number lies outside its field's range.
    Range,
    /// No interrupt has this vector: it is one of the processor's exceptions.
    Vector(u8),
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
            Self::Form(form) => write!(f, "no record has the form {form}"),
            Self::Overlong => f.write_str("a number is longer than its value needs"),
            Self::Range => f.write_str("a number is out of its field's range"),
            Self::Vector(vector) => write!(
                f,
                "no interrupt has the vector {vector}: they begin with {FIRST_VECTOR}"
            ),
            Self::Order => f.write_str("a record stands where its kind must not"),
            Self::AfterEnd => f.write_str("bytes follow the end record"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Turns wire bytes into items. Plain data: a copy of it can go back to where it was taken.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    pub(crate) predictor: Predictor,
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
            && let Some((length, ticks)) = tsc::short_of(tag, [first, second])
        {
            return Ok((length, self.take_short_tsc(slot, expected.step, ticks)?));
        }
        if let Some(short) = self.decode_short_event(slot, expected, input) {
            return Ok(short);
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
        if let Some(short) = tsc::last_short_of(input) {
            let (length, ticks) = short?;
            return Ok((length, self.take_short_tsc(slot, expected.step, ticks)?));
        }
        let mut input = In::new(input);
        let (form, at) = get_head(&self.predictor, slot, expected, &mut input)?;
        self.decode_form(form, &at, input)
    }

    /// The record is whole: takes it in.
    #[inline(always)]
    pub(crate) fn take<'a>(
        &mut self,
        at: &At,
        record: Record<'a>,
        input: &In,
    ) -> Result<(usize, Item<'a>), DecodeError> {
        let item = Item {
            sync: at.sync,
            witness: at.witness,
            record,
        };
        self.predictor.observe(at.slot, at.step, &item);
        Ok((input.used(), item))
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

/// Where a record that is being read stands, and what is expected there.
pub(crate) struct At {
    slot: usize,
    pub(crate) expected: Follower,
    pub(crate) step: u64,
    pub(crate) sync: u64,
    witness: u8,
}

/// Reads what all forms begin with.
#[inline(always)]
fn get_head(
    predictor: &Predictor,
    slot: usize,
    expected: Follower,
    input: &mut In,
) -> Result<(Form, At), DecodeError> {
    let (form, step) = tag::get(input, expected.step)?;
    let sync = predictor.sync.checked_add(step).ok_or(DecodeError::Range)?;
    if !predictor.allows(step, form.is_commit()) {
        return Err(DecodeError::Order);
    }
    let witness = if !form.is_commit() {
        0
    } else if predictor.needs_witness(step) {
        input.byte()?
    } else {
        predictor.witness
    };
    let at = At {
        slot,
        expected,
        step,
        sync,
        witness,
    };
    Ok((form, at))
}
