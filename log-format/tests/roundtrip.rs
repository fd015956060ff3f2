//! Items survive the wire, and take as few bytes as they should.

mod common;

use common::{encode_all, idle_seconds, one_of_each};
use log_format::{
    DecodeError, Decoder, Encoder, EndReason, Event, Item, Kind, MAX_RECORD_BYTES, Record, Start,
    Tsc, Value,
};

fn assert_comes_back(items: &[Item], wire: &[u8]) {
    let (mut decoder, mut rest) = (Decoder::new(), wire);
    for item in items {
        let (length, back) = decoder.decode(rest).unwrap();
        assert_eq!(back, *item);
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
}

#[test]
fn one_record_of_each_kind_comes_back() {
    let items = one_of_each();
    for kind in Kind::ALL {
        assert!(
            items.iter().any(|item| item.record.kind() == *kind),
            "{kind:?} is missing"
        );
    }
    let wire = encode_all(&mut Encoder::new(), &items);
    assert_comes_back(&items, &wire);
}

#[test]
fn every_prefix_is_incomplete_and_leaves_the_decoder_as_it_was() {
    let items = one_of_each();
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new();
    for item in &items {
        let wire = encode_all(&mut encoder, [item]);
        for length in 0..wire.len() {
            assert_eq!(
                decoder.decode(&wire[..length]),
                Err(DecodeError::Incomplete),
                "{item:?}"
            );
        }
        assert_eq!(decoder.decode(&wire), Ok((wire.len(), *item)));
    }
    assert!(decoder.is_ended());
    assert_eq!(decoder.decode(&[]), Err(DecodeError::Incomplete));
    assert_eq!(decoder.decode(&[0x81]), Err(DecodeError::AfterEnd));
}

#[test]
fn an_idle_guest_costs_few_bytes() {
    let (before, after) = (idle_seconds(100, 8, 1, 1), idle_seconds(1100, 8, 1, 1));
    assert_eq!(before, after[..before.len()]);
    let mut encoder = Encoder::new();
    encode_all(&mut encoder, &before);
    let second = encode_all(&mut encoder, &after[before.len()..]).len() as f64 / 1000.0;
    assert_comes_back(&after, &encode_all(&mut Encoder::new(), &after));
    println!("{second} bytes a second, 12 records");
    assert!(second <= 30.0, "{second} bytes a second");
}

#[test]
fn items_that_cannot_stand_in_a_log_are_refused() {
    let tsc = |sync, value| Item {
        sync,
        witness: 0,
        record: Record::Tsc(Tsc { value }),
    };
    let event = |sync, witness| Item {
        sync,
        witness,
        record: Record::Event(Event { port: 1 }),
    };
    let mut encoder = Encoder::new();
    let mut out = [0; MAX_RECORD_BYTES];
    assert_ne!(encoder.encode(&event(5, 7), &mut out), 0);
    assert_eq!(
        encoder.encode(&event(4, 7), &mut out),
        0,
        "sync number goes back"
    );
    assert_eq!(
        encoder.encode(&event(5, 8), &mut out),
        0,
        "another witness at the same number"
    );
    assert_ne!(encoder.encode(&event(5, 7), &mut out), 0);
    assert_ne!(encoder.encode(&tsc(5, 100), &mut out), 0);
    assert_eq!(
        encoder.encode(&event(5, 7), &mut out),
        0,
        "a commit after a value"
    );
    let start = Record::Start(Start {
        registers: 0,
        memory: 0,
        pages: 0,
    });
    assert_eq!(
        encoder.encode(
            &Item {
                sync: 6,
                witness: 0,
                record: start
            },
            &mut out
        ),
        0
    );
    assert_eq!(
        encoder.encode(
            &Item {
                witness: 1,
                ..tsc(6, 0)
            },
            &mut out
        ),
        0
    );
    let long = Record::Value(Value {
        kind: log_format::ValueKind::Cpuid,
        bytes: &[0; 257],
    });
    assert_eq!(
        encoder.encode(
            &Item {
                sync: 6,
                witness: 0,
                record: long
            },
            &mut out
        ),
        0
    );
    let end = log_format::End {
        reason: EndReason::Stop,
        code: 0,
        rip: 0,
        registers: 0,
        memory: 0,
        pages: 0,
    };
    assert_ne!(
        encoder.encode(
            &Item {
                sync: 6,
                witness: 0,
                record: Record::End(end)
            },
            &mut out
        ),
        0
    );
    assert!(encoder.is_ended());
    assert_eq!(encoder.encode(&tsc(7, 100), &mut out), 0, "after the end");
}
