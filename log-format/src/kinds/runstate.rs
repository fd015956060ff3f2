//! The guest's registered runstate area.
//!
//! The entry time is expected to move by the sum of what the times in the states moved.

use bitflags::bitflags;
use core::fmt;

use super::{Form, Rules};
use crate::DecodeError;
use crate::decode::At;
use crate::encode::Head;
use crate::predict::Predictor;
use crate::varint::{In, Out};

/// The contents of the guest's runstate area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runstate {
    /// `RUNSTATE_*` number.
    pub state: u32,
    /// System time at which the state was entered (with Xen's update flag, if set).
    pub state_entry_time_ns: u64,
    /// Nanoseconds spent in each state.
    pub time_ns: [u64; 4],
}

bitflags! {
    /// What changed.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Changes: u8 {
        /// `state`.
        const STATE = 1 << 0;
        /// The entry time is not as the times in the states say.
        const ENTRY = 1 << 1;
        /// The time in the state of this number.
        const TIME_0 = 1 << 2;
        const TIME_1 = 1 << 3;
        const TIME_2 = 1 << 4;
        const TIME_3 = 1 << 5;
    }
}

impl Changes {
    /// The flags of the four times.
    const TIMES: [Self; 4] = [Self::TIME_0, Self::TIME_1, Self::TIME_2, Self::TIME_3];
}

impl Runstate {
    /// How far the entry time moves from this one to one with such times, when all time between the
    /// two is accounted for in the states.
    fn entry_step(&self, time_ns: &[u64; 4]) -> u64 {
        time_ns
            .iter()
            .zip(&self.time_ns)
            .fold(0u64, |sum, (new, old)| {
                sum.wrapping_add(new.wrapping_sub(*old))
            })
    }
}

impl Rules for Runstate {
    type Fields<'a> = Self;
    /// The last one.
    type State = Self;
    const START: Self = Self {
        state: 0,
        state_entry_time_ns: 0,
        time_ns: [0; 4],
    };

    #[inline(always)]
    fn put(now: &Self, head: &Head, out: &mut Out) {
        let before = &head.predictor.states.runstate;
        head.put(Form::Runstate, out);
        let mut changes = Changes::empty();
        changes.set(Changes::STATE, now.state != before.state);
        let entry_step = before.entry_step(&now.time_ns);
        let entry = before.state_entry_time_ns.wrapping_add(entry_step);
        changes.set(Changes::ENTRY, now.state_entry_time_ns != entry);
        let times = now.time_ns.iter().zip(&before.time_ns);
        for ((new, old), flag) in times.clone().zip(Changes::TIMES) {
            changes.set(flag, new != old);
        }
        out.byte(changes.bits());
        if changes.contains(Changes::STATE) {
            out.varint(u64::from(now.state));
        }
        for (new, old) in times {
            if new != old {
                out.signed(new.wrapping_sub(*old));
            }
        }
        if changes.contains(Changes::ENTRY) {
            out.signed(now.state_entry_time_ns.wrapping_sub(entry));
        }
    }

    #[inline(always)]
    fn get(_: Form, predictor: &Predictor, _: &At, input: &mut In) -> Result<Self, DecodeError> {
        let before = &predictor.states.runstate;
        let changes = Changes::from_bits(input.byte()?).ok_or(DecodeError::Range)?;
        let mut now = *before;
        if changes.contains(Changes::STATE) {
            now.state = input.varint_u32()?;
            if now.state == before.state {
                return Err(DecodeError::Overlong);
            }
        }
        for (time, flag) in now.time_ns.iter_mut().zip(Changes::TIMES) {
            if changes.contains(flag) {
                *time = time.wrapping_add(input.change()?);
            }
        }
        let entry_step = before.entry_step(&now.time_ns);
        now.state_entry_time_ns = before.state_entry_time_ns.wrapping_add(entry_step);
        if changes.contains(Changes::ENTRY) {
            now.state_entry_time_ns = now.state_entry_time_ns.wrapping_add(input.change()?);
        }
        Ok(now)
    }

    #[inline(always)]
    fn observe(runstate: &Self, predictor: &mut Predictor, _: usize) {
        predictor.states.runstate = *runstate;
    }

    fn text(runstate: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "state {} since {} ns, spent {:?} ns",
            runstate.state, runstate.state_entry_time_ns, runstate.time_ns
        )
    }

    #[cfg(feature = "std")]
    fn json(runstate: &Self) -> serde_json::Value {
        serde_json::json!({
            "state": runstate.state,
            "state_entry_time_ns": runstate.state_entry_time_ns,
            "time_ns": runstate.time_ns,
        })
    }
}
