//! What encoder and decoder expect of the next record.
//!
//! Both sides hold the same [`Predictor`] and show it the same items, so only what differs from
//! its expectation has to be written. All arithmetic wraps: a wrong expectation costs bytes,
//! never correctness.

use crate::Kind;
use crate::item::Item;
use crate::kinds::States;

/// How far the stream has come at the current sync number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No record at this sync number yet.
    Fresh,
    /// Commits only.
    Commits,
    /// At least one value: no commit may follow at this number.
    Values,
    /// The place at which the guest left this number for the next: nothing may follow at it.
    Left,
    /// The end record: nothing may follow.
    Ended,
}

/// What followed the last few records when they were last seen in this order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follower {
    /// Distance to the next record in sync numbers.
    pub(crate) step: u32,
    /// The port, if the next record was an event.
    pub(crate) port: u16,
}

const FOLLOWERS: usize = 256;

/// The state that encoder and decoder share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predictor {
    pub(crate) sync: u64,
    pub(crate) phase: Phase,
    pub(crate) witness: u8,
    /// The last four kinds and steps, 8 bits each, of which three count.
    history: u32,
    followers: [Follower; FOLLOWERS],
    pub(crate) states: States,
}

impl Predictor {
    pub(crate) const fn new() -> Self {
        Self {
            sync: 0,
            phase: Phase::Fresh,
            witness: 0,
            history: 0,
            followers: [Follower { step: 1, port: 0 }; FOLLOWERS],
            states: States::START,
        }
    }

    /// The number of the slot for what follows the current history.
    #[inline]
    pub(crate) const fn slot(&self) -> usize {
        ((self.history & 0x00ff_ffff).wrapping_mul(0x9e37_79b1) >> 24) as usize & (FOLLOWERS - 1)
    }

    /// What is expected to come next, from a [`Self::slot`].
    #[inline]
    pub(crate) fn follower(&self, slot: usize) -> Follower {
        match self.followers.get(slot) {
            Some(&follower) => follower,
            None => Follower { step: 1, port: 0 },
        }
    }

    /// Whether a record may come `step` after the current sync number.
    #[inline]
    pub(crate) fn allows(&self, step: u64, is_commit: bool) -> bool {
        match self.phase {
            Phase::Ended => false,
            Phase::Values => step != 0 || !is_commit,
            Phase::Left => step != 0,
            Phase::Fresh | Phase::Commits => true,
        }
    }

    /// Whether a commit `step` after the current sync number is the first one there, which
    /// carries the witness.
    #[inline]
    pub(crate) fn needs_witness(&self, step: u64) -> bool {
        step != 0 || self.phase == Phase::Fresh
    }

    /// Takes in a record that was encoded or decoded, `step` after the last one.
    #[inline(always)]
    pub(crate) fn observe(&mut self, slot: usize, step: u64, item: &Item) {
        let kind = item.record.kind();
        self.advance(slot, step, item.sync, kind);
        if kind.is_commit() {
            self.take_commit(item.witness);
        } else {
            self.phase = Phase::Values;
        }
        item.record.observe(self, slot);
    }

    /// Remembers that the last record was a commit.
    #[inline]
    pub(crate) fn take_commit(&mut self, witness: u8) {
        self.phase = Phase::Commits;
        self.witness = witness;
    }

    /// Remembers the port of an event.
    #[inline]
    pub(crate) fn expect_port(&mut self, slot: usize, port: u16) {
        if let Some(follower) = self.followers.get_mut(slot) {
            follower.port = port;
        }
    }

    /// Moves to `sync` and remembers how this record followed those before.
    #[inline]
    pub(crate) fn advance(&mut self, slot: usize, step: u64, sync: u64, kind: Kind) {
        if let Some(follower) = self.followers.get_mut(slot) {
            follower.step = step as u32;
        }
        let short_step = if step < 15 { step as u32 } else { 15 };
        let symbol = short_step << 4 ^ u32::from(kind.number());
        self.history = self.history << 8 | symbol;
        self.sync = sync;
    }
}
