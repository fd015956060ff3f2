//! What the reader and the feeder of a ring need of it, so that tests can stand in for Xen.

/// Access to a mapped ring. Both indices run freely and count bytes.
pub trait RingMemory {
    /// Size of the data area in bytes, a power of two.
    fn size_bytes(&self) -> u64;
    /// Bytes ever written.
    fn prod(&self) -> u64;
    /// Bytes ever consumed.
    fn cons(&self) -> u64;
    /// Publishes the bytes before `index` (replay).
    fn set_prod(&self, index: u64);
    /// Gives the room before `index` back (record).
    fn set_cons(&self, index: u64);
    /// Copies bytes out, from `index` on, wrapping at the end of the data area.
    fn read(&self, index: u64, out: &mut [u8]);
    /// Copies bytes in, at `index`, wrapping at the end of the data area.
    fn write(&self, index: u64, bytes: &[u8]);
}

/// An index pair that cannot be: the two are further apart than the ring is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ring's indices cannot be: {cons} bytes consumed, {prod} written, room for {size_bytes}"
)]
pub struct BadIndices {
    /// Bytes written.
    pub prod: u64,
    /// Bytes consumed.
    pub cons: u64,
    /// Size of the ring.
    pub size_bytes: u64,
}

/// Loads each index once and checks the pair. Returns (prod, cons).
pub fn indices(ring: &impl RingMemory) -> Result<(u64, u64), BadIndices> {
    let cons = ring.cons();
    let prod = ring.prod();
    let size_bytes = ring.size_bytes();
    if prod < cons || prod - cons > size_bytes {
        return Err(BadIndices {
            prod,
            cons,
            size_bytes,
        });
    }
    Ok((prod, cons))
}

#[cfg(test)]
pub(crate) mod fake {
    //! A ring in ordinary memory.
    use super::RingMemory;
    use std::cell::{Cell, RefCell};

    pub(crate) struct FakeRing {
        pub prod: Cell<u64>,
        pub cons: Cell<u64>,
        pub data: RefCell<Vec<u8>>,
    }

    impl FakeRing {
        pub(crate) fn new(size: usize) -> Self {
            Self {
                prod: Cell::new(0),
                cons: Cell::new(0),
                data: RefCell::new(vec![0; size]),
            }
        }

        /// What Xen does when it records: append, if there is room.
        pub(crate) fn produce(&self, bytes: &[u8]) -> bool {
            let used = self.prod.get() - self.cons.get();
            if used + bytes.len() as u64 > self.size_bytes() {
                return false;
            }
            self.write(self.prod.get(), bytes);
            self.prod.set(self.prod.get() + bytes.len() as u64);
            true
        }
    }

    impl RingMemory for FakeRing {
        fn size_bytes(&self) -> u64 {
            self.data.borrow().len() as u64
        }
        fn prod(&self) -> u64 {
            self.prod.get()
        }
        fn cons(&self) -> u64 {
            self.cons.get()
        }
        fn set_prod(&self, index: u64) {
            self.prod.set(index);
        }
        fn set_cons(&self, index: u64) {
            self.cons.set(index);
        }
        fn read(&self, index: u64, out: &mut [u8]) {
            let data = self.data.borrow();
            for (i, byte) in out.iter_mut().enumerate() {
                *byte = data[(index as usize + i) % data.len()];
            }
        }
        fn write(&self, index: u64, bytes: &[u8]) {
            let mut data = self.data.borrow_mut();
            let size = data.len();
            for (i, byte) in bytes.iter().enumerate() {
                data[(index as usize + i) % size] = *byte;
            }
        }
    }
}
