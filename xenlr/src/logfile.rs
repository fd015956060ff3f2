//! Opening log files, and what a whole file turns out to be.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use log_format::file::{Closing, Integrity, LogError, LogReader};
use log_format::{Decoder, End, Item, Record};

use crate::error::Error;
use crate::log_time::LogTime;

/// A reader of a file on disk.
pub type Reader = LogReader<BufReader<File>>;

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io {
                action,
                path,
                source,
            } => Self::io(format!("{action} {}", path.display()), source),
            LogError::Finished { .. } => Self::Refused(error.to_string()),
            other => Self::Log(other),
        }
    }
}

/// Opens a log file and reads its header.
pub fn open(path: &Path) -> Result<Reader, Error> {
    Ok(LogReader::open(path)?)
}

/// The facts of a log that only its records tell.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The last sync point of the guest that a record names.
    pub sync: u64,
    /// Number of records.
    pub records: u64,
    /// Bytes of wire stream.
    pub wire_bytes: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of the chunks in the file, with their framing.
    pub file_bytes: u64,
    /// Bytes of header and images in the file.
    pub preamble_bytes: u64,
    /// The end record.
    pub end: Option<End>,
    /// Guest time from the first known instant to the last.
    pub guest_ns: u64,
    /// The state of the file.
    pub integrity: Integrity,
    /// Why it was finished, if it was.
    pub closing: Option<Closing>,
}

/// Reads a log to its end, showing each record with its wire length and the guest's time.
pub fn scan(
    reader: &mut Reader,
    mut visit: impl FnMut(&Item<'_>, usize, Option<u64>),
) -> Result<Summary, Error> {
    read(reader, |item, length, guest_ns| {
        visit(item, length, guest_ns);
        true
    })
}

/// The same for as long as the visitor answers `true`. `None`: it did not want all of the log, of
/// which nothing is known then.
pub fn scan_while(
    reader: &mut Reader,
    mut visit: impl FnMut(&Item<'_>, usize, Option<u64>) -> bool,
) -> Result<Option<Summary>, Error> {
    let mut is_whole = true;
    let summary = read(reader, |item, length, guest_ns| {
        is_whole = visit(item, length, guest_ns);
        is_whole
    })?;
    Ok(is_whole.then_some(summary))
}

fn read(
    reader: &mut Reader,
    mut visit: impl FnMut(&Item<'_>, usize, Option<u64>) -> bool,
) -> Result<Summary, Error> {
    let mut decoder = Decoder::new();
    let mut clock = LogTime::default();
    let (mut sync, mut end) = (0, None);
    let (mut chunks, mut file_bytes, mut records) = (0, 0, 0);
    'chunks: while let Some(chunk) = reader.next_chunk()? {
        chunks += 1;
        file_bytes += chunk.file_bytes;
        let mut rest = chunk.wire;
        // The reader has decoded the chunk already: an error cannot come, and would end it.
        while let Ok((length, item)) = decoder.decode(rest) {
            records += 1;
            sync = item.reached();
            if let Record::End(e) = item.record {
                end = Some(e);
            }
            let guest_ns = clock.follow(&item);
            if !visit(&item, length, guest_ns) {
                break 'chunks;
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    Ok(Summary {
        sync,
        records,
        wire_bytes: reader.wire_offset(),
        chunks,
        file_bytes,
        preamble_bytes: reader.preamble_bytes(),
        end,
        guest_ns: clock.elapsed_ns(),
        integrity: reader.integrity(),
        closing: reader.trailer().map(|trailer| trailer.closing),
    })
}

/// The state of a file in words; `None` when it is whole and finished.
pub fn trouble(integrity: &Integrity) -> Option<String> {
    match integrity {
        Integrity::Complete => None,
        Integrity::Unfinished => Some(
            "the log has no trailer: it is still being written, or its writer was killed".into(),
        ),
        Integrity::Torn { offset, why } => Some(format!(
            "the log is torn at byte {offset} ({why}): what stands before it is whole"
        )),
        Integrity::Damaged { chunk, offset, why } => Some(format!(
            "the log is damaged in chunk {chunk} at byte {offset} ({why}): only what stands \
             before it can be read"
        )),
    }
}

/// The short name of a file's state.
pub fn integrity_name(integrity: &Integrity) -> &'static str {
    match integrity {
        Integrity::Complete => "complete",
        Integrity::Unfinished => "unfinished",
        Integrity::Torn { .. } => "torn",
        Integrity::Damaged { .. } => "damaged",
    }
}

/// What a log that was closed without its end record lacks, and why.
pub fn closing_text(closing: Closing) -> &'static str {
    match closing {
        Closing::Ended => "ended",
        Closing::Lost => "lost: the domain was gone before its end was logged",
        Closing::Abandoned => "abandoned: its reader could not go on",
    }
}

/// The state of a file in a line: what [`integrity_name`] says, and how the log was closed where
/// that is not by its end record.
pub fn state_text(summary: &Summary) -> String {
    let name = integrity_name(&summary.integrity);
    match (&summary.integrity, summary.closing) {
        (Integrity::Complete, Some(closing)) if closing != Closing::Ended => {
            format!("{name}, {}", closing_text(closing))
        }
        _ => name.to_owned(),
    }
}
