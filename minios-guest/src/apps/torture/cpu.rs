//! The processor: clock, computation, exceptions, CPUID, privileged instructions, user mode.

use super::Torture;
use crate::{clock, exits, machine, trap, user};
use core::arch::asm;

/// A few reads of the clock in its several forms.
pub fn clock_reads(t: &mut Torture) {
    for _ in 0..1 + t.random.below(6) {
        let value = match t.random.below(4) {
            0 => clock::now(),
            1 => clock::coarse() ^ clock::boot_time(),
            2 => clock::tscp(),
            _ => clock::tsc(),
        };
        t.sum.mix(value);
    }
}

/// Computes without an exit for a while; rarely for long.
pub fn compute(t: &mut Torture) {
    let limit = if t.random.one_in(50) { 3_000_000 } else { 20_000 };
    let steps = t.random.below(limit);
    t.sum.mix(super::super::compute::work(steps));
}

/// Runs `$instructions`, which end at label 2 by an exception or by themselves.
macro_rules! probe {
    ($($instructions:literal),+ $(, $name:ident = $value:expr)?) => {
        // SAFETY: the instructions write no memory of Rust's; an exception
        // resumes at label 2, and without one the resume address is dropped.
        unsafe {
            asm!(
                "lea rax, [rip + 2f]",
                "mov [r8], rax",
                $($instructions,)+
                "2:",
                inout("r8") trap::RESUME.as_ptr() => _,
                $($name = in(reg) $value,)?
                out("rax") _, out("rcx") _, out("rdx") _,
            )
        }
    };
}
pub(crate) use probe;

/// Provokes an exception and notes what the handler saw.
pub fn exceptions(t: &mut Torture) {
    match t.random.below(7) {
        0 => probe!("int3"),
        1 => probe!("ud2"),
        2 => probe!("mov rax, [{at}]", at = t.random.below(1 << 40) & !7),
        3 => probe!("mov [{at}], rax", at = t.random.below(1 << 40) & !7),
        4 => probe!("xor edx, edx", "xor ecx, ecx", "mov eax, 1", "div ecx"),
        5 => probe!("mov rax, [{at}]", at = 0x8000_0000_0000_0000_u64 | t.random.word() >> 20),
        _ => probe!("int 0x80"),
    }
    trap::set_resume(0);
    exits::look();
    let (count, last) = trap::caught();
    t.sum.mix(count);
    last.iter().for_each(|value| t.sum.mix(*value));
}

/// CPUID, as the CPU answers it and as Xen does when asked by its prefix.
pub fn cpuid(t: &mut Torture) {
    const LEAVES: [u32; 14] = [
        0,
        1,
        2,
        4,
        7,
        0xb,
        0xd,
        0x8000_0000,
        0x8000_0001,
        0x8000_0008,
        0x4000_0000,
        0x4000_0001,
        0x4000_0002,
        0x4000_0003,
    ];
    let leaf = LEAVES[t.random.below(LEAVES.len() as u64) as usize];
    let subleaf = t.random.below(3) as u32;
    let forced = leaf >> 28 == 4 || t.random.one_in(2);
    let (answer, was_exit) = (machine::this().cpuid)(leaf, subleaf, forced);
    if was_exit {
        exits::passed();
    }
    answer.iter().for_each(|value| t.sum.mix(u64::from(*value)));
}

/// Instructions that Xen emulates for a PV kernel.
pub fn privileged_reads(t: &mut Torture) {
    let value: u64;
    // SAFETY: reads of control registers and of MSRs that Xen emulates.
    unsafe {
        match t.random.below(5) {
            0 => asm!("mov {}, cr0", out(reg) value),
            1 => asm!("mov {}, cr3", out(reg) value),
            2 => asm!("mov {}, cr4", out(reg) value),
            choice => {
                let msr: u32 = if choice == 3 { 0xc000_0100 } else { 0xc000_0080 };
                let (low, high): (u32, u32);
                asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high);
                value = u64::from(high) << 32 | u64::from(low);
            }
        }
    }
    exits::passed();
    t.sum.mix(value);
}

/// Writes and reads back a debug register (no breakpoint is armed).
pub fn debug_registers(t: &mut Torture) {
    let register = t.random.below(4);
    let value = t.random.below(1 << 46);
    let set = (machine::this().set_debug_register)(register, value);
    let got = (machine::this().debug_register)(register);
    t.sum.mix(set as u64);
    t.sum.mix(got as u64);
}

/// Sets the FS base, which this kernel does not use.
pub fn segment_bases(t: &mut Torture) {
    let base = t.random.below(1 << 46);
    let result = (machine::this().set_fs_base)(base);
    t.sum.mix(result as u64);
}

/// Runs a program in user mode that makes system calls and faults.
pub fn user_mode(t: &mut Torture) {
    let (seed, rounds) = (t.random.word(), 1 + t.random.below(20));
    match user::run(seed, rounds) {
        Some(checksum) => t.sum.mix(checksum),
        None => panic!("Xen refused the user address space"),
    }
}
