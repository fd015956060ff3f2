//! Exceptions and upcalls, after the entries of [`crate::boot`] saved the registers.
//!
//! An exception is either expected (a *probe* set [`set_resume`] before it
//! provoked one) or the end: it is printed and the domain is crashed.

use crate::abi::schedop;
use crate::boot::TrapFrame;
use crate::{console, exits, hypercall, machine, shared, user};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const VECTOR_SYSCALL: u64 = 256;
const VECTOR_UPCALL: u64 = 257;
/// Xen could not load a segment register.
pub const VECTOR_FAILSAFE: u64 = 258;

const VECTOR_APIC_TIMER: u64 = 259;
const VECTOR_APIC_SPURIOUS: u64 = 260;

/// Interrupts of the local APIC's timer.
pub static APIC_TICKS: AtomicU64 = AtomicU64::new(0);
/// Where its end is told: an address to write 0 to.
pub static APIC_EOI: AtomicU64 = AtomicU64::new(0);

/// Where the next exception resumes; 0: exceptions are fatal.
pub static RESUME: AtomicU64 = AtomicU64::new(0);
/// The stack pointer that goes with it; 0: as it was.
pub static RESUME_STACK: AtomicU64 = AtomicU64::new(0);
/// Exceptions caught, and the vector, error code and address of the last one: the address that a page fault is about,
/// or the instruction that the failsafe callback interrupted.
static CAUGHT: AtomicU64 = AtomicU64::new(0);
static LAST: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
/// Non-zero: debug exceptions, breakpoints, the failsafe callback and the like just go on.
pub static TOLERANT: AtomicU64 = AtomicU64::new(0);

/// Single steps that the trap flag may still make.
pub static TRACE: AtomicU64 = AtomicU64::new(0);

/// An upcall that interrupts the first of these addresses goes on at the second.
static LEAVE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Sets [`LEAVE`]: from a loop that has no other end.
pub fn leave_at(from: u64, to: u64) {
    LEAVE[0].store(from, Relaxed);
    LEAVE[1].store(to, Relaxed);
}

/// Sets up exceptions, system calls and upcalls.
pub fn init() {
    (machine::this().set_traps)();
}

/// Takes exceptions away: the next one kills the domain.
pub fn clear_trap_table() {
    (machine::this().clear_traps)();
}

/// The next exception resumes at `address` instead of being fatal.
pub fn set_resume(address: u64) {
    RESUME.store(address, Relaxed);
}

/// Runs the instruction `$code` on rax, rcx and rdx; returns rax and rdx. An exception leaves them as they were. The
/// instruction must change none of the state that Rust relies on.
macro_rules! attempt {
    ($code:literal, $rax:expr, $rcx:expr, $rdx:expr) => {{
        let (mut rax, rcx, mut rdx): (u64, u64, u64) = ($rax, $rcx, $rdx);
        // SAFETY: so it is for all that this is used for; an exception resumes at label 2.
        unsafe {
            core::arch::asm!(
                "lea r9, [rip + 2f]",
                "mov [r8], r9",
                $code,
                "2:",
                inout("r8") $crate::trap::RESUME.as_ptr() => _, out("r9") _,
                inout("rax") rax, inout("rcx") rcx => _, inout("rdx") rdx,
            );
        }
        $crate::trap::set_resume(0);
        (rax, rdx)
    }};
}
pub(crate) use attempt;

/// How many exceptions were caught, and vector, error code and address of the last.
pub fn caught() -> (u64, [u64; 3]) {
    (CAUGHT.load(Relaxed), [LAST[0].load(Relaxed), LAST[1].load(Relaxed), LAST[2].load(Relaxed)])
}

/// Called by the entries with the frame on the stack.
#[no_mangle]
extern "C" fn trap_handler(frame: &mut TrapFrame) {
    match frame.vector {
        VECTOR_UPCALL => {
            exits::upcall();
            if frame.rip == LEAVE[0].load(Relaxed) {
                frame.rip = LEAVE[1].load(Relaxed);
            }
            user::upcall(frame);
        }
        VECTOR_SYSCALL => {
            exits::trapped();
            user::syscall(frame);
        }
        VECTOR_APIC_TIMER => {
            APIC_TICKS.fetch_add(1, Relaxed);
            let end = APIC_EOI.load(Relaxed) as *mut u32;
            if !end.is_null() {
                // SAFETY: whoever made the timer's interrupts mapped the register there.
                unsafe { end.write_volatile(0) };
                exits::passed();
            }
        }
        VECTOR_APIC_SPURIOUS => {}
        _ => {
            exits::trapped();
            exception(frame);
        }
    }
    exits::returning();
}

fn exception(frame: &mut TrapFrame) {
    let cr2 = (machine::this().fault_address)(shared::vcpu());
    let resume = RESUME.swap(0, Relaxed);
    let stack = RESUME_STACK.swap(0, Relaxed);
    let user = frame.cs & 3 == 3 && stack == 0;
    let tolerated = TOLERANT.load(Relaxed) != 0 && matches!(frame.vector, 1..=4 | 128 | VECTOR_FAILSAFE);
    if resume == 0 && !user && !tolerated {
        fatal(frame, cr2);
    }
    CAUGHT.fetch_add(1, Relaxed);
    LAST[0].store(frame.vector, Relaxed);
    LAST[1].store(frame.error, Relaxed);
    let address = match frame.vector {
        14 => cr2,
        VECTOR_FAILSAFE => frame.rip,
        _ => 0,
    };
    LAST[2].store(address, Relaxed);
    if frame.vector == 1 {
        // Resume flag: an instruction breakpoint must not hit again at once.
        frame.rflags |= 0x10000;
    }
    // The trap flag has done its work after so many traps.
    if frame.vector != 1 || TRACE.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
        frame.rflags &= !0x100;
    }
    if user {
        user::fault(frame);
    } else if resume != 0 {
        frame.rip = resume;
        if stack != 0 {
            frame.rsp = stack;
            frame.cs = u64::from(machine::this().kernel.cs);
            frame.ss = u64::from(machine::this().kernel.ss);
            frame.rflags = 0x202;
        }
    }
}

/// Prints an exception that nobody expected and crashes the domain.
fn fatal(frame: &TrapFrame, cr2: u64) -> ! {
    let name = match frame.vector {
        0 => "divide error",
        1 => "debug",
        2 => "NMI",
        3 => "breakpoint",
        6 => "invalid opcode",
        8 => "double fault",
        13 => "general protection fault",
        14 => "page fault",
        VECTOR_FAILSAFE => "failsafe callback",
        _ => "exception",
    };
    crate::say!(
        "minios: fatal {} (vector {}, error {:#x}) at rip {:#x}, cr2 {:#x}",
        name,
        frame.vector,
        frame.error,
        frame.rip,
        cr2
    );
    crate::say!(
        "minios: rsp {:#x} rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rflags {:#x}",
        frame.rsp,
        frame.rax,
        frame.rbx,
        frame.rcx,
        frame.rdx,
        frame.rflags
    );
    console::flush();
    hypercall::shutdown(schedop::SHUTDOWN_CRASH)
}
