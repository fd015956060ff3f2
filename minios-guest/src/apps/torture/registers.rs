//! A PVH guest's processor: model-specific registers, ports, CPUID, breakpoints, and the states of x87, SSE and AVX.

use super::cpu::probe;
use super::Torture;
use crate::memory::Page;
use crate::{exits, hypercall, machine, trap};
use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

/// What `$code` leaves in rax and rdx for these values of rax, rcx and rdx; what it makes of them after an exception is mixed in,
/// too.
macro_rules! run {
    ($t:expr, $code:literal, $rax:expr, $rcx:expr, $rdx:expr) => {{
        let (rax, rdx) = trap::attempt!($code, $rax, u64::from($rcx), $rdx);
        exits::passed();
        $t.sum.mix(trap::caught().0);
        $t.sum.mix(rax);
        $t.sum.mix(rdx);
        word(rax, rdx)
    }};
}

fn word(low: u64, high: u64) -> u64 {
    low & 0xffff_ffff | high << 32
}

/// Registers that may be written and read back: bases of segments and of system calls, memory types.
const WRITTEN: [u32; 6] = [0xc000_0100, 0xc000_0101, 0xc000_0102, 0xc000_0083, 0x277, 0x174];
/// Registers that are only read: APIC base, features, memory types, machine checks, microcode, extended features, and some that
/// there are not.
const READ: [u32; 14] = [
    0x1b,
    0x17,
    0x3a,
    0xfe,
    0x200,
    0x250,
    0x2ff,
    0x179,
    0x17a,
    0x1d9,
    0x8b,
    0xc000_0080,
    0xc000_1234,
    0x4000_0012,
];

/// Reads, writes and reads back.
pub fn models(t: &mut Torture) {
    for _ in 0..1 + t.random.below(4) {
        if t.random.one_in(2) {
            let register = READ[t.random.below(READ.len() as u64) as usize];
            run!(t, "rdmsr", 0, register, 0);
        } else {
            let register = WRITTEN[t.random.below(WRITTEN.len() as u64) as usize];
            let old = run!(t, "rdmsr", 0, register, 0);
            let new = match register {
                // Any order of the memory types that there are.
                0x277 => old.rotate_left(8 * t.random.below(8) as u32),
                // Some addresses are none, and fault.
                _ => t.random.word() >> t.random.below(40),
            };
            run!(t, "wrmsr", new & 0xffff_ffff, register, new >> 32);
            run!(t, "rdmsr", 0, register, 0);
            run!(t, "wrmsr", old & 0xffff_ffff, register, old >> 32);
        }
    }
}

const TSC: u32 = 0x10;

/// The TSC as a register.
pub fn clock_model(t: &mut Torture) {
    run!(t, "rdmsr", 0, TSC, 0);
}

/// Sets the TSC back to what it is, and a little ahead.
pub fn clock_written(t: &mut Torture) {
    let now = run!(t, "rdmsr", 0, TSC, 0);
    let then = now + t.random.below(1000);
    run!(t, "wrmsr", then & 0xffff_ffff, TSC, then >> 32);
    run!(t, "rdmsr", 0, TSC, 0);
}

/// Delay, keyboard, clock, serial line, PCI configuration, power management, and whatever.
const PORTS: [u64; 14] =
    [0x80, 0xed, 0x60, 0x64, 0x70, 0x71, 0x40, 0x43, 0x61, 0x3f8, 0x3fd, 0xcf8, 0xcfc, 0xb008];

fn port(t: &mut Torture) -> u64 {
    match t.random.below(4) {
        0 => t.random.below(1 << 16),
        _ => PORTS[t.random.below(PORTS.len() as u64) as usize],
    }
}

/// Reads and writes ports of all widths.
pub fn ports(t: &mut Torture) {
    for _ in 0..1 + t.random.below(4) {
        let (port, value) = (port(t), t.random.word() & 0xffff_ffff);
        match t.random.below(6) {
            0 => run!(t, "in al, dx", 0, 0u32, port),
            1 => run!(t, "in ax, dx", 0, 0u32, port),
            2 => run!(t, "in eax, dx", 0, 0u32, port),
            3 => run!(t, "out dx, al", value, 0u32, port),
            4 => run!(t, "out dx, ax", value, 0u32, port),
            _ => run!(t, "out dx, eax", value, 0u32, port),
        };
    }
}

static STRING: Page = Page::new();

/// The string forms, which Xen emulates.
pub fn port_strings(t: &mut Torture) {
    let (at, count) = (STRING.address(), 1 + t.random.below(64));
    let port = PORTS[t.random.below(3) as usize];
    // SAFETY: at most 64 bytes of the page, forwards.
    unsafe {
        if t.random.one_in(2) {
            asm!("rep insb", inout("rdi") at => _, inout("rcx") count => _, in("rdx") port);
        } else {
            asm!("rep outsb", inout("rsi") at => _, inout("rcx") count => _, in("rdx") port);
        }
    }
    exits::passed();
    (0..8).for_each(|word| t.sum.mix(STRING.read(word)));
}

/// CPUID: any leaf and subleaf of those that there are, and a few that there are not.
pub fn leaves(t: &mut Torture) {
    let (first, count) =
        [(0, 0x20), (0x4000_0000, 7), (0x8000_0000, 0x22), (0x4000_0100, 3)][t.random.below(4) as usize];
    let (leaf, subleaf) = (first + t.random.below(count) as u32, t.random.below(4) as u32);
    let (answer, _) = (machine::this().cpuid)(leaf, subleaf, false);
    exits::passed();
    answer.iter().for_each(|value| t.sum.mix(u64::from(*value)));
}

static WATCHED: Page = Page::new();

/// Breakpoints on data and on an instruction, single steps over what is an exit, and ICEBP.
pub fn breakpoints(t: &mut Torture) {
    let machine = machine::this();
    let set = machine.set_debug_register;
    trap::TOLERANT.store(1, Relaxed);
    match t.random.below(4) {
        0 => {
            // Writes, or reads and writes, of eight bytes.
            let kind = if t.random.one_in(2) { 0x9_0000 } else { 0xb_0000 };
            set(0, WATCHED.address() + 8 * t.random.below(4));
            set(7, 0x1 | kind);
            for _ in 0..1 + t.random.below(6) {
                let word = t.random.below(4) as usize;
                WATCHED.write(word, WATCHED.read(word).wrapping_add(1));
            }
        }
        1 => {
            set(1, &raw const hypercall::hypercall_page as u64 + crate::abi::nr::XEN_VERSION * 32);
            set(7, 0x4);
            (0..1 + t.random.below(3)).for_each(|_| hypercall::nothing());
        }
        2 => {
            trap::TRACE.store(t.random.below(30), Relaxed);
            // SAFETY: only registers and flags are changed; the handler takes the flag away in the end.
            unsafe {
                asm!(
                    "mov {keep}, rbx", "pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "rdtsc", "xor eax, eax",
                    "cpuid", "mov rax, cr0", "mov rax, dr7", "nop", "pushfq", "and qword ptr [rsp], ~0x100", "popfq",
                    "mov rbx, {keep}",
                    keep = out(reg) _, out("rax") _, out("rcx") _, out("rdx") _,
                );
            }
            trap::TRACE.store(0, Relaxed);
            exits::passed();
        }
        // SAFETY: a debug exception, which is tolerated.
        _ => unsafe { asm!(".byte 0xf1") },
    }
    trap::TOLERANT.store(0, Relaxed);
    set(7, 0);
    t.sum.mix(trap::caught().0);
    t.sum.mix((machine.debug_register)(6) as u64);
    set(6, 0);
}

static PATTERN: [Page; 2] = [const { Page::new() }; 2];

/// Makes one of several exits, with the processor's registers for floating point full.
fn leave(t: &mut Torture) {
    match t.random.below(5) {
        0 => hypercall::nothing(),
        1 => hypercall::sched_yield(),
        2 => t.sum.mix(crate::clock::tsc()),
        3 => super::events::block_with_timeout(t),
        _ => leaves(t),
    }
}

/// Loads SSE, AVX and x87 registers, leaves, and finds them as they were.
pub fn states(t: &mut Torture) {
    const OSXSAVE_AVX: u32 = 3 << 27;
    let avx = core::arch::x86_64::__cpuid(1).ecx & OSXSAVE_AVX == OSXSAVE_AVX;
    exits::passed();
    (0..64).for_each(|word| PATTERN[0].write(word, t.random.word()));
    // A number, or x87 would change it.
    PATTERN[0].write(0, PATTERN[0].read(0) & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    let (from, to) = (PATTERN[0].address(), PATTERN[1].address());
    // SAFETY: Rust keeps nothing in these registers: the target has no SSE.
    unsafe {
        asm!("fninit", "fld qword ptr [{from}]", from = in(reg) from);
        if avx {
            asm!(
                "vmovups ymm0, [{from}]", "vmovups ymm7, [{from} + 32]", "vmovups ymm8, [{from} + 64]",
                "vmovups ymm15, [{from} + 96]", from = in(reg) from,
            );
        } else {
            asm!(
                "movups xmm0, [{from}]", "movups xmm7, [{from} + 32]", "movups xmm8, [{from} + 64]",
                "movups xmm15, [{from} + 96]", from = in(reg) from,
            );
        }
    }
    leave(t);
    // SAFETY: as above.
    unsafe {
        if avx {
            asm!(
                "vmovups [{to}], ymm0", "vmovups [{to} + 32], ymm7", "vmovups [{to} + 64], ymm8",
                "vmovups [{to} + 96], ymm15", "vzeroall", to = in(reg) to,
            );
        } else {
            asm!(
                "movups [{to}], xmm0", "movups [{to} + 32], xmm7", "movups [{to} + 64], xmm8",
                "movups [{to} + 96], xmm15", to = in(reg) to,
            );
        }
        asm!("fstp qword ptr [{to} + 128]", to = in(reg) to);
    }
    for word in (0..16).filter(|word| avx || word % 4 < 2) {
        assert!(
            PATTERN[1].read(word) == PATTERN[0].read(word),
            "word {word} of the vector registers changed"
        );
        t.sum.mix(PATTERN[1].read(word));
    }
    assert!(PATTERN[1].read(16) == PATTERN[0].read(0), "st(0) changed");
}

/// CR0.TS: the first use raises an exception; and what XGETBV and XSAVE say.
pub fn lazy_states(t: &mut Torture) {
    const TASK_SWITCHED: u64 = 1 << 3;
    const OSXSAVE: u32 = 1 << 27;
    let cr0: u64;
    // SAFETY: one bit of the register is set and taken back; nothing but the probe uses the registers meanwhile.
    unsafe {
        asm!("mov {}, cr0", out(reg) cr0);
        asm!("mov cr0, {}", in(reg) cr0 | TASK_SWITCHED);
    }
    exits::passed();
    probe!("movaps xmm0, xmm1");
    trap::set_resume(0);
    let (count, [vector, ..]) = trap::caught();
    assert!(vector == 7, "no exception of the device");
    t.sum.mix(count);
    // SAFETY: takes the bit back.
    unsafe { asm!("clts") };
    exits::passed();
    if core::arch::x86_64::__cpuid(1).ecx & OSXSAVE != 0 {
        run!(t, "xgetbv", 0, 0u32, 0);
        // SAFETY: the page has room for x87, SSE and AVX state; it is aligned.
        unsafe { asm!("xsave [{}]", in(reg) STRING.address() + 1024, in("eax") 7, in("edx") 0) };
        t.sum.mix(STRING.read(128 + 64));
    }
    exits::passed();
}
