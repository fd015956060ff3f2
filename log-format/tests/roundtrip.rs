//! Items survive the wire, and take as few bytes as they should.

mod common;

use common::{encode_all, idle_seconds, one_of_each};
use log_format::{
    DecodeError, Decoder, Encoder, EndReason, Event, FIRST_VECTOR, Interrupt, Item, Kind, Loan,
    MAX_FRAME, MAX_PAGE_BYTES, MAX_RECORD_BYTES, Page, Record, Start, Tsc, Value,
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
fn vectors_of_exceptions_are_refused_by_both_sides() {
    let item = |vector| Item {
        sync: 3,
        witness: 5,
        record: Record::Interrupt(Interrupt { vector }),
    };
    let mut wire = encode_all(&mut Encoder::new(), [&item(u8::MAX)]);
    for vector in 0..=u8::MAX {
        *wire.last_mut().unwrap() = vector;
        let decoded = Decoder::new().decode(&wire);
        let encoded = Encoder::new().encode(&item(vector), &mut [0; MAX_RECORD_BYTES]);
        if vector < FIRST_VECTOR {
            assert_eq!(decoded, Err(DecodeError::Vector(vector)));
            assert_eq!(encoded, 0, "vector {vector}");
        } else {
            assert_eq!(decoded, Ok((wire.len(), item(vector))));
            assert_eq!(encoded, wire.len(), "vector {vector}");
        }
    }
    assert_eq!(
        DecodeError::Vector(14).to_string(),
        "no interrupt has the vector 14: they begin with 16"
    );
}

fn page(sync: u64, frame: u64, offset: u16, bytes: &[u8]) -> Item<'_> {
    let record = Record::Page(Page {
        frame,
        offset,
        bytes,
    });
    Item {
        sync,
        witness: 5,
        record,
    }
}

/// What records of pages take besides their bytes.
#[test]
fn what_goes_on_in_a_page_or_comes_back_to_it_costs_few_bytes() {
    let (piece, response) = (&[7; MAX_PAGE_BYTES], [1; 16]);
    let whole = |frame| (0..4).map(move |quarter| page(3, frame, 1024 * quarter, piece));
    let mut items = vec![page(3, 0x7_0000, 64, &response)];
    items.extend(whole(0x12_3456));
    items.extend(whole(0x12_3457));
    items.push(page(3, 0x7_0000, 80, &response));
    items.push(page(3, 0x7_0000, 96, &response));
    let mut encoder = Encoder::new();
    let costs: Vec<_> = items
        .iter()
        .map(|item| encode_all(&mut encoder, [item]).len() - item.record.bytes().len())
        .collect();
    // Two bytes are the tag with its form, one says which of the others there are; the first one
    // has a witness too.
    assert_eq!(costs, [9, 8, 3, 3, 3, 4, 3, 3, 3, 4, 3]);
    assert_comes_back(&items, &encode_all(&mut Encoder::new(), &items));
}

#[test]
fn the_end_of_a_page_is_followed_by_its_beginning() {
    let bytes = [7; MAX_PAGE_BYTES];
    let items = [page(3, 9, 3072, &bytes), page(3, 9, 0, &bytes)];
    let mut encoder = Encoder::new();
    encode_all(&mut encoder, &items[..1]);
    assert_eq!(encode_all(&mut encoder, &items[1..]).len(), 3 + bytes.len());
}

#[test]
fn pages_and_loans_out_of_range_are_refused() {
    let bytes = [7; MAX_PAGE_BYTES + 1];
    for (is_valid, frame, offset, length) in [
        (true, MAX_FRAME, 0, 1024),
        (false, MAX_FRAME + 1, 0, 1024),
        (false, 5, 0, 0),
        (false, 5, 0, 1025),
        (true, 5, 4095, 1),
        (false, 5, 4095, 2),
        (false, 5, 4096, 1),
        (false, 5, u16::MAX, 1),
    ] {
        let item = page(3, frame, offset, &bytes[..length]);
        let encoded = Encoder::new().encode(&item, &mut [0; MAX_RECORD_BYTES]);
        assert_eq!(encoded != 0, is_valid, "{frame:#x} {offset} {length}");
    }
    for frame in [MAX_FRAME, MAX_FRAME + 1] {
        let record = Record::Loan(Loan {
            begins: true,
            reference: u32::MAX,
            frame,
            port: u16::MAX,
        });
        let item = Item {
            sync: 3,
            witness: 5,
            record,
        };
        let encoded = Encoder::new().encode(&item, &mut [0; MAX_RECORD_BYTES]);
        assert_eq!(encoded != 0, frame == MAX_FRAME);
    }
}

/// Step 1 is the expected one, 0x55 the witness.
#[test]
fn pages_and_loans_that_no_encoder_writes_are_errors() {
    use DecodeError::{Overlong, Range};
    let decode = |payload: &[u8]| {
        let wire = [&[0x0f][..], payload, &[0; 1100]].concat();
        Decoder::new().decode(&wire).map(|(length, _)| length)
    };
    for (expected, payload) in [
        // Frame 0 from its beginning, of the length that the last record had.
        (Ok(1028), &[18, 0x55, 0][..]),
        (Err(Overlong), &[18, 0x55, 1]),
        (Err(Overlong), &[18, 0x55, 3]),
        (Err(Overlong), &[18, 0x55, 4, 0]),
        (Ok(1029), &[18, 0x55, 4, 2]),
        (Err(Range), &[18, 0x55, 4, 1]),
        (Err(Range), &[18, 0x55, 5]),
        (Err(Range), &[18, 0x55, 32]),
        (Err(Overlong), &[18, 0x55, 8, 0]),
        (Ok(1029), &[18, 0x55, 8, 5]),
        (Ok(1030), &[18, 0x55, 8, 0x80, 24]),
        (Err(Range), &[18, 0x55, 8, 0x81, 24]),
        (Err(Overlong), &[18, 0x55, 16, 0xff, 7]),
        (Ok(6), &[18, 0x55, 16, 0]),
        (Err(Range), &[18, 0x55, 16, 0x80, 8]),
        (Ok(7), &[19, 0x55, 1, 8, 9, 7]),
        (Err(Range), &[19, 0x55, 2, 8, 9, 7]),
        (Err(Range), &[19, 0x55, 1, 0x80, 0x80, 0x80, 0x80, 16, 9, 7]),
        (Err(Range), &[19, 0x55, 1, 8, 9, 0x80, 0x80, 4]),
    ] {
        assert_eq!(decode(payload), expected, "{payload:x?}");
    }
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
