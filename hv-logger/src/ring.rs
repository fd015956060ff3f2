//! The hypervisor's side of the ring: one header page and a data area, shared with dom0.
//!
//! One side produces, the other consumes; each writes one index only. Recording, Xen produces;
//! replaying, it consumes. Dom0's index is loaded once for each decision and checked: whatever
//! stands there, Xen stays inside the data area.

use log_format::ring::{CONS_OFFSET, FOUND_OFFSET, PROD_OFFSET, found_offset};

use crate::sync::{Ordering, Pages};

#[cfg(all(test, loom))]
mod models;

/// The other side's index cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIndex;

/// One end of the ring.
pub struct Ring {
    pages: Pages,
    /// Bytes of the data area, a power of two.
    size: u64,
    /// Our own index; what stands in the shared page is only a copy of it.
    own: u64,
    /// The other side's index, as last seen.
    other: u64,
    /// Places told so far.
    found: u64,
}

impl Ring {
    /// A ring whose indices are both zero.
    ///
    /// # Safety
    /// `header` points to a page of zeroes and `data` to `size` bytes (a power of two, at most
    /// 2^31), both writable and mapped for as long as the ring is used.
    #[cfg(not(loom))]
    pub const unsafe fn new(header: *mut u8, data: *mut u8, size: u64) -> Self {
        Self {
            // SAFETY: by the contract.
            pages: unsafe { Pages::new(header, data) },
            size,
            own: 0,
            other: 0,
            found: 0,
        }
    }

    /// As a producer: how many bytes may be written, looking at the reader's index only when
    /// fewer than `enough` are known to be free.
    pub fn free(&mut self, enough: u64) -> Result<u64, BadIndex> {
        let known = self.size.wrapping_sub(self.own.wrapping_sub(self.other));
        if known >= enough {
            return Ok(known);
        }
        // Acquire pairs with the reader's release: it has read what it gives back.
        let cons = self.pages.index_at(CONS_OFFSET).load(Ordering::Acquire);
        let used = self.own.wrapping_sub(cons);
        if used > self.size {
            return Err(BadIndex);
        }
        self.other = cons;
        Ok(self.size - used)
    }

    /// As a producer: writes and publishes `bytes`, for which `free` has said that there is room.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        let (start, first, rest) = self.pieces(self.own, bytes.len());
        // SAFETY: both pieces lie in the data area, and together are not longer than `bytes`.
        unsafe {
            self.pages.write(start, bytes.as_ptr(), first);
            if rest != 0 {
                self.pages.write(0, bytes.as_ptr().add(first), rest);
            }
        }
        self.own = self.own.wrapping_add(bytes.len() as u64);
        // Release pairs with the reader's acquire: the bytes come before the index.
        self.pages
            .index_at(PROD_OFFSET)
            .store(self.own, Ordering::Release);
    }

    /// As a producer: writes and publishes the first `len` bytes of `word`, lowest first. Up to 8
    /// must be free: what is written beyond `len` bytes is not published.
    #[inline]
    pub fn write_word(&mut self, word: u64, len: usize) {
        let bytes = word.to_le_bytes();
        let start = self.own & (self.size - 1);
        if start + 8 > self.size {
            self.write(bytes.get(..len).unwrap_or(&bytes));
            return;
        }
        #[allow(clippy::cast_possible_truncation, reason = "at most 2^31")]
        // SAFETY: `start + 8` is within the data area.
        unsafe {
            self.pages.write(start as usize, bytes.as_ptr(), 8);
        }
        self.own = self.own.wrapping_add(len as u64);
        // Release pairs with the reader's acquire: the bytes come before the index.
        self.pages
            .index_at(PROD_OFFSET)
            .store(self.own, Ordering::Release);
    }

    /// Our own index.
    pub const fn own_index(&self) -> u64 {
        self.own
    }

    /// As a consumer: how many bytes there are to read.
    pub fn available(&mut self) -> Result<u64, BadIndex> {
        // Acquire pairs with the writer's release.
        let prod = self.pages.index_at(PROD_OFFSET).load(Ordering::Acquire);
        let used = prod.wrapping_sub(self.own);
        if used > self.size {
            return Err(BadIndex);
        }
        self.other = prod;
        Ok(used)
    }

    /// As a consumer: copies the first bytes out, at most as many as `available` said.
    #[inline]
    pub fn peek(&self, bytes: &mut [u8]) {
        let (start, first, rest) = self.pieces(self.own, bytes.len());
        // SAFETY: as in `write`.
        unsafe {
            self.pages.read(start, bytes.as_mut_ptr(), first);
            if rest != 0 {
                self.pages.read(0, bytes.as_mut_ptr().add(first), rest);
            }
        }
    }

    /// As a consumer: gives `count` bytes back.
    pub fn consume(&mut self, count: u64) {
        self.own = self.own.wrapping_add(count);
        // Release pairs with the writer's acquire: we have read them.
        self.pages
            .index_at(CONS_OFFSET)
            .store(self.own, Ordering::Release);
    }

    /// Tells dom0 of a place that took a search. If it does not look in time, the entry is lost.
    pub fn tell_found(&mut self, sync: u64, hits: u64) {
        let at = found_offset(self.found);
        for (offset, word) in [(at, sync), (at + 8, hits)] {
            self.pages.index_at(offset).store(word, Ordering::Relaxed);
        }
        self.found = self.found.wrapping_add(1);
        // Release pairs with dom0's acquire: the entry comes before its number.
        self.pages
            .index_at(FOUND_OFFSET)
            .store(self.found, Ordering::Release);
    }

    /// Bytes in the ring as far as known; for the status.
    pub const fn used(&self) -> u64 {
        let distance = self.own.wrapping_sub(self.other);
        // The consumer's distance counts backwards.
        if distance > self.size {
            distance.wrapping_neg()
        } else {
            distance
        }
    }

    /// Bytes of the data area.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Where `len` bytes from `index` are: the offset in the data area, how many of them stand
    /// there, and how many at the area's beginning. However long `len` is, both pieces lie inside.
    #[inline]
    fn pieces(&self, index: u64, len: usize) -> (usize, usize, usize) {
        let start = index & (self.size - 1);
        let len = (len as u64).min(self.size);
        let first = len.min(self.size - start);
        #[allow(clippy::cast_possible_truncation, reason = "at most 2^31")]
        (start as usize, first as usize, (len - first) as usize)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[repr(align(4096))]
    struct Pages([u8; 8192]);

    fn pair(pages: &mut Pages) -> (Ring, Ring) {
        let base = pages.0.as_mut_ptr();
        // SAFETY: the pages outlive both ends in each test, and the tests are single-threaded.
        unsafe {
            let data = base.add(4096);
            (Ring::new(base, data, 64), Ring::new(base, data, 64))
        }
    }

    #[test]
    fn bytes_wrap_around_the_end() {
        let mut pages = Pages([0; 8192]);
        let (mut writer, mut reader) = pair(&mut pages);
        for round in 0..100u8 {
            let bytes = [round; 37];
            assert!(writer.free(37).unwrap() >= 37);
            writer.write(&bytes);
            assert_eq!(reader.available(), Ok(37));
            let mut got = [0; 37];
            reader.peek(&mut got);
            assert_eq!(got, bytes);
            reader.consume(37);
        }
        assert_eq!(writer.free(64), Ok(64));
    }

    #[test]
    fn a_full_ring_has_no_room() {
        let mut pages = Pages([0; 8192]);
        let (mut writer, mut reader) = pair(&mut pages);
        writer.write(&[1; 64]);
        assert_eq!(writer.free(1), Ok(0));
        assert_eq!(writer.used(), 64);
        reader.available().unwrap();
        assert_eq!(reader.used(), 64);
        reader.consume(10);
        assert_eq!(writer.free(1), Ok(10));
    }

    #[test]
    fn an_impossible_index_is_refused() {
        for bad in [1, 1 << 63, 65] {
            let mut pages = Pages([0; 8192]);
            let (mut writer, _) = pair(&mut pages);
            writer
                .pages
                .index_at(CONS_OFFSET)
                .store(bad, Ordering::Relaxed);
            assert_eq!(writer.free(u64::MAX), Err(BadIndex), "cons {bad}");
        }
        for bad in [65, u64::MAX, 1 << 63] {
            let mut pages = Pages([0; 8192]);
            let (_, mut reader) = pair(&mut pages);
            reader
                .pages
                .index_at(PROD_OFFSET)
                .store(bad, Ordering::Relaxed);
            assert_eq!(reader.available(), Err(BadIndex), "prod {bad}");
        }
    }
}
