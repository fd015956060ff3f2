//! Interrupts of the local APIC: taken once, logged behind all else that is stale, given back as logged.

use log_format::{Decoder, Encoder, Interrupt, MAX_RECORD_BYTES, Record};

use super::*;

/// What a guest was given whose timer expires with this vector before its first commit.
fn recorded(vector: u32) -> (FakeXen, Vec<String>) {
    let xen = FakeXen::new(false);
    assert_eq!(xen.serve(), HVLOG_DONE);
    xen.start();
    xen.expire(vector);
    xen.mark(HVLOG_STALE_RINGS);
    xen.stage(5);
    assert_eq!(xen.commit(), HVLOG_DONE);
    let applied = xen.applied();
    (xen, applied)
}

/// The log with another vector in all interrupts.
fn with_vector(log: &[u8], vector: u8) -> Vec<u8> {
    let (mut decoder, mut encoder) = (Decoder::new(), Encoder::new());
    let (mut rest, mut altered) = (log, Vec::new());
    while !rest.is_empty() {
        let (len, mut item) = decoder.decode(rest).expect("a log of ours");
        rest = &rest[len..];
        if let Record::Interrupt(_) = item.record {
            item.record = Record::Interrupt(Interrupt { vector });
        }
        let mut bytes = [0; MAX_RECORD_BYTES];
        let len = encoder.encode(&item, &mut bytes);
        altered.extend_from_slice(&bytes[..len]);
    }
    altered
}

#[test]
fn an_interrupt_comes_behind_the_rings_and_before_the_events() {
    let (_, applied) = recorded(16);
    let [ring, interrupt, event] = applied.as_slice() else {
        panic!("{applied:?}");
    };
    assert!(ring.starts_with("ring 0"));
    assert_eq!(
        (interrupt.as_str(), event.as_str()),
        ("interrupt 16", "event 5")
    );
}

#[test]
fn an_expired_timer_is_a_reason_to_commit_and_is_taken_once() {
    let (mut xen, applied) = recorded(0xec);
    xen.gate.sync += 1;
    assert_eq!(xen.gate.attention, 0);
    xen.mark(HVLOG_STALE_INTERRUPT);
    assert_eq!(xen.gate.attention, HVLOG_WORK);
    let records = xen.report().0.records;
    assert_eq!(xen.commit(), HVLOG_DONE);
    assert_eq!(xen.applied(), applied);
    assert_eq!(xen.report().0.records, records);
}

#[test]
fn a_replay_gives_the_vector_of_the_log() {
    let (log, recorded) = record();
    for (vector, is_equal) in [(0xec, true), (0xed, false)] {
        let mut xen = FakeXen::new(true);
        xen.feed(&with_vector(&log, vector));
        // The host's own timer is nothing to a replay.
        let code = run(&mut xen, |xen, _| xen.expire(0x55));
        assert_eq!(code, HVLOG_DONE, "{:?}", xen.report().1);
        assert_eq!(xen.applied() == recorded, is_equal, "vector {vector:#x}");
        assert!(xen.applied().contains(&format!("interrupt {vector}")));
        assert!(!xen.applied().contains(&"interrupt 85".to_owned()));
    }
}

#[test]
fn what_no_vector_can_be_ends_the_log() {
    for vector in [0, 15, 256, 0x1ec] {
        let (xen, _) = recorded(vector);
        assert_eq!(xen.report().0.error, HVLOG_ERR_LOG, "vector {vector:#x}");
    }
    for vector in [16, 255] {
        let (xen, _) = recorded(vector);
        assert_eq!(xen.report().0.error, HVLOG_ERR_NONE, "vector {vector:#x}");
    }
}
