//! Disk and network, where the guest has them: pages that are lent to a backend.

use super::Torture;
use crate::apps::blk::mix::{Mix, SECTORS_MAX, SECTORS_MIN};
use crate::apps::net::{self, station::Station};
use crate::block::Block;
use crate::clock::{self, MILLISECOND};
use crate::network::Network;
use crate::{event, hypercall};

/// Frames of a flood unless the request says.
const FLOOD: u64 = 100;
/// Who is asked for: dom0, in the rig.
const OTHER: net::station::Address = [10, 0, 0, 1];

/// What there is.
pub struct Devices {
    disk: Option<(Block, Mix)>,
    station: Option<Station>,
}

impl Devices {
    /// Connects to what there is.
    pub fn open(seed: u64) -> Self {
        let disk = Block::open().filter(|block| block.sectors >= SECTORS_MIN).map(|block| {
            let mix = Mix::new(seed, block.sectors.min(SECTORS_MAX), 1);
            (block, mix)
        });
        let station = Network::open()
            .map(|network| Station::new(network, net::address().unwrap_or(net::ADDRESS), FLOOD));
        Self { disk, station }
    }

    /// Whether there is a disk.
    pub fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Whether there is a network.
    pub fn has_network(&self) -> bool {
        self.station.is_some()
    }

    /// Ends the use of all.
    pub fn close(&mut self) {
        if let Some((block, _)) = self.disk.take() {
            block.close();
        }
        if let Some(station) = self.station.take() {
            station.network.close();
        }
    }
}

/// Some requests to the disk, with some in flight.
pub fn disk(t: &mut Torture) {
    let Some((block, mix)) = &mut t.devices.disk else { return };
    mix.set_depth(1 + t.random.below(32));
    let is_there = mix.run(block, 1 + t.random.below(40));
    for value in [mix.by_answer.hash(), mix.by_request.hash(), mix.counts.wrong] {
        t.sum.mix(value);
    }
    if !is_there {
        if let Some((block, _)) = t.devices.disk.take() {
            block.close();
        }
    }
}

/// Takes frames and answers them, perhaps asks for an address, perhaps waits for more.
pub fn network(t: &mut Torture) {
    let Some(station) = &mut t.devices.station else { return };
    if t.random.one_in(2) {
        station.ask(OTHER);
    }
    station.work();
    if t.random.one_in(2) {
        let since = event::total();
        if !station.look_again() {
            hypercall::set_timer(clock::now() + t.random.below(5 * MILLISECOND));
            event::wait_any(since);
        }
        station.work();
    }
    t.sum.mix(station.digest.hash());
    t.sum.mix(station.network.sent);
    if station.network.is_leaving() {
        if let Some(station) = t.devices.station.take() {
            station.network.close();
        }
    }
}

/// Closes one of them and connects anew.
pub fn reconnect(t: &mut Torture) {
    if t.random.one_in(2) {
        t.devices.disk = t.devices.disk.take().and_then(|(block, mix)| Some((block.reopen()?, mix)));
    } else {
        t.devices.station = t.devices.station.take().and_then(Station::reopen);
    }
}
