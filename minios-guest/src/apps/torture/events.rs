//! Events: blocking, polling, masking, binding, timers.

use super::Torture;
use crate::abi::{nr, vcpuop};
use crate::clock::{self, MILLISECOND};
use crate::{console, event, hypercall, witness};
use core::sync::atomic::Ordering::Relaxed;

const MICROSECOND: u64 = 1_000;

/// Ports of our own, to send events to ourselves.
pub struct Ports {
    ipi: u32,
    pair: (u32, u32),
}

impl Ports {
    /// Binds them all.
    pub fn open() -> Option<Self> {
        let ports = Self { ipi: event::bind_ipi()?, pair: event::bind_loopback()? };
        ports.all().into_iter().for_each(event::unmask_port);
        Some(ports)
    }

    fn all(&self) -> [u32; 3] {
        [self.ipi, self.pair.0, self.pair.1]
    }

    /// The one that notifies this vCPU.
    pub fn own(&self) -> u32 {
        self.ipi
    }

    /// One of them that can be sent to: the port to notify, and the port that becomes pending.
    fn pick(&self, choice: u64) -> (u32, u32) {
        match choice % 3 {
            0 => (self.ipi, self.ipi),
            1 => (self.pair.0, self.pair.1),
            _ => (self.pair.1, self.pair.0),
        }
    }
}

fn seen(t: &mut Torture) {
    t.sum.mix(event::total());
    t.sum.mix(witness::UPCALLS.load(Relaxed));
}

/// Sleeps up to 3 ms; any event ends it.
pub fn block_with_timeout(t: &mut Torture) {
    let since = event::total();
    hypercall::set_timer(clock::now() + t.random.below(3000) * MICROSECOND);
    event::wait_any(since);
    t.sum.mix(clock::now());
    seen(t);
}

/// Blocks without a timeout: an event is on its way already.
pub fn block_until_own_event(t: &mut Torture) {
    let (send, receive) = t.ports.pick(t.random.word());
    let before = event::latched(receive);
    if t.random.one_in(2) {
        event::mask_upcalls();
    }
    hypercall::notify(send);
    event::wait_port(receive, before);
    event::unmask_upcalls();
    seen(t);
}

/// Polls a few ports with a timeout, upcalls masked or not.
pub fn poll(t: &mut Torture) {
    let all = [clock::timer_port(), console::port(), t.ports.ipi, t.ports.pair.0];
    let count = 1 + t.random.below(all.len() as u64) as usize;
    let masked = t.random.one_in(2);
    if masked {
        event::mask_upcalls();
    }
    let send = t.random.one_in(3);
    let timeout = clock::now() + t.random.below(2000) * MICROSECOND;
    if send {
        hypercall::notify(t.ports.ipi);
    }
    let result = hypercall::poll(&all[..count], timeout);
    t.sum.mix(result as u64);
    seen(t);
    if masked {
        event::unmask_upcalls();
    }
}

/// Yields.
pub fn give_way(t: &mut Torture) {
    hypercall::sched_yield();
    seen(t);
}

/// Sends events to ourselves while upcalls are masked, then unmasks.
pub fn masked_upcalls(t: &mut Torture) {
    event::mask_upcalls();
    for _ in 0..1 + t.random.below(4) {
        let (send, _) = t.ports.pick(t.random.word());
        let result = hypercall::notify(send);
        t.sum.mix(result as u64);
    }
    if t.random.one_in(2) {
        t.sum.mix(clock::tsc());
    }
    seen(t);
    event::unmask_upcalls();
    seen(t);
}

/// Sends to a masked port, then unmasks it through Xen.
pub fn masked_port(t: &mut Torture) {
    let (send, receive) = t.ports.pick(t.random.word());
    event::mask_port(receive);
    hypercall::notify(send);
    seen(t);
    t.sum.mix(event::latched(receive));
    event::unmask_port(receive);
    seen(t);
}

/// Closes our ports and binds new ones.
pub fn rebind(t: &mut Torture) {
    t.ports.all().into_iter().for_each(event::close);
    if let Some(ports) = Ports::open() {
        t.ports = ports;
    }
    t.sum.mix(u64::from(t.ports.ipi) << 32 | u64::from(t.ports.pair.1));
    seen(t);
}

/// Periodic timer events while computing and blocking. Xen lets the tick rest
/// while the vCPU is blocked, so the one-shot timer is what wakes it.
pub fn periodic_timer(t: &mut Torture) {
    let before = event::latched(clock::timer_port());
    let mut period = MILLISECOND;
    hypercall::vcpu_op(vcpuop::SET_PERIODIC_TIMER, &mut period);
    for _ in 0..2 + t.random.below(4) {
        t.sum.mix(super::super::compute::work(t.random.below(200_000)));
        block_with_timeout(t);
    }
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_PERIODIC_TIMER, 0, 0, 0, 0]);
    t.sum.mix(event::latched(clock::timer_port()) - before);
    seen(t);
}
