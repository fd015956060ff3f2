//! Bytes that a backend wrote to a page that the guest granted to it.
//!
//! A few frames are remembered, each with where its last record ended: rings are come back to, and
//! pages are written from their beginning to their end.

use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::Predictor;
use crate::ring::PAGE_BYTES;
use crate::varint::{In, Out};

/// The most bytes that one page record carries; a whole page takes four.
pub const MAX_PAGE_BYTES: usize = 1024;

/// The highest number of a frame: a physical address has 64 bits, 12 of them within the frame.
pub const MAX_FRAME: u64 = (1 << 52) - 1;

/// The fields of [`crate::Record::Page`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// The page: of a PV guest its index in the domain's memory, else the guest's frame number. At
    /// most [`MAX_FRAME`].
    pub frame: u64,
    /// Where in the page the bytes begin.
    pub offset: u16,
    /// The bytes: at least one, at most [`MAX_PAGE_BYTES`], and all within the page.
    pub bytes: &'a [u8],
}

/// How many frames are remembered.
const FRAMES: usize = 4;

/// The flag byte: the number of a remembered frame, or [`OTHER_FRAME`] where a signed difference to
/// the last frame follows; whether the offset follows, since it is not where the frame's last record
/// ended; whether the length follows, since it is not that of the last page record.
const FRAME: u8 = 7;
const OTHER_FRAME: u8 = 4;
const HAS_OFFSET: u8 = 8;
const HAS_LENGTH: u8 = 16;

/// A frame and where its last record ended; 0 for the page's end.
#[derive(Clone, Copy, Debug)]
struct Written {
    frame: u64,
    end: u16,
}

/// What is remembered of the page records so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// The last frames, each once, the last one first.
    written: [Written; FRAMES],
    /// Length of the last record.
    length: u16,
}

impl State {
    /// The number of a remembered frame.
    fn number_of(&self, frame: u64) -> Option<usize> {
        self.written.iter().position(|known| known.frame == frame)
    }

    fn last_frame(&self) -> u64 {
        let [last, ..] = self.written;
        last.frame
    }

    /// Where in the frame of this number the next record is expected.
    fn expected_offset(&self, number: Option<usize>) -> u16 {
        let known = number.and_then(|number| self.written.get(number));
        known.map_or(0, |known| known.end)
    }

    #[inline(never)]
    fn observe(&mut self, page: &Page) {
        let length = length_of(page);
        // Those before it, or all but the last, move back by one.
        let number = self.number_of(page.frame).unwrap_or(FRAMES.wrapping_sub(1));
        let mut before = Written {
            frame: page.frame,
            end: page.offset.wrapping_add(length) % PAGE_BYTES as u16,
        };
        for known in self.written.iter_mut().take(number.wrapping_add(1)) {
            core::mem::swap(known, &mut before);
        }
        self.length = length;
    }
}

/// At most [`MAX_PAGE_BYTES`] in what is valid.
const fn length_of(page: &Page) -> u16 {
    page.bytes.len() as u16
}

impl Rules for Page<'static> {
    type Fields<'a> = Page<'a>;
    type State = State;
    const START: State = State {
        // Frame 0 is the first that is found; the others are never meant.
        written: [Written { frame: 0, end: 0 }; FRAMES],
        length: MAX_PAGE_BYTES as u16,
    };

    fn is_valid(page: &Page, _: u64) -> bool {
        page.frame <= MAX_FRAME
            && (1..=MAX_PAGE_BYTES).contains(&page.bytes.len())
            && usize::from(page.offset).saturating_add(page.bytes.len()) <= PAGE_BYTES
    }

    // Apart, so that the ways of frequent records stay short.
    #[inline(never)]
    fn put(page: &Page, head: &Head, out: &mut Out) {
        head.put(Form::Page, out);
        let before = &head.predictor.states.page;
        let number = before.number_of(page.frame);
        let length = length_of(page);
        let has_offset = page.offset != before.expected_offset(number);
        let has_length = length != before.length;
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.byte(
            number.map_or(OTHER_FRAME, |number| number as u8)
                | flag(has_offset, HAS_OFFSET)
                | flag(has_length, HAS_LENGTH),
        );
        if number.is_none() {
            out.signed(page.frame.wrapping_sub(before.last_frame()));
        }
        if has_offset {
            out.varint(page.offset.into());
        }
        if has_length {
            out.varint(length.wrapping_sub(1).into());
        }
        out.bytes(page.bytes);
    }

    fn get<'a>(
        _: Form,
        predictor: &Predictor,
        _: &At,
        input: &mut In<'a>,
    ) -> Result<Page<'a>, DecodeError> {
        let before = &predictor.states.page;
        let flags = input.byte()?;
        if flags > FRAME | HAS_OFFSET | HAS_LENGTH || flags & FRAME > OTHER_FRAME {
            return Err(DecodeError::Range);
        }
        let (number, frame) = match before.written.get(usize::from(flags & FRAME)) {
            Some(known) => (Some(usize::from(flags & FRAME)), known.frame),
            None => (None, before.last_frame().wrapping_add(input.signed()?)),
        };
        if frame > MAX_FRAME {
            return Err(DecodeError::Range);
        }
        if number != before.number_of(frame) {
            return Err(DecodeError::Overlong);
        }
        let mut offset = before.expected_offset(number).into();
        if flags & HAS_OFFSET != 0 {
            let written = input.varint()?;
            if written == offset {
                return Err(DecodeError::Overlong);
            }
            offset = written;
        }
        let mut length = before.length.into();
        if flags & HAS_LENGTH != 0 {
            let written = input.varint()?.saturating_add(1);
            if written == length {
                return Err(DecodeError::Overlong);
            }
            length = written;
        }
        if length > MAX_PAGE_BYTES as u64 || offset.saturating_add(length) > PAGE_BYTES as u64 {
            return Err(DecodeError::Range);
        }
        Ok(Page {
            frame,
            offset: offset as u16,
            bytes: input.bytes(length as usize)?,
        })
    }

    fn observe(page: &Page, predictor: &mut Predictor, _: usize) {
        predictor.states.page.observe(page);
    }

    fn text(page: &Page, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Page {
            frame,
            offset,
            bytes,
        } = page;
        write!(
            f,
            "frame {frame:#x} offset {offset:#x} length {} \"{}\"",
            bytes.len(),
            bytes.escape_ascii()
        )
    }

    #[cfg(feature = "std")]
    fn json(page: &Page) -> serde_json::Value {
        let bytes = crate::Hex(page.bytes).to_string();
        serde_json::json!({ "frame": page.frame, "offset": page.offset, "bytes": bytes })
    }
}
