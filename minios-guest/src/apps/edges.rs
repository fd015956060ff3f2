//! `edges WHAT`: what happens rarely or between two exits, and must not show, or is known to show.
//!
//! `long`: long hypercalls that timers preempt, with a breakpoint on the instruction, and single-stepped.
//! `values [entries=N] [rounds=M]`: multicalls of N entries, each of which asks Xen for a value.
//! `wallclock`: prints the version of the wallclock, and again after each of two keys.
//! `reconnect`: asks xenstored for a new connection, and goes on when dom0 has introduced the domain anew.
//! `selectors [turns=N]`: looks for what interrupts of the host do to null selectors, for N turns of a loop.
//! `segments [turns=N]`: the same for a selector whose descriptor is gone.
//! `tables [turns=N]`: whether a page of the LDT can be made writable, at once and after N turns with a selector loaded.
//! `failsafe [hits=N]`: long hypercalls with such a selector loaded, until N of them were interrupted by the failsafe callback.
//! `lists`: multicalls that timers preempt and whose list cannot be written to.
//! `offline`: prints a page's frame, and after a key gives that frame to Xen and takes another one, a few times.

use super::pv_only;
use crate::abi::{mmuext, nr, vcpuop, MmuextOp, DOMID_SELF};
use crate::memory::{Page, PTE_RO, PTE_RW};
use crate::{clock, cmdline, console, event, exits, hypercall, machine, memory, say, shared, trap, xenstore};
use core::arch::{asm, global_asm};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

mod lists;

/// Runs the application.
pub fn run() {
    match cmdline::operand() {
        Some("long") => pv_only("edges long", long),
        Some("values") => values(),
        Some("reconnect") => reconnect(),
        Some("wallclock") => wallclock(),
        Some("selectors") => pv_only("edges selectors", selectors),
        Some("segments") => pv_only("edges segments", segments),
        Some("tables") => pv_only("edges tables", tables),
        Some("failsafe") => pv_only("edges failsafe", failsafe),
        Some("lists") => pv_only("edges lists", lists::run),
        Some("offline") => pv_only("edges offline", offline),
        _ => say!("edges: which part?"),
    }
}

// A hypercall `mmuext_op` whose instruction has a name. The fifth argument is or-ed into the flags for it.
global_asm!(
    r#"
    .pushsection .text, "ax", @progbits
long_call:
    movl $26, %eax
    movq %rcx, %r10
    pushfq
    orq %r8, (%rsp)
    popfq
long_call_instruction:
    syscall
    pushfq
    andq $~0x100, (%rsp)
    popfq
    ret
    .globl long_call
    .globl long_call_instruction
    .popsection
    "#,
    options(att_syntax)
);

extern "C" {
    fn long_call(operations: *const MmuextOp, count: u64, done: u64, domain: u64, flags: u64) -> i64;
    static long_call_instruction: u8;
}

const LONG: usize = 4096;
static OPERATIONS: [MmuextOp; LONG] =
    [const { MmuextOp { cmd: mmuext::TLB_FLUSH_LOCAL, pad: 0, arg1: 0, arg2: 0 } }; LONG];

/// How many debug exceptions a call with so many operations makes.
fn exceptions(count: usize, flags: u64) -> u64 {
    let before = trap::caught().0;
    // SAFETY: Xen reads the operations; exceptions of the debugger's kind are tolerated.
    let result = unsafe { long_call(OPERATIONS.as_ptr(), count as u64, 0, u64::from(DOMID_SELF), flags) };
    exits::passed();
    assert!(result == 0, "mmuext_op: {result}");
    trap::caught().0 - before
}

fn long() {
    const ROUNDS: usize = 8;
    const TRAP_FLAG: u64 = 0x100;
    let debug_register = machine::this().set_debug_register;
    let mut period = clock::MILLISECOND;
    event::mask_upcalls();
    hypercall::vcpu_op(vcpuop::SET_PERIODIC_TIMER, &mut period);
    trap::TOLERANT.store(1, Relaxed);

    debug_register(0, &raw const long_call_instruction as u64);
    debug_register(7, 1);
    let [short, long] = [1, LONG].map(|count| (0..ROUNDS).map(|_| exceptions(count, 0)).sum::<u64>());
    debug_register(7, 0);

    trap::TRACE.store(u64::MAX, Relaxed);
    let [short_steps, long_steps] =
        [1, LONG].map(|count| (0..ROUNDS).map(|_| exceptions(count, TRAP_FLAG)).sum::<u64>());
    trap::TRACE.store(0, Relaxed);

    trap::TOLERANT.store(0, Relaxed);
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_PERIODIC_TIMER, 0, 0, 0, 0]);
    event::unmask_upcalls();
    say!("edges: breakpoints short {short} long {long}");
    say!("edges: steps short {short_steps} long {long_steps}");
}

/// A multicall's entries: 8 words each, 64 a page.
static ENTRIES: [Page; 16] = [const { Page::new() }; 16];
static ANSWER: Page = Page::new();

fn values() {
    let entries = cmdline::number("entries").unwrap_or(20).min(ENTRIES.len() as u64 * 64);
    let rounds = cmdline::number("rounds").unwrap_or(100);
    for round in 0..rounds {
        for entry in 0..entries as usize {
            let words = [nr::VCPU_OP, 0, vcpuop::GET_RUNSTATE_INFO, 0, ANSWER.address(), 0, 0, 0];
            for (word, value) in words.into_iter().enumerate() {
                ENTRIES[entry / 64].write(entry % 64 * 8 + word, value);
            }
        }
        // SAFETY: Xen reads the entries, and writes results into them and the answers into a page that is for that.
        let result = unsafe { hypercall::call(nr::MULTICALL, [ENTRIES[0].address(), entries, 0, 0, 0]) };
        assert!(result == 0, "multicall: {result}");
        if round % 10 == 9 {
            say!("edges: round {}", round + 1);
        }
    }
    say!("edges: values done");
    wait_for_key();
}

fn wait_for_key() {
    console::flush();
    while console::read(&mut [0]) == 0 {
        clock::sleep(100 * clock::MILLISECOND);
    }
}

fn wallclock() {
    for _ in 0..2 {
        say!("edges: version of the wallclock {}", shared::info().wc_version.load(SeqCst));
        wait_for_key();
    }
    say!("edges: version of the wallclock {}", shared::info().wc_version.load(SeqCst));
}

fn reconnect() {
    const RECONNECT: u32 = 1;
    let ring = shared::store();
    // So that the indices are not those of the start.
    let before = xenstore::read(b"name", &mut [0; 64]).unwrap_or(0);
    ring.connection.store(RECONNECT, SeqCst);
    hypercall::notify(xenstore::port());
    say!("edges: asks for a new connection");
    // Dom0's answers to these lines are updates, too: none of them is xenstored's.
    for line in 1..=5 {
        say!("edges: line {line}, connection {}", ring.connection.load(SeqCst));
        console::flush();
        clock::sleep(20 * clock::MILLISECOND);
    }
    say!("edges: waits");
    console::flush();
    while ring.connection.load(SeqCst) == RECONNECT {
        clock::sleep(20 * clock::MILLISECOND);
    }
    let indices = [&ring.req_cons, &ring.req_prod, &ring.rsp_cons, &ring.rsp_prod];
    say!("edges: indices {:?}", indices.map(|index| index.load(SeqCst)));
    let after = xenstore::read(b"name", &mut [0; 64]).unwrap_or(0);
    say!("edges: name {} before, {} after", before, after);
}

fn selectors() {
    let turns = cmdline::number("turns").unwrap_or(2_000_000_000);
    let (left, selector): (u64, u64);
    // SAFETY: nothing uses %es in 64-bit mode; it is null before and after.
    unsafe {
        asm!(
            "mov es, {selector:e}",
            "2: mov {selector:e}, es",
            "cmp {selector:e}, 3",
            "jne 3f",
            "dec {left}",
            "jnz 2b",
            "3: xor {scratch:e}, {scratch:e}",
            "mov es, {scratch:e}",
            left = inout(reg) turns => left,
            selector = inout(reg) 3_u64 => selector,
            scratch = out(reg) _,
        );
    }
    say!("edges: selector {selector} after {} turns", if left == 0 { "all" } else { "some" });
}

static TABLE: Page = Page::new();
/// A segment of data, and the selector of the LDT's first entry.
const DATA: u64 = 0x00cf_f300_0000_ffff;
const FIRST: u64 = 7;

/// Makes the page an LDT with one segment, and loads it.
fn load_table() {
    TABLE.write(0, DATA);
    let ready = TABLE.remap(TABLE.mfn() << 12 | PTE_RO) == 0
        && memory::mmuext(mmuext::SET_LDT, TABLE.address(), 1) == 0;
    assert!(ready, "no LDT");
    load_selector(FIRST);
}

fn load_selector(selector: u64) {
    // SAFETY: nothing uses %fs here; the selector is the LDT's, which has a segment, or null.
    unsafe { asm!("mov fs, {selector:e}", selector = in(reg) selector) };
}

fn set_descriptor(value: u64) {
    let result = hypercall::plain(nr::UPDATE_DESCRIPTOR, [TABLE.mfn() << 12, value, 0, 0, 0]);
    assert!(result == 0, "update_descriptor: {result}");
}

fn segments() {
    let turns = cmdline::number("turns").unwrap_or(2_000_000_000);
    load_table();
    set_descriptor(0);
    let before = trap::caught().0;
    super::torture::probe!("mov rcx, {turns}", "3: dec rcx", "jnz 3b", turns = turns);
    trap::set_resume(0);
    load_selector(0);
    let (caught, [vector, ..]) = trap::caught();
    let what = if caught == before {
        "nothing"
    } else if vector == trap::VECTOR_FAILSAFE {
        "failsafe"
    } else {
        "another exception"
    };
    say!("edges: segments {what}");
}

/// Makes the LDT's page writable for a moment, when its entries have been forgotten and its selector was loaded for so many
/// turns: false if somebody has looked at the LDT meanwhile.
fn is_given(turns: u64, size: &mut u64) -> bool {
    load_selector(FIRST);
    // Another size, so that Xen forgets what it has mapped.
    *size = 3 - *size;
    assert!(memory::mmuext(mmuext::SET_LDT, TABLE.address(), *size) == 0, "no LDT of another size");
    // SAFETY: counts in a register.
    unsafe { asm!("2: dec {left}", "jnz 2b", left = inout(reg) turns => _) };
    // Nobody looks at it from here on.
    load_selector(0);
    let given = TABLE.remap(TABLE.mfn() << 12 | PTE_RW) == 0;
    assert!(!given || TABLE.remap(TABLE.mfn() << 12 | PTE_RO) == 0, "the LDT stays writable");
    given
}

fn tables() {
    const ROUNDS: usize = 8;
    let turns = cmdline::number("turns").unwrap_or(100_000_000);
    let mut size = 1;
    load_table();
    let [at_once, later] = [1, turns].map(|turns| (0..ROUNDS).filter(|_| is_given(turns, &mut size)).count());
    say!("edges: the LDT's page given {at_once} times at once, {later} after a while");
}

/// The first operation of a long call and the last one each clear a page: Xen did all of them, or stopped on the way.
static MARKS: [Page; 2] = [const { Page::new() }; 2];

/// As `OPERATIONS`, in memory of its own.
static MARKED: [Page; LONG * size_of::<MmuextOp>() / 4096] =
    [const { Page::new() }; LONG * size_of::<MmuextOp>() / 4096];

/// Operations for a long hypercall that clear the marks, which are set.
fn marked_operations() -> *const MmuextOp {
    for (operation, mark) in [0, LONG - 1].into_iter().zip(&MARKS) {
        mark.write(0, 1);
        let words = [u64::from(mmuext::CLEAR_PAGE), mark.mfn(), 0];
        for (word, value) in (operation * words.len()..).zip(words) {
            MARKED[word / 512].write(word % 512, value);
        }
    }
    for word in (1..LONG - 1).map(|operation| operation * 3) {
        MARKED[word / 512].write(word % 512, u64::from(mmuext::TLB_FLUSH_LOCAL));
    }
    MARKED[0].address() as *const MmuextOp
}

fn failsafe() {
    let hits = cmdline::number("hits").unwrap_or(8);
    let instruction = &raw const long_call_instruction as u64;
    load_table();
    trap::TOLERANT.store(1, Relaxed);
    let (mut inside, mut calls) = (0, 0);
    while inside < hits {
        let operations = marked_operations();
        set_descriptor(DATA);
        load_selector(FIRST);
        set_descriptor(0);
        let before = trap::caught().0;
        // SAFETY: Xen reads the operations, which outlive the call, and clears the marks.
        let result = unsafe { long_call(operations, LONG as u64, 0, u64::from(DOMID_SELF), 0) };
        exits::passed();
        let (caught, [.., at]) = trap::caught();
        let left = MARKS.each_ref().map(|mark| mark.read(0));
        assert!(
            (result, left) == (0, [0, 0]),
            "mmuext_op: {result}, marks {left:?}, {} callbacks at {:#x}",
            caught - before,
            at
        );
        // Where it is made anew, or behind it.
        inside += u64::from(caught > before && (at == instruction || at == instruction + 2));
        calls += 1;
    }
    trap::TOLERANT.store(0, Relaxed);
    load_selector(0);
    say!("edges: {inside} failsafe callbacks in {calls} calls");
}

fn offline() {
    static POOL: Page = Page::new();
    let first = POOL.mfn();
    say!("edges: frame {first}");
    wait_for_key();
    let mut again = 0;
    for _ in 0..4 {
        assert!(memory::balloon_out(&POOL) && memory::balloon_in(&POOL, false), "no other frame");
        again += u64::from(POOL.mfn() == first);
    }
    say!("edges: offline {again} times the same");
}
