//! Multicalls whose list cannot be written to, wholly or where the arguments are, and which are preempted.

use super::{marked_operations, LONG, MARKS};
use crate::abi::{nr, vcpuop, DOMID_SELF};
use crate::memory::{Page, PTE_RO, PTE_RW};
use crate::{clock, event, hypercall, say};

/// Two pages, one behind the other; the second one is read-only.
static LIST: [Page; 2] = [const { Page::new() }; 2];
/// Words of a `struct multicall_entry`.
const WORDS: usize = 8;

pub fn run() {
    let mut period = clock::MILLISECOND;
    event::mask_upcalls();
    hypercall::vcpu_op(vcpuop::SET_PERIODIC_TIMER, &mut period);
    // On the second page; its number and result on the first one; on the first page.
    for (name, first) in [("read-only", 512), ("half read-only", 510), ("writable", 504)] {
        const ROUNDS: usize = 8;
        // Not begun, stopped on the way, done.
        let mut ends = [0; 3];
        let mut result = 0;
        for _ in 0..ROUNDS {
            let (answer, end) = multicall(first);
            result = answer;
            ends[end] += 1;
        }
        say!(
            "edges: {name} list {result}, of {ROUNDS} {} not begun, {} half done, {} done",
            ends[0],
            ends[1],
            ends[2]
        );
        // Nor does anything of it come back with the next one.
        let entry = words(0, 0, 1);
        for (word, value) in entry.into_iter().enumerate() {
            LIST[0].write(word, value);
        }
        // SAFETY: the entry is in memory for that, and has no arguments.
        let next = unsafe { hypercall::call(nr::MULTICALL, [LIST[0].address(), 1, 0, 0, 0]) };
        let kept = (2..WORDS).all(|word| LIST[0].read(word) == entry[word]);
        say!("edges: the next one {next}, arguments {}", if kept { "kept" } else { "changed" });
    }
    hypercall::plain(nr::VCPU_OP, [vcpuop::STOP_PERIODIC_TIMER, 0, 0, 0, 0]);
    event::unmask_upcalls();
    say!("edges: lists done");
}

/// An entry for so many operations at an address; `xen_version` where there are none.
fn words(operations: u64, count: u64, rest: u64) -> [u64; WORDS] {
    let number = if count == 0 { nr::XEN_VERSION } else { nr::MMUEXT_OP };
    let domain = if count == 0 { rest } else { u64::from(DOMID_SELF) };
    [number, 0, operations, count, 0, domain, rest, rest]
}

/// A multicall of one long entry, at this word of the list: its answer, and how far it came.
fn multicall(first: usize) -> (i64, usize) {
    let operations = marked_operations();
    let entry = words(operations as u64, LONG as u64, 0);
    for (word, value) in (first..).zip(entry) {
        LIST[word / 512].write(word % 512, value);
    }
    assert!(LIST[1].remap(LIST[1].mfn() << 12 | PTE_RO) == 0, "the list stays writable");
    // SAFETY: Xen reads the operations, which outlive the call, and clears the marks; it cannot write to the list.
    let answer =
        unsafe { hypercall::call(nr::MULTICALL, [LIST[0].address() + 8 * first as u64, 1, 0, 0, 0]) };
    assert!(LIST[1].remap(LIST[1].mfn() << 12 | PTE_RW) == 0, "the list stays read-only");
    (answer, MARKS.iter().filter(|mark| mark.read(0) == 0).count())
}
