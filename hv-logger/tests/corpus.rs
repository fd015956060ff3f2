//! The corpora of the fuzz targets `ffi` and `frontends` hold without a fuzzer.
//!
//! `XENLR_WRITE_CORPUS=1 cargo test -p hv-logger --test corpus` writes the seeds anew, as a change
//! of the wire format asks for.
#![cfg(not(loom))]

#[path = "../../fuzz/checks/ffi.rs"]
mod ffi;
#[path = "../../fuzz/checks/frontends.rs"]
mod frontends;

use std::fs;
use std::path::Path;

use ffi::{HONEST, Op, Outcome, REPLAY, check};
use hv_logger::abi::{HVLOG_ERR_LOG, HVLOG_ERR_RING_INDEX};

/// A guest that does a little of everything, with or without what arrives for it.
fn guest(inputs: bool) -> Vec<u8> {
    let mut script = Vec::new();
    for round in 0..12u8 {
        if inputs {
            script.extend([Op::Stage as u8, round % 5, round % 3]);
            script.extend([Op::Mark as u8, round * 3]);
        }
        script.push(Op::Sync as u8);
        script.push(Op::Tsc as u8);
        script.extend((u64::from(round) << 20).to_le_bytes());
        if round % 4 == 1 {
            script.extend([Op::Value as u8, 1, 4]);
        }
        if inputs && round % 5 == 2 {
            script.push(Op::Drain as u8);
        }
    }
    script.extend([Op::Shutdown as u8, 0]);
    script
}

/// Dom0 stores an index: `which` as in [`Op::Index`].
fn index(which: u8, value: u64) -> Vec<u8> {
    [&[Op::Index as u8, which][..], &value.to_le_bytes()].concat()
}

/// Dom0 puts a log into the ring of a replay.
fn feed(log: &[u8]) -> Vec<u8> {
    let piece = |bytes: &[u8]| [&[Op::Feed as u8, bytes.len() as u8], bytes].concat();
    log.chunks(255).flat_map(piece).collect()
}

/// A name, a script, and what it must come to.
type Seed = (&'static str, Vec<u8>, fn(&Outcome) -> bool);

fn seeds() -> Vec<Seed> {
    let whole = |outcome: &Outcome| outcome.is_over && outcome.error == 0 && outcome.records > 20;
    let recording = [&[HONEST][..], &guest(true)].concat();
    let log = check(&recording).log;
    let mut altered = log.clone();
    altered[log.len() / 2..].fill(0xff);
    vec![
        ("record", recording, whole),
        (
            "replay",
            [&[REPLAY][..], &feed(&log), &guest(false)].concat(),
            whole,
        ),
        (
            "replay-altered",
            [&[REPLAY][..], &feed(&altered), &guest(false)].concat(),
            |outcome| outcome.is_over && outcome.error == HVLOG_ERR_LOG,
        ),
        (
            "replay-bad-prod",
            [&[REPLAY][..], &index(0, u64::MAX / 2), &guest(false)].concat(),
            |outcome| outcome.is_over && outcome.error == HVLOG_ERR_RING_INDEX,
        ),
        (
            "record-bad-cons",
            [&[0, Op::Sync as u8][..], &index(1, 1 << 40)].concat(),
            |outcome| !outcome.is_over && outcome.error == HVLOG_ERR_RING_INDEX,
        ),
    ]
}

#[test]
fn the_corpus_holds_and_its_seeds_do_what_they_are_named_for() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/ffi");
    for (name, script, holds) in seeds() {
        let outcome = check(&script);
        assert!(holds(&outcome), "{name}: {outcome:?}");
        if std::env::var_os("XENLR_WRITE_CORPUS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), &script).unwrap();
        }
        let committed = fs::read(folder.join(name)).unwrap();
        let outcome = check(&committed);
        assert!(
            holds(&outcome),
            "{name} is stale, write it anew (see above): {outcome:?}"
        );
    }
    for file in fs::read_dir(&folder).unwrap() {
        check(&fs::read(file.unwrap().path()).unwrap());
    }
}

/// Requests that write these keys of a device.
fn writes(device: &str, keys: &[(&str, &str)]) -> Vec<u8> {
    let write = |&(key, value): &(&str, &str)| {
        frontends::request(
            frontends::WRITE,
            &format!("{device}/{key}"),
            value.as_bytes(),
        )
    };
    keys.iter().flat_map(write).collect()
}

/// A name, the bytes, and for how many references something is known at their end.
fn streams() -> [(&'static str, Vec<u8>, usize); 4] {
    let block = writes(
        "device/vbd/51712",
        &[
            ("ring-ref", "8"),
            ("event-channel", "15"),
            ("protocol", "x86_64-abi"),
            ("feature-persistent", "1"),
            ("state", "3"),
        ],
    );
    let net = writes(
        "/local/domain/3/device/vif/0",
        &[
            ("multi-queue-num-queues", "1"),
            ("tx-ring-ref", "768"),
            ("rx-ring-ref", "769"),
            ("event-channel-tx", "17"),
            ("event-channel-rx", "18"),
            ("state", "4"),
        ],
    );
    let queues = writes(
        "device/vif/1",
        &[
            ("multi-queue-num-queues", "2"),
            ("queue-0/tx-ring-ref", "20"),
            ("queue-0/event-channel", "5"),
            ("queue-1/rx-ring-ref", "21"),
        ],
    );
    let closed = writes("device/vbd/51712", &[("state", "6")]);
    // Device 7: ring-ref 20, event channel 9; device 8 of two pages; device 7 closes.
    let script = [
        frontends::SCRIPT,
        0,
        7,
        2,
        20,
        0,
        7,
        8,
        9,
        0,
        8,
        3,
        30,
        0,
        8,
        4,
        31,
        0,
        7,
        1,
        6,
    ];
    [
        ("block", block.clone(), 1),
        ("net", net.clone(), 2),
        (
            "queues-and-closed",
            [block, net, queues, closed].concat(),
            4,
        ),
        ("script", script.to_vec(), 2),
    ]
}

#[test]
fn streams_of_front_ends_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/frontends");
    for (name, bytes, known) in streams() {
        if std::env::var_os("XENLR_WRITE_CORPUS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), &bytes).unwrap();
        }
        let committed = fs::read(folder.join(name)).unwrap();
        assert_eq!(
            frontends::check(&committed),
            known,
            "{name} is stale, write it anew (see above)"
        );
    }
    for file in fs::read_dir(&folder).unwrap() {
        frontends::check(&fs::read(file.unwrap().path()).unwrap());
    }
}
