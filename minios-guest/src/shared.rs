//! The pages shared with Xen and dom0: shared info, console and xenstore rings.
//!
//! They are mapped before anything else (the shared info page by the very
//! first exit of a PV guest) and stay where they are. Xen and dom0 write
//! them at any time, so they are only ever read and written through atomics.

use crate::abi::{SharedInfo, VcpuInfo};
use crate::memory::{self, Page, PTE_RW};
use crate::{hypercall, machine, start, witness};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed};

/// Its address range takes the mapping of the shared info page.
static SHARED_SLOT: Page = Page::new();
/// The same for the rings, where they are not mapped already.
static RING_SLOTS: [Page; 2] = [const { Page::new() }; 2];
static SHARED: AtomicU64 = AtomicU64::new(0);
static CONSOLE: AtomicU64 = AtomicU64::new(0);
static STORE: AtomicU64 = AtomicU64::new(0);

/// Layout of the console ring page.
#[repr(C)]
pub struct ConsoleRing {
    /// Input bytes.
    pub input: [AtomicU8; 1024],
    /// Output bytes.
    pub output: [AtomicU8; 2048],
    /// Ours: input consumed.
    pub in_cons: AtomicU32,
    /// Dom0's: input produced.
    pub in_prod: AtomicU32,
    /// Dom0's: output consumed.
    pub out_cons: AtomicU32,
    /// Ours: output produced.
    pub out_prod: AtomicU32,
}

/// Layout of the xenstore ring page.
#[repr(C)]
pub struct StoreRing {
    /// Requests.
    pub request: [AtomicU8; 1024],
    /// Replies and watch events.
    pub reply: [AtomicU8; 1024],
    /// Xenstored's: requests consumed.
    pub req_cons: AtomicU32,
    /// Ours: requests produced.
    pub req_prod: AtomicU32,
    /// Ours: replies consumed.
    pub rsp_cons: AtomicU32,
    /// Xenstored's: replies produced.
    pub rsp_prod: AtomicU32,
    /// Xenstored's: what it can do.
    pub server_features: AtomicU32,
    /// Non-zero while a new connection is asked for.
    pub connection: AtomicU32,
}

/// Maps the shared info page: the first exit of a PV guest. Then finds the rings.
pub fn init() {
    let start = start::info();
    let slot = SHARED_SLOT.address();
    if (machine::this().share_info)(start, slot) != 0 {
        hypercall::shutdown(crate::abi::schedop::SHUTDOWN_CRASH);
    }
    SHARED.store(slot, Relaxed);
    hypercall::exited();
    witness::MAPPED.store(witness::EXITS.load(Relaxed), Relaxed);
    CONSOLE.store(ring(start.console_mfn, &RING_SLOTS[0]), Relaxed);
    STORE.store(ring(start.store_mfn, &RING_SLOTS[1]), Relaxed);
}

/// Where a ring is mapped: by the builder, if it is in the domain's memory, or else from now on at the slot.
fn ring(mfn: u64, slot: &Page) -> u64 {
    if memory::pfn_of_mfn(mfn) < start::info().nr_pages {
        return memory::virt_of_mfn(mfn);
    }
    slot.remap(mfn << 12 | PTE_RW);
    slot.address()
}

/// The shared info page, once it is mapped.
pub fn try_info() -> Option<&'static SharedInfo> {
    let address = SHARED.load(Relaxed);
    // SAFETY: non-zero only after `init` mapped the page there, for good; all
    // fields that change are atomics.
    (address != 0).then(|| unsafe { &*(address as *const SharedInfo) })
}

/// The shared info page.
pub fn info() -> &'static SharedInfo {
    match try_info() {
        Some(info) => info,
        None => hypercall::shutdown(crate::abi::schedop::SHUTDOWN_CRASH),
    }
}

/// The only vCPU's part of it.
pub fn vcpu() -> &'static VcpuInfo {
    &info().vcpu[0]
}

/// The console ring.
pub fn console() -> &'static ConsoleRing {
    // SAFETY: the ring page is mapped there; all of it is atomics.
    unsafe { &*(CONSOLE.load(Relaxed) as *const ConsoleRing) }
}

/// The xenstore ring.
pub fn store() -> &'static StoreRing {
    // SAFETY: as for `console`.
    unsafe { &*(STORE.load(Relaxed) as *const StoreRing) }
}

const _: () = assert!(core::mem::offset_of!(ConsoleRing, out_prod) == 3084);
const _: () = assert!(core::mem::offset_of!(StoreRing, rsp_prod) == 2060);
