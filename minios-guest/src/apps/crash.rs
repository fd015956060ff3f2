//! `crash [triple|shutdown] [ms=N]`: runs a moment, then takes a page fault that nobody handles.
//!
//! `crash=shutdown` (the default): the trap handler prints it and tells Xen
//! that the domain crashed. `crash=triple`: there is no trap table any more,
//! and Xen crashes the domain itself.

use crate::clock::{self, MILLISECOND};
use crate::{cmdline, console, say, trap};

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
    if variant == "triple" {
        trap::clear_trap_table();
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
