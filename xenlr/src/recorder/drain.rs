//! One pass over a ring: read, append, make durable, and only then give the room back.
//!
//! Killed at any instant, the next reader finds either records that are still in the ring, or
//! records that are in the ring and in the file; it recognises the latter by their offset in the
//! stream. Nothing is lost and nothing is written twice.

use crate::error::Error;
use crate::ringio::{BadIndices, RingMemory, indices};

/// Where the records go. Offsets count bytes of the stream from the log's beginning.
pub trait Sink {
    /// Where the next bytes belong.
    fn offset(&self) -> u64;
    /// Takes bytes that end with a whole record. After an error, what was taken shows in
    /// [`Self::offset`].
    fn append(&mut self, wire: &[u8]) -> Result<(), Error>;
    /// Makes what was taken durable. After an error, [`Self::offset`] has gone back to where it
    /// is durable.
    fn sync(&mut self) -> Result<(), Error>;
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Bytes that are newly durable.
    pub bytes: u64,
    /// The ring was at least half full, so that the guest may be waiting, or soon will.
    pub was_half_full: bool,
}

/// Why a pass failed. Apart from [`Self::Sink`] the log cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The ring makes no sense.
    #[error(transparent)]
    Ring(#[from] BadIndices),
    /// Records were consumed that the file does not hold, or the file is another log's.
    #[error(
        "the file ends at byte {file} of the log and the ring begins at byte {cons} and ends at \
         {prod}: they do not belong together; continue with the file that holds the log up to \
         byte {cons}"
    )]
    Gap {
        /// Where the file ends.
        file: u64,
        /// Where the ring begins.
        cons: u64,
        /// Where the ring ends.
        prod: u64,
    },
    /// The file could not be written; the records are still in the ring.
    #[error(transparent)]
    Sink(Error),
}

/// Moves what the ring holds into the sink. Each index of the ring is loaded once.
pub fn drain(ring: &impl RingMemory, sink: &mut impl Sink) -> Result<Drained, DrainError> {
    let (prod, cons) = indices(ring)?;
    let from = sink.offset();
    if from < cons || from > prod {
        return Err(DrainError::Gap {
            file: from,
            cons,
            prod,
        });
    }
    let new_bytes = prod - from;
    if new_bytes > 0 {
        let mut wire = vec![0; usize::try_from(new_bytes).unwrap_or(0)];
        ring.read(from, &mut wire);
        sink.append(&wire).map_err(DrainError::Sink)?;
        sink.sync().map_err(DrainError::Sink)?;
    }
    if prod != cons {
        ring.set_cons(prod);
    }
    Ok(Drained {
        bytes: new_bytes,
        was_half_full: prod - cons >= ring.size_bytes() / 2,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringio::fake::FakeRing;
    use std::io;

    /// A sink that fails, or "dies", at a chosen step.
    #[derive(Default)]
    struct Memory {
        taken: Vec<u8>,
        durable: usize,
        steps: u32,
        fail_at: Option<u32>,
    }

    impl Memory {
        fn step(&mut self) -> Result<(), Error> {
            self.steps += 1;
            if self.fail_at == Some(self.steps) {
                return Err(Error::io("write", io::ErrorKind::StorageFull.into()));
            }
            Ok(())
        }
    }

    impl Sink for Memory {
        fn offset(&self) -> u64 {
            self.taken.len() as u64
        }
        fn append(&mut self, wire: &[u8]) -> Result<(), Error> {
            self.step()?;
            // Half of it goes through before the second possible failure.
            let half = wire.len() / 2;
            self.taken.extend_from_slice(&wire[..half]);
            self.step()?;
            self.taken.extend_from_slice(&wire[half..]);
            Ok(())
        }
        fn sync(&mut self) -> Result<(), Error> {
            if let Err(e) = self.step() {
                self.taken.truncate(self.durable);
                return Err(e);
            }
            self.durable = self.taken.len();
            Ok(())
        }
    }

    /// Bytes that tell their place, so that a gap or a repetition shows.
    fn stream(from: usize, count: usize) -> Vec<u8> {
        (from..from + count).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn what_was_produced_arrives_once_whatever_fails() {
        for fail_at in 0..40 {
            let ring = FakeRing::new(64);
            let mut sink = Memory {
                fail_at: Some(fail_at),
                ..Memory::default()
            };
            let mut produced = 0;
            for round in 0..30 {
                let count = 7 + round % 11;
                if ring.produce(&stream(produced, count)) {
                    produced += count;
                }
                let before = ring.cons.get();
                let result = drain(&ring, &mut sink);
                // cons never passes what is durable.
                assert!(ring.cons.get() <= sink.durable as u64);
                if result.is_err() {
                    assert_eq!(ring.cons.get(), before);
                }
            }
            drain(&ring, &mut sink).unwrap();
            assert_eq!(sink.taken, stream(0, produced), "failing at step {fail_at}");
        }
    }

    #[test]
    fn a_reader_killed_before_moving_cons_repeats_nothing() {
        let ring = FakeRing::new(64);
        assert!(ring.produce(&stream(0, 20)));
        let mut sink = Memory::default();
        drain(&ring, &mut sink).unwrap();
        ring.set_cons(0);
        assert!(ring.produce(&stream(20, 5)));
        assert_eq!(drain(&ring, &mut sink).unwrap().bytes, 5);
        assert_eq!(sink.taken, stream(0, 25));
        assert_eq!(ring.cons.get(), 25);
    }

    #[test]
    fn a_gap_is_refused_in_both_directions() {
        let ring = FakeRing::new(64);
        assert!(ring.produce(&stream(0, 20)));
        ring.set_cons(10);
        let behind = drain(&ring, &mut Memory::default());
        assert!(matches!(
            behind,
            Err(DrainError::Gap {
                file: 0,
                cons: 10,
                ..
            })
        ));
        let mut ahead = Memory {
            taken: stream(0, 21),
            ..Memory::default()
        };
        assert!(matches!(
            drain(&ring, &mut ahead),
            Err(DrainError::Gap { .. })
        ));
        assert_eq!(ring.cons.get(), 10);
    }

    #[test]
    fn impossible_indices_are_an_error() {
        for (prod, cons) in [(0, 1), (65, 0), (u64::MAX, 3), (1, u64::MAX)] {
            let ring = FakeRing::new(64);
            ring.set_prod(prod);
            ring.set_cons(cons);
            let result = drain(&ring, &mut Memory::default());
            assert!(matches!(result, Err(DrainError::Ring(_))), "{prod} {cons}");
        }
    }

    #[test]
    fn half_full_is_reported() {
        let ring = FakeRing::new(64);
        let mut sink = Memory::default();
        assert!(ring.produce(&stream(0, 31)));
        assert!(!drain(&ring, &mut sink).unwrap().was_half_full);
        assert!(ring.produce(&stream(31, 32)));
        assert!(drain(&ring, &mut sink).unwrap().was_half_full);
    }
}
