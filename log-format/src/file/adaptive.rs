//! What the next bit of a small chunk will be.
//!
//! zstd needs a few bytes for anything, which is most of what an idle guest's chunk has. Here each
//! bit of the wire bytes is predicted from where it stands in its record and from the records
//! before, by several counters whose opinions are weighed, and goes through a range coder. The
//! weights follow which counters were right lately, each place in a record for itself: digits that
//! follow from nothing, such as a witness, cost what they hold and no more.
//!
//! All is integer arithmetic, the same everywhere. The statistics learn from each small chunk, in
//! whatever form that is stored.

use std::sync::LazyLock;

use super::range::{Probability, RangeDecoder, RangeEncoder};
use crate::kinds::tsc::SHORT_TSC;
use crate::tag::EXTENDED;
use crate::varint::{In, Out};
use crate::{DecodeError, Decoder, MAX_RECORD_BYTES};

/// Chunks of more wire bytes than this are left to zstd, and not learnt from: they come from busy
/// guests.
pub(super) const MAX_ADAPTIVE_BYTES: usize = 8 << 10;

/// Counters that have an opinion on each bit.
const OPINIONS: usize = 5;
/// The one that is not asked for the others' opinions when it is sure: it looks farthest back.
const FARTHEST: usize = 3;
/// log2 of the number of groups of counters for each of them.
const GROUP_BITS: u32 = 12;
/// Counters of a group: one for each beginning of four bits, after a 1.
const GROUP: usize = 16;
/// How many bits a counter remembers, one less than a power of two.
const MEMORY: usize = 127;
/// How fast the weights follow, as a power of two.
const RATE_SHIFT: u32 = 14;
/// Places in a record that are told apart.
const PLACES: usize = 12;
/// Numbers that [`form`] has; [`NO_FORM`] is one of them.
const FORMS: usize = 64;
/// The number for the beginning of a record.
const NO_FORM: usize = 20;
/// A weight of 1.
const ONE: i64 = 1 << 16;

/// Logits are in units of 1/256, from -2047 to 2047.
const LOGITS: usize = 4096;
/// e^(1/256), as a fraction of 2^32.
const STEP: u128 = 4_311_810_305;

/// What is computed once.
struct Tables {
    /// The probability for each logit, which is the index with 2048 taken off.
    probability: [Probability; LOGITS],
    /// The logit for a counter, by its highest 12 bits.
    logit: [i32; 4096],
    /// How far a counter moves that has seen so many bits, as a fraction of 2^13.
    rate: [i32; MEMORY + 1],
    /// What it has seen more after one more.
    more: [i32; MEMORY + 1],
}

static TABLES: LazyLock<Box<Tables>> = LazyLock::new(|| {
    let mut tables = Box::new(Tables {
        probability: [0; LOGITS],
        logit: [0; 4096],
        rate: [0; MEMORY + 1],
        more: [1; MEMORY + 1],
    });
    tables.more[MEMORY] = 0;
    // Odds grow by the same factor from logit to logit; beyond even ones symmetry does the rest.
    let mut odds: u128 = 1 << 64;
    for distance in 0..=2047usize {
        let above = ((odds << 16) / (odds + (1 << 64))).min(65_535) as u16;
        tables.probability[2048 + distance] = above;
        tables.probability[2048 - distance] = (65_536 - u32::from(above)) as u16;
        odds = (odds * STEP) >> 32;
    }
    tables.probability[0] = tables.probability[1];
    let mut at = 0;
    for value in 0..4096 {
        while at < LOGITS - 1 && usize::from(tables.probability[at]) < value * 16 + 8 {
            at += 1;
        }
        tables.logit[value ^ 2048] = at as i32 - 2048;
    }
    for (seen, rate) in tables.rate.iter_mut().enumerate() {
        *rate = 16_384 / (2 * seen as i32 + 3);
    }
    tables
});

impl Tables {
    fn squash(&self, logit: i64) -> Probability {
        self.probability[(logit.clamp(-2047, 2047) + 2048) as usize % LOGITS]
    }

    fn stretch(&self, counter: Counter) -> i64 {
        self.logit[(counter.0 as u32 >> 20) as usize].into()
    }
}

/// How often a bit was 1 in one context: the highest 22 bits are the probability less one half,
/// the lowest how many bits were seen. So a new one is 0, and memory that was never used costs
/// nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Counter(i32);

impl Counter {
    const PROBABILITY_SHIFT: u32 = 10;
    const HALF: i32 = 1 << 21;

    const fn probability(self) -> Probability {
        (self.0 >> 16) as u16 ^ 1 << 15
    }

    /// Whether the bit is all but certain: to one part in 218.
    const fn is_sure(self) -> bool {
        const MARGIN: u16 = 300;
        self.probability().wrapping_add(MARGIN) < 2 * MARGIN
    }

    /// The more was seen, the less a bit changes it.
    fn learn(&mut self, bit: bool, tables: &Tables) {
        let seen = self.0 as usize & MEMORY;
        let target = if bit { Self::HALF - 1 } else { -Self::HALF };
        let error = target - (self.0 >> Self::PROBABILITY_SHIFT);
        let step = (error >> 3).wrapping_mul(tables.rate[seen]);
        let kept = step & !((1 << Self::PROBABILITY_SHIFT) - 1);
        self.0 = self.0.wrapping_add(kept | tables.more[seen]);
    }
}

type Group = [Counter; GROUP];
type Weights = [i64; OPINIONS];

/// What was learnt so far, the same in writer and reader. Its tables are made for the first chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Statistics {
    groups: [Vec<Group>; OPINIONS],
    weights: Vec<Weights>,
    /// The classes of the last eight records in a byte each, the last one lowest.
    tags: u64,
    /// The bytes of the last record of each form, as far as there are places.
    last: Vec<[u8; PLACES]>,
}

/// The number of an extended form, once it is there.
const fn extended(record: &[u8]) -> Option<u8> {
    match *record {
        [tag, number, ..] if tag & (SHORT_TSC | EXTENDED) == EXTENDED => Some(number),
        _ => None,
    }
}

/// What a record's beginning says of its kind: the tag without the digits of a time, and the number
/// of an extended form.
fn class(record: &[u8]) -> u16 {
    match (record.first(), extended(record)) {
        (_, Some(number)) => u16::from(EXTENDED) | u16::from(number) << 8,
        (Some(&tag), _) if tag & SHORT_TSC != 0 => u16::from(tag & 0xe0),
        (Some(&tag), _) => tag.into(),
        (None, _) => 0,
    }
}

/// Numbers for the forms of records; those beyond the last one share it.
fn form(record: &[u8]) -> usize {
    match (record.first(), extended(record)) {
        (_, Some(number)) => (usize::from(number) + 5).clamp(NO_FORM + 1, FORMS - 1),
        (Some(&tag), _) if tag & SHORT_TSC != 0 => 16 + usize::from(tag >> 5 & 3),
        (Some(&tag), _) => usize::from(tag & EXTENDED),
        (None, _) => NO_FORM,
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

/// Passes the next four bits of a byte that has begun with `begun`, after a 1, through `code`, which
/// is told the probability of each and says the bit. Returns `begun` with them.
fn half(
    tables: &Tables,
    opinions: &mut [&mut Group; OPINIONS],
    weights: &mut Weights,
    begun: u32,
    code: &mut impl FnMut(Probability) -> bool,
) -> u32 {
    let mut partial = 1;
    while partial < GROUP {
        let slot = partial % GROUP;
        let farthest = &mut opinions[FARTHEST][slot];
        if farthest.is_sure() {
            let bit = code(farthest.probability());
            farthest.learn(bit, tables);
            partial = partial << 1 | usize::from(bit);
            continue;
        }
        let logits = opinions.each_ref().map(|group| tables.stretch(group[slot]));
        let mut sum = 0;
        for (logit, weight) in logits.iter().zip(weights.iter()) {
            sum += logit * weight;
        }
        let probability = tables.squash(sum >> 16);
        let bit = code(probability);
        let target = if bit { 65_535 } else { 0 };
        let error = target - i64::from(probability);
        for (weight, logit) in weights.iter_mut().zip(logits) {
            *weight += (logit * error) >> RATE_SHIFT;
        }
        for group in opinions.iter_mut() {
            group[slot].learn(bit, tables);
        }
        partial = partial << 1 | usize::from(bit);
    }
    begun << 4 | partial as u32 & 15
}

impl Statistics {
    fn make_tables(&mut self) {
        if self.weights.is_empty() {
            self.groups
                .fill_with(|| vec![[Counter(0); GROUP]; 1 << GROUP_BITS]);
            self.weights = vec![[ONE / 3; OPINIONS]; FORMS * PLACES];
            self.last = vec![[0; PLACES]; FORMS];
        }
    }

    /// The context of the byte that follows `record`, the bytes of its record so far.
    fn context(&self, record: &[u8]) -> Context {
        let place = record.len();
        let near = place.min(PLACES - 1);
        let tag = record.first().copied().unwrap_or(0);
        let form = form(record);
        let start = mix(u64::from(class(record)), near as u64 + 1);
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
    fn byte(&mut self, context: &Context, mut code: impl FnMut(Probability) -> bool) -> u8 {
        let tables = &**TABLES;
        let weights = &mut self.weights[context.weights];
        let mut byte = 1;
        for _ in 0..2 {
            let [a, b, c, d, e] = &mut self.groups;
            let at = context
                .hashes
                .map(|hash| (mix(hash, byte.into()) >> (u64::BITS - GROUP_BITS)) as usize);
            let mut opinions = [
                &mut a[at[0]],
                &mut b[at[1]],
                &mut c[at[2]],
                &mut d[at[3]],
                &mut e[at[4]],
            ];
            byte = half(tables, &mut opinions, weights, byte, &mut code);
        }
        byte as u8
    }

    /// Remembers a whole record.
    fn end_record(&mut self, record: &[u8]) {
        let [tag, number] = class(record).to_le_bytes();
        let symbol = if number == 0 { tag } else { number };
        self.tags = self.tags << 8 | u64::from(symbol);
        if let Some(last) = self.last.get_mut(form(record)) {
            for (to, from) in last.iter_mut().zip(record) {
                *to = *from;
            }
        }
    }

    /// Passes whole records that continue what `decoder` has read through `code`, which is told
    /// each bit and its probability.
    fn pass(
        &mut self,
        mut decoder: Decoder,
        wire: &[u8],
        mut code: impl FnMut(Probability, bool),
    ) -> Option<()> {
        self.make_tables();
        let mut rest = wire;
        while !rest.is_empty() {
            let (length, _) = decoder.decode(rest).ok()?;
            let (record, behind) = rest.split_at_checked(length)?;
            for (place, &byte) in record.iter().enumerate() {
                let context = self.context(record.get(..place)?);
                let mut bits = byte;
                self.byte(&context, |probability| {
                    let bit = bits & 0x80 != 0;
                    bits <<= 1;
                    code(probability, bit);
                    bit
                });
            }
            self.end_record(record);
            rest = behind;
        }
        Some(())
    }

    /// Compresses whole records that continue what `decoder` has read, and learns from them.
    pub(super) fn pack(&mut self, decoder: Decoder, wire: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = [0; MAX_RECORD_BYTES];
        let mut out = Out::new(&mut buffer);
        out.varint(wire.len() as u64);
        let used = out.used();
        let mut encoder = RangeEncoder::new(buffer.get(..used)?.to_vec());
        self.pass(decoder, wire, |probability, bit| {
            encoder.encode(probability, bit)
        })?;
        Some(encoder.finish())
    }

    /// Learns from whole records that are stored in another form.
    pub(super) fn learn(&mut self, decoder: Decoder, wire: &[u8]) {
        // They were decoded before: nothing is wrong with them.
        let _ = self.pass(decoder, wire, |_, _| {});
    }

    /// The inverse of [`Self::pack`]. After an error the statistics are of no more use.
    pub(super) fn unpack(
        &mut self,
        mut decoder: Decoder,
        packed: &[u8],
    ) -> Result<Vec<u8>, String> {
        let mut input = In::new(packed);
        let length = match input.varint() {
            Ok(length) if length <= MAX_ADAPTIVE_BYTES as u64 => length as usize,
            _ => return Err("its compressed length is not as expected".into()),
        };
        self.make_tables();
        let mut range = RangeDecoder::new(packed.get(input.used()..).unwrap_or_default());
        let mut wire = Vec::with_capacity(length);
        let mut start = 0;
        while wire.len() < length {
            let context = self.context(wire.get(start..).unwrap_or_default());
            let byte = self.byte(&context, |probability| range.decode(probability));
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
        let tables = &**TABLES;
        assert!(tables.probability.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(tables.squash(0), 1 << 15);
        assert!(tables.squash(-2047) > 0 && tables.squash(2047) > 65_500);
        for logit in -1500..=1500 {
            let probability = tables.squash(logit);
            let back = i64::from(tables.logit[usize::from(probability >> 4 ^ 2048)]);
            let tolerance = 2 + 4 * i64::from(logit.abs() > 700) * 40;
            assert!((back - logit).abs() <= tolerance, "{logit}: {back}");
        }
    }

    #[test]
    fn a_counter_settles() {
        let mut counter = Counter(0);
        assert_eq!((counter.probability(), counter.is_sure()), (1 << 15, false));
        (0..1000).for_each(|_| counter.learn(true, &TABLES));
        assert!(counter.is_sure() && counter.probability() > 65_000);
        (0..1000).for_each(|_| counter.learn(false, &TABLES));
        assert!(counter.is_sure() && counter.probability() < 500);
        assert!(counter.probability() > 0, "a bit of no probability at all");
    }
}
