//! A PVH guest: the processor is the kernel's own.

use super::{Kind, Operations, Selectors};
use crate::abi::{
    hvm, memop, mmuext, nr, HvmStartInfo, MemoryMapEntry, MmuUpdate, StartInfo, VcpuInfo, DOMID_SELF,
};
use crate::boot::pvh::{self, MAPPED};
use crate::hypercall;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Selectors of the table in [`crate::boot::pvh`].
const KERNEL: Selectors = Selectors { cs: 0x08, ss: 0x10 };
const USER: Selectors = Selectors { cs: 0x33, ss: 0x2b };
const TASK: u16 = 0x38;
/// The vector of upcalls.
const UPCALL_VECTOR: u64 = 0xf3;
/// `HVM_PARAM_CALLBACK_TYPE_VECTOR`
const CALLBACK_BY_VECTOR: u64 = 2 << 56;
const EFER: u32 = 0xc000_0080;
const PAT: u32 = 0x277;
const DEBUG_CONTROL: u32 = 0x1d9;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const SYSCALL_MASK: u32 = 0xc000_0084;
const FS_BASE: u32 = 0xc000_0100;
const EINVAL: i64 = -22;
const ENOSYS: i64 = -38;

/// The operations.
pub static OPERATIONS: Operations = Operations {
    kind: Kind::Pvh,
    kernel: KERNEL,
    user: USER,
    frame_return: pvh::pvh_frame_return,
    traps_exit: false,
    share_info,
    set_traps,
    clear_traps,
    mask,
    unmask,
    allow,
    is_masked,
    block,
    map,
    write_entries,
    extended,
    user_tables,
    fault_address,
    set_debug_register,
    debug_register,
    set_fs_base,
    tscp,
    map_grants,
    cpuid,
};

/// What stands in for the builder's page of a PV guest.
struct Start(UnsafeCell<StartInfo>);

// SAFETY: written once, by `begin`, before anything else runs.
unsafe impl Sync for Start {}

static START: Start = Start(UnsafeCell::new(StartInfo::new()));

/// Exits of the first instructions, which nobody watched.
pub fn exits_so_far() -> u64 {
    // SAFETY: nobody writes it any more.
    unsafe { pvh::pvh_exits }
}

/// Makes the structure that a PV guest is handed of what a PVH guest is; `at` is its physical address.
/// Upcalls have a vector when this returns, and the way to long mode is no longer mapped.
pub fn begin(at: u64) -> &'static StartInfo {
    super::become_pvh();
    hypercall::enter_through((&raw const hypercall::hypercall_page) as u64 + 5);
    // SAFETY: there is one vCPU, and nothing refers to it yet.
    let start = unsafe { &mut *START.0.get() };
    // SAFETY: the domain builder placed the structure, the command line and the list below 1 GB, which is mapped at 0.
    unsafe {
        let info = &*(at as *const HvmStartInfo);
        let mut line = info.cmdline_address as *const u8;
        for slot in start.cmd_line.iter_mut().rev().skip(1).rev() {
            if line.is_null() || line.read() == 0 {
                break;
            }
            *slot = line.read();
            line = line.add(1);
        }
        let ranges = info.memory_map as *const MemoryMapEntry;
        for range in (0..info.memory_map_entries as usize).map(|index| &*ranges.add(index)) {
            // Memory, from address 0 on.
            if range.kind == 1 && range.address == 0 {
                start.nr_pages = range.bytes >> 12;
            }
        }
    }
    parameter(hvm::SET_PARAM, hvm::CALLBACK_IRQ, CALLBACK_BY_VECTOR | UPCALL_VECTOR);
    start.console_mfn = parameter(hvm::GET_PARAM, hvm::CONSOLE_FRAME, 0);
    start.console_port = parameter(hvm::GET_PARAM, hvm::CONSOLE_PORT, 0) as u32;
    start.store_mfn = parameter(hvm::GET_PARAM, hvm::STORE_FRAME, 0);
    start.store_port = parameter(hvm::GET_PARAM, hvm::STORE_PORT, 0) as u32;
    start.pt_base = (&raw const pvh::pvh_l4) as u64;
    extend_states();
    // SAFETY: the entry is the one for the way here; nothing is reached through it any more.
    unsafe { (&raw mut pvh::pvh_l4).cast::<u64>().write_volatile(0) };
    load_tables(frame_of_table());
    start
}

/// Reads or writes one of the domain's parameters; its value.
fn parameter(command: u64, index: u32, value: u64) -> u64 {
    #[repr(C)]
    struct Parameter {
        domain: u16,
        pad: u16,
        index: u32,
        value: u64,
    }
    let mut argument = Parameter { domain: DOMID_SELF, pad: 0, index, value };
    hypercall::op(nr::HVM_OP, command, &mut argument);
    argument.value
}

/// What XSAVE was switched on for.
static STATES: AtomicU64 = AtomicU64::new(0);

/// Switches on XSAVE, with what the processor has of x87, SSE and AVX state.
fn extend_states() {
    const XSAVE: u32 = 1 << 26;
    const OSXSAVE: u64 = 1 << 18;
    if instruction(1, 0)[2] & XSAVE == 0 {
        return;
    }
    let states = instruction(0xd, 0)[0] & 7;
    STATES.store(u64::from(states), Relaxed);
    // SAFETY: the processor has both; nothing uses the registers yet.
    unsafe {
        let mut cr4: u64;
        asm!("mov {}, cr4", out(reg) cr4);
        cr4 |= OSXSAVE;
        asm!("mov cr4, {}", in(reg) cr4);
        hypercall::exited();
        asm!("xsetbv", in("ecx") 0, in("eax") states, in("edx") 0);
        hypercall::exited();
    }
}

/// CPUID; always an exit.
fn instruction(leaf: u32, subleaf: u32) -> [u32; 4] {
    let result = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    hypercall::exited();
    [result.eax, result.ebx, result.ecx, result.edx]
}

/// Writes a model-specific register that does not make an exit.
fn write_register(number: u32, value: u64) {
    // SAFETY: callers set what only they rely on.
    unsafe { asm!("wrmsr", in("ecx") number, in("eax") value as u32, in("edx") (value >> 32) as u32) };
}

/// Makes a hypercall from 32-bit code, in compatibility mode; its arguments are numbers or physical addresses.
pub fn call_32(number: u32, [a, b, c]: [u32; 3]) -> i64 {
    let slot = (&raw mut pvh::pvh_l4).cast::<u64>();
    // SAFETY: the lowest half terabyte is user mode's, which does not run meanwhile; instead of it the first gigabyte is
    // mapped there, as when the kernel began.
    let (result, user) = unsafe {
        let user = slot.read_volatile();
        slot.write_volatile(((&raw const pvh::pvh_l3) as u64 - crate::boot::VIRT_BASE) | 0x63);
        load_tables(frame_of_table());
        (pvh::pvh_call_32(number, a, b, c), user)
    };
    hypercall::exited();
    // SAFETY: as it was.
    unsafe { slot.write_volatile(user) };
    load_tables(frame_of_table());
    result
}

/// What hypercalls from 32-bit code answered before there was paging; zeros if there were none.
pub fn answers() -> &'static [u32; pvh::ANSWERS] {
    // SAFETY: nobody writes them any more.
    unsafe { &pvh::pvh_answers }
}

/// Puts another table in one of the kernel's slots of the top table, for addresses that nothing else uses; 0 takes it away.
pub fn set_top_entry(slot: usize, entry: u64) {
    assert!((1..256).contains(&slot), "a slot that is used");
    // SAFETY: the slot is free for that.
    unsafe { (&raw mut pvh::pvh_l4).cast::<u64>().add(slot).write_volatile(entry) };
    load_tables(frame_of_table());
}

/// Which of Xen's frames takes the place of the one at an address: `struct xen_add_to_physmap`.
#[repr(C)]
struct Place {
    domain: u16,
    size: u16,
    space: u32,
    index: u64,
    frame: u64,
}

impl Place {
    fn new(space: u32, index: u64, address: u64) -> Self {
        let frame = (address - crate::boot::VIRT_BASE) >> 12;
        Self { domain: DOMID_SELF, size: 0, space, index, frame }
    }
}

fn share_info(_: &StartInfo, address: u64) -> i64 {
    const SHARED_INFO: u32 = 0;
    let argument = Place::new(SHARED_INFO, 0, address);
    // SAFETY: Xen reads the structure; the frame is a page's that nothing else refers to.
    unsafe { hypercall::raw(nr::MEMORY_OP, [memop::ADD_TO_PHYSMAP, &raw const argument as u64, 0, 0, 0]) }
}

fn map_grants(address: u64, count: usize) -> i64 {
    const GRANT_TABLE: u32 = 1;
    // The last one first: the table grows once.
    for index in (0..count as u64).rev() {
        let mut argument = Place::new(GRANT_TABLE, index, address + index * 4096);
        let result = hypercall::op(nr::MEMORY_OP, memop::ADD_TO_PHYSMAP, &mut argument);
        if result != 0 {
            return result;
        }
    }
    0
}

/// The table of interrupts: two words for each.
static INTERRUPTS: [[AtomicU64; 2]; 256] = [const { [const { AtomicU64::new(0) }; 2] }; 256];

/// What LIDT and LGDT take.
#[repr(C, packed)]
struct Table {
    limit: u16,
    base: u64,
}

fn set_traps() {
    let mut entry = &raw const pvh::pvh_entries;
    while entry < &raw const pvh::pvh_entries_end {
        // SAFETY: within the list that the entries' code made.
        let [place, address] = unsafe { entry.read() };
        // SAFETY: as above, at most its end.
        entry = unsafe { entry.add(1) };
        let stack = match place {
            8 => 1,
            2 => 2,
            _ => 0,
        };
        // An interrupt gate; breakpoints, overflows and 0x80 may be raised by user mode.
        let gate = if matches!(place, 3 | 4 | 0x80) { 0xee00 } else { 0x8e00 };
        let [low, high] = &INTERRUPTS[place as usize & 255];
        low.store(
            address & 0xffff
                | u64::from(KERNEL.cs) << 16
                | (gate | stack) << 32
                | (address >> 16 & 0xffff) << 48,
            Relaxed,
        );
        high.store(address >> 32, Relaxed);
    }
    load_interrupts((256 * 16) - 1);
    load_task();
    write_register(STAR, u64::from(KERNEL.cs) << 32);
    write_register(LSTAR, pvh::pvh_syscall as *const () as u64);
    // Trap flag, interrupts, direction, nested task, alignment check.
    write_register(SYSCALL_MASK, 0x4_4700);
    parameter(hvm::SET_PARAM, hvm::CALLBACK_IRQ, CALLBACK_BY_VECTOR | UPCALL_VECTOR);
}

/// Puts back what a guest that means harm may have changed of its own processor, and the vector of upcalls.
pub fn repair() {
    const DEFAULT_TYPES: u64 = 0x0007_0406_0007_0406;
    set_traps();
    // Long mode, SYSCALL.
    write_register(EFER, 0x501);
    write_register(PAT, DEFAULT_TYPES);
    write_register(DEBUG_CONTROL, 0);
    hypercall::exited();
    let states = STATES.load(Relaxed);
    if states != 0 {
        // SAFETY: as when it began.
        unsafe { asm!("xsetbv", in("ecx") 0, in("eax") states as u32, in("edx") 0) };
        hypercall::exited();
    }
}

/// Halts with interrupts off: Xen powers a guest off whose last processor does that.
pub fn halt() -> ! {
    loop {
        // SAFETY: nothing comes any more.
        unsafe { asm!("cli", "hlt") };
    }
}

/// CR4.
pub fn control() -> u64 {
    let value: u64;
    // SAFETY: reads the register.
    unsafe { asm!("mov {}, cr4", out(reg) value) };
    value
}

fn load_interrupts(limit: u16) {
    let table = Table { limit, base: INTERRUPTS.as_ptr() as u64 };
    // SAFETY: the table's entries lead to those of `boot`.
    unsafe { asm!("lidt [{}]", in(reg) &raw const table) };
}

/// Describes the task state, which is not busy then, and loads it.
fn load_task() {
    let base = &raw const pvh::pvh_tss as u64;
    let low = 103 | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
    let slot = (&raw mut pvh::pvh_gdt).cast::<u64>();
    // SAFETY: the table has two words for it from this selector on.
    unsafe {
        slot.add(usize::from(TASK) / 8).write_volatile(low);
        slot.add(usize::from(TASK) / 8 + 1).write_volatile(base >> 32);
        asm!("ltr {:x}", in(reg) TASK);
    }
}

fn clear_traps() {
    load_interrupts(0);
}

fn mask(_: &VcpuInfo) -> bool {
    let unmasked = !flag_is_clear();
    // SAFETY: interrupts may be off at any time.
    unsafe { asm!("cli") };
    unmasked
}

/// The instruction behind STI is still in its shadow: with it, what is due has come.
fn unmask(_: &VcpuInfo) {
    // SAFETY: the entries are ready for interrupts wherever they come.
    unsafe { asm!("sti", "nop") };
}

fn is_masked(_: &VcpuInfo) -> bool {
    flag_is_clear()
}

fn allow(vcpu: &VcpuInfo) {
    unmask(vcpu);
}

fn flag_is_clear() -> bool {
    let flags: u64;
    // SAFETY: the stack is as it was.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    flags & 0x200 == 0
}

fn block() {
    // SAFETY: as for `unmask`. No interrupt comes between the two: what is due ends the halt at once.
    unsafe { asm!("sti", "hlt") };
    hypercall::exited();
}

fn map(address: u64, entry: u64) -> i64 {
    let index = (address.wrapping_sub(crate::boot::VIRT_BASE) >> 12) as usize;
    if index >= MAPPED {
        return EINVAL;
    }
    // SAFETY: an entry of a page of the kernel that only the caller uses.
    unsafe {
        (&raw mut pvh::pvh_l1).cast::<u64>().add(index).write_volatile(entry);
        asm!("invlpg [{}]", in(reg) address);
    }
    0
}

fn write_entries(updates: &[MmuUpdate]) -> i64 {
    const KIND: u64 = 3;
    const PRESERVE_AD: u64 = 2;
    const AD: u64 = 0x60;
    for update in updates {
        let entry = (crate::boot::VIRT_BASE + (update.ptr & !KIND)) as *mut u64;
        // SAFETY: the caller's tables are pages of the kernel, which are mapped there.
        unsafe {
            let kept = if update.ptr & KIND == PRESERVE_AD { entry.read_volatile() & AD } else { 0 };
            entry.write_volatile(update.val | kept);
        }
    }
    updates.len() as i64
}

fn extended(cmd: u32, arg1: u64, _: u64) -> i64 {
    match cmd {
        mmuext::NEW_BASEPTR => load_tables(arg1 << 12),
        mmuext::TLB_FLUSH_LOCAL => {
            let root: u64;
            // SAFETY: reads the register.
            unsafe { asm!("mov {}, cr3", out(reg) root) };
            load_tables(root);
        }
        // SAFETY: drops what the processor remembers of an address.
        mmuext::INVLPG_LOCAL => unsafe { asm!("invlpg [{}]", in(reg) arg1) },
        // Nobody but the processor looks at tables.
        mmuext::PIN_L1_TABLE..=mmuext::UNPIN_TABLE => {}
        _ => return ENOSYS,
    }
    0
}

fn frame_of_table() -> u64 {
    (&raw const pvh::pvh_l4) as u64 - crate::boot::VIRT_BASE
}

fn load_tables(address: u64) {
    // SAFETY: the tables map the kernel where it is.
    unsafe { asm!("mov cr3, {}", in(reg) address) };
}

/// The stack is the task state's already.
fn user_tables(root: u64, _: u64) -> bool {
    let entry = (crate::boot::VIRT_BASE + (root << 12)) as *const u64;
    // SAFETY: the table is a page of the kernel; the slot is the one that led here from 32-bit code.
    unsafe { (&raw mut pvh::pvh_l4).cast::<u64>().write_volatile(entry.read_volatile()) };
    load_tables(frame_of_table());
    true
}

fn fault_address(_: &VcpuInfo) -> u64 {
    let address: u64;
    // SAFETY: reads the register.
    unsafe { asm!("mov {}, cr2", out(reg) address) };
    address
}

fn set_debug_register(number: u64, value: u64) -> i64 {
    // What the processor takes: 32 bits, and no exceptions for the registers' own use.
    const CONTROL: u64 = 0xffff_dfff;
    // SAFETY: debug exceptions are handled.
    unsafe {
        match number {
            0 => asm!("mov dr0, {}", in(reg) value),
            1 => asm!("mov dr1, {}", in(reg) value),
            2 => asm!("mov dr2, {}", in(reg) value),
            3 => asm!("mov dr3, {}", in(reg) value),
            6 => asm!("mov dr6, {}", in(reg) value & CONTROL),
            7 => asm!("mov dr7, {}", in(reg) value & CONTROL),
            _ => return EINVAL,
        }
    }
    0
}

fn debug_register(number: u64) -> i64 {
    let value: i64;
    // SAFETY: reads the register.
    unsafe {
        match number {
            0 => asm!("mov {}, dr0", out(reg) value),
            1 => asm!("mov {}, dr1", out(reg) value),
            2 => asm!("mov {}, dr2", out(reg) value),
            3 => asm!("mov {}, dr3", out(reg) value),
            6 => asm!("mov {}, dr6", out(reg) value),
            7 => asm!("mov {}, dr7", out(reg) value),
            _ => return EINVAL,
        }
    }
    value
}

fn set_fs_base(base: u64) -> i64 {
    write_register(FS_BASE, base);
    0
}

/// Another RDTSC: RDTSCP may be hidden.
fn tscp() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: no memory is touched.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high) };
    u64::from(high) << 32 | u64::from(low)
}

fn cpuid(leaf: u32, subleaf: u32, _: bool) -> ([u32; 4], bool) {
    let result = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    ([result.eax, result.ebx, result.ecx, result.edx], true)
}
