//! What a chunk repeats of wire bytes that are longer ago than zstd looks at: a block that is read
//! again, a page that is sent twice.
//!
//! It is taken out of the chunk, and a list of lengths and distances stands before the rest. zstd
//! finds such things by itself when it is told to, but each chunk is compressed on its own: it would
//! look through the whole history anew for each of them. Here an index of it stays.
//!
//! The index has a place of the history for each window of bytes whose hash is of the one kind in
//! 64. The hash rolls over the bytes, so the same bytes have the same places wherever they stand.

use super::MAX_CHUNK_BYTES;
use super::history::{History, NEAR_BYTES};
use crate::DecodeError;
use crate::varint::{In, fold, unfold};

/// The fewest bytes that are worth a copy.
const MIN_COPY_BYTES: usize = 64;
/// Which part of a chunk must be copies for it to be looked at any further.
const MIN_COPIED_PART: usize = 32;

/// log2 of how many windows there are to one in the index.
const SAMPLE_BITS: u32 = 6;
/// log2 of the number of places in the index: as many as a whole history has samples.
const INDEX_BITS: u32 = 19;

/// Bytes of the chunk that are kept, and then bytes that are copied from `distance` before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    kept: usize,
    length: usize,
    distance: usize,
}

/// A hash of the last 64 bytes: each new one moves the others' share up by a bit.
#[derive(Clone, Copy, Debug, Default)]
struct Rolling(u64);

/// A number for each byte, without pattern (SplitMix64).
const NUMBERS: [u64; 256] = {
    let mut numbers = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let z = (byte as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        numbers[byte] = z ^ (z >> 31);
        byte += 1;
    }
    numbers
};

impl Rolling {
    /// Takes in a byte. The place in the index, if the bytes that end with it are a sample.
    fn take(&mut self, byte: u8) -> Option<usize> {
        self.0 = (self.0 << 1).wrapping_add(NUMBERS[usize::from(byte)]);
        // The highest bits depend on the most bytes.
        let place = self.0 << SAMPLE_BITS >> (64 - INDEX_BITS);
        (self.0 >> (64 - SAMPLE_BITS) == 0).then_some(place as usize)
    }
}

/// Where samples of the history stand.
#[derive(Debug, Default)]
pub(super) struct Finder {
    /// Where the last sample of this hash ends in the wire stream: the lowest bits of that.
    ends: Vec<u32>,
    /// Wire bytes that were taken in.
    indexed: u64,
    rolling: Rolling,
}

/// A chunk without its repetitions.
#[derive(Debug)]
pub(super) struct Reduced {
    /// How many bytes are copies.
    pub(super) copied: usize,
    /// The list of copies, and the bytes that are none: see [`restore`].
    pub(super) bytes: Vec<u8>,
}

impl Finder {
    /// What is left of a chunk, at this place in the stream, that repeats some of the history. Nothing
    /// where it repeats little, or only what zstd will find.
    pub(super) fn reduce(
        &mut self,
        history: &History,
        wire_offset: u64,
        wire: &[u8],
    ) -> Option<Reduced> {
        if history.len() <= NEAR_BYTES {
            return None;
        }
        self.take_in(history, wire_offset);
        let copies = self.find(history, wire_offset, wire);
        let copied = copies.iter().map(|copy| copy.length).sum();
        (copied > wire.len() / MIN_COPIED_PART).then(|| Reduced {
            copied,
            bytes: write(&copies, wire),
        })
    }

    /// Takes in the end of the history that is new.
    fn take_in(&mut self, history: &History, wire_offset: u64) {
        if self.ends.is_empty() {
            self.ends = vec![0; 1 << INDEX_BITS];
        }
        let new = usize::try_from(wire_offset - self.indexed).unwrap_or(usize::MAX);
        let new = new.min(history.len());
        let Some((one, other)) = history.get(history.len() - new..history.len()) else {
            return;
        };
        let mut end = wire_offset - new as u64;
        for &byte in one.iter().chain(other) {
            end += 1;
            if let Some(place) = self.rolling.take(byte) {
                self.ends[place] = end as u32;
            }
        }
        self.indexed = wire_offset;
    }

    fn find(&self, history: &History, wire_offset: u64, wire: &[u8]) -> Vec<Copy> {
        let mut copies = Vec::new();
        // Behind the last copy.
        let mut done = 0;
        let mut rolling = self.rolling;
        for (&byte, end) in wire.iter().zip(1..) {
            let Some(place) = rolling.take(byte).filter(|_| end > done) else {
                continue;
            };
            let distance = ((wire_offset + end as u64) as u32).wrapping_sub(self.ends[place]);
            let distance = distance as usize;
            let source_end = (history.len() + end).checked_sub(distance);
            let Some(source_end) = source_end.filter(|end| end + NEAR_BYTES <= history.len())
            else {
                continue;
            };
            let before = same_before(history, source_end, &wire[done..end]);
            let length = before + same_behind(history, source_end, &wire[end..]);
            if length >= MIN_COPY_BYTES {
                let begin = end - before;
                copies.push(Copy {
                    kept: begin - done,
                    length,
                    distance,
                });
                done = begin + length;
            }
        }
        copies
    }
}

/// How many bytes before a place in the history are those at the end of `wire`.
fn same_before(history: &History, place: usize, wire: &[u8]) -> usize {
    let same = |one: &[u8], wire: &[u8]| {
        let pairs = one.iter().rev().zip(wire.iter().rev());
        pairs.take_while(|(one, other)| one == other).count()
    };
    let (one, other) = history.get(0..place).unwrap_or_default();
    let count = same(other, wire);
    if count < other.len() {
        return count;
    }
    count + same(one, &wire[..wire.len() - count])
}

/// How many bytes from a place in the history on are those at the beginning of `wire`.
fn same_behind(history: &History, place: usize, wire: &[u8]) -> usize {
    let same = |one: &[u8], wire: &[u8]| {
        let pairs = one.iter().zip(wire);
        pairs.take_while(|(one, other)| one == other).count()
    };
    let (one, other) = history.get(place..history.len()).unwrap_or_default();
    let count = same(one, wire);
    if count < one.len() {
        return count;
    }
    count + same(other, &wire[count..])
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The number of copies; of each how many bytes are kept before it, its length, and the signed
/// difference of its distance to the last one's; then all bytes that are kept.
fn write(copies: &[Copy], wire: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, copies.len() as u64);
    let mut last = 0;
    for copy in copies {
        put_varint(&mut bytes, copy.kept as u64);
        put_varint(&mut bytes, copy.length as u64);
        put_varint(&mut bytes, fold((copy.distance as u64).wrapping_sub(last)));
        last = copy.distance as u64;
    }
    let mut rest = wire;
    for copy in copies {
        bytes.extend_from_slice(&rest[..copy.kept]);
        rest = &rest[copy.kept + copy.length..];
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// A chunk that repeats nothing, as [`restore`] takes it.
pub(super) fn whole(wire: &[u8]) -> Vec<u8> {
    write(&[], wire)
}

/// The chunk that [`Finder::reduce`] made these bytes of.
pub(super) fn restore(history: &History, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let cut = |_: DecodeError| "its list of copies is not whole".to_owned();
    let mut list = In::new(bytes);
    let count = list.varint().map_err(cut)?;
    // Past the list first, to where the bytes are that were kept.
    let mut kept = In::new(bytes);
    kept.varint().map_err(cut)?;
    for _ in 0..count {
        for _ in 0..3 {
            kept.varint().map_err(cut)?;
        }
    }
    let mut wire = Vec::new();
    let mut distance = 0u64;
    for _ in 0..count {
        let keep = list.varint().map_err(cut)?;
        let length = list.varint().map_err(cut)?;
        distance = distance.wrapping_add(unfold(list.varint().map_err(cut)?));
        let most = (MAX_CHUNK_BYTES - wire.len()) as u64;
        if length == 0 || keep.saturating_add(length) > most {
            return Err(format!("a copy of {length} bytes is too short or too long"));
        }
        wire.extend_from_slice(kept.bytes(keep as usize).map_err(cut)?);
        let end = (history.len() + wire.len()) as u64;
        let source = end.checked_sub(distance).and_then(|begin| {
            let begin = usize::try_from(begin).ok()?;
            history.get(begin..begin.checked_add(length as usize)?)
        });
        let Some((one, other)) = source else {
            return Err(format!("it copies from {distance} bytes before"));
        };
        wire.extend_from_slice(one);
        wire.extend_from_slice(other);
    }
    let rest = bytes.get(kept.used()..).unwrap_or_default();
    if rest.len() > MAX_CHUNK_BYTES - wire.len() {
        return Err("it restores to more than a chunk has".into());
    }
    wire.extend_from_slice(rest);
    Ok(wire)
}

#[cfg(test)]
mod tests;
