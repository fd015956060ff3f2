//! Paths in xenstore: which device and which of its keys they name.

/// The longest path that names a key known here has fewer bytes.
pub(super) const MAX_PATH_BYTES: usize = 96;

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// No device.
    None = 0,
    /// A block device.
    Vbd = 1,
    /// A network device.
    Vif = 2,
}

/// The name of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) class: Class,
    pub(super) number: u32,
}

impl Name {
    pub(super) const NONE: Self = Self {
        class: Class::None,
        number: 0,
    };

    pub(super) fn is_some(self) -> bool {
        self.class != Class::None
    }
}

/// What a path below a device's directory names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The directory itself.
    Directory,
    /// The state of the front end.
    State,
    /// Whether grants persist.
    Persistent,
    /// log2 of a ring's pages.
    Order,
    /// How many queues there are.
    Queues,
    /// The reference of a ring, or of one page of it.
    Ring(RingKey),
    /// An event channel.
    Channel(Channel),
    /// Something of a further queue.
    Further,
}

/// Rings by their use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Ring {
    /// Of a block device.
    Only = 0,
    /// Of a network device, as the guest sees it.
    Tx = 1,
    Rx = 2,
    /// Of a network device; is never relayed.
    Control = 3,
}

/// The name of a key for a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingKey {
    pub(super) ring: Ring,
    /// Number of the queue and one more, 0 if the key has none.
    pub(super) queue: u32,
    /// Number of the page and one more, 0 if the key has none.
    pub(super) page: u32,
}

impl RingKey {
    /// All zero.
    pub(super) const FIRST: Self = Self {
        ring: Ring::Only,
        queue: 0,
        page: 0,
    };

    /// Whether it is one of several pages or queues.
    pub(super) const fn is_further(self) -> bool {
        self.queue != 0 || self.page != 0
    }
}

/// Event channels by the rings that they go with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Both,
    Tx,
    Rx,
}

/// What a path names, if it is a key of a device of the guest's own. Numbers are as xenstore has
/// them: with a zero before them they would name something else.
pub(super) fn parse(path: &[u8]) -> Option<(Name, Key)> {
    let path = match path.strip_prefix(b"/local/domain/") {
        Some(path) => {
            let (domain, path) = split(path);
            number(domain)?;
            path?
        }
        None => path,
    };
    let (class, path) = split(path.strip_prefix(b"device/")?);
    let class = match class {
        b"vbd" => Class::Vbd,
        b"vif" => Class::Vif,
        _ => return None,
    };
    let (device, key) = split(path?);
    let name = Name {
        class,
        number: number(device)?,
    };
    let key = match key {
        Some(key) => of_device(class, key)?,
        None => Key::Directory,
    };
    Some((name, key))
}

fn of_device(class: Class, key: &[u8]) -> Option<Key> {
    Some(match (class, key) {
        (_, b"state") => Key::State,
        (_, b"multi-queue-num-queues") => Key::Queues,
        (Class::Vbd, b"feature-persistent") => Key::Persistent,
        (Class::Vbd, b"ring-page-order") => Key::Order,
        _ => match key.strip_prefix(b"queue-") {
            Some(key) => {
                let (queue, key) = split(key);
                let queue = number(queue)?.checked_add(1)?;
                match of_queue(class, queue, key?) {
                    Some(Key::Ring(ring)) => Key::Ring(ring),
                    _ => Key::Further,
                }
            }
            None => of_queue(class, 0, key)?,
        },
    })
}

/// A key that each queue has. The queue of those that are not a queue's is 0.
fn of_queue(class: Class, queue: u32, key: &[u8]) -> Option<Key> {
    let ring = |ring, page| Key::Ring(RingKey { ring, queue, page });
    Some(match (class, key) {
        (_, b"event-channel") => Key::Channel(Channel::Both),
        (Class::Vbd, b"ring-ref") => ring(Ring::Only, 0),
        (Class::Vbd, _) => {
            let page = number(key.strip_prefix(b"ring-ref")?)?;
            ring(Ring::Only, page.checked_add(1)?)
        }
        (_, b"event-channel-tx") => Key::Channel(Channel::Tx),
        (_, b"event-channel-rx") => Key::Channel(Channel::Rx),
        (_, b"tx-ring-ref") => ring(Ring::Tx, 0),
        (_, b"rx-ring-ref") => ring(Ring::Rx, 0),
        (_, b"ctrl-ring-ref") => ring(Ring::Control, 0),
        _ => return None,
    })
}

/// What stands before the first slash, and what behind it.
fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    let slash = path.iter().position(|&byte| byte == b'/');
    match slash.and_then(|slash| path.split_at_checked(slash)) {
        Some((before, behind)) => (before, behind.get(1..)),
        None => (path, None),
    }
}

/// The number that stands there, in the one way that there is to write it.
fn number(digits: &[u8]) -> Option<u32> {
    match *digits {
        [] | [b'0', _, ..] => None,
        _ => digits.iter().try_fold(0u32, |number, &byte| {
            let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
            number.checked_mul(10)?.checked_add(digit.into())
        }),
    }
}
