//! Where a log cannot go on as usual: a full ring within a hypercall, requests that come after the
//! log has failed, a log that nobody recorded, a port that is closed.

use log_format::ring::{CONS_OFFSET, PROD_OFFSET};
use log_format::{Encoder, Event, Item, MAX_RECORD_BYTES, Record, Start, Tsc};

use super::*;
use crate::digest;

/// A recording that ends when its ring is full, of a guest within a hypercall that made it so.
fn full_within_a_hypercall() -> FakeXen {
    let mut xen = FakeXen::with(false, true, 0);
    assert_eq!(xen.serve(), HVLOG_DONE);
    xen.start();
    assert_eq!(xen.commit(), HVLOG_DONE);
    xen.gate.at_sync = 0;
    loop {
        xen.tsc();
        if xen.gate.attention & HVLOG_BLOCKED != 0 {
            return xen;
        }
    }
}

#[test]
fn a_full_ring_lets_a_hypercall_go_on_and_ends_the_log_behind_it() {
    let mut xen = full_within_a_hypercall();
    for _ in 0..100 {
        xen.tsc();
        assert_eq!(xen.serve(), HVLOG_DONE);
        // The exit path asks until it is down.
        assert_eq!(xen.gate.attention & HVLOG_BLOCKED, 0);
    }
    // It is complete, and nothing is to be committed.
    xen.gate.sync += 1;
    xen.gate.at_sync = 1;
    assert_ne!(xen.gate.attention, 0);
    assert_eq!(xen.commit(), HVLOG_WAIT);
    assert_eq!(xen.serve(), HVLOG_END);
    assert_eq!(xen.end(1), HVLOG_DONE);
    assert_eq!(xen.report().0.error, HVLOG_ERR_NONE);
}

#[test]
fn a_reader_that_comes_in_time_keeps_the_log_going() {
    let mut xen = full_within_a_hypercall();
    assert_eq!(xen.serve(), HVLOG_DONE);
    let prod = *xen.index(PROD_OFFSET);
    *xen.index(CONS_OFFSET) = prod;
    xen.gate.sync += 1;
    xen.gate.at_sync = 1;
    assert_eq!(xen.commit(), HVLOG_WAIT);
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.commit(), HVLOG_DONE);
    assert_eq!(xen.gate.attention, 0);
}

#[test]
fn a_hypercall_without_an_end_costs_the_log_and_nothing_else() {
    let mut xen = full_within_a_hypercall();
    for _ in 0..10_000 {
        xen.tsc();
        assert_eq!(xen.serve(), HVLOG_DONE);
        assert_eq!(xen.gate.attention & HVLOG_BLOCKED, 0);
    }
    assert_eq!(xen.report().0.error, HVLOG_ERR_FULL);
    assert!(*xen.index(PROD_OFFSET) <= 16384);
}

#[test]
fn who_asks_a_failed_log_to_end_gets_an_answer() {
    for asks_before in [false, true] {
        let mut xen = FakeXen::new(false);
        assert_eq!(xen.serve(), HVLOG_DONE);
        xen.start();
        if asks_before {
            xen.request_stop();
        }
        *xen.index(CONS_OFFSET) = u64::MAX / 2;
        while xen.report().0.error == HVLOG_ERR_NONE {
            xen.tsc();
            xen.gate.sync += 1;
        }
        if !asks_before {
            xen.request_stop();
        }
        assert_eq!(xen.commit(), HVLOG_GONE);
        // As long as it is up the guest does not block.
        assert_eq!(xen.gate.attention & HVLOG_STOP, 0);
        xen.gate.sync += 1;
        assert_eq!(xen.commit(), HVLOG_DONE);
    }
}

#[test]
fn a_made_up_log_does_not_hold_the_cpu() {
    const EVENTS: usize = 1000;
    let registers = FakeXen::registers(0);
    let start = Record::Start(Start {
        registers: digest::registers(&registers),
        memory: 7,
        pages: 1,
    });
    let witness = digest::witness(digest::add_registers(0, &registers));
    let events = core::iter::repeat_n(Record::Event(Event { port: 5 }), EVENTS);
    let (mut encoder, mut log) = (Encoder::new(), Vec::new());
    for record in core::iter::once(start).chain(events) {
        let item = Item {
            sync: 0,
            witness,
            record,
        };
        let mut bytes = [0; MAX_RECORD_BYTES];
        let len = encoder.encode(&item, &mut bytes);
        log.extend_from_slice(&bytes[..len]);
    }
    // The first record of the next number, so that this one is known to be over.
    let mut bytes = [0; MAX_RECORD_BYTES];
    let last = Item {
        sync: 1,
        witness: 0,
        record: Record::Tsc(Tsc { value: 1 }),
    };
    let len = encoder.encode(&last, &mut bytes);
    log.extend_from_slice(&bytes[..len]);

    let mut xen = FakeXen::new(true);
    xen.feed(&log);
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.start(), HVLOG_DONE);
    let mut seen = 0;
    loop {
        let code = xen.commit();
        let applied = xen.applied().len();
        assert!(applied - seen <= 128, "{} in one go", applied - seen);
        seen = applied;
        if code != HVLOG_MORE {
            assert_eq!(code, HVLOG_DONE, "{:?}", xen.report().1);
            break;
        }
        // It is asked again at the same sync point.
        assert!(xen.gate.sync >= xen.gate.due);
    }
    assert_eq!(seen, EVENTS);
}

#[test]
fn a_port_that_is_closed_leaves_nothing_behind() {
    let mut xen = FakeXen::new(false);
    assert_eq!(xen.serve(), HVLOG_DONE);
    xen.start();
    assert_eq!(xen.commit(), HVLOG_DONE);
    xen.gate.sync += 1;
    xen.stage(7);
    xen.unstage(7);
    assert_eq!(xen.commit(), HVLOG_DONE);
    assert!(!xen.applied().iter().any(|what| what == "event 7"));
    assert_eq!(xen.gate.attention, 0);
}
