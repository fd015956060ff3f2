//! Recording: inputs come from the stage and go into the log and the guest.

use log_format::{End, EndReason, Event, Interrupt, Item, Record, Tsc};

use crate::abi::{
    Attention, EndState, HVLOG_DONE, HVLOG_END, HVLOG_ERR_FULL, HVLOG_ERR_LOG,
    HVLOG_ERR_RING_INDEX, HVLOG_GONE, HVLOG_REASON_CRASH, HVLOG_REASON_FULL, HVLOG_REASON_SHUTDOWN,
    HVLOG_REASON_STOP, HVLOG_WAIT, PlaceState, Registers, Stale,
};
use crate::logger::{GateRef, Mode, Own, RINGS};
use crate::stage::Stage;
use crate::xen::{FromBackend, Guest};

/// Bytes that must be free before the guest runs: the records of one commit (two full rings, 64
/// events, the others), those of one exit's values, and the end record.
pub const RESERVE_BYTES: u64 = 4096;

/// What a short record may take.
const WORD_BYTES: u64 = 8;

impl Own {
    /// Checks for room; without it the guest may not run on. When the answer is `HVLOG_DONE`,
    /// `HVLOG_BLOCKED` is down: the exit path would ask for ever.
    pub(crate) fn serve_recording(&mut self, gate: GateRef) -> u32 {
        match self.ring.free(RESERVE_BYTES) {
            Ok(free) if free >= RESERVE_BYTES => {
                gate.clear(Attention::BLOCKED);
                HVLOG_DONE
            }
            Ok(free) if self.on_full_stop => {
                if gate.is_at_sync() {
                    self.end.reason = HVLOG_REASON_FULL;
                    return HVLOG_END;
                }
                // Within a hypercall, where no log can end: it goes on with what is left of the
                // reserve. Where it is complete, the ring is to be looked at again.
                if free < RESERVE_BYTES / 2 {
                    self.fail(gate, None, HVLOG_ERR_FULL);
                } else {
                    self.is_full = true;
                    gate.clear(Attention::BLOCKED);
                    gate.raise(Attention::WORK);
                }
                HVLOG_DONE
            }
            Ok(_) => HVLOG_WAIT,
            Err(_) => {
                self.fail(gate, None, HVLOG_ERR_RING_INDEX);
                HVLOG_DONE
            }
        }
    }

    /// Appends a record of the current sync number. There is always room for it: see
    /// [`RESERVE_BYTES`].
    pub(crate) fn append(
        &mut self,
        gate: GateRef,
        guest: Option<Guest>,
        witness: u8,
        record: &Record<'_>,
    ) {
        self.append_at(gate.sync(), gate, guest, witness, record);
    }

    fn append_at(
        &mut self,
        sync: u64,
        gate: GateRef,
        guest: Option<Guest>,
        witness: u8,
        record: &Record<'_>,
    ) {
        if self.mode != Mode::Record {
            return;
        }
        let item = Item {
            sync,
            witness,
            record: *record,
        };
        let len = self.encoder.encode(&item, &mut self.scratch);
        self.write(gate, guest, len);
    }

    /// The same for the ring update in `self.update`, which is too large to be moved about.
    fn append_ring(&mut self, gate: GateRef, guest: Guest, witness: u8, ring: u32) {
        if self.mode != Mode::Record {
            return;
        }
        let item = Item {
            sync: gate.sync(),
            witness,
            record: self.update.record(ring),
        };
        let len = self.encoder.encode(&item, &mut self.scratch);
        self.write(gate, Some(guest), len);
    }

    /// Whether a record of at most 8 bytes fits without any of the steps that [`Self::write`]
    /// may have to take.
    #[inline]
    fn is_quiet(&self) -> bool {
        self.ring.own_index() < self.quiet_until
    }

    #[inline]
    fn write_word(&mut self, word: u64, len: usize) {
        self.ring.write_word(word, len);
        self.counters.records += 1;
    }

    /// Logs a TSC value, the most frequent record, if it is a usual one.
    #[inline]
    pub(crate) fn append_short_tsc(&mut self, gate: GateRef, live: u64) -> bool {
        if self.clock.is_bounded() || !self.is_quiet() {
            return false;
        }
        let Some((word, len)) = self.encoder.encode_short_tsc(gate.sync(), live) else {
            return false;
        };
        self.write_word(word, len);
        true
    }

    /// Logs an event.
    fn append_event(&mut self, gate: GateRef, guest: Guest, witness: u8, port: u16) {
        if self.mode == Mode::Record
            && self.is_quiet()
            && let Some((word, len)) = self.encoder.encode_short_event(gate.sync(), witness, port)
        {
            self.write_word(word, len);
            return;
        }
        self.append(gate, Some(guest), witness, &Record::Event(Event { port }));
    }

    /// Puts the encoded record into the ring.
    fn write(&mut self, gate: GateRef, guest: Option<Guest>, len: usize) {
        let bytes = self.scratch.get(..len).unwrap_or(&[]);
        if bytes.is_empty() {
            // The encoder refuses what no decoder would take: a bug of ours, never silent.
            self.fail(gate, guest, HVLOG_ERR_LOG);
            return;
        }
        self.ring.write(bytes);
        self.counters.records += 1;

        let half = self.ring.size() / 2;
        match self.ring.free(half) {
            Ok(free) => {
                if free < RESERVE_BYTES {
                    gate.raise(Attention::BLOCKED);
                }
                let enough = if free >= half { half } else { RESERVE_BYTES };
                let quiet = free.saturating_sub(enough).saturating_sub(WORD_BYTES);
                self.quiet_until = self.ring.own_index().wrapping_add(quiet);
                if free >= half {
                    self.notified = false;
                } else if !self.notified {
                    self.notified = true;
                    if let Some(guest) = guest {
                        guest.notify();
                    }
                }
            }
            Err(_) => self.fail(gate, guest, HVLOG_ERR_RING_INDEX),
        }
    }

    /// Logs the place at which a commit is forced. It is not larger than the values of one exit.
    pub(crate) fn force(&mut self, gate: GateRef, guest: Guest, place: &PlaceState) {
        let record = Record::Place((*place).into());
        self.append(gate, Some(guest), 0, &record);
    }

    /// The TSC that the guest gets: the true one with a record, or an expected one that is close
    /// enough.
    pub(crate) fn tsc_recording(&mut self, gate: GateRef, guest: Guest, live: u64) -> u64 {
        if self.clock.is_bounded() {
            let expected = self.clock.expected();
            if self.clock.is_close(expected, live) {
                self.clock.give(expected);
                return expected;
            }
            self.clock.give(live);
        }
        self.append(gate, Some(guest), 0, &Record::Tsc(Tsc { value: live }));
        live
    }

    /// Takes what is staged, logs it and applies it.
    #[inline]
    pub(crate) fn commit_recording(
        &mut self,
        stage: &Stage,
        gate: GateRef,
        guest: Guest,
        registers: &Registers,
        now: u64,
    ) -> u32 {
        if self.is_full {
            self.is_full = false;
            gate.raise(Attention::BLOCKED);
            return HVLOG_WAIT;
        }
        // First the flag, then what it stands for: an arrival in between raises it again. The ports
        // are taken before anything is looked at: the bytes that an event announces are in its ring
        // when it is staged.
        gate.clear(Attention::WORK);
        let (ports, has_loans) = if let Some(ports) = self.halted.take() {
            (ports, true)
        } else {
            let ports = stage.take_ports();
            let stale = stage.take_marks();
            if !stale.is_empty() {
                self.commit_marked(stale, gate, guest, registers);
            }
            (ports, stale.intersects(Stale::BACKENDS))
        };
        if has_loans && !self.commit_loans(gate, guest, registers) {
            self.halted = Some(ports);
            gate.raise(Attention::WORK | Attention::BLOCKED);
            return HVLOG_WAIT;
        }
        for port in ports {
            self.commit_event(gate, guest, registers, port);
        }
        if !ports.is_empty() {
            // The TSCs of two CPUs need not agree to the tick.
            let delay = now.saturating_sub(ports.since);
            if delay > self.counters.max_delay {
                self.counters.max_delay = delay;
            }
            if delay > self.long_delay {
                guest.report_delay(delay);
            }
        }
        if stage.is_pending() {
            gate.raise(Attention::WORK);
        }

        if gate.is_raised(Attention::STOP) {
            if self.mode == Mode::Record {
                self.end.reason = HVLOG_REASON_STOP;
                return HVLOG_END;
            }
            gate.clear(Attention::STOP);
            return HVLOG_GONE;
        }
        HVLOG_DONE
    }

    /// Everything but events: what is [`Stale`]. Apart, since most commits have none of it.
    #[inline(never)]
    fn commit_marked(&mut self, stale: Stale, gate: GateRef, guest: Guest, registers: &Registers) {
        if stale.contains(Stale::WALLCLOCK)
            && let Some(wallclock) = guest.sample_wallclock()
        {
            let witness = self.witness(gate, registers);
            self.append(gate, Some(guest), witness, &wallclock.into());
            guest.apply_wallclock(&wallclock);
        }
        if stale.contains(Stale::TIME)
            && let Some(time) = guest.sample_time()
        {
            let info = time.into();
            let witness = self.witness(gate, registers);
            self.append(gate, Some(guest), witness, &Record::Time(info));
            self.clock.observe_page(&info);
            guest.apply_time(&time);
        }
        if stale.contains(Stale::RUNSTATE)
            && let Some(runstate) = guest.sample_runstate()
        {
            let record = Record::Runstate(runstate.into());
            let witness = self.witness(gate, registers);
            self.append(gate, Some(guest), witness, &record);
            guest.apply_runstate(&runstate);
        }
        if stale.contains(Stale::RINGS) {
            self.commit_rings(gate, guest, registers);
        }
        if stale.contains(Stale::INTERRUPT)
            && let Some(vector) = guest.sample_interrupt()
        {
            let record = Record::Interrupt(Interrupt { vector });
            let witness = self.witness(gate, registers);
            self.append(gate, Some(guest), witness, &record);
            guest.apply_interrupt(vector);
        }
        if stale.intersects(Stale::BACKENDS) {
            guest.note_loans();
        }
    }

    fn commit_event(&mut self, gate: GateRef, guest: Guest, registers: &Registers, port: u16) {
        let witness = self.witness(gate, registers);
        self.append_event(gate, guest, witness, port);
        self.clock.observe_event(port);
        guest.apply_event(port);
        self.counters.events += 1;
    }

    /// What backends did until it was noted. False: there is no room in the ring for the next
    /// record, and this is to be called again when there is.
    #[inline(never)]
    fn commit_loans(&mut self, gate: GateRef, guest: Guest, registers: &Registers) -> bool {
        loop {
            // With what is left, the rest of the commit has room: no record of a page is longer
            // than that of a ring.
            if self.mode == Mode::Record
                && self
                    .ring
                    .free(RESERVE_BYTES)
                    .is_ok_and(|free| free < RESERVE_BYTES)
            {
                return false;
            }
            let Some(next) = guest.next_loan(&mut self.page) else {
                return true;
            };
            match next {
                FromBackend::Page => self.append_page(gate, guest, registers),
                FromBackend::Ring(loan) => {
                    let witness = self.witness(gate, registers);
                    self.append(gate, Some(guest), witness, &Record::Loan(loan.into()));
                }
                FromBackend::Event(port) => self.commit_event(gate, guest, registers, port),
            }
        }
    }

    /// Logs the update in `self.page`.
    fn append_page(&mut self, gate: GateRef, guest: Guest, registers: &Registers) {
        if self.mode != Mode::Record {
            return;
        }
        let item = Item {
            sync: gate.sync(),
            witness: self.witness(gate, registers),
            record: self.page.record(),
        };
        let len = self.encoder.encode(&item, &mut self.scratch);
        self.write(gate, Some(guest), len);
    }

    fn commit_rings(&mut self, gate: GateRef, guest: Guest, registers: &Registers) {
        let changed = guest.changed_rings();
        for ring in RINGS {
            if changed >> ring & 1 == 0 {
                continue;
            }
            guest.sample_ring(ring, &mut self.update);
            let witness = self.witness(gate, registers);
            self.append_ring(gate, guest, witness, ring);
            guest.apply_ring(ring, &self.update);
        }
    }

    /// Writes the end record.
    pub(crate) fn finish_recording(&mut self, gate: GateRef, guest: Guest, end: EndState) -> u32 {
        let record = Record::End(End {
            reason: u8::try_from(end.reason)
                .ok()
                .and_then(EndReason::from_number)
                .unwrap_or(EndReason::Error),
            code: end.code,
            rip: end.rip,
            registers: end.registers,
            memory: end.memory,
            pages: end.pages,
        });
        // The guest ends itself on its way to the next sync point, after the values of this one.
        let sync = match end.reason {
            HVLOG_REASON_SHUTDOWN | HVLOG_REASON_CRASH => end.sync.wrapping_add(1),
            _ => end.sync,
        };
        let witness = self.end_witness(sync);
        self.append_at(sync, gate, Some(guest), witness, &record);
        self.end = end;
        self.mode = Mode::Dead;
        gate.clear(Attention::STOP);
        HVLOG_DONE
    }
}
