//! A shared ring that the guest granted to a backend, as its relay begins or ends.

use core::fmt;

use super::page::MAX_FRAME;
use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::Predictor;
use crate::varint::{In, Out};

/// The fields of [`crate::Record::Loan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loan {
    /// The ring is relayed from here on; otherwise no longer.
    pub begins: bool,
    /// The guest's grant reference.
    pub reference: u32,
    /// The ring's page, counted as those of [`crate::Page`].
    pub frame: u64,
    /// The guest's port of the event channel that goes with the ring.
    pub port: u16,
}

impl Rules for Loan {
    type Fields<'a> = Self;
    type State = ();
    const START: () = ();

    fn is_valid(loan: &Self, _: u64) -> bool {
        loan.frame <= MAX_FRAME
    }

    fn put(loan: &Self, head: &Head, out: &mut Out) {
        head.put(Form::Loan, out);
        out.byte(loan.begins.into());
        out.varint(loan.reference.into());
        out.varint(loan.frame);
        out.varint(loan.port.into());
    }

    fn get(_: Form, _: &Predictor, _: &At, input: &mut In) -> Result<Self, DecodeError> {
        let begins = match input.byte()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Range),
        };
        let reference = input.varint_u32()?;
        let frame = input.varint()?;
        if frame > MAX_FRAME {
            return Err(DecodeError::Range);
        }
        let port = u16::try_from(input.varint()?).map_err(|_| DecodeError::Range)?;
        Ok(Self {
            begins,
            reference,
            frame,
            port,
        })
    }

    fn text(loan: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            begins,
            reference,
            frame,
            port,
        } = loan;
        let what = if *begins { "begins" } else { "ends" };
        write!(
            f,
            "{what}: reference {reference}, frame {frame:#x}, port {port}"
        )
    }

    #[cfg(feature = "std")]
    fn json(loan: &Self) -> serde_json::Value {
        serde_json::json!({
            "begins": loan.begins,
            "reference": loan.reference,
            "frame": loan.frame,
            "port": loan.port,
        })
    }
}
