//! `cases`: small checks of the behaviour that record and replay touches.
//!
//! Each prints `cases: NAME pass` or `cases: NAME FAIL (…)`, and at the end
//! `cases: N passed, M failed`. The result must be the same on an unlogged and
//! on a logged domain. Raw hypercalls are used where the kernel's own look
//! after each exit would take the event away that the case is about.

use crate::abi::{evtchnop, nr, DOMID_SELF, VIRQ_TIMER};
use crate::clock::{self, MILLISECOND, SECOND};
use crate::{console, event, exits, hypercall, machine, say, shared, trap, witness};
use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

mod pvh;

/// Two ports that notify this vCPU.
struct Ports(u32, u32);

/// A case: its name, and what is wrong when it fails.
type Case = (&'static str, fn(&Ports) -> Result<(), &'static str>);

const CASES: [Case; 17] = [
    ("upcall-masked", upcall_masked),
    ("upcall-once-for-two-ports", upcall_once),
    ("port-masked", port_masked),
    ("upcalls-nested", nested),
    ("upcall-keeps-registers", upcall_keeps_registers),
    ("poll-pending", poll_pending),
    ("poll-timeout", poll_timeout),
    ("block-pending", block_pending),
    ("closed-port", closed_port),
    ("loopback-quiet", loopback_quiet),
    ("timer-not-early", timer_not_early),
    ("time-page", time_page),
    ("rdtsc-ascends", rdtsc_ascends),
    ("trap-keeps-registers", trap_keeps_registers),
    ("page-fault-address", page_fault_address),
    ("errors", errors),
    ("logs-of-others", logs_of_others),
];

/// What only a PVH guest has.
const PVH_CASES: [Case; 3] = [
    ("calls-before-paging", pvh::calls_before_paging),
    ("calls-from-32-bit", pvh::calls_from_32_bit),
    ("interrupt-shadow", pvh::interrupt_shadow),
];

/// Runs the application.
pub fn run() {
    let (Some(first), Some(second)) = (event::bind_ipi(), event::bind_ipi()) else {
        say!("cases: no event channels");
        return;
    };
    let ports = Ports(first, second);
    [first, second].into_iter().for_each(event::unmask_port);
    exits::NEST_PORT.store(u64::from(first), Relaxed);
    let (mut passed, mut failed) = (0, 0);
    let of_pvh = PVH_CASES.into_iter().filter(|_| machine::is_pvh());
    for (name, case) in CASES.into_iter().chain(of_pvh) {
        // Dom0's answer to the last case's output is not to make an upcall in this one.
        console::flush();
        event::mask_port(console::port());
        let result = case(&ports);
        event::unmask_upcalls();
        event::unmask_port(console::port());
        match result {
            Ok(()) => {
                passed += 1;
                say!("cases: {name} pass");
            }
            Err(why) => {
                failed += 1;
                say!("cases: {name} FAIL ({why})");
            }
        }
    }
    say!("cases: {passed} passed, {failed} failed");
}

fn check(holds: bool, why: &'static str) -> Result<(), &'static str> {
    holds.then_some(()).ok_or(why)
}

/// Sends an event without a look afterwards.
fn send(port: u32) {
    let argument = port;
    // SAFETY: Xen reads the port number, which outlives the call.
    unsafe { hypercall::raw(nr::EVENT_CHANNEL_OP, [evtchnop::SEND, &raw const argument as u64, 0, 0, 0]) };
    witness::count_exit();
}

fn pending(port: u32) -> bool {
    shared::info().pending[port as usize / 64].load(Relaxed) >> (port % 64) & 1 != 0
}

fn upcalls() -> u64 {
    witness::UPCALLS.load(Relaxed)
}

fn upcall_masked(ports: &Ports) -> Result<(), &'static str> {
    event::mask_upcalls();
    let before = upcalls();
    send(ports.0);
    check(pending(ports.0), "not pending after the send")?;
    check(shared::vcpu().upcall_pending.load(Relaxed) != 0, "no upcall due")?;
    check(upcalls() == before, "an upcall came while masked")?;
    event::unmask_upcalls();
    check(upcalls() == before + 1, "not one upcall after unmasking")?;
    check(!pending(ports.0), "still pending after the upcall")
}

fn upcall_once(ports: &Ports) -> Result<(), &'static str> {
    event::mask_upcalls();
    let before = (upcalls(), event::latched(ports.0), event::latched(ports.1));
    send(ports.1);
    send(ports.0);
    send(ports.0);
    event::unmask_upcalls();
    let after = (upcalls(), event::latched(ports.0), event::latched(ports.1));
    check(after == (before.0 + 1, before.1 + 1, before.2 + 1), "not one upcall with each port once")
}

fn port_masked(ports: &Ports) -> Result<(), &'static str> {
    event::mask_port(ports.0);
    let before = upcalls();
    send(ports.0);
    check(pending(ports.0), "not pending after the send")?;
    check(upcalls() == before, "an upcall came for a masked port")?;
    event::unmask_port(ports.0);
    check(upcalls() == before + 1, "not one upcall after unmasking the port")
}

fn nested(ports: &Ports) -> Result<(), &'static str> {
    let before = upcalls();
    exits::NEST.store(5, Relaxed);
    send(ports.0);
    check(exits::NEST.load(Relaxed) == 0, "not all of them nested")?;
    check(upcalls() == before + 6, "not one upcall for each event")
}

fn upcall_keeps_registers(ports: &Ports) -> Result<(), &'static str> {
    let before = upcalls();
    let port = ports.0;
    let (mut sum, flags): (u64, u64);
    // SAFETY: an event channel send to ourselves, whose upcall comes on the
    // way back; the registers that a hypercall keeps are set and added up.
    unsafe {
        asm!(
            "mov eax, 32",
            "mov edi, 4",
            "mov r12, 0x1111111111111111", "mov r13, 0x2222222222222222",
            "mov r14, 0x3333333333333333", "mov r15, 0x4444444444444444",
            "mov r9, 0x0101010101010101",
            "stc",
            "call r10",
            "pushfq",
            "pop rdx",
            "lea rax, [r12 + r13]", "add rax, r14", "add rax, r15", "add rax, r9",
            inout("rsi") &raw const port => _, inout("r10") hypercall::entry() => _,
            out("rax") sum, out("rdx") flags,
            out("rcx") _, out("rdi") _, out("r8") _, out("r9") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
    witness::count_exit();
    sum = sum.wrapping_sub(0x0101_0101_0101_0101);
    check(upcalls() == before + 1, "no upcall on the way back")?;
    check(sum == 0xaaaa_aaaa_aaaa_aaaa, "a register changed")?;
    check(flags & 1 != 0, "the carry flag changed")
}

fn poll_pending(ports: &Ports) -> Result<(), &'static str> {
    event::mask_upcalls();
    let begin = clock::now();
    // No look between the send and the poll: it would take the event.
    send(ports.1);
    let result = hypercall::poll(&[ports.0, ports.1], begin + 5 * SECOND);
    check(result == 0, "an error")?;
    check(clock::now() < begin + 4 * SECOND, "it waited although a port was pending")
}

fn poll_timeout(ports: &Ports) -> Result<(), &'static str> {
    event::mask_upcalls();
    let deadline = clock::now() + 20 * MILLISECOND;
    let result = hypercall::poll(&[ports.0], deadline);
    check(result == 0, "an error")?;
    check(clock::now() >= deadline, "it came back early")?;
    check(!pending(ports.0), "a port became pending")
}

fn block_pending(ports: &Ports) -> Result<(), &'static str> {
    event::mask_upcalls();
    let before = upcalls();
    send(ports.0);
    event::block();
    check(!event::are_upcalls_masked(), "blocking did not unmask upcalls")?;
    check(upcalls() == before + 1, "not one upcall")
}

/// An event that was sent before its port was closed does not meet whoever opens the port again.
fn closed_port(_: &Ports) -> Result<(), &'static str> {
    event::mask_upcalls();
    let port = event::bind_ipi().ok_or("no port")?;
    // Both in one exit: nothing is looked at in between.
    let argument = port;
    let entry = |command| [nr::EVENT_CHANNEL_OP, 0, command, &raw const argument as u64, 0, 0, 0, 0];
    let mut calls = [entry(evtchnop::SEND), entry(evtchnop::CLOSE)];
    // SAFETY: Xen reads the port and writes the results, all of which outlive the call.
    unsafe { hypercall::raw(nr::MULTICALL, [calls.as_mut_ptr() as u64, 2, 0, 0, 0]) };
    witness::count_exit();
    check(!pending(port), "pending after it was closed")?;
    let latched = event::latched(port);
    let again = event::bind_ipi().ok_or("no port again")?;
    check(again == port, "another port")?;
    check(!pending(port) && event::latched(port) == latched, "pending before anything was sent")?;
    event::close(port);
    Ok(())
}

/// What is written to the console is for dom0, and not for a port that is connected to ourselves.
fn loopback_quiet(_: &Ports) -> Result<(), &'static str> {
    let pair = event::bind_loopback().ok_or("no port")?;
    hypercall::nothing();
    let count = || event::latched(pair.0) + event::latched(pair.1);
    let before = count();
    for _ in 0..8 {
        // Dom0 is not notified of it.
        console::put(b"\r");
        (0..10).for_each(|_| hypercall::nothing());
    }
    let after = count();
    event::close(pair.0);
    event::close(pair.1);
    check(before == after, "an event that nobody sent")
}

fn timer_not_early(_: &Ports) -> Result<(), &'static str> {
    for milliseconds in [0, 1, 7] {
        let deadline = clock::now() + milliseconds * MILLISECOND;
        clock::sleep_until(deadline);
        check(clock::now() >= deadline, "the timer fired early")?;
    }
    Ok(())
}

fn time_page(_: &Ports) -> Result<(), &'static str> {
    let page = &shared::vcpu().time;
    check(page.version.load(Relaxed) & 1 == 0, "an odd version")?;
    check(page.tsc_to_system_mul.load(Relaxed) != 0, "no scale")?;
    // An emulated host's TSC may be read a little before the page's stamp.
    let slack = 100_000_000;
    // The stamp of a page from before the domain's TSC was 0 is negative.
    let ahead = page.tsc_timestamp.load(Relaxed).wrapping_sub(clock::tsc() + slack) as i64;
    check(ahead <= 0, "its TSC lies in the future")?;
    let mut last = 0;
    for _ in 0..2000 {
        let now = clock::now();
        check(now >= last, "the clock went back")?;
        last = now;
    }
    check(clock::boot_time() > 0, "no wall clock")
}

fn rdtsc_ascends(_: &Ports) -> Result<(), &'static str> {
    let mut last = 0;
    for round in 0..2000 {
        let tsc = if round % 2 == 0 { clock::tsc() } else { clock::tscp() };
        check(tsc >= last, "the TSC went back")?;
        last = tsc;
    }
    Ok(())
}

fn trap_keeps_registers(_: &Ports) -> Result<(), &'static str> {
    let caught = trap::caught().0;
    let (sum, flags): (u64, u64);
    trap::TOLERANT.store(1, Relaxed);
    // SAFETY: the breakpoint is tolerated and goes on after itself.
    unsafe {
        asm!(
            "mov r12, 0x1111111111111111", "mov r13, 0x2222222222222222",
            "mov r11, 0x3333333333333333", "mov rcx, 0x4444444444444444",
            "stc",
            "int3",
            "pushfq",
            "pop rdx",
            "lea rax, [r12 + r13]", "add rax, r11", "add rax, rcx",
            out("rax") sum, out("rdx") flags,
            out("rcx") _, out("r11") _, out("r12") _, out("r13") _,
        );
    }
    trap::TOLERANT.store(0, Relaxed);
    check(trap::caught().0 == caught + 1, "no breakpoint")?;
    check(sum == 0xaaaa_aaaa_aaaa_aaaa, "a register changed")?;
    check(flags & 1 != 0, "the carry flag changed")
}

fn page_fault_address(_: &Ports) -> Result<(), &'static str> {
    super::torture::probe!("mov rax, [{at}]", at = 0x1234_5678_u64);
    trap::set_resume(0);
    let (_, [vector, error, cr2]) = trap::caught();
    check(vector == 14 && error & 3 == 0, "not a read of a page that is not there")?;
    check(cr2 == 0x1234_5678, "another address")
}

fn errors(_: &Ports) -> Result<(), &'static str> {
    const EEXIST: i64 = -17;
    const ENOSYS: i64 = -38;
    check(hypercall::notify(4000) < 0, "a port that does not exist was notified")?;
    let mut bind = [VIRQ_TIMER, 0, 0];
    let result = hypercall::op(nr::EVENT_CHANNEL_OP, evtchnop::BIND_VIRQ, &mut bind);
    check(result == EEXIST, "the timer was bound twice")?;
    check(hypercall::plain(63, [0; 5]) == ENOSYS, "a hypercall that does not exist did something")
}

/// No domain but the control domain reaches a log, be it through the domctl or the resource.
fn logs_of_others(_: &Ports) -> Result<(), &'static str> {
    const EPERM: i64 = -1;
    const ESRCH: i64 = -3;
    const DOMCTL_XENLR_OP: u64 = 90;
    const DOMCTL_INTERFACE_VERSION: u64 = 0x18;
    const MEMORY_ACQUIRE_RESOURCE: u64 = 28;
    const RESOURCE_XENLR_RING: u64 = 3;
    // struct xen_domctl: command and version, domain 0, then the operation, which is `status`.
    let mut domctl = [0u64; 18];
    domctl[0] = DOMCTL_INTERFACE_VERSION << 32 | DOMCTL_XENLR_OP;
    let domctl_at = core::ptr::from_mut(&mut domctl) as u64;
    check(hypercall::plain(nr::DOMCTL, [domctl_at, 0, 0, 0, 0]) == EPERM, "the domctl was not refused")?;
    // struct xen_mem_acquire_resource: domain 0 and the type, how many frames, the first, and where their numbers go.
    let mut frames = [0u64; 1];
    let mut acquire = [RESOURCE_XENLR_RING << 16, 1, 0, core::ptr::from_mut(&mut frames) as u64];
    let result = hypercall::op(nr::MEMORY_OP, MEMORY_ACQUIRE_RESOURCE, &mut acquire);
    check(result == EPERM && frames == [0], "the resource was not refused")?;
    // The logs of domains that have one, this one's perhaps among them: refused, or not even found.
    for domain in (1..32).chain([u64::from(DOMID_SELF)]) {
        domctl[1] = domain;
        acquire[0] = RESOURCE_XENLR_RING << 16 | domain;
        let result = hypercall::plain(nr::DOMCTL, [domctl_at, 0, 0, 0, 0]);
        check(matches!(result, EPERM | ESRCH), "the domctl was not refused for some domain")?;
        let result = hypercall::op(nr::MEMORY_OP, MEMORY_ACQUIRE_RESOURCE, &mut acquire);
        check(
            matches!(result, EPERM | ESRCH) && frames == [0],
            "the resource was not refused for some domain",
        )?;
    }
    Ok(())
}
