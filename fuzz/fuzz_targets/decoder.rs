//! Any bytes into the decoder: it neither panics nor loops, keeps the order, and what it accepts
//! is what an encoder would have written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_format::{Decoder, Encoder, MAX_RECORD_BYTES};

fuzz_target!(|wire: &[u8]| {
    let (mut decoder, mut encoder) = (Decoder::new(), Encoder::new());
    let mut rest = wire;
    while let Ok((length, item)) = decoder.decode(rest) {
        let mut out = [0; MAX_RECORD_BYTES];
        assert_eq!(encoder.encode(&item, &mut out), length);
        assert_eq!(out[..length], rest[..length]);
        assert_eq!(decoder.sync(), item.sync);
        rest = &rest[length..];
    }
});
