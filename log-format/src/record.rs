//! The records of a log, as the recorder hands them in and a reader gets them back.

use crate::Kind;
use crate::numbered::numbered;

/// The most bytes that one ring record carries: the console's input ring holds 1024, the xenstore
/// response ring as many.
pub const MAX_RING_BYTES: usize = 1024;

/// The most bytes that one [`Record::Value`] carries.
pub const MAX_VALUE_BYTES: usize = 256;

/// One record together with the point at which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Number of the sync point: commits are applied at it, values are asked for after it.
    pub sync: u64,
    /// Bits of the guest's registers at `sync`: the same for all commits of one sync number, and
    /// 0 for values.
    pub witness: u8,
    /// What happened.
    pub record: Record<'a>,
}

impl Item<'_> {
    /// The sync point that the guest had reached. The end of a guest that shuts down or crashes
    /// stands behind the values of its last sync point, hence under the next number.
    pub const fn reached(&self) -> u64 {
        match self.record {
            Record::End(End {
                reason: EndReason::Shutdown | EndReason::Crash,
                ..
            }) => self.sync.saturating_sub(1),
            _ => self.sync,
        }
    }
}

/// What entered the guest. At the same sync number commits precede values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Commit: an event channel becomes pending.
    Event {
        /// The guest's port.
        port: u16,
    },
    /// Commit: the guest's time page is rewritten.
    Time(TimeInfo),
    /// Commit: the wallclock in the shared info page is rewritten.
    Wallclock {
        /// Seconds of the epoch at the host's boot.
        sec: u64,
        /// Nanoseconds within that second.
        nsec: u32,
    },
    /// Commit: the guest's registered runstate area is rewritten.
    Runstate(Runstate),
    /// Commit: the console ring moves; `prod` is `in_prod`, `cons` is `out_cons`, `ext` is zero.
    ConsoleIn(RingIn<'a>),
    /// Commit: the xenstore ring moves; `prod` is `rsp_prod`, `cons` is `req_cons`, `ext` is
    /// server features, connection state and error.
    XenstoreIn(RingIn<'a>),
    /// Commit, at sync number 0 only: digests of the state the guest starts from.
    Start {
        /// Digest of the registers.
        registers: u64,
        /// Digest of the memory.
        memory: u64,
        /// Number of pages in the memory digest.
        pages: u32,
    },
    /// Commit: the log ends here; nothing follows.
    End(End),
    /// Value: the answer to RDTSC or RDTSCP.
    Tsc {
        /// The counter that the guest was given.
        value: u64,
    },
    /// Value: any other answer that depends on the world outside the guest.
    Value {
        /// Which question it answers.
        kind: ValueKind,
        /// The answer, at most [`MAX_VALUE_BYTES`].
        bytes: &'a [u8],
    },
}

/// The contents of `vcpu_info.time` without its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeInfo {
    /// Guest TSC at the update.
    pub tsc_timestamp: u64,
    /// Nanoseconds since the host's boot at the update.
    pub system_time: u64,
    /// Factor from TSC ticks to nanoseconds, as a fraction of 2^32.
    pub tsc_to_system_mul: u32,
    /// Shift of the ticks before the multiplication, to the left when positive.
    pub tsc_shift: i8,
    /// `XEN_PVCLOCK_*` bits.
    pub flags: u8,
}

/// The contents of the guest's runstate area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runstate {
    /// `RUNSTATE_*` number.
    pub state: u32,
    /// System time at which the state was entered (with Xen's update flag, if set).
    pub state_entry_time_ns: u64,
    /// Nanoseconds spent in each state.
    pub time_ns: [u64; 4],
}

/// New contents of a ring that dom0's backend shares with the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingIn<'a> {
    /// New index of the producer in dom0.
    pub prod: u32,
    /// New index of the consumer in dom0.
    pub cons: u32,
    /// The bytes that are new in the ring, at most [`MAX_RING_BYTES`].
    pub bytes: &'a [u8],
    /// Further words of the ring page, see [`Record`].
    pub ext: [u32; 3],
}

/// How a log ended, and digests of the state it ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// Detail of the reason: the shutdown code, or the error.
    pub code: u32,
    /// The guest's instruction pointer.
    pub rip: u64,
    /// Digest of the registers.
    pub registers: u64,
    /// Digest of the memory.
    pub memory: u64,
    /// Number of pages in the memory digest.
    pub pages: u32,
}

numbered! {
    /// Why a log ended.
    EndReason: u8 {
        /// Someone asked for it (`xenlr stop`).
        Stop = 1 "stop",
        /// The guest shut down or rebooted.
        Shutdown = 2 "shutdown",
        /// The guest crashed.
        Crash = 3 "crash",
        /// The ring was full and the policy is `on_full=stop`.
        Full = 4 "full",
        /// The recorder met an error, for instance a bad index of the reader.
        Error = 5 "error",
        /// The domain was destroyed.
        Destroyed = 6 "destroyed",
    }
}

numbered! {
    /// Which question a [`Record::Value`] answers.
    ValueKind: u8 {
        /// Runstate information of a vCPU operation.
        Runstate = 1 "runstate",
        /// Outcome of setting a timer.
        Timer = 2 "timer",
        /// Status of an event channel.
        EvtchnStatus = 3 "evtchn_status",
        /// Bytes read by `console_io`.
        ConsoleRead = 4 "console_read",
        /// A CPUID leaf.
        Cpuid = 5 "cpuid",
        /// Physical CPU identity.
        PhysId = 6 "phys_id",
        /// A time other than the time page.
        Time = 7 "time",
        /// Result of any other hypercall.
        Hypercall = 8 "hypercall",
    }
}

impl Record<'_> {
    /// The kind, as its wire number counts it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Event { .. } => Kind::Event,
            Self::Time(_) => Kind::Time,
            Self::Wallclock { .. } => Kind::Wallclock,
            Self::Runstate(_) => Kind::Runstate,
            Self::ConsoleIn(_) => Kind::ConsoleIn,
            Self::XenstoreIn(_) => Kind::XenstoreIn,
            Self::Start { .. } => Kind::Start,
            Self::End(_) => Kind::End,
            Self::Tsc { .. } => Kind::Tsc,
            Self::Value { .. } => Kind::Value,
        }
    }

    /// The name that listings show, such as `event` or `console_in`.
    pub const fn kind_name(&self) -> &'static str {
        self.kind().name()
    }

    /// Whether this is a commit; otherwise it is a value.
    pub const fn is_commit(&self) -> bool {
        self.kind().is_commit()
    }
}

impl<'a> Record<'a> {
    /// The bytes that a ring record or a value carries, empty for all others.
    pub const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::ConsoleIn(ring) | Self::XenstoreIn(ring) => ring.bytes,
            Self::Value { bytes, .. } => bytes,
            _ => &[],
        }
    }
}

impl Item<'_> {
    /// The same item with other bytes, where its record carries any.
    pub const fn with_bytes<'b>(&self, bytes: &'b [u8]) -> Item<'b> {
        let record = match self.record {
            Record::Event { port } => Record::Event { port },
            Record::Time(time) => Record::Time(time),
            Record::Wallclock { sec, nsec } => Record::Wallclock { sec, nsec },
            Record::Runstate(runstate) => Record::Runstate(runstate),
            Record::ConsoleIn(ring) => Record::ConsoleIn(RingIn { bytes, ..ring }),
            Record::XenstoreIn(ring) => Record::XenstoreIn(RingIn { bytes, ..ring }),
            Record::Start {
                registers,
                memory,
                pages,
            } => Record::Start {
                registers,
                memory,
                pages,
            },
            Record::End(end) => Record::End(end),
            Record::Tsc { value } => Record::Tsc { value },
            Record::Value { kind, .. } => Record::Value { kind, bytes },
        };
        Item {
            sync: self.sync,
            witness: self.witness,
            record,
        }
    }
}
