//! Items like those of real guests, and helpers that several tests share.
#![allow(dead_code, reason = "each test uses some of it")]

use log_format::{
    Encoder, End, EndReason, Event, Interrupt, Item, Loan, MAX_RECORD_BYTES, Page, Place, Record,
    RingIn, Runstate, Start, TimeInfo, Tsc, Value, ValueKind, Wallclock,
};

/// A small generator of numbers (SplitMix64), so that the same seed gives the same log.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The wire bytes of items, which must be valid.
pub fn encode_all<'a>(
    encoder: &mut Encoder,
    items: impl IntoIterator<Item = &'a Item<'a>>,
) -> Vec<u8> {
    let mut wire = Vec::new();
    for item in items {
        let mut out = [0; MAX_RECORD_BYTES];
        let length = encoder.encode(item, &mut out);
        assert_ne!(length, 0, "refused: {item:?}");
        wire.extend_from_slice(&out[..length]);
    }
    wire
}

/// The host's clock and the guest's TSC, as Xen derives one from the other at 2.4 GHz.
pub struct Clock {
    pub ns: u64,
    pub created_ns: u64,
}

impl Clock {
    pub const MUL: u32 = 3_579_139_413;
    const TO_TICKS_MUL: u128 = 2_576_980_377;

    pub fn ticks(&self, ns: u64) -> u64 {
        let distance = ns.wrapping_sub(self.created_ns) as i64;
        let wide = (u128::from(distance.unsigned_abs()) << 2) * Self::TO_TICKS_MUL;
        let ticks = (wide >> 32) as u64;
        if distance < 0 {
            ticks.wrapping_neg()
        } else {
            ticks
        }
    }

    pub fn tsc(&self) -> Record<'static> {
        Record::Tsc(Tsc {
            value: self.ticks(self.ns),
        })
    }

    pub fn page(&self, system_time: u64) -> Record<'static> {
        Record::Time(TimeInfo {
            tsc_timestamp: self.ticks(system_time),
            system_time,
            tsc_to_system_mul: Self::MUL,
            tsc_shift: -1,
            flags: 1,
        })
    }
}

/// What an idle guest does each second: a timer wakes it, Xen has a new time page for it, it
/// reads the clock `reads` times and prints a line. `noise` scales the jitter (1 is a real
/// machine's, 0 none).
pub fn idle_seconds(seconds: u64, reads: u64, noise: u64, seed: u64) -> Vec<Item<'static>> {
    let mut random = Random(seed);
    let mut clock = Clock {
        ns: 81_234_567_891,
        created_ns: 81_230_000_017,
    };
    let mut calibrated = clock.ns - 600_000_000;
    let mut items = vec![Item {
        sync: 0,
        witness: 0x5a,
        record: Record::Start(Start {
            registers: random.next(),
            memory: random.next(),
            pages: 8192,
        }),
    }];
    items.push(Item {
        sync: 0,
        witness: 0x5a,
        record: clock.page(calibrated),
    });
    items.push(Item {
        sync: 0,
        witness: 0x5a,
        record: Record::Wallclock(Wallclock {
            sec: 1_790_000_000,
            nsec: 17,
        }),
    });
    let mut sync = 9;
    let mut printed = 0u32;
    for _ in 0..seconds {
        clock.ns += 1_000_000_000 + noise * random.below(60_000);
        calibrated += 1_000_000_000 + noise * random.below(30_000);
        let witness = random.next() as u8;
        sync += 2;
        items.push(Item {
            sync,
            witness,
            record: Record::Event(Event { port: 3 }),
        });
        items.push(Item {
            sync,
            witness,
            record: clock.page(calibrated),
        });
        for read in 0..reads {
            sync += 1 + read % 2;
            clock.ns += 700 + 300 * (read % 3) + noise * random.below(500);
            items.push(Item {
                sync,
                witness: 0,
                record: clock.tsc(),
            });
        }
        let witness = random.next() as u8;
        sync += 2;
        printed += 26;
        items.push(Item {
            sync,
            witness,
            record: Record::Event(Event { port: 2 }),
        });
        items.push(Item {
            sync,
            witness,
            record: Record::ConsoleIn(RingIn {
                cons: printed,
                ..RingIn::default()
            }),
        });
        sync += 2;
    }
    items
}

/// What backends write: chunks of three are mostly bytes of pages.
pub fn pages() -> Vec<Item<'static>> {
    let page = |number: u64| {
        let bytes = [&[0x11; 300], &[0x22; 300], &b"not so uniform"[..]];
        Item {
            sync: 5 + number,
            witness: number as u8,
            record: Record::Page(Page {
                frame: 0x1000 + number / 2,
                offset: 300 * (number % 2) as u16,
                bytes: bytes[number as usize % 3],
            }),
        }
    };
    (0..9).map(page).collect()
}

/// One item of each kind and form, in an order that a log allows, with an end.
pub fn one_of_each() -> Vec<Item<'static>> {
    let clock = Clock {
        ns: 5_000_000_000,
        created_ns: 4_000_000_000,
    };
    let commit = |sync, record| Item {
        sync,
        witness: sync as u8 ^ 0xa5,
        record,
    };
    let value = |sync, record| Item {
        sync,
        witness: 0,
        record,
    };
    let runstate = Runstate {
        state: 0,
        state_entry_time_ns: 4_100_000_000,
        time_ns: [60, 40, 100_000_000, 0],
    };
    let ring = RingIn {
        prod: 5,
        cons: 17,
        bytes: b"help\n",
        ext: [0; 3],
    };
    vec![
        commit(
            0,
            Record::Start(Start {
                registers: 0x1122_3344_5566_7788,
                memory: 0x99aa_bbcc_ddee_ff00,
                pages: 8192,
            }),
        ),
        commit(0, clock.page(3_900_000_000)),
        commit(
            0,
            Record::Wallclock(Wallclock {
                sec: 1_790_000_000,
                nsec: 999_999_999,
            }),
        ),
        commit(
            0,
            Record::XenstoreIn(RingIn {
                ext: [1, 0, 0],
                ..RingIn::default()
            }),
        ),
        value(
            0,
            Record::Value(Value {
                kind: ValueKind::Timer,
                bytes: &[0; 4],
            }),
        ),
        value(0, clock.tsc()),
        value(
            1,
            Record::Tsc(Tsc {
                value: clock.ticks(5_000_000_300),
            }),
        ),
        value(
            2,
            Record::Tsc(Tsc {
                value: clock.ticks(5_000_020_300),
            }),
        ),
        value(
            3,
            Record::Tsc(Tsc {
                value: clock.ticks(5_000_020_301),
            }),
        ),
        commit(9, Record::Event(Event { port: 3 })),
        commit(9, clock.page(4_900_000_000)),
        commit(9, Record::Runstate(runstate)),
        value(
            10,
            Record::Tsc(Tsc {
                value: clock.ticks(6_000_020_301),
            }),
        ),
        commit(11, Record::Event(Event { port: 2 })),
        commit(11, Record::ConsoleIn(ring)),
        commit(11, Record::Interrupt(Interrupt { vector: 0xec })),
        value(
            11,
            Record::Value(Value {
                kind: ValueKind::Hypercall,
                bytes: &[7; 40],
            }),
        ),
        value(
            11,
            Record::Value(Value {
                kind: ValueKind::Msr,
                bytes: &[2, 0, 0, 0x80, 1, 0, 0, 0],
            }),
        ),
        value(
            11,
            Record::Value(Value {
                kind: ValueKind::Lapic,
                bytes: &[0xa0, 0x86, 1, 0],
            }),
        ),
        commit(
            12,
            Record::ConsoleIn(RingIn {
                prod: 6,
                cons: 17,
                bytes: b"q",
                ext: [0; 3],
            }),
        ),
        commit(
            12,
            Record::XenstoreIn(RingIn {
                prod: 24,
                cons: 16,
                bytes: b"a reply of 24 bytes long",
                ext: [1, 0, 0],
            }),
        ),
        commit(
            12,
            Record::Loan(Loan {
                begins: true,
                reference: 8,
                frame: 0x12_3456,
                port: 7,
            }),
        ),
        commit(
            12,
            Record::Page(Page {
                frame: 0x12_3456,
                offset: 64,
                bytes: b"a response",
            }),
        ),
        commit(
            12,
            Record::Page(Page {
                frame: 0x7_0000,
                offset: 0,
                bytes: &[0xaa; 48],
            }),
        ),
        commit(
            12,
            Record::Page(Page {
                frame: 0x7_0000,
                offset: 48,
                bytes: &[0x55; 48],
            }),
        ),
        commit(
            12,
            Record::Page(Page {
                frame: 0x12_3456,
                offset: 74,
                bytes: b"the next one",
            }),
        ),
        value(
            12,
            Record::Place(Place {
                rip: 0xffff_ffff_8100_4321,
                registers: 5,
                fpu: 6,
                memory: 7,
                all_memory: 8,
                hits: 300,
                pages: [70_000, 3, 0, 0],
                page_count: 2,
            }),
        ),
        commit(400, Record::Event(Event { port: 1023 })),
        commit(
            400,
            Record::Loan(Loan {
                begins: false,
                reference: u32::MAX,
                frame: (1 << 52) - 1,
                port: 0,
            }),
        ),
        commit(
            400,
            Record::Runstate(Runstate {
                state: 1,
                state_entry_time_ns: 1 << 63,
                ..runstate
            }),
        ),
        commit(
            400,
            Record::Time(TimeInfo {
                tsc_timestamp: 3,
                system_time: 2,
                tsc_to_system_mul: 1,
                tsc_shift: 100,
                flags: 0,
            }),
        ),
        value(400, Record::Tsc(Tsc { value: 12 })),
        commit(
            1 << 40,
            Record::End(End {
                reason: EndReason::Shutdown,
                code: 0,
                rip: 0xffff_ffff_8100_1234,
                registers: 1,
                memory: u64::MAX,
                pages: 8192,
            }),
        ),
    ]
}
