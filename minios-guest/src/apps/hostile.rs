//! `hostile SEED [steps=N] [only=K]`: a guest that means harm, within its own rights.
//!
//! Bogus ring indices, areas registered at odd places, event storms, nested
//! upcalls, single-stepping, breakpoints, odd irets, invalid hypercalls, other
//! domains' numbers, privileged instructions. It never shuts down in the
//! middle and leaves out what ends a domain by right (SHUTDOWN, taking its own
//! kernel away); Xen and dom0 must stay up.
//!
//! Nothing here waits for dom0 without a limit: the rings may be dead by then.

use crate::random::{Checksum, Random};
use crate::{cmdline, console, event, exits, machine, say, trap, user, witness};
use core::sync::atomic::Ordering::Relaxed;

mod areas;
mod calls;
mod cpu;
mod domains;
mod privileged;
mod rings;

/// Steps unless told.
const STEPS: u64 = 3_000;
/// A progress line after so many steps.
const PROGRESS_STEPS: u64 = 500;

/// What every operation works with.
pub struct Hostile {
    /// Decides what happens.
    pub random: Random,
    /// Over the results of all calls.
    pub sum: Checksum,
    /// A port that notifies this vCPU.
    pub port: u32,
    /// This domain's number, as it was when it was recorded.
    pub own_number: u16,
}

/// An operation and how often it comes, relative to the others.
type Operation = (u64, fn(&mut Hostile));

const PV: &[Operation] = &[
    (400, calls::direct),
    (60, calls::in_multicall),
    (10, calls::callbacks),
    (20, rings::console_indices),
    (20, rings::store_indices),
    (10, rings::console_as_table),
    (30, areas::time_and_runstate),
    (4, areas::vcpu_info),
    (20, areas::storm),
    (10, areas::nested_upcalls),
    (20, areas::mask_bits),
    (40, cpu::single_step),
    (30, cpu::breakpoints),
    (60, cpu::irets),
    (400, domains::numbers),
    (100, privileged::instruction),
];

/// The same, but for the page table.
const PVH: &[Operation] = &[
    (400, calls::direct),
    (60, calls::in_multicall),
    (10, calls::vectors),
    (20, rings::console_indices),
    (20, rings::store_indices),
    (30, areas::time_and_runstate),
    (4, areas::vcpu_info),
    (20, areas::storm),
    (10, areas::nested_upcalls),
    (20, areas::mask_bits),
    (40, cpu::single_step),
    (30, cpu::breakpoints),
    (60, cpu::irets),
    (400, domains::numbers),
    (200, privileged::instruction),
];

/// Runs the application.
pub fn run() {
    let seed = cmdline::operand().and_then(cmdline::parse).unwrap_or(1);
    let steps = cmdline::number("steps").unwrap_or(STEPS);
    let (Some(port), true) = (event::bind_ipi(), user::prepare()) else {
        say!("hostile: cannot begin");
        return;
    };
    event::unmask_port(port);
    exits::NEST_PORT.store(u64::from(port), Relaxed);
    let own_number = domains::own_number();
    let mut hostile = Hostile { random: Random::new(seed), sum: Checksum(seed), port, own_number };
    let only = cmdline::number("only");
    let operations = if machine::is_pvh() { PVH } else { PV };
    let weights: u64 = operations.iter().map(|(weight, _)| weight).sum();

    say!("hostile: seed {seed}, {steps} steps");
    console::flush();
    trap::TOLERANT.store(1, Relaxed);
    for step in 1..=steps {
        let mut at = hostile.random.below(weights);
        for (index, (weight, operation)) in operations.iter().enumerate() {
            if only.map_or(at < *weight, |only| only == index as u64) {
                operation(&mut hostile);
                break;
            }
            at = at.saturating_sub(*weight);
        }
        if machine::is_pvh() {
            machine::pvh::repair();
        }
        if step % PROGRESS_STEPS == 0 {
            rings::report(format_args!("hostile: step {step} checksum {:016x}\r\n", hostile.sum.0));
        }
    }
    trap::TOLERANT.store(0, Relaxed);
    hostile.sum.mix(witness::UPCALLS.load(Relaxed));
    rings::report(format_args!("hostile: seed {seed} steps {steps} checksum {:016x}\r\n", hostile.sum.0));
    // A last moment for dom0 to take the line, then the page goes.
    for _ in 0..200 {
        crate::hypercall::sched_yield();
    }
    areas::vcpu_info_into_console(&mut hostile);
    rings::give_console_away();
    console::give_up();
}
