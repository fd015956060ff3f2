//! An event channel becomes pending.
//!
//! A port is expected to follow what it followed before: see [`crate::predict::Follower`].

use core::fmt;

use super::{Form, Record, Rules};
use crate::decode::At;
use crate::encode::Head;
use crate::item::Item;
use crate::predict::{Follower, Predictor};
use crate::varint::{In, Out};
use crate::{DecodeError, Decoder, Encoder, tag};

/// The fields of [`Record::Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The guest's port.
    pub port: u16,
}

/// The tag of the most frequent commit.
const AS_EXPECTED: u8 = Form::EventExpected as u8;

impl Rules for Event {
    type Fields<'a> = Self;
    type State = ();
    const START: () = ();

    #[inline(always)]
    fn put(&Self { port }: &Self, head: &Head, out: &mut Out) {
        if port == head.expected.port {
            head.put(Form::EventExpected, out);
        } else {
            head.put(Form::Event, out);
            out.varint(u64::from(port));
        }
    }

    #[inline(always)]
    fn get(form: Form, _: &Predictor, at: &At, input: &mut In) -> Result<Self, DecodeError> {
        let expected = at.expected.port;
        if form == Form::EventExpected {
            return Ok(Self { port: expected });
        }
        let port = u16::try_from(input.varint()?).map_err(|_| DecodeError::Range)?;
        if port == expected {
            return Err(DecodeError::Overlong);
        }
        Ok(Self { port })
    }

    #[inline(always)]
    fn observe(&Self { port }: &Self, predictor: &mut Predictor, slot: usize) {
        predictor.expect_port(slot, port);
    }

    fn text(Self { port }: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {port}")
    }

    #[cfg(feature = "std")]
    fn json(Self { port }: &Self) -> serde_json::Value {
        serde_json::json!({ "port": port })
    }
}

impl Encoder {
    /// [`Self::encode`] for an event of the usual form: its bytes, lowest first, and how many they
    /// are. Otherwise it remembers nothing.
    #[inline]
    pub fn encode_short_event(
        &mut self,
        sync: u64,
        witness: u8,
        port: u16,
    ) -> Option<(u64, usize)> {
        let predictor = &self.predictor;
        let step = sync.checked_sub(predictor.sync)?;
        let needs_witness = predictor.needs_witness(step);
        if !predictor.allows(step, true) || !(needs_witness || witness == predictor.witness) {
            return None;
        }
        let slot = predictor.slot();
        let expected = predictor.follower(slot);
        let form = if port == expected.port {
            Form::EventExpected
        } else if port < 0x80 {
            Form::Event
        } else {
            return None;
        };
        let mut word = u64::from(tag::short(form as u8, step, expected.step)?);
        let mut bits = 8;
        if needs_witness {
            word |= u64::from(witness) << bits;
            bits += 8;
        }
        if port != expected.port {
            word |= u64::from(port) << bits;
            bits += 8;
        }
        self.predictor
            .observe_event(slot, step, sync, witness, port);
        Some((word, bits / 8))
    }
}

impl Decoder {
    /// [`Self::decode`] for the most frequent commit: an event as expected, the first commit at its
    /// sync number. Nothing, and nothing remembered, if it is another record.
    #[inline(always)]
    pub(crate) fn decode_short_event<'a>(
        &mut self,
        slot: usize,
        expected: Follower,
        input: &[u8],
    ) -> Option<(usize, Item<'a>)> {
        let predictor = &mut self.predictor;
        if let [AS_EXPECTED, witness, ..] = *input
            && predictor.allows(expected.step.into(), true)
            && predictor.needs_witness(expected.step.into())
            && let Some(sync) = predictor.sync.checked_add(expected.step.into())
        {
            let port = expected.port;
            predictor.observe_event(slot, expected.step.into(), sync, witness, port);
            let record = Record::Event(Event { port });
            let item = Item {
                sync,
                witness,
                record,
            };
            return Some((2, item));
        }
        None
    }
}

impl Predictor {
    /// Takes in an event: [`Self::observe`] for the most frequent commit.
    #[inline]
    fn observe_event(&mut self, slot: usize, step: u64, sync: u64, witness: u8, port: u16) {
        self.expect_port(slot, port);
        self.advance(slot, step, sync, super::Kind::Event);
        self.take_commit(witness);
    }
}
