//! What C and Rust hand each other: plain structures, the same bytes on both sides.
//!
//! `include/hv-logger.h` is made of this file. What the numbers mean to dom0 stands in
//! [`log_format::control`]; that they are the same is asserted here.

use bitflags::bitflags;
use log_format::{EndReason, assert_layout, control};
use static_assertions::const_assert_eq;

/// The hot part of a logged domain's state. Xen's exit path reads it inline, so that a sync point
/// at which nothing happens costs a handful of instructions.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Gate {
    /// Number of the current sync point.
    pub sync: u64,
    /// Number of the last sync point whose commits are complete; `u64::MAX` before the first.
    pub committed: u64,
    /// The sync number at which the log wants to be asked although nothing is staged: the next
    /// commit (or the first number past the next value) of a replay, or where it is to pause.
    pub due: u64,
    /// `HVLOG_WORK` and its like; set by any CPU, cleared by the vCPU itself.
    pub attention: u32,
    /// Non-zero from the completion of an exit that the guest caused until its way back.
    pub at_sync: u8,
    /// Non-zero when events are discarded rather than staged, and the guest never blocks.
    pub replaying: u8,
    /// Non-zero while a hypercall's arguments are kept, to be restored at its end; for C's own use.
    pub preempted: u8,
    /// Non-zero while the guest is in a hypercall; for C's own use.
    pub in_hypercall: u8,
}
assert_layout! { Gate: 32 { sync: 0, committed: 8, due: 16, attention: 24, at_sync: 28, replaying: 29, preempted: 30, in_hypercall: 31 } }

/// Something is staged: commit at the next sync point.
pub const HVLOG_WORK: u32 = 1;
/// The ring must be served before the guest may run: full (record) or empty (replay).
pub const HVLOG_BLOCKED: u32 = 2;
/// The log is to end at the next sync point.
pub const HVLOG_STOP: u32 = 4;
/// The start state is not in the log (or compared) yet.
pub const HVLOG_START: u32 = 8;

bitflags! {
    /// What the gate's `attention` calls for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Attention: u32 {
        /// See [`HVLOG_WORK`].
        const WORK = HVLOG_WORK;
        /// See [`HVLOG_BLOCKED`].
        const BLOCKED = HVLOG_BLOCKED;
        /// See [`HVLOG_STOP`].
        const STOP = HVLOG_STOP;
        /// See [`HVLOG_START`].
        const START = HVLOG_START;
    }
}

/// Kinds of updates that wait for a commit; see [`crate::Logger`].
pub const HVLOG_STALE_TIME: u32 = 1;
/// The wallclock changed.
pub const HVLOG_STALE_WALLCLOCK: u32 = 2;
/// The runstate changed; written with the next commit, does not cause one.
pub const HVLOG_STALE_RUNSTATE: u32 = 4;
/// A backend may have moved the console or the xenstore ring.
pub const HVLOG_STALE_RINGS: u32 = 8;
/// The local APIC may have an interrupt for the guest: its timer has expired.
pub const HVLOG_STALE_INTERRUPT: u32 = 16;
/// A backend may have moved a ring that the guest shares with it, or mapped or unmapped one.
pub const HVLOG_STALE_LOANS: u32 = 32;
/// Pages came back from backends; applied with the next commit, does not cause one.
pub const HVLOG_STALE_PAGES: u32 = 64;

bitflags! {
    /// What has changed since the guest's copy was written.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Stale: u32 {
        /// See [`HVLOG_STALE_TIME`].
        const TIME = HVLOG_STALE_TIME;
        /// See [`HVLOG_STALE_WALLCLOCK`].
        const WALLCLOCK = HVLOG_STALE_WALLCLOCK;
        /// See [`HVLOG_STALE_RUNSTATE`].
        const RUNSTATE = HVLOG_STALE_RUNSTATE;
        /// See [`HVLOG_STALE_RINGS`].
        const RINGS = HVLOG_STALE_RINGS;
        /// See [`HVLOG_STALE_INTERRUPT`].
        const INTERRUPT = HVLOG_STALE_INTERRUPT;
        /// See [`HVLOG_STALE_LOANS`].
        const LOANS = HVLOG_STALE_LOANS;
        /// See [`HVLOG_STALE_PAGES`].
        const PAGES = HVLOG_STALE_PAGES;
    }
}

impl Stale {
    /// What backends did to the pages that the guest granted.
    pub const BACKENDS: Self = Self::LOANS.union(Self::PAGES);

    /// Whether any of these is a reason to commit. The runstate waits for others, and so does what
    /// nobody has announced to the guest yet.
    pub const fn is_cause(self) -> bool {
        !self
            .difference(Self::RUNSTATE.union(Self::PAGES))
            .is_empty()
    }
}

/// All commits of this sync point are applied.
pub const HVLOG_DONE: u32 = 0;
/// The ring has to be served first; nothing, or only whole commits, were applied.
pub const HVLOG_WAIT: u32 = 1;
/// The log ends here: digest registers and memory, then call `hvlog_end`.
pub const HVLOG_END: u32 = 2;
/// The log is of no more use (diverged or failed): the counters say why.
pub const HVLOG_DEAD: u32 = 3;
/// The replay reached the number it was to pause at.
pub const HVLOG_UNTIL: u32 = 4;
/// The log was to end here, but has failed before: the guest runs on without one.
pub const HVLOG_GONE: u32 = 5;
/// There is more to commit here: see to what else the host has to do, and ask again.
pub const HVLOG_MORE: u32 = 6;

/// As `HVLOG_DONE`, but the guest is to be stopped at the place that `hvlog_next_place` tells.
pub const HVLOG_PLACE: u32 = 7;

/// The guest's registers as Xen's `struct cpu_user_regs` begins: r15 to r12, rbp, rbx, r11 to r8,
/// rax, rcx, rdx, rsi, rdi, a word of Xen's own, rip, cs, rflags, rsp, ss.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers {
    /// The words, see the type.
    pub word: [u64; 21],
}
assert_layout! { Registers: 168 { word: 0 } }

/// Gives the words of [`Registers`] their names.
macro_rules! register_names {
    ($($name:ident)*) => {
        /// [`Registers`] by their names.
        #[derive(Clone, Copy, Debug, Default)]
        #[allow(missing_docs, reason = "the processor's names")]
        pub struct NamedRegisters {
            $(pub $name: u64,)*
        }

        impl Registers {
            /// The words by their names.
            #[inline(always)]
            pub const fn named(&self) -> NamedRegisters {
                let [$($name),*] = self.word;
                NamedRegisters { $($name),* }
            }
        }

        impl From<NamedRegisters> for Registers {
            fn from(named: NamedRegisters) -> Self {
                Self { word: [$(named.$name),*] }
            }
        }
    };
}

register_names! { r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi of_xen rip cs rflags rsp ss }

/// `vcpu_info.time` but for its version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeUpdate {
    /// Guest TSC at the update.
    pub tsc_timestamp: u64,
    /// Nanoseconds since the host's boot.
    pub system_time: u64,
    /// Factor from ticks to nanoseconds, fraction of 2^32.
    pub tsc_to_system_mul: u32,
    /// Shift before the multiplication.
    pub tsc_shift: i8,
    /// `XEN_PVCLOCK_*`.
    pub flags: u8,
    pub(crate) pad: u16,
}
assert_layout! { TimeUpdate: 24 { tsc_timestamp: 0, system_time: 8, tsc_to_system_mul: 16, tsc_shift: 20, flags: 21, pad: 22 } }

/// The wallclock of the shared info page.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WallclockUpdate {
    /// Seconds of the epoch at boot.
    pub sec: u64,
    /// Nanoseconds within it.
    pub nsec: u32,
    pub(crate) pad: u32,
}
assert_layout! { WallclockUpdate: 16 { sec: 0, nsec: 8, pad: 12 } }

/// The runstate area; the layout of Xen's `struct vcpu_runstate_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RunstateUpdate {
    /// `RUNSTATE_*`.
    pub state: u32,
    pub(crate) pad: u32,
    /// When the state was entered.
    pub state_entry_time_ns: u64,
    /// Nanoseconds in each state.
    pub time_ns: [u64; 4],
}
assert_layout! { RunstateUpdate: 48 { state: 0, pad: 4, state_entry_time_ns: 8, time_ns: 16 } }

/// The console's ring.
pub const HVLOG_RING_CONSOLE: u32 = 0;
/// The xenstore ring.
pub const HVLOG_RING_XENSTORE: u32 = 1;
/// Bytes that one ring update carries at most.
pub const HVLOG_RING_BYTES: usize = 1024;

/// No front end announced this reference as that of a ring.
pub const HVLOG_RING_OF_NONE: u32 = 0;
/// It is the ring of a front end.
pub const HVLOG_RING_OF_FRONTEND: u32 = 1;
/// It is a ring that cannot be relayed: of several pages or queues, or of one device too many.
pub const HVLOG_RING_OF_REFUSED: u32 = 2;

/// What a backend changed in a shared ring.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RingUpdate {
    /// The backend's producer index.
    pub prod: u32,
    /// The backend's consumer index.
    pub cons: u32,
    /// Xenstore: server features, connection state, error. Console: zero.
    pub ext: [u32; 3],
    /// How many of `bytes` are new.
    pub len: u32,
    /// The new bytes, up to `prod`.
    pub bytes: [u8; HVLOG_RING_BYTES],
}
assert_layout! { RingUpdate: 1048 { prod: 0, cons: 4, ext: 8, len: 20, bytes: 24 } }

/// Nothing more came from backends.
pub const HVLOG_LOAN_DONE: u32 = 0;
/// Bytes of a page.
pub const HVLOG_LOAN_PAGE: u32 = 1;
/// A ring begins or ends.
pub const HVLOG_LOAN_RING: u32 = 2;
/// The guest is to be told of what came in a ring before.
pub const HVLOG_LOAN_EVENT: u32 = 3;
/// Bytes that one page update carries at most.
pub const HVLOG_PAGE_BYTES: usize = 1024;
const_assert_eq!(HVLOG_PAGE_BYTES, log_format::MAX_PAGE_BYTES);

/// What a backend wrote to a page that the guest granted.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PageUpdate {
    /// The page's frame number, as the guest knows it.
    pub frame: u64,
    /// Where the bytes begin in it.
    pub offset: u32,
    /// How many of `bytes` there are.
    pub len: u32,
    /// The bytes.
    pub bytes: [u8; HVLOG_PAGE_BYTES],
}
assert_layout! { PageUpdate: 1040 { frame: 0, offset: 8, len: 12, bytes: 16 } }

/// A ring that the guest shares with a backend, and which begins or ends to be relayed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Loan {
    /// Its page's frame number, as the guest knows it.
    pub frame: u64,
    /// The grant of it.
    pub reference: u32,
    /// Its event channel; 0 for none.
    pub port: u32,
    /// Non-zero when it begins.
    pub begins: u32,
    pub(crate) pad: u32,
}
assert_layout! { Loan: 24 { frame: 0, reference: 8, port: 12, begins: 16, pad: 20 } }

/// Pages that a place names.
pub const HVLOG_PLACE_PAGES: usize = 4;

/// Where the guest stands, between two sync points, when a commit is forced: log-format's `Place`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceState {
    /// Instruction pointer.
    pub rip: u64,
    /// Digest of the registers.
    pub registers: u64,
    /// Digest of the FPU.
    pub fpu: u64,
    /// Digest of the pages that registers point to, and of those named.
    pub pages: u64,
    /// Digest of all memory; 0 when it was not made.
    pub memory: u64,
    /// Visits of `rip` since the sync point; 0 when they were not counted.
    pub hits: u64,
    /// Pages by their index in the domain's memory.
    pub page: [u32; HVLOG_PLACE_PAGES],
    /// How many of `page` there are.
    pub nr_pages: u32,
    pub(crate) pad: u32,
}
assert_layout! { PlaceState: 72 {
    rip: 0, registers: 8, fpu: 16, pages: 24, memory: 32, hits: 40, page: 48, nr_pages: 64, pad: 68,
} }
const_assert_eq!(HVLOG_PLACE_PAGES, log_format::MAX_PLACE_PAGES);

/// Figures for the status operation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Records logged or replayed.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Events committed.
    pub events: u64,
    /// Longest time from arrival to commit of an event, in ticks of the host's TSC.
    pub max_delay: u64,
    /// Bytes in the ring.
    pub ring_used: u64,
    /// `HVLOG_ERR_*`.
    pub error: u32,
    /// Whether a divergence is recorded.
    pub diverged: u32,
}
assert_layout! { Counters: 48 { records: 0, bytes: 8, events: 16, max_delay: 24, ring_used: 32, error: 40, diverged: 44 } }

/// No error.
pub const HVLOG_ERR_NONE: u32 = 0;
/// The reader's (or writer's) index in the ring is impossible.
pub const HVLOG_ERR_RING_INDEX: u32 = 1;
/// The log cannot be decoded.
pub const HVLOG_ERR_LOG: u32 = 2;
/// The ring was full within a hypercall, where a log cannot end.
pub const HVLOG_ERR_FULL: u32 = 3;

/// How a log ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct EndState {
    /// Sync number.
    pub sync: u64,
    /// Guest's instruction pointer.
    pub rip: u64,
    /// Digest of the registers.
    pub registers: u64,
    /// Digest of the memory.
    pub memory: u64,
    /// `HVLOG_REASON_*`.
    pub reason: u32,
    /// Shutdown code or error.
    pub code: u32,
    /// Pages in the digest.
    pub pages: u32,
    pub(crate) pad: u32,
}
assert_layout! { EndState: 48 { sync: 0, rip: 8, registers: 16, memory: 24, reason: 32, code: 36, pages: 40, pad: 44 } }

/// Asked to.
pub const HVLOG_REASON_STOP: u32 = 1;
/// The guest shut down.
pub const HVLOG_REASON_SHUTDOWN: u32 = 2;
/// The guest crashed.
pub const HVLOG_REASON_CRASH: u32 = 3;
/// The ring was full, and the policy was to stop then.
pub const HVLOG_REASON_FULL: u32 = 4;

/// Asked to, but the guest came to no sync point: the log ends at the last one, without digests.
pub const HVLOG_REASON_CUT: u32 = 7;

/// Where a replay parted from its log.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Divergence {
    /// Sync number.
    pub sync: u64,
    /// Guest's instruction pointer.
    pub rip: u64,
    /// What the log says.
    pub expected: u64,
    /// What came.
    pub actual: u64,
    /// `HVLOG_DIVERGE_*`.
    pub kind: u32,
    /// Kind of record that the guest's execution asks for, where that differs.
    pub want_kind: u32,
}
assert_layout! { Divergence: 40 { sync: 0, rip: 8, expected: 16, actual: 24, kind: 32, want_kind: 36 } }

/// The witness differs.
pub const HVLOG_DIVERGE_WITNESS: u32 = 1;
/// Another kind of record stands next in the log.
pub const HVLOG_DIVERGE_RECORD_KIND: u32 = 2;
/// The next record belongs to another sync number.
pub const HVLOG_DIVERGE_SYNC: u32 = 3;
/// The registers at the end differ.
pub const HVLOG_DIVERGE_END_REGISTERS: u32 = 4;
/// The memory at the end differs.
pub const HVLOG_DIVERGE_END_MEMORY: u32 = 5;
/// The log ends before the guest does.
pub const HVLOG_DIVERGE_END_OF_LOG: u32 = 6;
/// The guest starts from another state.
pub const HVLOG_DIVERGE_START: u32 = 7;
/// The guest never came to the place of a forced commit: `expected` is its address, `actual` how
/// often the guest was there.
pub const HVLOG_DIVERGE_PLACE: u32 = 8;
/// It came to a place that looks right, but all of its memory is not what it was.
pub const HVLOG_DIVERGE_PLACE_MEMORY: u32 = 9;

/// Asserts that each of these has its number for C, and that there are no others.
macro_rules! same_numbers {
    ($type:path: $($variant:ident = $number:ident),* $(,)?) => {
        $(const_assert_eq!(<$type>::$variant.number() as u32, $number);)*
        const_assert_eq!(<$type>::ALL.len(), [$($number),*].len());
    };
}

same_numbers! { control::Failure:
    RingIndex = HVLOG_ERR_RING_INDEX, Log = HVLOG_ERR_LOG, Full = HVLOG_ERR_FULL,
}
same_numbers! { control::Divergence:
    Witness = HVLOG_DIVERGE_WITNESS, RecordKind = HVLOG_DIVERGE_RECORD_KIND,
    SyncNumber = HVLOG_DIVERGE_SYNC, EndRegisters = HVLOG_DIVERGE_END_REGISTERS,
    EndMemory = HVLOG_DIVERGE_END_MEMORY, EndOfLog = HVLOG_DIVERGE_END_OF_LOG,
    StartState = HVLOG_DIVERGE_START, Place = HVLOG_DIVERGE_PLACE,
    PlaceMemory = HVLOG_DIVERGE_PLACE_MEMORY,
}
const_assert_eq!(EndReason::Stop as u32, HVLOG_REASON_STOP);
const_assert_eq!(EndReason::Shutdown as u32, HVLOG_REASON_SHUTDOWN);
const_assert_eq!(EndReason::Crash as u32, HVLOG_REASON_CRASH);
const_assert_eq!(EndReason::Full as u32, HVLOG_REASON_FULL);
const_assert_eq!(EndReason::Cut as u32, HVLOG_REASON_CUT);
