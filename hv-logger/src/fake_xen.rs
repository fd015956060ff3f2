//! A fake Xen for the tests: what the logger applies to the guest is kept in a list, and what it
//! samples comes from a few counters. Each test has its own, by thread.
#![allow(missing_docs, reason = "the functions of xen.rs")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::{Cell, RefCell};

use crate::abi::*;
use crate::ffi;
use crate::logger::Logger;
use crate::xen::Domain;

mod edges;
mod frontends;
mod interrupts;
mod loans;
mod places;

thread_local! {
    static APPLIED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static CLOCK: RefCell<u64> = const { RefCell::new(1_000_000) };
    /// The vector of a timer that has expired and was not taken yet.
    static EXPIRED: Cell<Option<u32>> = const { Cell::new(None) };
}

fn apply(what: String) {
    APPLIED.with_borrow_mut(|applied| applied.push(what));
}

fn tick() -> u64 {
    CLOCK.with_borrow_mut(|clock| {
        *clock += 12_345;
        *clock
    })
}

#[unsafe(no_mangle)]
extern "C" fn xenlr_notify(_: *mut Domain) {}
#[unsafe(no_mangle)]
extern "C" fn xenlr_report_delay(_: *mut Domain, _: u64) {}
#[unsafe(no_mangle)]
extern "C" fn xenlr_apply_event(_: *mut Domain, port: u32) {
    apply(format!("event {port}"));
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_time(_: *mut Domain, time: *mut TimeUpdate) -> bool {
    // SAFETY: the caller's local variable.
    unsafe {
        (*time).system_time = tick();
        (*time).tsc_timestamp = (*time).system_time * 2;
        (*time).tsc_to_system_mul = 1 << 31;
    }
    true
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_time(_: *mut Domain, time: *const TimeUpdate) {
    // SAFETY: as above.
    apply(format!("{:?}", unsafe { *time }));
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_wallclock(_: *mut Domain, to: *mut WallclockUpdate) -> bool {
    // SAFETY: as above.
    unsafe { (*to).sec = tick() };
    true
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_wallclock(_: *mut Domain, from: *const WallclockUpdate) {
    // SAFETY: as above.
    apply(format!("{:?}", unsafe { *from }));
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_runstate(_: *mut Domain, to: *mut RunstateUpdate) -> bool {
    // SAFETY: as above.
    unsafe { (*to).time_ns[0] = tick() };
    true
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_runstate(_: *mut Domain, from: *const RunstateUpdate) {
    // SAFETY: as above.
    apply(format!("{:?}", unsafe { *from }));
}
#[unsafe(no_mangle)]
extern "C" fn xenlr_changed_rings(_: *mut Domain) -> u32 {
    1 << HVLOG_RING_CONSOLE
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_ring(_: *mut Domain, _: u32, to: *mut RingUpdate) {
    // SAFETY: as above.
    let to = unsafe { &mut *to };
    (to.prod, to.len, to.ext) = (to.prod.wrapping_add(5), 5, [0; 3]);
    to.bytes[..5].copy_from_slice(b"hello");
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_ring(_: *mut Domain, ring: u32, from: *const RingUpdate) {
    // SAFETY: as above.
    let from = unsafe { &*from };
    apply(format!(
        "ring {ring} {} {:?}",
        from.prod,
        &from.bytes[..from.len as usize]
    ));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_sample_interrupt(_: *mut Domain, vector: *mut u32) -> bool {
    let Some(expired) = EXPIRED.take() else {
        return false;
    };
    // SAFETY: as above.
    unsafe { *vector = expired };
    true
}
#[unsafe(no_mangle)]
extern "C" fn xenlr_apply_interrupt(_: *mut Domain, vector: u32) {
    apply(format!("interrupt {vector}"));
}

#[unsafe(no_mangle)]
extern "C" fn xenlr_note_loans(_: *mut Domain) {
    loans::note();
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_next_loan(
    _: *mut Domain,
    page: *mut PageUpdate,
    loan: *mut Loan,
) -> u32 {
    // SAFETY: as above.
    let (page, loan) = unsafe { (&mut *page, &mut *loan) };
    loans::next(page, loan)
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_page(_: *mut Domain, page: *const PageUpdate) -> bool {
    // SAFETY: as above.
    loans::apply_page(unsafe { &*page })
}
#[unsafe(no_mangle)]
unsafe extern "C" fn xenlr_apply_loan(_: *mut Domain, loan: *const Loan) -> bool {
    // SAFETY: as above.
    loans::apply_loan(unsafe { &*loan })
}

/// The gate, which Xen's exit path and the library reach through the same pointer.
pub struct SharedGate(*mut Gate);

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

/// A logged domain without Xen: ring, gate and logger.
pub struct FakeXen {
    pub gate: SharedGate,
    pub pages: Vec<u64>,
    log: *mut Logger,
}

const RING_BYTES: usize = 16384;

impl FakeXen {
    pub fn new(replay: bool) -> Self {
        Self::with_bound(replay, 0)
    }

    pub fn with_bound(replay: bool, time_bound_ns: u64) -> Self {
        Self::with(replay, false, time_bound_ns)
    }

    pub fn with(replay: bool, on_full_stop: bool, time_bound_ns: u64) -> Self {
        let mut xen = Self {
            gate: SharedGate::new(),
            pages: vec![0; (4096 + RING_BYTES) / 8],
            // SAFETY: the layout is not empty.
            log: unsafe { alloc_zeroed(Self::layout()) }.cast(),
        };
        let header: *mut u8 = xen.pages.as_mut_ptr().cast();
        // SAFETY: zeroed and large enough, and kept until the drop.
        unsafe {
            let data = header.add(4096);
            ffi::hvlog_init(
                xen.log,
                xen.gate.0,
                header,
                data,
                RING_BYTES as u32,
                replay,
                on_full_stop,
                time_bound_ns,
                u64::MAX,
            );
        }
        APPLIED.with_borrow_mut(Vec::clear);
        EXPIRED.set(None);
        xen
    }

    fn layout() -> Layout {
        Layout::from_size_align(ffi::hvlog_size(), 64).expect("the layout of a logger")
    }

    /// The registers at a sync number: a guest that does the same each time.
    pub fn registers(sync: u64) -> Registers {
        let rip = 0x1000 + sync;
        NamedRegisters {
            rip,
            ..Default::default()
        }
        .into()
    }

    pub fn is_replay(&self) -> bool {
        self.gate.replaying != 0
    }

    pub fn applied(&self) -> Vec<String> {
        APPLIED.with_borrow(Clone::clone)
    }

    pub fn start(&self) -> u32 {
        // SAFETY: a live logger, used by this thread only.
        unsafe { ffi::hvlog_start(self.log, &Self::registers(0), 7, 1) }
    }
    pub fn serve(&self) -> u32 {
        // SAFETY: as above.
        unsafe { ffi::hvlog_serve(self.log) }
    }
    pub fn stage(&self, port: u32) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_stage(self.log, port, true, tick()) };
    }
    pub fn unstage(&self, port: u32) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_unstage(self.log, port) }
    }
    pub fn request_stop(&self) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_request_stop(self.log) }
    }
    pub fn mark(&self, what: u32) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_mark(self.log, what) }
    }
    /// The guest writes to xenstore.
    pub fn xenstore_out(&self, bytes: &mut [u8]) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_xenstore_out(self.log, bytes.as_mut_ptr(), bytes.len()) }
    }
    pub fn xenstore_reset(&self) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_xenstore_reset(self.log) }
    }
    pub fn ring_of(&self, reference: u32) -> (u32, u16) {
        let mut port = u16::MAX;
        // SAFETY: as above.
        let code = unsafe { ffi::hvlog_ring_of(self.log, reference, &mut port) };
        (code, port)
    }
    /// The timer of the local APIC expires, which is to interrupt with this vector.
    pub fn expire(&self, vector: u32) {
        EXPIRED.set(Some(vector));
        self.mark(HVLOG_STALE_INTERRUPT);
    }
    /// Commits at the current number.
    pub fn commit(&self) -> u32 {
        let registers = Self::registers(self.gate.sync);
        // SAFETY: as above; the domain is not looked at.
        unsafe { ffi::hvlog_commit(self.log, core::ptr::null_mut(), &registers, tick()) }
    }
    pub fn tsc(&self) -> u64 {
        // SAFETY: as above.
        unsafe { ffi::hvlog_tsc(self.log, core::ptr::null_mut(), tick() * 2) }
    }
    pub fn set_timer(&self, port: u16, deadline_ns: u64) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_timer(self.log, port, deadline_ns) }
    }
    pub fn shutdown(&self) -> u32 {
        // SAFETY: as above.
        unsafe { ffi::hvlog_shutdown(self.log, HVLOG_REASON_SHUTDOWN, 0, 5) }
    }
    pub fn end(&self, memory: u64) -> u32 {
        let end = EndState {
            sync: self.gate.sync,
            reason: HVLOG_REASON_SHUTDOWN,
            memory,
            ..EndState::default()
        };
        // SAFETY: as above.
        unsafe { ffi::hvlog_end(self.log, core::ptr::null_mut(), &end) }
    }
    pub fn report(&self) -> (Counters, Divergence) {
        let (mut counters, mut divergence) = Default::default();
        let mut end = EndState::default();
        // SAFETY: as above.
        unsafe { ffi::hvlog_report(self.log, &mut counters, &mut end, &mut divergence) };
        (counters, divergence)
    }
    /// The shared index at `offset` (`log_format::ring`).
    pub fn index(&mut self, offset: usize) -> &mut u64 {
        &mut self.pages[offset / 8]
    }
    /// The bytes of the log, of a recording that nobody has read from.
    pub fn log(&mut self) -> Vec<u8> {
        let len = *self.index(log_format::ring::PROD_OFFSET) as usize;
        let bytes = self.pages[512..].iter().flat_map(|word| word.to_le_bytes());
        bytes.take(len).collect()
    }
    /// Hands a replay its log.
    pub fn feed(&mut self, log: &[u8]) {
        for (word, bytes) in self.pages[512..].iter_mut().zip(log.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(padded);
        }
        *self.index(log_format::ring::PROD_OFFSET) = log.len() as u64;
    }
}

impl Drop for FakeXen {
    fn drop(&mut self) {
        // SAFETY: allocated with the same layout; a logger has nothing to drop.
        unsafe { dealloc(self.log.cast(), Self::layout()) };
    }
}

/// Runs a guest whose inputs are those of `with`, to its shutdown.
fn run(xen: &mut FakeXen, with: impl Fn(&FakeXen, u64)) -> u32 {
    assert_eq!(xen.serve(), HVLOG_DONE);
    if xen.start() != HVLOG_DONE {
        return HVLOG_DEAD;
    }
    for sync in 0..50 {
        with(xen, sync);
        let code = xen.commit();
        if code != HVLOG_DONE {
            return code;
        }
        if sync % 3 == 0 {
            apply(format!("tsc {}", xen.tsc()));
        }
        xen.gate.sync += 1;
        if xen.gate.attention & HVLOG_BLOCKED != 0 && xen.serve() != HVLOG_DONE {
            return HVLOG_DEAD;
        }
    }
    match xen.shutdown() {
        HVLOG_END => xen.end(99),
        code => code,
    }
}

fn record() -> (Vec<u8>, Vec<String>) {
    let mut xen = FakeXen::new(false);
    let code = run(&mut xen, |xen, sync| {
        if sync % 4 == 1 {
            xen.stage(2);
            xen.stage(70);
        }
        if sync % 7 == 0 {
            xen.mark(HVLOG_STALE_TIME | HVLOG_STALE_WALLCLOCK | HVLOG_STALE_RUNSTATE);
        }
        if sync % 6 == 2 {
            xen.expire(0xec);
        }
    });
    assert_eq!(
        code,
        HVLOG_DONE,
        "{:?} at {}",
        xen.report().0,
        xen.gate.sync
    );
    (xen.log(), xen.applied())
}

#[test]
fn a_replay_applies_what_the_recording_did() {
    let (log, recorded) = record();
    let mut xen = FakeXen::new(true);
    xen.feed(&log);
    // What is staged in a replay comes from outside, and is not looked at.
    assert_eq!(run(&mut xen, |_, _| {}), HVLOG_DONE, "{:?}", xen.report().1);
    assert_eq!(xen.applied(), recorded);
    assert!(recorded.iter().any(|line| line.starts_with("ring 0")));
    assert!(recorded.iter().any(|line| line == "interrupt 236"));
}

#[test]
fn a_bounded_clock_shows_a_replay_the_same_values_with_fewer_records() {
    let guest = |xen: &FakeXen, sync: u64| {
        if sync % 10 == 1 {
            xen.set_timer(2, 1_000_000 + sync * 100_000);
        }
        if !xen.is_replay() && sync % 5 == 1 {
            xen.stage(2);
        }
        if !xen.is_replay() && sync == 0 {
            xen.mark(HVLOG_STALE_TIME);
        }
    };
    let record = |bound_ns| {
        let mut xen = FakeXen::with_bound(false, bound_ns);
        assert_eq!(run(&mut xen, guest), HVLOG_DONE);
        (xen.log(), xen.applied(), xen.report().0.records)
    };
    let (_, _, exact_records) = record(0);
    let (log, recorded, records) = record(100_000);
    assert!(records + 5 < exact_records, "{records} of {exact_records}");
    let mut xen = FakeXen::with_bound(true, 100_000);
    xen.feed(&log);
    let code = run(&mut xen, guest);
    assert_eq!(code, HVLOG_DONE, "{:?}", xen.report().1);
    assert_eq!(xen.applied(), recorded);
    // Control: a replay that does not know of the bound misses records.
    let mut xen = FakeXen::with_bound(true, 0);
    xen.feed(&log);
    assert_eq!(run(&mut xen, guest), HVLOG_DEAD);
}

#[test]
fn another_execution_diverges() {
    let (log, _) = record();
    let mut xen = FakeXen::new(true);
    xen.feed(&log);
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.start(), HVLOG_DONE);
    assert_eq!(xen.commit(), HVLOG_DONE);
    xen.gate.sync += 1;
    // The log has a time-stamp counter here; this guest goes on without asking for it.
    assert_eq!(xen.commit(), HVLOG_DEAD);
    assert_eq!(xen.report().1.kind, HVLOG_DIVERGE_SYNC);
}

#[test]
fn another_end_diverges() {
    let (log, _) = record();
    let mut xen = FakeXen::new(true);
    xen.feed(&log);
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.start(), HVLOG_DONE);
    for sync in 0..50 {
        assert_eq!(xen.commit(), HVLOG_DONE);
        if sync % 3 == 0 {
            xen.tsc();
        }
        xen.gate.sync += 1;
    }
    assert_eq!(xen.shutdown(), HVLOG_END);
    assert_eq!(xen.end(98), HVLOG_DEAD);
    assert_eq!(xen.report().1.kind, HVLOG_DIVERGE_END_MEMORY);
}

#[test]
fn a_full_ring_blocks_and_loses_nothing() {
    let mut xen = FakeXen::new(false);
    assert_eq!(xen.serve(), HVLOG_DONE);
    xen.start();
    let mut records = 0;
    while xen.gate.attention & HVLOG_BLOCKED == 0 {
        xen.tsc();
        xen.gate.sync += 1;
        records += 1;
    }
    assert_eq!(xen.serve(), HVLOG_WAIT);
    assert!(records > 1000);
    let prod = *xen.index(log_format::ring::PROD_OFFSET);
    *xen.index(log_format::ring::CONS_OFFSET) = prod;
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.report().0.records, records + 1);
}

#[test]
fn a_bad_index_of_the_reader_ends_the_log_only() {
    let mut xen = FakeXen::new(false);
    assert_eq!(xen.serve(), HVLOG_DONE);
    xen.start();
    *xen.index(log_format::ring::CONS_OFFSET) = u64::MAX / 2;
    for _ in 0..5000 {
        xen.tsc();
        xen.gate.sync += 1;
    }
    assert_eq!(xen.report().0.error, HVLOG_ERR_RING_INDEX);
    assert_eq!(xen.gate.attention & HVLOG_BLOCKED, 0);
    assert_eq!(xen.serve(), HVLOG_DONE);
}
