//! A disk that is full, as a limit on the file's size: the log keeps its whole chunks and goes on
//! once there is room.

mod common;

use std::path::Path;
use std::process::Command;

use common::{encode_all, idle_seconds};
use log_format::Encoder;
use log_format::file::{Closing, Header, Integrity, LogError, LogReader, LogWriter};

const PATH_VARIABLE: &str = "XENLR_FULL_DISK_TEST";

fn chunks() -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    let items = idle_seconds(2000, 8, 1, 11);
    items
        .chunks(999)
        .map(|items| encode_all(&mut encoder, items))
        .collect()
}

/// Runs in a process whose files may not grow beyond a few KiB.
fn fill(path: &Path) {
    let mut writer = LogWriter::create(path, &Header::default(), &[]).unwrap();
    for wire in chunks() {
        let before = (writer.wire_offset(), writer.file_bytes());
        if let Err(error) = writer.append(&wire) {
            assert!(matches!(error, LogError::Io { .. }), "{error}");
            assert!(writer.append(&wire).is_err(), "there is still no room");
            assert_eq!((writer.wire_offset(), writer.file_bytes()), before);
            writer.sync().unwrap();
            return;
        }
    }
    panic!("the disk was never full");
}

#[test]
fn a_log_survives_a_full_disk() {
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        return fill(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.xlr");
    let limited = "trap '' XFSZ; ulimit -f 32; exec \"$0\" --exact a_log_survives_a_full_disk";
    let status = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env(PATH_VARIABLE, &path)
        .status()
        .unwrap();
    assert!(status.success());

    let (mut writer, recovery) = LogWriter::reopen(&path).unwrap();
    assert!(recovery.wire_offset > 0);
    let wire = chunks().concat();
    writer
        .append(&wire[recovery.wire_offset as usize..])
        .unwrap();
    writer.finish(Closing::Abandoned).unwrap();
    let mut reader = LogReader::open(&path).unwrap();
    let mut back = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        back.extend_from_slice(chunk.wire);
    }
    assert!(back == wire);
    assert_eq!(reader.integrity(), Integrity::Complete);
}
