//! Any answer that depends on the world outside the guest and has no kind of its own.

use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::numbered::numbered;
use crate::predict::Predictor;
use crate::varint::{In, Out};

/// The most bytes that one [`Value`] carries.
pub const MAX_VALUE_BYTES: usize = 256;

/// The fields of [`crate::Record::Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Which question it answers.
    pub kind: ValueKind,
    /// The answer, at most [`MAX_VALUE_BYTES`].
    pub bytes: &'a [u8],
}

numbered! {
    /// Which question a [`Value`] answers.
    ValueKind: u8 {
        /// Runstate information of a vCPU operation.
        Runstate = 1 "runstate",
        /// Outcome of setting a timer.
        Timer = 2 "timer",
        /// Status of an event channel.
        EvtchnStatus = 3 "evtchn_status",
        /// Bytes read by `console_io`.
        ConsoleRead = 4 "console_read",
        /// A CPUID leaf.
        Cpuid = 5 "cpuid",
        /// Physical CPU identity.
        PhysId = 6 "phys_id",
        /// A time other than the time page.
        Time = 7 "time",
        /// Result of any other hypercall.
        Hypercall = 8 "hypercall",
        /// A model-specific register, 8 bytes.
        Msr = 9 "msr",
        /// A register of the local APIC, 4 bytes.
        Lapic = 10 "lapic",
    }
}

/// The length that says that a varint of the length, less this, follows.
const LONG: u8 = 15;

impl Rules for Value<'static> {
    type Fields<'a> = Value<'a>;
    type State = ();
    const START: () = ();

    fn is_valid(value: &Value, _: u64) -> bool {
        value.bytes.len() <= MAX_VALUE_BYTES
    }

    #[inline(always)]
    fn put(value: &Value, head: &Head, out: &mut Out) {
        head.put(Form::Value, out);
        let kind = value.kind.number() << 4;
        let length = value.bytes.len();
        if length < usize::from(LONG) {
            out.byte(kind | length as u8);
        } else {
            out.byte(kind | LONG);
            out.varint((length as u64).wrapping_sub(LONG.into()));
        }
        out.bytes(value.bytes);
    }

    #[inline(always)]
    fn get<'a>(
        _: Form,
        _: &Predictor,
        _: &At,
        input: &mut In<'a>,
    ) -> Result<Value<'a>, DecodeError> {
        let byte = input.byte()?;
        let kind = ValueKind::from_number(byte >> 4).ok_or(DecodeError::Range)?;
        let length = match byte & 15 {
            LONG => input.varint()?.saturating_add(LONG.into()),
            short => u64::from(short),
        };
        if length > MAX_VALUE_BYTES as u64 {
            return Err(DecodeError::Range);
        }
        let bytes = input.bytes(length as usize)?;
        Ok(Value { kind, bytes })
    }

    fn text(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", value.kind.name(), crate::Hex(value.bytes))
    }

    #[cfg(feature = "std")]
    fn json(value: &Value) -> serde_json::Value {
        let bytes = crate::Hex(value.bytes).to_string();
        serde_json::json!({ "value_kind": value.kind.name(), "bytes": bytes })
    }
}
