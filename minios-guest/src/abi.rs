//! The parts of Xen's public interface that this kernel uses.
//!
//! Names and layouts follow Xen's public headers (`xen.h`, `event_channel.h`,
//! `grant_table.h`, `sched.h`, `memory.h`, `vcpu.h`). Structures that Xen writes behind our
//! back are made of atomics, so that every look at them is a real load.

use core::sync::atomic::{AtomicI8, AtomicU16, AtomicU32, AtomicU64, AtomicU8};

/// Hypercall numbers.
#[allow(missing_docs)]
pub mod nr {
    pub const MMU_UPDATE: u64 = 1;
    pub const SET_GDT: u64 = 2;
    pub const SET_CALLBACKS: u64 = 4;
    pub const SET_TRAP_TABLE: u64 = 0;
    pub const SET_DEBUGREG: u64 = 8;
    pub const GET_DEBUGREG: u64 = 9;
    pub const UPDATE_DESCRIPTOR: u64 = 10;
    pub const MEMORY_OP: u64 = 12;
    pub const MULTICALL: u64 = 13;
    pub const UPDATE_VA_MAPPING: u64 = 14;
    pub const SET_TIMER_OP: u64 = 15;
    pub const XEN_VERSION: u64 = 17;
    pub const CONSOLE_IO: u64 = 18;
    pub const GRANT_TABLE_OP: u64 = 20;
    pub const VM_ASSIST: u64 = 21;
    pub const UPDATE_VA_MAPPING_OTHERDOMAIN: u64 = 22;
    pub const IRET: u64 = 23;
    pub const VCPU_OP: u64 = 24;
    pub const SET_SEGMENT_BASE: u64 = 25;
    pub const MMUEXT_OP: u64 = 26;
    pub const NMI_OP: u64 = 28;
    pub const SCHED_OP: u64 = 29;
    pub const CALLBACK_OP: u64 = 30;
    pub const EVENT_CHANNEL_OP: u64 = 32;
    pub const PHYSDEV_OP: u64 = 33;
    pub const HVM_OP: u64 = 34;
    pub const DOMCTL: u64 = 36;
    pub const DM_OP: u64 = 41;
}

/// `DOMID_SELF`: the calling domain.
pub const DOMID_SELF: u16 = 0x7ff0;
/// `VIRQ_TIMER`: the virtual interrupt of the vCPU's timers.
pub const VIRQ_TIMER: u32 = 0;
/// The flat 64-bit code selector that Xen's GDT offers to a PV kernel.
pub const FLAT_KERNEL_CS: u16 = 0xe033;
/// The flat stack selector that goes with it.
pub const FLAT_KERNEL_SS: u16 = 0xe02b;
/// Where Xen shows the machine-to-physical table.
pub const MACHINE_TO_PHYS: u64 = 0xffff_8000_0000_0000;

/// Commands of `sched_op`.
#[allow(missing_docs)]
pub mod schedop {
    pub const YIELD: u64 = 0;
    pub const BLOCK: u64 = 1;
    pub const SHUTDOWN: u64 = 2;
    pub const POLL: u64 = 3;
    pub const SHUTDOWN_POWEROFF: u32 = 0;
    pub const SHUTDOWN_CRASH: u32 = 3;
}

/// Commands of `event_channel_op`.
#[allow(missing_docs)]
pub mod evtchnop {
    pub const BIND_INTERDOMAIN: u64 = 0;
    pub const BIND_VIRQ: u64 = 1;
    pub const CLOSE: u64 = 3;
    pub const SEND: u64 = 4;
    pub const STATUS: u64 = 5;
    pub const ALLOC_UNBOUND: u64 = 6;
    pub const BIND_IPI: u64 = 7;
    pub const UNMASK: u64 = 9;
    pub const RESET: u64 = 10;
}

/// `struct grant_entry_v1`: what another domain may do with one of our pages.
#[repr(C)]
pub struct GrantEntry {
    /// `GTF_*`; Xen sets and clears those of the use that is made of it.
    pub flags: AtomicU16,
    /// Who may.
    pub domain: AtomicU16,
    /// The page's frame.
    pub frame: AtomicU32,
}

/// Flags of a grant entry.
#[allow(missing_docs)]
pub mod gtf {
    pub const PERMIT_ACCESS: u16 = 1;
    pub const READONLY: u16 = 1 << 2;
    pub const READING: u16 = 1 << 3;
    pub const WRITING: u16 = 1 << 4;
}

/// Commands of `vcpu_op`.
#[allow(missing_docs)]
pub mod vcpuop {
    pub const GET_RUNSTATE_INFO: u64 = 4;
    pub const REGISTER_RUNSTATE_AREA: u64 = 5;
    pub const SET_PERIODIC_TIMER: u64 = 6;
    pub const STOP_PERIODIC_TIMER: u64 = 7;
    pub const SET_SINGLESHOT_TIMER: u64 = 8;
    pub const STOP_SINGLESHOT_TIMER: u64 = 9;
    pub const REGISTER_VCPU_INFO: u64 = 10;
    pub const SEND_NMI: u64 = 11;
    pub const GET_PHYSID: u64 = 12;
    pub const REGISTER_TIME_AREA: u64 = 13;
    pub const REGISTER_RUNSTATE_PHYS_AREA: u64 = 14;
    pub const REGISTER_TIME_PHYS_AREA: u64 = 15;
}

/// Commands of `memory_op`.
#[allow(missing_docs)]
pub mod memop {
    pub const INCREASE_RESERVATION: u64 = 0;
    pub const DECREASE_RESERVATION: u64 = 1;
    pub const ADD_TO_PHYSMAP: u64 = 7;
    pub const POPULATE_PHYSMAP: u64 = 6;
    pub const EXCHANGE: u64 = 11;
}

/// Commands of `hvm_op`, and the parameters that they read and write.
#[allow(missing_docs)]
pub mod hvm {
    pub const SET_PARAM: u64 = 0;
    pub const GET_PARAM: u64 = 1;
    pub const CALLBACK_IRQ: u32 = 0;
    pub const STORE_FRAME: u32 = 1;
    pub const STORE_PORT: u32 = 2;
    pub const CONSOLE_FRAME: u32 = 17;
    pub const CONSOLE_PORT: u32 = 18;
}

/// Commands of `mmuext_op`.
#[allow(missing_docs)]
pub mod mmuext {
    pub const PIN_L1_TABLE: u32 = 0;
    pub const PIN_L4_TABLE: u32 = 3;
    pub const UNPIN_TABLE: u32 = 4;
    pub const NEW_BASEPTR: u32 = 5;
    pub const TLB_FLUSH_LOCAL: u32 = 6;
    pub const INVLPG_LOCAL: u32 = 7;
    pub const SET_LDT: u32 = 13;
    pub const NEW_USER_BASEPTR: u32 = 15;
    pub const CLEAR_PAGE: u32 = 16;
    pub const COPY_PAGE: u32 = 17;
}

/// `UVMF_INVLPG`: flush the one entry that `update_va_mapping` changed.
pub const UVMF_INVLPG: u64 = 2;

/// `struct vcpu_time_info`: the vCPU's time page.
#[repr(C)]
pub struct TimePage {
    /// Odd while Xen writes.
    pub version: AtomicU32,
    pad0: u32,
    /// TSC at the last update.
    pub tsc_timestamp: AtomicU64,
    /// Nanoseconds since the domain's start at the last update.
    pub system_time: AtomicU64,
    /// Scale from TSC cycles to nanoseconds, times 2^32.
    pub tsc_to_system_mul: AtomicU32,
    /// Shift of the cycles before the scale is applied.
    pub tsc_shift: AtomicI8,
    /// `XEN_PVCLOCK_*` bits.
    pub flags: AtomicU8,
    pad1: [u8; 2],
}

/// `struct vcpu_info`.
#[repr(C)]
pub struct VcpuInfo {
    /// Set by Xen when an upcall is due.
    pub upcall_pending: AtomicU8,
    /// Non-zero: no upcalls, please.
    pub upcall_mask: AtomicU8,
    pad0: [u8; 6],
    /// Which words of `SharedInfo::pending` have news.
    pub pending_sel: AtomicU64,
    /// Address of the last page fault.
    pub cr2: AtomicU64,
    pad1: u64,
    /// The time page.
    pub time: TimePage,
}

/// `struct shared_info`, as far as it is used here.
#[repr(C)]
pub struct SharedInfo {
    /// One entry a legacy vCPU; only the first is ours.
    pub vcpu: [VcpuInfo; 32],
    /// Pending bits of the 2-level event channel ABI.
    pub pending: [AtomicU64; 64],
    /// Mask bits of the 2-level event channel ABI.
    pub mask: [AtomicU64; 64],
    /// Odd while Xen writes the wall clock.
    pub wc_version: AtomicU32,
    /// Unix seconds at system time 0, low half.
    pub wc_sec: AtomicU32,
    /// Nanoseconds that go with it.
    pub wc_nsec: AtomicU32,
    /// Unix seconds, high half.
    pub wc_sec_hi: AtomicU32,
}

/// `struct start_info`: what the domain builder hands over.
#[repr(C)]
pub struct StartInfo {
    /// `xen-3.0-x86_64`.
    pub magic: [u8; 32],
    /// Pages of this domain.
    pub nr_pages: u64,
    /// Machine address of the shared info page.
    pub shared_info: u64,
    /// `SIF_*`.
    pub flags: u32,
    pad0: u32,
    /// Machine frame of the xenstore ring.
    pub store_mfn: u64,
    /// Its event channel.
    pub store_port: u32,
    pad1: u32,
    /// Machine frame of the console ring.
    pub console_mfn: u64,
    /// Its event channel.
    pub console_port: u32,
    pad2: u32,
    /// Virtual address of the top page table.
    pub pt_base: u64,
    /// Frames of the bootstrap page tables.
    pub nr_pt_frames: u64,
    /// Virtual address of the frame list (pfn to mfn); 0: frames are their own numbers.
    pub mfn_list: u64,
    /// Ramdisk, unused here.
    pub mod_start: u64,
    /// Ramdisk's length.
    pub mod_len: u64,
    /// Kernel command line, zero-terminated.
    pub cmd_line: [u8; 1024],
}

impl StartInfo {
    /// One that says nothing, for a guest that is handed something else.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            magic: [0; 32],
            nr_pages: 0,
            shared_info: 0,
            flags: 0,
            pad0: 0,
            store_mfn: 0,
            store_port: 0,
            pad1: 0,
            console_mfn: 0,
            console_port: 0,
            pad2: 0,
            pt_base: 0,
            nr_pt_frames: 0,
            mfn_list: 0,
            mod_start: 0,
            mod_len: 0,
            cmd_line: [0; 1024],
        }
    }
}

/// `struct hvm_start_info`: what the domain builder hands over to a PVH guest.
#[repr(C)]
pub struct HvmStartInfo {
    /// 0x336ec578
    pub magic: u32,
    /// 1, with the memory map
    pub version: u32,
    /// `SIF_*`.
    pub flags: u32,
    /// Modules, unused here.
    pub modules: u32,
    /// Their list.
    pub module_list: u64,
    /// Physical address of the kernel command line, zero-terminated.
    pub cmdline_address: u64,
    /// ACPI's root, unused here.
    pub rsdp: u64,
    /// Physical address of the memory map.
    pub memory_map: u64,
    /// So many entries.
    pub memory_map_entries: u32,
    pad: u32,
}

/// `struct hvm_memmap_table_entry`.
#[repr(C)]
pub struct MemoryMapEntry {
    /// First physical address.
    pub address: u64,
    /// How many.
    pub bytes: u64,
    /// 1: memory.
    pub kind: u32,
    pad: u32,
}

/// `struct trap_info`: one entry of the virtual interrupt table.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TrapInfo {
    /// Exception vector.
    pub vector: u8,
    /// Bits 0 and 1: least privileged ring that may raise it with `int`; bit 2: mask upcalls on entry.
    pub flags: u8,
    /// Code selector.
    pub cs: u16,
    /// Handler; 0 ends the table.
    pub address: u64,
}

/// `struct multicall_entry`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct MulticallEntry {
    /// Hypercall number.
    pub op: u64,
    /// Its result, written by Xen.
    pub result: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

/// `struct mmu_update`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct MmuUpdate {
    /// Machine address of the entry, command in the low two bits.
    pub ptr: u64,
    /// New value.
    pub val: u64,
}

/// `struct mmuext_op`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct MmuextOp {
    /// `MMUEXT_*`.
    pub cmd: u32,
    /// Alignment.
    pub pad: u32,
    /// Frame or address.
    pub arg1: u64,
    /// Source frame, vCPU mask or count.
    pub arg2: u64,
}

/// `struct xen_memory_reservation`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct MemoryReservation {
    /// Address of the list of frames.
    pub extent_start: u64,
    /// How many.
    pub nr_extents: u64,
    /// Order of each.
    pub extent_order: u32,
    /// `XENMEMF_*`.
    pub mem_flags: u32,
    /// Whose memory.
    pub domid: u16,
    /// Alignment.
    pub pad: [u16; 3],
}

/// `struct xen_memory_exchange`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct MemoryExchange {
    /// What is given.
    pub given: MemoryReservation,
    /// What is taken for it.
    pub taken: MemoryReservation,
    /// How many extents were exchanged.
    pub done: u64,
}

/// `struct vcpu_runstate_info`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Runstate {
    /// `RUNSTATE_*`.
    pub state: u32,
    /// Alignment.
    pub pad: u32,
    /// System time when that state was entered.
    pub state_entry_time_ns: u64,
    /// Time spent in each state.
    pub time_ns: [u64; 4],
}

const _: () = assert!(core::mem::size_of::<VcpuInfo>() == 64);
const _: () = assert!(core::mem::size_of::<TimePage>() == 32);
const _: () = assert!(core::mem::size_of::<GrantEntry>() == 8);
const _: () = assert!(core::mem::offset_of!(SharedInfo, wc_version) == 32 * 64 + 1024);
const _: () = assert!(core::mem::offset_of!(StartInfo, cmd_line) == 128);
const _: () = assert!(core::mem::offset_of!(HvmStartInfo, cmdline_address) == 24);
const _: () = assert!(core::mem::size_of::<HvmStartInfo>() == 56);
const _: () = assert!(core::mem::size_of::<MemoryMapEntry>() == 24);
const _: () = assert!(core::mem::size_of::<MemoryReservation>() == 32);
const _: () = assert!(core::mem::size_of::<Runstate>() == 48);
