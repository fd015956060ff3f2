//! What Xen offers to the logger: to look at the world's side of an input, and to apply one to the
//! guest. The C side is `xen/common/xenlr/`; in unit tests `fake_xen` stands in for it.

use crate::abi::{
    HVLOG_LOAN_EVENT, HVLOG_LOAN_PAGE, HVLOG_LOAN_RING, Loan, PageUpdate, RingUpdate,
    RunstateUpdate, TimeUpdate, WallclockUpdate,
};

/// Xen's own structure of a logged domain; opaque here.
#[repr(C)]
pub struct Domain {
    private: [u8; 0],
}

unsafe extern "C" {
    fn xenlr_notify(domain: *mut Domain);
    fn xenlr_apply_event(domain: *mut Domain, port: u32);
    fn xenlr_sample_time(domain: *mut Domain, time: *mut TimeUpdate) -> bool;
    fn xenlr_apply_time(domain: *mut Domain, time: *const TimeUpdate);
    fn xenlr_sample_wallclock(domain: *mut Domain, wallclock: *mut WallclockUpdate) -> bool;
    fn xenlr_apply_wallclock(domain: *mut Domain, wallclock: *const WallclockUpdate);
    fn xenlr_sample_runstate(domain: *mut Domain, runstate: *mut RunstateUpdate) -> bool;
    fn xenlr_apply_runstate(domain: *mut Domain, runstate: *const RunstateUpdate);
    fn xenlr_changed_rings(domain: *mut Domain) -> u32;
    fn xenlr_sample_ring(domain: *mut Domain, ring: u32, update: *mut RingUpdate);
    fn xenlr_report_delay(domain: *mut Domain, delay: u64);
    fn xenlr_apply_ring(domain: *mut Domain, ring: u32, update: *const RingUpdate);
    fn xenlr_sample_interrupt(domain: *mut Domain, vector: *mut u32) -> bool;
    fn xenlr_apply_interrupt(domain: *mut Domain, vector: u32);
    fn xenlr_note_loans(domain: *mut Domain);
    fn xenlr_next_loan(domain: *mut Domain, page: *mut PageUpdate, loan: *mut Loan) -> u32;
    fn xenlr_apply_page(domain: *mut Domain, page: *const PageUpdate) -> bool;
    fn xenlr_apply_loan(domain: *mut Domain, loan: *const Loan) -> bool;
}

/// What came from a backend.
#[derive(Clone, Copy, Debug)]
pub enum FromBackend {
    /// Bytes of a page.
    Page,
    /// A ring begins or ends.
    Ring(Loan),
    /// The event of this port tells the guest.
    Event(u16),
}

/// The guest, as Xen lets the logger see it. Each `sample_` returns false when the guest's copy is
/// up to date already.
#[derive(Clone, Copy)]
pub struct Guest(*mut Domain);

impl Guest {
    /// # Safety
    /// `domain` is a live `struct xenlr`, and all calls are made in the context of its vCPU (or
    /// while that is paused).
    pub const unsafe fn new(domain: *mut Domain) -> Self {
        Self(domain)
    }

    /// Tells the reader (or the writer of a replay's log) to look at the ring.
    pub fn notify(self) {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_notify(self.0) }
    }

    /// Makes an event channel pending.
    pub fn apply_event(self, port: u16) {
        // SAFETY: by the contract of `new`; C checks the port.
        unsafe { xenlr_apply_event(self.0, u32::from(port)) }
    }

    /// The time page's next contents.
    pub fn sample_time(self) -> Option<TimeUpdate> {
        let mut time = TimeUpdate::default();
        // SAFETY: by the contract of `new`; `time` is written before it returns.
        unsafe { xenlr_sample_time(self.0, &raw mut time) }.then_some(time)
    }

    /// Writes the time page.
    pub fn apply_time(self, time: &TimeUpdate) {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_apply_time(self.0, time) }
    }

    /// The wallclock's next value.
    pub fn sample_wallclock(self) -> Option<WallclockUpdate> {
        let mut wallclock = WallclockUpdate::default();
        // SAFETY: as in `sample_time`.
        unsafe { xenlr_sample_wallclock(self.0, &raw mut wallclock) }.then_some(wallclock)
    }

    /// Writes the wallclock.
    pub fn apply_wallclock(self, wallclock: &WallclockUpdate) {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_apply_wallclock(self.0, wallclock) }
    }

    /// The runstate area's next contents.
    pub fn sample_runstate(self) -> Option<RunstateUpdate> {
        let mut runstate = RunstateUpdate::default();
        // SAFETY: as in `sample_time`.
        unsafe { xenlr_sample_runstate(self.0, &raw mut runstate) }.then_some(runstate)
    }

    /// Writes the runstate area.
    pub fn apply_runstate(self, runstate: &RunstateUpdate) {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_apply_runstate(self.0, runstate) }
    }

    /// Says that an event waited for long: so many ticks.
    pub fn report_delay(self, delay: u64) {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_report_delay(self.0, delay) }
    }

    /// Which rings' backends changed something: one bit for each `HVLOG_RING_*`.
    pub fn changed_rings(self) -> u32 {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_changed_rings(self.0) }
    }

    /// What the backend of `ring` (`HVLOG_RING_*`) changed.
    pub fn sample_ring(self, ring: u32, update: &mut RingUpdate) {
        // SAFETY: by the contract of `new`; C writes within `update`.
        unsafe { xenlr_sample_ring(self.0, ring, update) }
    }

    /// Makes the same change to the guest's page.
    pub fn apply_ring(self, ring: u32, update: &RingUpdate) {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_apply_ring(self.0, ring, update) }
    }

    /// The vector of a timer of the local APIC that has expired and is not masked; asking takes it.
    /// What no vector can be comes as 0, which no log takes.
    pub fn sample_interrupt(self) -> Option<u8> {
        let mut vector = 0;
        // SAFETY: as in `sample_time`.
        unsafe { xenlr_sample_interrupt(self.0, &raw mut vector) }
            .then(|| u8::try_from(vector).unwrap_or(0))
    }

    /// Sets the vector in the request register of the local APIC.
    pub fn apply_interrupt(self, vector: u8) {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_apply_interrupt(self.0, u32::from(vector)) }
    }

    /// Notes how far the backends of all rings have come.
    pub fn note_loans(self) {
        // SAFETY: by the contract of `new`.
        unsafe { xenlr_note_loans(self.0) }
    }

    /// Applies the next thing that backends did before that, and says which it was. A page's bytes
    /// are in `page` then.
    pub fn next_loan(self, page: &mut PageUpdate) -> Option<FromBackend> {
        let mut loan = Loan::default();
        // SAFETY: by the contract of `new`; C writes within both.
        match unsafe { xenlr_next_loan(self.0, page, &raw mut loan) } {
            HVLOG_LOAN_PAGE => Some(FromBackend::Page),
            HVLOG_LOAN_RING => Some(FromBackend::Ring(loan)),
            #[allow(clippy::cast_possible_truncation, reason = "a port of the 2-level ABI")]
            HVLOG_LOAN_EVENT => Some(FromBackend::Event(loan.port as u16)),
            _ => None,
        }
    }

    /// Writes to the guest's page; false if it has no such page.
    pub fn apply_page(self, page: &PageUpdate) -> bool {
        // SAFETY: by the contract of `new`; C checks the frame and the bounds.
        unsafe { xenlr_apply_page(self.0, page) }
    }

    /// Has a ring begin or end; false if that cannot be.
    pub fn apply_loan(self, loan: &Loan) -> bool {
        // SAFETY: by the contract of `new`; C checks it.
        unsafe { xenlr_apply_loan(self.0, loan) }
    }
}
