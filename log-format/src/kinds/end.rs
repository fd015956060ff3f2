//! How a log ended.

use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::numbered::numbered;
use crate::predict::{Phase, Predictor};
use crate::varint::{In, Out};

/// How a log ended, and digests of the state it ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// Detail of the reason: the shutdown code, or the error.
    pub code: u32,
    /// The guest's instruction pointer.
    pub rip: u64,
    /// Digest of the registers.
    pub registers: u64,
    /// Digest of the memory.
    pub memory: u64,
    /// Number of pages in the memory digest.
    pub pages: u32,
}

numbered! {
    /// Why a log ended.
    EndReason: u8 {
        /// Someone asked for it (`xenlr stop`).
        Stop = 1 "stop",
        /// The guest shut down or rebooted.
        Shutdown = 2 "shutdown",
        /// The guest crashed.
        Crash = 3 "crash",
        /// The ring was full and the policy is `on_full=stop`.
        Full = 4 "full",
        /// The recorder met an error, for instance a bad index of the reader.
        Error = 5 "error",
        /// The domain was destroyed.
        Destroyed = 6 "destroyed",
        /// Someone asked for it, but the guest neither came to a sync point nor to a place that a
        /// replay would find: the log ends at the last sync point, and has no digests of its end.
        Cut = 7 "cut",
    }
}

impl EndReason {
    /// Whether the record has digests of the state that the log ended in.
    pub const fn has_digests(self) -> bool {
        !matches!(self, Self::Cut)
    }

    /// Whether the guest ended the log itself, on its way to the next sync point.
    pub const fn is_by_guest(self) -> bool {
        matches!(self, Self::Shutdown | Self::Crash)
    }
}

impl Rules for End {
    type Fields<'a> = Self;
    type State = ();
    const START: () = ();

    #[inline(always)]
    fn put(end: &Self, head: &Head, out: &mut Out) {
        head.put(Form::End, out);
        out.byte(end.reason.number());
        out.varint(u64::from(end.code));
        out.varint(end.rip);
        out.bytes(&end.registers.to_le_bytes());
        out.bytes(&end.memory.to_le_bytes());
        out.varint(u64::from(end.pages));
    }

    #[inline(always)]
    fn get(_: Form, _: &Predictor, _: &At, input: &mut In) -> Result<Self, DecodeError> {
        Ok(Self {
            reason: EndReason::from_number(input.byte()?).ok_or(DecodeError::Range)?,
            code: input.varint_u32()?,
            rip: input.varint()?,
            registers: input.little_endian(8)?,
            memory: input.little_endian(8)?,
            pages: input.varint_u32()?,
        })
    }

    #[inline(always)]
    fn observe(_: &Self, predictor: &mut Predictor, _: usize) {
        predictor.phase = Phase::Ended;
    }

    fn text(end: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (code {}), rip {:#x}, registers {:#018x}, memory {:#018x} of {} pages",
            end.reason.name(),
            end.code,
            end.rip,
            end.registers,
            end.memory,
            end.pages
        )
    }

    #[cfg(feature = "std")]
    fn json(end: &Self) -> serde_json::Value {
        serde_json::json!({
            "reason": end.reason.name(),
            "code": end.code,
            "rip": crate::Digits(end.rip).to_string(),
            "registers": crate::Digits(end.registers).to_string(),
            "memory": crate::Digits(end.memory).to_string(),
            "pages": end.pages,
        })
    }
}
