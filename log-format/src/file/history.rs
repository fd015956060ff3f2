//! The wire bytes before a chunk, as far as they help to make it small.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use super::FIRST_FAR_VERSION;

/// How many wire bytes before a chunk zstd looks at.
pub(super) const NEAR_BYTES: usize = 64 << 10;

/// How many are remembered, so that what a chunk repeats of them can be copied. A reader needs as
/// much memory, once a log is that long.
pub(super) const FAR_BYTES: usize = 32 << 20;

/// The last wire bytes of a log.
#[derive(Clone, Debug)]
pub(super) struct History {
    bytes: VecDeque<u8>,
    max: usize,
}

impl History {
    /// At the beginning of a log of this version.
    pub(super) fn new(version: u16) -> Self {
        let max = if version < FIRST_FAR_VERSION {
            NEAR_BYTES
        } else {
            FAR_BYTES
        };
        Self {
            bytes: VecDeque::new(),
            max,
        }
    }

    #[cfg(test)]
    pub(super) fn with_max(max: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            max,
        }
    }

    /// Takes in a chunk's wire bytes.
    pub(super) fn push(&mut self, wire: &[u8]) {
        let keep = wire
            .get(wire.len().saturating_sub(self.max)..)
            .unwrap_or_default();
        let excess = (self.bytes.len() + keep.len()).saturating_sub(self.max);
        self.bytes.drain(..excess.min(self.bytes.len()));
        self.bytes.extend(keep);
    }

    /// How many bytes are remembered.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The last [`NEAR_BYTES`], or all there are.
    pub(super) fn near(&self) -> Cow<'_, [u8]> {
        match self.get(self.len().saturating_sub(NEAR_BYTES)..self.len()) {
            Some((bytes, [])) | Some(([], bytes)) => Cow::Borrowed(bytes),
            Some((one, other)) => Cow::Owned([one, other].concat()),
            None => Cow::Borrowed(&[]),
        }
    }

    /// A range of them, the oldest byte being number 0, in two pieces.
    pub(super) fn get(&self, range: Range<usize>) -> Option<(&[u8], &[u8])> {
        let (one, other) = self.bytes.as_slices();
        let behind = |place: usize| place.saturating_sub(one.len());
        Some((
            one.get(range.start.min(one.len())..range.end.min(one.len()))?,
            other.get(behind(range.start)..behind(range.end))?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_remembered_wherever_they_lie() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut history = History::with_max(100);
        for piece in bytes.chunks(37) {
            history.push(piece);
        }
        let kept = &bytes[156..];
        assert_eq!(history.len(), 100);
        assert_eq!(*history.near(), *kept);
        for start in 0..=100 {
            for end in start..=100 {
                let (one, other) = history.get(start..end).unwrap();
                assert_eq!([one, other].concat(), kept[start..end]);
            }
        }
        assert_eq!(history.get(0..101), None);
        // More at once than is remembered.
        history.push(&bytes);
        assert_eq!(*history.near(), *kept);
    }
}
