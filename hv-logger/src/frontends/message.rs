//! The stream of requests to xenstored, byte by byte: a header of four words, then a payload.

use super::key::{Key, MAX_PATH_BYTES, Name, parse};

/// `struct xsd_sockmsg`: type, id of the request, id of the transaction, length of the payload.
const HEADER_BYTES: usize = 16;
/// `XS_WRITE`: the payload is a path, a zero byte, and the value.
const WRITE: u32 = 11;
/// `XS_RM`: the payload is a path and a zero byte.
const REMOVE: u32 = 13;
/// `XENSTORE_PAYLOAD_MAX`: xenstored gives up a connection with a longer one.
const MAX_PAYLOAD_BYTES: u32 = 4096;

/// What a key has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// It is not there any more.
    Removed,
    /// What a backend takes it for.
    Number(u32),
    /// No number, or one above 32 bits.
    Other,
}

/// A value of which some digits were read. As in the backends, whatever follows the digits is not
/// looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Digits {
    value: u32,
    has_digits: bool,
    is_over: bool,
    is_too_large: bool,
}

impl Digits {
    fn take(&mut self, byte: u8) {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10);
        self.is_over |= digit.is_none();
        let Some(digit) = digit.filter(|_| !self.is_over) else {
            return;
        };
        self.has_digits = true;
        let value = self.value.checked_mul(10);
        match value.and_then(|value| value.checked_add(digit.into())) {
            Some(value) => self.value = value,
            None => self.is_too_large = true,
        }
    }

    /// Whether nothing was read.
    const fn is_empty(self) -> bool {
        !self.has_digits && !self.is_over
    }

    const fn value(self) -> Value {
        if self.has_digits && !self.is_too_large {
            Value::Number(self.value)
        } else {
            Value::Other
        }
    }
}

/// A message as far as it was read. All zero: nothing of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    header: [u8; HEADER_BYTES],
    path: [u8; MAX_PATH_BYTES],
    /// Bytes of the header that were read.
    header_len: u8,
    /// Bytes of the path that were read, or [`TOO_LONG`].
    path_len: u8,
    /// The path's zero byte was read.
    has_path: bool,
    /// The value is one whose digits become 0.
    zeroes: bool,
    /// Bytes of the payload that were not read.
    left: u32,
    digits: Digits,
}

/// Stands for a path that names nothing known.
const TOO_LONG: u8 = u8::MAX;

impl Message {
    pub(super) const EMPTY: Self = Self {
        header: [0; HEADER_BYTES],
        path: [0; MAX_PATH_BYTES],
        header_len: 0,
        path_len: 0,
        has_path: false,
        zeroes: false,
        left: 0,
        digits: Digits {
            value: 0,
            has_digits: false,
            is_over: false,
            is_too_large: false,
        },
    };

    /// A message begins.
    pub(super) fn clear(&mut self) {
        *self = Self::EMPTY;
    }

    /// Takes the next byte, and perhaps changes it. Whether the message is whole with it.
    pub(super) fn take(&mut self, byte: &mut u8) -> bool {
        if let Some(place) = self.header.get_mut(usize::from(self.header_len)) {
            *place = *byte;
            self.header_len = self.header_len.wrapping_add(1);
            if usize::from(self.header_len) < HEADER_BYTES {
                return false;
            }
            self.left = self.word(3);
        } else {
            self.left = self.left.wrapping_sub(1);
            if self.has_path {
                if self.zeroes && byte.is_ascii_digit() {
                    *byte = b'0';
                }
                self.digits.take(*byte);
            } else if *byte == 0 {
                self.has_path = true;
                self.zeroes =
                    self.word(0) == WRITE && matches!(self.named(), Some((_, Key::Persistent)));
            } else if let Some(place) = self.path.get_mut(usize::from(self.path_len)) {
                *place = *byte;
                self.path_len = self.path_len.wrapping_add(1);
            } else {
                self.path_len = TOO_LONG;
            }
        }
        self.left == 0
    }

    /// What a whole message changes, if that is known.
    pub(super) fn change(&self) -> Option<(Name, Key, Value)> {
        if !self.has_path {
            return None;
        }
        let value = match self.word(0) {
            WRITE => self.digits.value(),
            // Otherwise xenstored refuses it.
            REMOVE if self.digits.is_empty() => Value::Removed,
            _ => return None,
        };
        let (name, key) = self.named()?;
        Some((name, key, value))
    }

    fn named(&self) -> Option<(Name, Key)> {
        if self.word(3) > MAX_PAYLOAD_BYTES {
            return None;
        }
        parse(self.path.get(..usize::from(self.path_len))?)
    }

    /// A word of the header.
    fn word(&self, number: usize) -> u32 {
        let bytes = self.header.iter().skip(number.wrapping_mul(4)).take(4);
        bytes
            .rev()
            .fold(0, |word, &byte| word << 8 | u32::from(byte))
    }
}
