//! Any bytes into the decoder: it neither panics nor loops, keeps the order, and what it accepts
//! is what an encoder would have written.

use log_format::{Decoder, Encoder, MAX_RECORD_BYTES};

/// Checks these bytes. Returns how many records they are, and how many bytes of them.
pub fn check(wire: &[u8]) -> (usize, usize) {
    let (mut decoder, mut encoder) = (Decoder::new(), Encoder::new());
    let (mut records, mut rest) = (0, wire);
    while let Ok((length, item)) = decoder.decode(rest) {
        let mut out = [0; MAX_RECORD_BYTES];
        assert_eq!(encoder.encode(&item, &mut out), length);
        assert_eq!(out[..length], rest[..length]);
        assert_eq!(decoder.sync(), item.sync);
        rest = &rest[length..];
        records += 1;
    }
    (records, wire.len() - rest.len())
}
