//! A small Xen guest kernel, PV and PVH, in the spirit of Mini-OS.
//!
//! It exists to exercise record and replay: everything it does is a pure
//! function of its image, its command line and what Xen lets in, and it knows
//! what came in ([`witness`]). One vCPU, no scheduler, no memory beyond its
//! own image; an *application*, named by the command line, runs to its end.
//!
//! From the bottom up, each using what stands before it: [`abi`] (Xen's interface),
//! [`boot`] (ELF notes, entries), [`random`], [`hypercall`], [`start`] (what the
//! domain builder said), [`cmdline`], [`machine`] (what differs between PV and PVH),
//! [`memory`], [`witness`] (what was seen), [`shared`] (shared pages), [`event`], [`exits`] (what watches them), [`clock`],
//! [`console`], [`xenstore`], [`grants`], [`ring`], [`xenbus`] (finding a backend), [`block`], [`network`], [`user`] (a little user mode), [`trap`], and the
//! applications in [`apps`]. The check `arrows` holds this order.

#![no_std]
#![no_main]

pub mod abi;
pub mod apps;
pub mod block;
pub mod boot;
pub mod clock;
pub mod cmdline;
pub mod console;
pub mod event;
pub mod exits;
pub mod grants;
pub mod hypercall;
pub mod machine;
pub mod memory;
pub mod network;
pub mod random;
pub mod ring;
pub mod shared;
pub mod start;
pub mod trap;
pub mod user;
pub mod witness;
pub mod xenbus;
pub mod xenstore;

use abi::{schedop, StartInfo};
use core::sync::atomic::Ordering::Relaxed;

/// Called by the first instructions of a PV guest, on the kernel's own stack, upcalls masked.
#[no_mangle]
extern "C" fn kernel_main(start: &'static StartInfo) -> ! {
    exits::init();
    run(start)
}

/// Called by those of a PVH guest, with the physical address of what it was handed.
#[no_mangle]
extern "C" fn pvh_main(start: u64) -> ! {
    exits::init();
    witness::EXITS.store(machine::pvh::exits_so_far(), Relaxed);
    run(machine::pvh::begin(start))
}

fn run(start: &'static StartInfo) -> ! {
    start::init(start);
    shared::init();
    event::mask_all_ports();
    trap::init();
    event::unmask_upcalls();
    console::init();
    clock::init();
    xenstore::init();
    say!(
        "minios: {} pages, {}",
        start.nr_pages,
        match cmdline::application() {
            "" => "shell (no application named)",
            name => name,
        }
    );
    apps::run();
    console::flush();
    hypercall::shutdown(schedop::SHUTDOWN_POWEROFF)
}

/// A bug in this kernel: say where and crash the domain.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("minios: {info}");
    console::flush();
    hypercall::shutdown(schedop::SHUTDOWN_CRASH)
}
