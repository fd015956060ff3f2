//! Xen's and Linux' structures, byte for byte.
//!
//! The names are those of Xen's public headers (`domctl.h`, `sysctl.h`, `xenlr.h`) and of
//! Linux' `privcmd.h` and `evtchn.h`. Sizes and offsets are asserted here; `tests/abi.rs` compiles
//! those headers and compares every one that is used.
#![allow(missing_docs)] // The headers document the fields.

use bitflags::bitflags;
use log_format::assert_layout;

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

bitflags! {
    /// Of `xenlr_status.flags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct StatusFlags: u32 {
        const ON_FULL_STOP = 1 << 0;
        const CPUID_FAULTS = 1 << 1;
        const BOUND = 1 << 2;
        const TRAP_SYSCALLS = 1 << 3;
    }
}

pub const SYSCTL_PHYSINFO: u32 = 3;
pub const SYSCTL_GETDOMAININFOLIST: u32 = 6;

pub const XENVER_VERSION: u64 = 0;
pub const XENVER_EXTRAVERSION: u64 = 1;
pub const XENVER_CHANGESET: u64 = 4;
pub const XENVER_BUILD_ID: u64 = 10;

/// Bit of `xen_sysctl_physinfo.capabilities`: Xen has CONFIG_XENLR, and an arena.
pub const PHYSCAP_XENLR: u32 = 1 << 10;
/// Bit of the same: Xen can log PVH domains.
pub const PHYSCAP_XENLR_PVH: u32 = 1 << 11;

bitflags! {
    /// Of `xen_domctl_getdomaininfo.flags`, those that are needed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DomainFlags: u32 {
        const DYING = 1 << 0;
        const SHUTDOWN = 1 << 2;
        const PAUSED = 1 << 3;
    }
}

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
assert_layout! { Domctl: 144 { cmd: 0, interface_version: 4, domain: 8, pad: 10, u: 16 } }

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
assert_layout! { XenlrOp: 24 { cmd: 0, port: 4, sync: 8, status: 16 } }

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
    pub force_us: u32,
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
    pub loans: u32,
    pub rings: u32,
    pub loan_pages: u32,
    pub max_loan_pages: u32,
    pub all_loan_pages: u32,
    pub loan_waits: u32,
    pub loan_max_delay_ns: u64,
    pub waiting_ns: u64,
    pub waiting_port: u32,
    pub places_counted: u32,
    pub places: u64,
    pub place_delay_ns: u64,
    pub place_max_delay_ns: u64,
    pub place_hits: u64,
    pub place_pass_ns: u64,
    pub search_hits: u64,
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
assert_layout! { XenlrStatus: 312 { mode: 0, state: 4, flags: 8, cpu: 12, apic_id: 16, tsc_khz: 20, time_bound_us: 24, force_us: 28, sync: 32, records: 40, bytes: 48, events: 56, ring_size: 64, ring_used: 72, max_delay_ns: 80, paused_ns: 88, pauses: 96, arena_first_mfn: 104, arena_frames: 112, arena_used: 120, loans: 128, rings: 132, loan_pages: 136, max_loan_pages: 140, all_loan_pages: 144, loan_waits: 148, loan_max_delay_ns: 152, waiting_ns: 160, waiting_port: 168, places_counted: 172, places: 176, place_delay_ns: 184, place_max_delay_ns: 192, place_hits: 200, place_pass_ns: 208, search_hits: 216, end_sync: 224, end_rip: 232, end_registers: 240, end_memory: 248, end_reason: 256, end_code: 260, end_pages: 264, error: 268, diverge_sync: 272, diverge_rip: 280, expected: 288, actual: 296, diverge_kind: 304, want_kind: 308 } }

/// `waiting_port` when what waits is not an event.
pub const XENLR_NO_PORT: u32 = u32::MAX;

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
assert_layout! { GetDomainInfo: 112 { domain: 0, pad1: 2, flags: 4, tot_pages: 8, max_pages: 16, outstanding_pages: 24, shr_pages: 32, paged_pages: 40, shared_info_frame: 48, cpu_time: 56, nr_online_vcpus: 64, max_vcpu_id: 68, ssidref: 72, handle: 76, cpupool: 92, gpaddr_bits: 96, pad2: 97, arch_emulation_flags: 104, arch_misc_flags: 108 } }

/// `struct xen_sysctl` with the members of its union that are needed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sysctl {
    pub cmd: u32,
    pub interface_version: u32,
    pub u: SysctlUnion,
}
assert_layout! { Sysctl: 136 { cmd: 0, interface_version: 4, u: 8 } }

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
assert_layout! { GetDomainInfoList: 24 { first_domain: 0, max_domains: 4, buffer: 8, num_domains: 16 } }

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
assert_layout! { PhysInfo: 32 { threads_per_core: 0, cores_per_socket: 4, nr_cpus: 8, max_cpu_id: 12, nr_nodes: 16, max_node_id: 20, cpu_khz: 24, capabilities: 28 } }

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
assert_layout! { MemAcquireResource: 32 { domid: 0, kind: 2, id: 4, nr_frames: 8, pad: 12, frame: 16, frame_list: 24 } }

/// `struct privcmd_hypercall`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrivcmdHypercall {
    pub op: u64,
    pub arg: [u64; 5],
}
assert_layout! { PrivcmdHypercall: 48 { op: 0, arg: 8 } }

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
assert_layout! { PrivcmdMmapResource: 32 { dom: 0, kind: 4, id: 8, idx: 12, num: 16, addr: 24 } }
