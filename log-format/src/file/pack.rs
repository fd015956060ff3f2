//! Compression of chunks and images.
//!
//! A chunk is compressed with the wire bytes before it as a prefix, so that small chunks cost
//! little more than one large one. The four constant bytes that begin every zstd frame are left
//! out of the file.

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

/// The most bytes that one frame unpacks to.
pub(super) const MAX_UNPACKED_BYTES: usize = 8 << 20;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// For chunks: fast enough for a ring that fills at full speed; higher levels gain little on wire
/// bytes.
pub(super) const CHUNK_LEVEL: i32 = 9;
/// For images, which a domain waits for before it begins: a fifth of the work of level 9, and a
/// few per cent more bytes.
pub(super) const IMAGE_LEVEL: i32 = 3;

/// `raw` compressed; nothing if zstd fails, which only a lack of memory makes it do.
pub(super) fn pack(level: i32, prefix: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(raw.len()));
    let mut context = CCtx::try_create()?;
    context
        .set_parameter(CParameter::CompressionLevel(level))
        .ok()?;
    context.ref_prefix(prefix).ok()?;
    context.compress2(&mut packed, raw).ok()?;
    packed.strip_prefix(&ZSTD_MAGIC).map(<[u8]>::to_vec)
}

/// The inverse of [`pack`].
pub(super) fn unpack(prefix: &[u8], packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut frame = Vec::with_capacity(ZSTD_MAGIC.len() + packed.len());
    frame.extend_from_slice(&ZSTD_MAGIC);
    frame.extend_from_slice(packed);
    let size = match zstd_safe::get_frame_content_size(&frame) {
        Ok(Some(size)) if size <= MAX_UNPACKED_BYTES as u64 => size as usize,
        _ => return Err("its compressed length is not as expected".into()),
    };
    let failed = |code| {
        format!(
            "it cannot be uncompressed: {}",
            zstd_safe::get_error_name(code)
        )
    };
    let mut raw = Vec::with_capacity(size);
    let mut context = DCtx::try_create().ok_or("no memory to uncompress it")?;
    context.ref_prefix(prefix).map_err(failed)?;
    context.decompress(&mut raw, &frame).map_err(failed)?;
    if raw.len() != size {
        return Err("it uncompresses to another length than it says".into());
    }
    Ok(raw)
}
