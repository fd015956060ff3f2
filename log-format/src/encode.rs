//! From items to bytes.

use crate::MAX_RECORD_BYTES;
use crate::predict::{Phase, Predictor, RingState, SLEEP_TICKS, TscState};
use crate::record::{Item, MAX_RING_BYTES, MAX_VALUE_BYTES, Record, RingIn, Runstate, TimeInfo};
use crate::tag::{self, Form};
use crate::varint::Out;

/// Turns items into wire bytes. Plain data, to be kept beside the ring.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    predictor: Predictor,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder at the beginning of a log.
    pub const fn new() -> Self {
        Self {
            predictor: Predictor::new(),
        }
    }

    /// An encoder that continues where a decoder stands.
    pub(crate) const fn from_predictor(predictor: Predictor) -> Self {
        Self { predictor }
    }

    /// Writes one record to the beginning of `out` and returns its length.
    ///
    /// Returns 0, and writes and remembers nothing, if the item cannot stand in a log: its sync
    /// number goes back, a commit follows a value of the same sync number, anything follows the
    /// end record, `Start` is not at sync number 0, a field is longer or larger than its limit, a
    /// value has a witness or a commit has another one than the commits before it at its number.
    pub fn encode(&mut self, item: &Item, out: &mut [u8; MAX_RECORD_BYTES]) -> usize {
        if let Record::Tsc { value } = item.record
            && item.witness == 0
            && let Some((word, len)) = self.encode_short_tsc(item.sync, value)
        {
            let bytes = word.to_le_bytes();
            for (to, from) in out.iter_mut().zip(bytes.iter().take(len)) {
                *to = *from;
            }
            return len;
        }
        let predictor = &self.predictor;
        let Some(step) = item.sync.checked_sub(predictor.sync) else {
            return 0;
        };
        let slot = predictor.slot();
        let kind = item.record.kind();
        if !predictor.allows(step, kind.is_commit()) || !is_valid(predictor, step, item) {
            return 0;
        }
        let mut out = Out::new(out);
        put(predictor, slot, step, item, &mut out);
        self.predictor.observe(slot, step, item);
        out.used()
    }

    /// [`Self::encode`] for a TSC value of the usual form: its bytes, lowest first, and how many
    /// they are. Otherwise it remembers nothing.
    #[inline]
    pub fn encode_short_tsc(&mut self, sync: u64, value: u64) -> Option<(u64, usize)> {
        let predictor = &self.predictor;
        let step = sync.wrapping_sub(predictor.sync);
        let slot = predictor.slot();
        let ticks = value.wrapping_sub(predictor.tsc.last);
        if ticks >= SLEEP_TICKS
            || step != u64::from(predictor.follower(slot).step)
            || sync < predictor.sync
            || predictor.phase == Phase::Ended
        {
            return None;
        }
        let (word, len) = tag::short_tsc(ticks as u32);
        self.predictor.observe_short_tsc(slot, step, sync, value);
        Some((u64::from(word), len))
    }

    /// The same for an event.
    #[inline]
    pub fn encode_short_event(
        &mut self,
        sync: u64,
        witness: u8,
        port: u16,
    ) -> Option<(u64, usize)> {
        let predictor = &self.predictor;
        let step = sync.checked_sub(predictor.sync)?;
        let needs_witness = predictor.needs_witness(step);
        if !predictor.allows(step, true) || !(needs_witness || witness == predictor.witness) {
            return None;
        }
        let slot = predictor.slot();
        let expected = predictor.follower(slot);
        let form = if port == expected.port {
            Form::EventExpected
        } else if port < 0x80 {
            Form::Event
        } else {
            return None;
        };
        let mut word = u64::from(tag::short(form, step, expected.step)?);
        let mut bits = 8;
        if needs_witness {
            word |= u64::from(witness) << bits;
            bits += 8;
        }
        if port != expected.port {
            word |= u64::from(port) << bits;
            bits += 8;
        }
        self.predictor
            .observe_event(slot, step, sync, witness, port);
        Some((word, bits / 8))
    }

    /// Whether the end record was written.
    pub fn is_ended(&self) -> bool {
        self.predictor.phase == Phase::Ended
    }
}

fn is_valid(predictor: &Predictor, step: u64, item: &Item) -> bool {
    let witness_fits = if item.record.is_commit() {
        predictor.needs_witness(step) || item.witness == predictor.witness
    } else {
        item.witness == 0
    };
    witness_fits
        && match item.record {
            Record::ConsoleIn(ring) => ring.bytes.len() <= MAX_RING_BYTES && ring.ext == [0; 3],
            Record::XenstoreIn(ring) => ring.bytes.len() <= MAX_RING_BYTES,
            Record::Value { bytes, .. } => bytes.len() <= MAX_VALUE_BYTES,
            Record::Start { .. } => item.sync == 0,
            Record::Wallclock { nsec, .. } => nsec < 1_000_000_000,
            _ => true,
        }
}

fn put(predictor: &Predictor, slot: usize, step: u64, item: &Item, out: &mut Out) {
    let expected = predictor.follower(slot);
    let head = |form: Form, out: &mut Out| {
        tag::put(out, form, step, expected.step);
        if item.record.is_commit() && predictor.needs_witness(step) {
            out.byte(item.witness);
        }
    };
    match item.record {
        Record::Tsc { value } => put_tsc(&predictor.tsc, step, expected.step, value, out),
        Record::Event { port } if port == expected.port => head(Form::EventExpected, out),
        Record::Event { port } => {
            head(Form::Event, out);
            out.varint(u64::from(port));
        }
        Record::Time(time) => {
            let surprises = tag::time_surprises(predictor, &time);
            head(
                if surprises == 0 {
                    Form::TimeExpected
                } else {
                    Form::Time
                },
                out,
            );
            put_time(predictor, surprises, &time, out);
        }
        Record::Wallclock { sec, nsec } => {
            head(Form::Wallclock, out);
            out.signed(sec.wrapping_sub(predictor.wallclock.0));
            out.varint(u64::from(nsec));
        }
        Record::Runstate(runstate) => {
            head(Form::Runstate, out);
            put_runstate(&predictor.runstate, &runstate, out);
        }
        Record::ConsoleIn(ring) => {
            head(Form::ConsoleIn, out);
            put_ring(&predictor.console, &ring, out);
        }
        Record::XenstoreIn(ring) => {
            head(Form::XenstoreIn, out);
            put_ring(&predictor.xenstore, &ring, out);
        }
        Record::Start {
            registers,
            memory,
            pages,
        } => {
            head(Form::Start, out);
            out.bytes(&registers.to_le_bytes());
            out.bytes(&memory.to_le_bytes());
            out.varint(u64::from(pages));
        }
        Record::End(end) => {
            head(Form::End, out);
            out.byte(end.reason.number());
            out.varint(u64::from(end.code));
            out.varint(end.rip);
            out.bytes(&end.registers.to_le_bytes());
            out.bytes(&end.memory.to_le_bytes());
            out.varint(u64::from(end.pages));
        }
        Record::Value { kind, bytes } => {
            head(Form::Value, out);
            let length = bytes.len() as u8;
            if bytes.len() < 15 {
                out.byte(kind.number() << 4 | length);
            } else {
                out.byte(kind.number() << 4 | 15);
                out.varint((bytes.len() as u64).wrapping_sub(15));
            }
            out.bytes(bytes);
        }
    }
}

/// A TSC value that is not a short one at the expected step.
fn put_tsc(tsc: &TscState, step: u64, expected_step: u32, value: u64, out: &mut Out) {
    let (form, number) = tag::tsc_form(tsc, value);
    tag::put(out, form, step, expected_step);
    out.varint(number);
}

fn put_time(predictor: &Predictor, surprises: u8, time: &TimeInfo, out: &mut Out) {
    if surprises != 0 {
        out.byte(surprises);
    }
    out.signed(time.system_time.wrapping_sub(predictor.next_system_time()));
    if surprises & tag::TIME_MUL != 0 {
        out.varint(u64::from(time.tsc_to_system_mul));
    }
    if surprises & tag::TIME_SHIFT != 0 {
        out.byte(time.tsc_shift as u8);
    }
    if surprises & tag::TIME_FLAGS != 0 {
        out.byte(time.flags);
    }
    if surprises & tag::TIME_TSC != 0 {
        let expected = predictor.line.ticks(time.system_time);
        out.signed(time.tsc_timestamp.wrapping_sub(expected));
    }
}

fn put_runstate(before: &Runstate, now: &Runstate, out: &mut Out) {
    let mut changes = 0u8;
    if now.state != before.state {
        changes |= tag::RUNSTATE_STATE;
    }
    let entry_step = tag::entry_step(before, &now.time_ns);
    let entry = before.state_entry_time_ns.wrapping_add(entry_step);
    if now.state_entry_time_ns != entry {
        changes |= tag::RUNSTATE_ENTRY;
    }
    let mut bit = tag::RUNSTATE_TIME;
    for (new, old) in now.time_ns.iter().zip(&before.time_ns) {
        if new != old {
            changes |= bit;
        }
        bit = bit.wrapping_shl(1);
    }
    out.byte(changes);
    if changes & tag::RUNSTATE_STATE != 0 {
        out.varint(u64::from(now.state));
    }
    for (new, old) in now.time_ns.iter().zip(&before.time_ns) {
        if new != old {
            out.signed(new.wrapping_sub(*old));
        }
    }
    if changes & tag::RUNSTATE_ENTRY != 0 {
        out.signed(now.state_entry_time_ns.wrapping_sub(entry));
    }
}

fn put_ring(before: &RingState, ring: &RingIn, out: &mut Out) {
    let length = ring.bytes.len() as u32;
    let cons_step = ring.cons.wrapping_sub(before.cons);
    let mut flags = match length {
        0 => tag::RING_EMPTY,
        1 => tag::RING_ONE_BYTE,
        _ => tag::RING_BYTES,
    };
    if ring.prod != before.prod.wrapping_add(length) {
        flags |= tag::RING_PROD;
    }
    flags |= if cons_step == 0 {
        tag::RING_CONS_SAME
    } else if cons_step == before.cons_step {
        tag::RING_CONS_STEP
    } else {
        tag::RING_CONS
    };
    let mut bit = tag::RING_EXT;
    for (new, old) in ring.ext.iter().zip(&before.ext) {
        if new != old {
            flags |= bit;
        }
        bit = bit.wrapping_shl(1);
    }
    out.byte(flags);
    if flags & tag::RING_CONS_MASK == tag::RING_CONS {
        out.varint(u64::from(cons_step));
    }
    if flags & tag::RING_PROD != 0 {
        out.varint(u64::from(ring.prod.wrapping_sub(before.prod)));
    }
    for (new, old) in ring.ext.iter().zip(&before.ext) {
        if new != old {
            out.varint(u64::from(*new));
        }
    }
    if length > 1 {
        out.varint(u64::from(length.wrapping_sub(2)));
    }
    out.bytes(ring.bytes);
}
