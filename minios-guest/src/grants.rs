//! The grant table (version 1): pages that another domain may use.
//!
//! The table is mapped when it is asked for first. References go round, so that one is used anew as late as
//! possible.

use crate::abi::{gtf, GrantEntry};
use crate::machine;
use crate::memory::Page;
use core::sync::atomic::{fence, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};

/// Frames of the table.
const FRAMES: usize = 4;
/// Those below belong to the toolstack (console, xenstore).
const FIRST: u32 = 8;
const ENTRIES: u32 = (FRAMES * 4096 / core::mem::size_of::<GrantEntry>()) as u32;

static TABLE: [Page; FRAMES] = [const { Page::new() }; FRAMES];
/// The reference that is tried next; 0: the table is not mapped.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What another domain may do with a page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read and write it.
    Write,
}

/// Maps the table, unless it is mapped; whether there is one.
pub fn init() -> bool {
    if NEXT.load(Relaxed) != 0 {
        return true;
    }
    if (machine::this().map_grants)(TABLE[0].address(), FRAMES) != 0 {
        return false;
    }
    NEXT.store(FIRST, Relaxed);
    true
}

fn entry(reference: u32) -> &'static GrantEntry {
    assert!((FIRST..ENTRIES).contains(&reference), "a grant reference that is none");
    // SAFETY: the table's pages lie one behind the other; all of an entry is atomics.
    unsafe { &*(TABLE[0].address() as *const GrantEntry).add(reference as usize) }
}

/// Lends a page to a domain; the reference.
pub fn lend(page: &Page, domain: u16, access: Access) -> u32 {
    lend_frame(page.mfn() as u32, domain, access)
}

/// Lends any frame, as if it were this domain's.
pub fn lend_frame(frame: u32, domain: u16, access: Access) -> u32 {
    let begin = NEXT.load(Relaxed);
    let mut reference = begin;
    while entry(reference).flags.load(Relaxed) != 0 {
        reference = following(reference);
        assert!(reference != begin, "the grant table is full");
    }
    NEXT.store(following(reference), Relaxed);
    let entry = entry(reference);
    entry.frame.store(frame, Relaxed);
    entry.domain.store(domain, Relaxed);
    let readonly = if access == Access::Read { gtf::READONLY } else { 0 };
    // The other domain may look as soon as there are flags.
    fence(SeqCst);
    entry.flags.store(gtf::PERMIT_ACCESS | readonly, Relaxed);
    reference
}

fn following(reference: u32) -> u32 {
    if reference + 1 == ENTRIES {
        FIRST
    } else {
        reference + 1
    }
}

/// Writes an entry as it is, whoever uses it.
pub fn set(reference: u32, flags: u16, domain: u16, frame: u32) {
    let entry = entry(reference);
    entry.frame.store(frame, Relaxed);
    entry.domain.store(domain, Relaxed);
    entry.flags.store(flags, SeqCst);
}

/// The address of the table's last page.
pub fn last_page() -> u64 {
    TABLE[FRAMES - 1].address()
}

/// Takes it back; false while it is in use.
pub fn end(reference: u32) -> bool {
    let entry = entry(reference);
    let flags = entry.flags.load(Relaxed);
    if flags & (gtf::READING | gtf::WRITING) != 0 {
        return false;
    }
    // Use that began meanwhile is seen by the exchange.
    if entry.flags.compare_exchange(flags, 0, SeqCst, Relaxed).is_err() {
        return false;
    }
    entry.domain.store(0, Relaxed);
    entry.frame.store(0, Relaxed);
    true
}
