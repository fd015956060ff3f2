//! Any stream of a guest's requests to xenstore: how it is cut into pieces does not matter, nothing
//! but digits of `feature-persistent` is changed, and what is known of the rings is what somebody
//! would say who keeps all keys.
//!
//! The bytes are a stream; or, behind a byte [`SCRIPT`], a script of writes and removals, so that a
//! fuzzer need not make up paths.

use std::collections::{BTreeMap, BTreeSet};

use hv_logger::frontends::{Frontends, RingOf};

/// `XS_WRITE`.
pub const WRITE: u32 = 11;
/// `XS_RM`.
pub const REMOVE: u32 = 13;
/// The first byte of a script.
pub const SCRIPT: u8 = 0xff;

/// What stands before the device's number in the paths of a script.
const ABOVE: [&str; 5] = [
    "device/vbd/",
    "device/vif/",
    "/local/domain/7/device/vbd/",
    "/local/domain/7/device/vif/",
    "backend/vbd/",
];
/// What stands behind it.
const KEYS: [&str; 20] = [
    "",
    "/state",
    "/ring-ref",
    "/ring-ref0",
    "/ring-ref1",
    "/tx-ring-ref",
    "/rx-ring-ref",
    "/ctrl-ring-ref",
    "/event-channel",
    "/event-channel-tx",
    "/event-channel-rx",
    "/feature-persistent",
    "/ring-page-order",
    "/multi-queue-num-queues",
    "/queue-0/ring-ref",
    "/queue-0/event-channel",
    "/queue-1/tx-ring-ref",
    "/queue-1/rx-ring-ref",
    "/queue-4294967295/tx-ring-ref",
    "/feature-rx-notify",
];

/// A request of this type: a path, a zero byte, and a value.
pub fn request(kind: u32, path: &str, value: &[u8]) -> Vec<u8> {
    let length = (path.len() + 1 + value.len()) as u32;
    let header = [kind, 3, 0, length].map(u32::to_le_bytes).concat();
    [&header, path.as_bytes(), &[0], value].concat()
}

/// The stream that a script makes. Each request takes four bytes: where, device, key, value.
fn play(script: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for request_of in script.chunks_exact(4) {
        let &[above, device, key, value] = request_of else {
            continue;
        };
        let path = format!(
            "{}{}{}",
            ABOVE[usize::from(above) % ABOVE.len()],
            device % 40,
            KEYS[usize::from(key) % KEYS.len()]
        );
        if above & 0x80 != 0 {
            stream.extend(request(REMOVE, &path, b""));
        } else {
            stream.extend(request(WRITE, &path, value.to_string().as_bytes()));
        }
    }
    stream
}

/// The leading digits of a value, as a backend reads it.
fn number(value: &[u8]) -> Option<u32> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    let digits: String = digits.map(|&byte| char::from(byte)).collect();
    digits.parse().ok()
}

/// A number in a path.
fn name(digits: &str) -> Option<u32> {
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// All that was written, device by device.
#[derive(Default)]
struct Store {
    devices: BTreeMap<(bool, u32), BTreeMap<String, u32>>,
    /// Devices with keys of further rings since they were last closed.
    excessive: BTreeSet<(bool, u32)>,
    /// There was more than is remembered.
    is_too_much: bool,
}

/// A device (and whether it is a block device) and the key below it, if a path names such a thing.
fn device_of(path: &str) -> Option<((bool, u32), &str)> {
    let below = match path.strip_prefix("/local/domain/") {
        Some(path) => {
            let (domain, path) = path.split_once('/')?;
            name(domain)?;
            path
        }
        None => path,
    };
    let (class, below) = below.strip_prefix("device/")?.split_once('/')?;
    let is_vbd = match class {
        "vbd" => true,
        "vif" => false,
        _ => return None,
    };
    let (device, key) = below.split_once('/').unwrap_or((below, ""));
    // The device's directory has no slash behind it.
    (below.len() == device.len() || !key.is_empty()).then_some(((is_vbd, name(device)?), key))
}

/// What a key below a device is for.
enum Use {
    Plain,
    Ring { is_further: bool },
    Further,
    Unknown,
}

fn use_of(is_vbd: bool, key: &str) -> Use {
    let (queue, name_in_queue) = match key.strip_prefix("queue-") {
        Some(key) => match key.split_once('/') {
            Some((queue, key)) => (Some(queue), key),
            None => return Use::Unknown,
        },
        None => (None, key),
    };
    if queue.is_some_and(|queue| name(queue).is_none_or(|number| number == u32::MAX)) {
        return Use::Unknown;
    }
    let page = name_in_queue
        .strip_prefix("ring-ref")
        .filter(|page| !page.is_empty());
    let is_page = page.is_some_and(|page| name(page).is_some_and(|page| page != u32::MAX));
    let is_ring = match name_in_queue {
        "ring-ref" => is_vbd,
        "tx-ring-ref" | "rx-ring-ref" | "ctrl-ring-ref" => !is_vbd,
        _ => is_vbd && is_page,
    };
    match (is_ring, queue) {
        (true, _) => Use::Ring {
            is_further: queue.is_some() || is_page,
        },
        (false, Some(_)) => Use::Further,
        (false, None) => match name_in_queue {
            "event-channel" | "multi-queue-num-queues" => Use::Plain,
            "event-channel-tx" | "event-channel-rx" if !is_vbd => Use::Plain,
            "ring-page-order" if is_vbd => Use::Plain,
            _ => Use::Unknown,
        },
    }
}

impl Store {
    fn apply(&mut self, kind: u32, path: &str, value: &[u8]) {
        let Some((device, key)) = device_of(path) else {
            return;
        };
        let number = number(value).filter(|_| kind == WRITE);
        let is_closed = match key {
            "" => kind == REMOVE,
            "state" => !number.is_some_and(|state| (1..=4).contains(&state)),
            _ => false,
        };
        if is_closed {
            self.devices.remove(&device);
            self.excessive.remove(&device);
            return;
        }
        let key_use = use_of(device.0, key);
        if let Use::Ring { is_further: true } | Use::Further = key_use
            && kind == WRITE
        {
            self.excessive.insert(device);
        }
        if let Use::Further | Use::Unknown = key_use {
            return;
        }
        let keys = self.devices.entry(device).or_default();
        match number {
            Some(number) => keys.insert(key.to_owned(), number),
            // Something that is no number is no usual one.
            None if kind == WRITE && (key == "ring-page-order" || key.starts_with("multi-")) => {
                keys.insert(key.to_owned(), u32::MAX)
            }
            None => keys.remove(key),
        };
        let devices: BTreeSet<_> = self.devices.keys().chain(&self.excessive).collect();
        let rings = self.devices.values().flat_map(BTreeMap::keys);
        let is_ring = |key: &&String| key.contains("ring-ref");
        self.is_too_much |= devices.len() > 32 || rings.filter(is_ring).count() > 64;
    }

    /// All that may be said of a reference: it may have been announced more than once.
    fn ring(&self, reference: u32) -> Vec<RingOf> {
        let mut answers = Vec::new();
        for (device, keys) in &self.devices {
            let get = |key: &str| keys.get(key).copied();
            let is_excessive = self.excessive.contains(device)
                || get("ring-page-order").is_some_and(|order| order != 0)
                || get("multi-queue-num-queues").is_some_and(|queues| queues != 1);
            for (key, _) in keys.iter().filter(|&(_, &number)| number == reference) {
                let Use::Ring { is_further } = use_of(device.0, key) else {
                    continue;
                };
                if is_excessive || is_further || key == "ctrl-ring-ref" {
                    answers.push(RingOf::Refused);
                    continue;
                }
                let port = |key| get(key).and_then(|port| u16::try_from(port).ok());
                let own = match key.as_str() {
                    "tx-ring-ref" => port("event-channel-tx"),
                    "rx-ring-ref" => port("event-channel-rx"),
                    _ => None,
                };
                let own = own.filter(|&port| port != 0);
                answers.push(RingOf::Frontend(
                    own.or_else(|| port("event-channel")).unwrap_or(0),
                ));
            }
        }
        if answers.is_empty() {
            answers.push(RingOf::None);
        }
        answers
    }
}

/// The requests of a stream, as far as they are whole: where the value begins, and the rest.
fn requests(stream: &[u8]) -> Vec<(u32, String, std::ops::Range<usize>)> {
    let mut requests = Vec::new();
    let mut at = 0;
    while let Some(header) = stream.get(at..at + 16) {
        let word = |number: usize| {
            let bytes = header[4 * number..].first_chunk().expect("four words");
            u32::from_le_bytes(*bytes)
        };
        let (kind, begin) = (word(0), at + 16);
        let end = begin + word(3) as usize;
        let payload = &stream[begin..end.min(stream.len())];
        if let Some(path) = payload.iter().position(|&byte| byte == 0)
            && end - begin <= 4096
            && path <= 96
            && (kind == WRITE || kind == REMOVE)
            && (kind == WRITE || path + 1 == end - begin)
        {
            let text = String::from_utf8_lossy(&payload[..path]).into_owned();
            requests.push((kind, text, begin + path + 1..end));
        }
        at = end;
    }
    requests
}

/// Checks these bytes. Returns for how many references something is known at the end.
pub fn check(bytes: &[u8]) -> usize {
    let stream = match bytes {
        [SCRIPT, script @ ..] => play(script),
        _ => bytes.to_vec(),
    };
    let (mut whole, mut in_bytes, mut in_pieces) = (
        Frontends::default(),
        Frontends::default(),
        Frontends::default(),
    );
    let (mut one, mut other, mut third) = (stream.clone(), stream.clone(), stream.clone());
    whole.observe(&mut one);
    other
        .iter_mut()
        .for_each(|byte| in_bytes.observe(std::slice::from_mut(byte)));
    let mut rest = third.as_mut_slice();
    for length in bytes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at_mut(usize::from(*length % 32 + 1).min(rest.len()));
        in_pieces.observe(piece);
        rest = behind;
    }
    assert_eq!(one, other);
    assert_eq!(one, third);

    let mut store = Store::default();
    let mut expected = stream.clone();
    for (kind, path, value) in requests(&stream) {
        let is_whole = value.end <= stream.len();
        let value = value.start..value.end.min(stream.len());
        if kind == WRITE
            && let Some(((true, _), "feature-persistent")) = device_of(&path)
        {
            let digits = expected[value.clone()].iter_mut();
            digits
                .filter(|byte| byte.is_ascii_digit())
                .for_each(|byte| *byte = b'0');
        }
        if is_whole {
            store.apply(kind, &path, &stream[value]);
        }
    }
    assert_eq!(one, expected);

    let numbers = store.devices.values().flat_map(BTreeMap::values).copied();
    let references: BTreeSet<u32> = numbers.chain(0..=16).collect();
    let mut known = 0;
    for reference in references {
        let answer = whole.ring(reference);
        assert_eq!(in_bytes.ring(reference), answer);
        assert_eq!(in_pieces.ring(reference), answer);
        let answers = store.ring(reference);
        assert!(
            store.is_too_much || answers.contains(&answer),
            "reference {reference} is {answer:?}, not {answers:?}"
        );
        known += usize::from(answer != RingOf::None);
    }
    known
}
