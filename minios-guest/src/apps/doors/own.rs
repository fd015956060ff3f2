//! The doors of a PVH guest: ports, model-specific registers, CPUID, what there is beside its memory, others' domains.
//!
//! Each line has how many there are that answer, and a digest of the answers: they are the same for each guest with this
//! configuration, wherever and beside whomever it runs, or else it is said what is not. `frames=N` is how many frames beside its
//! memory are asked for.

use crate::abi::{evtchnop, hvm, memop, nr, vcpuop, DOMID_SELF};
use crate::memory::{Page, PTE_RO, PTE_RW};
use crate::random::Checksum;
use crate::{exits, hypercall, machine, say, start, trap};
use core::arch::asm;

static WINDOW: Page = Page::new();
/// Structures of calls, and a page that Xen may write to.
static BUFFER: [Page; 2] = [const { Page::new() }; 2];
/// Domains that are asked for, whether there are any or not.
const DOMAINS: u64 = 40;
const SHARED_SPACES: [(u64, &str); 4] =
    [(2, "gmfn"), (3, "gmfn range"), (4, "foreign gmfn"), (5, "device memory")];

pub fn run(frames: u64) {
    ports();
    models();
    leaves();
    beside_memory();
    frames_of_others(frames);
    domains();
}

/// Puts the grant table where the page is, whose own memory is gone then.
pub fn place_grant_table(page: &Page) {
    const GRANT_TABLE: u64 = 1;
    add(GRANT_TABLE, 0, page.pfn());
}

/// `XENMEM_add_to_physmap`.
fn add(space: u64, index: u64, frame: u64) -> i64 {
    // struct xen_add_to_physmap: the domain, a size, the space; which of it; where.
    let mut argument = [u64::from(DOMID_SELF) | 1 << 16 | space << 32, index, frame];
    hypercall::op(nr::MEMORY_OP, memop::ADD_TO_PHYSMAP, &mut argument)
}

/// All ports, read by bytes.
fn ports() {
    let (mut answered, mut last, mut sum) = (0, 0, Checksum(0));
    for port in 0..=u16::MAX {
        let value: u8;
        // SAFETY: there are no devices.
        unsafe { asm!("in al, dx", in("dx") port, out("al") value) };
        exits::passed();
        if value != 0xff {
            answered += 1;
            last = port;
            sum.mix(u64::from(port) << 8 | u64::from(value));
        }
    }
    say!("doors: ports {answered}, the last one {last:#x}, {:016x}", sum.0);
}

/// What a model-specific register holds, if there is one.
fn model(number: u32) -> Option<u64> {
    let before = trap::caught().0;
    let (low, high) = trap::attempt!("rdmsr", 0, u64::from(number), 0);
    exits::passed();
    (trap::caught().0 == before).then_some(high << 32 | low)
}

fn models() {
    const RANGES: [(u32, u32); 4] =
        [(0, 0x1000), (0x4000_0000, 0x200), (0xc000_0000, 0x2000), (0xc001_0000, 0x2000)];
    /// The TSC, and how far it has been moved.
    const TIME: [u32; 2] = [0x10, 0x3b];
    let (mut answered, mut sum) = (0, Checksum(0));
    for (first, count) in RANGES {
        for number in (first..first + count).filter(|number| !TIME.contains(number)) {
            if let Some(value) = model(number) {
                answered += 1;
                sum.mix(u64::from(number));
                sum.mix(value);
            }
        }
    }
    say!("doors: registers {answered}, {:016x}", sum.0);
    say!("doors: clock's register {}", if model(TIME[0]).is_some() { "read" } else { "fault" });
}

/// Xen's leaf 4 has the number of the domain, if it says so; leaf 3 has its time.
fn leaves() {
    const RANGES: [(u32, u32); 4] = [(0, 0x24), (0x4000_0000, 8), (0x4000_0100, 8), (0x8000_0000, 0x24)];
    const XEN_TIME: u32 = 0x4000_0003;
    const XEN_NUMBERS: u32 = 0x4000_0004;
    const XEN_DOMAIN_PRESENT: u32 = 1 << 4;
    const DEADLINE: u32 = 1 << 24;
    let cpuid = |leaf, subleaf| {
        let (answer, _) = (machine::this().cpuid)(leaf, subleaf, false);
        exits::passed();
        answer
    };
    let mut sum = Checksum(0);
    for (first, count) in RANGES {
        for leaf in (first..first + count).filter(|leaf| ![XEN_TIME, XEN_NUMBERS].contains(leaf)) {
            for subleaf in 0..4 {
                cpuid(leaf, subleaf).iter().for_each(|value| sum.mix(u64::from(*value)));
            }
        }
    }
    let numbers = cpuid(XEN_NUMBERS, 0);
    let named = numbers[0] & XEN_DOMAIN_PRESENT != 0;
    let offered = |yes| if yes { "offered" } else { "not offered" };
    say!("doors: leaves {:016x}, TSC deadline {}", sum.0, offered(cpuid(1, 0)[2] & DEADLINE != 0));
    say!("doors: domain's number {}", if named { "told" } else { "not told" });
}

/// Frames below 4 GB that are not memory, each mapped and looked at: those of the builder, of the local APIC, and nothing.
fn beside_memory() {
    const FRAMES: core::ops::Range<u64> = 0xf_c000..0x10_0000;
    const APIC: u64 = 0xf_ee00;
    /// The rings change.
    const NOT_CACHED: u64 = 0x18;
    let rings = [start::info().console_mfn, start::info().store_mfn];
    let (mut answered, mut sum) = (0, Checksum(0));
    for frame in FRAMES.filter(|frame| *frame != APIC && !rings.contains(frame)) {
        WINDOW.remap(frame << 12 | PTE_RO | NOT_CACHED);
        if WINDOW.read(0) != u64::MAX {
            answered += 1;
            sum.mix(frame);
            (0..512).for_each(|word| sum.mix(WINDOW.read(word)));
        }
        exits::passed();
    }
    WINDOW.remap(WINDOW.pfn() << 12 | PTE_RW);
    say!("doors: frames beside memory {answered}, {:016x}", sum.0);
}

/// Frames with numbers beyond its memory: none is there to be had.
fn frames_of_others(count: u64) {
    let first = start::info().nr_pages;
    for (space, name) in SHARED_SPACES {
        let taken = (first..first + count).filter(|frame| add(space, *frame, WINDOW.pfn()) == 0).count();
        say!("doors: {name}: {taken}");
    }
    let register =
        |command: u64, frame: u64, shift: u32| hypercall::vcpu_op(command, &mut [frame << shift, 0]);
    for (command, shift, name) in [
        (vcpuop::REGISTER_VCPU_INFO, 0, "vcpu_info"),
        (vcpuop::REGISTER_RUNSTATE_PHYS_AREA, 12, "runstate"),
        (vcpuop::REGISTER_TIME_PHYS_AREA, 12, "time"),
    ] {
        let taken = (first..first + count).filter(|frame| register(command, *frame, shift) == 0).count();
        say!("doors: {name}: {taken}");
    }
}

/// One call whose second argument leads to these words; its result.
fn try_call(number: u64, command: u64, words: &[u64]) -> i64 {
    BUFFER[0].clear();
    words.iter().enumerate().for_each(|(index, word)| BUFFER[0].write(index, *word));
    // SAFETY: Xen writes at most into the page.
    unsafe { hypercall::call(number, [command, BUFFER[0].address(), 0, 0, 0]) }
}

/// Calls about domains by number: with how many each succeeds. This domain's own is among them, which a logged guest must not find
/// out like that.
fn domains() {
    const DOMCTL_VERSION: u64 = 0x18;
    const GET_DOMAIN_INFO: u64 = 5;
    const REMOTE_SHUTDOWN: u64 = 4;
    const CURRENT_RESERVATION: u64 = 3;
    const ACQUIRE_RESOURCE: u64 = 28;
    const ADD_TO_PHYSMAP_BATCH: u64 = 23;
    const FOREIGN: u64 = 4;
    // One frame number of theirs, where it is to be, and how that ended, behind the structure.
    let [index, frame, error] = [32, 33, 34].map(|word| BUFFER[0].address() + word * 8);
    type Call<'a> = &'a dyn Fn(u64) -> i64;
    let calls: [(&str, Call<'_>); 9] = [
        ("event channel's status", &|domain| {
            try_call(nr::EVENT_CHANNEL_OP, evtchnop::STATUS, &[domain | 1 << 32, 0, 0])
        }),
        ("event channel to it", &|domain| {
            try_call(nr::EVENT_CHANNEL_OP, evtchnop::BIND_INTERDOMAIN, &[domain | 1 << 32, 0])
        }),
        ("parameter read", &|domain| {
            try_call(nr::HVM_OP, hvm::GET_PARAM, &[domain | u64::from(hvm::CONSOLE_FRAME) << 32, 0])
        }),
        ("parameter written", &|domain| {
            try_call(nr::HVM_OP, hvm::SET_PARAM, &[domain | u64::from(hvm::CALLBACK_IRQ) << 32, 0])
        }),
        ("reservation", &|domain| try_call(nr::MEMORY_OP, CURRENT_RESERVATION, &[domain])),
        ("resource", &|domain| try_call(nr::MEMORY_OP, ACQUIRE_RESOURCE, &[domain | 1 << 16, 1, 0, frame])),
        ("frame mapped", &|domain| {
            // struct xen_add_to_physmap_batch: the own domain, the space, how many, the other one; three lists.
            let words = [u64::from(DOMID_SELF) | FOREIGN << 16 | 1 << 32 | domain << 48, index, frame, error];
            let result = try_call(nr::MEMORY_OP, ADD_TO_PHYSMAP_BATCH, &words);
            // The error of the one frame counts, too.
            result | i64::from(BUFFER[0].read(34) as i32)
        }),
        ("domctl", &|domain| try_call(nr::DOMCTL, 0, &[GET_DOMAIN_INFO | DOMCTL_VERSION << 32, domain])),
        ("shutdown", &|domain| try_call(nr::SCHED_OP, REMOTE_SHUTDOWN, &[domain])),
    ];
    for (name, call) in calls {
        say!("doors: {name}: {}", (0..DOMAINS).filter(|domain| call(*domain) >= 0).count());
    }
    // dm_op: the domain, how many buffers, and they: one, of 16 bytes.
    let device_model = |domain: &u64| {
        BUFFER[0].clear();
        BUFFER[0].write(0, BUFFER[1].address());
        BUFFER[0].write(1, 16);
        // SAFETY: Xen writes at most into the two pages.
        unsafe { hypercall::call(nr::DM_OP, [*domain, 1, BUFFER[0].address(), 0, 0]) >= 0 }
    };
    say!("doors: device model: {}", (0..DOMAINS).filter(device_model).count());
}
