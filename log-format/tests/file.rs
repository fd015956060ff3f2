//! The log in a file: written, read, damaged, continued; `torn.rs` goes through every byte.

mod common;

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Random, encode_all, idle_seconds, one_of_each};
use log_format::file::{
    Closing, Header, Image, ImageFile, Integrity, LogError, LogReader, LogWriter, Setting,
};
use log_format::{Encoder, Item, Record, Tsc, Value, ValueKind};

fn header() -> Header {
    Header {
        host: "testhost".into(),
        config: [("type".to_owned(), Setting::Text("pv".into()))].into(),
        ..Header::default()
    }
}

/// Chunks of a small log: one of each kind of record, three or so a chunk.
fn small_chunks() -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    one_of_each()
        .chunks(4)
        .map(|items| encode_all(&mut encoder, items))
        .collect()
}

fn write_small(path: &Path) {
    let mut writer = LogWriter::create(path, &header(), &[]).unwrap();
    for wire in small_chunks() {
        writer.append(&wire).unwrap();
    }
    writer.finish(Closing::Ended).unwrap();
}

/// The items that a file gives, and its state.
fn read(bytes: &[u8]) -> Result<(Vec<Item<'static>>, usize, Integrity), LogError> {
    let mut reader = LogReader::new(Cursor::new(bytes), "test.xlr")?;
    let expected = one_of_each();
    let mut count = 0;
    for item in reader.items() {
        assert_eq!(
            item?.as_item(),
            expected[count],
            "a wrong record taken for a good one"
        );
        count += 1;
    }
    Ok((expected[..count].to_vec(), count, reader.integrity()))
}

#[test]
fn a_finished_log_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.xlr");
    write_small(&path);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (items, count, integrity) = read(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(integrity, Integrity::Complete);
    assert_eq!(count, one_of_each().len());
    assert_eq!(items, one_of_each());

    let mut reader = LogReader::open(&path).unwrap();
    assert_eq!(*reader.header(), header());
    for (number, wire) in (0..).zip(small_chunks()) {
        let chunk = reader.next_chunk().unwrap().unwrap();
        assert_eq!((chunk.number, chunk.wire), (number, &wire[..]));
    }
    assert_eq!(reader.next_chunk().unwrap(), None);
    assert_eq!(reader.trailer().unwrap().sync, 1 << 40);
    assert!(matches!(
        LogWriter::reopen(&path),
        Err(LogError::Finished { .. })
    ));
    assert!(matches!(
        LogWriter::create(&path, &header(), &[]),
        Err(LogError::Io { .. })
    ));
}

#[test]
fn damage_in_the_middle_is_told_from_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.xlr");
    write_small(&path);
    let bytes = fs::read(&path).unwrap();
    let mut reader = LogReader::open(&path).unwrap();
    let first = reader.next_chunk().unwrap().unwrap();
    let (begin, length) = (first.file_offset as usize, first.file_bytes as usize);
    for place in begin..begin + length {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x10;
        let (_, count, integrity) = read(&bytes).unwrap();
        assert_eq!(count, 0);
        assert!(
            matches!(integrity, Integrity::Damaged { chunk: 0, .. }),
            "{place}: {integrity:?}"
        );
    }
    // A chunk that is missing, or stands twice.
    let without = [&bytes[..begin], &bytes[begin + length..]].concat();
    assert!(matches!(
        read(&without).unwrap().2,
        Integrity::Damaged { chunk: 0, .. }
    ));
    let twice = [&bytes[..begin + length], &bytes[begin..]].concat();
    assert!(matches!(
        read(&twice).unwrap().2,
        Integrity::Damaged { chunk: 1, .. }
    ));
    // Bytes behind the trailer; zeros behind the last chunk.
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(
        read(&longer).unwrap().2,
        Integrity::Damaged { .. }
    ));
    let zeros = [&bytes[..begin + length], &[0; 100]].concat();
    assert!(matches!(read(&zeros).unwrap().2, Integrity::Torn { .. }));
}

#[test]
fn a_torn_log_is_continued() {
    let dir = tempfile::tempdir().unwrap();
    let whole_path = dir.path().join("whole.xlr");
    write_small(&whole_path);
    let whole = fs::read(&whole_path).unwrap();
    let stream = small_chunks().concat();
    let preamble = LogReader::open(&whole_path).unwrap().preamble_bytes() as usize;
    for length in preamble..whole.len() {
        let path = dir.path().join("torn.xlr");
        fs::write(&path, &whole[..length]).unwrap();
        let (mut writer, recovery) = LogWriter::reopen(&path).unwrap();
        assert_eq!(recovery.cut_bytes, length as u64 - writer.file_bytes());
        assert_eq!(recovery.torn.is_some(), recovery.cut_bytes != 0);
        assert_eq!(fs::metadata(&path).unwrap().len(), writer.file_bytes());
        let rest = &stream[recovery.wire_offset as usize..];
        writer.append(rest).unwrap();
        assert!(writer.is_ended());
        writer.finish(Closing::Ended).unwrap();
        let (_, count, integrity) = read(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            (count, integrity),
            (one_of_each().len(), Integrity::Complete)
        );
    }
}

#[test]
fn bytes_that_do_not_continue_the_log_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.xlr");
    let mut writer = LogWriter::create(&path, &header(), &[]).unwrap();
    let chunks = small_chunks();
    writer.append(&chunks[0]).unwrap();
    let before = writer.file_bytes();
    let cut = &chunks[1][..chunks[1].len() - 1];
    assert!(matches!(writer.append(cut), Err(LogError::Record { .. })));
    assert!(matches!(writer.append(&[0]), Err(LogError::Record { .. })));
    assert_eq!(writer.file_bytes(), before);
    writer.append(&chunks[1]).unwrap();
}

#[test]
fn images_travel_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.xlr");
    let mut random = common::Random(3);
    let kernel: Vec<u8> = (0..(9 << 20))
        .map(|i| if i % 3 == 0 { random.next() as u8 } else { 0 })
        .collect();
    let ramdisk = b"a small ramdisk".to_vec();
    let file = |bytes: &[u8]| ImageFile {
        path: "/guests/x".into(),
        len: bytes.len() as u64,
        sha256: String::new(),
        inline: true,
    };
    let header = Header {
        kernel: file(&kernel),
        ramdisk: Some(file(&ramdisk)),
        ..header()
    };
    let images: [(Image, &[u8]); 2] = [(Image::Kernel, &kernel), (Image::Ramdisk, &ramdisk)];
    let mut writer = LogWriter::create(&path, &header, &images).unwrap();
    let wire = small_chunks().concat();
    writer.append(&wire).unwrap();
    writer.finish(Closing::Ended).unwrap();
    let mut reader = LogReader::open(&path).unwrap();
    assert_eq!(reader.image(Image::Ramdisk).unwrap().unwrap(), ramdisk);
    assert_eq!(reader.next_chunk().unwrap().unwrap().wire, wire);
    assert!(reader.image(Image::Kernel).unwrap().unwrap() == kernel);
    assert_eq!(reader.next_chunk().unwrap(), None);
    assert_eq!(reader.integrity(), Integrity::Complete);

    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut reader = LogReader::new(Cursor::new(&bytes), "x").unwrap();
    assert!(matches!(reader.integrity(), Integrity::Damaged { .. }));
    assert!(matches!(
        reader.image(Image::Kernel),
        Err(LogError::Image { .. })
    ));
}

#[test]
fn a_long_log_is_split_into_chunks_and_small_chunks_compress_well() {
    let dir = tempfile::tempdir().unwrap();
    let items = idle_seconds(40_000, 8, 1, 9);
    let wire = encode_all(&mut Encoder::new(), &items);
    let path = dir.path().join("long.xlr");
    let mut writer = LogWriter::create(&path, &header(), &[]).unwrap();
    assert_eq!(writer.append(&wire).unwrap(), items.len() as u64);
    let one_piece = writer.file_bytes();
    let mut reader = LogReader::open(&path).unwrap();
    let mut count = 0;
    while let Some(item) = reader.next_item().unwrap() {
        assert_eq!(item, items[count]);
        count += 1;
    }
    assert_eq!(
        (count, reader.integrity()),
        (items.len(), Integrity::Unfinished)
    );

    let path = dir.path().join("minutes.xlr");
    let mut writer = LogWriter::create(&path, &header(), &[]).unwrap();
    let mut encoder = Encoder::new();
    for minute in items.chunks(12 * 60) {
        writer.append(&encode_all(&mut encoder, minute)).unwrap();
    }
    println!(
        "40,000 s: wire {}, in one piece {one_piece}, a chunk a minute {}",
        wire.len(),
        writer.file_bytes()
    );
    assert!(writer.file_bytes() < one_piece + one_piece / 5);
}

#[test]
fn small_chunks_in_any_form_stand_beside_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.xlr");
    let mut writer = LogWriter::create(&path, &header(), &[]).unwrap();
    let mut encoder = Encoder::new();
    let mut random = Random(5);
    let mut wire = Vec::new();
    let mut forms = [0; 3];
    let mut keep = |writer: &mut LogWriter, bytes: &[u8], form: usize| {
        let before = writer.file_bytes();
        writer.append(bytes).unwrap();
        forms[form] += (writer.file_bytes() - before) as usize;
        wire.extend_from_slice(bytes);
    };
    let seconds = idle_seconds(300, 4, 1, 3);
    let last = seconds.last().unwrap().sync;
    let mut noise = Vec::new();
    for items in seconds.chunks(100) {
        keep(&mut writer, &encode_all(&mut encoder, items), 0);
    }
    for round in 1..20 {
        // Each noise once, as it is, and then again, which is found in what went before.
        if round % 2 == 1 {
            noise = (0..1000).map(|_| random.next() as u8).collect();
        }
        let items: Vec<_> = noise
            .chunks(100)
            .map(|bytes| Item {
                sync: last + round,
                witness: 0,
                record: Record::Value(Value {
                    kind: ValueKind::Hypercall,
                    bytes,
                }),
            })
            .collect();
        let form = 2 - round as usize % 2;
        keep(&mut writer, &encode_all(&mut encoder, &items), form);
        let event = Item {
            sync: last + round + 1,
            witness: 0,
            record: Record::Tsc(Tsc {
                value: random.next() >> 32,
            }),
        };
        keep(&mut writer, &encode_all(&mut encoder, &[event]), 0);
    }
    writer.finish(Closing::Abandoned).unwrap();
    let [modeled, raw, packed] = forms;
    assert!(raw > 10_000 && packed < 1500 && modeled < 6000, "{forms:?}");

    let mut reader = LogReader::open(&path).unwrap();
    let mut back = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        back.extend_from_slice(chunk.wire);
    }
    assert_eq!(reader.integrity(), Integrity::Complete);
    assert!(back == wire);
}

#[test]
fn a_reader_follows_a_growing_file() {
    let dir = tempfile::tempdir().unwrap();
    let whole_path = dir.path().join("whole.xlr");
    write_small(&whole_path);
    let whole = fs::read(&whole_path).unwrap();
    let preamble = LogReader::open(&whole_path).unwrap().preamble_bytes() as usize;
    let path = dir.path().join("growing.xlr");
    fs::write(&path, &whole[..preamble]).unwrap();
    let mut reader = LogReader::open(&path).unwrap();
    let expected = one_of_each();
    let mut count = 0;
    for length in preamble..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        while let Some(item) = reader.next_item().unwrap() {
            assert_eq!(item, expected[count]);
            count += 1;
        }
    }
    assert_eq!(
        (count, reader.integrity()),
        (expected.len(), Integrity::Complete)
    );
}
