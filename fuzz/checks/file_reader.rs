//! Any bytes as a log file: the reader neither panics nor loops, and its counts agree. So that
//! the fuzzer gets past the checksums, the same bytes are also the wire stream of a good file.

use std::io::Cursor;

use log_format::file::{Header, Image, Integrity, LogReader, LogWriter};

/// Reads a file. Returns its records, if it is a log at all.
fn read(bytes: &[u8]) -> Option<u64> {
    let mut reader = LogReader::new(Cursor::new(bytes), "fuzz").ok()?;
    for image in [Image::Kernel, Image::Ramdisk] {
        let _ = reader.image(image);
    }
    let mut items = 0;
    while reader
        .next_item()
        .expect("no input or output error")
        .is_some()
    {
        items += 1;
    }
    assert_eq!(items, reader.records());
    if let Integrity::Torn { offset, .. } | Integrity::Damaged { offset, .. } = reader.integrity() {
        assert!(offset <= bytes.len() as u64);
        assert_eq!(offset, reader.file_offset());
    }
    Some(items)
}

/// Checks these bytes. Returns what `read` does of them as a file.
pub fn check(bytes: &[u8]) -> Option<u64> {
    let items = read(bytes);
    let path = std::env::temp_dir().join(format!("xenlr-fuzz-{}.xlr", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut writer = LogWriter::create(&path, &Header::default(), &[]).expect("a new file");
    let written = writer.append(bytes).ok();
    drop(writer);
    let file = std::fs::read(&path).expect("the file");
    std::fs::remove_file(&path).expect("the file");
    assert_eq!(read(&file), Some(written.unwrap_or(0)));
    items
}
