//! The hypervisor's side of the ring: one header page and a data area, shared with dom0.
//!
//! One side produces, the other consumes; each writes one index only. Recording, Xen produces;
//! replaying, it consumes. Dom0's index is loaded once for each decision and checked: whatever
//! stands there, Xen stays inside the data area.

use core::sync::atomic::{AtomicU64, Ordering};
use log_format::ring::{CONS_OFFSET, PROD_OFFSET};

/// The other side's index cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIndex;

/// One end of the ring.
pub struct Ring {
    header: *mut u8,
    data: *mut u8,
    /// Bytes of the data area, a power of two.
    size: u64,
    /// Our own index; what stands in the shared page is only a copy of it.
    own: u64,
    /// The other side's index, as last seen.
    other: u64,
}

impl Ring {
    /// A ring whose indices are both zero.
    ///
    /// # Safety
    /// `header` points to a page of zeroes and `data` to `size` bytes (a power of two, at most
    /// 2^31), both writable and mapped for as long as the ring is used.
    pub const unsafe fn new(header: *mut u8, data: *mut u8, size: u64) -> Self {
        Self {
            header,
            data,
            size,
            own: 0,
            other: 0,
        }
    }

    fn index(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: the header is a whole page, both offsets lie in it and are multiples of 8; all
        // access from this side goes through atomics.
        unsafe { AtomicU64::from_ptr(self.header.add(offset).cast()) }
    }

    /// As a producer: how many bytes may be written, looking at the reader's index only when
    /// fewer than `enough` are known to be free.
    pub fn free(&mut self, enough: u64) -> Result<u64, BadIndex> {
        let known = self.size.wrapping_sub(self.own.wrapping_sub(self.other));
        if known >= enough {
            return Ok(known);
        }
        // Acquire pairs with the reader's release: it has read what it gives back.
        let cons = self.index(CONS_OFFSET).load(Ordering::Acquire);
        let used = self.own.wrapping_sub(cons);
        if used > self.size {
            return Err(BadIndex);
        }
        self.other = cons;
        Ok(self.size - used)
    }

    /// As a producer: writes and publishes `bytes`, for which `free` has said that there is room.
    pub fn write(&mut self, bytes: &[u8]) {
        self.copy(self.own, bytes.len(), |at, place, count| {
            // SAFETY: `copy` hands out ranges inside the data area and inside `bytes`, which do
            // not overlap. Dom0 may read them meanwhile, which harms nobody but dom0.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr().add(at), place, count) }
        });
        self.own = self.own.wrapping_add(bytes.len() as u64);
        // Release pairs with the reader's acquire: the bytes come before the index.
        self.index(PROD_OFFSET).store(self.own, Ordering::Release);
    }

    /// As a consumer: how many bytes there are to read.
    pub fn available(&mut self) -> Result<u64, BadIndex> {
        // Acquire pairs with the writer's release.
        let prod = self.index(PROD_OFFSET).load(Ordering::Acquire);
        let used = prod.wrapping_sub(self.own);
        if used > self.size {
            return Err(BadIndex);
        }
        self.other = prod;
        Ok(used)
    }

    /// As a consumer: copies the first bytes out, at most as many as `available` said.
    pub fn peek(&self, bytes: &mut [u8]) {
        let to = bytes.as_mut_ptr();
        self.copy(self.own, bytes.len(), |at, place, count| {
            // SAFETY: as in `write`. The copy is what gets looked at; dom0 cannot change it.
            unsafe { core::ptr::copy_nonoverlapping(place, to.add(at), count) }
        });
    }

    /// As a consumer: gives `count` bytes back.
    pub fn consume(&mut self, count: u64) {
        self.own = self.own.wrapping_add(count);
        // Release pairs with the writer's acquire: we have read them.
        self.index(CONS_OFFSET).store(self.own, Ordering::Release);
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

    /// Calls `part(offset into the caller's buffer, place, count)` for the one or two pieces of
    /// the data area that hold `len` bytes from `index`.
    fn copy(&self, index: u64, len: usize, mut part: impl FnMut(usize, *mut u8, usize)) {
        let start = index & (self.size - 1);
        let len = (len as u64).min(self.size);
        let first = len.min(self.size - start);
        #[allow(clippy::cast_possible_truncation, reason = "at most 2^31")]
        {
            // SAFETY: start < size and start + first <= size; the second piece begins at 0 and
            // is shorter than size.
            part(0, unsafe { self.data.add(start as usize) }, first as usize);
            if len > first {
                part(first as usize, self.data, (len - first) as usize);
            }
        }
    }
}

#[cfg(test)]
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
            writer.index(CONS_OFFSET).store(bad, Ordering::Relaxed);
            assert_eq!(writer.free(u64::MAX), Err(BadIndex), "cons {bad}");
        }
        for bad in [65, u64::MAX, 1 << 63] {
            let mut pages = Pages([0; 8192]);
            let (_, mut reader) = pair(&mut pages);
            reader.index(PROD_OFFSET).store(bad, Ordering::Relaxed);
            assert_eq!(reader.available(), Err(BadIndex), "prod {bad}");
        }
    }
}
