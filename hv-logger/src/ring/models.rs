//! The ring with Xen on one CPU and dom0 on another, through every order that loom can tell apart.
//!
//! Each property stands beside controls that must fail: an ordering taken away, or steps in the
//! wrong order.

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::sync::AtomicU32;

/// Bytes of the data area; records are shorter, and do not divide it.
const SIZE: usize = 4;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Enough for every control to be found, and few enough for seconds rather than hours.
    builder.preemption_bound = Some(4);
    builder.check(run);
}

/// Xen's end, or dom0's of a replay.
fn end(pages: &Pages) -> Ring {
    Ring {
        pages: pages.clone(),
        size: pages.size(),
        own: 0,
        other: 0,
        found: 0,
    }
}

/// The bytes of record `number`: a gap, a repetition and a torn record all show.
fn record<const N: usize>(number: usize) -> [u8; N] {
    core::array::from_fn(|i| (number * N + i + 1) as u8)
}

/// Writes `count` records of N bytes, waiting for room.
fn write_all<const N: usize>(writer: &mut Ring, count: usize) {
    for number in 0..count {
        while writer.free(N as u64).unwrap() < N as u64 {
            thread::yield_now();
        }
        writer.write(&record::<N>(number));
    }
}

// ---- wrap-around ----

/// Three records of three bytes through four: the second and the third lie around the end.
fn wrap_around(weaken: fn(&Pages)) {
    model(move || {
        let pages = Pages::zeroed(SIZE);
        weaken(&pages);
        let (mut writer, mut reader) = (end(&pages), end(&pages));
        let other = thread::spawn(move || write_all::<3>(&mut writer, 3));
        for number in 0..3 {
            while reader.available().unwrap() < 3 {
                thread::yield_now();
            }
            let mut got = [0; 3];
            reader.peek(&mut got);
            assert_eq!(got, record(number));
            reader.consume(3);
        }
        other.join().unwrap();
    });
}

#[test]
fn records_wrap_around_whole_and_in_order() {
    wrap_around(|_| {});
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_prod_stored_without_release() {
    wrap_around(|pages| pages.index_at(PROD_OFFSET).weaken_store());
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_prod_loaded_without_acquire() {
    wrap_around(|pages| pages.index_at(PROD_OFFSET).weaken_load());
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_cons_stored_without_release() {
    wrap_around(|pages| pages.index_at(CONS_OFFSET).weaken_store());
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_cons_loaded_without_acquire() {
    wrap_around(|pages| pages.index_at(CONS_OFFSET).weaken_load());
}

// ---- a full ring ----

/// A writer that does not wait writes what fits; the reader gets exactly that.
fn full_ring(asks: bool) {
    model(move || {
        let pages = Pages::zeroed(SIZE);
        let (mut writer, mut reader) = (end(&pages), end(&pages));
        let other = thread::spawn(move || {
            let mut written = Vec::new();
            for number in 0..4 {
                if !asks || writer.free(2).unwrap() >= 2 {
                    writer.write(&record::<2>(number));
                    written.extend(record::<2>(number));
                }
            }
            written
        });
        let mut got = Vec::new();
        let mut take = |reader: &mut Ring| {
            let mut bytes = vec![0; reader.available().unwrap() as usize];
            reader.peek(&mut bytes);
            reader.consume(bytes.len() as u64);
            got.extend(bytes);
        };
        take(&mut reader);
        let written = other.join().unwrap();
        take(&mut reader);
        assert_eq!(got, written);
        assert!(written.len() >= SIZE, "an empty ring had no room");
    });
}

#[test]
fn a_full_ring_takes_nothing_and_keeps_what_it_has() {
    full_ring(true);
}

#[test]
#[should_panic(expected = "BadIndex")]
fn control_a_writer_that_does_not_ask_for_room() {
    full_ring(false);
}

// ---- a reader that dies ----

/// Where a pass of dom0's reader breaks off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dies {
    No,
    /// It has read, and not written the file.
    BeforeTheFile,
    /// It has written the file, and not given the room back.
    BeforeGivingBack,
    /// It gives the room back first, as it must not, and then breaks off.
    GaveBackFirst,
}

/// One pass as in `xenlr/src/recorder/drain.rs`: each index once, then read, write, give back. All
/// that survives a reader is the file and what stands in the header.
fn pass(pages: &Pages, file: &mut Vec<u8>, dies: Dies) {
    let cons = pages.index_at(CONS_OFFSET).load(Ordering::Acquire);
    let prod = pages.index_at(PROD_OFFSET).load(Ordering::Acquire);
    let from = file.len() as u64;
    assert!(cons <= from && from <= prod, "a gap");
    let ring = Ring {
        own: from,
        ..end(pages)
    };
    let mut bytes = vec![0; (prod - from) as usize];
    ring.peek(&mut bytes);
    if dies == Dies::BeforeTheFile {
        return;
    }
    if dies == Dies::GaveBackFirst {
        pages.index_at(CONS_OFFSET).store(prod, Ordering::Release);
        return;
    }
    file.extend(bytes);
    if dies == Dies::BeforeGivingBack {
        return;
    }
    pages.index_at(CONS_OFFSET).store(prod, Ordering::Release);
}

fn restart(dies: Dies) {
    model(move || {
        let pages = Pages::zeroed(SIZE);
        let mut writer = end(&pages);
        let other = thread::spawn(move || write_all::<3>(&mut writer, 2));
        let mut file = Vec::new();
        pass(&pages, &mut file, dies);
        // The next reader, for which the lock of the file has waited.
        while file.len() < 6 {
            pass(&pages, &mut file, Dies::No);
            thread::yield_now();
        }
        other.join().unwrap();
        assert_eq!(file, [record::<3>(0), record(1)].concat());
    });
}

#[test]
fn the_reader_after_one_that_died_loses_and_repeats_nothing() {
    restart(Dies::BeforeTheFile);
    restart(Dies::BeforeGivingBack);
}

#[test]
#[should_panic(expected = "a gap")]
fn control_room_given_back_before_the_file_was_written() {
    restart(Dies::GaveBackFirst);
}

// ---- the end ----

/// The writer ends; a reader that has seen that looks once more.
fn ending(looks_again: bool) {
    model(move || {
        let pages = Pages::zeroed(SIZE);
        let mut writer = end(&pages);
        let ended = Arc::new(AtomicU32::new(0));
        let other = {
            let ended = ended.clone();
            thread::spawn(move || {
                write_all::<2>(&mut writer, 2);
                // What a hypercall that asks for the domain's state orders, too.
                ended.store(1, Ordering::Release);
            })
        };
        let mut file = Vec::new();
        loop {
            let mut is_over = ended.load(Ordering::Acquire) != 0;
            pass(&pages, &mut file, Dies::No);
            if !looks_again {
                is_over = ended.load(Ordering::Acquire) != 0;
            }
            if is_over {
                break;
            }
            thread::yield_now();
        }
        other.join().unwrap();
        assert_eq!(file, [record::<2>(0), record(1)].concat(), "not the end");
    });
}

#[test]
fn the_last_record_is_read_after_the_end_was_seen() {
    ending(true);
}

#[test]
#[should_panic(expected = "not the end")]
fn control_the_end_looked_at_after_the_ring() {
    ending(false);
}

// ---- a replay ----

/// Dom0 writes the log in pieces that are no records; Xen takes whole ones only.
#[test]
fn a_record_in_two_pieces_is_taken_when_it_is_whole() {
    model(|| {
        let pages = Pages::zeroed(SIZE);
        let (mut writer, mut reader) = (end(&pages), end(&pages));
        let other = thread::spawn(move || write_all::<1>(&mut writer, 4));
        for number in 0..2 {
            let mut got = [0; 2];
            loop {
                let available = reader.available().unwrap();
                // As `fetch` in `replayer.rs`: all that is there is copied, and looked at afterwards.
                reader.peek(&mut got[..available.min(2) as usize]);
                if available >= 2 {
                    break;
                }
                thread::yield_now();
            }
            assert_eq!(got, record(number));
            reader.consume(2);
        }
        other.join().unwrap();
    });
}
