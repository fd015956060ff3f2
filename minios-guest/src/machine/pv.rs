//! A PV guest: Xen is asked.

use super::{Kind, Operations, Selectors, GRANT_FRAMES_MAX};
use crate::abi::{mmuext, DOMID_SELF, FLAT_KERNEL_CS, FLAT_KERNEL_SS, UVMF_INVLPG};
use crate::abi::{nr, schedop, MmuUpdate, MmuextOp, StartInfo, TrapInfo, VcpuInfo};
use crate::boot::{self, failsafe_entry, trap_syscall, upcall_entry};
use crate::hypercall;
use core::arch::asm;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Entry flags of the shared info page: present, writable, user, accessed, dirty.
const SHARED: u64 = 0x67;
const STACK_SWITCH: u64 = 3;

/// The operations.
pub static OPERATIONS: Operations = Operations {
    kind: Kind::Pv,
    // The kernel runs in ring 3 as its programs do; in a frame the ring says whose it is.
    kernel: Selectors { cs: FLAT_KERNEL_CS & !3, ss: FLAT_KERNEL_SS & !3 },
    user: Selectors { cs: FLAT_KERNEL_CS | 3, ss: FLAT_KERNEL_SS },
    frame_return: boot::pv_frame_return,
    traps_exit: true,
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

fn share_info(start: &StartInfo, address: u64) -> i64 {
    // SAFETY: the address is a page of its own that nothing else refers to, and
    // the shared info frame belongs to this domain.
    unsafe { hypercall::raw(nr::UPDATE_VA_MAPPING, [address, start.shared_info | SHARED, UVMF_INVLPG, 0, 0]) }
}

fn set_traps() {
    let empty = TrapInfo { vector: 0, flags: 0, cs: 0, address: 0 };
    let mut table = [empty; boot::TRAPS + 1];
    for (slot, (vector, flags, address)) in table.iter_mut().zip(boot::trap_entries()) {
        *slot = TrapInfo { vector, flags, cs: FLAT_KERNEL_CS, address };
    }
    // SAFETY: the table is alive during the call, ends with an empty entry,
    // and its handlers follow Xen's calling convention.
    unsafe { hypercall::call(nr::SET_TRAP_TABLE, [table.as_ptr() as u64, 0, 0, 0, 0]) };
    // SAFETY: the three entries follow Xen's calling convention.
    unsafe {
        hypercall::call(
            nr::SET_CALLBACKS,
            [
                upcall_entry as *const () as u64,
                failsafe_entry as *const () as u64,
                trap_syscall as *const () as u64,
                0,
                0,
            ],
        );
    }
}

fn clear_traps() {
    // SAFETY: a null table is Xen's way to clear it.
    unsafe { hypercall::call(nr::SET_TRAP_TABLE, [0; 5]) };
}

fn mask(vcpu: &VcpuInfo) -> bool {
    vcpu.upcall_mask.swap(1, SeqCst) == 0
}

fn unmask(vcpu: &VcpuInfo) {
    allow(vcpu);
    if vcpu.upcall_pending.load(SeqCst) != 0 {
        hypercall::nothing();
    }
}

fn allow(vcpu: &VcpuInfo) {
    vcpu.upcall_mask.store(0, SeqCst);
}

fn is_masked(vcpu: &VcpuInfo) -> bool {
    vcpu.upcall_mask.load(Relaxed) != 0
}

fn block() {
    hypercall::plain(nr::SCHED_OP, [schedop::BLOCK, 0, 0, 0, 0]);
}

fn map(address: u64, entry: u64) -> i64 {
    hypercall::plain(nr::UPDATE_VA_MAPPING, [address, entry, UVMF_INVLPG, 0, 0])
}

fn write_entries(updates: &[MmuUpdate]) -> i64 {
    let mut done = 0u32;
    let arguments =
        [updates.as_ptr() as u64, updates.len() as u64, &raw mut done as u64, u64::from(DOMID_SELF), 0];
    // SAFETY: Xen reads `updates` and writes `done`; both outlive the call.
    let result = unsafe { hypercall::call(nr::MMU_UPDATE, arguments) };
    result + i64::from(done)
}

fn extended(cmd: u32, arg1: u64, arg2: u64) -> i64 {
    let argument = MmuextOp { cmd, pad: 0, arg1, arg2 };
    // SAFETY: Xen reads one operation, which outlives the call.
    unsafe { hypercall::call(nr::MMUEXT_OP, [&raw const argument as u64, 1, 0, u64::from(DOMID_SELF), 0]) }
}

fn user_tables(root: u64, stack: u64) -> bool {
    extended(mmuext::PIN_L4_TABLE, root, 0) == 0
        && extended(mmuext::NEW_USER_BASEPTR, root, 0) == 0
        && hypercall::plain(STACK_SWITCH, [u64::from(FLAT_KERNEL_SS), stack, 0, 0, 0]) == 0
}

fn fault_address(vcpu: &VcpuInfo) -> u64 {
    vcpu.cr2.load(Relaxed)
}

fn set_debug_register(number: u64, value: u64) -> i64 {
    hypercall::plain(nr::SET_DEBUGREG, [number, value, 0, 0, 0])
}

fn debug_register(number: u64) -> i64 {
    hypercall::plain(nr::GET_DEBUGREG, [number, 0, 0, 0, 0])
}

fn set_fs_base(base: u64) -> i64 {
    hypercall::plain(nr::SET_SEGMENT_BASE, [0, base, 0, 0, 0])
}

fn tscp() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: as for RDTSC; ecx gets TSC_AUX, which is not used.
    unsafe { asm!("rdtscp", out("eax") low, out("edx") high, out("ecx") _) };
    u64::from(high) << 32 | u64::from(low)
}

fn map_grants(address: u64, count: usize) -> i64 {
    const SETUP_TABLE: u64 = 2;
    #[repr(C)]
    struct Setup {
        domain: u16,
        pad: u16,
        frames: u32,
        status: i16,
        pad2: [u16; 3],
        list: u64,
    }
    let mut frames = [0u64; GRANT_FRAMES_MAX];
    let frames = &mut frames[..count.min(GRANT_FRAMES_MAX)];
    let (list, count) = (frames.as_mut_ptr() as u64, frames.len() as u32);
    let mut setup = Setup { domain: DOMID_SELF, pad: 0, frames: count, status: 0, pad2: [0; 3], list };
    // SAFETY: Xen writes the list and the structure, which outlive the call.
    let result =
        unsafe { hypercall::call(nr::GRANT_TABLE_OP, [SETUP_TABLE, &raw mut setup as u64, 1, 0, 0]) };
    if result != 0 || setup.status != 0 {
        return result.min(i64::from(setup.status));
    }
    (address..)
        .step_by(4096)
        .zip(frames.iter())
        .map(|(at, frame)| map(at, frame << 12 | SHARED))
        .find(|result| *result != 0)
        .unwrap_or(0)
}

fn cpuid(leaf: u32, subleaf: u32, forced: bool) -> ([u32; 4], bool) {
    let (a, b, c, d): (u32, u32, u32, u32);
    // SAFETY: CPUID touches no memory; rbx is kept by hand. With the prefix Xen
    // takes the invalid opcode as its sign and answers in the CPU's place.
    unsafe {
        asm!(
            "mov {keep:r}, rbx",
            "test {forced:e}, {forced:e}",
            "jz 3f",
            ".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e",
            "3: cpuid",
            "xchg {keep:r}, rbx",
            keep = out(reg) b,
            forced = in(reg) u32::from(forced),
            inout("eax") leaf => a, inout("ecx") subleaf => c, out("edx") d,
        );
    }
    ([a, b, c, d], forced)
}
