//! Reading a log file, one chunk in memory at a time.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::adaptive::{MAX_ADAPTIVE_BYTES, Statistics};
use super::far;
use super::frame::{self, Marker, Place};
use super::header::{self, BadHeader};
use super::history::History;
use super::pack;
use super::scan::{Found, Frames, frame_bytes};
use super::{
    FIRST_ADAPTIVE_VERSION, FIRST_FAR_VERSION, FORMAT_VERSION, Header, LogError, MAX_CHUNK_BYTES,
    OwnedItem, Trailer,
};
use crate::{Decoder, Item};

/// The state of a file behind its last good chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// The file ends with its trailer.
    Complete,
    /// The file ends behind a whole chunk, without a trailer: its writer died or still writes.
    Unfinished,
    /// The file ends inside a frame that was being written.
    Torn {
        /// Where the unfinished frame begins, which is where the good part ends.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The file is wrong in its middle; nothing from there on can be trusted.
    Damaged {
        /// Number of the chunk that is damaged, or would have followed.
        chunk: u64,
        /// Where the bad frame begins, which is where the good part ends.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// Wire bytes of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Number of the chunk, from 0.
    pub number: u64,
    /// Where its frame begins in the file.
    pub file_offset: u64,
    /// Length of its frame.
    pub file_bytes: u64,
    /// Where its bytes begin in the wire stream.
    pub wire_offset: u64,
    /// The bytes: a whole number of records.
    pub wire: &'a [u8],
    /// How many records that is.
    pub records: u64,
    /// Sync number of the last record before the chunk.
    pub sync_before: u64,
}

/// The chunk that is in memory.
#[derive(Debug, Default)]
struct Loaded {
    number: u64,
    file_offset: u64,
    file_bytes: u64,
    wire_offset: u64,
    wire: Vec<u8>,
    records: u64,
    sync_before: u64,
    /// How much of it was given out as items.
    used: usize,
}

/// A log file that is being read.
///
/// Items and chunks come from the same position: asking for a chunk skips what is left of the
/// current one.
#[derive(Debug)]
pub struct LogReader<R> {
    pub(super) frames: Frames<R>,
    pub(super) header: Header,
    pub(super) version: u16,
    pub(super) header_bytes: u64,
    pub(super) first_chunk_offset: u64,
    chunks: u64,
    records: u64,
    sync_points: u64,
    /// Before the next item.
    item_decoder: Decoder,
    /// Behind the loaded chunk.
    decoder: Decoder,
    pub(super) history: History,
    pub(super) statistics: Statistics,
    loaded: Loaded,
    trailer: Option<Trailer>,
    pub(super) fault: Option<Integrity>,
}

impl LogReader<BufReader<File>> {
    /// Opens a log file and reads its header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LogError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| LogError::Io {
            action: "open",
            path: path.into(),
            source,
        })?;
        Self::new(BufReader::with_capacity(1 << 16, file), path)
    }
}

impl<R: Read + Seek> LogReader<R> {
    /// Reads the header of a log; `path` is for messages only.
    pub fn new(mut input: R, path: impl Into<PathBuf>) -> Result<Self, LogError> {
        let path = path.into();
        let read = header::read(&mut input).map_err(|bad| match bad {
            BadHeader::Io(source) => LogError::Io {
                action: "read",
                path: path.clone(),
                source,
            },
            BadHeader::Magic => LogError::NotALog { path: path.clone() },
            BadHeader::Version(found) => LogError::Version {
                path: path.clone(),
                found,
                known: FORMAT_VERSION,
            },
            BadHeader::Other(why) => LogError::Header {
                path: path.clone(),
                why,
            },
        })?;
        let mut reader = Self {
            frames: Frames::new(input, path, read.bytes, read.crc),
            header: read.header,
            version: read.version,
            header_bytes: read.bytes,
            first_chunk_offset: read.bytes,
            chunks: 0,
            records: 0,
            sync_points: 0,
            item_decoder: Decoder::new(),
            decoder: Decoder::new(),
            history: History::new(read.version),
            statistics: Statistics::default(),
            loaded: Loaded::default(),
            trailer: None,
            fault: None,
        };
        reader.skip_images()?;
        Ok(reader)
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The version of the file's format.
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// The file's name, as it was given.
    pub fn path(&self) -> &Path {
        &self.frames.path
    }

    /// Bytes of header and images, before the first chunk.
    pub fn preamble_bytes(&self) -> u64 {
        self.first_chunk_offset
    }

    /// Where the good part that was read so far ends in the file.
    pub fn file_offset(&self) -> u64 {
        self.frames.offset
    }

    /// Wire bytes in the chunks read so far.
    pub fn wire_offset(&self) -> u64 {
        self.frames.place.wire_offset
    }

    /// Records in the chunks read so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Sync number of the last record in the chunks read so far.
    pub fn last_sync(&self) -> u64 {
        self.frames.place.sync
    }

    /// The sync point that the guest had reached with the last record of the chunks read so far.
    pub fn sync_points(&self) -> u64 {
        self.sync_points
    }

    /// The decoder as it stands behind the chunks read so far.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The trailer, once everything was read and if there is one.
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }

    /// The state of the file, as far as it was read: ask once the chunks or items are used up.
    pub fn integrity(&self) -> Integrity {
        match &self.fault {
            Some(fault) => fault.clone(),
            None if self.trailer.is_some() => Integrity::Complete,
            None => Integrity::Unfinished,
        }
    }

    /// The next chunk, or nothing behind the last good one: [`Self::integrity`] says why.
    /// A file that is still being written may be asked again later, a torn one too.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, LogError> {
        if !self.load()? {
            return Ok(None);
        }
        self.loaded.used = self.loaded.wire.len();
        self.item_decoder = self.decoder;
        let loaded = &self.loaded;
        Ok(Some(Chunk {
            number: loaded.number,
            file_offset: loaded.file_offset,
            file_bytes: loaded.file_bytes,
            wire_offset: loaded.wire_offset,
            wire: &loaded.wire,
            records: loaded.records,
            sync_before: loaded.sync_before,
        }))
    }

    /// The next item, or nothing behind the last one of the last good chunk.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, LogError> {
        if self.loaded.used >= self.loaded.wire.len() && !self.load()? {
            return Ok(None);
        }
        let rest = self.loaded.wire.get(self.loaded.used..).unwrap_or_default();
        // A chunk is decoded once when it is loaded, so this cannot fail.
        Ok(self.item_decoder.decode(rest).ok().map(|(length, item)| {
            self.loaded.used += length;
            item
        }))
    }

    /// The items that are left, each with its own bytes.
    pub fn items(&mut self) -> Items<'_, R> {
        Items(self)
    }

    /// The place of the next frame.
    pub(super) const fn place(&self) -> Place {
        self.frames.place
    }

    /// Reads, checks and unpacks the next chunk, or the trailer.
    fn load(&mut self) -> Result<bool, LogError> {
        // A torn tail may be a frame that is being written just now: look again.
        let is_final = match &self.fault {
            Some(fault) => !matches!(fault, Integrity::Torn { .. }),
            None => self.trailer.is_some(),
        };
        if is_final {
            return Ok(false);
        }
        self.fault = None;
        let (marker, payload) = match self.frames.read()? {
            Found::Frame(marker, payload) => (marker, payload),
            other => {
                self.fault = self.fault_of(&other);
                return Ok(false);
            }
        };
        let result = match marker {
            Marker::Raw => self.take_other_chunk(payload.len(), payload),
            Marker::Packed => pack::unpack(&self.history.near(), &payload)
                .and_then(|wire| self.take_other_chunk(payload.len(), wire)),
            Marker::Far if self.version < FIRST_FAR_VERSION => Err(self.unknown_chunk()),
            Marker::Far => pack::unpack(&self.history.near(), &payload)
                .and_then(|bytes| far::restore(&self.history, &bytes))
                .and_then(|wire| self.take_chunk(payload.len(), wire)),
            Marker::Adaptive if self.version < FIRST_ADAPTIVE_VERSION => Err(self.unknown_chunk()),
            Marker::Adaptive => self
                .statistics
                .unpack(self.decoder, &payload)
                .and_then(|wire| self.take_chunk(payload.len(), wire)),
            Marker::Trailer => return self.take_trailer(&payload).map(|()| false),
            Marker::Kernel | Marker::Ramdisk => Err("an image stands among the chunks".into()),
        };
        if let Err(why) = result {
            self.fault = Some(self.damage(why));
            return Ok(false);
        }
        Ok(true)
    }

    /// A chunk that was not coded adaptively, though it might have been; the statistics learn from it
    /// nevertheless.
    fn take_other_chunk(&mut self, payload_bytes: usize, wire: Vec<u8>) -> Result<(), String> {
        let before = self.decoder;
        self.take_chunk(payload_bytes, wire)?;
        if self.version >= FIRST_ADAPTIVE_VERSION && self.loaded.wire.len() <= MAX_ADAPTIVE_BYTES {
            self.statistics.learn(before, &self.loaded.wire);
        }
        Ok(())
    }

    fn take_chunk(&mut self, payload_bytes: usize, wire: Vec<u8>) -> Result<(), String> {
        if wire.is_empty() || wire.len() > MAX_CHUNK_BYTES {
            return Err(format!("a chunk has {} bytes", wire.len()));
        }
        let mut decoder = self.decoder;
        let (mut records, mut sync_points) = (0, self.sync_points);
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            let (length, item) = decoder
                .decode(rest)
                .map_err(|error| format!("record {} of a chunk: {error}", records + 1))?;
            rest = rest.get(length..).unwrap_or_default();
            records += 1;
            sync_points = item.reached();
        }
        self.item_decoder = self.decoder;
        self.decoder = decoder;
        self.history.push(&wire);
        self.loaded = Loaded {
            number: self.chunks,
            file_offset: self.frames.offset,
            file_bytes: frame_bytes(payload_bytes),
            wire_offset: self.frames.place.wire_offset,
            records,
            sync_before: self.frames.place.sync,
            used: 0,
            wire,
        };
        self.frames.pass(payload_bytes);
        self.chunks += 1;
        self.records += records;
        self.sync_points = sync_points;
        self.frames.place.wire_offset += self.loaded.wire.len() as u64;
        self.frames.place.sync = decoder.sync();
        Ok(())
    }

    fn take_trailer(&mut self, payload: &[u8]) -> Result<(), LogError> {
        let trailer = frame::read_trailer(payload).filter(|trailer| {
            trailer.sync == self.frames.place.sync
                && trailer.records == self.records
                && trailer.wire_bytes == self.frames.place.wire_offset
        });
        if trailer.is_none() {
            self.fault = Some(self.damage("the trailer does not fit the chunks".into()));
            return Ok(());
        }
        self.frames.pass(payload.len());
        self.trailer = trailer;
        if !self.frames.is_at_end()? {
            self.fault = Some(self.damage("bytes follow the trailer".into()));
        }
        Ok(())
    }

    pub(super) fn fault_of(&self, found: &Found) -> Option<Integrity> {
        match found {
            Found::Frame(..) | Found::End => None,
            Found::Torn(why) => Some(Integrity::Torn {
                offset: self.frames.offset,
                why: why.clone(),
            }),
            Found::Damaged(why) => Some(self.damage(why.clone())),
        }
    }

    fn unknown_chunk(&self) -> String {
        format!(
            "a chunk of a kind that version {} does not have",
            self.version
        )
    }

    fn damage(&self, why: String) -> Integrity {
        Integrity::Damaged {
            chunk: self.chunks,
            offset: self.frames.offset,
            why,
        }
    }
}

/// Iterator over the items of a log, see [`LogReader::items`].
#[derive(Debug)]
pub struct Items<'a, R>(&'a mut LogReader<R>);

impl<R: Read + Seek> Iterator for Items<'_, R> {
    type Item = Result<OwnedItem, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0
            .next_item()
            .map(|item| item.map(Into::into))
            .transpose()
    }
}
