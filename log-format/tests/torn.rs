//! A log with everything that a file can hold, cut at every byte, and with every byte altered: what
//! is read is an error that says so, or whole chunks of what was written, never another record.
//!
//! The file has an image of the kernel, chunks that are compressed and chunks that are not, and a
//! trailer; the test makes sure of that.

mod common;

use std::fs;
use std::io::Cursor;

use common::{encode_all, idle_seconds, one_of_each};
use log_format::file::{
    Closing, Header, Image, ImageFile, Integrity, LogError, LogReader, LogWriter,
};
use log_format::{Encoder, Item};

const KERNEL: &[u8] = b"a kernel, a kernel, a kernel, a kernel, a kernel, a kernel";

/// The file, its items, and after how many bytes how many of them are complete.
struct Written {
    bytes: Vec<u8>,
    items: Vec<Item<'static>>,
    borders: Vec<(usize, usize)>,
}

fn write() -> Written {
    // One record of each kind, but the end, behind an idle guest's.
    let mut items = idle_seconds(30, 2, 1, 4);
    let last = items.last().map_or(0, |item| item.sync);
    let each = one_of_each().into_iter().skip(9);
    items.extend(each.map(|item| Item {
        sync: item.sync + last,
        ..item
    }));
    let header = Header {
        host: "testhost".into(),
        kernel: ImageFile {
            path: "/guests/kernel".into(),
            len: KERNEL.len() as u64,
            sha256: String::new(),
            inline: true,
        },
        ..Header::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("whole.xlr");
    let mut writer = LogWriter::create(&path, &header, &[(Image::Kernel, KERNEL)]).unwrap();
    let mut encoder = Encoder::new();
    // Small pieces do not compress, large ones do.
    for piece in [&items[..2], &items[2..100], &items[100..103], &items[103..]] {
        writer.append(&encode_all(&mut encoder, piece)).unwrap();
    }
    writer.finish(Closing::Ended).unwrap();

    let mut reader = LogReader::open(&path).unwrap();
    assert_eq!(reader.image(Image::Kernel).unwrap().unwrap(), KERNEL);
    let mut borders = vec![(reader.preamble_bytes() as usize, 0)];
    let (mut packed, mut plain) = (0, 0);
    while let Some(chunk) = reader.next_chunk().unwrap() {
        if chunk.file_bytes < chunk.wire.len() as u64 {
            packed += 1;
        } else {
            plain += 1;
        }
        borders.push((reader.file_offset() as usize, reader.records() as usize));
    }
    assert!(packed > 0 && plain > 0, "{packed} packed, {plain} plain");
    assert_eq!(reader.integrity(), Integrity::Complete);
    assert!(reader.trailer().is_some());
    let bytes = fs::read(&path).unwrap();
    Written {
        bytes,
        items,
        borders,
    }
}

impl Written {
    /// How many items stand in whole chunks before this byte.
    fn items_before(&self, place: usize) -> usize {
        let before = self.borders.iter().rev().find(|(end, _)| *end <= place);
        before.map_or(0, |(_, items)| *items)
    }

    /// Reads a damaged copy. Returns how many items it gave, all of them as written.
    fn read(&self, bytes: &[u8]) -> Result<(usize, Integrity), LogError> {
        let mut reader = LogReader::new(Cursor::new(bytes), "copy.xlr")?;
        match reader.image(Image::Kernel) {
            Ok(Some(image)) => assert_eq!(image, KERNEL, "a wrong image taken for a good one"),
            Ok(None) => panic!("the header says that there is an image"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let mut count = 0;
        for item in reader.items() {
            assert_eq!(
                item?.as_item(),
                self.items[count],
                "a wrong record taken for a good one"
            );
            count += 1;
        }
        Ok((count, reader.integrity()))
    }
}

#[test]
fn a_file_cut_at_any_byte_gives_its_whole_chunks() {
    let written = write();
    let header_end = written.borders[0].0;
    for length in 0..written.bytes.len() {
        match written.read(&written.bytes[..length]) {
            // The images are part of what stands before the chunks.
            Err(error) => assert!(length < header_end, "{length}: {error}"),
            Ok((count, integrity)) => {
                assert_eq!(count, written.items_before(length), "{length}");
                let is_at_border = written.borders.iter().any(|(end, _)| *end == length);
                match integrity {
                    // Between header and image it is not torn; `read` saw that the image is missed.
                    Integrity::Unfinished => {
                        assert!(is_at_border || length < header_end, "{length}")
                    }
                    Integrity::Torn { offset, .. } => assert!(offset <= length as u64),
                    other => panic!("cut at {length}: {other:?}"),
                }
            }
        }
    }
    // Control: the whole file is complete.
    let (count, integrity) = written.read(&written.bytes).unwrap();
    assert_eq!(
        (count, integrity),
        (written.items.len(), Integrity::Complete)
    );
}

#[test]
fn a_file_with_any_byte_altered_gives_the_chunks_before_it() {
    let written = write();
    for place in 0..written.bytes.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            let mut bytes = written.bytes.clone();
            bytes[place] ^= flip;
            let Ok((count, integrity)) = written.read(&bytes) else {
                assert!(place < written.borders[0].0, "{place} ^ {flip:#x}");
                continue;
            };
            assert_eq!(count, written.items_before(place), "{place} ^ {flip:#x}");
            match integrity {
                Integrity::Torn { offset, .. } | Integrity::Damaged { offset, .. } => {
                    assert!(offset <= place as u64, "{place} ^ {flip:#x}");
                }
                other => panic!("byte {place} ^ {flip:#x}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_writer_that_reopens_an_altered_file_keeps_what_was_good() {
    let written = write();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy.xlr");
    // Without the trailer, as a recorder that was killed leaves it.
    let (end, _) = written.borders[written.borders.len() - 1];
    for place in 0..end {
        let mut bytes = written.bytes[..end].to_vec();
        bytes[place] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        match LogWriter::reopen(&path) {
            // Refused, and left as it is.
            Err(_) => assert_eq!(fs::read(&path).unwrap(), bytes, "{place}"),
            Ok((writer, recovery)) => {
                assert!(recovery.torn.is_some(), "{place}");
                let items = written.items_before(place);
                assert_eq!(recovery.records, items as u64, "{place}");
                drop(writer);
                let left = fs::read(&path).unwrap();
                assert_eq!(left, written.bytes[..left.len()], "{place}");
                let (count, integrity) = written.read(&left).unwrap();
                assert_eq!(
                    (count, integrity),
                    (items, Integrity::Unfinished),
                    "{place}"
                );
            }
        }
    }
}
