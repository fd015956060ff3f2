//! `alter` makes logs that are whole and differ in one place: the controls of the tests in the rig.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use log_format::file::FORMAT_VERSION;
use xenlr::logfile;

/// A log with a record of every kind, in the present version of the format.
fn every_kind() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!(
        "../log-format/tests/data/v{FORMAT_VERSION}/every-kind.xlr"
    ))
}

/// Runs `alter` on that log; the new one, and what it printed.
fn alter(to: &Path, what: &[&str]) -> String {
    let assert = Command::new(env!("CARGO_BIN_EXE_alter"))
        .args([every_kind().as_path(), to])
        .args(what)
        .assert()
        .code(0);
    String::from_utf8_lossy(&assert.get_output().stdout)
        .trim()
        .to_owned()
}

/// The sync number of the first record in which two logs differ.
fn first_difference(one: &Path, other: &Path) -> Option<u64> {
    let mut one = logfile::open(one).unwrap();
    let mut other = logfile::open(other).unwrap();
    loop {
        match (one.next_item().unwrap(), other.next_item().unwrap()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => {
                return [a, b].iter().flatten().map(|item| item.reached()).min();
            }
        }
    }
}

/// The names of all kinds in the log.
fn kinds() -> Vec<&'static str> {
    let mut reader = logfile::open(&every_kind()).unwrap();
    let mut kinds = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        if !kinds.contains(&item.record.kind_name()) {
            kinds.push(item.record.kind_name());
        }
    }
    kinds
}

#[test]
fn an_altered_log_is_whole_and_differs_in_one_place() {
    let dir = tempfile::tempdir().unwrap();
    let kinds = kinds();
    assert!(kinds.len() >= 10, "{kinds:?}");
    for what in kinds.into_iter().chain(["witness", "drop"]) {
        let other = dir.path().join(what);
        let sync = alter(&other, &[what, "0", "2"]);
        let difference = first_difference(&every_kind(), &other).map(|sync| sync.to_string());
        assert_eq!(difference, Some(sync), "{what}");
    }
    // A header is no record.
    let other = dir.path().join("header");
    alter(&other, &["header", "xen_build_id", "ffff"]);
    assert_eq!(first_difference(&every_kind(), &other), None);
    assert_ne!(
        std::fs::read(&other).unwrap(),
        std::fs::read(every_kind()).unwrap()
    );
}
