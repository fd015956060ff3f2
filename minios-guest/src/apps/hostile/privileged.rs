//! Instructions that Xen emulates or refuses, with odd operands: model-specific
//! registers, ports, control registers. What they change of a PVH guest's processor is put back after each step.

use super::Hostile;
use crate::abi::nr;
use crate::memory::Page;
use crate::{exits, hypercall, machine, trap};

static SOMEWHERE: Page = Page::new();

/// Registers that Xen has an answer of its own for: clock, APIC base, features,
/// machine checks, memory types, bases, debugging, performance counters, Xen's.
const MSRS: [u32; 22] = [
    0x10,
    0x17,
    0x1b,
    0x48,
    0x8b,
    0xc1,
    0xce,
    0xe7,
    0x174,
    0x179,
    0x186,
    0x1a0,
    0x1d9,
    0x277,
    0x400,
    0xc000_0080,
    0xc000_0100,
    0xc000_0101,
    0xc000_0103,
    0xc001_0015,
    0xc001_1027,
    0x4000_0000,
];
/// Timer, speaker, clock, serial line, PCI configuration, APM, power management.
const PORTS: [u16; 12] = [0x40, 0x42, 0x43, 0x61, 0x70, 0x71, 0x3f8, 0x3fd, 0xcf8, 0xcfc, 0xb2, 0x608];

/// Runs one instruction, `$code`, on rax, rcx and rdx; returns rax and rdx.
/// An exception leaves them as they were.
macro_rules! run {
    ($code:literal, $rax:expr, $rcx:expr, $rdx:expr) => {{
        let before = trap::caught().0;
        let registers = trap::attempt!($code, $rax, $rcx, $rdx);
        match trap::caught().0 - before {
            // Emulated, or not even an exit.
            0 => exits::passed(),
            _ => exits::look(),
        }
        registers
    }};
}

/// One such instruction.
pub fn instruction(h: &mut Hostile) {
    let msr = match h.random.below(4) {
        0 => h.random.word() as u32 >> h.random.below(32),
        _ => MSRS[h.random.below(MSRS.len() as u64) as usize] + h.random.below(3) as u32,
    };
    let port = match h.random.below(3) {
        0 => h.random.below(1 << 16),
        _ => u64::from(PORTS[h.random.below(PORTS.len() as u64) as usize]),
    };
    let word = h.random.word();
    let control = if machine::is_pvh() { machine::pvh::control() } else { 0 };
    let before = trap::caught().0;
    let (rax, rdx) = match h.random.below(14) {
        0..=3 => run!("rdmsr", 0, u64::from(msr), 0),
        // Xen's own would write a hypercall page where it is told to.
        4 if msr >> 28 != 4 => run!("wrmsr", word & 0xffff_ffff, u64::from(msr), word >> 32 & 0x7fff),
        5 => run!("in al, dx", 0, 0, port),
        6 => run!("in eax, dx", 0, 0, port),
        7 => run!("out dx, al", word & 0xff, 0, port),
        8 => run!("rdpmc", 0, word & 7, 0),
        9 => run!("xgetbv", 0, word & 3, 0),
        10 => run!("xsetbv", word & 7, word >> 8 & 1, 0),
        // Bits that a PV guest may try: debugging extensions, time-stamp disable.
        11 => run!("mov cr4, rax", control & !0xc | word & 0xc, 0, 0),
        12 => run!("invlpg [rcx]", 0, SOMEWHERE.address() + (word & 0xfff), 0),
        _ => iopl(h),
    };
    h.sum.mix(trap::caught().0 - before);
    h.sum.mix(rax);
    h.sum.mix(rdx);
}

/// Changes the level that I/O instructions ask for; `cli` and `sti` with it.
fn iopl(h: &mut Hostile) -> (u64, u64) {
    let mut level = h.random.below(5) as u32;
    let result = hypercall::op(nr::PHYSDEV_OP, 6, &mut level);
    run!("cli", 0, 0, 0);
    run!("sti", 0, 0, 0);
    (result as u64, u64::from(level))
}
