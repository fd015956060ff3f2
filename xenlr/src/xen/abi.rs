//! Xen's and Linux' structures, byte for byte.
//!
//! The names are those of Xen's public headers (`domctl.h`, `sysctl.h`, `xenlr.h`) and of
//! Linux' `privcmd.h` and `evtchn.h`. `tests/abi.rs` compiles those headers and compares every
//! size and offset that is used here.
#![allow(missing_docs)] // The headers document the fields.

/// The interface versions of Xen 4.20 with the XenLR patches; Xen answers -EACCES to any other.
pub const DOMCTL_INTERFACE_VERSION: u32 = 0x18;
pub const SYSCTL_INTERFACE_VERSION: u32 = 0x15;

pub const HYPERVISOR_MEMORY_OP: u64 = 12;
pub const HYPERVISOR_XEN_VERSION: u64 = 17;
pub const HYPERVISOR_SYSCTL: u64 = 35;
pub const HYPERVISOR_DOMCTL: u64 = 36;

pub const DOMCTL_DESTROYDOMAIN: u32 = 2;
pub const DOMCTL_PAUSEDOMAIN: u32 = 3;
pub const DOMCTL_UNPAUSEDOMAIN: u32 = 4;
pub const DOMCTL_XENLR_OP: u32 = 90;

pub const XENLR_OP_STATUS: u32 = 0;
pub const XENLR_OP_STOP: u32 = 1;
pub const XENLR_OP_BIND: u32 = 2;
pub const XENLR_OP_KICK: u32 = 3;
pub const XENLR_OP_UNTIL: u32 = 4;
pub const XENLR_OP_RELEASE: u32 = 5;

/// Bits of `xenlr_status.flags`.
pub const FLAG_ON_FULL_STOP: u32 = 1 << 0;
pub const FLAG_CPUID_FAULTS: u32 = 1 << 1;
pub const FLAG_BOUND: u32 = 1 << 2;

pub const SYSCTL_PHYSINFO: u32 = 3;
pub const SYSCTL_GETDOMAININFOLIST: u32 = 6;

pub const XENVER_VERSION: u64 = 0;
pub const XENVER_EXTRAVERSION: u64 = 1;
pub const XENVER_CHANGESET: u64 = 4;
pub const XENVER_BUILD_ID: u64 = 10;

/// Bit of `xen_sysctl_physinfo.capabilities`: Xen has CONFIG_XENLR, and an arena.
pub const PHYSCAP_XENLR: u32 = 1 << 10;

pub const DOMINF_DYING: u32 = 1 << 0;
pub const DOMINF_SHUTDOWN: u32 = 1 << 2;
pub const DOMINF_PAUSED: u32 = 1 << 3;

pub const XENMEM_ACQUIRE_RESOURCE: u64 = 28;
pub const RESOURCE_XENLR_RING: u32 = 3;
pub const DOMID_SELF: u32 = 0x7ff0;

/// `struct xen_domctl` with the few members of its union that are needed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Domctl {
    pub cmd: u32,
    pub interface_version: u32,
    pub domain: u16,
    pub pad: [u16; 3],
    pub u: DomctlUnion,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union DomctlUnion {
    pub xenlr_op: XenlrOp,
    pub pad: [u64; 16],
}

/// `struct xen_domctl_xenlr_op`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct XenlrOp {
    pub cmd: u32,
    pub port: u32,
    pub sync: u64,
    /// Address of a [`XenlrStatus`].
    pub status: u64,
}

/// `struct xenlr_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XenlrStatus {
    pub mode: u32,
    pub state: u32,
    pub flags: u32,
    pub cpu: u32,
    pub apic_id: u32,
    pub tsc_khz: u32,
    pub time_bound_us: u32,
    pub pad: u32,
    pub sync: u64,
    pub records: u64,
    pub bytes: u64,
    pub events: u64,
    pub ring_size: u64,
    pub ring_used: u64,
    pub max_delay_ns: u64,
    pub paused_ns: u64,
    pub pauses: u64,
    pub arena_first_mfn: u64,
    pub arena_frames: u64,
    pub arena_used: u64,
    pub end_sync: u64,
    pub end_rip: u64,
    pub end_registers: u64,
    pub end_memory: u64,
    pub end_reason: u32,
    pub end_code: u32,
    pub end_pages: u32,
    pub error: u32,
    pub diverge_sync: u64,
    pub diverge_rip: u64,
    pub expected: u64,
    pub actual: u64,
    pub diverge_kind: u32,
    pub want_kind: u32,
}

/// `struct xen_domctl_getdomaininfo`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct GetDomainInfo {
    pub domain: u16,
    pub pad1: u16,
    pub flags: u32,
    pub tot_pages: u64,
    pub max_pages: u64,
    pub outstanding_pages: u64,
    pub shr_pages: u64,
    pub paged_pages: u64,
    pub shared_info_frame: u64,
    pub cpu_time: u64,
    pub nr_online_vcpus: u32,
    pub max_vcpu_id: u32,
    pub ssidref: u32,
    pub handle: [u8; 16],
    pub cpupool: u32,
    pub gpaddr_bits: u8,
    pub pad2: [u8; 7],
    pub arch_emulation_flags: u32,
    pub arch_misc_flags: u32,
}

/// `struct xen_sysctl` with the members of its union that are needed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sysctl {
    pub cmd: u32,
    pub interface_version: u32,
    pub u: SysctlUnion,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union SysctlUnion {
    pub getdomaininfolist: GetDomainInfoList,
    pub physinfo: PhysInfo,
    pub pad: [u64; 16],
}

/// `struct xen_sysctl_getdomaininfolist`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GetDomainInfoList {
    pub first_domain: u16,
    pub max_domains: u32,
    /// Address of an array of [`GetDomainInfo`].
    pub buffer: u64,
    pub num_domains: u32,
}

/// `struct xen_sysctl_physinfo`, up to where it is needed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PhysInfo {
    pub threads_per_core: u32,
    pub cores_per_socket: u32,
    pub nr_cpus: u32,
    pub max_cpu_id: u32,
    pub nr_nodes: u32,
    pub max_node_id: u32,
    pub cpu_khz: u32,
    pub capabilities: u32,
}

/// `struct xen_mem_acquire_resource`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MemAcquireResource {
    pub domid: u16,
    pub kind: u16,
    pub id: u32,
    pub nr_frames: u32,
    pub pad: u32,
    pub frame: u64,
    /// Address of a list of frame numbers.
    pub frame_list: u64,
}

/// `struct privcmd_hypercall`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrivcmdHypercall {
    pub op: u64,
    pub arg: [u64; 5],
}

/// `struct privcmd_mmap_resource`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrivcmdMmapResource {
    pub dom: u16,
    pub kind: u32,
    pub id: u32,
    pub idx: u32,
    pub num: u64,
    pub addr: u64,
}
