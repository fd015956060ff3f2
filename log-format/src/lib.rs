//! The log of XenLR: what a record is, and which bytes it becomes.
//!
//! This is the only crate that knows a byte offset; the hypervisor, the dom0 command and the
//! tests share it. Without the feature `std` it needs neither an allocator nor a float nor a
//! panic, because it then runs inside Xen.
//!
//! # Terms
//! * *Sync point*: a return to the guest from an exit that the guest caused itself. Sync points
//!   are numbered from 0, which is before the guest's first instruction.
//! * *Commit*: something from outside that is applied to the guest at a sync point.
//! * *Value*: an answer that Xen gives while it handles the guest's next exit.
//! * *Witness*: a few bits of the guest's registers at a sync point with commits. Replay compares
//!   them, so that a divergence is caught near the place where it happens.
//! * *Wire*: the stream of encoded records that stands in the ring and, in chunks, in the file.
//!
//! # The way of a record
//! 1. Xen fills in an [`Item`]: sync number, witness, [`Record`].
//! 2. [`Encoder::encode`] turns it into at most [`MAX_RECORD_BYTES`] bytes, mostly 1 to 4: what
//!    the predictor that it shares with the decoder expected is not written.
//! 3. The bytes go into the ring ([`ring`]), from where dom0 puts them into a file (`file`, with the feature `std`).
//! 4. [`Decoder::decode`] gives the same items back, for a reader or for replay.
//!
//! ```
//! use log_format::{Decoder, Encoder, Event, Item, MAX_RECORD_BYTES, Record};
//!
//! let item = Item { sync: 17, witness: 0x5, record: Record::Event(Event { port: 3 }) };
//! let mut wire = [0; MAX_RECORD_BYTES];
//! let length = Encoder::new().encode(&item, &mut wire);
//! assert_eq!(Decoder::new().decode(&wire[..length]), Ok((length, item)));
//! ```
//!
//! `docs/format.md` says what stands in every byte.
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

pub mod control;
mod decode;
mod encode;
#[cfg(feature = "std")]
pub mod file;
mod item;
mod kinds;
mod layout;
mod numbered;
mod predict;
pub mod ring;
mod shown;
mod tag;
mod varint;

pub use decode::{DecodeError, Decoder};
pub use encode::Encoder;
pub use item::Item;
pub use kinds::*;
pub use shown::{Digits, Hex};
/// For [`assert_layout`].
#[doc(hidden)]
pub use static_assertions;

/// No encoded record is longer than this; the recorder reserves it before each record.
pub const MAX_RECORD_BYTES: usize = 1152;
