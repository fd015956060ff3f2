//! The ring beside other rings of one producer and one consumer, with records of 2 to 40 bytes.
//!
//! * `round_trip`: one thread writes a record and reads it, again and again.
//! * `drain`: one thread writes 256 records and reads them at once, as Xen and dom0 do.
//! * two threads: one writes a million records, another reads what there is. How long that takes
//!   depends on where the threads run, by a factor of three; so the rings take turns, and the
//!   median of each one's rounds is printed.
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
const TWO_THREADS_ROUNDS: usize = 101;

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

fn two_threads<W: Write, R: Read>((mut writer, mut reader): (W, R)) -> Duration {
    let lengths = lengths();
    let records = || lengths.iter().cycle().take(TWO_THREADS_RECORDS);
    let mut left: usize = records().sum();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut got = [0; 4096];
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
}

/// A ring's name, and a round with a new one.
type Round = (&'static str, fn() -> Duration);

fn two_threads_in_turn() {
    let rings: [Round; 4] = [
        ("xenlr", || two_threads(ours())),
        ("bbqueue", || two_threads(bbqueue_ends())),
        ("rtrb", || two_threads(rtrb_ends())),
        ("heapless", || two_threads(heapless_ends())),
    ];
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..TWO_THREADS_ROUNDS {
        for (times, (_, run)) in times.iter_mut().zip(rings) {
            times.push(run());
        }
    }
    for (mut times, (name, _)) in times.into_iter().zip(rings) {
        times.sort();
        let median = times[TWO_THREADS_ROUNDS / 2].as_nanos() as f64;
        let ns = median / TWO_THREADS_RECORDS as f64;
        println!("two threads, {name}: {ns:.2} ns a record");
    }
}

fn rings(criterion: &mut Criterion) {
    for (name, batch) in [("round_trip", 1), ("drain", BATCH)] {
        let group = &mut criterion.benchmark_group(name);
        round_trip(group, "xenlr", ours(), batch);
        round_trip(group, "bbqueue", bbqueue_ends(), batch);
        round_trip(group, "rtrb", rtrb_ends(), batch);
        round_trip(group, "heapless", heapless_ends(), batch);
    }
    two_threads_in_turn();
}

criterion_group!(benches, rings);
criterion_main!(benches);
