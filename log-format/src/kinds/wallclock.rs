//! The wallclock in the shared info page.

use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::Predictor;
use crate::varint::{In, Out};

/// The fields of [`crate::Record::Wallclock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wallclock {
    /// Seconds of the epoch at the host's boot.
    pub sec: u64,
    /// Nanoseconds within that second.
    pub nsec: u32,
}

const NSEC_PER_SEC: u32 = 1_000_000_000;

impl Rules for Wallclock {
    type Fields<'a> = Self;
    /// Seconds of the last one.
    type State = u64;
    const START: u64 = 0;

    fn is_valid(wallclock: &Self, _: u64) -> bool {
        wallclock.nsec < NSEC_PER_SEC
    }

    #[inline(always)]
    fn put(wallclock: &Self, head: &Head, out: &mut Out) {
        head.put(Form::Wallclock, out);
        out.signed(wallclock.sec.wrapping_sub(head.predictor.states.wallclock));
        out.varint(u64::from(wallclock.nsec));
    }

    #[inline(always)]
    fn get(_: Form, predictor: &Predictor, _: &At, input: &mut In) -> Result<Self, DecodeError> {
        let sec = predictor.states.wallclock.wrapping_add(input.signed()?);
        let nsec = input.varint_u32()?;
        if nsec >= NSEC_PER_SEC {
            return Err(DecodeError::Range);
        }
        Ok(Self { sec, nsec })
    }

    #[inline(always)]
    fn observe(wallclock: &Self, predictor: &mut Predictor, _: usize) {
        predictor.states.wallclock = wallclock.sec;
    }

    fn text(Self { sec, nsec }: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{sec}.{nsec:09} s of the epoch")
    }

    #[cfg(feature = "std")]
    fn json(Self { sec, nsec }: &Self) -> serde_json::Value {
        serde_json::json!({ "sec": sec, "nsec": nsec })
    }
}
