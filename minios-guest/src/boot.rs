//! ELF notes, the first instruction, and the trap and upcall entries.
//!
//! Everything here is assembler, because Xen or the processor calls it with registers
//! and a stack that no Rust ABI describes. At every entry from Xen a PV guest's stack holds
//! rcx, r11, the error code (some exceptions only), rip, cs, rflags, rsp, ss.
//! Each entry builds a [`TrapFrame`] from it, aligns the stack to
//! 16 bytes (an upcall may find it anywhere), calls Rust, and returns through
//! the `iret` hypercall, which restores the upcall mask in the same step.
//!
//! A PVH guest's processor calls the entries whose names begin with `pvh_`, without rcx
//! and r11 on the stack; they return by `iretq`. Where such a guest begins is in [`pvh`].

use core::arch::global_asm;

pub mod pvh;

// ELF notes: how the domain builder is to load and start this kernel. The last one is for PVH, the others are for PV.
global_asm!(
    r#"
    .macro note_string type, text
        .balign 4
        .long 4, 3f - 2f, \type
        .asciz "Xen"
    2:  .asciz "\text"
    3:  .balign 4
    .endm
    .macro note_quad type, value
        .balign 4
        .long 4, 8, \type
        .asciz "Xen"
        .quad \value
    .endm

    .pushsection .note.Xen, "a", @note
    note_string 5, "xen-3.0"                # XEN_VERSION
    note_string 6, "xenlr-minios"           # GUEST_OS
    note_string 7, "0.1"                    # GUEST_VERSION
    note_string 8, "generic"                # LOADER
    note_string 9, "yes"                    # PAE_MODE
    note_string 10, "pae_pgdir_above_4gb"   # FEATURES
    note_quad   1, _start                   # ENTRY
    note_quad   2, hypercall_page           # HYPERCALL_PAGE
    note_quad   3, VIRT_BASE                # VIRT_BASE
    note_quad   4, 0                        # PADDR_OFFSET
    note_quad   18, pvh_start - 0xffffffff80000000  # PHYS32_ENTRY
    .popsection
    "#,
    options(att_syntax)
);

// The first instruction, the hypercall page and the stack.
global_asm!(
    r#"
    .pushsection .text.boot, "ax", @progbits
    .globl _start
_start:
    cld
    leaq boot_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    movq %rsi, %rdi
    call kernel_main
1:  ud2
    jmp 1b
    .popsection

    .pushsection .text.hypercall, "ax", @progbits
    .balign 4096
    .globl hypercall_page
hypercall_page:
    .skip 4096, 0xcc
    .popsection

    .pushsection .bss.stack, "aw", @nobits
    .balign 4096
    .globl boot_stack
boot_stack:
    .skip 65536
    .globl boot_stack_top
boot_stack_top:
    .popsection
    "#,
    options(att_syntax)
);

// Trap and upcall entries.
global_asm!(
    r#"
    # Where the processor of a PVH guest finds the entry: place in its table, address.
    .macro pvh_entry name, place
    .pushsection .rodata.pvh_entries, "a", @progbits
    .quad \place, \name
    .popsection
    .globl \name
\name:
    .endm

    # Drop rcx and r11 (kept in the registers), put vector and error code there.
    .macro pv_entry_no_error name, vector
    .globl \name
\name:
    movq (%rsp), %rcx
    movq 8(%rsp), %r11
    addq $16, %rsp
    pushq $0
    pushq $\vector
    jmp trap_common
    .endm
    .macro entry_no_error name, vector
    pv_entry_no_error \name, \vector
    pvh_entry pvh_\name, \vector
    pushq $0
    pushq $\vector
    jmp pvh_trap_common
    .endm
    .macro entry_error name, vector
    .globl \name
\name:
    movq (%rsp), %rcx
    movq 8(%rsp), %r11
    addq $16, %rsp
    pushq $\vector
    jmp trap_common
    pvh_entry pvh_\name, \vector
    pushq $\vector
    jmp pvh_trap_common
    .endm
    # Only a PVH guest has it.
    .macro entry_pvh name, vector, place
    pvh_entry \name, \place
    pushq $0
    pushq $\vector
    jmp pvh_trap_common
    .endm

    .macro save_registers
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm

    # Calls Rust with the frame that stands on the stack up to error code and vector; both are gone afterwards.
    .macro handle_trap
    cld
    save_registers
    movq %rsp, %rdi
    movq %rsp, %rbx
    xorl %ebp, %ebp
    andq $-16, %rsp
    call trap_handler
    movq %rbx, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    .endm

    .pushsection .rodata.pvh_entries, "a", @progbits
    .balign 8
    .globl pvh_entries
pvh_entries:
    .popsection

    .pushsection .text, "ax", @progbits
    entry_no_error trap_divide,      0
    entry_no_error trap_debug,       1
    entry_no_error trap_int3,        3
    entry_no_error trap_overflow,    4
    entry_no_error trap_bounds,      5
    entry_no_error trap_opcode,      6
    entry_no_error trap_device,      7
    entry_error    trap_double,      8
    entry_error    trap_tss,         10
    entry_error    trap_segment,     11
    entry_error    trap_stack,       12
    entry_error    trap_protection,  13
    entry_error    trap_page,        14
    entry_no_error trap_fpu,         16
    entry_error    trap_alignment,   17
    entry_no_error trap_simd,        19
    entry_no_error trap_soft,        128
    pv_entry_no_error trap_syscall,  256
    pv_entry_no_error upcall_entry,  257

    # Xen found guest segments that it cannot load: rcx, r11, ds, es, fs, gs
    # and then the frame. This kernel never loads any.
    .globl failsafe_entry
failsafe_entry:
    movq (%rsp), %rcx
    movq 8(%rsp), %r11
    addq $48, %rsp
    pushq $0
    pushq $258
    jmp trap_common

trap_common:
    handle_trap
    .globl pv_frame_return
pv_frame_return:
    pushq $0                        # flags of the iret frame
    jmp hypercall_page + 23 * 32    # pushes rcx, r11, rax itself

    entry_pvh pvh_nmi,       2,   2
    entry_pvh pvh_upcall,    257, 0xf3
    entry_pvh pvh_timer,     259, 0x40
    entry_pvh pvh_spurious,  260, 0xff

    # By the instruction, from user mode: the processor changes neither the stack nor what is on it.
    .globl pvh_syscall
pvh_syscall:
    # System call 2 does nothing, and returns by the instruction.
    cmpl $2, %eax
    jne 1f
    sysretq
1:  movq %rsp, pvh_user_stack(%rip)
    leaq trap_stack_top(%rip), %rsp
    pushq $0x2b
    pushq pvh_user_stack(%rip)
    pushq %r11
    pushq $0x33
    pushq %rcx
    pushq $0
    pushq $256
pvh_trap_common:
    handle_trap
    .globl pvh_frame_return
pvh_frame_return:
    iretq
    .popsection

    .pushsection .rodata.pvh_entries, "a", @progbits
    .globl pvh_entries_end
pvh_entries_end:
    .popsection

    .pushsection .bss.pvh, "aw", @nobits
    .balign 8
pvh_user_stack:
    .skip 8
    .popsection
    "#,
    options(att_syntax)
);

/// Virtual address of pseudo-physical address 0 (also in `kernel.lds`).
pub const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;

/// Registers at an entry, lowest address first.
#[repr(C)]
#[allow(missing_docs)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    /// Exception vector, or 256 for a system call, 257 for an upcall, 258 for the failsafe callback, 259 and 260 for a
    /// PVH guest's local APIC: its timer, and nothing.
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    /// Selector; of a PV guest, bits 32 to 39 are the upcall mask of the interrupted code.
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

extern "C" {
    /// Entry for event upcalls.
    pub fn upcall_entry();
    /// Entry when Xen cannot restore segments.
    pub fn failsafe_entry();
    /// Entry for `syscall` from user mode.
    pub fn trap_syscall();
    /// Returns through the frame of rip, cs, rflags, rsp and ss that the stack holds.
    pub fn pv_frame_return();
}

macro_rules! trap_entries {
    ($($vector:literal $name:ident $flags:literal),* $(,)?) => {
        extern "C" { $(fn $name();)* }
        /// Vector, flags (as in `struct trap_info`) and address of every trap entry.
        pub fn trap_entries() -> [(u8, u8, u64); TRAPS] {
            [$(($vector, $flags, $name as *const () as u64)),*]
        }
        /// Number of trap entries.
        pub const TRAPS: usize = [$($vector),*].len();
    };
}

// Flags: 3 lets user mode raise it, 4 masks upcalls on entry.
trap_entries! {
    0 trap_divide 4, 1 trap_debug 4, 3 trap_int3 7, 4 trap_overflow 7, 5 trap_bounds 4,
    6 trap_opcode 4, 7 trap_device 4, 8 trap_double 4, 10 trap_tss 4, 11 trap_segment 4,
    12 trap_stack 4, 13 trap_protection 4, 14 trap_page 4, 16 trap_fpu 4,
    17 trap_alignment 4, 19 trap_simd 4, 128 trap_soft 7,
}
