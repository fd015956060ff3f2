//! Hypercalls: the raw calls, and the one safe wrapper that all code uses.
//!
//! Every call but a [`raw`] one ends in what [`watch_exits`] was given, which sees
//! what Xen has changed meanwhile. This is the ground floor: it knows no other
//! part of the kernel.

use crate::abi::{evtchnop, nr, schedop, vcpuop};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

extern "C" {
    /// The page that Xen fills with hypercall stubs of 32 bytes.
    pub static hypercall_page: [u8; 4096];
}

// The instruction by itself.
global_asm!(
    ".pushsection .text",
    ".globl hypercall_instruction",
    "hypercall_instruction: syscall",
    "ret",
    ".popsection"
);

extern "C" {
    fn hypercall_instruction();
}

/// Address of a hypercall's instruction, whatever its number, and a return behind it; 0: PV's.
static ENTRY: AtomicU64 = AtomicU64::new(0);

/// From now on hypercalls of any number are made by the instruction at this address, which a return follows.
pub fn enter_through(address: u64) {
    ENTRY.store(address, Relaxed);
}

/// The address to call with the hypercall's number in rax.
pub fn entry() -> u64 {
    match ENTRY.load(Relaxed) {
        0 => hypercall_instruction as *const () as u64,
        address => address,
    }
}

/// A `fn()`, or null.
static WATCHER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// From now on `watcher` is called after every exit; it makes no hypercall.
pub fn watch_exits(watcher: fn()) {
    WATCHER.store(watcher as *mut (), Relaxed);
}

/// An exit is over, other than one of [`call`] or [`any`]: has it watched.
#[inline]
pub fn exited() {
    let watcher = WATCHER.load(Relaxed);
    if !watcher.is_null() {
        // SAFETY: only `watch_exits` stores there, and only such functions.
        let watcher = unsafe { core::mem::transmute::<*mut (), fn()>(watcher) };
        watcher();
    }
}

/// Calls Xen through the hypercall page; nobody watches.
///
/// # Safety
/// The arguments must be valid for hypercall `number` (below 64), and Xen must
/// not be led to write memory that Rust holds references to.
#[inline]
pub unsafe fn raw(number: u64, a: [u64; 5]) -> i64 {
    let result: i64;
    let stub = (&raw const hypercall_page) as u64 + number * 32;
    // SAFETY: the caller vouches for the arguments; Xen's stub keeps all
    // registers but rax, rcx, r11 and perhaps the argument registers.
    unsafe {
        asm!("call {stub}", stub = in(reg) stub,
            inlateout("rdi") a[0] => _, inlateout("rsi") a[1] => _,
            inlateout("rdx") a[2] => _, inlateout("r10") a[3] => _,
            inlateout("r8") a[4] => _, lateout("rax") result,
            lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// Calls Xen, and has the exit watched.
///
/// # Safety
/// As for [`raw`].
#[inline]
pub unsafe fn call(number: u64, a: [u64; 5]) -> i64 {
    // SAFETY: as this function's contract.
    let result = unsafe { raw(number, a) };
    exited();
    result
}

/// Calls Xen by the instruction itself, with any number at all, and has the
/// exit watched. For hostile calls.
///
/// # Safety
/// As for [`raw`].
pub unsafe fn any(number: u64, a: [u64; 5]) -> i64 {
    let result: i64;
    // SAFETY: the caller vouches for the arguments; Xen keeps all registers
    // but rax, rcx, r11 and perhaps the argument registers.
    unsafe {
        asm!("call {entry}", entry = in(reg) entry(), inlateout("rax") number => result,
            inlateout("rdi") a[0] => _, inlateout("rsi") a[1] => _,
            inlateout("rdx") a[2] => _, inlateout("r10") a[3] => _,
            inlateout("r8") a[4] => _, lateout("rcx") _, lateout("r11") _);
    }
    exited();
    result
}

/// A hypercall whose only memory argument is one structure, in or out.
pub fn op<T>(number: u64, command: u64, argument: &mut T) -> i64 {
    // SAFETY: `argument` is exclusively ours for the call; every caller in
    // this crate passes the structure that Xen's interface asks for.
    unsafe { call(number, [command, argument as *mut T as u64, 0, 0, 0]) }
}

/// A hypercall without any memory argument.
pub fn plain(number: u64, a: [u64; 5]) -> i64 {
    // SAFETY: no pointers are passed; callers use this for value arguments only.
    unsafe { call(number, a) }
}

/// `vcpu_op` on the only vCPU.
pub fn vcpu_op<T>(command: u64, argument: &mut T) -> i64 {
    // SAFETY: as in `op`.
    unsafe { call(nr::VCPU_OP, [command, 0, argument as *mut T as u64, 0, 0]) }
}

/// A hypercall that does nothing: Xen looks for pending upcalls on the way back.
pub fn nothing() {
    plain(nr::XEN_VERSION, [0; 5]);
}

/// Gives up the rest of the time slice.
pub fn sched_yield() {
    plain(nr::SCHED_OP, [schedop::YIELD, 0, 0, 0, 0]);
}

/// Waits for one of `ports` or until `deadline_ns` (system time; 0: for ever).
pub fn poll(ports: &[u32], deadline_ns: u64) -> i64 {
    #[repr(C)]
    struct Poll {
        ports: u64,
        nr_ports: u32,
        pad: u32,
        timeout: u64,
    }
    let mut argument =
        Poll { ports: ports.as_ptr() as u64, nr_ports: ports.len() as u32, pad: 0, timeout: deadline_ns };
    op(nr::SCHED_OP, schedop::POLL, &mut argument)
}

/// Notifies the other end of `port`.
pub fn notify(port: u32) -> i64 {
    let mut argument = port;
    op(nr::EVENT_CHANNEL_OP, evtchnop::SEND, &mut argument)
}

/// Arms the vCPU's one-shot timer for `deadline_ns` of system time.
pub fn set_timer(deadline_ns: u64) -> i64 {
    let mut argument = [deadline_ns, 0];
    vcpu_op(vcpuop::SET_SINGLESHOT_TIMER, &mut argument)
}

/// Ends the domain with a `SHUTDOWN_*` reason.
pub fn shutdown(reason: u32) -> ! {
    let mut argument = reason;
    loop {
        op(nr::SCHED_OP, schedop::SHUTDOWN, &mut argument);
    }
}
