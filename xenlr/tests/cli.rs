//! The command as a user calls it: output and exit codes of what needs no Xen.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use log_format::file::{Closing, Domain, Header, LogWriter};
use log_format::{
    Encoder, End, EndReason, Event, Item, MAX_RECORD_BYTES, Record, RingIn, TimeInfo, Tsc, Value,
    ValueKind,
};
use serde_json::Value as Json;

fn xenlr(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_xenlr"))
        .args(args)
        .assert()
}

fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

fn stderr(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../log-format/tests/data/v1")
        .join(name);
    path.to_string_lossy().into_owned()
}

const TIME: TimeInfo = TimeInfo {
    tsc_timestamp: 1000,
    system_time: 5_000_000,
    tsc_to_system_mul: 1 << 31,
    tsc_shift: 1,
    flags: 0,
};

/// What a small guest sees; `typed` is what someone types.
fn items(typed: &[u8]) -> Vec<Item<'_>> {
    let item = |sync, record: Record<'static>| Item {
        sync,
        witness: if record.is_commit() { 5 } else { 0 },
        record,
    };
    let end = End {
        reason: EndReason::Stop,
        code: 0,
        rip: 0xffff_ffff_8100_0000,
        registers: 1,
        memory: 2,
        pages: 3,
    };
    vec![
        item(1, Record::Time(TIME)),
        item(
            2,
            Record::Tsc(Tsc {
                value: 1_000_001_000,
            }),
        ),
        Item {
            sync: 3,
            witness: 7,
            record: Record::ConsoleIn(RingIn {
                prod: typed.len() as u32,
                cons: 9,
                bytes: typed,
                ext: [0; 3],
            }),
        },
        Item {
            witness: 7,
            ..item(3, Record::Event(Event { port: 2 }))
        },
        item(
            4,
            Record::Value(Value {
                kind: ValueKind::Timer,
                bytes: b"\x00\xff",
            }),
        ),
        item(5, Record::End(end)),
    ]
}

fn write_log(dir: &Path, name: &str, typed: &[u8], finish: bool) -> PathBuf {
    let path = dir.join(name);
    let header = Header {
        domain: Domain {
            name: "guest".into(),
            ..Domain::default()
        },
        ..Header::default()
    };
    let mut writer = LogWriter::create(&path, &header, &[]).unwrap();
    let mut encoder = Encoder::new();
    for item in items(typed) {
        let mut out = [0; MAX_RECORD_BYTES];
        let length = encoder.encode(&item, &mut out);
        writer.append(&out[..length]).unwrap();
    }
    writer.sync().unwrap();
    if finish {
        writer.finish(Closing::Ended).unwrap();
    }
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn dump_prints_one_object_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_log(dir.path(), "a.xlr", b"hi\r", true);
    let assert = xenlr(&["dump", "--json", text(&path)]).code(0);
    let lines: Vec<Json> = stdout(&assert)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = lines.iter().map(|l| l["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["time", "tsc", "console_in", "event", "value", "end"]
    );
    let syncs: Vec<u64> = lines.iter().map(|l| l["sync"].as_u64().unwrap()).collect();
    assert_eq!(syncs, [1, 2, 3, 3, 4, 5]);
    assert_eq!(lines[1]["value"], 1_000_001_000_u64);
    assert_eq!(lines[1]["guest_ns"], 1_005_000_000_u64);
    assert_eq!(lines[1].get("witness"), None);
    assert_eq!(lines[2]["bytes"], "68690d");
    assert_eq!(lines[2]["witness"], 7);
    assert_eq!(lines[3]["port"], 2);
    assert_eq!(lines[4]["bytes"], "00ff");
    assert_eq!(lines[5]["reason"], "stop");
    let part = xenlr(&["dump", text(&path), "--from", "3", "--to", "3"]).code(0);
    assert_eq!(stdout(&part).lines().count(), 2);
    assert!(stdout(&part).contains("console_in  prod 3 cons 9 \"hi\\r\""));
}

#[test]
fn info_counts_by_kind_and_computes_the_rate() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_log(dir.path(), "a.xlr", b"hi\r", true);
    let assert = xenlr(&["info", "--json", text(&path)]).code(0);
    let info: Json = serde_json::from_str(&stdout(&assert)).unwrap();
    assert_eq!(info["state"], "complete");
    assert_eq!(info["records"], 6);
    assert_eq!(info["sync"], 5);
    assert_eq!(info["duration_ns"], 1_000_000_000_u64);
    assert_eq!(info["by_kind"]["event"]["records"], 1);
    let by_kind: u64 = info["by_kind"]
        .as_object()
        .unwrap()
        .values()
        .map(|kind| kind["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(info["wire_bytes"], by_kind);
    let rate = info["file_bytes"].as_f64().unwrap() * 86_400.0 / 1e6;
    assert!((info["mb_per_day"].as_f64().unwrap() - rate).abs() < 1e-9);
    let people = xenlr(&["info", "--by-kind", text(&path)]).code(0);
    assert!(stdout(&people).contains("MB a day"));
    assert!(stdout(&people).contains("console_in"));
}

#[test]
fn diff_names_the_first_difference() {
    let dir = tempfile::tempdir().unwrap();
    let first = write_log(dir.path(), "a.xlr", b"hi\r", true);
    let same = write_log(dir.path(), "b.xlr", b"hi\r", false);
    let other = write_log(dir.path(), "c.xlr", b"ho\r", true);
    let equal = xenlr(&["diff", text(&first), text(&same)]).code(0);
    assert!(stdout(&equal).contains("no difference in 6 records"));
    let differ = xenlr(&["diff", "--json", text(&first), text(&other)]).code(1);
    let json: Json = serde_json::from_str(&stdout(&differ)).unwrap();
    assert_eq!(json["sync"], 3);
    assert_eq!(json["records_equal"], 2);
    assert_eq!(json["first"]["bytes"], "68690d");
    assert_eq!(json["second"]["bytes"], "686f0d");
}

#[test]
fn golden_files_stay_readable() {
    for name in ["every-kind", "torn", "unfinished"] {
        let facts = fs::read(golden(&format!("{name}.json"))).unwrap();
        let facts: Json = serde_json::from_slice(&facts).unwrap();
        let assert = xenlr(&["info", "--json", &golden(&format!("{name}.xlr"))]).code(0);
        let info: Json = serde_json::from_str(&stdout(&assert)).unwrap();
        assert_eq!(
            info["header"]["domain"], facts["header"]["domain"],
            "{name}"
        );
        let dump = xenlr(&["dump", "--json", &golden(&format!("{name}.xlr"))]).code(0);
        assert_eq!(
            stdout(&dump).lines().count() as u64,
            info["records"].as_u64().unwrap()
        );
    }
}

#[test]
fn a_damaged_log_is_shown_as_far_as_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_log(dir.path(), "a.xlr", b"hi\r", true);
    let mut bytes = fs::read(&path).unwrap();
    // Every chunk holds one record here; the third from the end is the event.
    let sound = stdout(&xenlr(&["dump", text(&path)]));
    let place = bytes.len() - 70;
    bytes[place] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let damaged = xenlr(&["dump", text(&path)]).code(2);
    assert!(sound.starts_with(&stdout(&damaged)));
    assert!(sound != stdout(&damaged));
    assert!(stderr(&damaged).contains("damaged"), "{}", stderr(&damaged));
    xenlr(&["info", text(&path)]).code(2);
    xenlr(&["diff", text(&path), text(&path)]).code(2);
}

#[test]
fn files_that_are_no_logs_have_their_own_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    fs::write(&path, b"no log").unwrap();
    for verb in ["info", "dump"] {
        xenlr(&[verb, text(&path)]).code(2);
        let missing = xenlr(&[verb, "/nonexistent/x.xlr"]).code(6);
        assert!(stderr(&missing).contains("/nonexistent/x.xlr"));
    }
    let newer = write_log(dir.path(), "n.xlr", b"", true);
    let mut bytes = fs::read(&newer).unwrap();
    bytes[8] += 1;
    fs::write(&newer, bytes).unwrap();
    let assert = xenlr(&["info", text(&newer)]).code(2);
    assert!(stderr(&assert).contains("version 2"), "{}", stderr(&assert));
}

#[test]
fn the_command_line_is_checked() {
    xenlr(&[]).code(64);
    xenlr(&["fly"]).code(64);
    xenlr(&["daemon", "--interval", "0"]).code(64);
    let until = xenlr(&["replay", "x", "--until", "soon"]).code(64);
    assert!(stderr(&until).contains("12.5s"));
    let help = xenlr(&["--help"]).code(0);
    for verb in [
        "daemon", "extract", "stop", "status", "info", "dump", "diff", "replay", "verify",
    ] {
        assert!(stdout(&help).contains(verb), "{verb}");
        let help = xenlr(&[verb, "--help"]).code(0);
        assert!(stdout(&help).contains("Examples:"), "{verb}");
    }
    let script = xenlr(&["completions", "bash"]).code(0);
    assert!(stdout(&script).contains("xenlr"));
}

#[test]
fn without_xen_the_reason_is_said() {
    if Path::new("/dev/xen/privcmd").exists() || Path::new("/proc/xen/privcmd").exists() {
        println!("SKIP: this machine runs under Xen");
        return;
    }
    for args in [
        &["status"][..],
        &["daemon", "--once"],
        &["extract", "guest"],
        &["stop", "guest"],
        &["verify", &golden("every-kind.xlr")],
    ] {
        let assert = xenlr(args).code(4);
        assert!(stderr(&assert).contains("dom0"), "{args:?}");
    }
}

/// The program that makes the controls of replay's tests; cargo builds it beside the tests.
fn alter(args: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let program = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/alter");
    let assert = Command::new(program).args(args).assert().code(0);
    stdout(&assert).trim().to_owned()
}

#[test]
fn an_altered_log_is_whole_and_differs_in_one_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_log(dir.path(), "a.xlr", b"hi\r", true);
    for kind in [
        "time",
        "tsc",
        "console_in",
        "event",
        "value",
        "end",
        "witness",
    ] {
        let other = dir.path().join(kind);
        let sync = alter(&[text(&path), text(&other), kind, "0", "2"]);
        let diff = xenlr(&["diff", "--json", text(&path), text(&other)]).code(1);
        let json: Json = serde_json::from_str(&stdout(&diff)).unwrap();
        assert_eq!(json["sync"].to_string(), sync, "{kind}");
    }
    let other = dir.path().join("header");
    alter(&[text(&path), text(&other), "header", "xen_build_id", "ffff"]);
    xenlr(&["diff", text(&path), text(&other)]).code(0);
}
