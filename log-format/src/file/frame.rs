//! Frames: the head that says how long a frame is, and the checksum that ties it to its place.
//!
//! ```text
//! 0      marker
//! 1..4   length of the payload, little-endian
//! 4      check: exclusive or of the four bytes before and 0x5a
//! 5..    payload
//! last 4 CRC-32C, little-endian
//! ```
//!
//! The checksum covers the frame's place too ([`Place`]), which is not written: a frame that is
//! missing, doubled or from another file is noticed although no number in it says so.

use crate::MAX_RECORD_BYTES;
use crate::varint::{In, Out};

use super::{Closing, Trailer};

pub(super) const HEAD_BYTES: usize = 5;
pub(super) const CRC_BYTES: usize = 4;
/// The most payload bytes that the length field can say.
pub(super) const MAX_PAYLOAD_BYTES: usize = (1 << 24) - 1;

const CHECK: u8 = 0x5a;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Marker {
    /// A piece of the kernel, zstd.
    Kernel = b'K',
    /// A piece of the ramdisk, zstd.
    Ramdisk = b'D',
    /// Wire bytes as they are.
    Raw = b'R',
    /// Wire bytes, zstd.
    Packed = b'Z',
    /// Wire bytes without what [`super::far`] copies, zstd.
    Far = b'L',
    /// Wire bytes, coded by [`super::adaptive`].
    Adaptive = b'M',
    /// The trailer.
    Trailer = b'T',
}

impl Marker {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            b'K' => Self::Kernel,
            b'D' => Self::Ramdisk,
            b'R' => Self::Raw,
            b'Z' => Self::Packed,
            b'L' => Self::Far,
            b'M' => Self::Adaptive,
            b'T' => Self::Trailer,
            _ => return None,
        })
    }
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Checksum of the file's header.
    pub(super) header_crc: u32,
    /// Number of the frame in the file.
    pub(super) sequence: u64,
    /// Wire bytes before it.
    pub(super) wire_offset: u64,
    /// Sync number of the last record before it.
    pub(super) sync: u64,
}

impl Place {
    /// The place behind the header.
    pub(super) const fn first(header_crc: u32) -> Self {
        Self {
            header_crc,
            sequence: 0,
            wire_offset: 0,
            sync: 0,
        }
    }

    pub(super) fn crc(&self, head: &[u8], payload: &[u8]) -> u32 {
        let mut bytes = [0; 28];
        let numbers = self
            .header_crc
            .to_le_bytes()
            .into_iter()
            .chain(self.sequence.to_le_bytes())
            .chain(self.wire_offset.to_le_bytes())
            .chain(self.sync.to_le_bytes());
        for (place, byte) in bytes.iter_mut().zip(numbers) {
            *place = byte;
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), head);
        crc32c::crc32c_append(crc, payload)
    }
}

/// A whole frame. `payload` is at most [`MAX_PAYLOAD_BYTES`].
pub(super) fn to_bytes(place: &Place, marker: Marker, payload: &[u8]) -> Vec<u8> {
    debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
    let [l0, l1, l2, ..] = payload.len().to_le_bytes();
    let marker = marker as u8;
    let head = [marker, l0, l1, l2, marker ^ l0 ^ l1 ^ l2 ^ CHECK];
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len() + CRC_BYTES);
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&place.crc(&head, payload).to_le_bytes());
    bytes
}

/// Marker and payload length of a head, if its check is right.
pub(super) fn read_head(head: &[u8; HEAD_BYTES]) -> Option<(Marker, usize)> {
    let &[marker, l0, l1, l2, check] = head;
    if marker ^ l0 ^ l1 ^ l2 ^ CHECK != check {
        return None;
    }
    let length = u32::from_le_bytes([l0, l1, l2, 0]) as usize;
    Marker::from_byte(marker).map(|marker| (marker, length))
}

/// The trailer's payload.
pub(super) fn trailer_payload(trailer: &Trailer) -> Vec<u8> {
    let mut buffer = [0; MAX_RECORD_BYTES];
    let mut out = Out::new(&mut buffer);
    out.byte(trailer.closing.number());
    out.varint(trailer.sync);
    out.varint(trailer.records);
    out.varint(trailer.wire_bytes);
    let used = out.used();
    buffer.get(..used).unwrap_or_default().to_vec()
}

/// The trailer of a payload, if it is one.
pub(super) fn read_trailer(payload: &[u8]) -> Option<Trailer> {
    let mut input = In::new(payload);
    let trailer = Trailer {
        closing: Closing::from_number(input.byte().ok()?)?,
        sync: input.varint().ok()?,
        records: input.varint().ok()?,
        wire_bytes: input.varint().ok()?,
    };
    (input.used() == payload.len()).then_some(trailer)
}
