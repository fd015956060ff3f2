//! Log files of each format version that was ever released stay readable.
//!
//! `data/v1/NAME.xlr` stands beside `data/v1/NAME.json`, which says what is in it. To add files,
//! run this test with `XENLR_WRITE_GOLDEN=1`: it writes those of the current version that are
//! missing, and never touches one that is there.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{encode_all, idle_seconds, one_of_each, pages};
use log_format::file::{
    Closing, Domain, FORMAT_VERSION, Header, Image, ImageFile, LogReader, LogWriter, Setting,
};
use log_format::{Encoder, Event, Item, Record, Start, Tsc, Value, Wallclock};
use serde_json::{Value as Json, json};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an expectation says of an item; those before version 3 show some fields in their own way.
fn item_json(version: u16, item: &Item) -> Json {
    #[allow(unreachable_patterns, reason = "kinds that came later")]
    let record = match item.record {
        record if version >= 3 => record.json(),
        Record::Event(Event { port }) => json!({ "port": port }),
        Record::Time(time) => json!({
            "tsc_timestamp": time.tsc_timestamp,
            "system_time": time.system_time,
            "tsc_to_system_mul": time.tsc_to_system_mul,
            "tsc_shift": time.tsc_shift,
            "flags": time.flags,
        }),
        Record::Wallclock(Wallclock { sec, nsec }) => json!({ "sec": sec, "nsec": nsec }),
        Record::Runstate(runstate) => json!({
            "state": runstate.state,
            "state_entry_time_ns": runstate.state_entry_time_ns,
            "time_ns": runstate.time_ns,
        }),
        Record::ConsoleIn(ring) | Record::XenstoreIn(ring) => json!({
            "prod": ring.prod,
            "cons": ring.cons,
            "bytes": hex(ring.bytes),
            "ext": ring.ext,
        }),
        Record::Start(Start {
            registers,
            memory,
            pages,
        }) => {
            json!({ "registers": registers, "memory": memory, "pages": pages })
        }
        Record::End(end) => json!({
            "reason": end.reason.name(),
            "code": end.code,
            "rip": end.rip,
            "registers": end.registers,
            "memory": end.memory,
            "pages": end.pages,
        }),
        Record::Tsc(Tsc { value }) => json!({ "value": value }),
        Record::Value(Value { kind, bytes }) => json!({ "kind": kind.name(), "bytes": hex(bytes) }),
        later => later.json(),
    };
    json!([item.sync, item.witness, item.record.kind_name(), record])
}

/// Everything that a file says, for comparison with its expectation.
fn file_json(path: &Path) -> Json {
    let mut reader = LogReader::open(path).unwrap();
    let image = |reader: &mut LogReader<_>, image| {
        reader
            .image(image)
            .unwrap()
            .map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let kernel = image(&mut reader, Image::Kernel);
    let ramdisk = image(&mut reader, Image::Ramdisk);
    let version = reader.version();
    let items: Vec<Json> = reader
        .items()
        .map(|item| item_json(version, &item.unwrap().as_item()))
        .collect();
    json!({
        "header": reader.header(),
        "kernel": kernel,
        "ramdisk": ramdisk,
        "integrity": format!("{:?}", reader.integrity()),
        "wire_bytes": reader.wire_offset(),
        "last_sync": reader.last_sync(),
        "items": items,
    })
}

fn write_missing(dir: &Path) {
    let image = |bytes: &[u8]| ImageFile {
        path: "/guests/image".into(),
        len: bytes.len() as u64,
        sha256: "00".repeat(32),
        inline: true,
    };
    let (kernel, ramdisk) = (&b"not really a kernel"[..], &b"nor a ramdisk"[..]);
    let mut header = Header {
        host: "somehost".into(),
        xen_version: "4.20.3".into(),
        xen_build_id: Some("0123456789abcdef".into()),
        arena_first_mfn: 0x40000,
        arena_frames: 16384,
        cpu: Some(1),
        apic_id: 2,
        domain: Domain {
            name: "guest".into(),
            uuid: "01234567-89ab-cdef-0123-456789abcdef".into(),
            domid: 7,
            memory_kib: 32768,
        },
        config: [
            ("type".to_owned(), Setting::Text("pv".into())),
            ("memory".to_owned(), Setting::Number(32)),
            ("cpuid".to_owned(), Setting::List(vec!["0x1:ecx=x0".into()])),
        ]
        .into(),
        kernel: image(kernel),
        ramdisk: Some(image(ramdisk)),
        started_unix_ns: 1_790_000_000_123_456_789,
        tsc_khz: 2_400_000,
        time_bound_us: 0,
        trap_syscalls: false,
        buffer_frames: 64,
        ..Header::default()
    };
    header
        .extra
        .insert("later".into(), json!({ "field": [1, "two"] }));
    let path = dir.join("every-kind.xlr");
    if !path.exists() {
        let images = [(Image::Kernel, kernel), (Image::Ramdisk, ramdisk)];
        let mut writer = LogWriter::create(&path, &header, &images).unwrap();
        let mut encoder = Encoder::new();
        for items in one_of_each().chunks(8) {
            writer.append(&encode_all(&mut encoder, items)).unwrap();
        }
        writer.finish(Closing::Ended).unwrap();
    }
    header.kernel.inline = false;
    header.ramdisk = None;
    let idle = |path: &Path| {
        let mut writer = LogWriter::create(path, &header, &[]).unwrap();
        let mut encoder = Encoder::new();
        for items in idle_seconds(20, 3, 1, 4).chunks(70) {
            writer.append(&encode_all(&mut encoder, items)).unwrap();
        }
        writer
    };
    let path = dir.join("unfinished.xlr");
    if !path.exists() {
        idle(&path);
    }
    let path = dir.join("torn.xlr");
    if !path.exists() {
        let length = idle(&path).file_bytes();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length - 10)
            .unwrap();
    }
    let path = dir.join("pages.xlr");
    if !path.exists() {
        let mut writer = LogWriter::create(&path, &header, &[]).unwrap();
        let mut encoder = Encoder::new();
        for items in pages().chunks(3) {
            writer.append(&encode_all(&mut encoder, items)).unwrap();
        }
    }
    for log in logs(dir) {
        let expectation = log.with_extension("json");
        if !expectation.exists() {
            let text = serde_json::to_string_pretty(&file_json(&log)).unwrap();
            fs::write(expectation, text + "\n").unwrap();
        }
    }
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "xlr"))
        .collect();
    logs.sort();
    logs
}

#[test]
fn logs_of_all_versions_are_read_as_ever() {
    let current = data().join(format!("v{FORMAT_VERSION}"));
    if std::env::var_os("XENLR_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(&current).unwrap();
        write_missing(&current);
    }
    for version in 1..=FORMAT_VERSION {
        let logs = logs(&data().join(format!("v{version}")));
        assert!(logs.len() >= 3, "version {version} has no golden files");
        for log in logs {
            let expected = fs::read_to_string(log.with_extension("json")).unwrap();
            let expected: Json = serde_json::from_str(&expected).unwrap();
            assert_eq!(file_json(&log), expected, "{}", log.display());
        }
    }
}

/// Changing what the encoder writes changes the format: then [`FORMAT_VERSION`] goes up.
#[test]
fn the_encoder_writes_what_it_always_wrote() {
    let mut reader =
        LogReader::open(data().join(format!("v{FORMAT_VERSION}/every-kind.xlr"))).unwrap();
    let mut wire = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        wire.extend_from_slice(chunk.wire);
    }
    assert_eq!(
        hex(&encode_all(&mut Encoder::new(), &one_of_each())),
        hex(&wire)
    );
}
