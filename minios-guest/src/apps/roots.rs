//! `roots`: reads the slots of Xen in the page table that this kernel runs on, and keeps them.
//!
//! Where Xen's own page tables are depends on the boot, so that a replay in another boot is not
//! equal: see what is not covered in `docs/determinism.md`.

use crate::memory::Page;
use crate::random::Checksum;
use crate::{say, start};

/// The slots of Xen.
const SLOTS: core::ops::Range<usize> = 256..272;
/// Where they stand in memory at the end.
static KEPT: Page = Page::new();

/// Runs the application.
pub fn run() {
    let root = start::info().pt_base as *const u64;
    let mut sum = Checksum(0);
    for slot in SLOTS {
        // SAFETY: the builder maps the top table read-only.
        let entry = unsafe { root.add(slot).read_volatile() };
        KEPT.write(slot, entry);
        sum.mix(entry);
    }
    say!("roots: checksum {:016x}", sum.0);
}
