//! A bug that no random bytes meet: a run that does not find it does not see which code it reached.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter();
    if b"xenlr".iter().all(|byte| bytes.next() == Some(byte)) {
        panic!("the planted bug");
    }
});
