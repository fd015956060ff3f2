//! A disk that is full, as a limit on the file's size: the log keeps its whole chunks and goes on
//! once there is room.

mod common;

use std::path::Path;
use std::process::Command;

use common::{encode_all, idle_seconds};
use log_format::Encoder;
use log_format::file::{Closing, Header, Integrity, LogError, LogReader, LogWriter};

const PATH_VARIABLE: &str = "XENLR_FULL_DISK_TEST";

/// Chunks of `items` records each.
fn chunks(items: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    idle_seconds(2000, 8, 1, 11)
        .chunks(items)
        .map(|items| encode_all(&mut encoder, items))
        .collect()
}

/// Runs in a process whose files may not grow beyond a few KiB, until it says so itself.
fn fill(path: &Path) {
    for (name, items) in [("large", 4999), ("small", 150)] {
        let chunks = chunks(items);
        for (how, shorter) in [("again", false), ("otherwise", true)] {
            limit("16384");
            let path = path.join(format!("{name}-{how}.xlr"));
            let mut writer = LogWriter::create(&path, &Header::default(), &[]).unwrap();
            let failed = chunks.iter().position(|wire| {
                let before = (writer.wire_offset(), writer.file_bytes());
                let Err(error) = writer.append(wire) else {
                    return false;
                };
                assert!(matches!(error, LogError::Io { .. }), "{error}");
                assert!(writer.append(wire).is_err(), "there is still no room");
                assert_eq!((writer.wire_offset(), writer.file_bytes()), before);
                true
            });
            writer.sync().unwrap();
            limit("unlimited");
            // There is room again: with what came meanwhile, or with a part of it first.
            let failed = failed.expect("the disk was never full");
            let rest = chunks[failed..].concat();
            let mut at = 0;
            if shorter {
                let mut decoder = *writer.decoder();
                at = decoder.decode(&rest).unwrap().0;
                assert_eq!(writer.append(&rest[..at]).unwrap(), 1);
            }
            writer.append(&rest[at..]).unwrap();
            writer.finish(Closing::Abandoned).unwrap();
            assert_whole(&path, &chunks.concat());
        }
    }
    // Left as it is when the process ends.
    limit("16384");
    let mut writer = LogWriter::create(path.join("left.xlr"), &Header::default(), &[]).unwrap();
    assert!(chunks(999).iter().any(|wire| writer.append(wire).is_err()));
}

/// The largest file that this process may write, in bytes.
fn limit(bytes: &str) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", std::process::id()))
        .arg(format!("--fsize={bytes}:"))
        .status()
        .unwrap();
    assert!(status.success());
}

fn assert_whole(path: &Path, wire: &[u8]) {
    let mut reader = LogReader::open(path).unwrap();
    let mut back = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        back.extend_from_slice(chunk.wire);
    }
    assert!(back == wire);
    assert_eq!(reader.integrity(), Integrity::Complete);
}

#[test]
fn a_log_survives_a_full_disk() {
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        return fill(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let limited = "trap '' XFSZ; exec \"$0\" --exact a_log_survives_a_full_disk";
    let status = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env(PATH_VARIABLE, dir.path())
        .status()
        .unwrap();
    assert!(status.success());

    let path = dir.path().join("left.xlr");
    let (mut writer, recovery) = LogWriter::reopen(&path).unwrap();
    assert!(recovery.wire_offset > 0);
    let wire = chunks(999).concat();
    writer
        .append(&wire[recovery.wire_offset as usize..])
        .unwrap();
    writer.finish(Closing::Abandoned).unwrap();
    assert_whole(&path, &wire);
}
