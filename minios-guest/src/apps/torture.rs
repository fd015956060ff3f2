//! `torture SEED [steps=N] [only=K]`: a seeded random mix of everything a guest can do.
//!
//! Each step is one of [`OPERATIONS`]; whatever it sees goes into a running
//! checksum. The sequence of steps depends on the seed and on what came in
//! (a block that waited, a byte that arrived), so a replay that differs in any
//! input ends with another checksum.

use crate::clock;
use crate::random::{Checksum, Random};
use crate::{cmdline, console, event, say, witness};
use core::sync::atomic::Ordering::Relaxed;

mod cpu;
mod devices;
mod events;
mod paging;

pub(crate) use cpu::probe;

/// Steps unless told: about ten seconds on an emulated CPU.
const STEPS: u64 = 4_000;
/// A progress line after so many steps.
const PROGRESS_STEPS: u64 = 500;

/// What every operation works with.
pub struct Torture {
    /// Decides what happens.
    pub random: Random,
    /// Over everything seen.
    pub sum: Checksum,
    /// Ports for sending events to ourselves.
    pub ports: events::Ports,
}

/// An operation and how often it comes, relative to the others.
type Operation = (u64, fn(&mut Torture));

const OPERATIONS: [Operation; 27] = [
    (60, cpu::clock_reads),
    (30, cpu::compute),
    (25, cpu::exceptions),
    (15, cpu::cpuid),
    (15, cpu::privileged_reads),
    (10, cpu::debug_registers),
    (6, cpu::segment_bases),
    (8, cpu::user_mode),
    (20, events::block_with_timeout),
    (10, events::block_until_own_event),
    (20, events::poll),
    (10, events::give_way),
    (15, events::masked_upcalls),
    (15, events::masked_port),
    (6, events::rebind),
    (4, events::periodic_timer),
    (12, devices::print),
    (20, devices::input),
    (10, devices::xenstore),
    (15, devices::runstate),
    (4, devices::areas),
    (12, devices::versions),
    (30, paging::remap),
    (20, paging::batch),
    (10, paging::tables),
    (10, paging::multicall),
    (8, paging::balloon),
];

/// Runs the application.
pub fn run() {
    let seed = cmdline::operand().and_then(cmdline::parse).unwrap_or(1);
    let steps = cmdline::number("steps").unwrap_or(STEPS);
    let Some(ports) = events::Ports::open() else {
        say!("torture: no event channels");
        return;
    };
    let mut torture = Torture { random: Random::new(seed), sum: Checksum(seed), ports };
    let only = cmdline::number("only");
    let weights: u64 = OPERATIONS.iter().map(|(weight, _)| weight).sum();

    say!("torture: seed {seed}, {steps} steps");
    for step in 1..=steps {
        let mut at = torture.random.below(weights);
        for (index, (weight, operation)) in OPERATIONS.into_iter().enumerate() {
            if only.map_or(at < weight, |only| only == index as u64) {
                operation(&mut torture);
                break;
            }
            at = at.saturating_sub(weight);
        }
        if step % PROGRESS_STEPS == 0 && step != steps {
            say!("torture: step {step} checksum {:016x}", torture.sum.0);
        }
    }

    devices::settle(&mut torture);
    console::flush();
    for value in [witness::combined(), witness::EXITS.load(Relaxed), event::total(), clock::now()] {
        torture.sum.mix(value);
    }
    say!("torture: seed {seed} steps {steps} checksum {:016x}", torture.sum.0);
}
