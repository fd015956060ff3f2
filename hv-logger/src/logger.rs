//! The state of one logged domain, and what recording and replaying share.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use log_format::{
    Decoder, Encoder, End, Kind, MAX_RECORD_BYTES, MAX_VALUE_BYTES, Page, Place, Record, RingIn,
    Start, Value, Wallclock,
};
use log_format::{Runstate, TimeInfo, ValueKind};

use crate::abi::{
    Attention, Counters, Divergence, EndState, Gate, HVLOG_DEAD, HVLOG_DONE, HVLOG_END,
    HVLOG_ERR_LOG, HVLOG_ERR_RING_INDEX, HVLOG_RING_CONSOLE, HVLOG_RING_XENSTORE, Loan, PageUpdate,
    PlaceState, Registers, RingUpdate, RunstateUpdate, TimeUpdate, WallclockUpdate,
};
use crate::bounded_clock::BoundedClock;
use crate::frontends::Frontends;
use crate::ring::Ring;
use crate::stage::{Stage, Taken};
use crate::{digest, xen::Guest};

/// What becomes of the inputs at a sync point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They come from the stage and are logged.
    Record,
    /// They come from the log; the stage stays empty.
    Replay,
    /// They come from the stage and are not logged: the log has ended.
    Live,
    /// Nothing comes any more: the vCPU stays paused.
    Dead,
}

/// A logged domain.
pub struct Logger {
    /// Used by all CPUs.
    pub stage: Stage,
    gate: *mut Gate,
    own: UnsafeCell<Own>,
    frontends: UnsafeCell<Frontends>,
}

/// The part that only the vCPU's own context uses (or somebody while the vCPU is paused).
pub struct Own {
    pub(crate) mode: Mode,
    pub(crate) on_full_stop: bool,
    /// The ring was full within a hypercall: the log ends at the next sync point.
    pub(crate) is_full: bool,
    /// Ticks after which an event that still waits is reported on Xen's console.
    pub(crate) long_delay: u64,
    pub(crate) clock: BoundedClock,
    /// Digest of the registers at all sync points with a commit so far.
    witnessed: u64,
    /// One more than the last of those sync points; 0 before the first.
    witnessed_end: u64,
    pub(crate) ring: Ring,
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    /// The first record of the log that was not used yet.
    pub(crate) next: Option<Head>,
    /// Number at which a replay pauses.
    pub(crate) until: u64,
    /// Dom0 was told that the ring is half full.
    pub(crate) notified: bool,
    /// As long as the ring's index is not above it, a short record may be written without a look
    /// at how full the ring is.
    pub(crate) quiet_until: u64,
    pub(crate) counters: Counters,
    pub(crate) end: EndState,
    pub(crate) divergence: Divergence,
    pub(crate) scratch: [u8; MAX_RECORD_BYTES],
    pub(crate) update: RingUpdate,
    pub(crate) page: PageUpdate,
    /// Ports of a commit that waits, in its midst, for room in the ring.
    pub(crate) halted: Option<Taken>,
    pub(crate) value: heapless::Vec<u8, MAX_VALUE_BYTES>,
}

/// The next record of a log that is replayed, out of the reach of dom0.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Number that it belongs to. For an end that the guest brings about itself: the number it
    /// does so at.
    pub(crate) sync: u64,
    pub(crate) witness: u8,
    pub(crate) kind: Kind,
    /// The guest asks for it while Xen handles an exit; otherwise it is a commit.
    pub(crate) at_exit: bool,
    /// Bytes in the ring.
    pub(crate) len: usize,
    pub(crate) content: Content,
}

/// What it says.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// Port of an event.
    Event(u16),
    /// The time page.
    Time(TimeUpdate),
    /// The wallclock.
    Wallclock(WallclockUpdate),
    /// The runstate area.
    Runstate(RunstateUpdate),
    /// An update of the ring `HVLOG_RING_*`, which stands in `Own::update`.
    Ring(u32),
    /// Vector of an interrupt.
    Interrupt(u8),
    /// Bytes of a page, which stand in `Own::page`.
    Page,
    /// A ring begins or ends.
    Loan(Loan),
    /// Digests of registers and memory, and number of pages.
    Start(u64, u64, u32),
    /// The end.
    End(End),
    /// A time-stamp counter.
    Tsc(u64),
    /// Where the next commit was forced.
    Place(PlaceState),
    /// An answer of that kind, which stands in `Own::value`.
    Value(ValueKind),
}

/// The gate, as the vCPU's own context sees it.
#[derive(Clone, Copy)]
pub struct GateRef(*mut Gate);

impl GateRef {
    /// Current sync number.
    pub fn sync(self) -> u64 {
        // SAFETY: the gate outlives the logger, and only the vCPU's context writes this field.
        unsafe { (*self.0).sync }
    }

    /// Sets the number at which the log wants to be asked.
    pub fn set_due(self, due: u64) {
        // SAFETY: as above.
        unsafe { (*self.0).due = due }
    }

    /// Whether an exit that the guest caused is complete.
    pub fn is_at_sync(self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.0).at_sync != 0 }
    }

    fn attention(&self) -> &AtomicU32 {
        // SAFETY: the gate outlives the logger; all writes of this field are atomic.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.0).attention) }
    }

    /// Sets attention flags.
    pub fn raise(self, flags: Attention) {
        // Release pairs with `clear`: what is staged comes before the flag.
        self.attention().fetch_or(flags.bits(), Ordering::AcqRel);
    }

    /// Clears attention flags; what raises them afterwards shows again.
    pub fn clear(self, flags: Attention) {
        self.attention().fetch_and(!flags.bits(), Ordering::AcqRel);
    }

    /// Whether a flag is up.
    pub fn is_raised(self, flags: Attention) -> bool {
        self.attention().load(Ordering::Acquire) & flags.bits() != 0
    }
}

impl Logger {
    /// Makes a logger at sync number 0, field by field: Xen's stack has no room for one.
    ///
    /// # Safety
    /// `place` points to zeroed memory for a logger, suitably aligned. `gate` outlives the logger;
    /// its `attention` is only accessed atomically.
    pub unsafe fn init(
        place: *mut Self,
        gate: *mut Gate,
        ring: Ring,
        mode: Mode,
        on_full_stop: bool,
        time_bound_ns: u64,
        long_delay: u64,
    ) {
        // SAFETY: all in `place`. What is not written here is made of integers (the stage's
        // atomics among them), and of enums with a variant 0, for which zero is a value, and the
        // right one.
        unsafe {
            (&raw mut (*place).gate).write(gate);
            let own = UnsafeCell::raw_get(&raw const (*place).own);
            (&raw mut (*own).mode).write(mode);
            (&raw mut (*own).on_full_stop).write(on_full_stop);
            (&raw mut (*own).clock).write(BoundedClock::new(time_bound_ns));
            (&raw mut (*own).long_delay).write(long_delay);
            (&raw mut (*own).ring).write(ring);
            (&raw mut (*own).encoder).write(Encoder::new());
            (&raw mut (*own).decoder).write(Decoder::new());
            (&raw mut (*own).next).write(None);
            (&raw mut (*own).halted).write(None);
            (&raw mut (*own).until).write(u64::MAX);
            (&raw mut (*own).value).write(heapless::Vec::new());
        }
    }

    /// The gate.
    pub const fn gate(&self) -> GateRef {
        GateRef(self.gate)
    }

    /// What is known of the guest's front ends.
    ///
    /// # Safety
    /// The caller has the domain's lock for it, and holds no other such reference.
    #[allow(clippy::mut_from_ref, reason = "exclusive by the contract")]
    pub unsafe fn frontends(&self) -> &mut Frontends {
        // SAFETY: by the contract.
        unsafe { &mut *self.frontends.get() }
    }

    /// The part of the vCPU's own context.
    ///
    /// # Safety
    /// The caller is that context (or has the vCPU paused), and holds no other such reference.
    #[allow(clippy::mut_from_ref, reason = "exclusive by the contract")]
    pub unsafe fn own(&self) -> &mut Own {
        // SAFETY: by the contract.
        unsafe { &mut *self.own.get() }
    }
}

impl Own {
    /// Serves the ring, without which the guest may not run on: `HVLOG_DONE`, `HVLOG_WAIT`,
    /// `HVLOG_END`, or `HVLOG_DEAD`.
    pub fn serve(&mut self, gate: GateRef) -> u32 {
        match self.mode {
            Mode::Record => self.serve_recording(gate),
            Mode::Replay => self.serve_replay(gate),
            Mode::Live => {
                gate.clear(Attention::BLOCKED | Attention::START);
                HVLOG_DONE
            }
            Mode::Dead => HVLOG_DEAD,
        }
    }

    /// Commits what is due at the current sync point; see `hvlog_commit`.
    pub fn commit(
        &mut self,
        stage: &Stage,
        gate: GateRef,
        guest: Guest,
        registers: &Registers,
        now: u64,
    ) -> u32 {
        match self.mode {
            Mode::Record | Mode::Live => self.commit_recording(stage, gate, guest, registers, now),
            Mode::Replay => self.commit_replay(gate, guest, registers),
            Mode::Dead => HVLOG_DEAD,
        }
    }

    /// The witness of the current sync point. It depends on the registers here and at all commits
    /// before, so that a replay that parted without being noticed is noticed at the next one.
    pub(crate) fn witness(&mut self, gate: GateRef, registers: &Registers) -> u8 {
        let end = gate.sync().wrapping_add(1);
        if self.witnessed_end != end {
            self.witnessed_end = end;
            self.witnessed = digest::add_registers(self.witnessed, registers);
        }
        digest::witness(self.witnessed)
    }

    /// The witness of an end record at `sync`: that of the commits there, if there are any. What
    /// it adds is in the record's own digests.
    pub(crate) fn end_witness(&self, sync: u64) -> u8 {
        if self.witnessed_end == sync.wrapping_add(1) {
            digest::witness(self.witnessed)
        } else {
            0
        }
    }

    /// The log cannot go on. A recording lets the guest run on without a log; a replay stops it.
    pub(crate) fn fail(&mut self, gate: GateRef, guest: Option<Guest>, error: u32) {
        self.counters.error = error;
        self.mode = match self.mode {
            Mode::Record => Mode::Live,
            _ => Mode::Dead,
        };
        gate.set_due(u64::MAX);
        if self.mode == Mode::Live {
            // Who asked for an end gets an answer at the next sync point.
            gate.clear(Attention::BLOCKED);
        } else {
            gate.raise(Attention::BLOCKED);
        }
        if let Some(guest) = guest {
            guest.notify();
        }
    }

    /// The replay parted from its log. Nothing of the guest runs any more.
    pub(crate) fn diverge(&mut self, gate: GateRef, divergence: Divergence) {
        if self.counters.diverged == 0 {
            self.counters.diverged = 1;
            self.divergence = divergence;
        }
        self.mode = Mode::Dead;
        gate.raise(Attention::BLOCKED);
    }

    /// The registers and memory at the end are known: writes the end record, or compares.
    pub fn finish(&mut self, gate: GateRef, guest: Guest, end: EndState) -> u32 {
        let done = match self.mode {
            Mode::Record => self.finish_recording(gate, guest, end),
            Mode::Replay => self.finish_replay(gate, end),
            Mode::Live | Mode::Dead => HVLOG_DEAD,
        };
        guest.notify();
        done
    }

    /// The digests of the start state are known: writes the start record, or compares.
    pub fn start(&mut self, gate: GateRef, registers: &Registers, memory: u64, pages: u32) -> u32 {
        gate.clear(Attention::START);
        let sum = digest::registers(registers);
        match self.mode {
            Mode::Record => {
                let start = Record::Start(Start {
                    registers: sum,
                    memory,
                    pages,
                });
                let witness = self.witness(gate, registers);
                self.append(gate, None, witness, &start);
                HVLOG_DONE
            }
            Mode::Replay => self.start_replay(gate, registers, memory, pages),
            Mode::Live => HVLOG_DONE,
            Mode::Dead => HVLOG_DEAD,
        }
    }

    /// The guest shut down (or crashed) by itself. `HVLOG_END` when digests are wanted.
    pub fn shutdown(&mut self, gate: GateRef, reason: u32, code: u32, rip: u64) -> u32 {
        match self.mode {
            Mode::Record => HVLOG_END,
            Mode::Replay => self.shutdown_replay(gate, reason, code, rip),
            Mode::Live | Mode::Dead => HVLOG_DEAD,
        }
    }

    /// Whether the guest runs without a log.
    pub fn is_live(&self) -> bool {
        self.mode == Mode::Live
    }

    /// From now on the guest runs unlogged.
    pub fn release(&mut self, gate: GateRef) {
        self.mode = Mode::Live;
        gate.set_due(u64::MAX);
        gate.clear(Attention::BLOCKED | Attention::STOP | Attention::START);
        gate.raise(Attention::WORK);
    }

    /// The time-stamp counter that the guest gets.
    pub fn tsc(&mut self, gate: GateRef, guest: Guest, live: u64) -> u64 {
        if self.mode == Mode::Record && self.append_short_tsc(gate, live) {
            return live;
        }
        self.other_tsc(gate, guest, live)
    }

    /// Apart, so that the usual way is short.
    #[inline(never)]
    fn other_tsc(&mut self, gate: GateRef, guest: Guest, live: u64) -> u64 {
        match self.mode {
            Mode::Record => self.tsc_recording(gate, guest, live),
            Mode::Replay => self.tsc_replay(gate, live),
            Mode::Live | Mode::Dead => live,
        }
    }

    /// Logs `buffer`, or replaces it by what the log says.
    pub fn value(&mut self, gate: GateRef, guest: Guest, kind: u32, buffer: &mut [u8]) {
        let Some(kind) = u8::try_from(kind).ok().and_then(ValueKind::from_number) else {
            return;
        };
        match self.mode {
            Mode::Record => {
                let bytes = buffer
                    .get(..buffer.len().min(MAX_VALUE_BYTES))
                    .unwrap_or(&[]);
                self.append(gate, Some(guest), 0, &Record::Value(Value { kind, bytes }));
            }
            Mode::Replay => self.value_replay(gate, kind, buffer),
            Mode::Live | Mode::Dead => {}
        }
        // A `vcpu_time_info`, which has its TSC behind 8 bytes of version and padding.
        if kind == ValueKind::Time
            && let Some(tsc) = buffer.get(8..).and_then(|rest| rest.first_chunk())
        {
            self.clock.observe_tsc(u64::from_le_bytes(*tsc));
        }
    }

    /// Figures for the status.
    pub fn counters(&self) -> Counters {
        Counters {
            ring_used: self.ring.used(),
            // All bytes ever written or consumed.
            bytes: self.ring.own_index(),
            ..self.counters
        }
    }
}

impl From<TimeUpdate> for TimeInfo {
    fn from(time: TimeUpdate) -> Self {
        Self {
            tsc_timestamp: time.tsc_timestamp,
            system_time: time.system_time,
            tsc_to_system_mul: time.tsc_to_system_mul,
            tsc_shift: time.tsc_shift,
            flags: time.flags,
        }
    }
}

impl From<TimeInfo> for TimeUpdate {
    fn from(time: TimeInfo) -> Self {
        Self {
            tsc_timestamp: time.tsc_timestamp,
            system_time: time.system_time,
            tsc_to_system_mul: time.tsc_to_system_mul,
            tsc_shift: time.tsc_shift,
            flags: time.flags,
            pad: 0,
        }
    }
}

impl From<WallclockUpdate> for Record<'_> {
    fn from(wallclock: WallclockUpdate) -> Self {
        Self::Wallclock(Wallclock {
            sec: wallclock.sec,
            nsec: wallclock.nsec,
        })
    }
}

impl From<RunstateUpdate> for Runstate {
    fn from(runstate: RunstateUpdate) -> Self {
        Self {
            state: runstate.state,
            state_entry_time_ns: runstate.state_entry_time_ns,
            time_ns: runstate.time_ns,
        }
    }
}

impl From<Runstate> for RunstateUpdate {
    fn from(runstate: Runstate) -> Self {
        Self {
            state: runstate.state,
            pad: 0,
            state_entry_time_ns: runstate.state_entry_time_ns,
            time_ns: runstate.time_ns,
        }
    }
}

impl From<PlaceState> for Place {
    fn from(place: PlaceState) -> Self {
        Self {
            rip: place.rip,
            registers: place.registers,
            fpu: place.fpu,
            memory: place.pages,
            all_memory: place.memory,
            hits: place.hits,
            pages: place.page,
            page_count: u8::try_from(place.nr_pages).unwrap_or(u8::MAX),
        }
    }
}

impl From<Place> for PlaceState {
    fn from(place: Place) -> Self {
        Self {
            rip: place.rip,
            registers: place.registers,
            fpu: place.fpu,
            pages: place.memory,
            memory: place.all_memory,
            hits: place.hits,
            page: place.pages,
            nr_pages: place.page_count.into(),
            pad: 0,
        }
    }
}

impl RingUpdate {
    /// The record of this update.
    pub fn record(&self, ring: u32) -> Record<'_> {
        let update = RingIn {
            prod: self.prod,
            cons: self.cons,
            bytes: self.bytes.get(..self.len as usize).unwrap_or(&[]),
            ext: self.ext,
        };
        if ring == HVLOG_RING_XENSTORE {
            Record::XenstoreIn(update)
        } else {
            Record::ConsoleIn(update)
        }
    }

    /// The update of a record.
    pub fn set(&mut self, record: &RingIn<'_>) {
        self.prod = record.prod;
        self.cons = record.cons;
        self.ext = record.ext;
        self.len = 0;
        for (to, from) in self.bytes.iter_mut().zip(record.bytes) {
            *to = *from;
            self.len += 1;
        }
    }
}

impl PageUpdate {
    /// The record of this update.
    pub fn record(&self) -> Record<'_> {
        Record::Page(Page {
            frame: self.frame,
            #[allow(clippy::cast_possible_truncation, reason = "within a page")]
            offset: self.offset as u16,
            bytes: self.bytes.get(..self.len as usize).unwrap_or(&[]),
        })
    }

    /// The update of a record.
    pub fn set(&mut self, record: &Page<'_>) {
        self.frame = record.frame;
        self.offset = record.offset.into();
        self.len = 0;
        for (to, from) in self.bytes.iter_mut().zip(record.bytes) {
            *to = *from;
            self.len += 1;
        }
    }
}

impl From<Loan> for log_format::Loan {
    fn from(loan: Loan) -> Self {
        Self {
            begins: loan.begins != 0,
            reference: loan.reference,
            frame: loan.frame,
            #[allow(clippy::cast_possible_truncation, reason = "a port of the 2-level ABI")]
            port: loan.port as u16,
        }
    }
}

impl From<log_format::Loan> for Loan {
    fn from(loan: log_format::Loan) -> Self {
        Self {
            frame: loan.frame,
            reference: loan.reference,
            port: loan.port.into(),
            begins: loan.begins.into(),
            pad: 0,
        }
    }
}

/// The rings, in the order of their records.
pub const RINGS: [u32; 2] = [HVLOG_RING_CONSOLE, HVLOG_RING_XENSTORE];

pub(crate) const RING_INDEX: u32 = HVLOG_ERR_RING_INDEX;
pub(crate) const BAD_LOG: u32 = HVLOG_ERR_LOG;
