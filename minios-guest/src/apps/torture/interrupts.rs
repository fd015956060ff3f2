//! A PVH guest's interrupts: the shadow behind some instructions, halts, and the timer of its local APIC.

use super::Torture;
use crate::clock::{self, MILLISECOND};
use crate::memory::Page;
use crate::{event, exits, hypercall, trap, witness};
use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

/// Its address range takes the mapping of the local APIC's registers.
static APIC: Page = Page::new();
/// Where they are: as after a reset.
const APIC_ADDRESS: u64 = 0xfee0_0000;
/// Present, writable, accessed, dirty, not cached.
const DEVICE: u64 = 0x7b;
const VECTOR: u32 = 0x40;
const PERIODIC: u32 = 1 << 17;
const DEADLINE: u32 = 2 << 17;
const MASKED: u32 = 1 << 16;
/// Registers, in bytes from the first.
const ID: usize = 0x20;
const VERSION: usize = 0x30;
const PRIORITY: usize = 0x80;
const END: usize = 0xb0;
const SPURIOUS: usize = 0xf0;
const REQUESTED: usize = 0x200;
const TIMER: usize = 0x320;
const INITIAL_COUNT: usize = 0x380;
const CURRENT_COUNT: usize = 0x390;
const DIVIDE: usize = 0x3e0;

/// Notifies the port and, as that is taken by the look after the call, once more without one: what comes now is due.
fn notify_unseen(port: u32) {
    hypercall::notify(port);
    // SAFETY: Xen reads the port number, which outlives the call.
    unsafe {
        hypercall::raw(
            crate::abi::nr::EVENT_CHANNEL_OP,
            [crate::abi::evtchnop::SEND, &raw const port as u64, 0, 0, 0],
        )
    };
}

/// Makes an upcall due while interrupts are off; then they go on, and an instruction behind that is an exit, or sets a shadow of
/// its own. How often the handler had run is read behind it.
pub fn shadow(t: &mut Torture) {
    event::mask_upcalls();
    notify_unseen(t.ports.own());
    let upcalls = witness::UPCALLS.as_ptr();
    let (first, second): (u64, u64);
    // SAFETY: registers that are declared lost, and the selectors as they were.
    unsafe {
        match t.random.below(6) {
            0 => asm!("sti", "rdtsc", "mov {a}, [{u}]", "nop", "mov {b}, [{u}]", u = in(reg) upcalls,
                a = out(reg) first, b = out(reg) second, out("rax") _, out("rdx") _),
            1 => {
                asm!("mov {keep}, rbx", "xor eax, eax", "sti", "cpuid", "mov {a}, [{u}]", "nop", "mov {b}, [{u}]",
                "mov rbx, {keep}", u = in(reg) upcalls, a = out(reg) first, b = out(reg) second, keep = out(reg) _,
                out("rax") _, out("rcx") _, out("rdx") _)
            }
            2 => {
                asm!("mov eax, 17", "xor edi, edi", "xor esi, esi", "sti", "call r9", "mov {a}, [{u}]", "nop",
                "mov {b}, [{u}]", u = in(reg) upcalls, a = out(reg) first, b = out(reg) second,
                inout("r9") hypercall::entry() => _, out("rax") _, out("rdi") _, out("rsi") _, out("rcx") _,
                out("rdx") _, out("r8") _, out("r10") _, out("r11") _)
            }
            3 => asm!("mov {s:e}, ss", "sti", "mov ss, {s:e}", "mov {a}, [{u}]", "nop", "mov {b}, [{u}]",
                s = out(reg) _, u = in(reg) upcalls, a = out(reg) first, b = out(reg) second),
            4 => {
                asm!("pushfq", "or qword ptr [rsp], 0x200", "popfq", "mov {a}, [{u}]", "nop", "mov {b}, [{u}]",
                u = in(reg) upcalls, a = out(reg) first, b = out(reg) second)
            }
            // Off again before the shadow ends: nothing comes.
            _ => asm!("sti", "cli", "mov {a}, [{u}]", "sti", "nop", "mov {b}, [{u}]",
                u = in(reg) upcalls, a = out(reg) first, b = out(reg) second),
        }
    }
    exits::passed();
    t.sum.mix(first);
    t.sum.mix(second);
    t.sum.mix(event::total());
    event::unmask_upcalls();
}

/// Halts that an event ends which is due already, the timer, or one that is past.
pub fn halt(t: &mut Torture) {
    let timer = clock::timer_port();
    let before = event::latched(timer);
    event::mask_upcalls();
    match t.random.below(3) {
        0 => {
            let port = t.ports.own();
            notify_unseen(port);
            event::block();
            t.sum.mix(event::latched(port));
        }
        choice => {
            let now = clock::now();
            let deadline =
                if choice == 1 { now + t.random.below(2) * MILLISECOND } else { now - MILLISECOND };
            hypercall::set_timer(deadline);
            event::wait_port(timer, before);
        }
    }
    event::unmask_upcalls();
    t.sum.mix(clock::now());
    t.sum.mix(witness::UPCALLS.load(Relaxed));
}

fn read(register: usize) -> u32 {
    // SAFETY: the registers are mapped there.
    let value = unsafe { ((APIC.address() as usize + register) as *const u32).read_volatile() };
    exits::passed();
    value
}

fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { ((APIC.address() as usize + register) as *mut u32).write_volatile(value) };
    exits::passed();
}

/// Maps the registers and switches the APIC on.
fn prepare() {
    if trap::APIC_EOI.load(Relaxed) == 0 {
        APIC.remap(APIC_ADDRESS | DEVICE);
        trap::APIC_EOI.store(APIC.address() + END as u64, Relaxed);
        write(SPURIOUS, 0x1ff);
        // By one.
        write(DIVIDE, 0xb);
    }
}

/// Registers that hold still, and the counter, which does not.
pub fn apic_registers(t: &mut Torture) {
    prepare();
    for register in [ID, VERSION, PRIORITY, SPURIOUS, REQUESTED, TIMER, DIVIDE, INITIAL_COUNT] {
        t.sum.mix(u64::from(read(register)));
    }
    let value = t.random.below(16) as u32;
    write(PRIORITY, value << 4 & 0x30);
    t.sum.mix(u64::from(read(PRIORITY)));
    write(PRIORITY, 0);
    // Its interrupt is masked: only the count runs.
    write(TIMER, MASKED | VECTOR);
    write(INITIAL_COUNT, 1 + t.random.below(1 << 28) as u32);
    for _ in 0..1 + t.random.below(4) {
        t.sum.mix(u64::from(read(CURRENT_COUNT)));
    }
    write(INITIAL_COUNT, 0);
    t.sum.mix(u64::from(read(CURRENT_COUNT)));
}

/// Waits until the timer has interrupted so often.
fn wait_ticks(t: &mut Torture, until: u64) {
    while trap::APIC_TICKS.load(Relaxed) < until {
        event::mask_upcalls();
        if trap::APIC_TICKS.load(Relaxed) < until {
            event::block();
        } else {
            event::unmask_upcalls();
        }
    }
    t.sum.mix(clock::now());
}

/// One interrupt, up to two milliseconds from now, waited for by halts or by reads of the counter.
pub fn apic_once(t: &mut Torture) {
    prepare();
    let before = trap::APIC_TICKS.load(Relaxed);
    write(TIMER, VECTOR);
    // Of ten nanoseconds each.
    write(INITIAL_COUNT, 1 + t.random.below(200_000) as u32);
    if t.random.one_in(2) {
        while trap::APIC_TICKS.load(Relaxed) == before {
            t.sum.mix(u64::from(read(CURRENT_COUNT)));
        }
    }
    wait_ticks(t, before + 1);
}

/// Some interrupts, one each ten milliseconds, while computing and halting. A guest of a machine so slow that a tick comes before the
/// one before has been handled does nothing else any more.
pub fn apic_periodic(t: &mut Torture) {
    prepare();
    let before = trap::APIC_TICKS.load(Relaxed);
    write(TIMER, PERIODIC | VECTOR);
    write(INITIAL_COUNT, 1_000_000);
    for tick in 1..=1 + t.random.below(4) {
        t.sum.mix(super::super::compute::work(t.random.below(50_000)));
        wait_ticks(t, before + tick);
    }
    write(INITIAL_COUNT, 0);
    write(TIMER, MASKED | VECTOR);
    t.sum.mix(trap::APIC_TICKS.load(Relaxed));
}

/// An interrupt when the TSC has come to a value, where the processor offers that.
pub fn deadline(t: &mut Torture) {
    const OFFERED: u32 = 1 << 24;
    const TSC_DEADLINE: u32 = 0x6e0;
    let features = core::arch::x86_64::__cpuid(1).ecx;
    exits::passed();
    if features & OFFERED == 0 {
        return;
    }
    prepare();
    let before = trap::APIC_TICKS.load(Relaxed);
    write(TIMER, DEADLINE | VECTOR);
    let until = clock::tsc() + t.random.below(2_000_000);
    // SAFETY: the register exists; the interrupt has an entry.
    unsafe {
        asm!("wrmsr", in("ecx") TSC_DEADLINE, in("eax") until as u32, in("edx") (until >> 32) as u32);
    }
    exits::passed();
    wait_ticks(t, before + 1);
    write(TIMER, MASKED | VECTOR);
}
