//! The stage: where what arrives for a guest waits, out of its sight, for a sync point.
//!
//! Any CPU stages; only the domain's own vCPU, on its way back to the guest, takes.

use crate::abi::Stale;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

#[cfg(all(test, loom))]
mod models;

/// Event channel ports of the 2-level ABI.
const PORTS: u32 = 4096;

/// Ports that became pending, and marks of what else changed.
pub struct Stage {
    /// One bit a port.
    words: [AtomicU64; (PORTS / 64) as usize],
    /// One bit for each word of `words` that may be non-zero.
    summary: AtomicU64,
    /// Bits of [`Stale`].
    stale: AtomicU32,
    /// Ticks of the host's TSC at which the oldest staged port arrived; 0 when there is none.
    since: AtomicU64,
}

/// Ports that were taken: those of one word of the stage.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// One bit a port.
    bits: u64,
    /// The port of the lowest bit.
    base: u32,
    /// When the oldest of them arrived, in ticks.
    pub since: u64,
}

impl Taken {
    const NONE: Self = Self {
        bits: 0,
        base: 0,
        since: 0,
    };

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }
}

/// The ports, lowest first.
impl Iterator for Taken {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        if self.bits == 0 {
            return None;
        }
        let port = self.base + self.bits.trailing_zeros();
        self.bits &= self.bits - 1;
        #[allow(clippy::cast_possible_truncation, reason = "below PORTS")]
        Some(port as u16)
    }
}

impl Stage {
    /// An empty stage; Xen's begin as zeroed memory, which is the same.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self {
            words: core::array::from_fn(|_| AtomicU64::new(0)),
            summary: AtomicU64::new(0),
            stale: AtomicU32::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// Stages `port`, which arrived at `now`. Returns false when it does not exist or is staged
    /// already.
    pub fn add(&self, port: u32, now: u64) -> bool {
        let Some(word) = self.words.get((port / 64) as usize) else {
            return false;
        };
        let bit = 1u64 << (port % 64);

        // AcqRel pairs with `take_ports`: what the sender wrote before is visible to the vCPU that
        // takes the bit. The summary follows the bit, and is cleared before the words are looked
        // at, so that no bit is left behind.
        if word.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return false;
        }
        self.note_since(now);
        self.summary
            .fetch_or(1 << (port / 64 % 64), Ordering::AcqRel);
        true
    }

    /// Takes `port` back: nobody is to hear of it any more. Its sender is kept away meanwhile.
    pub fn remove(&self, port: u32) {
        if let Some(word) = self.words.get((port / 64) as usize) {
            // The summary may go on saying that there is something: taking finds an empty word.
            word.fetch_and(!(1 << (port % 64)), Ordering::AcqRel);
        }
    }

    fn note_since(&self, now: u64) {
        let _ = self
            .since
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes what changed.
    pub fn mark(&self, what: Stale) {
        // Pairs with `take_marks`.
        self.stale.fetch_or(what.bits(), Ordering::AcqRel);
    }

    /// Whether any of these is marked.
    pub fn is_marked(&self, what: Stale) -> bool {
        Stale::from_bits_retain(self.stale.load(Ordering::Acquire)).intersects(what)
    }

    /// Takes the marks. What a port announces is marked before the port is staged: so take the
    /// ports first.
    #[inline]
    pub fn take_marks(&self) -> Stale {
        if self.stale.load(Ordering::Acquire) == 0 {
            return Stale::empty();
        }
        Stale::from_bits_retain(self.stale.swap(0, Ordering::AcqRel))
    }

    /// Takes the staged ports of one word, the lowest. Those of others, and what arrives from now
    /// on, wait for the next sync point.
    #[inline]
    pub fn take_ports(&self) -> Taken {
        let summary = self.summary.load(Ordering::Acquire);
        let index = summary.trailing_zeros();
        let Some(word) = self.words.get(index as usize) else {
            return Taken::NONE;
        };
        // Without this word's bit; the lowest one.
        let rest = summary & summary.wrapping_sub(1);
        self.summary.fetch_and(!(summary ^ rest), Ordering::AcqRel);
        let since = self.since.swap(0, Ordering::Relaxed);
        if rest != 0 {
            self.note_since(since);
        }
        Taken {
            bits: word.swap(0, Ordering::AcqRel),
            base: index * 64,
            since,
        }
    }

    /// Whether any staged port is deliverable under the guest's event mask.
    pub fn is_deliverable(&self, masked: &[AtomicU64; 64]) -> bool {
        self.first_deliverable(masked).is_some()
    }

    /// The first such port.
    pub fn first_deliverable(&self, masked: &[AtomicU64; 64]) -> Option<u32> {
        let mut summary = self.summary.load(Ordering::Acquire);
        while summary != 0 {
            let index = summary.trailing_zeros() as usize;
            if let (Some(word), Some(mask)) = (self.words.get(index), masked.get(index)) {
                let bits = word.load(Ordering::Acquire) & !mask.load(Ordering::Relaxed);
                if bits != 0 {
                    return Some(summary.trailing_zeros() * 64 + bits.trailing_zeros());
                }
            }
            summary &= summary - 1;
        }
        None
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
            || Stale::from_bits_retain(self.stale.load(Ordering::Acquire)).is_cause()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn all(stage: &Stage) -> Vec<u16> {
        let mut taken = Vec::new();
        while stage.is_pending() {
            taken.extend(stage.take_ports());
        }
        taken
    }

    #[test]
    fn ports_come_back_once_and_in_order() {
        let stage = Stage::new();
        for port in [4095, 70, 3, 64, 3] {
            stage.add(port, 7);
        }
        assert!(!stage.add(4096, 7));
        let taken = stage.take_ports();
        assert_eq!((taken.since, taken.collect::<Vec<_>>()), (7, vec![3]));
        let taken = stage.take_ports();
        assert_eq!((taken.since, taken.collect::<Vec<_>>()), (7, vec![64, 70]));
        assert_eq!(all(&stage), [4095]);
        assert!(stage.take_ports().is_empty());
    }

    #[test]
    fn what_is_of_another_word_stays() {
        let stage = Stage::new();
        for port in 0..200 {
            assert!(stage.add(port, 1));
        }
        assert_eq!(
            stage.take_ports().collect::<Vec<_>>(),
            (0..64).collect::<Vec<_>>()
        );
        assert_eq!(all(&stage), (64..200).collect::<Vec<u16>>());
    }

    #[test]
    fn a_port_that_was_taken_back_does_not_come() {
        let stage = Stage::new();
        stage.add(3, 7);
        stage.add(70, 7);
        stage.remove(3);
        stage.remove(4096);
        assert!(!stage.contains(3) && stage.contains(70));
        assert_eq!(all(&stage), [70]);
        assert!(stage.add(3, 8));
        assert_eq!(all(&stage), [3]);
    }

    #[test]
    fn a_masked_port_is_not_deliverable() {
        let stage = Stage::new();
        let mask = [const { AtomicU64::new(0) }; 64];
        mask[1].store(1 << 6, Ordering::Relaxed);
        stage.add(70, 1);
        assert!(!stage.is_deliverable(&mask));
        assert!(stage.contains(70) && !stage.contains(71));
        mask[1].store(0, Ordering::Relaxed);
        assert!(stage.is_deliverable(&mask));
    }
}
