//! `crash [triple|shutdown|halt] [ms=N]`: runs a moment, then takes a page fault that nobody handles.
//!
//! `crash=shutdown` (the default): the trap handler prints it and tells Xen
//! that the domain crashed. `crash=triple`: there is no trap table any more,
//! and Xen ends the domain itself: a PV guest as crashed, a PVH guest as one that wants to reboot.
//! `crash=halt`: a PVH guest halts with interrupts off, and Xen powers it off.

use crate::clock::{self, MILLISECOND};
use crate::{cmdline, console, machine, say, trap};

/// An address that no page table maps.
const NOWHERE: u64 = 0xdead_0000;

/// Runs the application.
pub fn run() {
    let variant = cmdline::text("crash").or(cmdline::operand()).unwrap_or("shutdown");
    let begin = clock::now();
    let milliseconds = cmdline::number("ms").unwrap_or(500);
    for round in 0..5 {
        clock::sleep(milliseconds * MILLISECOND / 5);
        say!("crash: round {round}, {:016x}", super::compute::work(1000 + clock::now() % 1000));
    }
    say!("crash: {variant} after {} ms", (clock::now() - begin) / MILLISECOND);
    console::flush();
    match variant {
        "triple" => trap::clear_trap_table(),
        "halt" if machine::is_pvh() => machine::pvh::halt(),
        _ => {}
    }
    page_fault()
}

/// Writes to an address that is not mapped.
pub fn page_fault() -> ! {
    // SAFETY: none: the fault is the point. Nothing is mapped at the address,
    // so nothing can be written.
    unsafe { (NOWHERE as *mut u64).write_volatile(1) };
    panic!("the page fault did not come")
}
