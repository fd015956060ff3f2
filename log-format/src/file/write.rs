//! Writing a log file: create, append, make durable, finish, and continue after a crash.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::adaptive::{MAX_ADAPTIVE_BYTES, Statistics};
use super::far::{self, Finder};
use super::frame::{self, Marker, Place};
use super::header::{self, MAX_HEADER_BYTES};
use super::history::History;
use super::images::image_marker;
use super::pack::{self, MAX_UNPACKED_BYTES};
use super::{
    Closing, FIRST_ADAPTIVE_VERSION, FIRST_FAR_VERSION, FORMAT_VERSION, Header, Image, Integrity,
    LogError, LogReader, MAX_CHUNK_BYTES, Trailer,
};
use crate::{Decoder, Record};

/// Only root reads what entered a guest.
const FILE_MODE: u32 = 0o600;

/// What was found when a file was continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Wire bytes that the file holds: the ring's consumer index continues here.
    pub wire_offset: u64,
    /// Sync number of the last record.
    pub last_sync: u64,
    /// Records that the file holds.
    pub records: u64,
    /// Bytes of a torn tail that were cut off.
    pub cut_bytes: u64,
    /// What was wrong with the tail, if there was one.
    pub torn: Option<String>,
}

/// A log file that is being written.
///
/// An append that fails leaves the file with its whole chunks: it may be tried again, from
/// [`Self::wire_offset`] on.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
    path: PathBuf,
    /// Where the next frame goes.
    length: u64,
    /// A write failed, so there may be bytes behind `length`.
    has_stray_tail: bool,
    place: Place,
    records: u64,
    sync_points: u64,
    decoder: Decoder,
    history: History,
    finder: Finder,
    statistics: Statistics,
    /// A chunk that could not be written.
    unwritten: Option<Chunk>,
    /// A file of an older version is continued as such.
    version: u16,
}

impl LogWriter {
    /// Creates a new file with its header and the images that it is to carry, and makes them
    /// durable. The file must not exist.
    pub fn create(
        path: impl AsRef<Path>,
        header: &Header,
        images: &[(Image, &[u8])],
    ) -> Result<Self, LogError> {
        let path = path.as_ref().to_path_buf();
        let (bytes, header_crc) =
            header::to_bytes(header).map_err(|bytes| LogError::HeaderTooLong {
                path: path.clone(),
                bytes,
                max: MAX_HEADER_BYTES,
            })?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(|source| LogError::Io {
                action: "create",
                path: path.clone(),
                source,
            })?;
        let mut writer = Self {
            file,
            path,
            length: 0,
            has_stray_tail: false,
            place: Place::first(header_crc),
            records: 0,
            sync_points: 0,
            decoder: Decoder::new(),
            history: History::new(FORMAT_VERSION),
            finder: Finder::default(),
            statistics: Statistics::default(),
            unwritten: None,
            version: FORMAT_VERSION,
        };
        writer.write(&bytes)?;
        for (image, bytes) in images {
            for piece in bytes.chunks(MAX_UNPACKED_BYTES) {
                let packed = pack::pack(pack::IMAGE_LEVEL, &[], piece).ok_or_else(|| {
                    writer.io("compress an image for", io::ErrorKind::OutOfMemory.into())
                })?;
                writer.write_frame(image_marker(*image), &packed)?;
            }
        }
        writer.sync()?;
        writer.sync_directory()?;
        Ok(writer)
    }

    /// Opens an unfinished file to continue it, and cuts off a torn tail.
    pub fn reopen(path: impl AsRef<Path>) -> Result<(Self, Recovery), LogError> {
        let path = path.as_ref().to_path_buf();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| LogError::Io {
                action: "open",
                path: path.clone(),
                source,
            })?;
        let mut reader = LogReader::open(&path)?;
        while reader.next_chunk()?.is_some() {}
        let torn = match reader.integrity() {
            Integrity::Unfinished => None,
            Integrity::Torn { why, .. } => Some(why),
            Integrity::Complete => return Err(LogError::Finished { path }),
            Integrity::Damaged { offset, why, .. } => {
                return Err(LogError::Damaged { path, offset, why });
            }
        };
        let mut writer = Self {
            file,
            path,
            length: reader.file_offset(),
            has_stray_tail: torn.is_some(),
            place: reader.place(),
            records: reader.records(),
            sync_points: reader.sync_points(),
            decoder: *reader.decoder(),
            history: reader.history,
            finder: Finder::default(),
            version: reader.version,
            statistics: reader.statistics,
            unwritten: None,
        };
        let metadata = writer.file.metadata();
        let whole = metadata.map_err(|error| writer.io("look at", error))?.len();
        writer.cut_stray_tail()?;
        writer.sync()?;
        let recovery = Recovery {
            wire_offset: writer.place.wire_offset,
            last_sync: writer.place.sync,
            records: writer.records,
            cut_bytes: whole.saturating_sub(writer.length),
            torn,
        };
        Ok((writer, recovery))
    }

    /// Appends wire bytes that continue the log and end with a whole record. They are written,
    /// but not durable before [`Self::sync`]. Returns how many records they are.
    ///
    /// If a record is wrong, nothing of them is written; if writing fails, the chunks written before
    /// it (each at most [`MAX_CHUNK_BYTES`]) stay, as [`Self::wire_offset`] says.
    pub fn append(&mut self, wire: &[u8]) -> Result<u64, LogError> {
        let before = self.records;
        let mut rest = wire;
        if let Some(failed) = &self.unwritten {
            if let Some(behind) = wire.strip_prefix(failed.wire.as_slice()) {
                rest = behind;
                self.write_out()?;
            } else {
                // Other bytes than those that were learnt from.
                *self = Self::reopen(&self.path)?.0;
            }
        }
        for part in self.split(rest)? {
            let (bytes, behind) = rest.split_at_checked(part.bytes).unwrap_or((rest, &[]));
            rest = behind;
            self.unwritten = Some(self.encode(part, bytes));
            self.write_out()?;
        }
        Ok(self.records - before)
    }

    /// Writes the chunk that is not written yet.
    fn write_out(&mut self) -> Result<(), LogError> {
        let Some(chunk) = self.unwritten.take() else {
            return Ok(());
        };
        if let Err(error) = self.write_frame(chunk.marker, &chunk.payload) {
            self.unwritten = Some(chunk);
            return Err(error);
        }
        self.history.push(&chunk.wire);
        self.place.wire_offset += chunk.wire.len() as u64;
        self.place.sync = chunk.part.decoder.sync();
        self.records += chunk.part.records;
        self.sync_points = chunk.part.sync_points;
        self.decoder = chunk.part.decoder;
        Ok(())
    }

    /// Makes everything written so far durable (`fdatasync`).
    pub fn sync(&self) -> Result<(), LogError> {
        self.file
            .sync_data()
            .map_err(|error| self.io("make durable", error))
    }

    /// Writes the trailer and makes the file durable: the log is finished.
    pub fn finish(mut self, closing: Closing) -> Result<Trailer, LogError> {
        let trailer = Trailer {
            sync: self.place.sync,
            records: self.records,
            wire_bytes: self.place.wire_offset,
            closing,
        };
        self.write_frame(Marker::Trailer, &frame::trailer_payload(&trailer))?;
        self.sync()?;
        Ok(trailer)
    }

    /// Wire bytes written so far: where in the ring's stream the next append begins.
    pub const fn wire_offset(&self) -> u64 {
        self.place.wire_offset
    }

    /// Sync number of the last record.
    pub const fn last_sync(&self) -> u64 {
        self.place.sync
    }

    /// The sync point that the guest had reached with the last record.
    pub const fn sync_points(&self) -> u64 {
        self.sync_points
    }

    /// Records written so far.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Length of the file.
    pub const fn file_bytes(&self) -> u64 {
        self.length
    }

    /// The decoder as it stands behind the last record.
    pub const fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Whether the end record was written, so that the log can be finished.
    pub fn is_ended(&self) -> bool {
        self.decoder.is_ended()
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Decodes `wire` and finds where to part it into chunks.
    fn split(&self, wire: &[u8]) -> Result<Vec<Part>, LogError> {
        let empty = Part {
            bytes: 0,
            page_bytes: 0,
            records: 0,
            sync_points: self.sync_points,
            decoder: self.decoder,
        };
        let mut parts = Vec::new();
        let mut part = empty;
        let mut used = 0;
        while let Some(rest) = wire.get(used..).filter(|rest| !rest.is_empty()) {
            let (length, item) = part
                .decoder
                .decode(rest)
                .map_err(|source| LogError::Record {
                    path: self.path.clone(),
                    wire_offset: self.place.wire_offset + used as u64,
                    source,
                })?;
            used += length;
            part.bytes += length;
            if let Record::Page(page) = item.record {
                part.page_bytes += page.bytes.len();
            }
            part.records += 1;
            part.sync_points = item.reached();
            if part.bytes + crate::MAX_RECORD_BYTES > MAX_CHUNK_BYTES {
                parts.push(part);
                part.bytes = 0;
                part.page_bytes = 0;
                part.records = 0;
            }
        }
        if part.bytes != 0 {
            parts.push(part);
        }
        Ok(parts)
    }

    /// The chunk in the form that is smallest, as far as it is worth the effort to find out.
    fn encode(&mut self, part: Part, wire: &[u8]) -> Chunk {
        let may_be_far = self.version >= FIRST_FAR_VERSION;
        let is_small = wire.len() <= MAX_ADAPTIVE_BYTES;
        // Pages are nothing to learn from, and it would take long.
        if may_be_far
            && is_small
            && part.page_bytes > wire.len() / 2
            && let Some(payload) = self.encode_pages(wire)
        {
            return Chunk {
                part,
                marker: Marker::Far,
                payload,
                wire: wire.to_vec(),
            };
        }
        let mut marker = Marker::Raw;
        let mut payload = wire.to_vec();
        let mut consider = |other: Marker, bytes: Option<Vec<u8>>| {
            if let Some(bytes) = bytes.filter(|bytes| bytes.len() < payload.len()) {
                marker = other;
                payload = bytes;
            }
            payload.len()
        };
        if is_small && self.version >= FIRST_ADAPTIVE_VERSION {
            consider(Marker::Adaptive, self.statistics.pack(self.decoder, wire));
        }
        // What the statistics make little of may repeat something that is longer ago.
        if consider(Marker::Raw, None) > wire.len() / 2 {
            let near = self.history.near();
            let offset = self.place.wire_offset;
            let reduced = if may_be_far && !is_small {
                self.finder.reduce(&self.history, offset, wire)
            } else {
                None
            };
            if let Some(reduced) = &reduced {
                let packed = pack::pack(pack::CHUNK_LEVEL, &near, &reduced.bytes);
                consider(Marker::Far, packed);
            }
            // What copies little may be better off without.
            if reduced.is_none_or(|reduced| reduced.copied < wire.len() / 2) {
                let packed = pack::pack(pack::CHUNK_LEVEL, &near, wire);
                consider(Marker::Packed, packed);
            }
        }
        Chunk {
            part,
            marker,
            payload,
            wire: wire.to_vec(),
        }
    }

    /// A small chunk of pages, from which the statistics do not learn.
    fn encode_pages(&mut self, wire: &[u8]) -> Option<Vec<u8>> {
        let offset = self.place.wire_offset;
        let reduced = self.finder.reduce(&self.history, offset, wire);
        let bytes = match reduced {
            Some(reduced) => reduced.bytes,
            None => far::whole(wire),
        };
        pack::pack(pack::CHUNK_LEVEL, &self.history.near(), &bytes)
    }

    fn write_frame(&mut self, marker: Marker, payload: &[u8]) -> Result<(), LogError> {
        let bytes = frame::to_bytes(&self.place, marker, payload);
        self.write(&bytes)?;
        self.place.sequence += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        self.cut_stray_tail()?;
        if let Err(error) = self.file.write_all_at(bytes, self.length) {
            // Readers need not see the part that was written; if even that fails, the next
            // append tries again.
            self.has_stray_tail = true;
            let _ = self.cut_stray_tail();
            return Err(self.io("write to", error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn cut_stray_tail(&mut self) -> Result<(), LogError> {
        if self.has_stray_tail {
            self.file
                .set_len(self.length)
                .map_err(|error| self.io("shorten", error))?;
            self.has_stray_tail = false;
        }
        Ok(())
    }

    /// Makes the file's name durable.
    fn sync_directory(&self) -> Result<(), LogError> {
        let parent = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.io("make durable the directory of", error))
    }

    fn io(&self, action: &'static str, source: io::Error) -> LogError {
        LogError::Io {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

/// A chunk as it goes into the file.
#[derive(Debug)]
struct Chunk {
    part: Part,
    marker: Marker,
    payload: Vec<u8>,
    wire: Vec<u8>,
}

/// Whole records that become one chunk.
#[derive(Clone, Copy, Debug)]
struct Part {
    bytes: usize,
    /// How many of them backends wrote to pages.
    page_bytes: usize,
    records: u64,
    /// What the guest had reached with the last of them.
    sync_points: u64,
    /// Behind the last of them.
    decoder: Decoder,
}
