//! Any bytes as a log file.
#![no_main]

#[path = "../checks/file_reader.rs"]
mod file_reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    file_reader::check(bytes);
});
