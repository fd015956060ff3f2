//! `torture SEED [steps=N] [only=K] [without=NAME,…]`: a seeded random mix of everything a guest can do.
//!
//! Each step is one of [`PV`] or [`PVH`]; whatever it sees goes into a running
//! checksum. The sequence of steps depends on the seed and on what came in
//! (a block that waited, a byte that arrived), so a replay that differs in any
//! input ends with another checksum.

use crate::clock;
use crate::random::{Checksum, Random};
use crate::{cmdline, console, event, machine, say, witness};
use core::sync::atomic::Ordering::Relaxed;

mod cpu;
mod devices;
mod events;
mod interrupts;
mod loans;
mod modes;
mod paging;
mod registers;
mod spins;
mod tables;

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
    /// Disk and network, if there are any.
    pub devices: loans::Devices,
}

/// An operation, how often it comes, relative to the others, and its name.
type Operation = (u64, &'static str, fn(&mut Torture));

macro_rules! operations {
    ($($weight:literal $module:ident::$name:ident),* $(,)?) => {
        &[$(($weight, stringify!($name), $module::$name)),*]
    };
}

const PV: &[Operation] = operations![
    60 cpu::clock_reads, 30 cpu::compute, 25 cpu::exceptions, 15 cpu::cpuid, 15 cpu::privileged_reads,
    10 cpu::debug_registers, 6 cpu::segment_bases, 8 cpu::user_mode,
    20 events::block_with_timeout, 10 events::block_until_own_event, 20 events::poll, 10 events::give_way,
    15 events::masked_upcalls, 15 events::masked_port, 6 events::rebind, 4 events::periodic_timer,
    12 devices::print, 20 devices::input, 10 devices::xenstore, 15 devices::runstate, 4 devices::areas, 12 devices::versions,
    30 paging::remap, 20 paging::batch, 10 paging::tables, 10 paging::multicall, 8 paging::balloon,
    3 spins::spin,
];

const PVH: &[Operation] = operations![
    60 cpu::clock_reads, 30 cpu::compute, 25 cpu::exceptions, 15 cpu::cpuid, 15 cpu::privileged_reads,
    10 cpu::debug_registers, 6 cpu::segment_bases, 8 cpu::user_mode,
    20 events::block_with_timeout, 10 events::block_until_own_event, 20 events::poll, 10 events::give_way,
    15 events::masked_upcalls, 15 events::masked_port, 6 events::rebind, 4 events::periodic_timer,
    12 devices::print, 20 devices::input, 10 devices::xenstore, 15 devices::runstate, 4 devices::areas, 12 devices::versions,
    30 paging::remap, 20 paging::batch, 4 paging::switch_root, 10 paging::multicall, 8 paging::balloon,
    30 tables::own, 6 tables::switch, 6 tables::flush_all, 6 tables::marks,
    6 modes::calls_32, 6 modes::long_multicall, 4 modes::long_memory_op, 4 modes::long_copy,
    25 interrupts::shadow, 15 interrupts::halt, 6 interrupts::apic_registers, 6 interrupts::apic_once,
    4 interrupts::apic_periodic, 6 interrupts::deadline,
    15 registers::models, 4 registers::clock_model, 1 registers::clock_written, 20 registers::ports,
    3 registers::port_strings, 10 registers::leaves, 10 registers::breakpoints, 20 registers::states,
    6 registers::lazy_states,
];

/// Those of a guest with a disk, with a network, and with either; behind the others, which come as without them.
const DISK: &[Operation] = operations![25 loans::disk];
const NETWORK: &[Operation] = operations![40 loans::network];
const EITHER: &[Operation] = operations![2 loans::reconnect];

/// Runs the application.
pub fn run() {
    let seed = cmdline::operand().and_then(cmdline::parse).unwrap_or(1);
    let steps = cmdline::number("steps").unwrap_or(STEPS);
    let Some(ports) = events::Ports::open() else {
        say!("torture: no event channels");
        return;
    };
    let devices = loans::Devices::open(seed);
    let (has_disk, has_network) = (devices.has_disk(), devices.has_network());
    let mut torture = Torture { random: Random::new(seed), sum: Checksum(seed), ports, devices };
    let only = cmdline::number("only");
    let without = cmdline::text("without").unwrap_or("");
    let kind = if machine::is_pvh() { PVH } else { PV };
    let there = |yes, operations: &'static [Operation]| if yes { operations } else { &[] };
    let of_devices = [(has_disk, DISK), (has_network, NETWORK), (has_disk || has_network, EITHER)];
    let of_devices = of_devices.into_iter().flat_map(|(yes, operations)| there(yes, operations));
    let operations = kind.iter().chain(of_devices);
    // One that is left out is never chosen.
    let weight = |(weight, name, _): &Operation| match without.split(',').any(|left_out| left_out == *name) {
        true => 0,
        false => *weight,
    };
    let weights: u64 = operations.clone().map(weight).sum();
    if machine::is_pvh() {
        machine::pvh::answers().iter().for_each(|answer| torture.sum.mix(u64::from(*answer)));
    }

    say!("torture: seed {seed}, {steps} steps");
    for step in 1..=steps {
        let mut at = torture.random.below(weights);
        for (index, operation) in operations.clone().enumerate() {
            let weight = weight(operation);
            if only.map_or(at < weight, |only| only == index as u64) {
                (operation.2)(&mut torture);
                break;
            }
            at = at.saturating_sub(weight);
        }
        if step % PROGRESS_STEPS == 0 && step != steps {
            say!("torture: step {step} checksum {:016x}", torture.sum.0);
        }
    }

    torture.devices.close();
    devices::settle(&mut torture);
    console::flush();
    for value in [witness::combined(), witness::EXITS.load(Relaxed), event::total(), clock::now()] {
        torture.sum.mix(value);
    }
    say!("torture: seed {seed} steps {steps} checksum {:016x}", torture.sum.0);
}
