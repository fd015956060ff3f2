//! Encodes or decodes many records of one kind in a function of its own, so that callgrind can
//! say how many instructions one takes:
//!
//! ```text
//! cargo build --release --example instructions -p log-format
//! for kind in tsc event time idle; do   # all of them: see KINDS
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='measured_*' \
//!         target/release/examples/instructions encode $kind
//! done
//! ```
//!
//! Divide what valgrind prints as "Collected" by the number of records that the program prints.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use log_format::{
    Decoder, Encoder, End, EndReason, Event, Interrupt, Item, MAX_PAGE_BYTES, MAX_RECORD_BYTES,
    Page, Record, RingIn, Runstate, Start, Tsc, Value, ValueKind, Wallclock,
};

/// The kinds that can be asked for; `sleep` is a TSC value of a longer form, `port` an event on another
/// port than expected.
const KINDS: &str = "tsc sleep event port time wallclock runstate console xenstore interrupt page start end value idle";

/// Ten thousand records of a kind. Start and end stand alone in their logs: see [`main`].
fn items(kind: &str) -> Vec<Item<'static>> {
    let clock = common::Clock {
        ns: 5_000_000_000,
        created_ns: 4_000_000_000,
    };
    let mut random = common::Random(1);
    let mut time_ns = [0; 4];
    let mut record = |sync: u64, random: &mut common::Random| match kind {
        "tsc" => Record::Tsc(Tsc {
            value: clock.ticks(clock.ns + 1_000 * sync + random.below(900)),
        }),
        "sleep" => Record::Tsc(Tsc {
            value: clock.ticks(clock.ns + 1_000_000_000 * sync + random.below(60_000)),
        }),
        "event" => Record::Event(Event { port: 3 }),
        "port" => Record::Event(Event {
            port: random.below(100) as u16,
        }),
        "time" => clock.page(clock.ns + 1_000_000_000 * sync + random.below(30_000)),
        "wallclock" => Record::Wallclock(Wallclock {
            sec: 1_790_000_000 + sync / 7,
            nsec: random.below(1_000_000_000) as u32,
        }),
        "runstate" => {
            time_ns[(sync % 3) as usize] += 1_000_000 + random.below(1000);
            Record::Runstate(Runstate {
                state: (sync % 2) as u32,
                state_entry_time_ns: time_ns.iter().sum(),
                time_ns,
            })
        }
        "console" => Record::ConsoleIn(RingIn {
            prod: 4 * sync as u32,
            cons: 26 * sync as u32,
            bytes: b"abc\n",
            ext: [0; 3],
        }),
        "xenstore" => Record::XenstoreIn(RingIn {
            prod: 20 * sync as u32,
            cons: 16 * sync as u32,
            bytes: &[7; 20],
            ext: [1, 0, 0],
        }),
        "interrupt" => Record::Interrupt(Interrupt { vector: 0xec }),
        "page" => Record::Page(Page {
            frame: 0x7_0000 + sync / 4,
            offset: 1024 * (sync % 4) as u16,
            bytes: &[7; MAX_PAGE_BYTES],
        }),
        "start" => Record::Start(Start {
            registers: random.next(),
            memory: random.next(),
            pages: 8192,
        }),
        "end" => Record::End(End {
            reason: EndReason::Stop,
            code: 0,
            rip: 0xffff_ffff_8100_0000 + sync,
            registers: random.next(),
            memory: random.next(),
            pages: 8192,
        }),
        "value" => Record::Value(Value {
            kind: ValueKind::Timer,
            bytes: &[7; 4],
        }),
        _ => panic!("kinds are {KINDS}"),
    };
    (1..=10_000u64)
        .map(|sync| {
            let record = record(sync, &mut random);
            Item {
                sync: if kind == "start" { 0 } else { sync },
                witness: if record.is_commit() {
                    random.next() as u8
                } else {
                    0
                },
                record,
            }
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
        panic!("usage: instructions encode|decode KIND, where kinds are {KINDS}");
    };
    let items = match kind.as_str() {
        "idle" => common::idle_seconds(1000, 8, 1, 1),
        kind => items(kind),
    };
    let is_alone = matches!(kind.as_str(), "start" | "end");
    let mut out = [0; MAX_RECORD_BYTES];
    let mut bytes = 0;
    if what == "decode" {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::new();
        let mut wire = Vec::new();
        for item in &items {
            if is_alone {
                encoder = Encoder::new();
            }
            wire.push(common::encode_all(&mut encoder, [item]));
        }
        let whole = wire.concat();
        for record in &wire {
            // A decoder usually sees what follows too.
            let rest = if is_alone {
                decoder = Decoder::new();
                record
            } else {
                &whole[bytes..]
            };
            bytes += measured_decode(&mut decoder, rest);
        }
    } else {
        let mut encoder = Encoder::new();
        for item in &items {
            if is_alone {
                encoder = Encoder::new();
            }
            bytes += measured_encode(&mut encoder, item, &mut out);
        }
    }
    assert_ne!(bytes, 0);
    println!("{} records, {bytes} bytes", items.len());
}
