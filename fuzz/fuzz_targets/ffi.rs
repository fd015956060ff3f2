//! Any order of calls into the library inside Xen, with any ring beside it.
#![no_main]

#[path = "../checks/ffi.rs"]
mod ffi;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ffi::check(bytes);
});
