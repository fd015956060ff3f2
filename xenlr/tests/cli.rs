//! The command as a user calls it: output and exit codes of what needs no Xen.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use log_format::file::{Closing, Domain, FORMAT_VERSION, Header, LogWriter};
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
fn items(typed: &[u8], reason: EndReason) -> Vec<Item<'_>> {
    let item = |sync, record: Record<'static>| Item {
        sync,
        witness: if record.is_commit() { 5 } else { 0 },
        record,
    };
    let end = End {
        reason,
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
    let header = header("guest", 0);
    let items = items(typed, EndReason::Stop);
    write_items(dir, name, &header, &items, finish.then_some(Closing::Ended))
}

fn header(domain: &str, started_s: u64) -> Header {
    Header {
        domain: Domain {
            name: domain.into(),
            ..Domain::default()
        },
        started_unix_ns: started_s * 1_000_000_000,
        ..Header::default()
    }
}

fn write_items(
    dir: &Path,
    name: &str,
    header: &Header,
    items: &[Item<'_>],
    closing: Option<Closing>,
) -> PathBuf {
    let path = dir.join(name);
    let mut writer = LogWriter::create(&path, header, &[]).unwrap();
    let mut encoder = Encoder::new();
    for item in items {
        let mut out = [0; MAX_RECORD_BYTES];
        let length = encoder.encode(item, &mut out);
        writer.append(&out[..length]).unwrap();
    }
    writer.sync().unwrap();
    if let Some(closing) = closing {
        writer.finish(closing).unwrap();
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
    let known = format!("reads version {FORMAT_VERSION}");
    assert!(stderr(&assert).contains(&known), "{}", stderr(&assert));
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
        "daemon", "extract", "stop", "status", "ls", "info", "dump", "diff", "replay", "verify",
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

fn json(text: &str) -> Json {
    serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_part_of_a_log_says_nothing_of_its_trailer() {
    let dir = tempfile::tempdir().unwrap();
    let whole = write_log(dir.path(), "a.xlr", b"hi\r", true);
    let part = xenlr(&["dump", text(&whole), "--to", "3"]).code(0);
    assert_eq!(stderr(&part), "");
    // Control: of a log that is read to its end it does.
    let unfinished = write_log(dir.path(), "b.xlr", b"hi\r", false);
    let warned = xenlr(&["dump", text(&unfinished)]).code(0);
    assert!(stderr(&warned).contains("no trailer"));
}

#[test]
fn all_verbs_count_the_same_sync_points_of_a_guest_that_shut_down() {
    let dir = tempfile::tempdir().unwrap();
    for reason in [EndReason::Shutdown, EndReason::Crash, EndReason::Stop] {
        let items = items(b"hi\r", reason);
        let name = format!("{}.xlr", reason.name());
        let closing = Some(Closing::Ended);
        let path = write_items(dir.path(), &name, &header("guest", 1), &items, closing);
        // The end of a guest that ends by itself stands behind the values of its last sync point.
        let reached = if reason == EndReason::Stop { 5 } else { 4 };
        let dump = xenlr(&["dump", "--json", text(&path)]).code(0);
        let last = json(stdout(&dump).lines().last().unwrap());
        assert_eq!(last["sync"], reached, "dump --json, {name}");
        let dump = xenlr(&["dump", text(&path)]).code(0);
        let last = stdout(&dump).lines().last().unwrap().to_owned();
        let shown = last.split_whitespace().next().unwrap().to_owned();
        assert_eq!(shown, reached.to_string(), "dump, {name}");
        let info = xenlr(&["info", "--json", text(&path)]).code(0);
        assert_eq!(json(&stdout(&info))["sync"], reached, "info, {name}");
        let diff = xenlr(&["diff", "--json", text(&path), text(&path)]).code(0);
        assert_eq!(json(&stdout(&diff))["sync"], reached, "diff, {name}");
        let ls = xenlr(&["ls", "--json", text(dir.path())]).code(0);
        let all = json(&stdout(&ls));
        let ours = |log: &&Json| log["file"] == text(&path);
        let ours = all.as_array().unwrap().iter().find(ours).unwrap();
        assert_eq!(ours["sync"], reached, "ls, {name}");
        let from = reached.to_string();
        let tail = xenlr(&["dump", text(&path), "--from", &from]).code(0);
        assert_eq!(stdout(&tail).lines().last(), Some(last.as_str()));
    }
}

#[test]
fn a_log_without_its_end_says_how_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    for closing in [Closing::Lost, Closing::Abandoned] {
        let all = items(b"", EndReason::Stop);
        let name = format!("{}.xlr", closing.name());
        let header = header("guest", 1);
        let path = write_items(dir.path(), &name, &header, &all[..3], Some(closing));
        let info = xenlr(&["info", text(&path)]).code(0);
        let state = format!("state        complete, {}:", closing.name());
        assert!(stdout(&info).contains(&state), "{}", stdout(&info));
        let end = format!("end          none ({})", closing.name());
        assert!(stdout(&info).contains(&end), "{}", stdout(&info));
        let info = json(&stdout(&xenlr(&["info", "--json", text(&path)]).code(0)));
        assert_eq!(info["state"], "complete");
        assert_eq!(info["closing"], closing.name());
    }
}

#[test]
fn info_says_where_and_when_a_log_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut header = header("guest", 1_222_603_200);
    header.xen_build_id = Some("c0ffee".into());
    header
        .extra
        .insert("cpu_model".into(), "EPYC (23/1/2)".into());
    let path = write_items(dir.path(), "a.xlr", &header, &[], None);
    let info = stdout(&xenlr(&["info", text(&path)]).code(0));
    for row in [
        "build id     c0ffee",
        "started      2008-09-28 12:00:00 UTC",
        "CPU model    EPYC (23/1/2)",
    ] {
        assert!(info.contains(row), "{row}: {info}");
    }
}

#[test]
fn dump_picks_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_log(dir.path(), "a.xlr", b"hi\r", true);
    let some = xenlr(&["dump", "--json", text(&path), "--kind", "tsc,event"]).code(0);
    let kinds: Vec<String> = stdout(&some)
        .lines()
        .map(|line| json(line)["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["tsc", "event"]);
    let wrong = xenlr(&["dump", text(&path), "--kind", "keys"]).code(64);
    assert!(stderr(&wrong).contains("console_in"), "{}", stderr(&wrong));
}

fn xenlr_in(dir: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_xenlr"))
        .env("XENLR_LOG_DIR", dir)
        .args(args)
        .assert()
}

#[test]
fn logs_are_listed_and_the_latest_is_meant_when_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let empty = xenlr_in(dir.path(), &["info"]).code(64);
    assert!(stderr(&empty).contains("no log in"), "{}", stderr(&empty));
    for (name, domain, started_s) in [("a.xlr", "first", 100), ("b.xlr", "second", 200)] {
        let items = items(b"", EndReason::Stop);
        let header = header(domain, started_s);
        write_items(dir.path(), name, &header, &items, Some(Closing::Ended));
    }
    let unfinished = header("third", 150);
    write_items(dir.path(), "c.xlr", &unfinished, &[], None);
    fs::write(dir.path().join("d.xlr"), b"no log").unwrap();
    let listed = xenlr_in(dir.path(), &["ls"]).code(0);
    let lines: Vec<String> = stdout(&listed).lines().map(str::to_owned).collect();
    assert!(lines[0].contains("STARTED") && lines[0].contains("FITS"));
    for (line, words) in lines[1..].iter().zip([
        ["1970-01-01 00:03:20 UTC", "second", "1.00 s", "ended"],
        ["1970-01-01 00:02:30 UTC", "third", "0.0 us", "unfinished"],
        ["1970-01-01 00:01:40 UTC", "first", "1.00 s", "ended"],
    ]) {
        for word in words {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
    assert!(stderr(&listed).contains("d.xlr"), "{}", stderr(&listed));
    for verb in ["info", "dump"] {
        let latest = xenlr_in(dir.path(), &[verb]).code(0);
        assert!(stderr(&latest).contains("b.xlr"), "{verb}");
    }
    let info = xenlr_in(dir.path(), &["info"]).code(0);
    assert!(stdout(&info).contains("second"));
    assert!(!stdout(&info).contains("first"));
}

#[test]
fn errors_and_warnings_are_json_when_json_is_asked_for() {
    let missing = xenlr(&["info", "--json", "/nonexistent/x.xlr"]).code(6);
    let error = json(&stderr(&missing));
    assert_eq!(error["status"], 6);
    assert!(error["error"].as_str().unwrap().contains("x.xlr"));
    for args in [
        &["fly", "--json"][..],
        &["daemon", "--json", "--interval", "0"],
    ] {
        let usage = xenlr(args).code(64);
        assert_eq!(json(&stderr(&usage))["status"], 64, "{args:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = write_log(dir.path(), "a.xlr", b"", false);
    let warned = xenlr(&["dump", "--json", text(&path)]).code(0);
    let warning = json(&stderr(&warned));
    assert!(warning["warning"].as_str().unwrap().contains("no trailer"));
}

#[test]
fn what_cannot_be_written_has_its_exit_code() {
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let run = |args: &[&str], stdout_is_full: bool| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xenlr"));
        command.args(args).stdout(std::process::Stdio::null());
        command.stderr(full());
        if stdout_is_full {
            command.stdout(full());
        }
        command.status().unwrap().code()
    };
    let dir = tempfile::tempdir().unwrap();
    let path = write_log(dir.path(), "a.xlr", b"", true);
    assert_eq!(run(&["info", "/nonexistent"], false), Some(6));
    assert_eq!(run(&["fly"], false), Some(64));
    for args in [
        &["info", text(&path)][..],
        &["dump", text(&path)],
        &["diff", text(&path), text(&path)],
        &["completions", "bash"],
    ] {
        assert_eq!(run(args, true), Some(6), "{args:?}");
        assert_eq!(run(args, false), Some(0), "{args:?}");
    }
}

#[test]
fn help_shows_the_defaults_that_hold() {
    for (verb, seconds) in [("daemon", "30"), ("extract", "1")] {
        let help = stdout(&xenlr(&[verb, "--help"]).code(0));
        let words: Vec<&str> = help.split_whitespace().collect();
        let interval = words.iter().position(|w| *w == "--interval").unwrap();
        let said = words[interval..].join(" ");
        let default = said.find("[default: ").map(|at| &said[at + 10..]).unwrap();
        assert!(
            default.starts_with(&format!("{seconds}]")),
            "{verb}: {said}"
        );
    }
}
