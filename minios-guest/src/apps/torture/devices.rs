//! Console, xenstore, and what Xen tells about itself and the vCPU.

use super::Torture;
use crate::abi::{nr, vcpuop, Runstate};
use crate::memory::Page;
use crate::{clock, console, hypercall, say, xenstore};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where Xen writes the runstate and the second copy of the time page.
static AREAS: Page = Page::new();
/// Which of them are registered.
static REGISTERED: AtomicU64 = AtomicU64::new(0);

/// Prints a line of random length.
pub fn print(t: &mut Torture) {
    if t.random.one_in(8) {
        // More than the ring holds, now and then: flow control.
        for _ in 0..t.random.below(40) {
            console::put(b"torture: ........................................................\r\n");
        }
        console::kick();
    } else {
        say!("torture: {:x}", t.random.word() >> t.random.below(60));
    }
}

/// Takes the input there is.
pub fn input(t: &mut Torture) {
    let mut bytes = [0; 100];
    let limit = 1 + t.random.below(100) as usize;
    let count = console::read(&mut bytes[..limit]);
    t.sum.bytes(&bytes[..count]);
}

/// One xenstore request.
pub fn xenstore(t: &mut Torture) {
    const PATHS: [&[u8]; 6] =
        [b"name", b"domid", b"memory/target", b"console/type", b"no/such/path", b"data/torture"];
    let mut buffer = [0; 256];
    let result = match t.random.below(4) {
        0 => xenstore::list([&b"memory"[..], b"device", b"control"][t.random.below(3) as usize], &mut buffer),
        1 => {
            let value = [b'a' + t.random.below(26) as u8; 40];
            let length = 1 + t.random.below(40) as usize;
            xenstore::write(b"data/torture", &value[..length], &mut buffer)
        }
        _ => xenstore::read(PATHS[t.random.below(6) as usize], &mut buffer),
    };
    let length = match result {
        Ok(length) => length,
        Err(xenstore::Error::Refused(length)) => 1000 + length,
        Err(xenstore::Error::Protocol) => 2000,
    };
    t.sum.mix(length as u64);
    t.sum.bytes(&buffer[..length % 1000 % 257]);
}

/// Runstate by hypercall and from the registered area.
pub fn runstate(t: &mut Torture) {
    let mut info = Runstate::default();
    let result = hypercall::vcpu_op(vcpuop::GET_RUNSTATE_INFO, &mut info);
    t.sum.mix(result as u64);
    t.sum.mix(u64::from(info.state));
    t.sum.mix(info.state_entry_time_ns);
    info.time_ns.iter().for_each(|time| t.sum.mix(*time));
    if REGISTERED.load(Relaxed) != 0 {
        (0..16).for_each(|word| t.sum.mix(AREAS.read(word)));
    }
}

/// Registers the runstate area or the second time area (again).
pub fn areas(t: &mut Torture) {
    let time = t.random.one_in(2);
    register(t, time);
}

/// Registers the runstate area and sleeps until Xen has written it: a logged guest's is written
/// each 100 ms at most. So whatever the seed, there is a runstate that came by itself, and the
/// last one stands in memory at the end.
pub fn settle(t: &mut Torture) {
    register(t, false);
    clock::sleep(150 * clock::MILLISECOND);
}

fn register(t: &mut Torture, time: bool) {
    let command = if time { vcpuop::REGISTER_TIME_AREA } else { vcpuop::REGISTER_RUNSTATE_AREA };
    let mut argument = AREAS.address() + if time { 64 } else { 0 };
    let result = hypercall::vcpu_op(command, &mut argument);
    REGISTERED.fetch_or(1 << u32::from(time), Relaxed);
    t.sum.mix(result as u64);
}

/// Xen's version, features and texts; a port's status; the CPU's number.
pub fn versions(t: &mut Torture) {
    let mut text = [0u64; 128];
    match t.random.below(5) {
        0 => {
            let result = hypercall::plain(nr::XEN_VERSION, [0; 5]);
            t.sum.mix(result as u64);
        }
        1 => {
            hypercall::op(nr::XEN_VERSION, 1, &mut text);
        }
        2 => {
            hypercall::op(nr::XEN_VERSION, 3, &mut text);
        }
        3 => {
            // struct evtchn_status: domain, port, status, vcpu, remote.
            text[0] = 0x7ff0 | t.random.below(8) << 32;
            let result = hypercall::op(nr::EVENT_CHANNEL_OP, crate::abi::evtchnop::STATUS, &mut text);
            t.sum.mix(result as u64);
        }
        _ => {
            let result = hypercall::vcpu_op(vcpuop::GET_PHYSID, &mut text);
            t.sum.mix(result as u64);
        }
    }
    text.iter().for_each(|word| t.sum.mix(*word));
}
