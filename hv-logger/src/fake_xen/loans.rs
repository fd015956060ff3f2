//! Pages on loan: what came back is logged between the rings and the events, a commit that is larger
//! than the ring goes on where it stood, and a replay does the same.

use std::collections::VecDeque;

use super::*;

/// Something that a backend did.
#[derive(Clone, Debug)]
pub enum Step {
    /// It wrote so many bytes of a value, at the offset, to the page of the frame.
    Page(u64, u32, usize, u8),
    Ring(Loan),
    Event(u32),
}

thread_local! {
    /// What backends did, and how much of it was noted.
    static STEPS: RefCell<VecDeque<Step>> = const { RefCell::new(VecDeque::new()) };
    static NOTED: Cell<usize> = const { Cell::new(0) };
    /// The frame that the guest does not have.
    static MISSING: Cell<u64> = const { Cell::new(u64::MAX) };
}

fn apply_text(page: &PageUpdate) {
    apply(format!(
        "page {:#x} {} {} of {}",
        page.frame, page.offset, page.len, page.bytes[0]
    ));
}

fn loan_text(loan: &Loan) {
    apply(format!("{} {}", loan.begins, loan.reference));
}

pub fn note() {
    NOTED.set(STEPS.with_borrow(VecDeque::len));
}

pub fn next(page: &mut PageUpdate, loan: &mut Loan) -> u32 {
    if NOTED.get() == 0 {
        return HVLOG_LOAN_DONE;
    }
    NOTED.set(NOTED.get() - 1);
    match STEPS.with_borrow_mut(VecDeque::pop_front) {
        Some(Step::Page(frame, offset, len, byte)) => {
            (page.frame, page.offset, page.len) = (frame, offset, len as u32);
            page.bytes[..len].fill(byte);
            apply_text(page);
            HVLOG_LOAN_PAGE
        }
        Some(Step::Ring(state)) => {
            *loan = state;
            loan_text(loan);
            HVLOG_LOAN_RING
        }
        Some(Step::Event(port)) => {
            loan.port = port;
            HVLOG_LOAN_EVENT
        }
        None => HVLOG_LOAN_DONE,
    }
}

pub fn apply_page(page: &PageUpdate) -> bool {
    apply_text(page);
    page.frame != MISSING.get()
}

pub fn apply_loan(loan: &Loan) -> bool {
    loan_text(loan);
    true
}

fn does(steps: impl IntoIterator<Item = Step>) {
    STEPS.with_borrow_mut(|all| all.extend(steps));
}

/// A recording that has begun.
fn begun() -> FakeXen {
    STEPS.with_borrow_mut(VecDeque::clear);
    NOTED.set(0);
    MISSING.set(u64::MAX);
    let xen = FakeXen::new(false);
    assert_eq!(xen.serve(), HVLOG_DONE);
    xen.start();
    xen
}

const RING: Loan = Loan {
    frame: 0x77,
    reference: 9,
    port: 6,
    begins: 1,
    pad: 0,
};

/// As many bytes as the ring of the log has.
fn large() -> impl Iterator<Item = Step> {
    (0..16).map(|i| Step::Page(0x100 + i, 0, HVLOG_PAGE_BYTES, i as u8))
}

/// The log, and what was applied, of a commit that needs more room than there is.
fn recorded() -> (Vec<u8>, Vec<String>) {
    let mut xen = begun();
    let mut log = Vec::new();
    let mut read = |xen: &mut FakeXen| {
        let end = *xen.index(log_format::ring::PROD_OFFSET) as usize;
        for at in log.len()..end {
            let at = at % RING_BYTES;
            log.push(xen.pages[512 + at / 8].to_le_bytes()[at % 8]);
        }
        *xen.index(log_format::ring::CONS_OFFSET) = log.len() as u64;
    };
    does([Step::Ring(RING)]);
    does(large());
    does([Step::Event(6)]);
    xen.mark(HVLOG_STALE_LOANS);
    xen.stage(5);
    assert_eq!(xen.commit(), HVLOG_WAIT);
    assert_ne!(xen.gate.attention & HVLOG_BLOCKED, 0);
    assert!(!xen.applied().contains(&"event 5".to_owned()));
    // What comes meanwhile waits for the next sync point.
    does([Step::Page(0x200, 0, 1, 1)]);
    assert_eq!(xen.serve(), HVLOG_WAIT);
    read(&mut xen);
    assert_eq!(xen.serve(), HVLOG_DONE);
    assert_eq!(xen.commit(), HVLOG_DONE);
    assert_eq!(NOTED.get(), 0);
    assert_eq!(STEPS.with_borrow(VecDeque::len), 1);
    assert_eq!(xen.shutdown(), HVLOG_END);
    assert_eq!(xen.end(1), HVLOG_DONE);
    read(&mut xen);
    (log, xen.applied())
}

#[test]
fn a_commit_that_is_larger_than_the_ring_goes_on_where_it_stood() {
    let (_, applied) = recorded();
    assert_eq!(applied.len(), 2 + 16 + 2, "{applied:?}");
    assert!(applied[0].starts_with("ring 0"));
    assert_eq!(applied[1], "1 9");
    assert_eq!(applied[17], "page 0x10f 0 1024 of 15");
    assert_eq!(applied[18..], ["event 6", "event 5"]);
}

/// A replay of the log, fed as its ring has room: its last code, and what it applied.
fn replayed(log: &[u8]) -> (u32, FakeXen) {
    let mut xen = FakeXen::new(true);
    let mut fed = 0;
    loop {
        let cons = *xen.index(log_format::ring::CONS_OFFSET) as usize;
        let end = log.len().min(cons + RING_BYTES);
        for (at, byte) in log.iter().enumerate().take(end).skip(fed) {
            let (at, shift) = (512 + at % RING_BYTES / 8, at % 8 * 8);
            let word = &mut xen.pages[at];
            *word = *word & !(0xff << shift) | u64::from(*byte) << shift;
        }
        fed = end;
        *xen.index(log_format::ring::PROD_OFFSET) = end as u64;
        if xen.gate.attention & HVLOG_BLOCKED != 0 && xen.serve() != HVLOG_DONE {
            return (HVLOG_DEAD, xen);
        }
        if xen.gate.attention & HVLOG_START != 0 {
            xen.start();
            continue;
        }
        match xen.commit() {
            HVLOG_DONE if xen.gate.attention & HVLOG_BLOCKED == 0 => return (xen.shutdown(), xen),
            HVLOG_DONE | HVLOG_WAIT => {}
            code => return (code, xen),
        }
    }
}

#[test]
fn a_replay_applies_what_the_log_has() {
    let (log, applied) = recorded();
    let (code, xen) = replayed(&log);
    assert_eq!(code, HVLOG_END, "{:?}", xen.report());
    assert_eq!(xen.applied(), applied);
}

#[test]
fn a_page_that_the_guest_does_not_have_ends_the_replay() {
    let (log, _) = recorded();
    MISSING.set(0x103);
    let (code, xen) = replayed(&log);
    assert_eq!(code, HVLOG_DEAD);
    assert_eq!(xen.report().0.error, HVLOG_ERR_LOG);
}

#[test]
fn pages_that_came_back_wait_for_a_commit_and_cause_none() {
    let xen = begun();
    assert_eq!(xen.commit(), HVLOG_DONE);
    let attention = xen.gate.attention;
    does([Step::Page(1, 2, 3, 4)]);
    xen.mark(HVLOG_STALE_PAGES);
    assert_eq!(xen.gate.attention, attention);
    xen.stage(5);
    assert_eq!(xen.commit(), HVLOG_DONE);
    assert_eq!(
        xen.applied()[xen.applied().len() - 2..],
        ["page 0x1 2 3 of 4", "event 5"]
    );
}
