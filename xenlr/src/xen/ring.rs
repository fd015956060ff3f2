//! The ring that Xen shares with dom0, mapped.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use log_format::ring::{
    CONS_OFFSET, FOUND_ENTRIES, FOUND_OFFSET, MAGIC, MAGIC_OFFSET, MAX_DATA_PAGES, MIN_DATA_PAGES,
    PAGE_BYTES, PROD_OFFSET, SIZE_OFFSET, VERSION, VERSION_OFFSET, found_offset,
};

use super::abi::RESOURCE_XENLR_RING;
use super::privcmd::{Mapping, Privcmd};
use crate::ringio::RingMemory;

/// A domain's ring. It stays mapped, and readable, when the domain is gone.
pub struct Ring {
    mapping: Mapping,
    size_bytes: u64,
}

impl Ring {
    /// Maps the ring of a domain and checks what its header says against what was mapped.
    pub(super) fn map(privcmd: &Privcmd, domain: u16) -> io::Result<Self> {
        let frames = privcmd.resource_frames(domain, RESOURCE_XENLR_RING)?;
        let size_bytes = data_bytes(frames)?;
        let mapping = privcmd.map_resource(domain, RESOURCE_XENLR_RING, frames)?;
        let ring = Self {
            mapping,
            size_bytes,
        };
        let magic = ring.header_u32(MAGIC_OFFSET);
        if magic != MAGIC {
            return Err(bad(&format!("its magic is {magic:#x}, not {MAGIC:#x}")));
        }
        let version = ring.header_u32(VERSION_OFFSET);
        if version != VERSION {
            return Err(bad(&format!(
                "its version is {version}, and this xenlr knows {VERSION}"
            )));
        }
        let size = ring.header_u32(SIZE_OFFSET);
        if u64::from(size) != size_bytes {
            return Err(bad(&format!(
                "it says {size} bytes, and {size_bytes} are there"
            )));
        }
        Ok(ring)
    }

    /// Bytes in the ring of a domain, of which only the page with the indices is mapped.
    pub(super) fn used(privcmd: &Privcmd, domain: u16) -> io::Result<u64> {
        let frames = privcmd.resource_frames(domain, RESOURCE_XENLR_RING)?;
        let size_bytes = data_bytes(frames)?;
        let head = Self {
            mapping: privcmd.map_resource(domain, RESOURCE_XENLR_RING, 1)?,
            size_bytes: 0,
        };
        let used = head.prod().checked_sub(head.cons());
        used.filter(|used| *used <= size_bytes)
            .ok_or_else(|| bad("its indices cannot be"))
    }

    /// Replaying: the places that Xen has told of since there were `seen` of them, as (sync, hits), and
    /// how many there are now. What was overwritten meanwhile is left out.
    pub fn found(&self, seen: u64) -> (Vec<(u64, u64)>, u64) {
        // Acquire pairs with Xen's release store after it wrote the entry.
        let written = || self.index(FOUND_OFFSET).load(Ordering::Acquire);
        let word = |offset| self.index(offset).load(Ordering::Relaxed);
        let end = written();
        let entries: Vec<_> = (seen.max(end.saturating_sub(FOUND_ENTRIES))..end)
            .map(|number| {
                let at = found_offset(number);
                (number, (word(at), word(at + 8)))
            })
            .collect();
        // The one behind the last is being written, perhaps.
        std::sync::atomic::fence(Ordering::Acquire);
        let kept = (written() + 1).saturating_sub(FOUND_ENTRIES);
        let whole = entries.into_iter().filter(|(number, _)| *number >= kept);
        (whole.map(|(_, entry)| entry).collect(), end)
    }

    fn header_u32(&self, offset: usize) -> u32 {
        assert!(offset + 4 <= PAGE_BYTES && offset.is_multiple_of(4));
        // SAFETY: within the header page and aligned; shared memory is only seen as atomics.
        let word = unsafe { &*self.mapping.base().byte_add(offset).cast::<AtomicU32>() };
        word.load(Ordering::Relaxed)
    }

    fn index(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= PAGE_BYTES && offset.is_multiple_of(8));
        // SAFETY: as in `header_u32`; the mapping lives as long as `self`.
        unsafe { &*self.mapping.base().byte_add(offset).cast::<AtomicU64>() }
    }

    /// The data area as words: Xen writes to it at any time, so only atomics may look at it.
    fn words(&self) -> &[AtomicU64] {
        let words = usize::try_from(self.size_bytes / 8).unwrap_or(0);
        // SAFETY: `map` has mapped the header page and `size_bytes` behind it, page-aligned.
        unsafe {
            std::slice::from_raw_parts(
                self.mapping.base().byte_add(PAGE_BYTES).cast::<AtomicU64>(),
                words,
            )
        }
    }
}

/// Size of the data area of a ring with so many pages.
fn data_bytes(frames: u64) -> io::Result<u64> {
    let pages = frames.saturating_sub(1);
    let bounds = u64::from(MIN_DATA_PAGES)..=u64::from(MAX_DATA_PAGES);
    if bounds.contains(&pages) && pages.is_power_of_two() {
        Ok(pages * PAGE_BYTES as u64)
    } else {
        Err(bad(&format!("it has {frames} pages")))
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the ring that Xen shows does not fit: {what}; xenlr and Xen must be of one build"),
    )
}

impl RingMemory for Ring {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn prod(&self) -> u64 {
        // Acquire pairs with Xen's release store after it wrote the records.
        self.index(PROD_OFFSET).load(Ordering::Acquire)
    }

    fn cons(&self) -> u64 {
        // Acquire pairs with Xen's release store after it read the bytes (replay).
        self.index(CONS_OFFSET).load(Ordering::Acquire)
    }

    fn set_prod(&self, index: u64) {
        // Release pairs with Xen's acquire load of prod (replay): the bytes come first.
        self.index(PROD_OFFSET).store(index, Ordering::Release);
    }

    fn set_cons(&self, index: u64) {
        // Release pairs with Xen's acquire load of cons: our reads of the bytes come first.
        self.index(CONS_OFFSET).store(index, Ordering::Release);
    }

    fn read(&self, index: u64, out: &mut [u8]) {
        let words = self.words();
        let mask = self.size_bytes - 1;
        let mut at = index & mask;
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|r| !r.is_empty()) {
            let word = words[(at / 8) as usize]
                .load(Ordering::Relaxed)
                .to_le_bytes();
            let from = (at % 8) as usize;
            let count = rest.len().min(8 - from);
            rest[..count].copy_from_slice(&word[from..from + count]);
            done += count;
            at = (at + count as u64) & mask;
        }
    }

    fn write(&self, index: u64, bytes: &[u8]) {
        let words = self.words();
        let mask = self.size_bytes - 1;
        let mut at = index & mask;
        let mut rest = bytes;
        while !rest.is_empty() {
            let cell = &words[(at / 8) as usize];
            let from = (at % 8) as usize;
            let count = rest.len().min(8 - from);
            let mut word = cell.load(Ordering::Relaxed).to_le_bytes();
            word[from..from + count].copy_from_slice(&rest[..count]);
            cell.store(u64::from_le_bytes(word), Ordering::Relaxed);
            rest = &rest[count..];
            at = (at + count as u64) & mask;
        }
    }
}
