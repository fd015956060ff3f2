//! The kinds of records and their numbers.

use crate::numbered::numbered;

numbered! {
    /// The kind of a record. The numbers stand in the hypervisor's status (`want_kind`, where 0
    /// is none).
    Kind: u8 {
        /// Commit: an event channel becomes pending.
        Event = 1 "event",
        /// Commit: the time page.
        Time = 2 "time",
        /// Commit: the wallclock.
        Wallclock = 3 "wallclock",
        /// Commit: the runstate area.
        Runstate = 4 "runstate",
        /// Commit: the console ring.
        ConsoleIn = 5 "console_in",
        /// Commit: the xenstore ring.
        XenstoreIn = 6 "xenstore_in",
        /// Commit: digests of the start state.
        Start = 7 "start",
        /// Commit: the end of the log.
        End = 8 "end",
        /// Value: the answer to RDTSC.
        Tsc = 9 "tsc",
        /// Value: any other answer.
        Value = 10 "value",
    }
}

impl Kind {
    /// Whether records of this kind are commits; otherwise they are values.
    pub const fn is_commit(self) -> bool {
        !matches!(self, Self::Tsc | Self::Value)
    }
}
