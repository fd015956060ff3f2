//! Encodes or decodes many records of one kind in a function of its own, so that callgrind can
//! say how many instructions one takes:
//!
//! ```text
//! cargo build --release --example instructions -p log-format
//! for kind in tsc event time idle; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='measured_*' \
//!         target/release/examples/instructions encode $kind
//! done
//! ```
//!
//! Divide what valgrind prints as "Collected" by the number of records that the program prints.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use log_format::{Decoder, Encoder, Item, MAX_RECORD_BYTES, Record};

fn items(kind: &str) -> Vec<Item<'static>> {
    let clock = common::Clock {
        ns: 5_000_000_000,
        created_ns: 4_000_000_000,
    };
    let mut random = common::Random(1);
    (1..=10_000u64)
        .map(|sync| match kind {
            "tsc" => {
                let ns = clock.ns + 1_000 * sync + random.below(900);
                Item {
                    sync,
                    witness: 0,
                    record: Record::Tsc {
                        value: clock.ticks(ns),
                    },
                }
            }
            "event" => Item {
                sync,
                witness: random.next() as u8,
                record: Record::Event { port: 3 },
            },
            "time" => {
                let ns = clock.ns + 1_000_000_000 * sync + random.below(30_000);
                Item {
                    sync,
                    witness: random.next() as u8,
                    record: clock.page(ns),
                }
            }
            _ => panic!("kinds are tsc, event, time and idle"),
        })
        .collect()
}

#[unsafe(no_mangle)]
#[inline(never)]
fn measured_encode(encoder: &mut Encoder, item: &Item, out: &mut [u8; MAX_RECORD_BYTES]) -> usize {
    encoder.encode(item, out)
}

#[unsafe(no_mangle)]
#[inline(never)]
fn measured_decode(decoder: &mut Decoder, wire: &[u8]) -> usize {
    let Ok((length, item)) = &decoder.decode(wire) else {
        return 0;
    };
    black_box(item);
    *length
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, kind] = arguments.as_slice() else {
        panic!("usage: instructions encode|decode tsc|event|time|idle");
    };
    let items = match kind.as_str() {
        "idle" => common::idle_seconds(1000, 8, 1, 1),
        kind => items(kind),
    };
    let mut wire = Vec::new();
    if what == "decode" {
        wire = common::encode_all(&mut Encoder::new(), &items);
        let mut decoder = Decoder::new();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            rest = &rest[measured_decode(&mut decoder, rest)..];
        }
    } else {
        let mut encoder = Encoder::new();
        let mut out = [0; MAX_RECORD_BYTES];
        for item in &items {
            let length = measured_encode(&mut encoder, item, &mut out);
            wire.extend_from_slice(&out[..length]);
        }
    }
    println!("{} records, {} bytes", items.len(), wire.len());
}
