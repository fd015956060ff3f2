//! What Linux' front ends write, in every piece that it may come in; and what no front end writes.

use super::*;

const WRITE: u32 = 11;
const REMOVE: u32 = 13;

/// A request with any payload and any length in its header.
fn raw(kind: u32, len: u32, payload: &[u8]) -> Vec<u8> {
    let header = [kind, 7, 0, len].map(u32::to_le_bytes).concat();
    [header.as_slice(), payload].concat()
}

fn request(kind: u32, path: &str, value: &str) -> Vec<u8> {
    let payload = [path.as_bytes(), &[0], value.as_bytes()].concat();
    raw(kind, payload.len() as u32, &payload)
}

/// Writes of these values to keys of a device, within a transaction.
fn negotiation(device: &str, keys: &[(&str, &str)]) -> Vec<u8> {
    let mut stream = request(6, "", "");
    for (key, value) in keys {
        stream.extend(request(WRITE, &format!("{device}/{key}"), value));
    }
    stream.extend(request(7, "T", ""));
    stream
}

fn blkfront(device: &str, reference: &str, port: &str) -> Vec<u8> {
    negotiation(
        device,
        &[
            ("ring-ref", reference),
            ("event-channel", port),
            ("protocol", "x86_64-abi"),
            ("feature-persistent", "1"),
            ("state", "3"),
        ],
    )
}

const NETFRONT: [(&str, &str); 9] = [
    ("multi-queue-num-queues", "1"),
    ("tx-ring-ref", "768"),
    ("rx-ring-ref", "769"),
    ("event-channel-tx", "17"),
    ("event-channel-rx", "18"),
    ("request-rx-copy", "1"),
    ("feature-rx-notify", "1"),
    ("feature-sg", "1"),
    ("state", "4"),
];

fn observed(mut stream: Vec<u8>) -> Frontends {
    let mut frontends = Frontends::new();
    frontends.observe(&mut stream);
    frontends
}

/// What the references of one stream are.
fn rings<const N: usize>(stream: Vec<u8>, references: [u32; N]) -> [RingOf; N] {
    let frontends = observed(stream);
    references.map(|reference| frontends.ring(reference))
}

#[test]
fn rings_of_linux_front_ends_are_known_in_every_piece_they_come_in() {
    let mut stream = request(1, "device", "");
    stream.extend(blkfront("device/vbd/51712", "8", "15"));
    stream.extend(negotiation("/local/domain/3/device/vif/0", &NETFRONT));
    let expected = {
        let text = String::from_utf8_lossy(&stream).into_owned();
        let at = text.find("feature-persistent").unwrap() + "feature-persistent\0".len();
        let mut expected = stream.clone();
        expected[at] = b'0';
        expected
    };
    let whole_in = |cut: &mut dyn FnMut(&mut Frontends, &mut [u8])| {
        let mut bytes = stream.clone();
        let mut frontends = Frontends::new();
        cut(&mut frontends, &mut bytes);
        assert_eq!(bytes, expected);
        assert_eq!(frontends.ring(8), RingOf::Frontend(15));
        assert_eq!(frontends.ring(768), RingOf::Frontend(17));
        assert_eq!(frontends.ring(769), RingOf::Frontend(18));
        for other in [0, 1, 7, 9, 15, 17, 767, 770, u32::MAX] {
            assert_eq!(frontends.ring(other), RingOf::None, "{other}");
        }
    };
    for length in 1..=stream.len() {
        whole_in(&mut |frontends, bytes| {
            for piece in bytes.chunks_mut(length) {
                frontends.observe(piece);
            }
        });
    }
    for at in 0..=stream.len() {
        whole_in(&mut |frontends, bytes| {
            let (before, behind) = bytes.split_at_mut(at);
            frontends.observe(before);
            frontends.observe(&mut []);
            frontends.observe(behind);
        });
    }
}

#[test]
fn a_ring_is_known_before_its_port() {
    let ring = |keys: &[(&str, &str)]| rings(negotiation("device/vif/2", keys), [40, 41]);
    let both = [("tx-ring-ref", "40"), ("rx-ring-ref", "41")];
    assert_eq!(ring(&both), [RingOf::Frontend(0); 2]);
    let one = [both[0], both[1], ("event-channel", "9")];
    assert_eq!(ring(&one), [RingOf::Frontend(9); 2]);
    let split = [one[0], one[1], one[2], ("event-channel-rx", "10")];
    assert_eq!(ring(&split), [RingOf::Frontend(9), RingOf::Frontend(10)]);
    for port in ["0", "65536", "-1", ""] {
        let bad = [both[0], ("event-channel", "9"), ("event-channel", port)];
        assert_eq!(ring(&bad), [RingOf::Frontend(0), RingOf::None], "{port}");
    }
}

#[test]
fn several_pages_or_queues_are_refused() {
    let vbd = "device/vbd/768";
    let vif = "device/vif/0";
    for (device, keys, references) in [
        (
            vbd,
            vec![("ring-page-order", "1"), ("ring-ref", "8")],
            [8, 8],
        ),
        (
            vbd,
            vec![("ring-page-order", "x"), ("ring-ref", "8")],
            [8, 8],
        ),
        (vbd, vec![("ring-ref0", "8"), ("ring-ref1", "9")], [8, 9]),
        (vbd, vec![("ring-ref", "8"), ("ring-ref1", "9")], [8, 9]),
        (
            vbd,
            vec![("ring-ref", "8"), ("multi-queue-num-queues", "2")],
            [8, 8],
        ),
        (
            vbd,
            vec![("queue-0/ring-ref", "8"), ("queue-1/ring-ref3", "9")],
            [8, 9],
        ),
        (
            vif,
            vec![("queue-0/tx-ring-ref", "8"), ("queue-1/rx-ring-ref", "9")],
            [8, 9],
        ),
        (
            vif,
            vec![("queue-0/event-channel", "5"), ("rx-ring-ref", "9")],
            [9, 9],
        ),
        (
            vif,
            vec![("tx-ring-ref", "8"), ("multi-queue-num-queues", "4")],
            [8, 8],
        ),
    ] {
        let stream = negotiation(device, &keys);
        assert_eq!(rings(stream, references), [RingOf::Refused; 2], "{keys:?}");
    }
    // The ring that a network device does without is refused alone.
    let mut stream = negotiation(vif, &NETFRONT);
    stream.extend(negotiation(vif, &[("ctrl-ring-ref", "8")]));
    assert_eq!(
        rings(stream, [8, 768]),
        [RingOf::Refused, RingOf::Frontend(17)]
    );
    // What is as usual refuses nothing, and neither does what is removed.
    let usual = [
        ("ring-page-order", "0"),
        ("multi-queue-num-queues", "1"),
        ("ring-ref", "8"),
    ];
    let mut stream = negotiation(vbd, &[("ring-page-order", "2")]);
    stream.extend(negotiation(vbd, &usual));
    stream.extend(request(REMOVE, "device/vbd/768/queue-0/ring-ref", ""));
    stream.extend(request(REMOVE, "device/vbd/768/ring-ref1", ""));
    assert_eq!(rings(stream, [8]), [RingOf::Frontend(0)]);
}

#[test]
fn a_device_that_closes_has_no_rings() {
    for closing in [
        request(WRITE, "device/vbd/7/state", "5"),
        request(WRITE, "device/vbd/7/state", "6"),
        request(WRITE, "device/vbd/7/state", "0"),
        request(WRITE, "device/vbd/7/state", ""),
        request(REMOVE, "device/vbd/7/state", ""),
        request(REMOVE, "device/vbd/7", ""),
        request(REMOVE, "/local/domain/12/device/vbd/7", ""),
    ] {
        let mut stream = blkfront("device/vbd/7", "8", "15");
        stream.extend(request(WRITE, "device/vbd/7/ring-ref1", "9"));
        stream.extend(blkfront("device/vbd/70", "10", "16"));
        let before = [RingOf::Refused, RingOf::Refused, RingOf::Frontend(16)];
        assert_eq!(rings(stream.clone(), [8, 9, 10]), before);
        stream.extend(closing);
        let after = [RingOf::None, RingOf::None, RingOf::Frontend(16)];
        assert_eq!(rings(stream.clone(), [8, 9, 10]), after);
        // It may come again, with one ring.
        stream.extend(blkfront("device/vbd/7", "9", "15"));
        assert_eq!(rings(stream, [8, 9]), [RingOf::None, RingOf::Frontend(15)]);
    }
}

#[test]
fn what_is_announced_again_replaces_what_was() {
    let mut stream = blkfront("device/vbd/7", "8", "15");
    stream.extend(blkfront("device/vbd/7", "9", "16"));
    assert_eq!(
        rings(stream.clone(), [8, 9]),
        [RingOf::None, RingOf::Frontend(16)]
    );
    stream.extend(request(REMOVE, "device/vbd/7/ring-ref", ""));
    assert_eq!(rings(stream, [8, 9]), [RingOf::None; 2]);
    let mut stream = request(WRITE, "device/vbd/7/ring-ref2", "8");
    stream.extend(request(WRITE, "device/vbd/7/ring-ref2", "9"));
    assert_eq!(rings(stream, [8, 9]), [RingOf::None, RingOf::Refused]);
}

#[test]
fn numbers_are_read_as_backends_read_them() {
    for (value, reference) in [
        ("8", Some(8)),
        ("0", Some(0)),
        ("008", Some(8)),
        ("8\0", Some(8)),
        ("8 9", Some(8)),
        ("4294967295", Some(u32::MAX)),
        ("4294967296", None),
        ("99999999999999999999999999999999999999", None),
        ("", None),
        ("-8", None),
        ("x8", None),
    ] {
        let frontends = observed(request(WRITE, "device/vbd/7/ring-ref", value));
        for candidate in [0, 8, 9, u32::MAX] {
            let expected = if reference == Some(candidate) {
                RingOf::Frontend(0)
            } else {
                RingOf::None
            };
            assert_eq!(frontends.ring(candidate), expected, "{value:?} {candidate}");
        }
    }
}

#[test]
fn grants_persist_in_no_block_device() {
    let changed = |stream: &[u8]| {
        let mut bytes = stream.to_vec();
        Frontends::new().observe(&mut bytes);
        bytes
    };
    let path = "device/vbd/7/feature-persistent";
    for (value, to) in [
        ("1", "0"),
        ("0", "0"),
        ("10", "00"),
        ("1 2x", "0 0x"),
        ("", ""),
    ] {
        assert_eq!(
            changed(&request(WRITE, path, value)),
            request(WRITE, path, to)
        );
    }
    for other in [
        request(WRITE, "device/vif/7/feature-persistent", "1"),
        request(WRITE, "device/vbd/7/feature-persistent2", "1"),
        request(WRITE, "device/vbd/7/7/feature-persistent", "1"),
        request(WRITE, "data/device/vbd/7/feature-persistent", "1"),
        request(
            WRITE,
            "/local/domain/0/backend/vbd/1/7/feature-persistent",
            "1",
        ),
        request(2, path, "1"),
        request(REMOVE, path, "1"),
        raw(WRITE, 33, b"device/vbd/7/feature-persistent 1"),
    ] {
        assert_eq!(changed(&other), other);
    }
}

/// Each of these streams is followed by a good negotiation, which must be understood.
#[test]
fn streams_that_no_front_end_writes_leave_what_follows_alone() {
    let long = format!("device/vbd/{}/ring-ref", "7".repeat(5000));
    for (what, stream) in [
        ("no payload", raw(WRITE, 0, b"")),
        ("no path", raw(WRITE, 1, b"\0")),
        ("no zero byte", raw(WRITE, 5, b"devic")),
        ("a longer path than any", request(WRITE, &long[..4000], "8")),
        (
            "a longer payload than xenstored takes",
            request(WRITE, &long, "8"),
        ),
        ("a payload of 4097 bytes", raw(WRITE, 4097, &[b'x'; 4097])),
        ("a type that is not known", raw(u32::MAX, 4, b"abcd")),
        (
            "device numbers",
            request(WRITE, "device/vbd/4294967296/ring-ref", "8"),
        ),
        (
            "a zero before the number",
            request(WRITE, "device/vbd/07/ring-ref", "8"),
        ),
        ("no number", request(WRITE, "device/vbd//ring-ref", "8")),
        (
            "another class",
            request(WRITE, "device/vfb/0/ring-ref", "8"),
        ),
        (
            "another domain",
            request(WRITE, "/local/domain//device/vbd/7/ring-ref", "8"),
        ),
        ("no domain", request(WRITE, "/local/domain/", "8")),
        ("a directory's value", request(WRITE, "device/vbd/7", "8")),
        (
            "queues",
            request(WRITE, "device/vbd/3/queue-/ring-ref", "8"),
        ),
        (
            "a removal with a value",
            request(REMOVE, "device/vbd/7", "8"),
        ),
        ("a removal of everything", request(REMOVE, "device", "")),
        (
            "bytes that are no text",
            raw(WRITE, 12, b"\xff\xfe\x80/\0\0\0\0\0\0\0\0"),
        ),
    ] {
        let (before, good) = (stream.clone(), blkfront("device/vbd/7", "9", "15"));
        let mut bytes = [stream, good].concat();
        let mut frontends = Frontends::new();
        frontends.observe(&mut bytes);
        assert_eq!(bytes[..before.len()], before, "{what}");
        assert_eq!(frontends.ring(9), RingOf::Frontend(15), "{what}");
        assert_eq!(frontends.ring(8), RingOf::None, "{what}");
    }
}

#[test]
fn a_message_that_never_ends_hides_what_follows_until_the_connection_is_new() {
    let good = blkfront("device/vbd/7", "9", "15");
    for begun in [
        raw(WRITE, u32::MAX, b"device/vbd/7/ring-ref\08"),
        raw(WRITE, 4096, b"device/vbd/7/ring-ref\08"),
        raw(WRITE, 60, b"device/vbd/7/feature-persistent"),
        vec![11, 0, 0],
    ] {
        let mut frontends = observed(begun.clone());
        assert_eq!(frontends.ring(8), RingOf::None);
        let mut bytes = good.clone();
        frontends.clone().observe(&mut bytes);
        frontends.reset();
        frontends.observe(&mut bytes);
        assert_eq!(frontends.ring(9), RingOf::Frontend(15), "{begun:x?}");
    }
    // The rings are as before.
    let mut frontends = observed(good);
    frontends.reset();
    assert_eq!(frontends.ring(9), RingOf::Frontend(15));
}

#[test]
fn one_device_more_than_there_is_room_for_is_refused_until_another_closes() {
    let count = DEVICES as u32 + 1;
    let ring = |device: u32| {
        let path = format!("device/vbd/{device}/ring-ref");
        request(WRITE, &path, &(100 + device).to_string())
    };
    let stream: Vec<u8> = (0..count).flat_map(ring).collect();
    let frontends = observed(stream.clone());
    for device in 0..count - 1 {
        assert_eq!(frontends.ring(100 + device), RingOf::Frontend(0));
    }
    assert_eq!(frontends.ring(100 + count - 1), RingOf::Refused);
    let closed = request(WRITE, "device/vbd/4/state", "6");
    let again = ring(count - 1);
    let last = [stream.clone(), closed, again].concat();
    assert_eq!(
        rings(last, [104, 100 + count - 1]),
        [RingOf::None, RingOf::Frontend(0)]
    );
    // Nothing of it stays.
    let gone = request(REMOVE, &format!("device/vbd/{}", count - 1), "");
    assert_eq!(
        rings([stream, gone].concat(), [100 + count - 1]),
        [RingOf::None]
    );
}

#[test]
fn of_too_many_refused_rings_the_last_are_remembered() {
    let count = 3 * REFUSED as u32;
    let page = |page: u32| {
        let path = format!("device/vbd/7/ring-ref{page}");
        request(WRITE, &path, &(100 + page).to_string())
    };
    let frontends = observed((0..count).flat_map(page).collect());
    let refused: Vec<u32> = (0..100 + count)
        .filter(|&reference| frontends.ring(reference) == RingOf::Refused)
        .collect();
    let last: Vec<u32> = (100 + count - REFUSED as u32..100 + count).collect();
    assert_eq!(refused, last);
}

#[test]
fn it_takes_a_few_kilobytes() {
    assert!(size_of::<Frontends>() <= 4096, "{}", size_of::<Frontends>());
}
