//! Calls and writes that no correct program makes, for `fuzz_reader`: whatever a hostile or broken
//! reader does to Xen's interface must do no harm.
//!
//! They are safe for this process: Xen is given addresses in the hypercall buffer, or such
//! that cannot be mapped here, and shared memory is written as atomics.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use xenlr::xen::abi::{self, Domctl, DomctlUnion, MemAcquireResource, XenlrOp, XenlrStatus};
use xenlr::xen::privcmd::{BUFFER_BYTES, Buffer, Mapping, Privcmd};

/// Offset of the second structure in the hypercall buffer, behind the control structure.
const SECOND: usize = 4096;

/// Above this bit of a memory operation's command Xen keeps what it has done of it, when it is to
/// go on later. Private to Xen (`xen/hypercall.h`); no caller sets it.
const MEMOP_EXTENT_SHIFT: u32 = 6;

/// `XENMEM_resource_grant_table`.
const RESOURCE_GRANT_TABLE: u32 = 1;

/// Where Xen is told to put its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the buffer, where there is room.
    Buffer,
    /// At the very end of the buffer.
    End,
    /// An address that this process cannot have mapped: in the first page, or beyond user space.
    Nowhere(u64),
}

/// The operands of one `XEN_DOMCTL_xenlr_op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // As in `XenlrOp`.
pub struct Op {
    pub domain: u16,
    pub cmd: u32,
    pub port: u32,
    pub sync: u64,
    pub status: Place,
    /// What stands in the rest of the control structure.
    pub rest: u64,
}

/// The operands of one `XENMEM_acquire_resource` of the type of a XenLR ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // As in `MemAcquireResource`.
pub struct Acquire {
    pub domain: u16,
    pub id: u32,
    pub nr_frames: u32,
    pub pad: u32,
    pub frame: u64,
    pub frame_list: Place,
    /// What the caller claims to have done before; Xen keeps the bits above the command for it.
    pub start_extent: u32,
}

/// Pages of a ring, mapped as they were asked for.
pub struct Pages(Mapping);

impl Pages {
    /// Writes one byte, at an offset that is taken modulo the mapping's size.
    pub fn poke(&self, offset: usize, value: u8) {
        // SAFETY: inside the mapping, which lives as long as `self`; shared memory is only seen
        // as atomics.
        let byte =
            unsafe { AtomicU8::from_ptr(self.0.base().cast::<u8>().add(offset % self.0.bytes())) };
        byte.store(value, Ordering::Relaxed);
    }
}

/// The running hypervisor, without the care that [`xenlr::xen::Xen`] takes.
pub struct Probe {
    privcmd: Privcmd,
    buffer: RefCell<Buffer>,
}

impl Probe {
    /// Opens the privileged command driver.
    pub fn open() -> io::Result<Self> {
        let (privcmd, buffer) = Privcmd::open()?;
        Ok(Self {
            privcmd,
            buffer: RefCell::new(buffer),
        })
    }

    /// The address of a place for so many bytes; null where they would not fit.
    fn address(&self, place: Place, bytes: usize) -> u64 {
        const USER_END: u64 = 1 << 47;
        let buffer = self.buffer.borrow();
        match place {
            Place::Buffer if bytes <= BUFFER_BYTES - SECOND => buffer.address(SECOND),
            Place::End if (1..=BUFFER_BYTES - SECOND).contains(&bytes) => {
                buffer.address(BUFFER_BYTES - bytes)
            }
            Place::Nowhere(at) if !(4096..USER_END).contains(&at) => at,
            _ => 0,
        }
    }

    /// Makes the call; the answer is dropped.
    pub fn op(&self, op: &Op) -> io::Result<()> {
        let mut u = DomctlUnion { pad: [op.rest; 16] };
        u.xenlr_op = XenlrOp {
            cmd: op.cmd,
            port: op.port,
            sync: op.sync,
            status: self.address(op.status, size_of::<XenlrStatus>()),
        };
        let mut buffer = self.buffer.borrow_mut();
        buffer.put(
            0,
            Domctl {
                cmd: abi::DOMCTL_XENLR_OP,
                interface_version: abi::DOMCTL_INTERFACE_VERSION,
                domain: op.domain,
                pad: [0; 3],
                u,
            },
        );
        let arg = [buffer.address(0), 0, 0, 0, 0];
        // SAFETY: `address` gives places in the buffer with room enough, and such as cannot be mapped;
        // the operation has no other address.
        unsafe { self.privcmd.hypercall(abi::HYPERVISOR_DOMCTL, arg) }.map(drop)
    }

    /// Makes the call; the frames' numbers are dropped. Xen's own result, which is no error when
    /// it is not negative.
    pub fn acquire(&self, call: &Acquire) -> io::Result<i32> {
        let list_bytes =
            usize::try_from(call.nr_frames).map_or(usize::MAX, |n| n.saturating_mul(8));
        let frame_list = self.address(call.frame_list, list_bytes);
        let mut buffer = self.buffer.borrow_mut();
        buffer.put(
            0,
            MemAcquireResource {
                domid: call.domain,
                kind: abi::RESOURCE_XENLR_RING as u16,
                id: call.id,
                nr_frames: call.nr_frames,
                pad: call.pad,
                frame: call.frame,
                frame_list,
            },
        );
        let command =
            abi::XENMEM_ACQUIRE_RESOURCE | u64::from(call.start_extent) << MEMOP_EXTENT_SHIFT;
        let arg = [command, buffer.address(0), 0, 0, 0];
        // SAFETY: as for `op`.
        unsafe { self.privcmd.hypercall(abi::HYPERVISOR_MEMORY_OP, arg) }
    }

    /// Maps the first page of a domain's grant table: while it is mapped, a domain that is
    /// destroyed goes on dying.
    pub fn hold(&self, domain: u16) -> io::Result<Pages> {
        self.privcmd
            .map_frames(domain, RESOURCE_GRANT_TABLE, 0, 0, 1)
            .map(Pages)
    }

    /// Maps these frames of a ring, whatever they are.
    pub fn map(&self, domain: u16, id: u32, first: u32, frames: u64) -> io::Result<Pages> {
        self.privcmd
            .map_frames(domain, abi::RESOURCE_XENLR_RING, id, first, frames)
            .map(Pages)
    }
}
