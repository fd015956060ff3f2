//! A vector that Xen sets in the request register of the guest's local APIC.

use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::Predictor;
use crate::varint::{In, Out};

/// The lowest vector that a local APIC takes; those below are the processor's exceptions.
pub const FIRST_VECTOR: u8 = 16;

/// The fields of [`crate::Record::Interrupt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The vector, from [`FIRST_VECTOR`].
    pub vector: u8,
}

impl Rules for Interrupt {
    type Fields<'a> = Self;
    type State = ();
    const START: () = ();

    fn is_valid(interrupt: &Self, _: u64) -> bool {
        interrupt.vector >= FIRST_VECTOR
    }

    fn put(interrupt: &Self, head: &Head, out: &mut Out) {
        head.put(Form::Interrupt, out);
        out.byte(interrupt.vector);
    }

    fn get(_: Form, _: &Predictor, _: &At, input: &mut In) -> Result<Self, DecodeError> {
        let vector = input.byte()?;
        if vector < FIRST_VECTOR {
            return Err(DecodeError::Vector(vector));
        }
        Ok(Self { vector })
    }

    fn text(Self { vector }: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vector {vector:#04x}")
    }

    #[cfg(feature = "std")]
    fn json(Self { vector }: &Self) -> serde_json::Value {
        serde_json::json!({ "vector": vector })
    }
}
