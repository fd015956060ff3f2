//! A station on an Ethernet: digests what it hears; answers ARP, ping and UDP.
//!
//! | UDP port | what it does |
//! |---|---|
//! | 7 | sends back what came |
//! | 9 | ends the application |
//! | 19 | sends as many frames as the number in it says |

use crate::network::{Network, FRAME_MAX};
use crate::witness::Digest;
use core::ops::Range;

/// An IPv4 address.
pub type Address = [u8; 4];

const ECHO: u16 = 7;
const END: u16 = 9;
const FLOOD: u16 = 19;
/// Bytes that a frame of a flood carries.
const FLOOD_BYTES: usize = 1_024;

const DESTINATION: Range<usize> = 0..6;
const SOURCE: Range<usize> = 6..12;
const KIND: Range<usize> = 12..14;
const IPV4: [u8; 2] = [8, 0];
const ARP: [u8; 2] = [8, 6];
const ICMP: u8 = 1;
const UDP: u8 = 17;
/// Where things are in a frame: the IP header has no options.
const IP: usize = 14;
const IP_SOURCE: Range<usize> = IP + 12..IP + 16;
const IP_DESTINATION: Range<usize> = IP + 16..IP + 20;
const TRANSPORT: usize = IP + 20;
const DATA: usize = TRANSPORT + 8;

/// The station.
pub struct Station {
    /// Its interface.
    pub network: Network,
    address: Address,
    /// Over the frames received: u16 length, bytes.
    pub digest: Digest,
    /// Over what was sent back by [`ECHO`]: u16 length, bytes.
    pub echoed: Digest,
    /// Bytes of the frames received.
    pub bytes: u64,
    /// Whether the end was asked for.
    pub has_ended: bool,
    /// Frames that a flood has unless the request says.
    flood_frames: u64,
    flood: Flood,
}

/// Frames that somebody has asked for.
struct Flood {
    left: u64,
    /// The next one's number.
    number: u64,
    /// All but their content.
    head: [u8; DATA],
}

impl Station {
    /// A station with this address.
    pub fn new(network: Network, address: Address, flood_frames: u64) -> Self {
        let flood = Flood { left: 0, number: 0, head: [0; DATA] };
        let (digest, echoed) = (Digest::new(), Digest::new());
        Self { network, address, digest, echoed, bytes: 0, has_ended: false, flood_frames, flood }
    }

    /// Closes the interface and connects anew.
    pub fn reopen(self) -> Option<Self> {
        Some(Self { network: self.network.reopen()?, ..self })
    }

    /// Takes what has come, answers, and goes on with a flood.
    pub fn work(&mut self) {
        let mut frame = [0; FRAME_MAX];
        self.network.settle();
        while self.network.can_send() {
            let Some(length) = self.network.take(&mut frame) else { break };
            self.hear(&mut frame[..length]);
        }
        while self.flood.left > 0 && self.network.can_send() {
            self.go_on();
        }
        self.network.push();
    }

    /// Asks for an event when there is something to do; whether there is already.
    pub fn look_again(&self) -> bool {
        self.network.look_again(!self.network.can_send())
    }

    /// Asks the whole network for an address.
    pub fn ask(&mut self, wanted: Address) {
        let mut frame = [0; 42];
        frame[DESTINATION].fill(0xff);
        frame[SOURCE].copy_from_slice(&self.network.mac);
        frame[KIND].copy_from_slice(&ARP);
        // Ethernet, IPv4, lengths of their addresses, a request.
        frame[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
        frame[22..28].copy_from_slice(&self.network.mac);
        frame[28..32].copy_from_slice(&self.address);
        frame[38..42].copy_from_slice(&wanted);
        self.network.send(&frame);
    }

    fn hear(&mut self, frame: &mut [u8]) {
        self.digest.feed_all(&[&(frame.len() as u16).to_le_bytes(), frame]);
        self.bytes += frame.len() as u64;
        match frame.get(KIND) {
            Some(kind) if kind == ARP && frame.len() >= 42 => self.hear_arp(frame),
            Some(kind) if kind == IPV4 && frame.len() >= DATA => self.hear_ip(frame),
            _ => {}
        }
    }

    fn hear_arp(&mut self, frame: &mut [u8]) {
        if frame[20..22] != [0, 1] || frame[38..42] != self.address {
            return;
        }
        frame[21] = 2;
        frame.copy_within(22..32, 32);
        frame[22..28].copy_from_slice(&self.network.mac);
        frame[28..32].copy_from_slice(&self.address);
        self.send_back(frame);
    }

    fn hear_ip(&mut self, frame: &mut [u8]) {
        // Version 4, no options; for this station; not a part of a packet.
        let is_whole = frame[IP + 6] & 0x3f == 0 && frame[IP + 7] == 0;
        if frame[IP] != 0x45 || frame[IP_DESTINATION] != self.address || !is_whole {
            return;
        }
        let end = IP + usize::from(u16_at(frame, IP + 2));
        let Some(frame) = frame.get_mut(..end).filter(|frame| frame.len() >= DATA) else { return };
        match (frame[IP + 9], u16_at(frame, TRANSPORT + 2)) {
            (ICMP, _) if frame[TRANSPORT] == 8 => {
                frame[TRANSPORT] = 0;
                // The checksum is the complement of a sum that is 0x800 less now.
                let (sum, carry) = u16_at(frame, TRANSPORT + 2).overflowing_add(0x800);
                frame[TRANSPORT + 2..TRANSPORT + 4].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
                self.answer(frame);
            }
            (UDP, ECHO) => {
                let data = &frame[DATA..];
                self.echoed.feed_all(&[&(data.len() as u16).to_le_bytes(), data]);
                swap_ports(frame);
                self.answer(frame);
            }
            (UDP, END) => self.has_ended = true,
            (UDP, FLOOD) => self.begin_flood(frame),
            _ => {}
        }
    }

    /// Sends a packet back whose checksums do not change by that.
    fn answer(&mut self, frame: &mut [u8]) {
        swap(frame, IP_SOURCE, IP_DESTINATION);
        self.send_back(frame);
    }

    fn send_back(&mut self, frame: &mut [u8]) {
        frame.copy_within(SOURCE, 0);
        frame[SOURCE].copy_from_slice(&self.network.mac);
        self.network.send(frame);
    }

    /// The packet's data is a number, or nothing.
    fn begin_flood(&mut self, frame: &mut [u8]) {
        let text = core::str::from_utf8(&frame[DATA..]).unwrap_or("");
        let count = text.trim().parse().unwrap_or(self.flood_frames);
        swap(frame, IP_SOURCE, IP_DESTINATION);
        swap_ports(frame);
        frame.copy_within(SOURCE, 0);
        frame[SOURCE].copy_from_slice(&self.network.mac);
        let bytes = (FLOOD_BYTES + 8) as u16;
        frame[IP + 2..IP + 4].copy_from_slice(&(bytes + 20).to_be_bytes());
        frame[IP + 10..IP + 12].fill(0);
        let sum = checksum(&frame[IP..TRANSPORT]);
        frame[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
        frame[TRANSPORT + 4..TRANSPORT + 6].copy_from_slice(&bytes.to_be_bytes());
        // None.
        frame[TRANSPORT + 6..DATA].fill(0);
        let mut head = [0; DATA];
        head.copy_from_slice(&frame[..DATA]);
        self.flood = Flood { left: count, number: 0, head };
    }

    /// Sends the next frame of a flood: u64 its number, then bytes that count on from that.
    fn go_on(&mut self) {
        let number = self.flood.number;
        let mut frame = [0; DATA + FLOOD_BYTES];
        frame[..DATA].copy_from_slice(&self.flood.head);
        frame[DATA..DATA + 8].copy_from_slice(&number.to_le_bytes());
        for (byte, value) in frame[DATA + 8..].iter_mut().zip(number..) {
            *byte = value as u8;
        }
        self.flood.left -= 1;
        self.flood.number += 1;
        self.network.send(&frame);
    }
}

fn u16_at(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

fn swap(frame: &mut [u8], one: Range<usize>, other: Range<usize>) {
    one.zip(other).for_each(|(one, other)| frame.swap(one, other));
}

fn swap_ports(frame: &mut [u8]) {
    swap(frame, TRANSPORT..TRANSPORT + 2, TRANSPORT + 2..TRANSPORT + 4);
}

/// The Internet checksum (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = (0..header.len()).step_by(2).map(|at| u32::from(u16_at(header, at))).sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}
