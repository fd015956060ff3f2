//! From items to bytes.

use crate::MAX_RECORD_BYTES;
use crate::item::Item;
use crate::kinds::{Form, Record, Tsc};
use crate::predict::{Follower, Phase, Predictor};
use crate::tag;
use crate::varint::Out;

/// Turns items into wire bytes. Plain data, to be kept beside the ring.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    pub(crate) predictor: Predictor,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder at the beginning of a log.
    pub const fn new() -> Self {
        Self {
            predictor: Predictor::new(),
        }
    }

    /// An encoder that continues where a decoder stands.
    pub(crate) const fn from_predictor(predictor: Predictor) -> Self {
        Self { predictor }
    }

    /// Writes one record to the beginning of `out` and returns its length.
    ///
    /// Returns 0, and writes and remembers nothing, if the item cannot stand in a log: its sync
    /// number goes back, a commit follows a value of the same sync number, anything follows the
    /// end record, `Start` is not at sync number 0, a field is longer or larger than its limit, a
    /// value has a witness or a commit has another one than the commits before it at its number.
    pub fn encode(&mut self, item: &Item, out: &mut [u8; MAX_RECORD_BYTES]) -> usize {
        if let Record::Tsc(Tsc { value }) = item.record
            && item.witness == 0
            && let Some((word, len)) = self.encode_short_tsc(item.sync, value)
        {
            let bytes = word.to_le_bytes();
            for (to, from) in out.iter_mut().zip(bytes.iter().take(len)) {
                *to = *from;
            }
            return len;
        }
        let predictor = &self.predictor;
        let Some(step) = item.sync.checked_sub(predictor.sync) else {
            return 0;
        };
        let slot = predictor.slot();
        let is_commit = item.record.is_commit();
        if !predictor.allows(step, is_commit) || !is_valid(predictor, step, item) {
            return 0;
        }
        let head = Head {
            predictor,
            step,
            expected: predictor.follower(slot),
            witness: item.witness,
        };
        let mut out = Out::new(out);
        item.record.put(&head, &mut out);
        self.predictor.observe(slot, step, item);
        out.used()
    }

    /// Whether the end record was written.
    pub fn is_ended(&self) -> bool {
        self.predictor.phase == Phase::Ended
    }
}

#[inline(always)]
fn is_valid(predictor: &Predictor, step: u64, item: &Item) -> bool {
    let witness_fits = if item.record.is_commit() {
        predictor.needs_witness(step) || item.witness == predictor.witness
    } else {
        item.witness == 0
    };
    witness_fits && item.record.is_valid(item.sync)
}

/// Where a record that is being written stands, and what is expected there.
pub(crate) struct Head<'a> {
    pub(crate) predictor: &'a Predictor,
    step: u64,
    pub(crate) expected: Follower,
    witness: u8,
}

impl Head<'_> {
    /// Writes what all forms begin with.
    #[inline(always)]
    pub(crate) fn put(&self, form: Form, out: &mut Out) {
        tag::put(out, form as u8, self.step, self.expected.step);
        if form.is_commit() && self.predictor.needs_witness(self.step) {
            out.byte(self.witness);
        }
    }
}
