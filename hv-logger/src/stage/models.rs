//! The stage with senders on two CPUs and the vCPU on a third, through every order that loom can
//! tell apart. Each property stands beside controls that must fail.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::*;

const WORK: u32 = crate::abi::Attention::WORK.bits();

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    // A stage has 66 atomics, and the longest model stages 66 ports before it branches.
    builder.max_branches = 20_000;
    builder.check(run);
}

/// A stage, the gate's attention flags, and what the senders of ports 0 and 1 wrote before.
struct Shared {
    stage: Stage,
    attention: AtomicU32,
    sent: [UnsafeCell<u32>; 2],
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            stage: Stage::new(),
            attention: AtomicU32::new(0),
            sent: [UnsafeCell::new(0), UnsafeCell::new(0)],
        })
    }

    /// As `hvlog_stage`.
    fn send(&self, port: u32) {
        if let Some(sent) = self.sent.get(port as usize) {
            // SAFETY: loom checks that nobody looks at it before the port is taken.
            sent.with_mut(|sent| unsafe { *sent = port + 1 });
        }
        if self.stage.add(port, 1) {
            self.attention.fetch_or(WORK, Ordering::AcqRel);
        }
    }

    /// As `commit_recording` at a sync point: nothing is looked at while the flag is down.
    fn commit(&self, taken: &mut Vec<u16>, clear_first: bool) {
        if self.attention.load(Ordering::Acquire) & WORK == 0 {
            return;
        }
        if clear_first {
            self.attention.fetch_and(!WORK, Ordering::AcqRel);
        }
        let ports = self.stage.take_ports();
        let is_pending = self.stage.is_pending();
        if !clear_first {
            self.attention.fetch_and(!WORK, Ordering::AcqRel);
        }
        if is_pending {
            self.attention.fetch_or(WORK, Ordering::AcqRel);
        }
        for port in ports {
            if let Some(sent) = self.sent.get(usize::from(port)) {
                // SAFETY: as in `send`.
                sent.with(|sent| assert_eq!(unsafe { *sent }, u32::from(port) + 1));
            }
            taken.push(port);
        }
    }
}

/// Two senders and a vCPU that commits meanwhile and afterwards, as long as the flag is up.
fn senders(ports: [u32; 2], weaken: fn(&Shared), send: fn(&Shared, u32), clear_first: bool) {
    model(move || {
        let shared = Shared::new();
        weaken(&shared);
        let threads = ports.map(|port| {
            let shared = shared.clone();
            thread::spawn(move || send(&shared, port))
        });
        let mut taken = Vec::new();
        shared.commit(&mut taken, clear_first);
        for thread in threads {
            thread.join().unwrap();
        }
        shared.commit(&mut taken, clear_first);
        shared.commit(&mut taken, clear_first);
        taken.sort_unstable();
        assert_eq!(taken, ports.map(|port| port as u16), "left behind or twice");
    });
}

#[test]
fn each_port_is_taken_once_with_what_its_sender_wrote() {
    senders([0, 1], |_| {}, Shared::send, true);
    senders([1, 64], |_| {}, Shared::send, true);
}

#[test]
#[should_panic(expected = "left behind")]
fn control_the_flag_cleared_after_the_ports_were_taken() {
    senders([0, 64], |_| {}, Shared::send, false);
}

#[test]
#[should_panic(expected = "left behind")]
fn control_the_summary_set_before_the_bit() {
    let send = |shared: &Shared, port: u32| {
        shared
            .stage
            .summary
            .fetch_or(1 << (port / 64), Ordering::AcqRel);
        let word = &shared.stage.words[(port / 64) as usize];
        word.fetch_or(1 << (port % 64), Ordering::AcqRel);
        shared.attention.fetch_or(WORK, Ordering::AcqRel);
    };
    senders([2, 64], |_| {}, send, true);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_the_bits_set_and_taken_without_an_ordering() {
    let weaken = |shared: &Shared| shared.stage.words[0].weaken_store();
    senders([0, 1], weaken, Shared::send, true);
}

/// More than one commit takes: another word's ports, while one more arrives.
#[test]
fn what_is_of_another_word_is_taken_next() {
    model(|| {
        let shared = Shared::new();
        for port in [3, 64, 130] {
            shared.send(port);
        }
        let sender = {
            let shared = shared.clone();
            thread::spawn(move || shared.send(65))
        };
        let mut taken = Vec::new();
        shared.commit(&mut taken, true);
        sender.join().unwrap();
        shared.commit(&mut taken, true);
        shared.commit(&mut taken, true);
        assert_eq!(taken, [3, 64, 65, 130]);
    });
}

/// A backend that writes into its ring, marks that, and sends an event; a vCPU that takes the
/// event looks at the ring at the same sync point.
fn announced(marks_first: bool) {
    model(move || {
        let shared = Shared::new();
        let backend = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.stage.mark(Stale::RINGS);
                shared.send(0);
            })
        };
        let mut looked = false;
        let mut taken = Vec::new();
        let mut look = || looked |= !shared.stage.take_marks().is_empty();
        if marks_first {
            look();
            shared.commit(&mut taken, true);
        } else {
            shared.commit(&mut taken, true);
            look();
        }
        assert!(taken.is_empty() || looked, "an event before its bytes");
        backend.join().unwrap();
    });
}

#[test]
fn the_ring_of_an_event_is_looked_at_with_it() {
    announced(false);
}

#[test]
#[should_panic(expected = "an event before its bytes")]
fn control_the_marks_taken_before_the_ports() {
    announced(true);
}

/// A mark, and what it stands for.
fn mark(weaken: fn(&Stage)) {
    model(move || {
        let shared = Shared::new();
        weaken(&shared.stage);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                // SAFETY: loom checks that nobody looks at it before the mark is taken.
                shared.sent[0].with_mut(|sent| unsafe { *sent = 7 });
                shared.stage.mark(Stale::TIME);
            })
        };
        if !shared.stage.take_marks().is_empty() {
            // SAFETY: as above.
            shared.sent[0].with(|sent| assert_eq!(unsafe { *sent }, 7));
        }
        other.join().unwrap();
    });
}

#[test]
fn what_a_mark_stands_for_is_seen_with_it() {
    mark(|_| {});
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_marks_without_an_ordering() {
    mark(|stage| stage.stale.weaken_store());
}
