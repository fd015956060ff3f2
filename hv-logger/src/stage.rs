//! The stage: where what arrives for a guest waits, out of its sight, for a sync point.
//!
//! Any CPU stages; only the domain's own vCPU, on its way back to the guest, takes.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

#[cfg(all(test, loom))]
mod models;

/// How many ports are taken at once.
pub(crate) const MAX_PORTS: usize = 16;

/// Event channel ports of the 2-level ABI.
const PORTS: u32 = 4096;

/// Ports that became pending, and marks of what else changed.
pub struct Stage {
    /// One bit a port.
    words: [AtomicU64; (PORTS / 64) as usize],
    /// One bit for each word of `words` that may be non-zero.
    summary: AtomicU64,
    /// `HVLOG_STALE_*`.
    stale: AtomicU32,
    /// Host time at which the oldest staged port arrived; 0 when there is none.
    since_ns: AtomicU64,
}

impl Stage {
    /// An empty stage; Xen's begin as zeroed memory, which is the same.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self {
            words: core::array::from_fn(|_| AtomicU64::new(0)),
            summary: AtomicU64::new(0),
            stale: AtomicU32::new(0),
            since_ns: AtomicU64::new(0),
        }
    }

    /// Stages `port`. Returns false when it does not exist or is staged already.
    pub fn add(&self, port: u32, now_ns: u64) -> bool {
        let Some(word) = self.words.get((port / 64) as usize) else {
            return false;
        };
        let bit = 1u64 << (port % 64);

        // AcqRel pairs with `take_word`: what the sender wrote before is visible to the vCPU that
        // takes the bit. The summary follows the bit, and is cleared before the words are looked
        // at, so that no bit is left behind.
        if word.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return false;
        }
        let _ = self
            .since_ns
            .compare_exchange(0, now_ns, Ordering::Relaxed, Ordering::Relaxed);
        self.summary
            .fetch_or(1 << (port / 64 % 64), Ordering::AcqRel);
        true
    }

    /// Notes that `HVLOG_STALE_*` things changed.
    pub fn mark(&self, what: u32) {
        // Pairs with `take_marks`.
        self.stale.fetch_or(what, Ordering::AcqRel);
    }

    /// Takes the marks.
    pub fn take_marks(&self) -> u32 {
        self.stale.swap(0, Ordering::AcqRel)
    }

    /// Takes at most [`MAX_PORTS`] staged ports, lowest first, and the time the oldest arrived. Ports that
    /// arrive from now on wait for the next sync point; so do those beyond the limit.
    pub fn take_ports(&self, ports: &mut [u16; MAX_PORTS]) -> (usize, u64) {
        let mut summary = self.summary.swap(0, Ordering::AcqRel);
        if summary == 0 {
            return (0, 0);
        }
        let since = self.since_ns.swap(0, Ordering::Relaxed);
        let mut slots = ports.iter_mut();
        let mut taken = 0;

        while summary != 0 {
            let index = summary.trailing_zeros();
            let Some(word) = self.words.get(index as usize) else {
                break;
            };
            let mut bits = word.swap(0, Ordering::AcqRel);

            while bits != 0 {
                let Some(slot) = slots.next() else {
                    // No room: put the rest back, and remember the words not looked at.
                    word.fetch_or(bits, Ordering::AcqRel);
                    self.summary.fetch_or(summary, Ordering::AcqRel);
                    let _ = self.since_ns.compare_exchange(
                        0,
                        since,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                    return (taken, since);
                };
                #[allow(clippy::cast_possible_truncation, reason = "below PORTS")]
                {
                    *slot = (index * 64 + bits.trailing_zeros()) as u16;
                }
                bits &= bits - 1;
                taken += 1;
            }
            summary &= summary - 1;
        }
        (taken, since)
    }

    /// Whether any staged port is deliverable under the guest's event mask.
    pub fn deliverable(&self, masked: &[AtomicU64; 64]) -> bool {
        let mut summary = self.summary.load(Ordering::Acquire);
        while summary != 0 {
            let index = summary.trailing_zeros() as usize;
            if let (Some(word), Some(mask)) = (self.words.get(index), masked.get(index))
                && word.load(Ordering::Acquire) & !mask.load(Ordering::Relaxed) != 0
            {
                return true;
            }
            summary &= summary - 1;
        }
        false
    }

    /// Whether `port` is staged.
    pub fn contains(&self, port: u32) -> bool {
        self.words
            .get((port / 64) as usize)
            .is_some_and(|word| word.load(Ordering::Acquire) >> (port % 64) & 1 != 0)
    }

    /// Whether ports or causes for a commit wait.
    pub fn is_pending(&self) -> bool {
        self.summary.load(Ordering::Acquire) != 0
            || self.stale.load(Ordering::Acquire) & !crate::abi::HVLOG_STALE_RUNSTATE != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ports_come_back_once_and_in_order() {
        let stage = Stage::new();
        for port in [4095, 3, 64, 3] {
            stage.add(port, 7);
        }
        assert!(!stage.add(4096, 7));
        let mut ports = [0; MAX_PORTS];
        let (n, since) = stage.take_ports(&mut ports);
        assert_eq!((&ports[..n], since), (&[3, 64, 4095][..], 7));
        assert_eq!(stage.take_ports(&mut ports).0, 0);
    }

    #[test]
    fn what_does_not_fit_stays() {
        let stage = Stage::new();
        for port in 0..100 {
            assert!(stage.add(port, 1));
        }
        let mut ports = [0; MAX_PORTS];
        let mut taken = Vec::new();
        while stage.is_pending() {
            let (n, _) = stage.take_ports(&mut ports);
            assert!(n == MAX_PORTS || taken.len() + n == 100);
            taken.extend_from_slice(&ports[..n]);
        }
        assert_eq!(taken, (0..100).collect::<Vec<u16>>());
    }

    #[test]
    fn a_masked_port_is_not_deliverable() {
        let stage = Stage::new();
        let mask = [const { AtomicU64::new(0) }; 64];
        mask[1].store(1 << 6, Ordering::Relaxed);
        stage.add(70, 1);
        assert!(!stage.deliverable(&mask));
        assert!(stage.contains(70) && !stage.contains(71));
        mask[1].store(0, Ordering::Relaxed);
        assert!(stage.deliverable(&mask));
    }
}
