//! `/dev/xen/privcmd` and `/dev/xen/hypercall`: hypercalls, their buffers, and mapped resources.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, opcode};
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::abi::{
    Domctl, GetDomainInfo, MemAcquireResource, PrivcmdHypercall, PrivcmdMmapResource, Sysctl,
    XenlrStatus,
};

/// A type whose bytes all have a meaning, whatever they are, and which holds no Rust pointer.
///
/// # Safety
/// Any bit pattern must be a value of the type.
pub unsafe trait Plain: Copy {}

// SAFETY: integers and unions of integers only.
unsafe impl Plain for Domctl {}
// SAFETY: as above.
unsafe impl Plain for Sysctl {}
// SAFETY: as above.
unsafe impl Plain for GetDomainInfo {}
// SAFETY: as above.
unsafe impl Plain for XenlrStatus {}
// SAFETY: as above.
unsafe impl Plain for MemAcquireResource {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for [u8; N] {}

const PAGE_BYTES: usize = 4096;
/// 32 pages: a control structure in the first, lists in the others.
pub const BUFFER_BYTES: usize = 32 * PAGE_BYTES;

/// An ioctl whose argument is the address of `T` and whose result is a number.
struct Call<'a, T> {
    opcode: Opcode,
    argument: &'a mut T,
}

// SAFETY: `argument` is exclusively borrowed, and Linux' driver reads or writes at most
// `size_of::<T>()` bytes of it, because the opcode carries that size.
unsafe impl<T> Ioctl for Call<'_, T> {
    type Output = i32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.argument).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(out)
    }
}

/// Runs one ioctl of Xen's drivers, which carry no direction bits in their numbers.
pub(super) fn call<T: Argument>(
    fd: impl AsFd,
    group: u8,
    number: u8,
    argument: &mut T,
) -> io::Result<i32> {
    let call = Call {
        opcode: opcode::from_components(Direction::None, group, number, size_of::<T>()),
        argument,
    };
    // SAFETY: `Argument` is only implemented for the argument structures of these ioctls, which
    // outlive the call.
    Ok(unsafe { rustix::ioctl::ioctl(fd, call) }?)
}

/// Marks the argument structures of the privcmd and evtchn drivers.
///
/// # Safety
/// The structure must be `repr(C)`, and the driver may follow only those addresses in it which
/// lie in a live [`Buffer`] or [`Mapping`].
pub(super) unsafe trait Argument {}
// SAFETY: hypercall arguments only ever come from `Privcmd::hypercall`, whose callers vouch for them.
unsafe impl Argument for PrivcmdHypercall {}
// SAFETY: filled in by `Privcmd::map_resource` alone.
unsafe impl Argument for PrivcmdMmapResource {}
// SAFETY: the event channel driver's structures are one or two numbers.
unsafe impl Argument for u32 {}

/// Page-aligned memory that stays where it is while Xen reads and writes it.
pub struct Buffer {
    base: *mut u8,
}

impl Buffer {
    /// Memory of the hypercall device when there is one (Linux 4.18 on), locked memory otherwise.
    fn new() -> io::Result<Self> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/xen/hypercall");
        let base = if let Ok(device) = device {
            // SAFETY: a new mapping at an address of the kernel's choice.
            unsafe {
                rustix::mm::mmap(
                    std::ptr::null_mut(),
                    BUFFER_BYTES,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::SHARED,
                    device,
                    0,
                )
            }?
        } else {
            // SAFETY: as above.
            let base = unsafe {
                rustix::mm::mmap_anonymous(
                    std::ptr::null_mut(),
                    BUFFER_BYTES,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE | MapFlags::LOCKED,
                )
            }?;
            // A fork must not turn the pages into copies while Xen writes to them.
            // SAFETY: the range is the mapping made above.
            unsafe { rustix::mm::madvise(base, BUFFER_BYTES, Advice::LinuxDontFork) }?;
            base
        };
        let base = base.cast::<u8>();
        // SAFETY: the mapping is writable and of this length; touching it makes the pages present.
        unsafe { base.write_bytes(0, BUFFER_BYTES) };
        Ok(Self { base })
    }

    /// The address that a hypercall is given for `offset`.
    pub fn address(&self, offset: usize) -> u64 {
        assert!(offset < BUFFER_BYTES);
        self.base as u64 + offset as u64
    }

    /// Puts a structure at `offset`.
    pub fn put<T: Plain>(&mut self, offset: usize, value: T) {
        assert!(offset + size_of::<T>() <= BUFFER_BYTES && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: in bounds and aligned by the assertion, and `&mut self` is the only access.
        unsafe { self.base.add(offset).cast::<T>().write_volatile(value) }
    }

    /// Takes a structure from `offset`.
    pub fn get<T: Plain>(&self, offset: usize) -> T {
        assert!(offset + size_of::<T>() <= BUFFER_BYTES && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: in bounds and aligned by the assertion; `Plain` admits any bytes.
        unsafe { self.base.add(offset).cast::<T>().read_volatile() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, which nothing refers to any more. Failure leaves it mapped.
        let _ = unsafe { rustix::mm::munmap(self.base.cast(), BUFFER_BYTES) };
    }
}

/// Pages of a Xen resource in this process.
pub struct Mapping {
    base: *mut c_void,
    bytes: usize,
}

impl Mapping {
    /// Where they are.
    pub fn base(&self) -> *mut c_void {
        self.base
    }

    /// How much that is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping of `map_resource`; whoever holds `Mapping` has given up its views.
        let _ = unsafe { rustix::mm::munmap(self.base, self.bytes) };
    }
}

/// The privileged command driver.
pub struct Privcmd {
    file: File,
}

impl Privcmd {
    /// Opens the driver and one buffer for hypercalls.
    pub fn open() -> io::Result<(Self, Buffer)> {
        let open = |path| OpenOptions::new().read(true).write(true).open(path);
        let file = match open("/dev/xen/privcmd") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => open("/proc/xen/privcmd")?,
            other => other?,
        };
        Ok((Self { file }, Buffer::new()?))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// One hypercall.
    ///
    /// # Safety
    /// Xen writes to this process' memory where it is told to: what `op` takes for addresses, in
    /// `arg` and in what those point to, comes from [`Buffer::address`] with room behind it for
    /// what Xen writes, or cannot be mapped in this process.
    pub unsafe fn hypercall(&self, op: u64, arg: [u64; 5]) -> io::Result<i32> {
        call(self.fd(), b'P', 0, &mut PrivcmdHypercall { op, arg })
    }

    /// How many frames a resource has.
    pub(super) fn resource_frames(&self, domain: u16, kind: u32) -> io::Result<u64> {
        let mut argument = PrivcmdMmapResource {
            dom: domain,
            kind,
            id: 0,
            idx: 0,
            num: 0,
            addr: 0,
        };
        call(self.fd(), b'P', 7, &mut argument)?;
        Ok(argument.num)
    }

    /// Maps the first `frames` frames of a resource.
    pub(super) fn map_resource(&self, domain: u16, kind: u32, frames: u64) -> io::Result<Mapping> {
        self.map_frames(domain, kind, 0, 0, frames)
    }

    /// Maps `frames` frames of a resource from the frame `first` on.
    pub fn map_frames(
        &self,
        domain: u16,
        kind: u32,
        id: u32,
        first: u32,
        frames: u64,
    ) -> io::Result<Mapping> {
        let bytes = usize::try_from(frames)
            .ok()
            .and_then(|n| n.checked_mul(PAGE_BYTES))
            .ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                self.fd(),
                0,
            )
        }?;
        let mapping = Mapping { base, bytes };
        let mut argument = PrivcmdMmapResource {
            dom: domain,
            kind,
            id,
            idx: first,
            num: frames,
            addr: base as u64,
        };
        call(self.fd(), b'P', 7, &mut argument)?;
        Ok(mapping)
    }
}
