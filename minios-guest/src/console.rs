//! The console ring: output, input, flow control.
//!
//! Lines end in CR LF, as on a serial line.

use crate::{event, hypercall, shared, start, witness};
use core::fmt;
use core::sync::atomic::{
    fence, AtomicBool, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};

const OUT_BYTES: u32 = 2048;
const IN_BYTES: u32 = 1024;

/// Set when the ring is no longer to be touched.
static GONE: AtomicBool = AtomicBool::new(false);

/// Drops all output from now on: the ring page is gone or spoilt.
pub fn give_up() {
    GONE.store(true, Relaxed);
}

/// Opens the console's port.
pub fn init() {
    event::unmask_port(port());
}

/// The console's event channel.
pub fn port() -> u32 {
    start::info().console_port
}

/// Puts bytes into the output ring, waiting for room; dom0 is told only when
/// the ring is full (and by [`kick`]).
pub fn put(bytes: &[u8]) {
    if GONE.load(Relaxed) {
        return;
    }
    let ring = shared::console();
    for byte in bytes {
        let prod = ring.out_prod.load(Relaxed);
        let room = || prod.wrapping_sub(ring.out_cons.load(Acquire)) < OUT_BYTES;
        if !room() {
            wait_for_dom0(room);
        }
        ring.output[(prod % OUT_BYTES) as usize].store(*byte, Relaxed);
        ring.out_prod.store(prod.wrapping_add(1), Release);
    }
}

/// Waits until dom0 has moved its index so far that `done` holds. Reads no clock.
fn wait_for_dom0(done: impl Fn() -> bool) {
    // With upcalls masked nothing takes the event away between the test and
    // the poll: one that comes in between makes the poll return at once.
    let unmasked = event::mask_upcalls();
    kick();
    while !done() {
        hypercall::poll(&[port()], 0);
    }
    if unmasked {
        event::unmask_upcalls();
    }
}

/// Tells dom0 that the ring has news.
pub fn kick() {
    fence(SeqCst);
    hypercall::notify(port());
}

/// Waits until dom0 has taken all output. Reads no clock.
pub fn flush() {
    if GONE.load(Relaxed) {
        return;
    }
    let ring = shared::console();
    let taken = || ring.out_cons.load(Acquire) == ring.out_prod.load(Relaxed);
    if !taken() {
        wait_for_dom0(taken);
    }
}

/// Takes one byte of input, without waiting and without telling dom0.
pub fn take() -> Option<u8> {
    let ring = shared::console();
    let cons = ring.in_cons.load(Relaxed);
    if cons == ring.in_prod.load(Acquire) {
        return None;
    }
    let byte = ring.input[(cons % IN_BYTES) as usize].load(Relaxed);
    ring.in_cons.store(cons.wrapping_add(1), Release);
    witness::BYTES.feed(&[byte]);
    Some(byte)
}

/// Takes the input there is, up to the buffer's length, and tells dom0 of the room.
pub fn read(buffer: &mut [u8]) -> usize {
    let mut count = 0;
    while let Some(slot) = buffer.get_mut(count) {
        let Some(byte) = take() else { break };
        *slot = byte;
        count += 1;
    }
    if count > 0 {
        kick();
    }
    count
}

/// Waits for input and takes it.
pub fn read_blocking(buffer: &mut [u8]) -> usize {
    loop {
        let since = event::total();
        let count = read(buffer);
        if count > 0 {
            return count;
        }
        event::wait_any(since);
    }
}

/// Formats into the output ring.
pub struct Writer;

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put(text.as_bytes());
        Ok(())
    }
}

/// Prints formatted text and tells dom0.
pub fn print(arguments: fmt::Arguments<'_>) {
    // The writer never fails.
    let _ = fmt::write(&mut Writer, arguments);
    kick();
}

/// Prints one line.
#[macro_export]
macro_rules! say {
    ($($arguments:tt)*) => {
        $crate::console::print(format_args!("{}\r\n", format_args!($($arguments)*)))
    };
}
