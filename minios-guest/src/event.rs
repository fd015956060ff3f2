//! Event channels (2-level ABI): collecting, waiting, masking, binding.
//!
//! A port that becomes pending is cleared and *latched* as soon as the kernel
//! looks, in the upcall or after any exit, so that none is missed or merged
//! with the next one. Code that waits for a port waits for its latch.

use crate::abi::{evtchnop, nr, SharedInfo, DOMID_SELF};
use crate::{hypercall, machine, shared, witness};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// Ports that this kernel may use; Xen gives out the lowest free one.
pub const PORTS: usize = 256;

/// How often each port was found pending.
static LATCHED: [AtomicU64; PORTS] = [const { AtomicU64::new(0) }; PORTS];
/// How often any port was.
static TOTAL: AtomicU64 = AtomicU64::new(0);

/// Clears and latches every pending port.
pub fn collect(info: &SharedInfo) {
    info.vcpu[0].upcall_pending.store(0, SeqCst);
    if info.vcpu[0].pending_sel.load(Relaxed) != 0 {
        info.vcpu[0].pending_sel.swap(0, SeqCst);
    }
    // Masked ports set no selector bit, so all words are looked at.
    for (index, word) in info.pending.iter().take(PORTS / 64).enumerate() {
        if word.load(Relaxed) == 0 {
            continue;
        }
        let mut bits = word.swap(0, SeqCst);
        while bits != 0 {
            let port = index * 64 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            witness::PORTS.feed(&(port as u16).to_le_bytes());
            if let Some(latch) = LATCHED.get(port) {
                latch.fetch_add(1, Relaxed);
            }
            TOTAL.fetch_add(1, Relaxed);
        }
    }
}

/// How often `port` was pending so far.
pub fn latched(port: u32) -> u64 {
    LATCHED.get(port as usize).map_or(0, |latch| latch.load(Relaxed))
}

/// Where that is counted, for code that looks without a call.
pub fn latch(port: u32) -> *mut u64 {
    LATCHED[port as usize % PORTS].as_ptr()
}

/// How often any port was pending so far.
pub fn total() -> u64 {
    TOTAL.load(Relaxed)
}

/// Masks upcalls; returns whether they were unmasked before.
pub fn mask_upcalls() -> bool {
    (machine::this().mask)(shared::vcpu())
}

/// Unmasks upcalls and takes the one that is due, if any.
pub fn unmask_upcalls() {
    (machine::this().unmask)(shared::vcpu());
}

/// Unmasks upcalls without an exit.
pub fn allow_upcalls() {
    (machine::this().allow)(shared::vcpu());
}

/// Whether upcalls are masked.
pub fn are_upcalls_masked() -> bool {
    (machine::this().is_masked)(shared::vcpu())
}

/// Gives up the CPU until an event arrives; unmasks upcalls.
pub fn block() {
    (machine::this().block)();
}

/// Blocks until any port is latched after `since` (a value of [`total`]).
pub fn wait_any(since: u64) {
    while total() == since {
        mask_upcalls();
        // No exit lies between this test and the block, which unmasks: a port
        // that becomes pending in between makes it return at once.
        if total() == since {
            block();
        } else {
            unmask_upcalls();
        }
    }
}

/// Blocks until `port` is latched more often than `since` times.
pub fn wait_port(port: u32, since: u64) {
    loop {
        let all = total();
        if latched(port) != since {
            return;
        }
        wait_any(all);
    }
}

/// Masks every port; done once, before upcalls are possible.
pub fn mask_all_ports() {
    for word in &shared::info().mask {
        word.store(u64::MAX, Relaxed);
    }
}

/// Masks one port.
pub fn mask_port(port: u32) {
    if let Some(word) = shared::info().mask.get(port as usize / 64) {
        word.fetch_or(1 << (port % 64), SeqCst);
    }
}

/// Unmasks one port through Xen, which delivers what is pending.
pub fn unmask_port(port: u32) {
    let mut argument = port;
    hypercall::op(nr::EVENT_CHANNEL_OP, evtchnop::UNMASK, &mut argument);
}

/// Binds `virq` to a new port and unmasks it.
pub fn bind_virq(virq: u32) -> Option<u32> {
    let mut argument = [virq, 0, 0];
    let result = hypercall::op(nr::EVENT_CHANNEL_OP, evtchnop::BIND_VIRQ, &mut argument);
    (result == 0).then(|| {
        unmask_port(argument[2]);
        argument[2]
    })
}

/// A new port that notifies this vCPU itself.
pub fn bind_ipi() -> Option<u32> {
    let mut argument = [0u32, 0];
    let result = hypercall::op(nr::EVENT_CHANNEL_OP, evtchnop::BIND_IPI, &mut argument);
    (result == 0).then_some(argument[1])
}

/// A new port that the domain `remote` may bind to.
pub fn offer(remote: u16) -> Option<u32> {
    #[repr(C)]
    struct Unbound {
        domain: u16,
        remote: u16,
        port: u32,
    }
    let mut unbound = Unbound { domain: DOMID_SELF, remote, port: 0 };
    let result = hypercall::op(nr::EVENT_CHANNEL_OP, evtchnop::ALLOC_UNBOUND, &mut unbound);
    (result == 0).then_some(unbound.port)
}

/// A pair of ports of this domain, connected to each other.
pub fn bind_loopback() -> Option<(u32, u32)> {
    #[repr(C)]
    struct Interdomain {
        remote: u16,
        pad: u16,
        remote_port: u32,
        local_port: u32,
    }
    let port = offer(DOMID_SELF)?;
    let mut pair = Interdomain { remote: DOMID_SELF, pad: 0, remote_port: port, local_port: 0 };
    let result = hypercall::op(nr::EVENT_CHANNEL_OP, evtchnop::BIND_INTERDOMAIN, &mut pair);
    (result == 0).then_some((port, pair.local_port))
}

/// Closes a port.
pub fn close(port: u32) {
    let mut argument = port;
    hypercall::op(nr::EVENT_CHANNEL_OP, evtchnop::CLOSE, &mut argument);
}
