//! Pages that a backend writes are the bulk of a log. What comes again costs next to nothing,
//! however much there was in between.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Random, encode_all};
use log_format::file::{Closing, Header, Integrity, LogReader, LogWriter};
use log_format::{Encoder, Event, Item, MAX_PAGE_BYTES, Page, Record, Tsc};

/// A guest that reads blocks, and its log.
struct Guest {
    path: PathBuf,
    writer: LogWriter,
    encoder: Encoder,
    random: Random,
    sync: u64,
    tsc: u64,
    wire: Vec<u8>,
}

impl Guest {
    fn new(path: PathBuf) -> Self {
        Self {
            writer: LogWriter::create(&path, &Header::default(), &[]).unwrap(),
            path,
            encoder: Encoder::new(),
            random: Random(1),
            sync: 0,
            tsc: 0,
            wire: Vec::new(),
        }
    }

    /// Bytes that do not repeat.
    fn block(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.random.next() as u8).collect()
    }

    /// Reads bytes, ten pages to a request, into pages from anywhere. Returns what the log grew by.
    fn read(&mut self, bytes: &[u8], append_bytes: usize) -> u64 {
        let mut wire = Vec::new();
        for request in bytes.chunks(40 * 1024) {
            self.sync += 1 + self.random.below(40);
            let (sync, witness) = (self.sync, self.random.next() as u8 & 15);
            let mut commit = |encoder: &mut Encoder, record| {
                let item = Item {
                    sync,
                    witness,
                    record,
                };
                wire.extend(encode_all(encoder, [&item]));
            };
            for page in request.chunks(4096) {
                let frame = self.random.below(1 << 16);
                for (piece, offset) in page.chunks(MAX_PAGE_BYTES).zip((0..).step_by(1024)) {
                    let page = Page {
                        frame,
                        offset,
                        bytes: piece,
                    };
                    commit(&mut self.encoder, Record::Page(page));
                }
            }
            commit(&mut self.encoder, Record::Event(Event { port: 7 }));
            self.tsc += 20_000 + self.random.below(5000);
            let value = Item {
                sync,
                witness: 0,
                record: Record::Tsc(Tsc { value: self.tsc }),
            };
            wire.extend(encode_all(&mut self.encoder, [&value]));
        }
        let before = self.writer.file_bytes();
        // Whole records, as a reader of the ring appends them.
        let mut rest = wire.as_slice();
        let mut decoder = *self.writer.decoder();
        while !rest.is_empty() {
            let mut used = 0;
            while used < append_bytes.min(rest.len()) {
                used += decoder.decode(&rest[used..]).unwrap().0;
            }
            let (now, later) = rest.split_at(used);
            self.writer.append(now).unwrap();
            rest = later;
        }
        self.wire.extend_from_slice(&wire);
        self.writer.file_bytes() - before
    }

    /// Does what an idle guest does, one append each time. Returns what the log grew by.
    fn idle(&mut self, times: u64) -> u64 {
        let before = self.writer.file_bytes();
        for _ in 0..times {
            self.sync += 3;
            self.tsc += 2_400_000_000 + self.random.below(10_000);
            let item = |witness, record| Item {
                sync: self.sync,
                witness,
                record,
            };
            let items = [
                item(5, Record::Event(Event { port: 3 })),
                item(0, Record::Tsc(Tsc { value: self.tsc })),
            ];
            let wire = encode_all(&mut self.encoder, &items);
            self.writer.append(&wire).unwrap();
            self.wire.extend_from_slice(&wire);
        }
        self.writer.file_bytes() - before
    }

    /// The log gives all of it back.
    fn check(self) {
        self.writer.finish(Closing::Abandoned).unwrap();
        let mut reader = LogReader::open(&self.path).unwrap();
        let mut back = Vec::new();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            back.extend_from_slice(chunk.wire);
        }
        assert_eq!(reader.integrity(), Integrity::Complete);
        assert!(back == self.wire);
    }
}

#[test]
fn a_block_that_is_read_again_costs_next_to_nothing() {
    for append_bytes in [2000, 5000, 64 << 10, 1 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(dir.path().join("a.xlr"));
        let block = guest.block(1 << 20);
        let first = guest.read(&block, append_bytes);
        let between = guest.block(1 << 20);
        guest.read(&between, append_bytes);
        let second = guest.read(&block, append_bytes);
        let at_once = guest.read(&block, append_bytes);
        println!("appends of {append_bytes}: {first} bytes, then {second}, at once {at_once}");
        assert!(first < (1 << 20) + (1 << 20) / 64);
        assert!(second * 50 < first && at_once * 50 < first);
        guest.check();
    }
}

#[test]
fn zeros_cost_next_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(dir.path().join("a.xlr"));
    let between = guest.block(1 << 20);
    for zeros in [guest.read(&[0; 1 << 20], 1 << 20), {
        guest.read(&between, 1 << 20);
        guest.read(&[0; 1 << 20], 1 << 20)
    }] {
        println!("{zeros} bytes");
        assert!(zeros < 2500, "{zeros} bytes");
    }
    guest.check();
}

/// Small chunks of pages are not learnt from, so they disturb nothing.
#[test]
fn pages_between_small_chunks_do_not_make_them_larger() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(dir.path().join("a.xlr"));
    let block = guest.block(4096);
    guest.idle(1000);
    let before = guest.idle(200);
    let mut between = 0;
    for _ in 0..40 {
        guest.read(&block, 8000);
        between += guest.idle(5);
    }
    println!("200 times: {before} bytes, between pages {between}");
    assert!(between < before + before / 8);
    guest.check();
}

#[test]
fn a_writer_that_goes_on_with_a_file_knows_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.xlr");
    let mut guest = Guest::new(path.clone());
    let block = guest.block(1 << 19);
    let first = guest.read(&block, 1 << 18);
    let between = guest.block(1 << 19);
    guest.read(&between, 1 << 18);
    guest.writer = LogWriter::reopen(&path).unwrap().0;
    let second = guest.read(&block, 1 << 18);
    assert!(second * 50 < first, "{first} bytes, then {second}");
    guest.check();
}

/// Chunks that copy from far before are not for readers of version 5.
#[test]
fn a_file_of_an_older_version_goes_on_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.xlr");
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v5/unfinished.xlr");
    fs::copy(old, &path).unwrap();
    let mut guest = Guest::new(dir.path().join("a.xlr"));
    guest.writer = LogWriter::reopen(&path).unwrap().0;
    guest.encoder = guest.writer.decoder().to_encoder();
    guest.sync = guest.writer.last_sync();
    let mut reader = LogReader::open(&path).unwrap();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        guest.wire.extend_from_slice(chunk.wire);
    }
    guest.path = path;
    let block = guest.block(1 << 18);
    let first = guest.read(&block, 1 << 20);
    let between = guest.block(1 << 18);
    guest.read(&between, 1 << 20);
    assert!(guest.read(&block, 1 << 20) > first / 2);
    guest.check();
}
