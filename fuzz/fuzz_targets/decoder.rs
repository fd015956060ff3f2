//! Any bytes into the decoder.
#![no_main]

#[path = "../checks/decoder.rs"]
mod decoder;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decoder::check(bytes);
});
