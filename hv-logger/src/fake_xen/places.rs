//! Commits that are forced between two sync points: the place is logged, given back in time, and
//! the number after it is like any other.

use super::*;
use log_format::ring::{FOUND_ENTRIES, FOUND_HITS, FOUND_OFFSET, found_offset};

const PLACE: PlaceState = PlaceState {
    rip: 0x1234,
    registers: 1,
    fpu: 2,
    pages: 3,
    memory: 0,
    hits: 0,
    page: [70_000, 3, 0, 0],
    nr_pages: 2,
    pad: 0,
};

impl FakeXen {
    fn force(&mut self, place: &PlaceState) {
        // SAFETY: a live logger, used by this thread only; the domain is not looked at.
        unsafe { ffi::hvlog_force(self.log, core::ptr::null_mut(), place) };
        self.gate.sync += 1;
    }
    fn next_place(&self) -> PlaceState {
        let mut place = PlaceState::default();
        // SAFETY: as above.
        unsafe { ffi::hvlog_next_place(self.log, &mut place) };
        place
    }
    fn found(&mut self, hits: u64) {
        // SAFETY: as above.
        unsafe { ffi::hvlog_place_found(self.log, hits) };
        self.gate.sync += 1;
    }
}

/// A guest with a value at number 0, which then gets an event by force, and ends at number 2.
fn recorded() -> Vec<u8> {
    recorded_at(&PLACE)
}

fn recorded_at(place: &PlaceState) -> Vec<u8> {
    let mut xen = FakeXen::new(false);
    assert_eq!(xen.serve(), HVLOG_DONE);
    xen.start();
    assert_eq!(xen.commit(), HVLOG_DONE);
    xen.tsc();
    xen.gate.sync += 1;
    assert_eq!(xen.commit(), HVLOG_DONE);
    xen.stage(5);
    xen.force(place);
    assert_eq!(xen.commit(), HVLOG_DONE);
    assert_eq!(xen.shutdown(), HVLOG_END);
    assert_eq!(xen.end(9), HVLOG_DONE);
    xen.log()
}

/// A replay of it that has come to where the place is next.
fn at_the_place() -> FakeXen {
    let mut xen = FakeXen::new(true);
    xen.feed(&recorded());
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.start(), HVLOG_DONE);
    assert_eq!(xen.commit(), HVLOG_DONE, "no place comes yet");
    xen.tsc();
    xen.gate.sync += 1;
    assert!(xen.gate.due <= xen.gate.sync, "the exit path asks");
    assert_eq!(xen.commit(), HVLOG_PLACE);
    xen
}

#[test]
fn a_place_comes_back_before_the_guest_runs_on_to_it() {
    let mut xen = at_the_place();
    assert_eq!(xen.next_place(), PLACE);
    // Whoever asks again hears the same.
    assert_eq!(xen.commit(), HVLOG_PLACE);
    xen.found(1);
    assert_eq!(xen.commit(), HVLOG_DONE);
    assert!(xen.applied().contains(&"event 5".to_owned()));
    assert_eq!(xen.shutdown(), HVLOG_END);
    assert_eq!(xen.end(9), HVLOG_DONE);
}

#[test]
fn a_place_that_took_a_search_is_told_to_dom0() {
    let mut xen = at_the_place();
    xen.found(FOUND_HITS - 1);
    assert_eq!(*xen.index(FOUND_OFFSET), 0, "that was no search");
    let mut xen = at_the_place();
    let sync = xen.gate.sync;
    xen.found(FOUND_HITS);
    assert_eq!(*xen.index(FOUND_OFFSET), 1);
    assert_eq!(*xen.index(found_offset(0)), sync);
    assert_eq!(*xen.index(found_offset(0) + 8), FOUND_HITS);
    // It is told beside the log, and goes on as ever.
    assert_eq!(xen.commit(), HVLOG_DONE);
    assert_eq!(xen.shutdown(), HVLOG_END);
    assert_eq!(xen.end(9), HVLOG_DONE);
}

#[test]
fn entries_that_nobody_read_make_room_and_stay_in_the_page() {
    let (last, after) = (found_offset(FOUND_ENTRIES - 1), found_offset(FOUND_ENTRIES));
    assert!(last + 16 <= log_format::ring::HEADER_BYTES);
    assert_eq!(after, found_offset(0));
    assert_eq!(found_offset(u64::MAX), last);
}

#[test]
fn hits_in_the_log_come_back_with_the_place() {
    let mut place = PLACE;
    place.hits = 70_000;
    let mut xen = FakeXen::new(true);
    xen.feed(&recorded_at(&place));
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.start(), HVLOG_DONE);
    assert_eq!(xen.commit(), HVLOG_DONE);
    xen.tsc();
    xen.gate.sync += 1;
    assert_eq!(xen.commit(), HVLOG_PLACE);
    assert_eq!(xen.next_place(), place);
}

#[test]
fn a_place_that_is_missed_is_a_divergence() {
    // The guest came to its next exit; or it cannot be stopped at such an address.
    for exits in [1, 0] {
        let mut xen = at_the_place();
        let place_sync = xen.gate.sync;
        xen.gate.sync += exits;
        // SAFETY: a live logger, used by this thread only.
        unsafe { ffi::hvlog_place_missed(xen.log, 7, HVLOG_DIVERGE_PLACE, PLACE.rip, 40) };
        let (_, divergence) = xen.report();
        assert_eq!(divergence.kind, HVLOG_DIVERGE_PLACE);
        assert_eq!(divergence.sync, place_sync + 1);
        assert_eq!((divergence.expected, divergence.actual), (PLACE.rip, 40));
        assert_ne!(
            xen.gate.attention & HVLOG_BLOCKED,
            0,
            "the guest does not run on"
        );
        assert_eq!(xen.commit(), HVLOG_DEAD);
    }
}

#[test]
fn a_guest_that_leaves_before_the_place_diverges_even_if_nobody_says_so() {
    let mut xen = at_the_place();
    xen.gate.sync += 1;
    assert_eq!(xen.commit(), HVLOG_DEAD);
    assert_eq!(xen.report().1.kind, HVLOG_DIVERGE_SYNC);
    // Nor does it get a value there.
    let xen = at_the_place();
    xen.tsc();
    assert_eq!(xen.report().1.kind, HVLOG_DIVERGE_RECORD_KIND);
}

#[test]
fn a_log_that_is_cut_off_is_replayed_up_to_there_and_compares_nothing() {
    let mut xen = FakeXen::new(false);
    assert_eq!(xen.serve(), HVLOG_DONE);
    xen.start();
    assert_eq!(xen.commit(), HVLOG_DONE);
    let cut = EndState {
        reason: HVLOG_REASON_CUT,
        ..EndState::default()
    };
    // SAFETY: as above; the domain is not looked at.
    let ended = unsafe { ffi::hvlog_end(xen.log, core::ptr::null_mut(), &cut) };
    assert_eq!(ended, HVLOG_DONE);
    let log = xen.log();

    let mut xen = FakeXen::new(true);
    xen.feed(&log);
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.start(), HVLOG_DONE);
    assert_eq!(xen.commit(), HVLOG_END);
    // SAFETY: as above.
    let reason = unsafe { ffi::hvlog_end_reason(xen.log) };
    assert_eq!(reason, HVLOG_REASON_CUT);
    assert_eq!(xen.end(12_345), HVLOG_DONE);
}

#[test]
fn what_waits_is_the_first_port_that_is_not_masked() {
    let xen = FakeXen::new(false);
    let mut masked = [0_u64; 64];
    let waiting = |masked: &[u64; 64]| {
        // SAFETY: as above; the mask is 64 words.
        unsafe { ffi::hvlog_waiting(xen.log, masked.as_ptr()) }
    };
    assert_eq!(waiting(&masked), u32::MAX);
    xen.stage(70);
    xen.stage(200);
    assert_eq!(waiting(&masked), 70);
    masked[1] = 1 << 6;
    assert_eq!(waiting(&masked), 200);
    masked[3] = u64::MAX;
    assert_eq!(waiting(&masked), u32::MAX);
}
