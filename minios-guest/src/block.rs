//! A block device's front end (`io/blkif.h`): one ring of one page, no persistent grants, no indirect segments.

use crate::grants::{self, Access};
use crate::memory::Page;
use crate::ring::Ring;
use crate::xenbus::{Device, State};
use crate::{event, hypercall, xenstore};

/// Bytes of a sector, whatever the device's own are.
pub const SECTOR_BYTES: usize = 512;
/// Sectors of a page.
pub const PAGE_SECTORS: u64 = 8;
/// Pages of a request.
pub const SEGMENTS: usize = 11;
/// Requests that fit into the ring.
pub const DEPTH: usize = Requests::SLOTS as usize;

/// A request: 112 bytes.
type Requests = Ring<28>;

static RING: Page = Page::new();

/// The page of the ring, for who watches it.
pub fn ring_page() -> &'static Page {
    &RING
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Sectors into memory.
    Read = 0,
    /// Memory into sectors.
    Write = 1,
    /// All that was written is to be durable.
    Flush = 3,
    /// Sectors that are not needed any more.
    Discard = 5,
}

/// Sectors of a page.
#[derive(Clone, Copy)]
pub struct Segment {
    /// The page's grant.
    pub grant: u32,
    /// The first of its sectors.
    pub first: u8,
    /// The last one.
    pub last: u8,
}

impl Segment {
    /// No segment.
    pub const NONE: Self = Self { grant: 0, first: 0, last: 0 };

    /// How many sectors.
    pub fn sectors(&self) -> u64 {
        u64::from(self.last) - u64::from(self.first) + 1
    }
}

/// The answer to a request.
pub struct Response {
    /// The request's number.
    pub id: u64,
    /// 0, or what went wrong.
    pub status: i16,
}

/// A connected device.
pub struct Block {
    device: Device,
    handle: u16,
    ring: Requests,
    grant: u32,
    port: u32,
    /// Sectors of it.
    pub sectors: u64,
    /// Whether it takes flushes.
    pub flushes: bool,
    /// Whether it takes discards.
    pub discards: bool,
}

impl Block {
    /// Connects to the first block device, if there is one.
    pub fn open() -> Option<Self> {
        let device = Device::find("vbd")?;
        if !grants::init() {
            device.forget();
            return None;
        }
        Self::connect(device)
    }

    fn connect(device: Device) -> Option<Self> {
        if !device.begin() {
            device.forget();
            return None;
        }
        let handle = device.number("virtual-device").unwrap_or(0) as u16;
        let ring = Ring::new(&RING);
        let grant = grants::lend(&RING, device.domain, Access::Write);
        let port = event::offer(device.domain)?;
        event::unmask_port(port);
        device.set("ring-ref", format_args!("{grant}"));
        device.set("event-channel", format_args!("{port}"));
        device.set("protocol", format_args!("x86_64-abi"));
        let mut this =
            Self { device, handle, ring, grant, port, sectors: 0, flushes: false, discards: false };
        if !this.device.agree(State::Initialised) {
            this.close();
            return None;
        }
        this.sectors = this.device.offered("sectors").unwrap_or(0);
        this.flushes = this.device.offered("feature-flush-cache") == Some(1);
        this.discards = this.device.offered("feature-discard") == Some(1);
        this.device.enter(State::Connected);
        Some(this)
    }

    fn disconnect(self) -> Device {
        self.device.close();
        event::close(self.port);
        assert!(grants::end(self.grant), "the backend keeps the ring");
        self.device
    }

    /// Ends all use of the device; nothing is outstanding.
    pub fn close(self) {
        self.disconnect().forget();
    }

    /// Ends it and connects anew.
    pub fn reopen(self) -> Option<Self> {
        Self::connect(self.disconnect())
    }

    /// Who lends the pages of requests lends them to this domain.
    pub fn domain(&self) -> u16 {
        self.device.domain
    }

    /// Requests that there is room for.
    pub fn room(&self) -> u32 {
        self.ring.room()
    }

    /// Requests without an answer.
    pub fn outstanding(&self) -> u32 {
        self.ring.outstanding()
    }

    /// Puts a request about the segments' sectors, or, to discard, about `count` of them.
    pub fn put(&mut self, operation: Operation, id: u64, sector: u64, count: u64, segments: &[Segment]) {
        let mut words = [0; 28];
        let halves = |value: u64| [value as u32, (value >> 32) as u32];
        words[0] = operation as u32 | (segments.len() as u32) << 8 | u32::from(self.handle) << 16;
        words[2..4].copy_from_slice(&halves(id));
        words[4..6].copy_from_slice(&halves(sector));
        if operation == Operation::Discard {
            words[6..8].copy_from_slice(&halves(count));
        }
        for (pair, segment) in words[6..].chunks_exact_mut(2).zip(segments) {
            pair[0] = segment.grant;
            pair[1] = u32::from(segment.first) | u32::from(segment.last) << 8;
        }
        self.ring.put(&words);
    }

    /// Shows the backend what was put, and tells it if it wants to be told.
    pub fn push(&mut self) {
        if self.ring.push() {
            hypercall::notify(self.port);
        }
    }

    /// Takes an answer, if there is one.
    pub fn take(&mut self) -> Option<Response> {
        let words = self.ring.take()?;
        let id = u64::from(words[0]) | u64::from(words[1]) << 32;
        Some(Response { id, status: (words[2] >> 16) as i16 })
    }

    /// Asks for an event with the next answer; whether there is one already.
    pub fn look_again(&self) -> bool {
        self.ring.look_again()
    }

    /// Whether the backend has gone, or wants to.
    pub fn is_leaving(&self) -> bool {
        xenstore::has_news() && self.device.is_leaving()
    }
}
