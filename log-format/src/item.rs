//! The records of a log, as they are handed in and as a reader gets them back.

use crate::Record;

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
            Record::End(end) if end.reason.is_by_guest() => self.sync.saturating_sub(1),
            _ => self.sync,
        }
    }

    /// The same item with other bytes, where its record carries any.
    pub const fn with_bytes<'b>(&self, bytes: &'b [u8]) -> Item<'b> {
        Item {
            sync: self.sync,
            witness: self.witness,
            record: self.record.with_bytes(bytes),
        }
    }
}

impl Record<'_> {
    /// The name that listings show, such as `event` or `console_in`.
    pub const fn kind_name(&self) -> &'static str {
        self.kind().name()
    }

    /// Whether this is a commit; otherwise it is a value.
    pub const fn is_commit(&self) -> bool {
        self.kind().is_commit()
    }
}
