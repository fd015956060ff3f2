//! A place between two sync points, at which a commit was forced.

use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::{Phase, Predictor};
use crate::varint::{In, Out};

/// The most pages that a [`Place`] names.
pub const MAX_PLACE_PAGES: usize = 4;

/// Where the guest stood, after the sync point whose number the record has, when it was given the
/// next number. A replay takes the first time at which all of this fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The guest's instruction pointer.
    pub rip: u64,
    /// Digest of the registers.
    pub registers: u64,
    /// Digest of the FPU's registers.
    pub fpu: u64,
    /// Digest of the pages that registers point to, and of those named.
    pub memory: u64,
    /// Digest of all memory; 0 when it was not made.
    pub all_memory: u64,
    /// How often the guest had been at this address since the sync point; 0 when that is not known.
    pub hits: u64,
    /// Pages (their indices in the domain's memory) that tell this state from others: the first
    /// `page_count`; the rest is 0.
    pub pages: [u32; MAX_PLACE_PAGES],
    /// How many of `pages` are named.
    pub page_count: u8,
}

impl Place {
    /// The pages that are named.
    pub fn named(&self) -> &[u32] {
        self.pages
            .get(..usize::from(self.page_count))
            .unwrap_or(&[])
    }
}

/// The flag byte: the number of pages, and which of the optional fields follow.
const PAGE_COUNT: u8 = 7;
const HAS_MEMORY: u8 = 8;
const HAS_HITS: u8 = 16;

impl Rules for Place {
    type Fields<'a> = Self;
    type State = ();
    const START: () = ();

    fn is_valid(place: &Self, _: u64) -> bool {
        usize::from(place.page_count) <= MAX_PLACE_PAGES
            && place
                .pages
                .iter()
                .skip(place.page_count.into())
                .all(|&page| page == 0)
    }

    fn put(place: &Self, head: &Head, out: &mut Out) {
        head.put(Form::Place, out);
        let has = |value: u64, flag: u8| if value == 0 { 0 } else { flag };
        out.byte(place.page_count | has(place.all_memory, HAS_MEMORY) | has(place.hits, HAS_HITS));
        out.bytes(&place.rip.to_le_bytes());
        out.bytes(&place.registers.to_le_bytes());
        out.bytes(&place.fpu.to_le_bytes());
        out.bytes(&place.memory.to_le_bytes());
        if place.all_memory != 0 {
            out.bytes(&place.all_memory.to_le_bytes());
        }
        if place.hits != 0 {
            out.varint(place.hits);
        }
        for &page in place.named() {
            out.varint(page.into());
        }
    }

    fn get(_: Form, _: &Predictor, _: &At, input: &mut In) -> Result<Self, DecodeError> {
        let flags = input.byte()?;
        if flags > PAGE_COUNT | HAS_MEMORY | HAS_HITS {
            return Err(DecodeError::Range);
        }
        let mut place = Self {
            rip: input.little_endian(8)?,
            registers: input.little_endian(8)?,
            fpu: input.little_endian(8)?,
            memory: input.little_endian(8)?,
            all_memory: 0,
            hits: 0,
            pages: [0; MAX_PLACE_PAGES],
            page_count: flags & PAGE_COUNT,
        };
        if flags & HAS_MEMORY != 0 {
            place.all_memory = input.little_endian(8)?;
            if place.all_memory == 0 {
                return Err(DecodeError::Overlong);
            }
        }
        if flags & HAS_HITS != 0 {
            place.hits = input.varint()?;
            if place.hits == 0 {
                return Err(DecodeError::Overlong);
            }
        }
        let named = place
            .pages
            .get_mut(..usize::from(place.page_count))
            .ok_or(DecodeError::Range)?;
        for page in named {
            *page = input.varint_u32()?;
        }
        Ok(place)
    }

    fn observe(_: &Self, predictor: &mut Predictor, _: usize) {
        predictor.phase = Phase::Left;
    }

    fn text(place: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rip {:#x}, registers {:#018x}, FPU {:#018x}, memory {:#018x}",
            place.rip, place.registers, place.fpu, place.memory
        )?;
        if !place.named().is_empty() {
            f.write_str(", with pages")?;
            for page in place.named() {
                write!(f, " {page}")?;
            }
        }
        if place.hits != 0 {
            write!(f, ", hit {}", place.hits)?;
        }
        if place.all_memory != 0 {
            write!(f, ", all memory {:#018x}", place.all_memory)?;
        }
        Ok(())
    }

    #[cfg(feature = "std")]
    fn json(place: &Self) -> serde_json::Value {
        serde_json::json!({
            "rip": crate::Digits(place.rip).to_string(),
            "registers": crate::Digits(place.registers).to_string(),
            "fpu": crate::Digits(place.fpu).to_string(),
            "memory": crate::Digits(place.memory).to_string(),
            "all_memory": (place.all_memory != 0).then(|| crate::Digits(place.all_memory).to_string()),
            "hits": (place.hits != 0).then_some(place.hits),
            "pages": place.named(),
        })
    }
}
