//! A small Xen PV guest kernel in the spirit of Mini-OS.
//!
//! It exists to exercise record and replay: everything it does is a pure
//! function of its image, its command line and what Xen lets in, and it knows
//! what came in ([`witness`]). One vCPU, no scheduler, no memory beyond its
//! own image; an *application*, named by the command line, runs to its end.
//!
//! From the bottom up, each using what stands before it: [`abi`] (Xen's interface),
//! [`boot`] (ELF notes, entries), [`random`], [`hypercall`], [`start`] (what the
//! domain builder said), [`cmdline`], [`memory`], [`shared`] (shared pages),
//! [`witness`] (what was seen), [`event`], [`exits`] (what watches them), [`clock`],
//! [`console`], [`xenstore`], [`user`] (a little user mode), [`trap`], and the
//! applications in [`apps`]. The check `arrows` holds this order.

#![no_std]
#![no_main]

pub mod abi;
pub mod apps;
pub mod boot;
pub mod clock;
pub mod cmdline;
pub mod console;
pub mod event;
pub mod exits;
pub mod hypercall;
pub mod memory;
pub mod random;
pub mod shared;
pub mod start;
pub mod trap;
pub mod user;
pub mod witness;
pub mod xenstore;

use abi::{schedop, StartInfo};

/// Called by the first instructions, on the kernel's own stack, upcalls masked.
#[no_mangle]
extern "C" fn kernel_main(start: &'static StartInfo) -> ! {
    start::init(start);
    exits::init();
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
