//! Digests of the state that the guest starts from.

use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::Predictor;
use crate::varint::{In, Out};

/// The fields of [`crate::Record::Start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Digest of the registers.
    pub registers: u64,
    /// Digest of the memory.
    pub memory: u64,
    /// Number of pages in the memory digest.
    pub pages: u32,
}

impl Rules for Start {
    type Fields<'a> = Self;
    type State = ();
    const START: () = ();

    fn is_valid(_: &Self, sync: u64) -> bool {
        sync == 0
    }

    #[inline(always)]
    fn put(start: &Self, head: &Head, out: &mut Out) {
        head.put(Form::Start, out);
        out.bytes(&start.registers.to_le_bytes());
        out.bytes(&start.memory.to_le_bytes());
        out.varint(u64::from(start.pages));
    }

    #[inline(always)]
    fn get(_: Form, _: &Predictor, at: &At, input: &mut In) -> Result<Self, DecodeError> {
        if at.sync != 0 {
            return Err(DecodeError::Order);
        }
        Ok(Self {
            registers: input.little_endian(8)?,
            memory: input.little_endian(8)?,
            pages: input.varint_u32()?,
        })
    }

    fn text(start: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "registers {:#018x}, memory {:#018x} of {} pages",
            start.registers, start.memory, start.pages
        )
    }

    #[cfg(feature = "std")]
    fn json(start: &Self) -> serde_json::Value {
        serde_json::json!({
            "registers": crate::Digits(start.registers).to_string(),
            "memory": crate::Digits(start.memory).to_string(),
            "pages": start.pages,
        })
    }
}
