//! Reading frame by frame, with the verdict on whatever is not a good frame.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::LogError;
use super::frame::{self, CRC_BYTES, HEAD_BYTES, Marker, Place};

/// What stands where a frame should begin.
pub(super) enum Found {
    /// A good frame.
    Frame(Marker, Vec<u8>),
    /// The end of the file, at the end of a frame.
    End,
    /// The end of the file, within a frame.
    Torn(String),
    /// Something else.
    Damaged(String),
}

/// A position in a file of frames.
#[derive(Debug)]
pub(super) struct Frames<R> {
    input: R,
    pub(super) path: PathBuf,
    /// Where the next frame begins.
    pub(super) offset: u64,
    pub(super) place: Place,
    /// Where the input stands, so that reading on needs no seek.
    position: u64,
    /// Length of the file when it was last asked for.
    length: u64,
}

impl<R: Read + Seek> Frames<R> {
    /// Frames of `input`, which stands at `offset`.
    pub(super) fn new(input: R, path: PathBuf, offset: u64, header_crc: u32) -> Self {
        Self {
            input,
            path,
            offset,
            place: Place::first(header_crc),
            position: offset,
            length: 0,
        }
    }

    /// Reads the next frame, without moving behind it: see [`Self::pass`].
    pub(super) fn read(&mut self) -> Result<Found, LogError> {
        let torn = |why: &str| Ok(Found::Torn(why.into()));
        let left = self.left(HEAD_BYTES as u64)?;
        if left == 0 {
            return Ok(Found::End);
        }
        let head = self.read_at(self.offset, HEAD_BYTES)?;
        let Ok(head) = <[u8; HEAD_BYTES]>::try_from(head.as_slice()) else {
            return torn("the file ends inside the head of a frame");
        };
        let Some((marker, length)) = frame::read_head(&head) else {
            return if self.is_zero_to_end()? {
                torn("the file ends with zeros where a frame should be")
            } else {
                Ok(Found::Damaged("no frame begins here".into()))
            };
        };
        let frame_bytes = frame_bytes(length);
        let left = self.left(frame_bytes)?;
        if frame_bytes > left {
            return torn("the file ends inside a frame");
        }
        let mut payload = self.read_at(self.offset + HEAD_BYTES as u64, length + CRC_BYTES)?;
        let Some((_, &sum)) = payload.split_last_chunk::<CRC_BYTES>() else {
            return torn("the file became shorter");
        };
        payload.truncate(length);
        if self.place.crc(&head, &payload) == u32::from_le_bytes(sum) {
            Ok(Found::Frame(marker, payload))
        } else if frame_bytes == left {
            torn("the checksum of the last frame does not match")
        } else {
            Ok(Found::Damaged(
                "the checksum of a frame does not match".into(),
            ))
        }
    }

    /// The marker of the next frame, if its head is whole and good.
    pub(super) fn peek(&mut self) -> Result<Option<Marker>, LogError> {
        let head = self.read_at(self.offset, HEAD_BYTES)?;
        Ok(<[u8; HEAD_BYTES]>::try_from(head.as_slice())
            .ok()
            .and_then(|head| frame::read_head(&head))
            .map(|(marker, _)| marker))
    }

    /// Moves behind a frame that was read and is good.
    pub(super) fn pass(&mut self, payload_bytes: usize) {
        self.offset += frame_bytes(payload_bytes);
        self.place.sequence += 1;
    }

    /// Whether the file ends here.
    pub(super) fn is_at_end(&mut self) -> Result<bool, LogError> {
        Ok(self.left(1)? == 0)
    }

    /// Bytes between the position and the end of the file; exact unless there are more than
    /// `enough`, since the file may be growing.
    fn left(&mut self, enough: u64) -> Result<u64, LogError> {
        if self.length.saturating_sub(self.offset) <= enough {
            self.length = match self.input.seek(SeekFrom::End(0)) {
                Ok(length) => length,
                Err(source) => return Err(self.io(source)),
            };
            self.position = self.length;
        }
        Ok(self.length.saturating_sub(self.offset))
    }

    fn is_zero_to_end(&mut self) -> Result<bool, LogError> {
        let mut offset = self.offset;
        loop {
            let bytes = self.read_at(offset, 1 << 16)?;
            if bytes.is_empty() {
                return Ok(true);
            }
            if bytes.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            offset += bytes.len() as u64;
        }
    }

    /// Up to `count` bytes at an offset, fewer at the end of the file.
    fn read_at(&mut self, offset: u64, count: usize) -> Result<Vec<u8>, LogError> {
        let mut bytes = Vec::with_capacity(count);
        let mut read = || {
            if self.position != offset {
                self.input.seek(SeekFrom::Start(offset))?;
            }
            self.input
                .by_ref()
                .take(count as u64)
                .read_to_end(&mut bytes)
        };
        match read() {
            Ok(_) => {
                self.position = offset + bytes.len() as u64;
                Ok(bytes)
            }
            Err(source) => {
                self.position = u64::MAX;
                Err(self.io(source))
            }
        }
    }

    fn io(&self, source: io::Error) -> LogError {
        LogError::Io {
            action: "read",
            path: self.path.clone(),
            source,
        }
    }
}

/// Bytes of a frame with such a payload.
pub(super) const fn frame_bytes(payload_bytes: usize) -> u64 {
    (HEAD_BYTES + payload_bytes + CRC_BYTES) as u64
}
