//! What ring and stage need of the machine: atomics, and the pages that dom0 shares.
//!
//! Xen gets the processor's. With `--cfg loom` both are models that know which thread did what, so
//! that the tests in `ring/models.rs` and `stage/models.rs` go through the orders in which two
//! CPUs may see each other's accesses. No other file knows about this.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
pub use loom::sync::atomic::Ordering;
#[cfg(loom)]
pub use model::{AtomicU32, AtomicU64, Pages};
#[cfg(not(loom))]
pub use shared::Pages;

#[cfg(not(loom))]
mod shared {
    use super::AtomicU64;

    /// The pages of a ring, as they are mapped.
    pub struct Pages {
        header: *mut u8,
        data: *mut u8,
    }

    impl Pages {
        /// # Safety
        /// `header` points to a page and `data` to the data area, both writable and mapped for as
        /// long as this is used.
        pub const unsafe fn new(header: *mut u8, data: *mut u8) -> Self {
            Self { header, data }
        }

        /// The index at this offset of `log_format::ring`.
        #[inline]
        pub fn index_at(&self, offset: usize) -> &AtomicU64 {
            // SAFETY: the header is a whole page, the offsets lie in it and are multiples of 8;
            // all access from this side goes through atomics.
            unsafe { AtomicU64::from_ptr(self.header.add(offset).cast()) }
        }

        /// Copies `count` bytes into the data area.
        ///
        /// # Safety
        /// `at + count` is at most the size of the data area, and `from` has `count` bytes. Dom0
        /// may read or write the same bytes meanwhile, which harms nobody but dom0.
        #[inline]
        pub unsafe fn write(&self, at: usize, from: *const u8, count: usize) {
            // SAFETY: by the contract; Xen's own memory is not in the ring.
            unsafe { core::ptr::copy_nonoverlapping(from, self.data.add(at), count) }
        }

        /// Copies `count` bytes out of the data area. What gets looked at is the copy, which dom0
        /// cannot change.
        ///
        /// # Safety
        /// As for `write`.
        #[inline]
        pub unsafe fn read(&self, at: usize, to: *mut u8, count: usize) {
            // SAFETY: as in `write`.
            unsafe { core::ptr::copy_nonoverlapping(self.data.add(at), to, count) }
        }
    }
}

#[cfg(loom)]
mod model {
    use log_format::ring::{CONS_OFFSET, PROD_OFFSET};
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use super::Ordering;

    /// One of loom's atomics, whose orderings a control may take away: a model that passes
    /// without them proves nothing about them.
    macro_rules! atomic {
        ($name:ident, $int:ty) => {
            #[allow(missing_docs, reason = "as in core")]
            #[derive(Debug)]
            pub struct $name {
                real: loom::sync::atomic::$name,
                weak_load: AtomicBool,
                weak_store: AtomicBool,
            }

            #[allow(missing_docs, dead_code, reason = "as in core")]
            impl $name {
                pub fn new(value: $int) -> Self {
                    Self {
                        real: loom::sync::atomic::$name::new(value),
                        weak_load: AtomicBool::new(false),
                        weak_store: AtomicBool::new(false),
                    }
                }
                /// From now on loads are relaxed.
                pub fn weaken_load(&self) {
                    self.weak_load.store(true, SeqCst);
                }
                /// From now on stores, and what both loads and stores, are relaxed.
                pub fn weaken_store(&self) {
                    self.weak_store.store(true, SeqCst);
                }
                fn either(weak: &AtomicBool, order: Ordering) -> Ordering {
                    if weak.load(SeqCst) {
                        Ordering::Relaxed
                    } else {
                        order
                    }
                }
                pub fn load(&self, order: Ordering) -> $int {
                    self.real.load(Self::either(&self.weak_load, order))
                }
                pub fn store(&self, value: $int, order: Ordering) {
                    self.real
                        .store(value, Self::either(&self.weak_store, order));
                }
                pub fn swap(&self, value: $int, order: Ordering) -> $int {
                    self.real.swap(value, Self::either(&self.weak_store, order))
                }
                pub fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                    self.real
                        .fetch_or(value, Self::either(&self.weak_store, order))
                }
                pub fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                    self.real
                        .fetch_and(value, Self::either(&self.weak_store, order))
                }
                pub fn compare_exchange(
                    &self,
                    old: $int,
                    new: $int,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    self.real.compare_exchange(old, new, success, failure)
                }
            }
        };
    }
    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);

    /// Pages of which loom sees each access, byte for byte: an unordered one is an error.
    #[derive(Clone)]
    pub struct Pages(Arc<Shared>);

    struct Shared {
        prod: AtomicU64,
        cons: AtomicU64,
        data: Box<[UnsafeCell<u8>]>,
    }

    #[allow(missing_docs, clippy::missing_safety_doc, reason = "as in `shared`")]
    impl Pages {
        pub fn zeroed(size: usize) -> Self {
            Self(Arc::new(Shared {
                prod: AtomicU64::new(0),
                cons: AtomicU64::new(0),
                data: (0..size).map(|_| UnsafeCell::new(0)).collect(),
            }))
        }

        pub fn size(&self) -> u64 {
            self.0.data.len() as u64
        }

        pub fn index_at(&self, offset: usize) -> &AtomicU64 {
            match offset {
                PROD_OFFSET => &self.0.prod,
                CONS_OFFSET => &self.0.cons,
                _ => panic!("no index at {offset}"),
            }
        }

        pub unsafe fn write(&self, at: usize, from: *const u8, count: usize) {
            for (i, cell) in self.0.data[at..at + count].iter().enumerate() {
                // SAFETY: loom has checked that nobody else uses the cell; `from` has the bytes.
                cell.with_mut(|to| unsafe { *to = *from.add(i) });
            }
        }

        pub unsafe fn read(&self, at: usize, to: *mut u8, count: usize) {
            for (i, cell) in self.0.data[at..at + count].iter().enumerate() {
                // SAFETY: as in `write`.
                cell.with(|from| unsafe { *to.add(i) = *from });
            }
        }
    }
}
