//! Writes records into a ring, or reads them one by one, in a function of its own, so that callgrind can
//! say how many instructions one takes; see `ci/bench-host`.

#![allow(missing_docs, reason = "the peers are for the bench, too")]

#[path = "../benches/peers/mod.rs"]
mod peers;

use std::hint::black_box;

use peers::{MAX_BYTES, Read, Write};

#[inline(never)]
fn measured_write(writer: &mut impl Write, record: &[u8]) {
    assert!(writer.write(record));
}

#[inline(never)]
fn measured_read(reader: &mut impl Read, to: &mut [u8]) -> usize {
    reader.read(to)
}

/// Records are written and read in turn; what is not asked for does not count.
fn run((mut writer, mut reader): (impl Write, impl Read), what: &str) {
    let lengths = peers::lengths();
    let record = [0x5a; MAX_BYTES];
    // Heapless' reader wants room for the longest record.
    let mut got = [0; MAX_BYTES];
    for &len in &lengths {
        let record = black_box(&record[..len]);
        if what == "write" {
            measured_write(&mut writer, record);
        } else {
            assert!(writer.write(record));
        }
        let mut left = len;
        while left != 0 {
            left -= if what == "read" {
                measured_read(&mut reader, black_box(&mut got))
            } else {
                reader.read(black_box(&mut got))
            };
        }
    }
    println!(
        "{} records, {} bytes",
        lengths.len(),
        lengths.iter().sum::<usize>()
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, what] = arguments.as_slice() else {
        panic!("usage: instructions xenlr|bbqueue|rtrb|heapless write|read");
    };
    match name.as_str() {
        "xenlr" => run(peers::ours(), what),
        "bbqueue" => run(peers::bbqueue_ends(), what),
        "rtrb" => run(peers::rtrb_ends(), what),
        "heapless" => run(peers::heapless_ends(), what),
        _ => panic!("no ring {name}"),
    }
}
