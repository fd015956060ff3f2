//! A little user mode: an address space of its own and code that makes system calls.
//!
//! Under 64-bit PV the kernel and its user programs both run in ring 3, with
//! two top page tables; Xen switches them at `syscall` and at exceptions. A PVH guest
//! has one, and rings of its own.

use crate::boot::TrapFrame;
use crate::memory::{Page, PTE_RO, PTE_RW};
use crate::{exits, machine};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where the program's page is mapped in user space, writable; its stack too.
const USER_CODE: u64 = 0x40_0000;

/// Top table, the three below it, and the program's page.
static TABLES: [Page; 4] = [const { Page::new() }; 4];
static PROGRAM: Page = Page::new();
static READY: AtomicU64 = AtomicU64::new(0);
/// Kernel stack pointer and address to return to when the program ends.
static RETURN: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// A program is on its way that only an upcall ends.
static SPINNING: AtomicU64 = AtomicU64::new(0);
static CHECKSUM: AtomicU64 = AtomicU64::new(0);
static FAULTS: AtomicU64 = AtomicU64::new(0);

// The program: rdi = seed, rsi = rounds. System call 0 reports a value, 1 ends, 2 does nothing.
// It provokes a breakpoint and an invalid opcode now and then.
global_asm!(
    r#"
    .pushsection .rodata, "a", @progbits
    .globl user_program
user_program:
    movq %rdi, %rbx
    movq %rsi, %r12
1:  movl $1000, %ecx
2:  rolq $7, %rbx
    addq %rcx, %rbx
    decl %ecx
    jnz 2b
    movq %rbx, %rdi
    xorl %eax, %eax
    syscall
    addq %rax, %rbx
    testq $3, %rbx
    jnz 3f
    int3
3:  testq $12, %rbx
    jnz 4f
    ud2
4:  decq %r12
    jnz 1b
    movq %rbx, %rdi
    movl $1, %eax
    syscall
    # The programs that never leave: a register counts, or a word of the page itself.
    .globl user_spin
user_spin:
    incq %rdi
    .rept 50
    imulq %rsi, %rsi
    .endr
    jmp user_spin
    .globl user_spin_own
user_spin_own:
    incq 4f(%rip)
    movq 4f(%rip), %rdi
    .rept 50
    imulq %rsi, %rsi
    .endr
    jmp user_spin_own
    # One system call after the other.
    .globl user_spin_calls
user_spin_calls:
    incq %rdi
    movl $2, %eax
    syscall
    jmp user_spin_calls
    .balign 8
4:  .quad 0
    .globl user_program_end
user_program_end:
    .popsection

    .pushsection .bss.stack, "aw", @nobits
    .balign 4096
    .skip 16384
    .globl trap_stack_top
trap_stack_top:
    .popsection
    "#,
    options(att_syntax)
);

extern "C" {
    static user_program: u8;
    static user_spin: u8;
    static user_spin_own: u8;
    static user_spin_calls: u8;
    static user_program_end: u8;
    static trap_stack_top: u8;
}

/// The kernel's stack for entries from user mode.
pub fn trap_stack() -> u64 {
    &raw const trap_stack_top as u64
}

/// Builds the user address space and tells Xen of it. False: Xen refused.
pub fn prepare() -> bool {
    if READY.load(Relaxed) != 0 {
        return true;
    }
    let start = &raw const user_program;
    let length = &raw const user_program_end as usize - start as usize;
    for word in 0..length.div_ceil(8) {
        // SAFETY: up to 7 bytes past the program are still within the image.
        PROGRAM.write(word, unsafe { start.cast::<u64>().add(word).read_unaligned() });
    }
    let mut lower = &PROGRAM;
    for (level, table) in TABLES.iter().rev().enumerate() {
        let index = (USER_CODE >> (12 + 9 * level)) & 511;
        table.write(index as usize, (lower.mfn() << 12) | PTE_RW);
        lower = table;
    }
    if TABLES.iter().any(|table| table.remap((table.mfn() << 12) | PTE_RO) != 0) {
        return false;
    }
    let ready = (machine::this().user_tables)(TABLES[0].mfn(), trap_stack());
    READY.store(u64::from(ready), Relaxed);
    ready
}

/// Runs the program; a checksum over what its system calls reported and its faults.
pub fn run(seed: u64, rounds: u64) -> Option<u64> {
    if !prepare() {
        return None;
    }
    CHECKSUM.store(seed, Relaxed);
    FAULTS.store(0, Relaxed);
    enter(USER_CODE, seed, rounds);
    Some(CHECKSUM.load(Relaxed) ^ FAULTS.load(Relaxed))
}

/// Which of the programs that never leave.
pub enum Spin {
    /// A register counts.
    Register,
    /// A word counts in the page that the program is in.
    OwnPage,
    /// It makes system calls, which a PVH guest's kernel serves without leaving.
    Calls,
}

/// Runs a program that never leaves until an upcall comes; how far it had counted.
pub fn spin(kind: Spin) -> Option<u64> {
    if !prepare() {
        return None;
    }
    let program = match kind {
        Spin::Register => &raw const user_spin,
        Spin::OwnPage => &raw const user_spin_own,
        Spin::Calls => &raw const user_spin_calls,
    };
    SPINNING.store(1, Relaxed);
    enter(USER_CODE + (program as u64 - &raw const user_program as u64), 0, 0);
    Some(CHECKSUM.load(Relaxed))
}

/// An upcall came: a program that spins has its end.
pub fn upcall(frame: &mut TrapFrame) {
    if frame.rip >> 12 == USER_CODE >> 12 && SPINNING.swap(0, Relaxed) != 0 {
        CHECKSUM.store(frame.rdi, Relaxed);
        leave(frame);
    }
}

/// Goes to user mode; returns when [`leave`] was called.
fn enter(address: u64, seed: u64, rounds: u64) {
    let machine = machine::this();
    // SAFETY: the frame starts the program in user
    // mode; it comes back at label 2 with the kernel's stack pointer, through
    // `leave`. All registers are declared lost, rbx and rbp are kept on the stack.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "lea r12, [rip + 2f]",
            "mov [r8 + 8], r12",
            "mov [r8], rsp",
            "push r9",
            "push rcx",
            "push 0x202",
            "push r10",
            "push r11",
            "jmp rax",
            "2:",
            "pop rbp",
            "pop rbx",
            inout("r8") RETURN.as_ptr() => _,
            inout("r9") u64::from(machine.user.ss) => _,
            inout("r10") u64::from(machine.user.cs) => _,
            inout("r11") address => _,
            inout("rcx") USER_CODE + 4096 => _,
            inout("rdi") seed => _, inout("rsi") rounds.max(1) => _,
            inout("rax") machine.frame_return as *const () as u64 => _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
        );
    }
    exits::trapped();
}

/// Changes the frame so that the return goes to the kernel code that waits in [`run`].
fn leave(frame: &mut TrapFrame) {
    frame.rsp = RETURN[0].load(Relaxed);
    frame.rip = RETURN[1].load(Relaxed);
    frame.cs = u64::from(machine::this().kernel.cs);
    frame.ss = u64::from(machine::this().kernel.ss);
    frame.rflags = 0x202;
}

/// A system call of the program.
pub fn syscall(frame: &mut TrapFrame) {
    let checksum = CHECKSUM.load(Relaxed).rotate_left(5) ^ frame.rdi;
    CHECKSUM.store(checksum, Relaxed);
    match frame.rax {
        0 => frame.rax = checksum >> 7,
        2 => {}
        _ => leave(frame),
    }
}

/// An exception in the program: breakpoints go on, invalid opcodes are
/// skipped, anything else ends it.
pub fn fault(frame: &mut TrapFrame) {
    FAULTS.store(FAULTS.load(Relaxed) + frame.vector, Relaxed);
    match frame.vector {
        3 => {}
        6 => frame.rip += 2,
        _ => leave(frame),
    }
}
