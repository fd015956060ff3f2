//! The layout of the ring that Xen shares with dom0: one header page, then the data pages.
//!
//! The C side of it is `struct xenlr_ring` in Xen's public header `xenlr.h`. Both indices run
//! freely and count bytes; the place of a byte is its index modulo the size of the data area.

/// First word of the header page (`XENLR_RING_MAGIC`, "XRNG").
pub const MAGIC: u32 = 0x474e_5258;
/// Version of the layout (`XENLR_RING_VERSION`).
pub const VERSION: u32 = 1;
/// Bytes of one page; the data area begins this far behind the header.
pub const PAGE_BYTES: usize = 4096;
/// Fewest data pages.
pub const MIN_DATA_PAGES: u32 = 4;
/// Most data pages.
pub const MAX_DATA_PAGES: u32 = 4096;
/// Offset of the u32 magic.
pub const MAGIC_OFFSET: usize = 0;
/// Offset of the u32 version.
pub const VERSION_OFFSET: usize = 4;
/// Offset of the u32 size of the data area in bytes, a power of two.
pub const SIZE_OFFSET: usize = 8;
/// Offset of the u32 mode, see [`crate::control::Mode`].
pub const MODE_OFFSET: usize = 12;
/// Offset of the u64 producer index, on a cache line of its own.
pub const PROD_OFFSET: usize = 64;
/// Offset of the u64 consumer index, on a cache line of its own.
pub const CONS_OFFSET: usize = 128;
/// Offset of the u64 number of entries ever written below, on a cache line of its own.
pub const FOUND_OFFSET: usize = 192;
/// Replaying: places that took a search, each a u64 sync number and a u64 number of hits. The entry
/// *n* stands at *n* modulo [`FOUND_ENTRIES`].
pub const FOUND_ENTRIES_OFFSET: usize = 256;
/// How many of them there is room for.
pub const FOUND_ENTRIES: u64 = 128;
/// Hits from which on Xen tells them: what takes fewer is searched for as fast.
pub const FOUND_HITS: u64 = 64;
/// Bytes of the header's fields with their padding.
pub const HEADER_BYTES: usize = 2304;

/// Where the sync number of the entry `number` stands; its hits are the next word.
pub const fn found_offset(number: u64) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "below 128")]
    let slot = (number % FOUND_ENTRIES) as usize;
    FOUND_ENTRIES_OFFSET + 16 * slot
}
