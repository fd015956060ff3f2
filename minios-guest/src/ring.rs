//! A front end's side of a shared ring: the macros of Xen's `io/ring.h`.
//!
//! The page begins with four indices, which run freely: requests produced, the one that the backend wants to be told
//! of, responses produced, the one that this side wants to be told of. Requests and responses share slots from byte 64
//! on. Slots are read and written as 32-bit words, once each.

use crate::memory::Page;
use core::sync::atomic::{
    fence, AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};

/// Words before the first slot.
const HEADER_WORDS: usize = 16;
const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 1;
const RSP_PROD: usize = 2;
const RSP_EVENT: usize = 3;

/// A ring whose slots have `WORDS` 32-bit words each.
pub struct Ring<const WORDS: usize> {
    page: &'static Page,
    /// Requests put, told or not.
    put: u32,
    /// Responses taken.
    taken: u32,
}

impl<const WORDS: usize> Ring<WORDS> {
    /// How many slots there are: the power of two that fits.
    pub const SLOTS: u32 = 1 << ((1024 - HEADER_WORDS) / WORDS).ilog2();

    /// An empty ring in this page.
    pub fn new(page: &'static Page) -> Self {
        page.clear();
        let ring = Self { page, put: 0, taken: 0 };
        ring.word(REQ_EVENT).store(1, Relaxed);
        ring.word(RSP_EVENT).store(1, Relaxed);
        ring
    }

    fn word(&self, index: usize) -> &'static AtomicU32 {
        assert!(index < 1024, "a word outside of the ring");
        // SAFETY: within the page, which is mapped for good, and of which nobody holds another kind of reference.
        unsafe { &*(self.page.address() as *const AtomicU32).add(index) }
    }

    fn slot(&self, index: u32) -> usize {
        HEADER_WORDS + (index % Self::SLOTS) as usize * WORDS
    }

    /// Requests that there is room for.
    pub fn room(&self) -> u32 {
        Self::SLOTS - self.put.wrapping_sub(self.taken)
    }

    /// Puts a request; there is room for it. The backend does not see it yet.
    pub fn put(&mut self, request: &[u32; WORDS]) {
        let slot = self.slot(self.put);
        for (index, value) in request.iter().enumerate() {
            self.word(slot + index).store(*value, Relaxed);
        }
        self.put = self.put.wrapping_add(1);
    }

    /// Shows the backend what was put; whether it wants to be told (`RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`).
    #[must_use]
    pub fn push(&mut self) -> bool {
        let old = self.word(REQ_PROD).load(Relaxed);
        let new = self.put;
        // Pairs with the backend's read barrier behind its read of this index: it sees the slots.
        self.word(REQ_PROD).store(new, Release);
        // Pairs with the barrier between the backend's write of req_event and its last look at req_prod.
        fence(SeqCst);
        let event = self.word(REQ_EVENT).load(Relaxed);
        new.wrapping_sub(event) < new.wrapping_sub(old)
    }

    /// Takes a response, if there is one.
    pub fn take(&mut self) -> Option<[u32; WORDS]> {
        // Pairs with the backend's write barrier before its write of this index.
        if self.word(RSP_PROD).load(Acquire) == self.taken {
            return None;
        }
        let slot = self.slot(self.taken);
        self.taken = self.taken.wrapping_add(1);
        Some(core::array::from_fn(|index| self.word(slot + index).load(Relaxed)))
    }

    /// Asks to be told of the next response; whether there is one already (`RING_FINAL_CHECK_FOR_RESPONSES`).
    #[must_use]
    pub fn look_again(&self) -> bool {
        let there_is = || self.word(RSP_PROD).load(Acquire) != self.taken;
        if there_is() {
            return true;
        }
        self.word(RSP_EVENT).store(self.taken.wrapping_add(1), Relaxed);
        // Pairs with the barrier between the backend's write of rsp_prod and its read of rsp_event.
        fence(SeqCst);
        there_is()
    }

    /// Requests that were put and have not been answered.
    pub fn outstanding(&self) -> u32 {
        self.put.wrapping_sub(self.taken)
    }
}

const _: () = assert!(Ring::<28>::SLOTS == 32 && Ring::<3>::SLOTS == 256 && Ring::<2>::SLOTS == 256);
