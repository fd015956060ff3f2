//! Any stream of requests to xenstore.
#![no_main]

#[path = "../checks/frontends.rs"]
mod frontends;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    frontends::check(bytes);
});
