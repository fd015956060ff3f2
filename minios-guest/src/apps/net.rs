//! `net [ip=A.B.C.D] [seconds=N] [frames=N] [flood=N] [wait=S]`: a station on its first network interface.
//!
//! It ends on a packet to UDP port 9, after N seconds (10) or when it has heard N frames. A packet to UDP port 19
//! makes it send N frames, as `flood` says or the packet itself. With `wait` the interface may come up to S seconds
//! later. What it answers stands in [`station`].

use crate::clock::{self, SECOND};
use crate::network::Network;
use crate::{cmdline, event, hypercall, say, xenbus};

pub mod station;

use station::{Address, Station};

/// The address unless told.
pub const ADDRESS: Address = [10, 0, 0, 2];

/// Frames that are sent on request, unless told.
const FLOOD: u64 = 1_000;

/// The address that the command line gives.
pub fn address() -> Option<Address> {
    let Some(text) = cmdline::text("ip") else { return Some(ADDRESS) };
    let mut address = [0; 4];
    let mut parts = text.split('.');
    for byte in &mut address {
        *byte = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(address)
}

/// Runs the application.
pub fn run() {
    let frames = cmdline::number("frames").unwrap_or(u64::MAX);
    let seconds = cmdline::number("seconds").unwrap_or(if frames == u64::MAX { 10 } else { 1_000_000 });
    let Some(address) = address() else {
        say!("net: ip= wants an address like 10.0.0.2");
        return;
    };
    let Some(network) = xenbus::opened("net", Network::open) else {
        say!("net: no interface");
        return;
    };
    let [a, b, c, d] = address;
    say!("net: {a}.{b}.{c}.{d} listens for {seconds} s");

    let mut station = Station::new(network, address, cmdline::number("flood").unwrap_or(FLOOD));
    let end = clock::now() + seconds * SECOND;
    let mut alarm = 0;
    loop {
        let since = event::total();
        let now = clock::now();
        station.work();
        if station.has_ended || station.digest.count() >= frames || now >= end {
            break;
        }
        if station.look_again() {
            continue;
        }
        if station.network.is_leaving() {
            say!("net: the backend leaves");
            break;
        }
        if alarm <= now {
            alarm = end.min(now + SECOND);
            hypercall::set_timer(alarm);
        }
        event::wait_any(since);
    }
    let network = &station.network;
    say!(
        "net: digest {:016x} frames={} bytes={} sent={}",
        station.digest.hash(),
        station.digest.count(),
        station.bytes,
        network.sent
    );
    say!(
        "net: echoed {:016x}/{} send-errors={} receive-errors={}",
        station.echoed.hash(),
        station.echoed.count(),
        network.send_errors,
        network.receive_errors
    );
    station.network.close();
}
