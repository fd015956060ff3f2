//! `spin KIND [ticks=N] [ms=M]`: loops that never leave, until an event comes.
//!
//! N times (20 unless told) the timer is set to M milliseconds (1) from now, and
//! the guest goes round in a loop of this kind, without an exit, until its upcall
//! handler has run. What the loops change goes into a sum that is printed.
//!
//! Those that a replay counts through multiply beside it, a round taking a tenth of a microsecond: each round stops the
//! replay, for a thousand times as long as a bare one takes.

use crate::abi::{nr, TrapInfo, FLAT_KERNEL_CS};
use crate::clock::{self, MILLISECOND};
use crate::memory::Page;
use crate::{cmdline, event, exits, hypercall, machine, say, shared, trap, user};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that some loops keep, each in a page of its own.
static COUNTER: [Page; 2] = [const { Page::new() }; 2];
/// What `rep movs` moves.
static BLOCK: [Page; 512] = [const { Page::new() }; 512];

type Loop = fn(u64) -> u64;

/// Multiplies the operand `one` by itself, so many times.
macro_rules! multiply {
    ($times:literal) => {
        concat!(".rept ", $times, "\nimul {one}, {one}\n.endr")
    };
}

const KINDS: &[(&str, Loop)] = &[
    ("still", still),
    ("jump", jump),
    ("register", register),
    ("memory", memory),
    ("hidden", hidden),
    ("nested", nested),
    ("wide", wide),
    ("calls", calls),
    ("flags", flags),
    ("rep", rep),
    ("x87", x87),
    ("sse", sse),
    ("avx", avx),
    ("masked", masked),
    ("port", port),
    ("user", in_user_mode),
    ("rewrite", rewriting),
    ("service", calling),
    ("breakpoints", breakpoints),
    ("all-breakpoints", all_breakpoints),
    ("step", step),
    ("soft", soft),
    ("deaf", deaf),
];

/// Runs the application.
pub fn run() {
    let name = cmdline::operand().unwrap_or("still");
    let Some((_, body)) = KINDS.iter().find(|(known, _)| *known == name) else {
        say!("spin: no kind {name}");
        return;
    };
    if name == "avx" && !has_avx() {
        say!("spin: no AVX here");
        return;
    }
    let ticks = cmdline::number("ticks").unwrap_or(20);
    let delay = cmdline::number("ms").unwrap_or(1) * MILLISECOND;
    say!("spin: {name} begins");
    let begin = clock::now();
    let mut sum = 0u64;
    for _ in 0..ticks {
        let start = event::latched(clock::timer_port());
        hypercall::set_timer(clock::now() + delay);
        sum = sum.rotate_left(7) ^ body(start);
    }
    let ms = (clock::now() - begin) / MILLISECOND;
    say!("spin: {name} ends, {ticks} ticks in {ms} ms, sum {sum:016x}");
}

/// What the loops look at: it counts when the timer's event was taken, in the upcall or at an exit.
fn seen() -> *mut u64 {
    event::latch(clock::timer_port())
}

/// Whether it was taken already, before the loop began.
fn is_over(start: u64) -> bool {
    event::latched(clock::timer_port()) != start
}

/// Nothing changes at all.
fn still(start: u64) -> u64 {
    // SAFETY: reads the handler's counter.
    unsafe {
        asm!("2: pause", "cmp [{seen}], {start}", "je 2b", seen = in(reg) seen(), start = in(reg) start)
    };
    0
}

global_asm!(
    ".pushsection .text",
    ".globl spin_forever, spin_over, spin_soft",
    "spin_forever: jmp spin_forever",
    "spin_over: ret",
    "spin_soft: pop rcx",
    "pop r11",
    // Xen has taken the privilege level out of the selectors, by which it tells the kernel.
    "or qword ptr [rsp + 8], 3",
    "or qword ptr [rsp + 32], 3",
    "iretq",
    ".popsection"
);

extern "C" {
    fn spin_forever();
    static spin_over: u8;
}

/// One instruction, which the upcall handler leaves.
fn jump(start: u64) -> u64 {
    if is_over(start) {
        return 0;
    }
    trap::leave_at(spin_forever as *const () as u64, &raw const spin_over as u64);
    // SAFETY: returns when the handler has changed where it goes on.
    unsafe { spin_forever() };
    trap::leave_at(0, 0);
    0
}

/// A register counts.
fn register(start: u64) -> u64 {
    let mut count = 0u64;
    // SAFETY: reads the handler's counter.
    unsafe {
        asm!("2: inc {count}", multiply!(50), "cmp [{seen}], {start}", "je 2b",
            count = inout(reg) count, one = inout(reg) 1u64 => _, seen = in(reg) seen(), start = in(reg) start);
    }
    count
}

/// A word counts that a register points to; the registers are the same each time.
fn memory(start: u64) -> u64 {
    // SAFETY: the page is this loop's.
    unsafe {
        asm!("2: inc qword ptr [{at}]", "cmp [{seen}], {start}", "je 2b",
            at = in(reg) COUNTER[0].address(), seen = in(reg) seen(), start = in(reg) start);
    }
    COUNTER[0].read(0)
}

/// The same, and no register points to the page.
fn hidden(start: u64) -> u64 {
    // SAFETY: as above.
    unsafe {
        asm!("2: inc qword ptr [rip + {at}]", "cmp [{seen}], {start}", "je 2b",
            at = sym COUNTER, seen = in(reg) seen(), start = in(reg) start);
    }
    COUNTER[0].read(0)
}

/// A register counts to a thousand, over and over; how often, is in memory that no register points to.
fn nested(start: u64) -> u64 {
    // SAFETY: as above.
    unsafe {
        asm!("2: mov {inner:e}, 1000", "3:", multiply!(50), "dec {inner:e}", "jnz 3b",
            "inc qword ptr [rip + {at}]", "cmp [{seen}], {start}", "je 2b",
            at = sym COUNTER, one = inout(reg) 1u64 => _, seen = in(reg) seen(), start = in(reg) start, inner = out(reg) _);
    }
    COUNTER[0].read(0)
}

/// A word that no register points to counts to more than the hits that a place is proven with, over and
/// over; how often, is in a page that a register points to.
fn wide(start: u64) -> u64 {
    // SAFETY: as above.
    unsafe {
        asm!("2:", multiply!(200), "inc qword ptr [rip + {inner}]",
            "cmp qword ptr [rip + {inner}], 20000", "jne 3f", "mov qword ptr [rip + {inner}], 0", "inc qword ptr [{outer}]",
            "3: cmp [{seen}], {start}", "je 2b",
            inner = sym COUNTER, outer = in(reg) COUNTER[1].address(), one = inout(reg) 1u64 => _,
            seen = in(reg) seen(), start = in(reg) start);
    }
    COUNTER[0].read(0) ^ COUNTER[1].read(0) << 32
}

/// Calls of a function that works for a while: there are addresses that are seldom passed through.
fn calls(start: u64) -> u64 {
    let mut sum = 1u64;
    while !is_over(start) {
        sum = deeper(sum, 3);
    }
    sum
}

/// Some of what [`calls`] does, for others.
pub(crate) fn work_with_calls(sum: u64) -> u64 {
    deeper(sum, 1)
}

#[inline(never)]
fn deeper(sum: u64, left: u32) -> u64 {
    let mut sum = sum;
    for round in 0..20 {
        sum = sum.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round;
        if left > 0 {
            sum = core::hint::black_box(deeper(sum, left - 1));
        }
    }
    sum
}

/// Only the carry flag changes.
fn flags(start: u64) -> u64 {
    // SAFETY: reads the handler's counter; rcx is 0 until it changes, without a flag being touched.
    unsafe {
        asm!("2: cmc", "mov rcx, [{seen}]", "lea rcx, [rcx + {minus}]", "jrcxz 2b",
            seen = in(reg) seen(), minus = in(reg) start.wrapping_neg(), out("rcx") _);
    }
    0
}

/// One string instruction moves two megabytes.
fn rep(start: u64) -> u64 {
    let block = BLOCK[0].address();
    let bytes = 511 * 4096u64;
    while !is_over(start) {
        BLOCK[0].write(0, BLOCK[0].read(0).wrapping_add(1));
        // SAFETY: within the block, from its first pages to the next, forwards.
        unsafe {
            asm!("rep movsb", inout("rsi") block => _, inout("rdi") block + 4096 => _, inout("rcx") bytes => _);
        }
    }
    BLOCK[511].read(0)
}

/// Only an x87 register changes.
fn x87(start: u64) -> u64 {
    let mut sum = 0f64;
    // SAFETY: loads, adds and stores one value; the stack is empty again.
    unsafe {
        asm!("fld1", "fldz", "2: fadd st(0), st(1)", multiply!(50), "cmp [{seen}], {start}", "je 2b", "fstp qword ptr [{sum}]", "fstp st(0)",
            seen = in(reg) seen(), start = in(reg) start, sum = in(reg) &raw mut sum,
            one = inout(reg) 1u64 => _,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _);
    }
    sum.to_bits()
}

/// Only an SSE register changes.
fn sse(start: u64) -> u64 {
    let sum: u64;
    // SAFETY: uses two registers.
    unsafe {
        asm!("pxor xmm0, xmm0", "pcmpeqd xmm1, xmm1", "2: psubq xmm0, xmm1", "cmp [{seen}], {start}", "je 2b",
            "movq {sum}, xmm0", seen = in(reg) seen(), start = in(reg) start, sum = out(reg) sum,
            out("xmm0") _, out("xmm1") _);
    }
    sum
}

/// Only the upper half of an AVX register changes.
fn avx(start: u64) -> u64 {
    let sum: u64;
    // SAFETY: `run` looked whether there is AVX. The halves change places by way of two other registers.
    unsafe {
        asm!("vxorps ymm0, ymm0, ymm0", "vpxor xmm2, xmm2, xmm2", "pcmpeqd xmm1, xmm1", "2: vextractf128 xmm2, ymm0, 1",
            "vpsubq xmm2, xmm2, xmm1", "vinsertf128 ymm0, ymm0, xmm2, 1", "vpxor xmm2, xmm2, xmm2",
            "cmp [{seen}], {start}", "je 2b", "vextractf128 xmm0, ymm0, 1", "movq {sum}, xmm0", "vzeroupper",
            seen = in(reg) seen(), start = in(reg) start, sum = out(reg) sum,
            out("xmm0") _, out("xmm1") _, out("xmm2") _);
    }
    sum
}

fn has_avx() -> bool {
    let needed = 3 << 27; // OSXSAVE and AVX
                          // CPUID is emulated: an exit, as many as in the recording.
    let ecx = core::arch::x86_64::__cpuid(1).ecx;
    exits::passed();
    if ecx & needed != needed {
        return false;
    }
    // SAFETY: OSXSAVE says that there is such an instruction.
    let xcr0 = unsafe {
        let low: u32;
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _);
        low
    };
    xcr0 & 6 == 6
}

/// Upcalls are masked for long, and unmasked by a store.
fn masked(start: u64) -> u64 {
    event::mask_upcalls();
    crate::apps::compute::work(20_000_000);
    event::allow_upcalls();
    still(start)
}

/// The timer's port is masked for long, and unmasked by a store.
fn port(start: u64) -> u64 {
    let port = clock::timer_port();
    event::mask_port(port);
    crate::apps::compute::work(20_000_000);
    if let Some(word) = shared::info().mask.get(port as usize / 64) {
        word.fetch_and(!(1 << (port % 64)), Relaxed);
    }
    still(start)
}

/// In user mode a register counts.
fn in_user_mode(start: u64) -> u64 {
    in_program(user::Spin::Register, start)
}

fn in_program(kind: user::Spin, start: u64) -> u64 {
    // An event that comes from here on, at the exit that leads there, makes an upcall there.
    if is_over(start) {
        0
    } else {
        user::spin(kind).unwrap_or(0)
    }
}

/// In user mode the program changes the page that it runs in.
fn rewriting(start: u64) -> u64 {
    in_program(user::Spin::OwnPage, start)
}

/// In user mode the program makes one system call after the other.
fn calling(start: u64) -> u64 {
    in_program(user::Spin::Calls, start)
}

fn debug_register(number: u64, value: u64) {
    (machine::this().set_debug_register)(number, value);
}

/// Some debug registers are the guest's own.
fn breakpoints(start: u64) -> u64 {
    with_breakpoints(0x5, start)
}

/// All of them are: nothing can be forced. The loop ends by itself; the timer is set once the last hypercall before it is near, so that
/// its event finds the loop begun.
fn all_breakpoints(_: u64) -> u64 {
    for number in 0..4 {
        debug_register(number, COUNTER[1].address());
    }
    debug_register(7, 0x55);
    hypercall::set_timer(clock::now() + 30 * MILLISECOND);
    let sum = crate::apps::compute::work(100_000_000);
    debug_register(7, 0);
    sum
}

fn with_breakpoints(enabled: u64, start: u64) -> u64 {
    debug_register(0, COUNTER[1].address());
    debug_register(1, COUNTER[1].address() + 8);
    debug_register(7, enabled);
    let sum = memory(start);
    debug_register(7, 0);
    sum
}

/// Every instruction is an exception.
fn step(start: u64) -> u64 {
    trap::TOLERANT.store(1, Relaxed);
    trap::TRACE.store(u64::MAX, Relaxed);
    let mut count = 0u64;
    // SAFETY: the handler of debug exceptions lets them go on; the flag is taken back at the end.
    unsafe {
        asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "2: inc {count}", "cmp [{seen}], {start}", "je 2b",
            "pushfq", "and qword ptr [rsp], ~0x100", "popfq",
            count = inout(reg) count, seen = in(reg) seen(), start = in(reg) start);
    }
    trap::TRACE.store(0, Relaxed);
    trap::TOLERANT.store(0, Relaxed);
    count
}

extern "C" {
    fn spin_soft();
}

/// Software interrupts that Xen hands to the kernel without counting, and whose handler returns by itself.
fn soft(start: u64) -> u64 {
    let entry = |vector, address| TrapInfo { vector, flags: 3, cs: FLAT_KERNEL_CS, address };
    let table =
        [entry(128, spin_soft as *const () as u64), TrapInfo { vector: 0, flags: 0, cs: 0, address: 0 }];
    // SAFETY: the table is alive during the call and ends with an empty entry; its handler leaves all registers as they were.
    unsafe { hypercall::call(nr::SET_TRAP_TABLE, [table.as_ptr() as u64, 0, 0, 0, 0]) };
    // SAFETY: reads the handler's counter.
    unsafe {
        asm!("2: int 0x80", "cmp [{seen}], {start}", "je 2b", seen = in(reg) seen(), start = in(reg) start)
    };
    trap::init();
    0
}

/// Upcalls are masked, and stay so: only a stop ends this.
fn deaf(start: u64) -> u64 {
    static NEVER: AtomicU64 = AtomicU64::new(0);
    event::mask_upcalls();
    // SAFETY: reads a word that nobody writes.
    unsafe {
        asm!("2: pause", "cmp [{never}], {zero}", "je 2b", never = in(reg) NEVER.as_ptr(), zero = in(reg) 0u64)
    };
    start
}
