//! The entries for C. They check and convert, call, and return a code; nothing else.
//!
//! All but `hvlog_stage`, `hvlog_unstage`, `hvlog_mark`, `hvlog_is_marked`, `hvlog_is_staged`,
//! `hvlog_deliverable` and `hvlog_request_stop` are for the context of the domain's vCPU, or for a
//! caller that has it paused. `hvlog_xenstore_out` and the two behind it have a lock of their own.
#![allow(
    clippy::missing_safety_doc,
    reason = "one contract for all, in the module's text"
)]

use core::sync::atomic::AtomicU64;

use crate::abi::{
    Attention, Counters, Divergence, EndState, Gate, HVLOG_RING_OF_FRONTEND, HVLOG_RING_OF_NONE,
    HVLOG_RING_OF_REFUSED, PlaceState, Registers, Stale,
};
use crate::digest;
use crate::frontends::RingOf;
use crate::logger::{Logger, Mode};
use crate::ring::Ring;
use crate::xen::{Domain, Guest};

/// Bytes that a logger takes; to be aligned to 64.
#[unsafe(no_mangle)]
pub extern "C" fn hvlog_size() -> usize {
    core::mem::size_of::<Logger>()
}

/// Makes a logger in `log`, which is zeroed. `header` is the ring's header page and `data` its data area of
/// `data_bytes`, a power of two; both zeroed and mapped until the last call. With `time_bound_ns` the TSC that the guest
/// gets may be so much behind; 0 for exact values. An event that waits for more than `long_delay` ticks of the host's TSC
/// is reported.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_init(
    log: *mut Logger,
    gate: *mut Gate,
    header: *mut u8,
    data: *mut u8,
    data_bytes: u32,
    replay: bool,
    on_full_stop: bool,
    time_bound_ns: u64,
    long_delay: u64,
) {
    let mode = if replay { Mode::Replay } else { Mode::Record };
    // SAFETY: C allocated `hvlog_size()` bytes, and keeps gate and ring as promised.
    unsafe {
        let ring = Ring::new(header, data, u64::from(data_bytes));
        *gate = Gate {
            committed: u64::MAX,
            due: if replay { 0 } else { u64::MAX },
            attention: (Attention::WORK | Attention::START | Attention::BLOCKED).bits(),
            at_sync: 1,
            replaying: u8::from(replay),
            ..Gate::default()
        };
        Logger::init(
            log,
            gate,
            ring,
            mode,
            on_full_stop,
            time_bound_ns,
            long_delay,
        );
    }
}

/// Stages an event channel that became pending at `now`, in ticks of the host's TSC. Any CPU. With
/// `of_backend` there may be something new in a shared ring. False: nothing new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_stage(
    log: *const Logger,
    port: u32,
    of_backend: bool,
    now: u64,
) -> bool {
    // SAFETY: a live logger; the stage is made of atomics.
    let log = unsafe { &*log };
    if of_backend {
        log.stage.mark(Stale::RINGS);
    }
    let new = log.stage.add(port, now);
    if new {
        log.gate().raise(Attention::WORK);
    }
    new
}

/// Takes a staged `port` back, which is being closed: nobody stages it meanwhile. Any CPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_unstage(log: *const Logger, port: u32) {
    // SAFETY: as in `hvlog_stage`.
    unsafe { &*log }.stage.remove(port);
}

/// Notes that `HVLOG_STALE_*` things changed. Any CPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_mark(log: *const Logger, what: u32) {
    // SAFETY: as in `hvlog_stage`.
    let log = unsafe { &*log };
    let what = Stale::from_bits_truncate(what);
    log.stage.mark(what);
    if what.is_cause() {
        log.gate().raise(Attention::WORK);
    }
}

/// Whether one of these `HVLOG_STALE_*` is noted. Any CPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_is_marked(log: *const Logger, what: u32) -> bool {
    // SAFETY: as in `hvlog_stage`.
    unsafe { &*log }
        .stage
        .is_marked(Stale::from_bits_truncate(what))
}

/// Whether `port` is staged. Any CPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_is_staged(log: *const Logger, port: u32) -> bool {
    // SAFETY: as in `hvlog_stage`.
    unsafe { &*log }.stage.contains(port)
}

/// Whether a staged port is not masked in `mask`, the guest's 64 words of event channel masks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_deliverable(log: *const Logger, mask: *const u64) -> bool {
    // SAFETY: as in `hvlog_stage`; the mask is 64 aligned words that the guest may change, which
    // is why they are read as atomics.
    unsafe {
        (*log)
            .stage
            .is_deliverable(&*mask.cast::<[AtomicU64; 64]>())
    }
}

/// The first staged port that is not masked in `mask`, or `UINT32_MAX`. Any CPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_waiting(log: *const Logger, mask: *const u64) -> u32 {
    // SAFETY: as in `hvlog_deliverable`.
    let port = unsafe {
        (*log)
            .stage
            .first_deliverable(&*mask.cast::<[AtomicU64; 64]>())
    };
    port.unwrap_or(u32::MAX)
}

/// Asks for the log to end at the next sync point. Any CPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_request_stop(log: *const Logger) {
    // SAFETY: as in `hvlog_stage`.
    unsafe { &*log }.gate().raise(Attention::STOP);
}

/// Serves the ring while `HVLOG_BLOCKED` is up: `HVLOG_DONE`, `HVLOG_WAIT`, `HVLOG_END`,
/// `HVLOG_DEAD`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_serve(log: *const Logger) -> u32 {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own().serve(log.gate())
    }
}

/// Commits what is due at this sync point: `HVLOG_DONE` and the guest may run, or another code.
/// `now` is the host's TSC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_commit(
    log: *const Logger,
    domain: *mut Domain,
    registers: *const Registers,
    now: u64,
) -> u32 {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        let guest = Guest::new(domain);
        log.own()
            .commit(&log.stage, log.gate(), guest, &*registers, now)
    }
}

/// Takes the digest of the start state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_start(
    log: *const Logger,
    registers: *const Registers,
    memory: u64,
    pages: u32,
) -> u32 {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own().start(log.gate(), &*registers, memory, pages)
    }
}

/// The guest shut down or crashed: `HVLOG_END` when the log wants the digests of its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_shutdown(
    log: *const Logger,
    reason: u32,
    code: u32,
    rip: u64,
) -> u32 {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own().shutdown(log.gate(), reason, code, rip)
    }
}

/// Takes the digests of the end: writes the end record, or compares. `HVLOG_DONE`, or
/// `HVLOG_DEAD` when they differ.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_end(
    log: *const Logger,
    domain: *mut Domain,
    end: *const EndState,
) -> u32 {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own().finish(log.gate(), Guest::new(domain), *end)
    }
}

/// Why the log is about to end, while it is: `HVLOG_REASON_*`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_end_reason(log: *const Logger) -> u32 {
    // SAFETY: the module's contract.
    unsafe { (*log).own().end.reason }
}

/// The answer to RDTSC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_tsc(log: *const Logger, domain: *mut Domain, live: u64) -> u64 {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own().tsc(log.gate(), Guest::new(domain), live)
    }
}

/// The guest set its timer, whose event comes through `port`, to `deadline_ns` of system time; 0 stops it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_timer(log: *const Logger, port: u16, deadline_ns: u64) {
    // SAFETY: the module's contract.
    unsafe { (*log).own().clock.set_timer(port, deadline_ns) }
}

/// Logs `len` bytes at `buffer`, or replaces them by those of the log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_value(
    log: *const Logger,
    domain: *mut Domain,
    kind: u32,
    buffer: *mut u8,
    len: usize,
) {
    // SAFETY: the module's contract, and `buffer` has `len` bytes.
    unsafe {
        let log = &*log;
        let buffer = core::slice::from_raw_parts_mut(buffer, len);
        log.own()
            .value(log.gate(), Guest::new(domain), kind, buffer);
    }
}

/// Whether the guest runs without a log. In the context of the vCPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_is_live(log: *const Logger) -> bool {
    // SAFETY: the module's contract.
    unsafe { (*log).own() }.is_live()
}

/// Logs the place at which a commit is forced: the guest stands there, and C counts a sync point.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_force(
    log: *const Logger,
    domain: *mut Domain,
    place: *const PlaceState,
) {
    // SAFETY: the module's contract; the place is C's.
    unsafe {
        let log = &*log;
        log.own().force(log.gate(), Guest::new(domain), &*place);
    }
}

/// The place at which the next commit was forced. To be asked after `HVLOG_PLACE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_next_place(log: *const Logger, place: *mut PlaceState) {
    // SAFETY: the module's contract; the place is C's.
    unsafe { *place = (*log).own().place() }
}

/// The guest was found there, at its `hits`th hit of the address or a later one, and C counts a sync
/// point.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_place_found(log: *const Logger, hits: u64) {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own().place_found(log.gate(), hits);
    }
}

/// The replay diverges at a place: a `kind` (`HVLOG_DIVERGE_PLACE…`) with its two values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_place_missed(
    log: *const Logger,
    rip: u64,
    kind: u32,
    expected: u64,
    actual: u64,
) {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own()
            .place_missed(log.gate(), rip, kind, expected, actual);
    }
}

/// Lets the guest run on without a log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_release(log: *const Logger) {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own().release(log.gate());
    }
}

/// Has a replay pause at `until`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_until(log: *const Logger, until: u64) {
    // SAFETY: the module's contract.
    unsafe {
        let log = &*log;
        log.own().set_until(log.gate(), until);
    }
}

/// Takes in the next `len` bytes that the guest has written to xenstore, before a backend sees them, and
/// changes them where they would have its grants persist. C calls this and the next two under one lock of the
/// domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_xenstore_out(log: *const Logger, bytes: *mut u8, len: usize) {
    // SAFETY: the lock; `bytes` has `len` bytes, which nobody else uses.
    unsafe {
        let bytes = core::slice::from_raw_parts_mut(bytes, len);
        (*log).frontends().observe(bytes);
    }
}

/// The guest's connection to xenstore was made anew: what comes next is a message's beginning.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_xenstore_reset(log: *const Logger) {
    // SAFETY: the lock.
    unsafe { (*log).frontends() }.reset();
}

/// Whether a front end has announced a grant reference as a ring's: `HVLOG_RING_OF_*`. With
/// `HVLOG_RING_OF_FRONTEND`, `port` becomes the guest's port of the ring's event channel, 0 when that is not
/// announced yet; else it becomes 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_ring_of(log: *const Logger, reference: u32, port: *mut u16) -> u32 {
    // SAFETY: the lock.
    let ring = unsafe { (*log).frontends() }.ring(reference);
    let (code, of_ring) = match ring {
        RingOf::None => (HVLOG_RING_OF_NONE, 0),
        RingOf::Frontend(port) => (HVLOG_RING_OF_FRONTEND, port),
        RingOf::Refused => (HVLOG_RING_OF_REFUSED, 0),
    };
    // SAFETY: C's local variable.
    unsafe { *port = of_ring };
    code
}

/// Figures, how the log ended, and where a replay diverged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_report(
    log: *const Logger,
    counters: *mut Counters,
    end: *mut EndState,
    divergence: *mut Divergence,
) {
    // SAFETY: the module's contract; the pointers are C's local variables.
    unsafe {
        let own = (*log).own();
        *counters = own.counters();
        *end = own.end;
        *divergence = own.divergence;
    }
}

/// Digest of the registers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_digest_registers(registers: *const Registers) -> u64 {
    // SAFETY: C's local variable.
    digest::registers(unsafe { &*registers })
}

/// Adds `count` words to a digest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_digest_words(digest: u64, words: *const u64, count: usize) -> u64 {
    // SAFETY: C's local array.
    digest::words(digest, unsafe { core::slice::from_raw_parts(words, count) })
}

/// Adds the page `words` (4096 bytes) of kind `HVLOG_PAGE_*`, at `index` in the slice, to a
/// digest of memory. A null pointer stands for an ordinary page that is all zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvlog_digest_page(
    digest: u64,
    index: u64,
    kind: u32,
    words: *const u64,
) -> u64 {
    // SAFETY: a mapped page of a paused domain.
    match unsafe { words.cast::<[u64; 512]>().as_ref() } {
        Some(words) => digest::page(digest, index, kind, words),
        None => digest::zero_page(digest, index),
    }
}
