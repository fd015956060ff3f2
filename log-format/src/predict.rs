//! What encoder and decoder expect of the next record.
//!
//! Both sides hold the same [`Predictor`] and show it the same items, so only what differs from
//! its expectation has to be written. All arithmetic wraps: a wrong expectation costs bytes,
//! never correctness.

use crate::Kind;
use crate::line::Line;
use crate::record::{Item, Record, RingIn, Runstate, TimeInfo};

/// How far the stream has come at the current sync number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No record at this sync number yet.
    Fresh,
    /// Commits only.
    Commits,
    /// At least one value: no commit may follow at this number.
    Values,
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

/// A TSC difference of this many ticks or more means that the guest slept.
pub(crate) const SLEEP_TICKS: u64 = 1 << 21;

/// Expected TSC values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TscState {
    /// The value last read.
    pub(crate) last: u64,
    /// The first value after the last sleep.
    pub(crate) woken: u64,
    /// Ticks between the first values after the last two sleeps.
    pub(crate) period: u64,
    /// Length of the last sleep in ticks.
    pub(crate) sleep: u64,
}

/// Expected state of a shared ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingState {
    pub(crate) prod: u32,
    pub(crate) cons: u32,
    /// How far the consumer moved when it last did.
    pub(crate) cons_step: u32,
    pub(crate) ext: [u32; 3],
}

/// The state that encoder and decoder share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predictor {
    pub(crate) sync: u64,
    pub(crate) phase: Phase,
    pub(crate) witness: u8,
    /// The last four kinds and steps, 8 bits each, of which three count.
    history: u32,
    followers: [Follower; FOLLOWERS],
    pub(crate) tsc: TscState,
    pub(crate) time: TimeInfo,
    /// Nanoseconds between the last two time pages.
    pub(crate) time_step: u64,
    pub(crate) line: Line,
    pub(crate) wallclock: (u64, u32),
    pub(crate) runstate: Runstate,
    pub(crate) console: RingState,
    pub(crate) xenstore: RingState,
}

impl Predictor {
    pub(crate) const fn new() -> Self {
        const RING: RingState = RingState {
            prod: 0,
            cons: 0,
            cons_step: 0,
            ext: [0; 3],
        };
        Self {
            sync: 0,
            phase: Phase::Fresh,
            witness: 0,
            history: 0,
            followers: [Follower { step: 1, port: 0 }; FOLLOWERS],
            tsc: TscState {
                last: 0,
                woken: 0,
                period: 0,
                sleep: 0,
            },
            time: TimeInfo {
                tsc_timestamp: 0,
                system_time: 0,
                tsc_to_system_mul: 0,
                tsc_shift: 0,
                flags: 0,
            },
            time_step: 0,
            line: Line::new(),
            wallclock: (0, 0),
            runstate: Runstate {
                state: 0,
                state_entry_time_ns: 0,
                time_ns: [0; 4],
            },
            console: RING,
            xenstore: RING,
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
        if let Record::Event { port } = item.record
            && let Some(follower) = self.followers.get_mut(slot)
        {
            follower.port = port;
        }
        let kind = item.record.kind();
        self.advance(slot, step, item.sync, kind);
        if kind.is_commit() {
            self.phase = Phase::Commits;
            self.witness = item.witness;
        } else {
            self.phase = Phase::Values;
        }
        match item.record {
            Record::Tsc { value } => self.tsc.observe(value),
            Record::Time(time) => self.observe_time(&time),
            Record::Wallclock { sec, nsec } => self.wallclock = (sec, nsec),
            Record::Runstate(runstate) => self.runstate = runstate,
            Record::ConsoleIn(ring) => self.console.observe(&ring),
            Record::XenstoreIn(ring) => self.xenstore.observe(&ring),
            Record::End(_) => self.phase = Phase::Ended,
            Record::Event { .. } | Record::Start { .. } | Record::Value { .. } => {}
        }
    }

    /// Takes in a TSC value less than [`SLEEP_TICKS`] after the last: [`Self::observe`] for the most
    /// frequent kind.
    #[inline]
    pub(crate) fn observe_short_tsc(&mut self, slot: usize, step: u64, sync: u64, value: u64) {
        self.advance(slot, step, sync, Kind::Tsc);
        self.phase = Phase::Values;
        self.tsc.last = value;
    }

    /// Takes in an event: the same.
    #[inline]
    pub(crate) fn observe_event(
        &mut self,
        slot: usize,
        step: u64,
        sync: u64,
        witness: u8,
        port: u16,
    ) {
        if let Some(follower) = self.followers.get_mut(slot) {
            follower.port = port;
        }
        self.advance(slot, step, sync, Kind::Event);
        self.phase = Phase::Commits;
        self.witness = witness;
    }

    /// Moves to `sync` and remembers how this record followed those before.
    #[inline]
    fn advance(&mut self, slot: usize, step: u64, sync: u64, kind: Kind) {
        if let Some(follower) = self.followers.get_mut(slot) {
            follower.step = step as u32;
        }
        let short_step = if step < 15 { step as u32 } else { 15 };
        let symbol = short_step << 4 | kind.number() as u32;
        self.history = self.history << 8 | symbol;
        self.sync = sync;
    }

    /// The system time that the next time page is expected to have.
    pub(crate) const fn next_system_time(&self) -> u64 {
        self.time.system_time.wrapping_add(self.time_step)
    }

    fn observe_time(&mut self, time: &TimeInfo) {
        self.line.observe(time);
        self.time_step = time.system_time.wrapping_sub(self.time.system_time);
        self.time = *time;
    }
}

impl TscState {
    #[inline]
    fn observe(&mut self, value: u64) {
        let ticks = value.wrapping_sub(self.last);
        if ticks >= SLEEP_TICKS {
            self.sleep = ticks;
            self.period = value.wrapping_sub(self.woken);
            self.woken = value;
        }
        self.last = value;
    }
}

impl RingState {
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
