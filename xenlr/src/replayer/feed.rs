//! From the file into the ring, as fast as Xen takes it.

use std::io::{Read, Seek};

use log_format::file::LogReader;

use crate::error::Error;
use crate::ringio::{RingMemory, indices};

/// Feeds a log into a ring. Xen takes records across any border, so that the ring is simply kept
/// full, and a log may be larger than memory.
pub struct Feeder<R> {
    reader: LogReader<R>,
    /// Wire bytes of the current chunk that are not yet in the ring begin at `at`.
    chunk: Vec<u8>,
    at: usize,
    is_at_end: bool,
}

impl<R: Read + Seek> Feeder<R> {
    /// Feeds what `reader` has from its position on.
    pub fn new(reader: LogReader<R>) -> Self {
        Self {
            reader,
            chunk: Vec::new(),
            at: 0,
            is_at_end: false,
        }
    }

    /// Whether everything that the log has is in the ring, or through it.
    pub fn is_done(&self) -> bool {
        self.is_at_end && self.at >= self.chunk.len()
    }

    /// Fills the ring. Returns whether anything was put into it, so that Xen must be told.
    pub fn feed(&mut self, ring: &impl RingMemory) -> Result<bool, Error> {
        let (start, cons) = indices(ring).map_err(|e| Error::Refused(e.to_string()))?;
        let mut prod = start;
        let end = cons + ring.size_bytes();
        while prod < end && self.load()? {
            let left = self.chunk.get(self.at..).unwrap_or_default();
            let room = usize::try_from(end - prod).unwrap_or(usize::MAX);
            let piece = left.get(..room).unwrap_or(left);
            ring.write(prod, piece);
            prod += piece.len() as u64;
            self.at += piece.len();
        }
        if prod != start {
            ring.set_prod(prod);
        }
        Ok(prod != start)
    }

    /// Makes sure that bytes are left in `chunk`. `false`: the log is used up.
    fn load(&mut self) -> Result<bool, Error> {
        while self.at >= self.chunk.len() {
            if self.is_at_end {
                return Ok(false);
            }
            match self.reader.next_chunk()? {
                Some(chunk) => {
                    self.chunk.clear();
                    self.chunk.extend_from_slice(chunk.wire);
                    self.at = 0;
                }
                None => self.is_at_end = true,
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringio::fake::FakeRing;
    use log_format::file::{Header, LogWriter};
    use log_format::{Encoder, Item, MAX_RECORD_BYTES, Record, Tsc};

    #[test]
    fn a_log_larger_than_the_ring_arrives_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.xlr");
        let mut writer = LogWriter::create(&path, &Header::default(), &[]).unwrap();
        let mut encoder = Encoder::new();
        let mut all = Vec::new();
        for sync in 1..2000_u64 {
            let mut out = [0; MAX_RECORD_BYTES];
            let record = Record::Tsc(Tsc {
                value: sync.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            });
            let item = Item {
                sync,
                witness: 0,
                record,
            };
            let length = encoder.encode(&item, &mut out);
            writer.append(&out[..length]).unwrap();
            all.extend_from_slice(&out[..length]);
        }
        writer.sync().unwrap();
        let mut feeder = Feeder::new(LogReader::open(&path).unwrap());
        let ring = FakeRing::new(64);
        let mut got = Vec::new();
        let mut step = 0;
        while !feeder.is_done() || ring.cons() != ring.prod() {
            feeder.feed(&ring).unwrap();
            assert!(ring.prod() - ring.cons() <= 64);
            // Xen consumes any number of bytes.
            step = (step + 7) % 64 + 1;
            let take = (ring.prod() - ring.cons()).min(step) as usize;
            let mut bytes = vec![0; take];
            ring.read(ring.cons(), &mut bytes);
            got.extend_from_slice(&bytes);
            ring.set_cons(ring.cons() + take as u64);
        }
        assert!(!feeder.feed(&ring).unwrap());
        assert_eq!(got, all);
    }
}
