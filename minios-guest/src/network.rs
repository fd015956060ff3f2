//! A network interface's front end (`io/netif.h`): a ring of one page each way, frames of one page each, copied by the
//! backend when they are received; no offloads, one queue.

use crate::grants::{self, Access};
use crate::memory::Page;
use crate::ring::Ring;
use crate::xenbus::{Device, State};
use crate::{event, hypercall, xenstore};

/// The longest frame, without its check sequence.
pub const FRAME_MAX: usize = 1_514;

type Transmit = Ring<3>;
type Receive = Ring<2>;
const RECEIVING: usize = Receive::SLOTS as usize;
const SENDING: usize = 64;
/// `NETRXF_more_data` and `NETRXF_extra_info`: a frame of several slots, which was not agreed on.
const SEVERAL_SLOTS: u32 = 4 | 8;

static RINGS: [Page; 2] = [const { Page::new() }; 2];
static RECEIVED: [Page; RECEIVING] = [const { Page::new() }; RECEIVING];
static SENT: [Page; SENDING] = [const { Page::new() }; SENDING];

/// A connected interface.
pub struct Network {
    device: Device,
    transmit: Transmit,
    receive: Receive,
    grants: [u32; 2],
    /// Of the pages that frames are received in.
    receiving: [u32; RECEIVING],
    /// Of those that are sent and not answered yet.
    sending: [Option<u32>; SENDING],
    port: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Frames sent.
    pub sent: u64,
    /// Answers that say that a frame was not sent.
    pub send_errors: u64,
    /// Frames that were not received as they should be.
    pub receive_errors: u64,
}

impl Network {
    /// Connects to the first interface, if there is one.
    pub fn open() -> Option<Self> {
        let device = Device::find("vif")?;
        if !grants::init() {
            device.forget();
            return None;
        }
        Self::connect(device)
    }

    fn connect(device: Device) -> Option<Self> {
        let mac = device.text("mac").and_then(|text| parse_mac(text.bytes()));
        let (Some(mac), true) = (mac, device.begin()) else {
            device.forget();
            return None;
        };
        let grants = [0, 1].map(|ring| grants::lend(&RINGS[ring], device.domain, Access::Write));
        let port = event::offer(device.domain)?;
        event::unmask_port(port);
        let mut this = Self {
            transmit: Ring::new(&RINGS[0]),
            receive: Ring::new(&RINGS[1]),
            device,
            grants,
            receiving: [0; RECEIVING],
            sending: [None; SENDING],
            port,
            mac,
            sent: 0,
            send_errors: 0,
            receive_errors: 0,
        };
        (0..RECEIVING).for_each(|place| this.offer(place));
        // The backend sees them when it is connected.
        let _ = this.receive.push();
        let device = &this.device;
        device.set("tx-ring-ref", format_args!("{}", grants[0]));
        device.set("rx-ring-ref", format_args!("{}", grants[1]));
        device.set("event-channel", format_args!("{port}"));
        device.set("request-rx-copy", format_args!("1"));
        device.set("feature-rx-notify", format_args!("1"));
        device.set("feature-no-csum-offload", format_args!("1"));
        if !device.agree(State::Connected) {
            this.close();
            return None;
        }
        // In case it looked before there was anything to be seen.
        hypercall::notify(port);
        Some(this)
    }

    /// Offers a page to receive a frame in.
    fn offer(&mut self, place: usize) {
        let grant = grants::lend(&RECEIVED[place], self.device.domain, Access::Write);
        self.receiving[place] = grant;
        self.receive.put(&[place as u32, grant]);
    }

    fn disconnect(mut self) -> Device {
        self.device.close();
        event::close(self.port);
        let sending = self.sending.iter_mut().filter_map(Option::take);
        let all = self.grants.iter().chain(&self.receiving).copied().chain(sending);
        let kept = all.filter(|grant| !grants::end(*grant)).count();
        assert!(kept == 0, "the backend keeps {kept} pages of the interface");
        self.device
    }

    /// Ends all use of the interface; what is under way is lost.
    pub fn close(self) {
        self.disconnect().forget();
    }

    /// Ends it and connects anew. Counts begin anew, too.
    pub fn reopen(self) -> Option<Self> {
        Self::connect(self.disconnect())
    }

    /// Takes the next frame, if there is one; its length.
    pub fn take(&mut self, frame: &mut [u8; FRAME_MAX]) -> Option<usize> {
        loop {
            let [word, status] = self.receive.take()?;
            let (place, offset) = ((word & 0xffff) as usize % RECEIVING, (word >> 16) as usize);
            let (flags, length) = (status & 0xffff, (status >> 16) as i16);
            if !grants::end(self.receiving[place]) {
                panic!("the backend keeps a page that it has received a frame in");
            }
            let length = usize::try_from(length).unwrap_or(0);
            let is_whole = (1..=FRAME_MAX).contains(&length) && offset + length <= 4096;
            if is_whole && flags & SEVERAL_SLOTS == 0 {
                RECEIVED[place].copy_out(offset, &mut frame[..length]);
                self.offer(place);
                return Some(length);
            }
            self.receive_errors += 1;
            self.offer(place);
        }
    }

    /// Takes the answers to frames that were sent.
    pub fn settle(&mut self) {
        const OKAY: i16 = 0;
        while let Some([word, ..]) = self.transmit.take() {
            let (place, status) = ((word & 0xffff) as usize % SENDING, (word >> 16) as i16);
            self.send_errors += u64::from(status != OKAY);
            if self.sending[place].take().is_some_and(|grant| !grants::end(grant)) {
                panic!("the backend keeps a page that it has sent");
            }
        }
    }

    /// Whether a frame can be sent now.
    pub fn can_send(&self) -> bool {
        self.sending.iter().any(Option::is_none) && self.transmit.room() > 0
    }

    /// Puts a frame, if it can be sent; whether it could.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        let free = self.sending.iter().position(Option::is_none);
        let Some(place) = free.filter(|_| self.transmit.room() > 0) else { return false };
        // Frames begin at several places of a page.
        let offset = self.sent as usize * 64 % 2048;
        SENT[place].copy_in(offset, frame);
        let grant = grants::lend(&SENT[place], self.device.domain, Access::Read);
        self.sending[place] = Some(grant);
        self.transmit.put(&[grant, offset as u32, place as u32 | (frame.len() as u32) << 16]);
        self.sent += 1;
        true
    }

    /// Shows the backend what was put, and tells it if it wants to be told.
    pub fn push(&mut self) {
        // Both, whatever the first one says.
        if self.transmit.push() | self.receive.push() {
            hypercall::notify(self.port);
        }
    }

    /// Asks for an event with the next frame, or with the next answer; whether there is one already.
    pub fn look_again(&self, for_answer: bool) -> bool {
        if for_answer {
            self.transmit.look_again()
        } else {
            self.receive.look_again()
        }
    }

    /// Whether the backend has gone, or wants to.
    pub fn is_leaving(&self) -> bool {
        xenstore::has_news() && self.device.is_leaving()
    }
}

fn parse_mac(text: &[u8]) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = core::str::from_utf8(text).ok()?.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    Some(mac)
}
