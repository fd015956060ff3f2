//! The codec beside general-purpose ones: one idle guest's log through each.
//!
//! postcard and bincode write the same items through serde with their own variable-length
//! integers; "fixed" is a record of 16 bytes in the manner of XenLR's paper: sync number, kind,
//! 48 bits of data.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use log_format::{Decoder, Encoder, Event, Item, MAX_RECORD_BYTES, Record, Start, Tsc, Wallclock};
use serde::{Deserialize, Serialize};

/// The items of an idle guest, as serde sees them.
#[derive(Serialize, Deserialize)]
struct Plain {
    sync: u64,
    witness: u8,
    record: PlainRecord,
}

#[derive(Serialize, Deserialize)]
enum PlainRecord {
    Event(u16),
    Time(u64, u64, u32, i8, u8),
    Wallclock(u64, u32),
    Console(u32, u32),
    Start(u64, u64, u32),
    Tsc(u64),
}

impl From<&Item<'_>> for Plain {
    fn from(item: &Item<'_>) -> Self {
        let record = match item.record {
            Record::Event(Event { port }) => PlainRecord::Event(port),
            Record::Time(time) => PlainRecord::Time(
                time.tsc_timestamp,
                time.system_time,
                time.tsc_to_system_mul,
                time.tsc_shift,
                time.flags,
            ),
            Record::Wallclock(Wallclock { sec, nsec }) => PlainRecord::Wallclock(sec, nsec),
            Record::ConsoleIn(ring) => PlainRecord::Console(ring.prod, ring.cons),
            Record::Start(Start {
                registers,
                memory,
                pages,
            }) => PlainRecord::Start(registers, memory, pages),
            Record::Tsc(Tsc { value }) => PlainRecord::Tsc(value),
            _ => unreachable!("an idle guest has no such record"),
        };
        Self {
            sync: item.sync,
            witness: item.witness,
            record,
        }
    }
}

/// The fixed record; a time page needs three of them, the others one.
fn put_fixed(item: &Item, out: &mut Vec<u8>) {
    let mut put = |data: u64| {
        let head = (item.sync & 0xff_ffff_ffff) | u64::from(item.record.kind().number()) << 40;
        out.extend_from_slice(&head.to_le_bytes());
        out.extend_from_slice(&data.to_le_bytes());
    };
    match item.record {
        Record::Event(Event { port }) => put(u64::from(port)),
        Record::Tsc(Tsc { value }) => put(value),
        Record::ConsoleIn(ring) => put(u64::from(ring.prod) << 32 | u64::from(ring.cons)),
        Record::Time(time) => {
            put(time.system_time);
            put(time.tsc_timestamp);
            put(u64::from(time.tsc_to_system_mul));
        }
        Record::Wallclock(Wallclock { sec, .. }) => put(sec),
        _ => put(0),
    }
}

fn encode(items: &[Item], wire: &mut Vec<u8>) {
    let mut encoder = Encoder::new();
    let mut out = [0; MAX_RECORD_BYTES];
    for item in items {
        let length = encoder.encode(item, &mut out);
        wire.extend_from_slice(&out[..length]);
    }
}

fn decode(mut wire: &[u8]) -> u64 {
    let mut decoder = Decoder::new();
    let mut sum = 0u64;
    while let Ok((length, item)) = &decoder.decode(wire) {
        sum = sum.wrapping_add(black_box(item).sync);
        wire = &wire[*length..];
    }
    sum
}

fn codecs(criterion: &mut Criterion) {
    let items = common::idle_seconds(1000, 8, 1, 1);
    let plain: Vec<Plain> = items.iter().map(Plain::from).collect();
    let records = items.len() as u64;
    let bincode_config = bincode::config::standard();

    let mut wire = Vec::new();
    encode(&items, &mut wire);
    let postcards: Vec<u8> = plain
        .iter()
        .flat_map(|item| postcard::to_allocvec(item).unwrap())
        .collect();
    let bincodes: Vec<u8> = plain
        .iter()
        .flat_map(|item| bincode::serde::encode_to_vec(item, bincode_config).unwrap())
        .collect();
    let mut fixed = Vec::new();
    items.iter().for_each(|item| put_fixed(item, &mut fixed));
    for (name, bytes) in [
        ("log-format", wire.len()),
        ("postcard", postcards.len()),
        ("bincode", bincodes.len()),
        ("fixed", fixed.len()),
    ] {
        println!(
            "{name}: {:.2} bytes a record",
            bytes as f64 / records as f64
        );
    }

    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(records));
    let mut out = Vec::with_capacity(1 << 20);
    group.bench_function("log-format", |bench| {
        bench.iter(|| {
            out.clear();
            encode(black_box(&items), &mut out);
        });
    });
    group.bench_function("postcard", |bench| {
        let mut buffer = [0u8; 256];
        bench.iter(|| {
            out.clear();
            for item in black_box(&plain) {
                out.extend_from_slice(postcard::to_slice(item, &mut buffer).unwrap());
            }
        });
    });
    group.bench_function("bincode", |bench| {
        let mut buffer = [0u8; 256];
        bench.iter(|| {
            out.clear();
            for item in black_box(&plain) {
                let length =
                    bincode::serde::encode_into_slice(item, &mut buffer, bincode_config).unwrap();
                out.extend_from_slice(&buffer[..length]);
            }
        });
    });
    group.bench_function("fixed", |bench| {
        bench.iter(|| {
            out.clear();
            black_box(&items)
                .iter()
                .for_each(|item| put_fixed(item, &mut out));
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(records));
    group.bench_function("log-format", |bench| {
        bench.iter(|| decode(black_box(&wire)))
    });
    group.bench_function("postcard", |bench| {
        bench.iter(|| {
            let mut rest = black_box(&postcards[..]);
            while let Ok((item, behind)) = &postcard::take_from_bytes::<Plain>(rest) {
                black_box(item);
                rest = behind;
            }
        });
    });
    group.bench_function("bincode", |bench| {
        bench.iter(|| {
            let mut rest = black_box(&bincodes[..]);
            while let Ok((item, length)) =
                &bincode::serde::decode_from_slice::<Plain, _>(rest, bincode_config)
            {
                black_box(item);
                rest = &rest[*length..];
            }
        });
    });
    group.bench_function("fixed", |bench| {
        bench.iter(|| {
            for record in black_box(&fixed[..]).chunks_exact(16) {
                let (head, data) = record.split_at(8);
                let head = u64::from_le_bytes(head.try_into().unwrap());
                let data = u64::from_le_bytes(data.try_into().unwrap());
                black_box((head & 0xff_ffff_ffff, head >> 40, data));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, codecs);
criterion_main!(benches);
