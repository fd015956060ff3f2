//! What holds for all items and all bytes.

mod common;

use common::encode_all;
use log_format::{
    DecodeError, Decoder, Encoder, End, EndReason, Event, FIRST_VECTOR, Interrupt, Item, Loan,
    MAX_FRAME, MAX_PAGE_BYTES, MAX_PLACE_PAGES, MAX_RECORD_BYTES, MAX_RING_BYTES, MAX_VALUE_BYTES,
    Page, Place, Record, RingIn, Runstate, Start, TimeInfo, Tsc, Value, ValueKind, Wallclock,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A record whose bytes are a range of [`BYTES`].
const BYTES: [u8; MAX_RING_BYTES] = {
    let mut bytes = [0; MAX_RING_BYTES];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = (i * 7) as u8;
        i += 1;
    }
    bytes
};

/// Numbers of all magnitudes, small ones often.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(bits, shift)| bits >> shift)
}

fn number_u32() -> impl Strategy<Value = u32> {
    number().prop_map(|number| number as u32)
}

fn ring(has_ext: bool) -> impl Strategy<Value = RingIn<'static>> {
    let length = prop_oneof![0..4usize, 0..=MAX_RING_BYTES];
    let ext = [number_u32(), number_u32(), number_u32()];
    (number_u32(), number_u32(), length, ext).prop_map(move |(prod, cons, length, ext)| RingIn {
        prod,
        cons,
        bytes: &BYTES[..length],
        ext: if has_ext { ext } else { [0; 3] },
    })
}

fn time() -> impl Strategy<Value = TimeInfo> {
    let scale = prop_oneof![3 => Just((0xd555_5555u32, -1i8)), 1 => any::<(u32, i8)>()];
    (number(), number(), scale, any::<u8>()).prop_map(
        |(tsc_timestamp, system_time, scale, flags)| TimeInfo {
            tsc_timestamp,
            system_time,
            tsc_to_system_mul: scale.0,
            tsc_shift: scale.1,
            flags,
        },
    )
}

/// Any frame, or one of a few that come again and again.
fn frame() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..6u64, 1 => number().prop_map(|frame| frame & MAX_FRAME)]
}

/// Pieces that follow each other, and pieces from anywhere.
fn page() -> impl Strategy<Value = Record<'static>> {
    let piece = prop_oneof![
        (0..8usize).prop_map(|piece| (piece * 512, 512)),
        (0..4096usize, 1..=MAX_PAGE_BYTES).prop_map(|(at, most)| (at, most.min(4096 - at))),
    ];
    (frame(), piece).prop_map(|(frame, (offset, length))| {
        Record::Page(Page {
            frame,
            offset: offset.try_into().unwrap(),
            bytes: &BYTES[..length],
        })
    })
}

fn loan() -> impl Strategy<Value = Record<'static>> {
    (any::<bool>(), number_u32(), frame(), any::<u16>()).prop_map(
        |(begins, reference, frame, port)| {
            Record::Loan(Loan {
                begins,
                reference,
                frame,
                port,
            })
        },
    )
}

fn commit() -> impl Strategy<Value = Record<'static>> {
    prop_oneof![
        (0..5u16).prop_map(|port| Record::Event(Event { port })),
        any::<u16>().prop_map(|port| Record::Event(Event { port })),
        time().prop_map(Record::Time),
        (number(), 0..1_000_000_000u32)
            .prop_map(|(sec, nsec)| Record::Wallclock(Wallclock { sec, nsec })),
        (
            number_u32(),
            number(),
            [number(), number(), number(), number()]
        )
            .prop_map(
                |(state, state_entry_time_ns, time_ns)| Record::Runstate(Runstate {
                    state,
                    state_entry_time_ns,
                    time_ns,
                })
            ),
        ring(false).prop_map(Record::ConsoleIn),
        ring(true).prop_map(Record::XenstoreIn),
        (FIRST_VECTOR..).prop_map(|vector| Record::Interrupt(Interrupt { vector })),
        page(),
        page(),
        loan(),
    ]
}

fn value() -> impl Strategy<Value = Record<'static>> {
    let kind = prop::sample::select(ValueKind::ALL);
    prop_oneof![
        4 => number().prop_map(|value| Record::Tsc(Tsc { value })),
        1 => (kind, 0..=MAX_VALUE_BYTES)
            .prop_map(|(kind, length)| Record::Value(Value { kind, bytes: &BYTES[..length] })),
    ]
}

/// What ends a sync number.
fn place() -> impl Strategy<Value = Record<'static>> {
    (any::<[u64; 6]>(), vec(number_u32(), 0..=MAX_PLACE_PAGES)).prop_map(|(words, named)| {
        let mut pages = [0; MAX_PLACE_PAGES];
        pages[..named.len()].copy_from_slice(&named);
        Record::Place(Place {
            rip: words[0],
            registers: words[1],
            fpu: words[2],
            memory: words[3],
            all_memory: words[4] >> 32 & words[5],
            hits: words[5] >> 60,
            pages,
            page_count: named.len().try_into().unwrap(),
        })
    })
}

/// Commits and values of one sync number, and its distance to the one before.
type Point = (u64, u8, Vec<Record<'static>>, Vec<Record<'static>>);

fn point() -> impl Strategy<Value = Point> {
    let step = prop_oneof![8 => 1..20u64, 1 => number().prop_map(|step| (step >> 8).max(1))];
    let values = (vec(value(), 0..4), prop::option::weighted(0.2, place()))
        .prop_map(|(values, place)| values.into_iter().chain(place).collect());
    (step, any::<u8>(), vec(commit(), 0..4), values)
}

fn end() -> impl Strategy<Value = Record<'static>> {
    let reason = prop::sample::select(EndReason::ALL);
    (reason, number_u32(), any::<[u64; 3]>(), number_u32()).prop_map(
        |(reason, code, words, pages)| {
            Record::End(End {
                reason,
                code,
                rip: words[0],
                registers: words[1],
                memory: words[2],
                pages,
            })
        },
    )
}

/// A log with a start, points and perhaps an end.
fn log() -> impl Strategy<Value = Vec<Item<'static>>> {
    let start = any::<(u64, u64, u32)>().prop_map(|(registers, memory, pages)| {
        Record::Start(Start {
            registers,
            memory,
            pages,
        })
    });
    (
        start,
        any::<u8>(),
        vec(point(), 0..40),
        prop::option::of(end()),
    )
        .prop_map(|(start, witness, points, end)| {
            let mut items = vec![Item {
                sync: 0,
                witness,
                record: start,
            }];
            let mut sync = 0u64;
            for (step, witness, commits, values) in points {
                sync = sync.saturating_add(step);
                if sync == u64::MAX {
                    break;
                }
                items.extend(commits.into_iter().map(|record| Item {
                    sync,
                    witness,
                    record,
                }));
                items.extend(values.into_iter().map(|record| Item {
                    sync,
                    witness: 0,
                    record,
                }));
            }
            items.extend(end.map(|record| Item {
                sync: sync.saturating_add(1),
                witness: 3,
                record,
            }));
            items
        })
}

/// Decodes until an error, which must come, and checks what holds on the way.
fn decode_until_error(mut wire: &[u8]) {
    let mut decoder = Decoder::new();
    let mut previous = None;
    loop {
        match decoder.decode(wire) {
            Ok((used, item)) => {
                assert!((1..=MAX_RECORD_BYTES).contains(&used));
                let now = (item.sync, !item.record.is_commit());
                assert!(Some(now) >= previous, "order");
                previous = Some(now);
                wire = &wire[used..];
            }
            Err(DecodeError::Incomplete) => {
                assert!(
                    wire.len() < MAX_RECORD_BYTES,
                    "room for a record and yet incomplete"
                );
                return;
            }
            Err(_) => return,
        }
    }
}

proptest! {
    #[test]
    fn items_come_back(items in log()) {
        let wire = encode_all(&mut Encoder::new(), &items);
        let mut decoder = Decoder::new();
        let mut rest = &wire[..];
        for item in &items {
            let (length, back) = decoder.decode(rest).unwrap();
            prop_assert_eq!(back, *item);
            rest = &rest[length..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn an_encoder_made_from_a_decoder_goes_on_alike(items in log(), part in 0.0..1.0f64) {
        let (head, tail) = items.split_at((items.len() as f64 * part) as usize);
        let mut encoder = Encoder::new();
        let mut wire = encode_all(&mut encoder, head);
        let mut decoder = Decoder::new();
        while !wire.is_empty() {
            let (length, _) = decoder.decode(&wire).unwrap();
            wire.drain(..length);
        }
        let expected = encode_all(&mut encoder, tail);
        prop_assert_eq!(encode_all(&mut decoder.to_encoder(), tail), expected);
    }

    #[test]
    fn random_bytes_end_in_an_error(wire in vec(any::<u8>(), 0..3000)) {
        decode_until_error(&wire);
    }

    #[test]
    fn altered_bytes_end_in_an_error(
        items in log(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut wire = encode_all(&mut Encoder::new(), &items);
        for (place, byte) in changes {
            let place = place.index(wire.len());
            wire[place] = byte;
        }
        decode_until_error(&wire);
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        items in log(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut wire = encode_all(&mut Encoder::new(), &items);
        for (place, byte) in changes {
            let place = place.index(wire.len());
            wire[place] = byte;
        }
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let mut rest = &wire[..];
        while let Ok((length, item)) = decoder.decode(rest) {
            let again = encode_all(&mut encoder, [&item]);
            prop_assert_eq!(&again, &rest[..length]);
            rest = &rest[length..];
        }
    }

    #[test]
    fn a_record_never_needs_more_than_it_may(items in vec((commit(), number()), 1..20)) {
        let mut encoder = Encoder::new();
        let mut sync = 0u64;
        for (record, step) in items {
            sync = sync.saturating_add(step);
            let mut out = [0; MAX_RECORD_BYTES];
            let length = encoder.encode(&Item { sync, witness: step as u8, record }, &mut out);
            // The last byte is never reached, so nothing was cut off.
            prop_assert!(length < MAX_RECORD_BYTES);
        }
    }
}
