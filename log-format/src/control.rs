//! Numbers of the control interface that the hypervisor and dom0 share (`xenlr.h`).

use crate::numbered::numbered;

numbered! {
    /// What is done to a domain (`XENLR_MODE_*`).
    Mode: u32 {
        /// Neither recorded nor replayed.
        Off = 0 "off",
        /// Recorded.
        Record = 1 "record",
        /// Replayed.
        Replay = 2 "replay",
    }
}

numbered! {
    /// Where a recording or a replay stands (`XENLR_STATE_*`).
    State: u32 {
        /// The guest runs.
        Running = 0 "running",
        /// The guest waits for dom0: the ring is full (record) or empty (replay).
        Waiting = 1 "waiting",
        /// The replay is paused at the sync number that was asked for.
        Until = 2 "until",
        /// The end record was written, or the replay reached it and is equal.
        Ended = 3 "ended",
        /// The replay differs from the log.
        Diverged = 4 "diverged",
        /// The log cannot go on: a bad ring index or a bad log.
        Failed = 5 "failed",
        /// Memory is being digested for the end record.
        Ending = 6 "ending",
        /// The log has ended and the guest runs on without one.
        Released = 7 "released",
    }
}

numbered! {
    /// What differed when a replay diverged (`diverge_kind` of the status).
    Divergence: u32 {
        /// The witness of a commit.
        Witness = 1 "witness",
        /// The kind of the next record.
        RecordKind = 2 "record kind",
        /// The sync number of the next record.
        SyncNumber = 3 "sync number",
        /// The registers at the end.
        EndRegisters = 4 "end registers",
        /// The memory at the end.
        EndMemory = 5 "end memory",
        /// The log ended and the guest did not.
        EndOfLog = 6 "end of log",
        /// The state that the guest started from.
        StartState = 7 "start state",
        /// The guest never came to the place of a forced commit.
        Place = 8 "place",
        /// At such a place, the memory.
        PlaceMemory = 9 "memory at a place",
    }
}

numbered! {
    /// Why a log cannot go on (`XENLR_ERR_*`).
    Failure: u32 {
        /// An index of the ring cannot be.
        RingIndex = 1 "impossible ring index",
        /// A record cannot be written, or the log to replay cannot be decoded.
        Log = 2 "unusable log",
        /// A recorded guest asked for more values within one hypercall than the ring had room for
        /// (`on_full=stop`).
        Full = 3 "full ring within a hypercall",
    }
}
