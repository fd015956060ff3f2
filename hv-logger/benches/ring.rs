//! The ring beside other rings of one producer and one consumer, with records of 2 to 40 bytes.
//!
//! * `round_trip`: one thread writes a record and reads it, again and again.
//! * `drain`: one thread writes 256 records and reads them at once, as Xen and dom0 do.
//! * `two_threads`: one writes a million records, another reads what there is.
//!
//! All have 64 KiB.

#![allow(missing_docs, reason = "criterion's macros make a public function")]

mod peers;

use std::hint::black_box;
use std::thread::yield_now;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use peers::{MAX_BYTES, Read, Write, bbqueue_ends, heapless_ends, lengths, ours, rtrb_ends};

/// Records that are written before the reader looks.
const BATCH: usize = 256;
const TWO_THREADS_RECORDS: usize = 1_000_000;

// ---- what is measured ----

fn round_trip(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    ends: (impl Write, impl Read),
    batch: usize,
) {
    let (mut writer, mut reader) = ends;
    let lengths = lengths();
    let record = [0x5a; MAX_BYTES];
    let mut got = vec![0; MAX_BYTES * batch];
    group.throughput(Throughput::Elements(lengths.len() as u64));
    group.bench_function(name, |bench| {
        bench.iter(|| {
            for lengths in lengths.chunks(batch) {
                for &len in lengths {
                    assert!(writer.write(black_box(&record[..len])));
                }
                // A record may lie around the end, and come in two pieces.
                let mut left: usize = lengths.iter().sum();
                while left != 0 {
                    left -= reader.read(black_box(&mut got));
                }
            }
        });
    });
}

fn two_threads<W: Write, R: Read>(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    ends: fn() -> (W, R),
) {
    let lengths = lengths();
    let records = || lengths.iter().cycle().take(TWO_THREADS_RECORDS);
    let total: usize = records().sum();
    let run = || {
        let (mut writer, mut reader) = ends();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut got = [0; 4096];
                let mut left = total;
                while left != 0 {
                    match reader.read(black_box(&mut got)) {
                        0 => yield_now(),
                        len => left -= len,
                    }
                }
            });
            let record = [0x5a; MAX_BYTES];
            for &len in records() {
                while !writer.write(black_box(&record[..len])) {
                    yield_now();
                }
            }
        });
        start.elapsed()
    };
    group.throughput(Throughput::Elements(TWO_THREADS_RECORDS as u64));
    group.bench_function(name, |bench| {
        bench.iter_custom(|times| (0..times).map(|_| run()).sum::<Duration>());
    });
}

fn rings(criterion: &mut Criterion) {
    for (name, batch) in [("round_trip", 1), ("drain", BATCH)] {
        let group = &mut criterion.benchmark_group(name);
        round_trip(group, "xenlr", ours(), batch);
        round_trip(group, "bbqueue", bbqueue_ends(), batch);
        round_trip(group, "rtrb", rtrb_ends(), batch);
        round_trip(group, "heapless", heapless_ends(), batch);
    }
    let group = &mut criterion.benchmark_group("two_threads");
    group.sample_size(100);
    two_threads(group, "xenlr", ours);
    two_threads(group, "bbqueue", bbqueue_ends);
    two_threads(group, "rtrb", rtrb_ends);
    two_threads(group, "heapless", heapless_ends);
}

criterion_group!(benches, rings);
criterion_main!(benches);
