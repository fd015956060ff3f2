//! The guest's front ends and their shared rings, as the guest announces them in xenstore.
//!
//! What a page holds does not say whether it is a ring: front ends put requests into it before a
//! backend can map it, and a page of data may look like one. So the references of rings are taken
//! from what the guest writes to xenstore, as that passes on its way out.
//!
//! Known are the keys of block and network devices below the guest's own `device/`. A device with
//! more than one queue, or with a ring of more than one page, is refused: its front end must be
//! told not to negotiate these. Transactions are not followed: what is written within one counts at
//! once, and a front end whose transaction fails writes the same anew.
//!
//! The guest may write what it likes: all is bounded, and what it announces wrongly are its own
//! rings.

mod key;
mod message;
#[cfg(test)]
mod tests;

use bitflags::bitflags;

use key::{Channel, Key, Name, Ring, RingKey};
use message::{Message, Value};

/// Devices whose rings can be relayed.
const DEVICES: usize = 32;
/// Rings that are remembered as refused; of more, the oldest are forgotten.
const REFUSED: usize = 64;

/// `XenbusStateInitialising`. A front end has rings from this state to the next.
const INITIALISING: u32 = 1;
/// `XenbusStateConnected`.
const CONNECTED: u32 = 4;

/// What a grant reference is to the front ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingOf {
    /// No ring that was announced.
    None,
    /// A ring, with the guest's port of the event channel that goes with it; 0 when that is not
    /// announced yet.
    Frontend(u16),
    /// A ring that cannot be relayed.
    Refused,
}

/// What is known of the front ends. All zero: nothing, and a stream that begins.
#[derive(Clone, Debug)]
pub struct Frontends {
    message: Message,
    devices: [Device; DEVICES],
    refused: [Refused; REFUSED],
    /// Which of `refused` gives way when none is free.
    next_refused: u8,
}

bitflags! {
    /// What a device has more of than can be relayed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Excess: u8 {
        /// `ring-page-order` is not 0.
        const ORDER = 1;
        /// `multi-queue-num-queues` is not 1.
        const QUEUES = 2;
        /// There are keys of further pages or queues.
        const KEYS = 4;
    }
}

/// A grant reference and one more; 0 where none was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced(u64);

impl Announced {
    const NONE: Self = Self(0);

    fn new(reference: u32) -> Self {
        Self(u64::from(reference).wrapping_add(1))
    }
}

/// What a device has announced.
#[derive(Clone, Copy, Debug)]
struct Device {
    /// [`Class::None`] where there is none.
    name: Name,
    excess: Excess,
    /// The only ring of a block device, or that for sending.
    tx: Announced,
    rx: Announced,
    /// Ports, 0 where none was announced: of all rings, and of one.
    port: u16,
    tx_port: u16,
    rx_port: u16,
}

impl Device {
    const fn new(name: Name) -> Self {
        Self {
            name,
            excess: Excess::empty(),
            tx: Announced::NONE,
            rx: Announced::NONE,
            port: 0,
            tx_port: 0,
            rx_port: 0,
        }
    }

    /// The port that goes with a ring of this device, if that is one.
    fn port_of(&self, ring: Announced) -> Option<u16> {
        let own = match ring {
            ring if ring == self.tx => self.tx_port,
            ring if ring == self.rx => self.rx_port,
            _ => return None,
        };
        Some(if own == 0 { self.port } else { own })
    }
}

/// A ring that is refused whatever else its device says.
#[derive(Clone, Copy, Debug)]
struct Refused {
    /// [`Class::None`] where there is none.
    name: Name,
    key: RingKey,
    reference: u32,
}

impl Default for Frontends {
    fn default() -> Self {
        Self::new()
    }
}

impl Frontends {
    /// Nothing is known.
    pub const fn new() -> Self {
        const NO_RING: Refused = Refused {
            name: Name::NONE,
            key: RingKey::FIRST,
            reference: 0,
        };
        Self {
            message: Message::EMPTY,
            devices: [Device::new(Name::NONE); DEVICES],
            refused: [NO_RING; REFUSED],
            next_refused: 0,
        }
    }

    /// Takes in the next bytes of what the guest writes, in pieces of any length. In the value of a
    /// block device's `feature-persistent` each digit becomes 0: its backend then keeps no loan.
    pub fn observe(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.message.take(byte) {
                if let Some((name, key, value)) = self.message.change() {
                    self.apply(name, key, value);
                }
                self.message.clear();
            }
        }
    }

    /// The connection was made anew: a message begins.
    pub fn reset(&mut self) {
        self.message.clear();
    }

    /// What a grant reference of the guest's is.
    pub fn ring(&self, reference: u32) -> RingOf {
        let is_refused = |ring: &Refused| ring.name.is_some() && ring.reference == reference;
        if self.refused.iter().any(is_refused) {
            return RingOf::Refused;
        }
        let ring = Announced::new(reference);
        for device in &self.devices {
            match device.port_of(ring) {
                Some(port) if device.excess.is_empty() => return RingOf::Frontend(port),
                Some(_) => return RingOf::Refused,
                None => {}
            }
        }
        RingOf::None
    }

    fn apply(&mut self, name: Name, key: Key, value: Value) {
        match key {
            Key::Persistent => {}
            Key::Directory => {
                if value == Value::Removed {
                    self.forget(name);
                }
            }
            Key::State => {
                if !matches!(value, Value::Number(INITIALISING..=CONNECTED)) {
                    self.forget(name);
                }
            }
            Key::Order => {
                let is_usual = matches!(value, Value::Removed | Value::Number(0));
                self.note(name, Excess::ORDER, !is_usual);
            }
            Key::Queues => {
                let is_usual = matches!(value, Value::Removed | Value::Number(1));
                self.note(name, Excess::QUEUES, !is_usual);
            }
            Key::Further => self.note_further(name, value),
            Key::Ring(key) => self.announce(name, key, value),
            Key::Channel(channel) => {
                let port = match value {
                    Value::Number(port) => u16::try_from(port).unwrap_or(0),
                    _ => 0,
                };
                if let Some(device) = self.device(name, port != 0) {
                    *match channel {
                        Channel::Both => &mut device.port,
                        Channel::Tx => &mut device.tx_port,
                        Channel::Rx => &mut device.rx_port,
                    } = port;
                }
            }
        }
    }

    /// Takes in the reference of a ring, or that there is none.
    fn announce(&mut self, name: Name, key: RingKey, value: Value) {
        for ring in &mut self.refused {
            if ring.name == name && ring.key == key {
                ring.name = Name::NONE;
            }
        }
        let announced = match value {
            Value::Number(reference) => Announced::new(reference),
            _ => Announced::NONE,
        };
        if key.is_further() {
            self.note_further(name, value);
        } else if let Some(device) = self.device(name, announced != Announced::NONE) {
            match key.ring {
                Ring::Only | Ring::Tx => {
                    device.tx = announced;
                    return;
                }
                Ring::Rx => {
                    device.rx = announced;
                    return;
                }
                Ring::Control => {}
            }
        }
        if let Value::Number(reference) = value {
            self.refuse(Refused {
                name,
                key,
                reference,
            });
        }
    }

    /// A key of a further page or queue was written or removed.
    fn note_further(&mut self, name: Name, value: Value) {
        if value != Value::Removed {
            self.note(name, Excess::KEYS, true);
        }
    }

    fn note(&mut self, name: Name, excess: Excess, is_there: bool) {
        if let Some(device) = self.device(name, is_there) {
            device.excess.set(excess, is_there);
        }
    }

    fn refuse(&mut self, ring: Refused) {
        let free = self.refused.iter().position(|ring| !ring.name.is_some());
        let place = free.unwrap_or_else(|| {
            let place = usize::from(self.next_refused) % REFUSED;
            self.next_refused = self.next_refused.wrapping_add(1);
            place
        });
        if let Some(place) = self.refused.get_mut(place) {
            *place = ring;
        }
    }

    /// A device. One that is not known is known from now on, if it `may_be_new` and there is room.
    fn device(&mut self, name: Name, may_be_new: bool) -> Option<&mut Device> {
        let known = self.devices.iter().position(|device| device.name == name);
        let free = |device: &Device| may_be_new && !device.name.is_some();
        let place = known.or_else(|| self.devices.iter().position(free))?;
        let device = self.devices.get_mut(place)?;
        if known.is_none() {
            *device = Device::new(name);
        }
        Some(device)
    }

    /// Forgets a device with all its rings.
    fn forget(&mut self, name: Name) {
        for device in &mut self.devices {
            if device.name == name {
                *device = Device::new(Name::NONE);
            }
        }
        for ring in &mut self.refused {
            if ring.name == name {
                ring.name = Name::NONE;
            }
        }
    }
}
