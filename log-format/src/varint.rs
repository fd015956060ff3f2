//! Byte cursors and variable-length integers.
//!
//! An integer is written 7 bits a byte, lowest first, the top bit set on all bytes but the last,
//! and never longer than needed. Signed differences are folded to unsigned ones ("zigzag": 0, -1,
//! 1, -2, … become 0, 1, 2, 3, …) and wrap around at 64 bits, so that every difference of two
//! counters has a code.

use crate::{DecodeError, MAX_RECORD_BYTES};

/// Folds a signed difference, given as a wrapped u64, into a small unsigned number.
pub(crate) const fn fold(difference: u64) -> u64 {
    (difference << 1) ^ (((difference as i64) >> 63) as u64)
}

/// The inverse of [`fold`].
pub(crate) const fn unfold(folded: u64) -> u64 {
    (folded >> 1) ^ (folded & 1).wrapping_neg()
}

/// Where a record is written. Writing past the end is ignored: [`MAX_RECORD_BYTES`] is larger
/// than any record, and a test holds it to that.
pub(crate) struct Out<'a> {
    buffer: &'a mut [u8; MAX_RECORD_BYTES],
    used: usize,
}

impl<'a> Out<'a> {
    pub(crate) const fn new(buffer: &'a mut [u8; MAX_RECORD_BYTES]) -> Self {
        Self { buffer, used: 0 }
    }

    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.used) {
            *place = byte;
            self.used = self.used.wrapping_add(1);
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.used.saturating_add(bytes.len());
        if let Some(place) = self.buffer.get_mut(self.used..end) {
            for (to, from) in place.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.used = end;
        }
    }

    pub(crate) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// A difference of two counters.
    pub(crate) fn signed(&mut self, difference: u64) {
        self.varint(fold(difference));
    }
}

/// What is left to read.
pub(crate) struct In<'a> {
    rest: &'a [u8],
    start: usize,
}

impl<'a> In<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            start: input.len(),
        }
    }

    pub(crate) const fn used(&self) -> usize {
        self.start.wrapping_sub(self.rest.len())
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// `count` bytes as a little-endian number; `count` is at most 8.
    pub(crate) fn little_endian(&mut self, count: usize) -> Result<u64, DecodeError> {
        let bytes = self.bytes(count)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        match *self.rest {
            [byte, ref rest @ ..] if byte & 0x80 == 0 => {
                self.rest = rest;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    /// [`Self::varint`] of more than one byte.
    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        let mut shift = 0u32;
        let mut bytes = self.rest.iter();
        while let Some(&byte) = bytes.next() {
            // The tenth byte has room for the 64th bit only.
            if shift == 63 && byte > 1 {
                return Err(DecodeError::Overlong);
            }
            number |= u64::from(byte & 0x7f) << (shift & 63);
            if byte & 0x80 == 0 {
                if byte == 0 {
                    return Err(DecodeError::Overlong);
                }
                self.rest = bytes.as_slice();
                return Ok(number);
            }
            shift = shift.wrapping_add(7);
        }
        Err(DecodeError::Incomplete)
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.varint()?).map_err(|_| DecodeError::Range)
    }

    /// A difference of two counters.
    pub(crate) fn signed(&mut self) -> Result<u64, DecodeError> {
        Ok(unfold(self.varint()?))
    }

    /// A difference that is written only where there is one.
    pub(crate) fn change(&mut self) -> Result<u64, DecodeError> {
        match self.signed()? {
            0 => Err(DecodeError::Overlong),
            difference => Ok(difference),
        }
    }
}
