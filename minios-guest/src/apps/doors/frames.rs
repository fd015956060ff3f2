//! Every call that takes the number of a frame, with every frame of the machine.

use crate::abi::{memop, mmuext, nr, vcpuop, DOMID_SELF, UVMF_INVLPG};
use crate::memory::{self, Page, PTE_RW};
use crate::{hypercall, say, start};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Calls in one multicall.
const BATCH: usize = 256;
/// Words of a multicall's entry, and of what its arguments point to.
const ENTRY: usize = 8;
const DATA: usize = 16;
static ENTRIES: [Page; BATCH * ENTRY / 512] = [const { Page::new() }; BATCH * ENTRY / 512];
static ARGUMENTS: [Page; BATCH * DATA / 512] = [const { Page::new() }; BATCH * DATA / 512];
/// A range of addresses to map frames at, and a page of our own to copy from and to.
static WINDOW: Page = Page::new();
static OWN: Page = Page::new();
/// A bit for each frame below 4 GiB that is this domain's, or that it shares with Xen.
static KNOWN: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];

const SELF: u64 = DOMID_SELF as u64;
/// The domain that owns what is Xen's own.
const XEN: u64 = 0x7ff2;

/// How a call tells that it took the frame.
enum Taken {
    /// It returned this.
    Returns(u64),
    /// It returned 0, and the 16 bits at this place of its arguments are this.
    Status { word: usize, shift: u32, is: i16 },
}

/// What a call is made with.
struct Call {
    number: u64,
    arguments: [u64; 5],
    data: [u64; DATA],
    /// So many of them are used.
    words: usize,
}

/// A call that takes the number of a frame.
struct Door {
    name: &'static str,
    /// The call for a frame, when its data will stand at this address.
    call: fn(frame: u64, at: u64) -> Call,
    taken: Taken,
}

/// A call whose first two arguments are its command and where its data stand.
fn op(number: u64, command: u64, at: u64, words: &[u64]) -> Call {
    call(number, [command, at, 0, 0, 0], words)
}
fn call(number: u64, arguments: [u64; 5], words: &[u64]) -> Call {
    let mut data = [0; DATA];
    data[..words.len()].copy_from_slice(words);
    Call { number, arguments, data, words: words.len() }
}
fn mmu_update(at: u64, address: u64, value: u64, owner: u64) -> Call {
    call(nr::MMU_UPDATE, [at, 1, 0, owner, 0], &[address, value])
}
fn extended(at: u64, command: u32, frame: u64, other: u64, owner: u64) -> Call {
    call(nr::MMUEXT_OP, [at, 1, 0, owner, 0], &[u64::from(command), frame, other])
}
fn map(frame: u64, owner: u64) -> Call {
    let arguments = [WINDOW.address(), frame << 12 | PTE_RW, UVMF_INVLPG, owner, 0];
    let number = if owner == SELF { nr::UPDATE_VA_MAPPING } else { nr::UPDATE_VA_MAPPING_OTHERDOMAIN };
    call(number, arguments, &[])
}
/// `struct gnttab_copy`, of 8 bytes.
fn copy(at: u64, from: u64, to: u64) -> Call {
    const COPY: u64 = 5;
    let mut call = op(nr::GRANT_TABLE_OP, COPY, at, &[from, SELF, to, SELF, 8]);
    call.arguments[2] = 1;
    call
}
/// A `struct xen_memory_reservation` of one frame, whose number stands in the data's word `list`.
fn reservation(at: u64, list: u64) -> [u64; 4] {
    [at + list * 8, 1, 0, SELF]
}
fn vcpu(command: u64, at: u64, words: &[u64]) -> Call {
    call(nr::VCPU_OP, [command, 0, at, 0, 0], words)
}

const COPIED: Taken = Taken::Status { word: 4, shift: 32, is: 0 };
const DONE: Taken = Taken::Returns(0);

/// What leaves least behind comes first.
const DOORS: [Door; 23] = [
    door("copy from", |frame, at| extended(at, mmuext::COPY_PAGE, OWN.mfn(), frame, SELF), DONE),
    door("copy from Xen's", |frame, at| extended(at, mmuext::COPY_PAGE, OWN.mfn(), frame, XEN), DONE),
    door("map Xen's", |frame, _| map(frame, XEN), DONE),
    door("grant copy from", |frame, at| copy(at, frame, OWN.mfn()), COPIED),
    door("machphys", |frame, at| mmu_update(at, frame << 12 | 1, 0, SELF), DONE),
    door("machphys of Xen's", |frame, at| mmu_update(at, frame << 12 | 1, 0, XEN), DONE),
    door("pin L1", |frame, at| extended(at, mmuext::PIN_L1_TABLE, frame, 0, SELF), DONE),
    door("user root", |frame, at| extended(at, mmuext::NEW_USER_BASEPTR, frame, 0, SELF), DONE),
    door("unpin", |frame, at| extended(at, mmuext::UNPIN_TABLE, frame, 0, SELF), DONE),
    door("gdt", |frame, at| op(nr::SET_GDT, at, 512, &[frame]), DONE),
    door("runstate", |frame, at| vcpu(vcpuop::REGISTER_RUNSTATE_PHYS_AREA, at, &[frame << 12]), DONE),
    door("time", |frame, at| vcpu(vcpuop::REGISTER_TIME_PHYS_AREA, at, &[frame << 12]), DONE),
    door("vcpu_info", |frame, at| vcpu(vcpuop::REGISTER_VCPU_INFO, at, &[frame]), DONE),
    door("pirq", |frame, at| op(nr::PHYSDEV_OP, 28, at, &[frame]), DONE),
    door("event array", |frame, at| op(nr::EVENT_CHANNEL_OP, 11, at, &[frame]), DONE),
    door("transfer", transfer, Taken::Status { word: 2, shift: 0, is: -2 }),
    door("descriptor", |frame, _| op(nr::UPDATE_DESCRIPTOR, frame << 12 | 0xff8, 0, &[]), DONE),
    door("entry", |frame, at| mmu_update(at, frame << 12 | 0xff8, 0, SELF), DONE),
    door("grant copy to", |frame, at| copy(at, OWN.mfn(), frame), COPIED),
    door("physmap's end", |frame, at| op(nr::MEMORY_OP, 15, at, &[SELF, frame]), DONE),
    door("exchange", exchange, DONE),
    door("give back", give_back, Taken::Returns(1)),
    door("clear", |frame, at| extended(at, mmuext::CLEAR_PAGE, frame, 0, SELF), DONE),
];

const fn door(name: &'static str, call: fn(u64, u64) -> Call, taken: Taken) -> Door {
    Door { name, call, taken }
}
/// To nobody: Xen takes the frame away before it looks for the domain.
fn transfer(frame: u64, at: u64) -> Call {
    const TRANSFER: u64 = 4;
    let mut call = op(nr::GRANT_TABLE_OP, TRANSFER, at, &[frame, 0x7fff]);
    call.arguments[2] = 1;
    call
}
fn exchange(frame: u64, at: u64) -> Call {
    // What is given, what is taken, how many were exchanged, and the two lists.
    let ([a, b, c, d], [e, f, g, h]) = (reservation(at, 9), reservation(at, 10));
    op(nr::MEMORY_OP, memop::EXCHANGE, at, &[a, b, c, d, e, f, g, h, 0, frame, 0])
}
fn give_back(frame: u64, at: u64) -> Call {
    let [a, b, c, d] = reservation(at, 4);
    op(nr::MEMORY_OP, memop::DECREASE_RESERVATION, at, &[a, b, c, d, frame])
}

fn bit(frame: u64) -> Option<(&'static AtomicU64, u64)> {
    Some((KNOWN.get(frame as usize / 64)?, 1 << (frame % 64)))
}
fn is_known(frame: u64) -> bool {
    bit(frame).is_none_or(|(word, bit)| word.load(Relaxed) & bit != 0)
}

/// Tries to map the machine's first `count` frames, but for those that are ours, and the other
/// doors with the first `calls`, and prints with how many each was open.
pub fn run(count: u64, calls: u64) {
    let note = |frame| {
        if let Some((word, bit)) = bit(frame) {
            word.fetch_or(bit, Relaxed);
        }
    };
    (0..start::info().nr_pages).map(memory::mfn_of_pfn).for_each(note);
    let mapped = try_all(&door("map", |frame, _| map(frame, SELF), DONE), count, note);
    say!("doors: mapped {mapped} frames beside its memory");
    for door in &DOORS {
        say!("doors: {}: {}", door.name, try_all(door, calls, |_| ()));
    }
    WINDOW.remap(WINDOW.mfn() << 12 | PTE_RW);
}

/// With how many frames the call succeeds; each is handed to `found`.
fn try_all(door: &Door, count: u64, found: impl Fn(u64)) -> u64 {
    let mut open = 0;
    // For some calls 0 is no frame at all.
    let mut frames = (1..count).filter(|frame| !is_known(*frame));
    loop {
        let mut batch = [0; BATCH];
        let mut used = 0;
        for (slot, frame) in batch.iter_mut().zip(&mut frames) {
            *slot = frame;
            write(used, &(door.call)(frame, address(&ARGUMENTS, used * DATA)));
            used += 1;
        }
        if used == 0 {
            return open;
        }
        // SAFETY: the entries and what they point to are statics; what a call could overwrite if a
        // door were open is none of ours.
        unsafe { hypercall::call(nr::MULTICALL, [ENTRIES[0].address(), used as u64, 0, 0, 0]) };
        for (index, frame) in batch[..used].iter().enumerate() {
            if is_taken(door, index) {
                open += 1;
                found(*frame);
            }
        }
    }
}

fn write(index: usize, call: &Call) {
    put(&ENTRIES, index * ENTRY, call.number);
    for (at, argument) in call.arguments.iter().enumerate() {
        put(&ENTRIES, index * ENTRY + 2 + at, *argument);
    }
    for (at, word) in call.data[..call.words].iter().enumerate() {
        put(&ARGUMENTS, index * DATA + at, *word);
    }
}

fn is_taken(door: &Door, index: usize) -> bool {
    let result = get(&ENTRIES, index * ENTRY + 1);
    match door.taken {
        Taken::Returns(value) => result == value,
        Taken::Status { word, shift, is } => {
            result == 0 && (get(&ARGUMENTS, index * DATA + word) >> shift) as i16 == is
        }
    }
}

fn address(pages: &[Page], word: usize) -> u64 {
    pages[0].address() + word as u64 * 8
}
fn get(pages: &[Page], word: usize) -> u64 {
    pages[word / 512].read(word % 512)
}
fn put(pages: &[Page], word: usize, value: u64) {
    pages[word / 512].write(word % 512, value);
}
