//! Where a PVH guest begins: 32-bit code, without paging, on the way to long mode.
//!
//! The domain builder starts the processor in protected mode at `pvh_start`, with the physical
//! address of `struct hvm_start_info` in ebx. Page tables map the first gigabyte, from
//! physical address 0, at [`super::VIRT_BASE`], so that all addresses are those
//! of a PV guest, and for the way there at 0 as well. The first [`MAPPED`] pages are mapped singly.
//!
//! The hypercall page is set up on the way. With the word `st32` anywhere in the command line
//! some hypercalls are made from 32-bit code, before there is paging; see [`ANSWERS`].

use core::arch::global_asm;

/// Pages mapped by entries of their own, which can be changed.
pub const MAPPED: usize = 2048;

global_asm!(
    r#"
    .set BASE, 0xffffffff80000000
    .set PAGES, 2048

    .pushsection .text.boot, "ax", @progbits
    .code32
    .globl pvh_start
pvh_start:
    cld
    movl $(pvh_gdt_low - BASE), %eax
    lgdt (%eax)
    ljmp $0x18, $(1f - BASE)
1:  movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $(boot_stack_top - BASE), %esp
    movl %ebx, %ebp                         # struct hvm_start_info

    # The hypercall page. Xen's leaves may stand behind those of another interface.
    movl $0x40000000, %esi
2:  movl %esi, %eax
    cpuid
    incl pvh_exits - BASE
    cmpl $0x566e6558, %ebx                  # "XenV"
    je 3f
    addl $0x100, %esi
    cmpl $0x40010000, %esi
    jb 2b
    ud2
3:  leal 2(%esi), %eax
    cpuid
    movl %ebx, %ecx
    movl $(hypercall_page - BASE), %eax
    xorl %edx, %edx
    wrmsr
    addl $2, pvh_exits - BASE

    # "st32" in the command line?
    movl 24(%ebp), %esi
    testl %esi, %esi
    jz 6f
4:  movl (%esi), %eax
    testb %al, %al
    jz 6f
    cmpl $0x32337473, %eax
    je 5f
    incl %esi
    jmp 4b
5:  call pvh_calls_32

    # Single entries, a table of them for each 2 MB, large pages up to 1 GB.
6:  movl $(pvh_l1 - BASE), %edi
    movl $0x63, %eax
    xorl %ecx, %ecx
7:  movl %eax, (%edi, %ecx, 8)
    addl $0x1000, %eax
    incl %ecx
    cmpl $PAGES, %ecx
    jb 7b
    movl $(pvh_l2 - BASE), %edi
    movl $(pvh_l1 - BASE + 0x63), %eax
    xorl %ecx, %ecx
8:  movl %eax, (%edi, %ecx, 8)
    addl $0x1000, %eax
    incl %ecx
    cmpl $(PAGES / 512), %ecx
    jb 8b
    movl $(PAGES / 512 * 0x200000 + 0xe3), %eax
9:  movl %eax, (%edi, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512, %ecx
    jb 9b
    movl $(pvh_l2 - BASE + 0x63), %eax
    movl %eax, pvh_l3 - BASE
    movl %eax, pvh_l3 - BASE + 510 * 8
    movl $(pvh_l3 - BASE + 0x63), %eax
    movl %eax, pvh_l4 - BASE
    movl %eax, pvh_l4 - BASE + 511 * 8

    # Physical address extension, FXSAVE and SSE exceptions; the tables; long mode and SYSCALL; paging, write protection.
    movl $0x620, %eax
    movl %eax, %cr4
    movl $(pvh_l4 - BASE), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x101, %eax
    wrmsr
    movl $0x80010033, %eax
    movl %eax, %cr0
    addl $4, pvh_exits - BASE               # CR4, RDMSR, WRMSR, CR0
    ljmp $0x08, $(1f - BASE)

    .code64
1:  movabsq $2f, %rax
    jmp *%rax
2:  leaq boot_stack_top(%rip), %rsp
    lgdt pvh_gdt_high(%rip)
    movl %ebp, %edi
    xorl %ebp, %ebp
    call pvh_main
3:  ud2
    jmp 3b

    .code32
    # Hypercalls from 32-bit code: their number is the stub's, ebx, ecx and edx are the arguments.
pvh_calls_32:
    xorl %ebx, %ebx                         # xen_version: the version
    xorl %ecx, %ecx
    call hypercall_page + 17 * 32
    movl %eax, pvh_answers - BASE
    movl $1, %ebx                           # and the text behind it
    movl $(pvh_answers - BASE + 16), %ecx
    call hypercall_page + 17 * 32
    movl %eax, pvh_answers - BASE + 4
    movl $4, %ebx                           # vcpu_op: the runstate, in 44 bytes
    xorl %ecx, %ecx
    movl $(pvh_answers - BASE + 32), %edx
    call hypercall_page + 24 * 32
    movl %eax, pvh_answers - BASE + 8
    movl $(pvh_multicall - BASE), %ebx      # multicall: xen_version, a yield
    movl $2, %ecx
    call hypercall_page + 13 * 32
    movl %eax, pvh_answers - BASE + 12
    movl pvh_multicall - BASE + 4, %eax
    movl %eax, pvh_answers - BASE + 80
    movl pvh_multicall - BASE + 32 + 4, %eax
    movl %eax, pvh_answers - BASE + 84
    addl $4, pvh_exits - BASE
    ret

    .code64
    # A hypercall from compatibility mode: number and three arguments, below 4 GB each. Physical addresses must be mapped as such.
    .globl pvh_call_32
pvh_call_32:
    pushq %rbx
    pushq %rbp
    movq %rsp, pvh_kept_stack(%rip)
    movl %edi, %eax
    movl %esi, %ebx
    xchgl %ecx, %edx                        # the second argument to ecx, the third to edx
    movl %esp, %ebp
    addl $0x80000000, %ebp                  # the stack's physical address
    movq %rbp, %rsp
    pushq $0x18
    pushq $(1f - BASE)
    lretq
    .code32
1:  movl $(hypercall_page - BASE + 5), %ebp
    call *%ebp
    ljmp $0x08, $(2f - BASE)
    .code64
2:  movabsq $3f, %rcx
    jmp *%rcx
3:  movq pvh_kept_stack(%rip), %rsp
    popq %rbp
    popq %rbx
    movslq %eax, %rax
    ret
    .popsection

    .pushsection .data.pvh, "aw", @progbits
    .balign 16
    # Nothing; the kernel's code and data; its 32-bit code; nothing; a program's data and code; the task state.
    .globl pvh_gdt
pvh_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
    .quad 0, 0x00cff3000000ffff, 0x00affb000000ffff, 0, 0
pvh_gdt_end:
    .balign 8
    .word 0
pvh_gdt_low:
    .word pvh_gdt_end - pvh_gdt - 1
    .long pvh_gdt - BASE
    .balign 8
pvh_gdt_high:
    .word pvh_gdt_end - pvh_gdt - 1
    .quad pvh_gdt
    # Task state: the stack for entries from user mode, two for double faults and NMIs, no ports.
    .balign 16
    .globl pvh_tss
pvh_tss:
    .long 0
    .quad trap_stack_top, 0, 0, 0
    .quad pvh_stacks + 4096, pvh_stacks + 8192, 0, 0, 0, 0, 0, 0
    .word 0, 104
    .balign 8
pvh_kept_stack:
    .quad 0
    .globl pvh_exits
pvh_exits:
    .quad 0
    # struct multicall_entry of a 32-bit guest: number, result, six arguments.
pvh_multicall:
    .long 17, -1, 0, 0, 0, 0, 0, 0
    .long 29, -1, 0, 0, 0, 0, 0, 0
    .globl pvh_answers
pvh_answers:
    .skip 96
    .popsection

    .pushsection .bss.pvh, "aw", @nobits
    .balign 4096
    .globl pvh_l1
    .globl pvh_l4
    .globl pvh_l3
pvh_l4: .skip 4096
pvh_l3: .skip 4096
pvh_l2: .skip 4096
pvh_l1: .skip PAGES * 8
pvh_stacks: .skip 8192
    .popsection
    "#,
    options(att_syntax)
);

/// Words of the answers to 32-bit hypercalls: four results, the version's text (4), the runstate (11 and one
/// more), the results in the multicall (2).
pub const ANSWERS: usize = 24;

// The page tables that the processor is started with, the descriptors, and what was counted and answered.
#[allow(missing_docs)]
extern "C" {
    pub static mut pvh_l4: [u64; 512];
    pub static pvh_l3: [u64; 512];
    pub static mut pvh_l1: [u64; MAPPED];
    pub static mut pvh_gdt: [u64; 9];
    pub static pvh_tss: [u8; 104];
    /// Exits so far, before anything counted them.
    pub static pvh_exits: u64;
    pub static pvh_answers: [u32; ANSWERS];
    /// Place in the table of interrupts and address of each entry, up to `pvh_entries_end`.
    pub static pvh_entries: [u64; 2];
    pub static pvh_entries_end: [u64; 2];
    /// Makes a hypercall of this number with these three arguments from 32-bit code.
    pub fn pvh_call_32(number: u32, a: u32, b: u32, c: u32) -> i64;
    /// Entry for `syscall` from user mode.
    pub fn pvh_syscall();
    /// Returns through the frame of rip, cs, rflags, rsp and ss that the stack holds.
    pub fn pvh_frame_return();
}
