//! What stands in xenstore, and what passes on its way there.

use super::connection::{pause, Connection, DATA, RING};
use super::Hostile;
use crate::grants::Access;
use crate::xenbus::Text;
use crate::{clock, xenstore};

const KEYS: [&str; 14] = [
    "ring-ref",
    "event-channel",
    "protocol",
    "ring-page-order",
    "ring-ref0",
    "ring-ref1",
    "multi-queue-num-queues",
    "queue-0/ring-ref",
    "queue-1/event-channel",
    "queue-4294967295/ring-ref4294967295",
    "feature-persistent",
    "tx-ring-ref",
    "rx-ring-ref",
    "event-channel-tx",
];
/// The number of a device that there is not.
const OTHER: u32 = 99_999;
/// Those of them that make of a ring something else.
const EXCESS: core::ops::Range<usize> = 3..10;

fn write(path: &Text, value: &Text) {
    // Xenstored refuses most of it.
    let _ = xenstore::write(path.bytes(), value.bytes(), &mut [0; 16]);
}

fn value(h: &mut Hostile) -> Text {
    let small = h.random.below(40);
    let ring = h.disk.grant;
    match h.random.below(10) {
        0 => Text::new(format_args!("{small}")),
        1 => Text::new(format_args!("{ring}")),
        2 => Text::new(format_args!("-{small}")),
        3 => Text::new(format_args!("4294967295")),
        4 => Text::new(format_args!("65535")),
        5 => Text::new(format_args!("")),
        6 => Text::new(format_args!("{:x}", h.random.word())),
        7 => Text::new(format_args!("{:0>90}", small)),
        8 => Text::new(format_args!("1 1\u{0}1")),
        _ => Text::new(format_args!("{}", h.random.word())),
    }
}

/// A device that there is not has the ring, too, and was first: the ring goes with its port, which is no backend's.
pub fn announce_before(h: &mut Hostile) -> u32 {
    let path = |key| Text::new(format_args!("device/vbd/{OTHER}/{key}"));
    let port = [h.ports[0], h.ports[1], clock::timer_port()][h.random.below(3) as usize];
    write(&path("ring-ref"), &Text::new(format_args!("{}", h.disk.grant)));
    write(&path("event-channel"), &Text::new(format_args!("{port}")));
    port
}

/// What [`garbage`] and [`announce_before`] left is gone.
pub fn clean(h: &mut Hostile) {
    for key in &KEYS[EXCESS] {
        let path = Text::new(format_args!("{}/{key}", h.disk.device.path()));
        let _ = xenstore::remove(path.bytes(), &mut [0; 16]);
    }
    write(&Text::new(format_args!("device/vbd/{OTHER}/state")), &Text::new(format_args!("6")));
}

/// Keys of the disk's own rewritten.
pub fn garbage(h: &mut Hostile) {
    for _ in 0..1 + h.random.below(6) {
        let key = KEYS[h.random.below(KEYS.len() as u64) as usize];
        let value = value(h);
        h.disk.device.set(key, format_args!("{value}"));
    }
    pause(h);
}

/// Keys of devices that there are not, more than anybody has.
pub fn of_others(h: &mut Hostile) {
    for _ in 0..4 + h.random.below(60) {
        let class = if h.random.one_in(2) { "vbd" } else { "vif" };
        let key = KEYS[h.random.below(KEYS.len() as u64) as usize];
        let number = h.random.below(100);
        let path = match h.random.below(6) {
            0 => Text::new(format_args!("/local/domain/{number}/device/{class}/{number}/{key}")),
            1 => Text::new(format_args!("device/{class}/{number}")),
            2 => Text::new(format_args!("device/{class}/{number}/state")),
            _ => Text::new(format_args!("device/{class}/{number}/{key}")),
        };
        let value = value(h);
        write(&path, &value);
    }
}

/// A page of data announced as a ring, with any port: who relays rings believes it.
pub fn data_as_ring(h: &mut Hostile) {
    let page = &DATA[3 + h.random.below(3) as usize];
    let grant = h.disk.lend(page.mfn(), Access::Write);
    let number = 100_000 + h.random.below(3);
    let port = match h.random.below(9) {
        0 => h.ports[0],
        1 => h.ports[1],
        2 => clock::timer_port(),
        3 => 1_000,
        4 => h.disk.port,
        5 => 200 + h.random.below(50) as u32,
        6 => 4_097,
        7 => 65_535,
        _ => 0,
    };
    let path = |key| Text::new(format_args!("device/vbd/{number}/{key}"));
    write(&path("event-channel"), &Text::new(format_args!("{port}")));
    write(&path("ring-ref"), &Text::new(format_args!("{grant}")));
    // Indices that move by themselves, and a backend that writes over them.
    for word in 0..8 {
        page.write(word, if h.random.one_in(2) { h.random.word() } else { RING.read(word) });
    }
    for round in 0..2 + h.random.below(4) {
        let segments = [(grant, 0, 7), (grant, 7, 7), (h.disk.lend(page.mfn(), Access::Write), 0, 3)];
        let operation = if h.random.one_in(3) { 1 } else { 0 };
        let sector = h.random.below(4_000);
        h.disk.request(operation, round, sector, &segments);
        let result = h.disk.push();
        h.sum.mix(result);
        h.sum.mix(crate::hypercall::notify(port) as u64);
        pause(h);
        h.sum.mix(page.read(0) ^ page.read(1));
    }
    // With the state it is forgotten.
    if h.random.one_in(2) {
        write(&path("state"), &Text::new(format_args!("6")));
    } else {
        write(&path("event-channel"), &Text::new(format_args!("0")));
    }
    h.sum.mix(u64::from(Connection::answered()));
}
