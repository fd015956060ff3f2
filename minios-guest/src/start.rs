//! What the domain builder handed over.

use crate::abi::StartInfo;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

static START: AtomicPtr<StartInfo> = AtomicPtr::new(core::ptr::null_mut());

/// Keeps it; before anything else.
pub fn init(start: &'static StartInfo) {
    START.store((start as *const StartInfo).cast_mut(), Relaxed);
}

/// The builder's page.
pub fn info() -> &'static StartInfo {
    // SAFETY: set by `init` from the builder's pointer; nothing writes the page.
    unsafe { &*START.load(Relaxed) }
}
