//! The pages shared with Xen and dom0: shared info, console and xenstore rings.
//!
//! They are mapped before anything else (the shared info page by the very
//! first exit of the guest) and stay where they are. Xen and dom0 write
//! them at any time, so they are only ever read and written through atomics.

use crate::abi::{nr, SharedInfo, VcpuInfo, UVMF_INVLPG};
use crate::memory::{self, Page};
use crate::{hypercall, start};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed};

/// Its address range takes the mapping of the shared info page.
static SHARED_SLOT: Page = Page::new();
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

/// Maps the shared info page: the first exit of the guest. Then finds the rings.
pub fn init() {
    let start = start::info();
    let slot = SHARED_SLOT.address();
    // SAFETY: the slot is a page of its own that nothing else refers to, and
    // the shared info frame belongs to this domain.
    let result = unsafe {
        hypercall::raw(nr::UPDATE_VA_MAPPING, [slot, start.shared_info | memory::PTE_RW, UVMF_INVLPG, 0, 0])
    };
    if result != 0 {
        hypercall::shutdown(crate::abi::schedop::SHUTDOWN_CRASH);
    }
    SHARED.store(slot, Relaxed);
    hypercall::exited();
    CONSOLE.store(memory::virt_of_mfn(start.console_mfn), Relaxed);
    STORE.store(memory::virt_of_mfn(start.store_mfn), Relaxed);
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
    // SAFETY: the builder mapped the ring page; all of it is atomics.
    unsafe { &*(CONSOLE.load(Relaxed) as *const ConsoleRing) }
}

/// The xenstore ring.
pub fn store() -> &'static StoreRing {
    // SAFETY: as for `console`.
    unsafe { &*(STORE.load(Relaxed) as *const StoreRing) }
}

const _: () = assert!(core::mem::offset_of!(ConsoleRing, out_prod) == 3084);
const _: () = assert!(core::mem::offset_of!(StoreRing, rsp_prod) == 2060);
