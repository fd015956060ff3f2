//! What the guest saw of the world, digested in order.
//!
//! Four classes of input, each with a digest (FNV-1a, 64 bits, offset basis
//! 0xcbf29ce484222325, prime 0x100000001b3) and a count, from boot on:
//!
//! | class | fed with, little endian | when |
//! |---|---|---|
//! | tsc | u64 value | each RDTSC |
//! | time | u64 tsc_timestamp, u64 system_time, u32 mul, u8 shift, u8 flags | each content that differs from the one before |
//! | ports | u16 port | each port found pending (and cleared), ascending within one look |
//! | bytes | u8 | each console byte read |
//!
//! A fifth one, wallclock (u64 sec, u32 nsec), is kept apart; its first
//! non-zero content counts as a change.
//!
//! Who feeds them is elsewhere: [`crate::exits`] after every exit of the guest,
//! and whoever reads the TSC or the console. Exits are counted too: the n-th exit
//! of the guest is sync point n. Those of a PVH guest are hypercalls, RDTSC, CPUID, HLT, and what its first
//! instructions do: RDMSR and WRMSR, writes to CR0 and CR4, XSETBV. What else may be an exit there
//! (ports, the local APIC, debug exceptions) is not counted: `observe` does nothing of the kind.
//!
//! Updates are not atomic as a whole: an upcall in the middle of one (possible
//! on an unlogged domain only) makes that domain's digest meaningless, no more.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One running digest and its count of inputs.
pub struct Digest {
    hash: AtomicU64,
    count: AtomicU64,
}

impl Digest {
    /// The empty digest.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self { hash: AtomicU64::new(0xcbf2_9ce4_8422_2325), count: AtomicU64::new(0) }
    }

    /// Feeds one input.
    pub fn feed(&self, bytes: &[u8]) {
        self.feed_all(&[bytes]);
    }

    /// Feeds one input of several parts.
    pub fn feed_all(&self, parts: &[&[u8]]) {
        let hash = parts.iter().copied().flatten().fold(self.hash.load(Relaxed), |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.hash.store(hash, Relaxed);
        self.count.store(self.count.load(Relaxed) + 1, Relaxed);
    }

    /// The digest so far.
    pub fn hash(&self) -> u64 {
        self.hash.load(Relaxed)
    }

    /// Inputs so far.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

/// Every TSC value.
pub static TSC: Digest = Digest::new();
/// Every distinct content of the time page.
pub static TIME: Digest = Digest::new();
/// Every port that became pending.
pub static PORTS: Digest = Digest::new();
/// Every console byte.
pub static BYTES: Digest = Digest::new();
/// Every distinct content of the wall clock.
pub static WALLCLOCK: Digest = Digest::new();
/// Exits made by the guest: the number of the last sync point.
pub static EXITS: AtomicU64 = AtomicU64::new(0);
/// How many it had made when it had mapped the shared info page.
pub static MAPPED: AtomicU64 = AtomicU64::new(0);
/// Upcalls taken.
pub static UPCALLS: AtomicU64 = AtomicU64::new(0);

/// Counts an exit of the guest's own.
#[inline]
pub fn count_exit() {
    EXITS.store(EXITS.load(Relaxed) + 1, Relaxed);
}

/// The four classes in one figure: FNV-1a over the digests of tsc, time,
/// ports and bytes, each as a little-endian u64, in that order.
pub fn combined() -> u64 {
    let all = Digest::new();
    for class in [&TSC, &TIME, &PORTS, &BYTES] {
        all.feed(&class.hash().to_le_bytes());
    }
    all.hash()
}
