//! The rings of the console and of xenstore, which dom0's backend shares with the guest.
//!
//! The producer is expected to move by the length of the new bytes, the consumer not at all or as
//! far as when it last moved.

use bitflags::bitflags;
use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::Predictor;
use crate::varint::{In, Out};

/// The most bytes that one ring record carries: the console's input ring holds 1024, the xenstore
/// response ring as many.
pub const MAX_RING_BYTES: usize = 1024;

/// New contents of a ring that dom0's backend shares with the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingIn<'a> {
    /// New index of the producer in dom0.
    pub prod: u32,
    /// New index of the consumer in dom0.
    pub cons: u32,
    /// The bytes that are new in the ring, at most [`MAX_RING_BYTES`].
    pub bytes: &'a [u8],
    /// Further words of the ring page, see [`crate::Record`].
    pub ext: [u32; 3],
}

bitflags! {
    /// How the ring moved. Two fields of two bits: [`Moves::LENGTH`] and [`Moves::CONS`], in each of
    /// which both bits at once mean nothing.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Moves: u8 {
        /// There is one new byte.
        const ONE_BYTE = 1 << 0;
        /// There are more; a varint of the length less 2 follows.
        const MORE_BYTES = 1 << 1;
        /// The producer moved by another distance than the length; a varint of it follows.
        const PROD = 1 << 2;
        /// The consumer moved as far as the last time it moved.
        const CONS_USUAL = 1 << 3;
        /// The consumer moved otherwise; a varint of its step follows.
        const CONS_OTHER = 1 << 4;
        /// The word of `ext` of this number changed, and follows.
        const EXT_0 = 1 << 5;
        const EXT_1 = 1 << 6;
        const EXT_2 = 1 << 7;

        const LENGTH = Self::ONE_BYTE.bits() | Self::MORE_BYTES.bits();
        const CONS = Self::CONS_USUAL.bits() | Self::CONS_OTHER.bits();
    }
}

impl Moves {
    /// The flags of the words of `ext`.
    const EXT: [Self; 3] = [Self::EXT_0, Self::EXT_1, Self::EXT_2];
}

/// Expected state of a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    prod: u32,
    cons: u32,
    /// How far the consumer moved when it last did.
    cons_step: u32,
    ext: [u32; 3],
}

impl State {
    const START: Self = Self {
        prod: 0,
        cons: 0,
        cons_step: 0,
        ext: [0; 3],
    };

    #[inline(always)]
    fn observe(&mut self, ring: &RingIn) {
        let step = ring.cons.wrapping_sub(self.cons);
        if step != 0 {
            self.cons_step = step;
        }
        self.prod = ring.prod;
        self.cons = ring.cons;
        self.ext = ring.ext;
    }
}

/// The rules of the console's ring, which has no `ext`.
pub(crate) enum Console {}

impl Rules for Console {
    type Fields<'a> = RingIn<'a>;
    type State = State;
    const START: State = State::START;

    fn is_valid(ring: &RingIn, _: u64) -> bool {
        ring.bytes.len() <= MAX_RING_BYTES && ring.ext == [0; 3]
    }

    #[inline(always)]
    fn put(ring: &RingIn, head: &Head, out: &mut Out) {
        head.put(Form::ConsoleIn, out);
        put_ring(&head.predictor.states.console, ring, out);
    }

    #[inline(always)]
    fn get<'a>(
        _: Form,
        predictor: &Predictor,
        _: &At,
        input: &mut In<'a>,
    ) -> Result<RingIn<'a>, DecodeError> {
        get_ring(&predictor.states.console, false, input)
    }

    #[inline(always)]
    fn observe(ring: &RingIn, predictor: &mut Predictor, _: usize) {
        predictor.states.console.observe(ring);
    }

    fn text(ring: &RingIn, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = ring.bytes.escape_ascii();
        write!(f, "prod {} cons {} \"{bytes}\"", ring.prod, ring.cons)
    }

    #[cfg(feature = "std")]
    fn json(ring: &RingIn) -> serde_json::Value {
        let bytes = crate::Hex(ring.bytes).to_string();
        serde_json::json!({ "prod": ring.prod, "cons": ring.cons, "bytes": bytes })
    }
}

/// The rules of the xenstore ring.
pub(crate) enum Xenstore {}

impl Rules for Xenstore {
    type Fields<'a> = RingIn<'a>;
    type State = State;
    const START: State = State::START;

    fn is_valid(ring: &RingIn, _: u64) -> bool {
        ring.bytes.len() <= MAX_RING_BYTES
    }

    #[inline(always)]
    fn put(ring: &RingIn, head: &Head, out: &mut Out) {
        head.put(Form::XenstoreIn, out);
        put_ring(&head.predictor.states.xenstore, ring, out);
    }

    #[inline(always)]
    fn get<'a>(
        _: Form,
        predictor: &Predictor,
        _: &At,
        input: &mut In<'a>,
    ) -> Result<RingIn<'a>, DecodeError> {
        get_ring(&predictor.states.xenstore, true, input)
    }

    #[inline(always)]
    fn observe(ring: &RingIn, predictor: &mut Predictor, _: usize) {
        predictor.states.xenstore.observe(ring);
    }

    fn text(ring: &RingIn, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Console::text(ring, f)?;
        write!(f, ", ext {:?}", ring.ext)
    }

    #[cfg(feature = "std")]
    fn json(ring: &RingIn) -> serde_json::Value {
        let mut json = Console::json(ring);
        json["ext"] = serde_json::json!(ring.ext);
        json
    }
}

fn put_ring(before: &State, ring: &RingIn, out: &mut Out) {
    let length = ring.bytes.len() as u32;
    let cons_step = ring.cons.wrapping_sub(before.cons);
    let mut moves = match length {
        0 => Moves::empty(),
        1 => Moves::ONE_BYTE,
        _ => Moves::MORE_BYTES,
    };
    moves.set(Moves::PROD, ring.prod != before.prod.wrapping_add(length));
    moves |= if cons_step == 0 {
        Moves::empty()
    } else if cons_step == before.cons_step {
        Moves::CONS_USUAL
    } else {
        Moves::CONS_OTHER
    };
    let ext = ring.ext.iter().zip(&before.ext);
    for ((new, old), flag) in ext.clone().zip(Moves::EXT) {
        moves.set(flag, new != old);
    }
    out.byte(moves.bits());
    if moves.contains(Moves::CONS_OTHER) {
        out.varint(u64::from(cons_step));
    }
    if moves.contains(Moves::PROD) {
        out.varint(u64::from(ring.prod.wrapping_sub(before.prod)));
    }
    for (new, old) in ext {
        if new != old {
            out.varint(u64::from(*new));
        }
    }
    if length > 1 {
        out.varint(u64::from(length.wrapping_sub(2)));
    }
    out.bytes(ring.bytes);
}

fn get_ring<'a>(
    before: &State,
    has_ext: bool,
    input: &mut In<'a>,
) -> Result<RingIn<'a>, DecodeError> {
    let moves = Moves::from_bits_retain(input.byte()?);
    if !has_ext && moves.bits() >= Moves::EXT_0.bits() {
        return Err(DecodeError::Range);
    }
    let cons = moves & Moves::CONS;
    let cons_step = if cons.is_empty() {
        0
    } else if cons == Moves::CONS_USUAL && before.cons_step != 0 {
        before.cons_step
    } else if cons == Moves::CONS_OTHER {
        let step = input.varint_u32()?;
        if step == 0 || step == before.cons_step {
            return Err(DecodeError::Overlong);
        }
        step
    } else {
        return Err(DecodeError::Range);
    };
    let prod_step = if moves.contains(Moves::PROD) {
        Some(input.varint_u32()?)
    } else {
        None
    };
    let mut ext = before.ext;
    for (word, flag) in ext.iter_mut().zip(Moves::EXT) {
        if moves.contains(flag) {
            let new = input.varint_u32()?;
            if new == *word {
                return Err(DecodeError::Overlong);
            }
            *word = new;
        }
    }
    let length = moves & Moves::LENGTH;
    let length = if length.is_empty() {
        0
    } else if length == Moves::ONE_BYTE {
        1
    } else if length == Moves::MORE_BYTES {
        input.varint()?.saturating_add(2)
    } else {
        return Err(DecodeError::Range);
    };
    if length > MAX_RING_BYTES as u64 {
        return Err(DecodeError::Range);
    }
    if prod_step.is_some_and(|step| u64::from(step) == length) {
        return Err(DecodeError::Overlong);
    }
    Ok(RingIn {
        prod: before.prod.wrapping_add(prod_step.unwrap_or(length as u32)),
        cons: before.cons.wrapping_add(cons_step),
        bytes: input.bytes(length as usize)?,
        ext,
    })
}
