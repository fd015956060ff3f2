//! The trap flag, debug registers and odd irets.

use super::Hostile;
use crate::abi::nr;
use crate::memory::Page;
use crate::{exits, hypercall, machine, trap};
use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

static WATCHED: Page = Page::new();

/// Single-steps over ordinary instructions, RDTSC, CPUID, a hypercall.
pub fn single_step(h: &mut Hostile) {
    trap::TRACE.store(h.random.below(30), Relaxed);
    let before = trap::caught().0;
    let kind = h.random.below(4);
    // SAFETY: nothing but registers and flags is changed; the debug exceptions
    // are tolerated, and the handler takes the flag away in the end.
    unsafe {
        asm!(
            "push rbx",
            "pushfq",
            "or qword ptr [rsp], 0x100",
            "popfq",
            "nop",
            "cmp {kind}, 1",
            "jb 2f",
            "je 3f",
            "cmp {kind}, 2",
            "je 4f",
            "rdtsc",
            "jmp 5f",
            "2: xor eax, eax",
            "cpuid",
            "jmp 5f",
            "3: mov eax, 17",      // xen_version
            "xor edi, edi",
            "xor esi, esi",
            "call r9",
            "jmp 5f",
            "4: mov rax, cr0",
            "5: nop",
            "pushfq",
            "and qword ptr [rsp], ~0x100",
            "popfq",
            "pop rbx",
            kind = in(reg) kind, inout("r9") hypercall::entry() => _,
            out("rax") _, out("rcx") _, out("rdx") _, out("rdi") _, out("rsi") _,
            out("r8") _, out("r10") _, out("r11") _,
        );
    }
    trap::TRACE.store(0, Relaxed);
    exits::passed();
    h.sum.mix(trap::caught().0 - before);
}

/// Random debug registers, some of them armed on our own data and code.
pub fn breakpoints(h: &mut Hostile) {
    let set_debug_register = machine::this().set_debug_register;
    let code = &raw const hypercall::hypercall_page as u64 + nr::XEN_VERSION * 32;
    for register in 0..4 {
        let address = match h.random.below(4) {
            0 => WATCHED.address() + h.random.below(4096),
            1 => code,
            2 => h.random.word(),
            _ => 0xffff_82d0_4000_0000 + h.random.below(1 << 20),
        };
        h.sum.mix(set_debug_register(register, address) as u64);
    }
    let control = match h.random.below(3) {
        0 => 0xff,
        1 => h.random.word() & 0xffff_ffff,
        _ => h.random.word(),
    };
    for (register, value) in [(6, h.random.word()), (7, control), (h.random.below(9), 0)] {
        h.sum.mix(set_debug_register(register, value) as u64);
    }
    for word in 0..16 {
        WATCHED.write(word * 7, word as u64);
    }
    hypercall::nothing();
    set_debug_register(7, 0);
    for register in 0..8 {
        h.sum.mix((machine::this().debug_register)(register) as u64);
    }
}

/// An iret hypercall (a PVH guest: the instruction) with odd flags, selectors, address or rflags. The stack
/// pointer stays good: without it no fault could be delivered.
pub fn irets(h: &mut Hostile) {
    let machine = machine::this();
    let kernel_cs = u64::from(machine.kernel.cs);
    let flags = [0, 8, 0x100, h.random.word()][h.random.below(4) as usize];
    let rip: u64 = match h.random.below(5) {
        0 => 0x8000_0000_0000_0000,
        1 => 0xdead_0000,
        2 => 0xffff_82d0_4000_0000,
        // Back to where it came from.
        _ => 0,
    };
    let cs = match h.random.below(4) {
        0 => h.random.word() & 0xfffc,
        1 => kernel_cs | h.random.below(3),
        2 => kernel_cs | h.random.word() << 32,
        _ => kernel_cs,
    };
    // Compatibility mode, by Xen's selector or a PVH guest's own, would lose the upper half of the stack pointer.
    let cs = if matches!(cs & 0xfffc, 0xe020 | 0x18) { 0 } else { cs };
    let ss = match h.random.below(3) {
        0 => h.random.word() & 0xffff,
        _ => u64::from(machine.kernel.ss),
    };
    // Any flags but direction and trap; upcalls on.
    let rflags = match h.random.below(2) {
        0 => (h.random.word() & 0x003f_faff & !0x400) | 0x202,
        _ => 0x202,
    };
    let before = trap::caught().0;
    // SAFETY: whether the iret works or faults, execution goes on at label 2
    // with the saved stack pointer; all registers are declared lost, rbx and
    // rbp are kept on the stack.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "mov [r9], rsp",
            "mov r13, rsp",
            "lea rax, [rip + 2f]",
            "mov [r8], rax",
            "test r10, r10",
            "cmovz r10, rax",
            "push r14",         // ss
            "push r13",         // rsp
            "push r15",         // rflags
            "push r12",         // cs
            "push r10",         // rip
            "test esi, esi",
            "jnz 3f",
            "push rdi",         // flags
            "push 0",
            "push 0",
            "push 0",
            "mov eax, {iret}",
            "syscall",
            "3:",
            "iretq",
            "2:",
            "pushfq",
            "and qword ptr [rsp], 0x202",
            "popfq",
            "pop rbp",
            "pop rbx",
            iret = const nr::IRET,
            inout("r8") trap::RESUME.as_ptr() => _,
            inout("r9") trap::RESUME_STACK.as_ptr() => _,
            inout("r10") rip => _, inout("r12") cs => _, inout("r14") ss => _,
            inout("r15") rflags => _, inout("rdi") flags => _,
            inout("rsi") u64::from(machine::is_pvh()) => _,
            out("rax") _, out("r13") _,
            clobber_abi("sysv64"),
        );
    }
    trap::set_resume(0);
    trap::RESUME_STACK.store(0, Relaxed);
    exits::passed();
    h.sum.mix(trap::caught().0 - before);
}
