//! `hostile-devices SEED [steps=N] [only=K]`: a front end that means harm to its backends, and to who relays its rings.
//!
//! Bogus indices and requests, grants of what is not its own, grants revoked or changed while they are used, one page lent a
//! hundred times, page tables, pages given away, rings that are no rings, ports that are other things, garbage in xenstore. What
//! happens depends on the seed; what came of it is digested. Nothing waits for a backend without a limit, and nobody has to answer.

use crate::random::{Checksum, Random};
use crate::{cmdline, console, event, grants, machine, say};

mod connection;
mod keys;
mod loans;
mod network;
mod rings;

use connection::Connection;

/// Steps unless told.
const STEPS: u64 = 120;
/// So many steps, and the disk is connected anew.
const PIECE: u64 = 8;
/// A progress line after so many steps.
const PROGRESS_STEPS: u64 = 40;

/// What every operation works with.
pub struct Hostile {
    /// Decides what happens.
    pub random: Random,
    /// Over what Xen answered and what stood in shared pages.
    pub sum: Checksum,
    /// A port that notifies this vCPU, and a pair of them.
    pub ports: [u32; 3],
    /// To the disk's backend.
    pub disk: Connection,
}

/// An operation and how often it comes, relative to the others.
type Operation = (u64, fn(&mut Hostile));

const OPERATIONS: &[Operation] = &[
    (6, rings::requests),
    (3, rings::slots),
    (2, rings::indices),
    (4, rings::events),
    (3, rings::revoked),
    (2, rings::given_away),
    (3, rings::port_is_another),
    (6, loans::foreign),
    (8, loans::changed_in_flight),
    (4, loans::hundred_times),
    (6, loans::ballooned),
    (3, loans::shared_pages),
    (6, keys::garbage),
    (4, keys::of_others),
    (6, keys::data_as_ring),
];

/// Only a PV guest has page tables that mean something to Xen.
const PV_OPERATIONS: &[Operation] = &[(5, loans::tables), (3, rings::as_table)];

/// Runs the application.
pub fn run() {
    let seed = cmdline::operand().and_then(cmdline::parse).unwrap_or(1);
    let steps = cmdline::number("steps").unwrap_or(STEPS);
    let only = cmdline::number("only");
    let (Some(ipi), Some((one, other)), true) = (event::bind_ipi(), event::bind_loopback(), grants::init())
    else {
        say!("hostile-devices: cannot begin");
        return;
    };
    let Some(disk) = Connection::find() else {
        say!("hostile-devices: no disk");
        return;
    };
    let mut hostile =
        Hostile { random: Random::new(seed), sum: Checksum(seed), ports: [ipi, one, other], disk };
    let more = if machine::is_pvh() { &[] } else { PV_OPERATIONS };
    let operations = || OPERATIONS.iter().chain(more);
    let weights: u64 = operations().map(|(weight, _)| weight).sum();

    say!("hostile-devices: seed {seed}, {steps} steps");
    for step in 1..=steps {
        if step % PIECE == 1 {
            let garbled = hostile.random.one_in(4);
            connection::reconnect(&mut hostile, garbled);
        }
        let mut at = hostile.random.below(weights);
        for (index, (weight, operation)) in operations().enumerate() {
            if only.map_or(at < *weight, |only| only == index as u64) {
                operation(&mut hostile);
                break;
            }
            at = at.saturating_sub(*weight);
        }
        if step % PROGRESS_STEPS == 0 {
            let (connects, answers) = (hostile.disk.connects, hostile.disk.answers);
            say!(
                "hostile-devices: step {step}, {connects} connections, {answers} answers, {:016x}",
                hostile.sum.0
            );
            console::flush();
        }
    }
    connection::disconnect(&mut hostile);
    network::run(&mut hostile, steps);
    let (connects, answers) = (hostile.disk.connects, hostile.disk.answers);
    say!("hostile-devices: seed {seed} steps {steps} connections {connects} answers {answers} checksum {:016x}", hostile.sum.0);
}
