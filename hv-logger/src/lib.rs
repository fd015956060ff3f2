//! Gate, recorder and replayer of one logged domain, linked into the Xen hypervisor.
//!
//! # Terms
//! * *Stage*: where what arrives for the guest waits, out of its sight.
//! * *Sync point*: a return to the guest from an exit that the guest itself caused.
//! * *Commit*: making something staged visible to the guest, at a sync point.
//! * *Value*: an answer to the guest that depends on the world outside it.
//!
//! # The way of an event
//! 1. Something happens for the guest; a hook in Xen calls [`ffi`]'s `hvlog_stage` or
//!    `hvlog_mark`, on any CPU.
//! 2. At the vCPU's next sync point Xen calls `hvlog_commit`.
//! 3. Recording, [`recorder`] takes it from the [`stage`], encodes it into the [`ring`], and has Xen
//!    apply it through [`xen`]. Replaying, [`replayer`] takes it from the ring instead, and has Xen
//!    apply it in the same way.
//! 4. Dom0 is notified when the ring is half full, and at the end.
//!
//! Where a page that the guest grants to a backend is a ring, [`frontends`] knows it.
//!
//! [`logger`] holds what both directions share. The unsafe parts are [`ffi`], [`ring`] with [`sync`],
//! and [`xen`]. The models of loom (`--cfg loom`) are built of ring and stage alone.
#![cfg_attr(not(any(test, loom)), no_std)]
#![deny(unsafe_op_in_unsafe_fn)]
// A number that does not fit its type is a place outside the ring: each cast says why it fits.
#![cfg_attr(
    not(any(test, loom)),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss
    )
)]

pub mod abi;
#[cfg(not(loom))]
pub mod bounded_clock;
#[cfg(not(loom))]
pub mod digest;
// Two attributes, not one: cbindgen then knows that nothing of it is for C.
#[cfg(test)]
#[cfg(not(loom))]
mod fake_xen;
#[cfg(not(loom))]
pub mod ffi;
#[cfg(not(loom))]
pub mod frontends;
#[cfg(not(loom))]
pub mod logger;
#[cfg(not(loom))]
pub mod recorder;
#[cfg(not(loom))]
pub mod replayer;
pub mod ring;
pub mod stage;
pub mod sync;
#[cfg(not(loom))]
pub mod xen;

#[cfg(not(loom))]
pub use logger::Logger;

#[cfg(all(not(test), target_os = "none"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        /// Not defined anywhere: Xen's link fails if anything can panic.
        fn hvlog_can_panic() -> !;
    }
    // SAFETY: never linked, hence never called.
    unsafe { hvlog_can_panic() }
}
