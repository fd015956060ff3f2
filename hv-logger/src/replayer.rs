//! Replaying: inputs come from the log; what the guest does must fit it.

use log_format::ring::FOUND_HITS;
use log_format::{
    DecodeError, Event, Interrupt, Kind, MAX_RECORD_BYTES, Record, Start, Tsc, Value, ValueKind,
    Wallclock,
};

use crate::abi::{
    Attention, Divergence, EndState, HVLOG_DEAD, HVLOG_DIVERGE_END_MEMORY,
    HVLOG_DIVERGE_END_REGISTERS, HVLOG_DIVERGE_PLACE, HVLOG_DIVERGE_RECORD_KIND,
    HVLOG_DIVERGE_START, HVLOG_DIVERGE_SYNC, HVLOG_DIVERGE_WITNESS, HVLOG_DONE, HVLOG_END,
    HVLOG_MORE, HVLOG_PLACE, HVLOG_REASON_CUT, HVLOG_REASON_STOP, HVLOG_RING_CONSOLE,
    HVLOG_RING_XENSTORE, HVLOG_UNTIL, HVLOG_WAIT, PlaceState, Registers, WallclockUpdate,
};
use crate::logger::{BAD_LOG, Content, GateRef, Head, Mode, Own, RING_INDEX};
use crate::{digest, xen::Guest};

/// Few records are longer.
const USUAL_RECORD_BYTES: usize = 32;

/// Commits that are applied in one go. A recording makes fewer at a sync point; a log that was made
/// up may have any number, and a CPU of the host is not for it to hold.
const BATCH: u32 = 128;

impl Own {
    /// Makes sure that the next record is known; without it the guest may not run on.
    pub(crate) fn serve_replay(&mut self, gate: GateRef) -> u32 {
        if self.next.is_none() {
            match self.fetch() {
                Ok(true) => {}
                Ok(false) => return HVLOG_WAIT,
                Err(error) => {
                    self.fail(gate, None, error);
                    return HVLOG_DEAD;
                }
            }
        }
        gate.clear(Attention::BLOCKED);
        self.update_due(gate);
        HVLOG_DONE
    }

    /// Decodes the next record from the ring. Ok(false): its bytes are not there yet.
    fn fetch(&mut self) -> Result<bool, u32> {
        let available = self.ring.available().map_err(|_| RING_INDEX)?;
        if available == 0 {
            return Ok(false);
        }
        #[allow(clippy::cast_possible_truncation, reason = "bounded by the buffer")]
        let most = available.min(MAX_RECORD_BYTES as u64) as usize;
        // Most records are a few bytes; only what may be needed is copied.
        let mut len = most.min(USUAL_RECORD_BYTES);
        let (len, item) = loop {
            let Some(bytes) = self.scratch.get_mut(..len) else {
                return Err(BAD_LOG);
            };
            self.ring.peek(bytes);
            match self.decoder.decode(bytes) {
                Ok(decoded) => break decoded,
                Err(DecodeError::Incomplete) if len < most => len = most,
                Err(DecodeError::Incomplete) if len < MAX_RECORD_BYTES => return Ok(false),
                Err(_) => return Err(BAD_LOG),
            }
        };
        let sync = item.reached();
        // A guest that ends itself does so on its way to the next sync point.
        let at_exit = !item.record.is_commit() || sync != item.sync;
        let content = match item.record {
            Record::Event(Event { port }) => Content::Event(port),
            Record::Time(time) => Content::Time(time.into()),
            Record::Wallclock(Wallclock { sec, nsec }) => {
                Content::Wallclock(WallclockUpdate { sec, nsec, pad: 0 })
            }
            Record::Runstate(runstate) => Content::Runstate(runstate.into()),
            Record::ConsoleIn(ring) => {
                self.update.set(&ring);
                Content::Ring(HVLOG_RING_CONSOLE)
            }
            Record::XenstoreIn(ring) => {
                self.update.set(&ring);
                Content::Ring(HVLOG_RING_XENSTORE)
            }
            Record::Interrupt(Interrupt { vector }) => Content::Interrupt(vector),
            Record::Page(page) => {
                self.page.set(&page);
                Content::Page
            }
            Record::Loan(loan) => Content::Loan(loan.into()),
            Record::Start(Start {
                registers,
                memory,
                pages,
            }) => Content::Start(registers, memory, pages),
            Record::End(end) => Content::End(end),
            Record::Tsc(Tsc { value }) => Content::Tsc(value),
            Record::Place(place) => Content::Place(place.into()),
            Record::Value(Value { kind, bytes }) => {
                self.value.clear();
                // No decoded value is longer than the buffer.
                let _ = self.value.extend_from_slice(bytes);
                Content::Value(kind)
            }
        };
        self.next = Some(Head {
            sync,
            witness: item.witness,
            kind: item.record.kind(),
            at_exit,
            len,
            content,
        });
        Ok(true)
    }

    /// Uses up the next record, and looks for the one after it.
    fn advance(&mut self, gate: GateRef) {
        if let Some(head) = self.next.take() {
            self.ring.consume(head.len as u64);
            self.counters.records += 1;
        }
        match self.fetch() {
            Ok(true) => {}
            Ok(false) => gate.raise(Attention::BLOCKED),
            Err(error) => self.fail(gate, None, error),
        }
    }

    fn update_due(&self, gate: GateRef) {
        let due = match self.next {
            // Before the guest runs on from there.
            Some(head) if head.kind == Kind::Place => head.sync,
            // A value must have been asked for before the next sync point.
            Some(head) if head.at_exit => head.sync.saturating_add(1),
            Some(head) => head.sync,
            None => u64::MAX,
        };
        gate.set_due(due.min(self.until));
    }

    /// Applies the commits of the current sync number.
    pub(crate) fn commit_replay(
        &mut self,
        gate: GateRef,
        guest: Guest,
        registers: &Registers,
    ) -> u32 {
        let sync = gate.sync();
        let rip = registers.named().rip;
        gate.clear(Attention::WORK);

        let mut left = BATCH;
        loop {
            let Some(head) = self.next else {
                gate.raise(Attention::BLOCKED);
                return HVLOG_WAIT;
            };
            if head.at_exit && head.sync >= sync || head.sync > sync {
                break;
            }
            if head.sync < sync {
                self.part(gate, rip, HVLOG_DIVERGE_SYNC, head.sync, sync);
                return HVLOG_DEAD;
            }
            if let Content::End(end) = head.content {
                self.end.reason = if end.reason.has_digests() {
                    HVLOG_REASON_STOP
                } else {
                    HVLOG_REASON_CUT
                };
                return HVLOG_END;
            }
            if left == 0 {
                gate.set_due(sync);
                return HVLOG_MORE;
            }
            left -= 1;
            let witness = self.witness(gate, registers);
            let pair = (HVLOG_DIVERGE_WITNESS, head.witness.into(), witness.into());
            if self.part_at_difference(gate, rip, &[pair]) {
                return HVLOG_DEAD;
            }
            if !self.apply(guest, head.content) {
                self.fail(gate, Some(guest), BAD_LOG);
                return HVLOG_DEAD;
            }
            self.advance(gate);
        }

        self.update_due(gate);
        if sync >= self.until {
            HVLOG_UNTIL
        } else if self
            .next
            .is_some_and(|head| head.kind == Kind::Place && head.sync == sync)
        {
            HVLOG_PLACE
        } else {
            HVLOG_DONE
        }
    }

    /// The place that stands next in the log; one that nobody can be at if there is none.
    pub(crate) fn place(&self) -> PlaceState {
        match self.next {
            Some(Head {
                content: Content::Place(place),
                ..
            }) => place,
            _ => PlaceState::default(),
        }
    }

    /// The guest was found at the place that stands next in the log, after at least so many hits of
    /// its address.
    pub(crate) fn place_found(&mut self, gate: GateRef, hits: u64) {
        if hits >= FOUND_HITS {
            self.ring.tell_found(gate.sync(), hits);
        }
        self.advance(gate);
        self.update_due(gate);
    }

    /// It was not, or was in another state there.
    pub(crate) fn place_missed(
        &mut self,
        gate: GateRef,
        rip: u64,
        kind: u32,
        expected: u64,
        actual: u64,
    ) {
        // A guest that cannot be stopped at the place stands before it still.
        let sync = match self.next {
            Some(head) if kind == HVLOG_DIVERGE_PLACE => head.sync.saturating_add(1),
            _ => gate.sync(),
        };
        self.part_at(gate, sync, rip, kind, expected, actual);
    }

    /// False when the guest cannot have what the log says.
    fn apply(&mut self, guest: Guest, content: Content) -> bool {
        match content {
            Content::Page => return guest.apply_page(&self.page),
            Content::Loan(loan) => return guest.apply_loan(&loan),
            Content::Event(port) => {
                self.counters.events += 1;
                self.clock.observe_event(port);
                guest.apply_event(port);
            }
            Content::Time(time) => {
                self.clock.observe_page(&time.into());
                guest.apply_time(&time);
            }
            Content::Wallclock(wallclock) => guest.apply_wallclock(&wallclock),
            Content::Runstate(runstate) => guest.apply_runstate(&runstate),
            Content::Ring(ring) => guest.apply_ring(ring, &self.update),
            Content::Interrupt(vector) => guest.apply_interrupt(vector),
            Content::Start(..)
            | Content::End(_)
            | Content::Tsc(_)
            | Content::Place(_)
            | Content::Value(..) => {}
        }
        true
    }

    /// The guest does something else than the log says: a `kind` of divergence.
    fn part(&mut self, gate: GateRef, rip: u64, kind: u32, expected: u64, actual: u64) {
        self.part_at(gate, gate.sync(), rip, kind, expected, actual);
    }

    fn part_at(
        &mut self,
        gate: GateRef,
        sync: u64,
        rip: u64,
        kind: u32,
        expected: u64,
        actual: u64,
    ) {
        let divergence = Divergence {
            sync,
            rip,
            expected,
            actual,
            kind,
            want_kind: 0,
        };
        self.diverge(gate, divergence);
    }

    /// Diverges because another record stands next in the log than the guest asks for.
    fn part_at_record(&mut self, gate: GateRef, rip: u64, asked: Kind, actual: u64) {
        let sync = gate.sync();
        let (kind, expected, actual) = match self.next {
            Some(head) if head.sync != sync => (HVLOG_DIVERGE_SYNC, head.sync, sync),
            Some(head) => (
                HVLOG_DIVERGE_RECORD_KIND,
                u64::from(head.kind as u32),
                actual,
            ),
            None => (HVLOG_DIVERGE_RECORD_KIND, 0, actual),
        };
        self.part(gate, rip, kind, expected, actual);
        self.divergence.want_kind = asked as u32;
    }

    /// Diverges at the first of these (kind, expected, actual) that differ, if any do.
    fn part_at_difference(&mut self, gate: GateRef, rip: u64, pairs: &[(u32, u64, u64)]) -> bool {
        for &(kind, expected, actual) in pairs {
            if expected != actual {
                self.part(gate, rip, kind, expected, actual);
                return true;
            }
        }
        false
    }

    /// The next record, if it is a `kind` of the current sync number; if not, the replay has
    /// diverged.
    fn expect(&mut self, gate: GateRef, rip: u64, kind: Kind) -> Option<Content> {
        match self.next {
            Some(head) if head.sync == gate.sync() && head.kind == kind => Some(head.content),
            _ => {
                self.part_at_record(gate, rip, kind, u64::from(kind as u32));
                None
            }
        }
    }

    pub(crate) fn tsc_replay(&mut self, gate: GateRef, live: u64) -> u64 {
        let sync = gate.sync();
        if self.clock.is_bounded()
            && !self
                .next
                .is_some_and(|head| head.at_exit && head.sync == sync)
        {
            let expected = self.clock.expected();
            self.clock.give(expected);
            return expected;
        }
        let Some(Content::Tsc(value)) = self.expect(gate, 0, Kind::Tsc) else {
            return live;
        };
        self.clock.give(value);
        self.advance(gate);
        self.update_due(gate);
        value
    }

    pub(crate) fn value_replay(&mut self, gate: GateRef, kind: ValueKind, buffer: &mut [u8]) {
        let Some(Content::Value(logged)) = self.expect(gate, 0, Kind::Value) else {
            return;
        };
        if logged != kind || self.value.len() != buffer.len() {
            self.part_at_record(gate, 0, Kind::Value, u64::from(kind as u32));
            return;
        }
        for (to, from) in buffer.iter_mut().zip(&self.value) {
            *to = *from;
        }
        self.advance(gate);
        self.update_due(gate);
    }

    pub(crate) fn start_replay(
        &mut self,
        gate: GateRef,
        registers: &Registers,
        memory: u64,
        pages: u32,
    ) -> u32 {
        let rip = registers.named().rip;
        let Some(Content::Start(logged_registers, logged_memory, logged_pages)) =
            self.expect(gate, rip, Kind::Start)
        else {
            return HVLOG_DEAD;
        };
        let sum = digest::registers(registers);
        let pairs = [
            (HVLOG_DIVERGE_START, logged_registers, sum),
            (HVLOG_DIVERGE_START, logged_pages.into(), pages.into()),
            (HVLOG_DIVERGE_START, logged_memory, memory),
        ];
        if self.part_at_difference(gate, rip, &pairs) {
            return HVLOG_DEAD;
        }
        // The digest says as much; this is for the witnesses to come.
        self.witness(gate, registers);
        self.advance(gate);
        self.update_due(gate);
        HVLOG_DONE
    }

    pub(crate) fn shutdown_replay(
        &mut self,
        gate: GateRef,
        reason: u32,
        code: u32,
        rip: u64,
    ) -> u32 {
        match self.expect(gate, rip, Kind::End) {
            Some(Content::End(end)) if end.reason as u32 == reason && end.code == code => HVLOG_END,
            Some(_) => {
                self.part_at_record(gate, rip, Kind::End, u64::from(reason));
                HVLOG_DEAD
            }
            None => HVLOG_DEAD,
        }
    }

    /// Compares the state at the end.
    pub(crate) fn finish_replay(&mut self, gate: GateRef, end: EndState) -> u32 {
        self.end = end;
        let Some(Head {
            content: Content::End(logged),
            len,
            ..
        }) = self.next.take()
        else {
            return HVLOG_DEAD;
        };
        // The log is used up; the ring shows it.
        self.ring.consume(len as u64);
        self.counters.records += 1;
        self.end.reason = logged.reason as u32;
        self.end.code = logged.code;

        if !logged.reason.has_digests() {
            self.mode = Mode::Dead;
            return HVLOG_DONE;
        }
        let pairs = [
            (HVLOG_DIVERGE_END_REGISTERS, logged.registers, end.registers),
            (
                HVLOG_DIVERGE_END_MEMORY,
                logged.pages.into(),
                end.pages.into(),
            ),
            (HVLOG_DIVERGE_END_MEMORY, logged.memory, end.memory),
        ];
        if self.part_at_difference(gate, end.rip, &pairs) {
            return HVLOG_DEAD;
        }
        self.mode = Mode::Dead;
        HVLOG_DONE
    }

    /// Sets the number at which the replay pauses.
    pub fn set_until(&mut self, gate: GateRef, until: u64) {
        self.until = until;
        self.update_due(gate);
    }
}
