//! From the file into the ring, as fast as Xen takes it.

use std::io::{Read, Seek};

use log_format::file::LogReader;
use log_format::{Decoder, Encoder, Item, MAX_RECORD_BYTES, Place, Record};

use super::places::Hits;
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
    told: Option<Told>,
}

/// The log with what is known of its places.
struct Told {
    hits: Hits,
    decoder: Decoder,
    encoder: Encoder,
    /// Bytes of the log, and of what becomes of it, up to and with each place that is told of.
    shifts: Vec<(u64, u64)>,
    read: u64,
    written: u64,
}

impl Told {
    /// Appends the records of `wire`, each place with its hits.
    fn rewrite(&mut self, wire: &[u8], chunk: &mut Vec<u8>) -> Result<(), Error> {
        let mut rest = wire;
        // The reader has decoded the chunk already: an error cannot come, and would end it.
        while let Ok((length, item)) = self.decoder.decode(rest) {
            let (item, is_told) = self.tell(item);
            let mut out = [0; MAX_RECORD_BYTES];
            let used = self.encoder.encode(&item, &mut out);
            if used == 0 {
                return Err(Error::Refused(format!(
                    "the record at sync {} cannot be written",
                    item.sync
                )));
            }
            chunk.extend_from_slice(out.get(..used).unwrap_or_default());
            self.read += length as u64;
            self.written += used as u64;
            if is_told {
                self.shifts.push((self.read, self.written));
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    fn tell<'a>(&self, item: Item<'a>) -> (Item<'a>, bool) {
        match (item.record, self.hits.get(&item.sync)) {
            (Record::Place(place), Some(&hits)) => {
                let record = Record::Place(Place { hits, ..place });
                (Item { record, ..item }, true)
            }
            _ => (item, false),
        }
    }
}

impl<R: Read + Seek> Feeder<R> {
    /// Feeds what `reader` has, from its beginning on, with the hits that are known of its places.
    pub fn new(reader: LogReader<R>, hits: Hits) -> Self {
        let told = (!hits.is_empty()).then(|| Told {
            hits,
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            shifts: Vec::new(),
            read: 0,
            written: 0,
        });
        Self {
            reader,
            chunk: Vec::new(),
            at: 0,
            is_at_end: false,
            told,
        }
    }

    /// How many bytes of the log the first `bytes` that went into the ring are.
    pub fn bytes_of_log(&self, bytes: u64) -> u64 {
        let shifts = self.told.as_ref().map_or(&[][..], |told| &told.shifts);
        let before = shifts.partition_point(|(_, written)| *written <= bytes);
        match before.checked_sub(1).and_then(|last| shifts.get(last)) {
            Some((read, written)) => read + (bytes - written),
            None => bytes,
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
                    self.at = 0;
                    match &mut self.told {
                        Some(told) => told.rewrite(chunk.wire, &mut self.chunk)?,
                        None => self.chunk.extend_from_slice(chunk.wire),
                    }
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
    use log_format::Tsc;
    use log_format::file::{Header, LogWriter};

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
        let mut feeder = Feeder::new(LogReader::open(&path).unwrap(), Hits::new());
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

    /// A log of three places with TSCs between them, and its bytes when it is fed with `hits`.
    fn fed(
        dir: &std::path::Path,
        hits: &[(u64, u64)],
    ) -> (Vec<u8>, Vec<u8>, Feeder<impl Read + Seek>) {
        let path = dir.join("p.xlr");
        let _ = std::fs::remove_file(&path);
        let mut writer = LogWriter::create(&path, &Header::default(), &[]).unwrap();
        let mut encoder = Encoder::new();
        let mut all = Vec::new();
        for sync in 1..7 {
            let record = match sync {
                2 | 4 | 6 => Record::Place(Place {
                    rip: 1 << sync,
                    registers: 5,
                    fpu: 6,
                    memory: 7,
                    all_memory: 0,
                    hits: 0,
                    pages: [0; 4],
                    page_count: 0,
                }),
                _ => Record::Tsc(Tsc { value: sync << 40 }),
            };
            let item = Item {
                sync,
                witness: 0,
                record,
            };
            let mut out = [0; MAX_RECORD_BYTES];
            let length = encoder.encode(&item, &mut out);
            all.extend_from_slice(&out[..length]);
        }
        writer.append(&all).unwrap();
        writer.sync().unwrap();
        let mut feeder = Feeder::new(
            LogReader::open(&path).unwrap(),
            hits.iter().copied().collect(),
        );
        let ring = FakeRing::new(1024);
        assert!(feeder.feed(&ring).unwrap() && feeder.is_done());
        let mut got = vec![0; ring.prod() as usize];
        ring.read(0, &mut got);
        (all, got, feeder)
    }

    fn items(mut wire: &[u8]) -> Vec<(usize, Option<u64>)> {
        let mut decoder = Decoder::new();
        let mut items = Vec::new();
        while let Ok((length, item)) = decoder.decode(wire) {
            items.push(match item.record {
                Record::Place(place) => (length, Some(place.hits)),
                _ => (length, None),
            });
            wire = &wire[length..];
        }
        items
    }

    #[test]
    fn places_are_told_what_is_known_of_them_and_nothing_else_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (all, got, _) = fed(dir.path(), &[]);
        assert_eq!(all, got);
        // A number that has no place, or not this one, is none of the log's.
        let (all, got, feeder) = fed(dir.path(), &[(2, 70_000), (3, 9), (6, u64::MAX), (8, 1)]);
        let (plain, told) = (items(&all), items(&got));
        let hits: Vec<_> = told.iter().filter_map(|(_, hits)| *hits).collect();
        assert_eq!(hits, [70_000, 0, u64::MAX]);
        assert_eq!(plain.len(), told.len());
        // Wherever it stands between two records, it is known how much of the log that is.
        let (mut read, mut written) = (0, 0);
        for ((before, _), (after, _)) in plain.iter().zip(&told) {
            assert_eq!(feeder.bytes_of_log(written), read);
            read += *before as u64;
            written += *after as u64;
        }
        assert_eq!((read, written), (all.len() as u64, got.len() as u64));
        assert_eq!(feeder.bytes_of_log(written), read);
    }
}
