//! Our ring and others of one producer and one consumer, behind the same two traits.
//!
//! Ours and rtrb's are rings of bytes, bbqueue's too, but a record is in one piece there; heapless'
//! holds slots of 41 bytes.

use bbqueue::nicknames::Churrasco;
use heapless::spsc::Queue;
use hv_logger::ring::Ring;

/// Bytes of each ring.
pub const SIZE: usize = 1 << 16;
/// The longest record.
pub const MAX_BYTES: usize = 40;
const SLOTS: usize = 2048;

/// The lengths of records, the same for all.
pub fn lengths() -> Vec<usize> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        2 + (state >> 33) as usize % (MAX_BYTES - 1)
    };
    (0..1024).map(|_| next()).collect()
}

/// One end that takes a record if there is room.
pub trait Write: Send {
    fn write(&mut self, record: &[u8]) -> bool;
}

/// The other end. Hands out bytes of records, at most as many as fit into the buffer.
pub trait Read: Send {
    fn read(&mut self, to: &mut [u8]) -> usize;
}

// ---- ours ----

pub struct Ours(Ring);
// SAFETY: the pages of the ring live until the process ends, and each end has one owner.
unsafe impl Send for Ours {}

impl Write for Ours {
    fn write(&mut self, record: &[u8]) -> bool {
        let len = record.len() as u64;
        let has_room = self.0.free(len).unwrap() >= len;
        if has_room {
            self.0.write(record);
        }
        has_room
    }
}

impl Read for Ours {
    fn read(&mut self, to: &mut [u8]) -> usize {
        let len = (self.0.available().unwrap() as usize).min(to.len());
        if len != 0 {
            self.0.peek(&mut to[..len]);
            self.0.consume(len as u64);
        }
        len
    }
}

pub fn ours() -> (Ours, Ours) {
    #[repr(align(4096))]
    struct Pages([u8; 4096 + SIZE]);
    let pages = Box::leak(Box::new(Pages([0; 4096 + SIZE])));
    let header = pages.0.as_mut_ptr();
    // SAFETY: a page and a data area, zeroed, never freed.
    let end = || unsafe { Ours(Ring::new(header, header.add(4096), SIZE as u64)) };
    (end(), end())
}

// ---- the others ----

impl Write for rtrb::Producer<u8> {
    fn write(&mut self, record: &[u8]) -> bool {
        self.push_entire_slice(record).is_ok()
    }
}

impl Read for rtrb::Consumer<u8> {
    fn read(&mut self, to: &mut [u8]) -> usize {
        self.pop_partial_slice(to).0.len()
    }
}

type Bbqueue = &'static Churrasco<SIZE>;

pub struct BbWriter(bbqueue::prod_cons::stream::StreamProducer<Bbqueue>);
pub struct BbReader(bbqueue::prod_cons::stream::StreamConsumer<Bbqueue>);

impl Write for BbWriter {
    fn write(&mut self, record: &[u8]) -> bool {
        let Ok(mut grant) = self.0.grant_exact(record.len()) else {
            return false;
        };
        grant.copy_from_slice(record);
        grant.commit(record.len());
        true
    }
}

impl Read for BbReader {
    fn read(&mut self, to: &mut [u8]) -> usize {
        let Ok(grant) = self.0.read() else {
            return 0;
        };
        let len = grant.len().min(to.len());
        to[..len].copy_from_slice(&grant[..len]);
        grant.release(len);
        len
    }
}

pub fn bbqueue_ends() -> (BbWriter, BbReader) {
    let queue: Bbqueue = Box::leak(Box::new(Churrasco::new()));
    (
        BbWriter(queue.stream_producer()),
        BbReader(queue.stream_consumer()),
    )
}

#[derive(Clone, Copy)]
struct Slot {
    len: u8,
    bytes: [u8; MAX_BYTES],
}

pub struct SlotWriter(heapless::spsc::Producer<'static, Slot>);
pub struct SlotReader(heapless::spsc::Consumer<'static, Slot>);

impl Write for SlotWriter {
    fn write(&mut self, record: &[u8]) -> bool {
        let mut slot = Slot {
            len: record.len() as u8,
            bytes: [0; MAX_BYTES],
        };
        slot.bytes[..record.len()].copy_from_slice(record);
        self.0.enqueue(slot).is_ok()
    }
}

impl Read for SlotReader {
    fn read(&mut self, to: &mut [u8]) -> usize {
        let mut done = 0;
        while done + MAX_BYTES <= to.len()
            && let Some(slot) = self.0.dequeue()
        {
            let len = usize::from(slot.len);
            to[done..done + len].copy_from_slice(&slot.bytes[..len]);
            done += len;
        }
        done
    }
}

pub fn heapless_ends() -> (SlotWriter, SlotReader) {
    let queue: &'static mut Queue<Slot, SLOTS> = Box::leak(Box::new(Queue::new()));
    let (writer, reader) = queue.split();
    (SlotWriter(writer), SlotReader(reader))
}

/// rtrb's.
pub fn rtrb_ends() -> (rtrb::Producer<u8>, rtrb::Consumer<u8>) {
    rtrb::RingBuffer::new(SIZE)
}
