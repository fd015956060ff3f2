//! What can go wrong with a log file.

use std::io;
use std::path::PathBuf;

use crate::DecodeError;

/// An error about a log file. Each names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not begin with [`super::MAGIC`].
    #[error("{} is not a XenLR log: it does not begin with XENLRLOG", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The file has a version that this program does not know.
    #[error(
        "{} has log format version {found}, this program reads version {known}: use the xenlr that wrote it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// Our version.
        known: u16,
    },
    /// The header is torn or damaged, so nothing of the file can be read.
    #[error("the header of {} cannot be read ({why}): take the log from a backup or record anew", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An image that the header promises is not there or not whole.
    #[error("{image} of {} cannot be read ({why}): give the file itself instead", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// `kernel` or `ramdisk`.
        image: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A finished log cannot be continued.
    #[error("{} is finished and cannot be continued: begin a new file", path.display())]
    Finished {
        /// The file.
        path: PathBuf,
    },
    /// A damaged log cannot be continued.
    #[error(
        "{} is damaged at byte {offset} ({why}) and cannot be continued: move it away; the chunks before are readable",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first bad frame begins.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Bytes that are not whole records continuing the log were given to the writer.
    #[error(
        "the record at wire offset {wire_offset} cannot continue {}: {source}; the ring that it came from is not this log's or is broken",
        path.display()
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// Where in the wire stream the bad record begins.
        wire_offset: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A header that is too long to write.
    #[error("the header for {} has {bytes} bytes, at most {max} fit: shorten the domain's configuration", path.display())]
    HeaderTooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}
