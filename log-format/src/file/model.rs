//! What the next bit of a small chunk will be.
//!
//! zstd needs a few bytes for anything, which is most of what an idle guest's chunk has. Here each
//! bit of the wire bytes is predicted from where it stands in its record and from the records
//! before, by several counters whose opinions are weighed, and goes through a range coder. The
//! weights follow which counters were right lately, each place in a record for itself: digits that
//! follow from nothing, such as a witness, cost what they hold and no more.
//!
//! All is integer arithmetic, the same everywhere. The model learns from modelled chunks only.

use std::sync::LazyLock;

use super::range::{Probability, RangeDecoder, RangeEncoder};
use crate::varint::{In, Out};
use crate::{DecodeError, Decoder, MAX_RECORD_BYTES};

/// Chunks of more wire bytes than this are left to zstd: they come from busy guests.
pub(super) const MAX_MODELED_BYTES: usize = 8 << 10;

/// Counters that have an opinion on each bit.
const OPINIONS: usize = 5;
/// log2 of the number of counters for each of them.
const TABLE_BITS: u32 = 15;
/// A counter's memory, in bits seen.
const MEMORY: u16 = 120;
/// How fast the weights follow, as a power of two.
const RATE_SHIFT: u32 = 14;
/// Places in a record that are told apart.
const PLACES: usize = 12;
/// Numbers that [`form`] has, and one for the beginning of a record.
const FORMS: usize = 21;
/// A weight of 1.
const ONE: i32 = 1 << 16;

/// Logits are in units of 1/256, from -2047 to 2047.
const LOGITS: usize = 4096;
/// e^(1/256), as a fraction of 2^32.
const STEP: u128 = 4_311_810_305;

/// The probability for each logit, and the logit for each probability (of 4096ths).
struct Tables {
    probability: Vec<u16>,
    logit: Vec<i16>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    // Odds grow by the same factor from logit to logit; beyond even ones symmetry does the rest.
    let mut probability = vec![0u16; LOGITS];
    let mut odds: u128 = 1 << 64;
    for distance in 0..=2047usize {
        let above = ((odds << 16) / (odds + (1 << 64))).min(65_535) as u16;
        probability[2048 + distance] = above;
        probability[2048 - distance] = (65_536 - u32::from(above)) as u16;
        odds = (odds * STEP) >> 32;
    }
    probability[0] = probability[1];
    let mut logit = vec![0i16; 4096];
    let mut at = 0;
    for (value, slot) in logit.iter_mut().enumerate() {
        while at < LOGITS - 1 && usize::from(probability[at]) < value * 16 + 8 {
            at += 1;
        }
        *slot = at as i16 - 2048;
    }
    Tables { probability, logit }
});

fn squash(logit: i32) -> Probability {
    let index = (logit.clamp(-2047, 2047) + 2048) as usize;
    TABLES.probability.get(index).copied().unwrap_or(1 << 15)
}

fn stretch(probability: u16) -> i32 {
    let logit = TABLES.logit.get(usize::from(probability >> 4));
    i32::from(logit.copied().unwrap_or(0))
}

/// How often a bit was 1 in one context.
#[derive(Clone, Copy, Debug)]
struct Counter {
    probability: u16,
    seen: u16,
}

impl Counter {
    const NEW: Self = Self {
        probability: 1 << 15,
        seen: 0,
    };

    /// The more was seen, the less a bit changes it.
    fn learn(&mut self, bit: bool) {
        let target = if bit { 65_535 } else { 0 };
        let error = target - i32::from(self.probability);
        let step = error * 2 / (2 * i32::from(self.seen) + 3);
        self.probability = (i32::from(self.probability) + step) as u16;
        self.seen = (self.seen + 1).min(MEMORY);
    }
}

/// The state of the model, the same in writer and reader. Its tables are made for the first chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    counters: Vec<Counter>,
    weights: Vec<[i32; OPINIONS]>,
    /// First bytes of the last eight records, the last one lowest.
    tags: u64,
    /// The bytes of the last record of each form, as far as there are places.
    last: Vec<[u8; PLACES]>,
}

/// A record's first byte without the digits of a time.
const fn tag_class(tag: u8) -> u8 {
    if tag & 0x80 != 0 { tag & 0xe0 } else { tag }
}

/// Kinds of records, by their first byte.
const fn form(tag: u8) -> usize {
    if tag & 0x80 != 0 {
        16 + (tag >> 5 & 3) as usize
    } else {
        (tag & 15) as usize
    }
}

const fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(23)
}

/// Where a byte stands: what its bits are predicted from.
struct Context {
    hashes: [u64; OPINIONS],
    weights: usize,
}

impl Model {
    fn make_tables(&mut self) {
        if self.counters.is_empty() {
            self.counters = vec![Counter::NEW; OPINIONS << TABLE_BITS];
            self.weights = vec![[ONE / 3; OPINIONS]; FORMS * PLACES];
            self.last = vec![[0; PLACES]; FORMS];
        }
    }

    /// The context of the byte that follows `record`, the bytes of its record so far.
    fn context(&self, record: &[u8]) -> Context {
        let place = record.len();
        let near = place.min(PLACES - 1);
        let (tag, class, form) = match record.first() {
            Some(&tag) => (tag, tag_class(tag), form(tag)),
            None => (0, 0, FORMS - 1),
        };
        let start = mix(u64::from(class), near as u64 + 1);
        let before = |distance: usize| {
            let at = place.checked_sub(distance);
            u64::from(at.and_then(|at| record.get(at)).copied().unwrap_or(0))
        };
        let last = self.last.get(form).and_then(|last| last.get(near));
        let last = u64::from(last.copied().unwrap_or(0));
        let hashes = [
            start,
            mix(start, self.tags & 0xff),
            mix(start, self.tags & 0xff_ffff),
            mix(start, self.tags),
            mix(
                mix(start, before(1) | before(2) << 8 | u64::from(tag) << 16),
                last,
            ),
        ];
        Context {
            hashes,
            weights: form * PLACES + near,
        }
    }

    /// Passes one byte through `code`, which is told the probability of each bit and says the bit.
    fn byte(&mut self, context: &Context, mut code: impl FnMut(u32, Probability) -> bool) -> u8 {
        let mut partial = 1u32;
        for position in (0..8).rev() {
            let mut slots = [0usize; OPINIONS];
            let mut logits = [0i32; OPINIONS];
            let mut sum = 0i64;
            let weights = self.weights.get(context.weights).copied();
            let weights = weights.unwrap_or([ONE / 3; OPINIONS]);
            for (opinion, hash) in context.hashes.iter().enumerate() {
                let index = mix(*hash, u64::from(partial)) >> (64 - TABLE_BITS);
                let slot = (opinion << TABLE_BITS) + index as usize;
                let counter = self.counters.get(slot).copied().unwrap_or(Counter::NEW);
                let logit = stretch(counter.probability);
                if let Some(place) = slots.get_mut(opinion) {
                    *place = slot;
                }
                if let Some(place) = logits.get_mut(opinion) {
                    *place = logit;
                }
                sum += i64::from(logit) * i64::from(weights.get(opinion).copied().unwrap_or(0));
            }
            let probability = squash((sum >> 16).clamp(-2047, 2047) as i32);
            let bit = code(position, probability);
            partial = partial << 1 | u32::from(bit);
            let target = if bit { 65_535 } else { 0 };
            let error = target - i32::from(probability);
            if let Some(weights) = self.weights.get_mut(context.weights) {
                for (weight, logit) in weights.iter_mut().zip(logits) {
                    *weight = (*weight + ((logit * error) >> RATE_SHIFT)).clamp(-8 * ONE, 8 * ONE);
                }
            }
            for slot in slots {
                if let Some(counter) = self.counters.get_mut(slot) {
                    counter.learn(bit);
                }
            }
        }
        partial as u8
    }

    /// Remembers a whole record.
    fn end_record(&mut self, record: &[u8]) {
        let Some(&tag) = record.first() else { return };
        self.tags = self.tags << 8 | u64::from(tag_class(tag));
        if let Some(last) = self.last.get_mut(form(tag)) {
            for (to, from) in last.iter_mut().zip(record) {
                *to = *from;
            }
        }
    }

    /// Compresses whole records that continue what `decoder` has read.
    pub(super) fn pack(&mut self, mut decoder: Decoder, wire: &[u8]) -> Option<Vec<u8>> {
        self.make_tables();
        let mut buffer = [0; MAX_RECORD_BYTES];
        let mut out = Out::new(&mut buffer);
        out.varint(wire.len() as u64);
        let used = out.used();
        let mut encoder = RangeEncoder::new(buffer.get(..used)?.to_vec());
        let mut rest = wire;
        while !rest.is_empty() {
            let (length, _) = decoder.decode(rest).ok()?;
            let (record, behind) = rest.split_at_checked(length)?;
            for (place, &byte) in record.iter().enumerate() {
                let context = self.context(record.get(..place)?);
                self.byte(&context, |position, probability| {
                    let bit = byte >> position & 1 != 0;
                    encoder.encode(probability, bit);
                    bit
                });
            }
            self.end_record(record);
            rest = behind;
        }
        Some(encoder.finish())
    }

    /// The inverse of [`Self::pack`]. After an error the model is of no more use.
    pub(super) fn unpack(
        &mut self,
        mut decoder: Decoder,
        packed: &[u8],
    ) -> Result<Vec<u8>, String> {
        let mut input = In::new(packed);
        let length = match input.varint() {
            Ok(length) if length <= MAX_MODELED_BYTES as u64 => length as usize,
            _ => return Err("its compressed length is not as expected".into()),
        };
        self.make_tables();
        let mut range = RangeDecoder::new(packed.get(input.used()..).unwrap_or_default());
        let mut wire = Vec::with_capacity(length);
        let mut start = 0;
        while wire.len() < length {
            let context = self.context(wire.get(start..).unwrap_or_default());
            let byte = self.byte(&context, |_, probability| range.decode(probability));
            wire.push(byte);
            let record = wire.get(start..).unwrap_or_default();
            match decoder.decode(record) {
                Ok(_) => {
                    self.end_record(record);
                    start = wire.len();
                }
                Err(DecodeError::Incomplete) => {}
                Err(error) => return Err(format!("it uncompresses to no record: {error}")),
            }
        }
        if start != wire.len() {
            return Err("it uncompresses to a record that is not whole".into());
        }
        Ok(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_monotonic_and_inverse() {
        assert!(TABLES.probability.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(squash(0), 1 << 15);
        assert!(squash(-2047) > 0 && squash(2047) > 65_500);
        for logit in -1500..=1500 {
            let back = stretch(squash(logit));
            let tolerance = 2 + 4 * i32::from(logit.unsigned_abs() > 700) * 40;
            assert!((back - logit).abs() <= tolerance, "{logit}: {back}");
        }
    }

    #[test]
    fn a_counter_settles() {
        let mut counter = Counter::NEW;
        (0..1000).for_each(|_| counter.learn(true));
        assert!(counter.probability > 65_000);
        (0..1000).for_each(|_| counter.learn(false));
        assert!(counter.probability < 500);
    }
}
