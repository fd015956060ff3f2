//! A xenstore client: one request at a time over the ring.

use crate::{event, hypercall, shared, start};
use core::sync::atomic::{
    fence, AtomicU32, AtomicU8, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};

const RING_BYTES: u32 = 1024;
/// Message types of the wire protocol.
const DIRECTORY: u32 = 1;
const READ: u32 = 2;
const WATCH: u32 = 4;
const UNWATCH: u32 = 5;
const WRITE: u32 = 11;
const REMOVE: u32 = 13;
const ERROR: u32 = 16;

static NEXT_REQUEST: AtomicU32 = AtomicU32::new(1);

/// Why a request failed.
pub enum Error {
    /// Xenstored's answer, such as `ENOENT`: so many bytes of the buffer.
    Refused(usize),
    /// The answer does not belong to the request.
    Protocol,
}

/// Opens the ring's port.
pub fn init() {
    event::unmask_port(port());
}

/// The ring's event channel.
pub fn port() -> u32 {
    start::info().store_port
}

/// The value at `path` (relative to the domain's own), in `buffer`; its length.
pub fn read(path: &[u8], buffer: &mut [u8]) -> Result<usize, Error> {
    request(READ, &[path, b"\0"], buffer)
}

/// The names below `path`, zero-terminated each.
pub fn list(path: &[u8], buffer: &mut [u8]) -> Result<usize, Error> {
    request(DIRECTORY, &[path, b"\0"], buffer)
}

/// Sets the value at `path`.
pub fn write(path: &[u8], value: &[u8], buffer: &mut [u8]) -> Result<usize, Error> {
    request(WRITE, &[path, b"\0", value], buffer)
}

/// Removes `path` and what is below it.
pub fn remove(path: &[u8], buffer: &mut [u8]) -> Result<usize, Error> {
    request(REMOVE, &[path, b"\0"], buffer)
}

/// From now on [`has_news`] when something at `path` or below it may have changed.
pub fn watch(path: &[u8], buffer: &mut [u8]) -> Result<usize, Error> {
    request(WATCH, &[path, b"\0", path, b"\0"], buffer)
}

/// Ends that.
pub fn unwatch(path: &[u8], buffer: &mut [u8]) -> Result<usize, Error> {
    request(UNWATCH, &[path, b"\0", path, b"\0"], buffer)
}

/// Whether a watched path has news. The next request of any kind takes them.
pub fn has_news() -> bool {
    let ring = shared::store();
    ring.rsp_cons.load(Relaxed) != ring.rsp_prod.load(Acquire)
}

/// Waits for news.
pub fn wait_for_news() {
    retry(has_news);
}

fn request(kind: u32, parts: &[&[u8]], buffer: &mut [u8]) -> Result<usize, Error> {
    let id = NEXT_REQUEST.fetch_add(1, Relaxed);
    let length: usize = parts.iter().map(|part| part.len()).sum();
    send(&header(kind, id, length as u32));
    parts.iter().for_each(|part| send(part));
    kick();

    loop {
        let mut head = [0; 16];
        receive(&mut head);
        let field = |index: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&head[index * 4..index * 4 + 4]);
            u32::from_le_bytes(bytes)
        };
        let (answer, answer_id, mut left) = (field(0), field(1), field(3) as usize);
        let mut kept = left.min(buffer.len());
        if answer_id != id {
            kept = 0;
        }
        receive(&mut buffer[..kept]);
        left -= kept;
        while left > 0 {
            let mut skipped = [0; 64];
            let part = left.min(skipped.len());
            receive(&mut skipped[..part]);
            left -= part;
        }
        match answer {
            // Something else, such as a watch event: not for us.
            _ if answer_id != id => continue,
            ERROR => return Err(Error::Refused(kept.saturating_sub(1))),
            _ if answer == kind => return Ok(kept),
            _ => return Err(Error::Protocol),
        }
    }
}

fn header(kind: u32, id: u32, length: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..8].copy_from_slice(&id.to_le_bytes());
    bytes[12..].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn kick() {
    fence(SeqCst);
    hypercall::notify(port());
}

/// Runs `step` until it succeeds, waiting for events in between.
fn retry(mut step: impl FnMut() -> bool) {
    loop {
        let since = event::total();
        if step() {
            return;
        }
        event::wait_any(since);
    }
}

fn send(bytes: &[u8]) {
    let ring = shared::store();
    let slot = |index: u32| -> &AtomicU8 { &ring.request[(index % RING_BYTES) as usize] };
    for byte in bytes {
        let prod = ring.req_prod.load(Relaxed);
        retry(|| {
            let room = prod.wrapping_sub(ring.req_cons.load(Acquire)) < RING_BYTES;
            if !room {
                kick();
            }
            room
        });
        slot(prod).store(*byte, Relaxed);
        ring.req_prod.store(prod.wrapping_add(1), Release);
    }
}

fn receive(bytes: &mut [u8]) {
    let ring = shared::store();
    let mut taken = false;
    for byte in bytes {
        let cons = ring.rsp_cons.load(Relaxed);
        if cons == ring.rsp_prod.load(Acquire) && taken {
            kick();
        }
        retry(|| cons != ring.rsp_prod.load(Acquire));
        *byte = ring.reply[(cons % RING_BYTES) as usize].load(Relaxed);
        ring.rsp_cons.store(cons.wrapping_add(1), Release);
        taken = true;
    }
    if taken {
        kick();
    }
}
