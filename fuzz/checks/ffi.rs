//! Any order of calls into the library inside Xen, as a guest could cause them, with a dom0 that
//! writes whatever it likes into the ring: no panic, nothing written outside the ring, a bad index
//! or a bad log ends that log with an error, and the log of an honest reader can be decoded.
//!
//! The bytes are a script: a first byte of options, then operations with their arguments.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::Cell;

use hv_logger::abi::*;
use hv_logger::xen::Domain;
use hv_logger::{Logger, ffi};
use log_format::Decoder;
use log_format::ring::{CONS_OFFSET, PAGE_BYTES, PROD_OFFSET};

/// Option: replay rather than record.
pub const REPLAY: u8 = 1;
/// Option: a full ring ends the log.
pub const ON_FULL_STOP: u8 = 2;
/// Option: dom0 reads what is written, and breaks nothing.
pub const HONEST: u8 = 4;

/// Option: RDTSC is predicted, to a millisecond.
pub const TIME_BOUND: u8 = 8;

/// Operations, by the number that stands in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// The guest completes an exit without asking for anything.
    Sync,
    /// It reads the time-stamp counter; 8 bytes of value.
    Tsc,
    /// It asks for another value; kind and length, a byte each.
    Value,
    /// An event arrives; 2 bytes of port.
    Stage,
    /// Something else changes; a byte of `HVLOG_STALE_*`.
    Mark,
    /// Dom0 asks for the end.
    Stop,
    /// The guest shuts down; a byte, odd for a crash.
    Shutdown,
    /// Dom0 has the guest go on without a log.
    Release,
    /// A replay is to pause; a byte of sync number.
    Until,
    /// Dom0 stores an index of its own side or of Xen's; a byte that says which, 8 bytes.
    Index,
    /// Dom0 appends to a log that is replayed; a byte of length, and as many bytes.
    Feed,
    /// Dom0 gives room back (record); all that there is.
    Drain,
    /// A port is closed; 2 bytes of port.
    Unstage,
    /// The guest reads the time-stamp counter within a hypercall that then goes on.
    Within,
    /// It writes to xenstore; a byte of length (255: on a new connection), and as many bytes.
    Xenstore,
}

const OPS: [Op; 15] = [
    Op::Sync,
    Op::Tsc,
    Op::Value,
    Op::Stage,
    Op::Mark,
    Op::Stop,
    Op::Shutdown,
    Op::Release,
    Op::Until,
    Op::Index,
    Op::Feed,
    Op::Drain,
    Op::Unstage,
    Op::Within,
    Op::Xenstore,
];

/// Bytes of the data area: the fewest that Xen allows.
const SIZE: usize = 4 * PAGE_BYTES;
/// Words before the header page and behind the data area that must stay as they are.
const GUARD: usize = 64;
const CANARY: u64 = 0xc5c5_5c5c_a3a3_3a3a;
const HEADER: usize = GUARD;
const DATA: usize = GUARD + PAGE_BYTES / 8;
const WORDS: usize = DATA + SIZE / 8 + GUARD;

thread_local! {
    /// What backends did and was noted, and not taken yet.
    static NOTED: Cell<u32> = const { Cell::new(0) };
    /// A clock and a source of samples.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn now() -> u64 {
    NOW.set(
        NOW.get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407),
    );
    NOW.get() >> 8
}

// What Xen would do. The samples are any values; what is applied may be looked at by C, so it must
// be what C relies on.

#[unsafe(no_mangle)]
extern "C" fn xenlr_notify(_: *mut Domain) {}
#[unsafe(no_mangle)]
extern "C" fn xenlr_report_delay(_: *mut Domain, _: u64) {}
#[unsafe(no_mangle)]
extern "C" fn xenlr_apply_event(_: *mut Domain, port: u32) {
    assert!(port <= u32::from(u16::MAX));
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_time(_: *mut Domain, time: *mut TimeUpdate) -> bool {
    // SAFETY: the caller's local variable.
    unsafe {
        (*time).system_time = now();
        (*time).tsc_timestamp = now();
        (*time).tsc_to_system_mul = now() as u32;
        (*time).tsc_shift = now() as i8;
        (*time).flags = now() as u8;
    }
    now() & 1 != 0
}
#[unsafe(no_mangle)]
extern "C" fn xenlr_apply_time(_: *mut Domain, _: *const TimeUpdate) {}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_wallclock(_: *mut Domain, to: *mut WallclockUpdate) -> bool {
    // SAFETY: as above.
    unsafe { ((*to).sec, (*to).nsec) = (now(), now() as u32 % 1_000_000_000) };
    now() & 1 != 0
}
#[unsafe(no_mangle)]
extern "C" fn xenlr_apply_wallclock(_: *mut Domain, _: *const WallclockUpdate) {}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_runstate(_: *mut Domain, to: *mut RunstateUpdate) -> bool {
    // SAFETY: as above.
    unsafe {
        (*to).state_entry_time_ns = now();
        (*to).time_ns = [now(), now(), now(), now()];
    }
    now() & 1 != 0
}
#[unsafe(no_mangle)]
extern "C" fn xenlr_apply_runstate(_: *mut Domain, _: *const RunstateUpdate) {}
#[unsafe(no_mangle)]
extern "C" fn xenlr_changed_rings(_: *mut Domain) -> u32 {
    now() as u32 & 3
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_ring(_: *mut Domain, ring: u32, to: *mut RingUpdate) {
    // SAFETY: as above.
    let to = unsafe { &mut *to };
    (to.prod, to.cons) = (now() as u32, now() as u32);
    to.len = now() as u32 % (to.bytes.len() as u32 + 1);
    to.ext = if ring == HVLOG_RING_XENSTORE {
        [1, 0, now() as u32]
    } else {
        [0; 3]
    };
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_ring(_: *mut Domain, ring: u32, from: *const RingUpdate) {
    // SAFETY: as above.
    let from = unsafe { &*from };
    assert!(ring == HVLOG_RING_CONSOLE || ring == HVLOG_RING_XENSTORE);
    assert!(from.len as usize <= from.bytes.len());
}

#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_interrupt(_: *mut Domain, vector: *mut u32) -> bool {
    // SAFETY: as above.
    unsafe { *vector = 16 + now() as u32 % 240 };
    now() & 1 != 0
}
#[unsafe(no_mangle)]
extern "C" fn xenlr_apply_interrupt(_: *mut Domain, vector: u32) {
    assert!((16..256).contains(&vector));
}

#[unsafe(no_mangle)]
extern "C" fn xenlr_note_loans(_: *mut Domain) {
    NOTED.set(3);
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_next_loan(
    _: *mut Domain,
    page: *mut PageUpdate,
    loan: *mut Loan,
) -> u32 {
    let left = NOTED.replace(NOTED.get().saturating_sub(1));
    // SAFETY: as above.
    let (page, loan) = unsafe { (&mut *page, &mut *loan) };
    let now = now();
    match left {
        3 => {
            page.frame = now >> 8;
            page.offset = now as u32 % 3072;
            page.len = 1 + now as u32 % HVLOG_PAGE_BYTES as u32;
            HVLOG_LOAN_PAGE
        }
        2 => {
            (loan.frame, loan.reference, loan.port) = (now >> 8, now as u32, now as u32 % 4096);
            loan.begins = now as u32 & 1;
            HVLOG_LOAN_RING
        }
        1 => {
            loan.port = 1 + now as u32 % 4095;
            HVLOG_LOAN_EVENT
        }
        _ => HVLOG_LOAN_DONE,
    }
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_page(_: *mut Domain, page: *const PageUpdate) -> bool {
    // SAFETY: as above.
    let page = unsafe { &*page };
    assert!(page.len >= 1 && page.offset + page.len <= 4096);
    page.frame & 7 != 0
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_loan(_: *mut Domain, loan: *const Loan) -> bool {
    // SAFETY: as above.
    unsafe { (*loan).frame & 7 != 0 }
}

/// The rest of a script.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }
    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }
}

/// The gate, which Xen's exit path and the library reach through the same pointer.
struct SharedGate(*mut Gate);

impl SharedGate {
    fn new() -> Self {
        Self(Box::into_raw(Box::default()))
    }
}

impl std::ops::Deref for SharedGate {
    type Target = Gate;

    fn deref(&self) -> &Gate {
        // SAFETY: allocated until the drop, used by one thread, and no reference is kept.
        unsafe { &*self.0 }
    }
}

impl std::ops::DerefMut for SharedGate {
    fn deref_mut(&mut self) -> &mut Gate {
        // SAFETY: as above.
        unsafe { &mut *self.0 }
    }
}

impl Drop for SharedGate {
    fn drop(&mut self) {
        // SAFETY: from `new`; the logger is not used any more.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// A logged domain, and dom0.
struct Machine {
    memory: Vec<u64>,
    gate: SharedGate,
    log: *mut Logger,
    options: u8,
    is_over: bool,
    /// Dom0 has stored an index that cannot be.
    was_bad: bool,
    /// Dom0 has stored Xen's own index, which it may then take for where Xen is.
    has_stored_prod: bool,
    /// Dom0 let the guest go on without a log.
    was_released: bool,
    /// What an honest reader has read.
    read: Vec<u8>,
}

impl Machine {
    fn layout() -> Layout {
        Layout::from_size_align(ffi::hvlog_size(), 64).expect("the layout of a logger")
    }

    fn new(options: u8) -> Self {
        let mut memory = vec![0; WORDS];
        memory[..GUARD].fill(CANARY);
        memory[WORDS - GUARD..].fill(CANARY);
        let mut machine = Self {
            memory,
            gate: SharedGate::new(),
            // SAFETY: the layout is not empty.
            log: unsafe { alloc_zeroed(Self::layout()) }.cast(),
            options,
            is_over: false,
            was_bad: false,
            has_stored_prod: false,
            was_released: false,
            read: Vec::new(),
        };
        NOW.set(1);
        let base = machine.memory.as_mut_ptr();
        // SAFETY: zeroed, large enough, and kept until the drop.
        unsafe {
            ffi::hvlog_init(
                machine.log,
                machine.gate.0,
                base.add(HEADER).cast(),
                base.add(DATA).cast(),
                SIZE as u32,
                options & REPLAY != 0,
                options & ON_FULL_STOP != 0,
                if options & TIME_BOUND != 0 {
                    1_000_000
                } else {
                    0
                },
                1 << 20,
            );
        }
        machine
    }

    fn is(&self, option: u8) -> bool {
        self.options & option != 0
    }

    fn index(&mut self, offset: usize) -> &mut u64 {
        &mut self.memory[HEADER + offset / 8]
    }

    fn has_bad_index(&mut self) -> bool {
        let (prod, cons) = (*self.index(PROD_OFFSET), *self.index(CONS_OFFSET));
        prod.wrapping_sub(cons) > SIZE as u64
    }

    fn registers(&self) -> Registers {
        let rip = self.gate.sync;
        NamedRegisters {
            rip,
            ..Default::default()
        }
        .into()
    }

    fn report(&self) -> (Counters, EndState, Divergence) {
        let (mut counters, mut end, mut divergence) = Default::default();
        // SAFETY: a live logger, used by this thread only; so below.
        unsafe { ffi::hvlog_report(self.log, &mut counters, &mut end, &mut divergence) };
        (counters, end, divergence)
    }

    /// The guest's way back from an exit: the ring is served, the start taken, what is due
    /// committed, and the log ended where it is to end. Whether the guest may run.
    fn may_run(&mut self) -> bool {
        while !self.is_over {
            if self.gate.attention & HVLOG_BLOCKED != 0 {
                // SAFETY: as above.
                let code = unsafe { ffi::hvlog_serve(self.log) };
                if code != HVLOG_DONE {
                    return self.stand_still(code);
                }
                // Or the exit path would ask for ever.
                assert_eq!(self.gate.attention & HVLOG_BLOCKED, 0);
            } else if self.gate.attention & HVLOG_START != 0 {
                // SAFETY: as above.
                let code = unsafe { ffi::hvlog_start(self.log, &self.registers(), 7, 1) };
                if code != HVLOG_DONE {
                    return self.stand_still(code);
                }
            } else if self.gate.committed != self.gate.sync {
                let registers = self.registers();
                // SAFETY: as above; the domain is not looked at.
                let code = unsafe {
                    ffi::hvlog_commit(self.log, core::ptr::null_mut(), &registers, now())
                };
                match code {
                    HVLOG_MORE => continue,
                    HVLOG_WAIT if self.gate.attention & HVLOG_BLOCKED != 0 => continue,
                    HVLOG_DONE => {}
                    HVLOG_GONE => assert_eq!(self.gate.attention & HVLOG_STOP, 0),
                    code => return self.stand_still(code),
                }
                self.gate.committed = self.gate.sync;
            } else {
                self.gate.at_sync = 0;
                return true;
            }
        }
        false
    }

    /// The guest may not run on, for this reason.
    fn stand_still(&mut self, code: u32) -> bool {
        match code {
            HVLOG_WAIT | HVLOG_UNTIL => {}
            HVLOG_END => {
                // SAFETY: as above.
                let reason = unsafe { ffi::hvlog_end_reason(self.log) };
                self.end(reason);
            }
            _ => {
                assert_eq!(code, HVLOG_DEAD);
                self.is_over = true;
            }
        }
        false
    }

    fn end(&mut self, reason: u32) {
        let mut end = EndState::default();
        end.sync = self.gate.sync;
        end.reason = reason;
        // SAFETY: as above.
        unsafe { ffi::hvlog_end(self.log, core::ptr::null_mut(), &end) };
        self.is_over = true;
    }

    /// An exit that the guest caused is complete.
    fn exit(&mut self) {
        self.gate.sync = self.gate.sync.wrapping_add(1);
        self.gate.at_sync = 1;
    }

    fn tsc(&mut self, live: u64) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_tsc(self.log, core::ptr::null_mut(), live) };
    }

    /// One operation of the script; None at its end.
    fn step(&mut self, script: &mut Script) -> Option<()> {
        let op = OPS[usize::from(script.byte()?) % OPS.len()];
        match op {
            Op::Sync if self.may_run() => self.exit(),
            Op::Tsc => {
                let live = u64::from_le_bytes(script.take()?);
                if self.may_run() {
                    self.tsc(live);
                    self.exit();
                }
            }
            Op::Value => {
                let [kind, len] = script.take()?;
                let mut buffer = [0x55; 256];
                if self.may_run() {
                    // SAFETY: as above; the buffer is longer than any length.
                    unsafe {
                        let to = buffer.as_mut_ptr();
                        ffi::hvlog_value(
                            self.log,
                            core::ptr::null_mut(),
                            kind.into(),
                            to,
                            len.into(),
                        );
                    }
                    self.exit();
                }
                assert!(buffer[usize::from(len)..].iter().all(|&byte| byte == 0x55));
            }
            Op::Stage => {
                let port: u32 = u16::from_le_bytes(script.take()?).into();
                // SAFETY: as above.
                unsafe {
                    ffi::hvlog_stage(self.log, port, port & 1 != 0, now());
                    assert!(ffi::hvlog_is_staged(self.log, port) == (port < 4096));
                }
            }
            Op::Mark => {
                let what = script.byte()?.into();
                // SAFETY: as above.
                unsafe { ffi::hvlog_mark(self.log, what) };
            }
            Op::Unstage => {
                let port: u32 = u16::from_le_bytes(script.take()?).into();
                // SAFETY: as above.
                unsafe {
                    ffi::hvlog_unstage(self.log, port);
                    assert!(!ffi::hvlog_is_staged(self.log, port));
                }
            }
            Op::Within => {
                if self.may_run() {
                    self.tsc(now());
                }
            }
            Op::Xenstore => {
                let mut bytes = [0x55; 256];
                let len = script.byte()?;
                let given = script.0.iter().take(len.into());
                bytes
                    .iter_mut()
                    .zip(given)
                    .for_each(|(to, from)| *to = *from);
                script.0 = script.0.get(len.into()..)?;
                let mut port = 0x5555;
                // SAFETY: as above.
                let ring = unsafe {
                    if len == u8::MAX {
                        ffi::hvlog_xenstore_reset(self.log);
                    }
                    ffi::hvlog_xenstore_out(self.log, bytes.as_mut_ptr(), len.into());
                    ffi::hvlog_ring_of(self.log, 8, &mut port)
                };
                assert!(ring <= HVLOG_RING_OF_REFUSED);
                assert!(ring == HVLOG_RING_OF_FRONTEND || port == 0);
                assert!(bytes[usize::from(len)..].iter().all(|&byte| byte == 0x55));
            }
            // SAFETY: as above.
            Op::Stop => unsafe { ffi::hvlog_request_stop(self.log) },
            Op::Shutdown => {
                let reason =
                    [HVLOG_REASON_SHUTDOWN, HVLOG_REASON_CRASH][usize::from(script.byte()? & 1)];
                if self.may_run() {
                    // SAFETY: as above.
                    match unsafe { ffi::hvlog_shutdown(self.log, reason, 0, 1) } {
                        HVLOG_END => self.end(reason),
                        code => {
                            assert_eq!(code, HVLOG_DEAD);
                            self.is_over = true;
                        }
                    }
                }
            }
            Op::Release if !self.is_over && !self.is(HONEST) => {
                // SAFETY: as above.
                unsafe { ffi::hvlog_release(self.log) };
                self.was_released = true;
            }
            Op::Until => {
                let until = script.byte()?.into();
                // SAFETY: as above.
                unsafe { ffi::hvlog_until(self.log, until) };
            }
            Op::Index => {
                let which = script.byte()?;
                let value = u64::from_le_bytes(script.take()?);
                if !self.is(HONEST) {
                    let offset = [PROD_OFFSET, CONS_OFFSET][usize::from(which & 1)];
                    // Half of them near the truth.
                    let near = self.index(offset).wrapping_add(value);
                    *self.index(offset) = if which & 2 != 0 { near } else { value };
                    self.was_bad |= self.has_bad_index();
                    self.has_stored_prod |= offset == PROD_OFFSET;
                }
            }
            Op::Feed => {
                let len = script.byte()?;
                let (bytes, rest) = script.0.split_at_checked(len.into())?;
                script.0 = rest;
                if self.is(REPLAY) {
                    self.feed(bytes);
                }
            }
            Op::Drain if !self.is(REPLAY) => self.drain(),
            Op::Sync | Op::Release | Op::Drain => {}
        }
        Some(())
    }

    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let prod = *self.index(PROD_OFFSET);
            let at = prod as usize % SIZE;
            let word = &mut self.memory[DATA + at / 8];
            let mut parts = word.to_le_bytes();
            parts[at % 8] = byte;
            *word = u64::from_le_bytes(parts);
            *self.index(PROD_OFFSET) = prod.wrapping_add(1);
        }
        self.was_bad |= self.has_bad_index();
    }

    fn drain(&mut self) {
        let (prod, cons) = (*self.index(PROD_OFFSET), *self.index(CONS_OFFSET));
        if self.is(HONEST) {
            assert!(
                prod.wrapping_sub(cons) <= SIZE as u64,
                "Xen overran the reader"
            );
            for index in cons..prod {
                let at = index as usize % SIZE;
                self.read
                    .push(self.memory[DATA + at / 8].to_le_bytes()[at % 8]);
            }
        }
        *self.index(CONS_OFFSET) = prod;
        self.was_bad |= self.has_stored_prod;
    }

    fn check(&mut self) {
        let (front, rest) = self.memory.split_at(GUARD);
        let mut guards = front.iter().chain(&rest[WORDS - 2 * GUARD..]);
        assert!(
            guards.all(|&word| word == CANARY),
            "written outside of the ring"
        );
        let (counters, ..) = self.report();
        match counters.error {
            0 => {}
            HVLOG_ERR_RING_INDEX => assert!(self.was_bad, "an error without a bad index"),
            error => assert_eq!(error, HVLOG_ERR_LOG),
        }
        let is_stopped = self.is(REPLAY) && !self.was_released;
        if is_stopped && (counters.error != 0 || counters.diverged != 0) {
            // SAFETY: as above.
            assert_eq!(unsafe { ffi::hvlog_serve(self.log) }, HVLOG_DEAD);
        }
    }

    /// A recording whose reader's index is bad runs on, and its log ends with an error.
    fn check_bad_index(&mut self) {
        let (before, ..) = self.report();
        // With a bound on its error the clock need not be logged, however often it is read.
        if self.is(REPLAY | TIME_BOUND)
            || before.error != 0
            || !self.may_run()
            || !self.has_bad_index()
        {
            return;
        }
        for _ in 0..SIZE {
            self.tsc(now() << 8);
            self.exit();
            if !self.may_run() || self.report().0.error != 0 || !self.has_bad_index() {
                return;
            }
        }
        // Nothing was logged any more: somebody released the guest.
        assert_eq!(
            self.report().0.records,
            before.records,
            "a bad index was not noticed"
        );
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SAFETY: allocated with the same layout; a logger has nothing to drop.
        unsafe { dealloc(self.log.cast(), Self::layout()) };
    }
}

/// How a script went.
pub struct Outcome {
    /// `HVLOG_ERR_*`.
    pub error: u32,
    /// Records that were written or replayed.
    pub records: u64,
    /// The log, where dom0 was honest.
    pub log: Vec<u8>,
    /// The guest is at its end: by itself, by a stop, by an error.
    pub is_over: bool,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            error,
            records,
            is_over,
            log,
        } = self;
        write!(
            f,
            "error {error}, {records} records, over {is_over}, {} bytes",
            log.len()
        )
    }
}

/// Runs a script and checks what must hold throughout.
pub fn check(bytes: &[u8]) -> Outcome {
    let mut script = Script(bytes);
    let mut machine = Machine::new(script.byte().unwrap_or(0));
    while machine.step(&mut script).is_some() {
        machine.check();
    }
    machine.check_bad_index();
    machine.check();
    if !machine.is(REPLAY) && machine.is(HONEST) {
        machine.drain();
        let (mut decoder, mut rest) = (Decoder::new(), &machine.read[..]);
        let mut records = 0;
        while !rest.is_empty() {
            let (len, _) = decoder.decode(rest).expect("what Xen wrote can be decoded");
            rest = &rest[len..];
            records += 1;
        }
        assert_eq!(records, machine.report().0.records);
    }
    let (counters, ..) = machine.report();
    Outcome {
        error: counters.error,
        records: counters.records,
        log: core::mem::take(&mut machine.read),
        is_over: machine.is_over,
    }
}
