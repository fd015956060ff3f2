//! The log in a file: header, images, chunks of wire bytes, trailer.
//!
//! # Terms
//! * *Frame*: the unit behind the header: five bytes of head, a payload, a checksum. Images,
//!   chunks and the trailer are frames.
//! * *Chunk*: a frame with a whole number of records, compressed where that makes it smaller.
//! * *Trailer*: the last frame of a finished log. A file without one was not finished: its writer
//!   was killed, or is still at work.
//! * *Torn tail*: the beginning of a frame that was being written when the writer died. It costs
//!   at most that frame; a writer that continues the file cuts it off first.
//! * *Damage*: anything else that is wrong. What stands before it is good; what follows cannot be
//!   trusted, since records are differences to the ones before.
//!
//! # The way of a chunk
//! 1. [`LogWriter::append`] takes wire bytes from the ring, checks that they are whole records
//!    that continue the log, compresses them, and writes one frame.
//! 2. [`LogWriter::sync`] makes it durable; only then may the ring's consumer index move.
//! 3. [`LogReader`] gives back the chunks, or item by item the records, one chunk in memory at a
//!    time, and says at the end in which state the file is ([`Integrity`]).
//! 4. [`LogWriter::reopen`] continues an unfinished file where its last whole chunk ends.
//!
//! `docs/format.md` describes every byte.

mod adaptive;
mod error;
mod far;
mod frame;
mod header;
mod history;
mod images;
mod owned;
mod pack;
mod range;
mod read;
mod scan;
mod write;

pub use error::LogError;
pub use header::{Domain, Header, Image, ImageFile, Setting};
pub use owned::OwnedItem;
pub use read::{Chunk, Integrity, Items, LogReader};
pub use write::{LogWriter, Recovery};

use crate::numbered::numbered;

/// The first bytes of a log file.
pub const MAGIC: [u8; 8] = *b"XENLRLOG";

/// The version of wire codec and file format that this crate writes.
pub const FORMAT_VERSION: u16 = 6;

/// The oldest version that it still reads.
pub const OLDEST_VERSION: u16 = 1;

/// The first version with adaptively coded chunks.
const FIRST_ADAPTIVE_VERSION: u16 = 2;

/// The first version with chunks that copy from far before.
const FIRST_FAR_VERSION: u16 = 6;

/// The most wire bytes in one chunk; [`LogWriter::append`] makes several where needed.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;

numbered! {
    /// Why a log was finished; with [`Closing::Ended`] the end record says more.
    Closing: u8 {
        /// The log has its end record.
        Ended = 1 "ended",
        /// The domain went away before its end record was read.
        Lost = 2 "lost",
        /// The reader gave the log up, for instance because the ring was bad.
        Abandoned = 3 "abandoned",
    }
}

/// What the last frame of a finished log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Sync number of the last record.
    pub sync: u64,
    /// Number of records.
    pub records: u64,
    /// Bytes of wire stream.
    pub wire_bytes: u64,
    /// Why the log was finished.
    pub closing: Closing,
}
