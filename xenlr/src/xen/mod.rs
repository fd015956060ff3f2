//! Xen as dom0 sees it: the only unsafe code of this crate.
//!
//! Three layers: [`abi`] holds the raw structures, [`privcmd`] and [`evtchn`] the system calls,
//! and [`Xen`], [`Domain`], [`Ring`] and [`EventChannels`] are safe to use.
#![allow(unsafe_code)]

pub mod abi;
pub mod domain;
pub mod evtchn;
pub mod privcmd;
mod ring;

use std::cell::RefCell;
use std::io;

pub use domain::{Domain, DomainInfo, Status, Uuid};
pub use evtchn::{EventChannels, Port};
pub use ring::Ring;

use abi::{
    Domctl, DomctlUnion, GetDomainInfo, GetDomainInfoList, Sysctl, SysctlUnion, XenlrOp,
    XenlrStatus,
};
use privcmd::{BUFFER_BYTES, Buffer, Privcmd};

use crate::error::Error;

/// Offset of the second structure in the hypercall buffer, behind the control structure.
const SECOND: usize = 4096;
/// Entries of a domain list that fit.
const LIST_ENTRIES: usize = (BUFFER_BYTES - SECOND) / size_of::<GetDomainInfo>();

/// The running hypervisor.
pub struct Xen {
    privcmd: Privcmd,
    buffer: RefCell<Buffer>,
}

/// What Xen says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Such as `4.20.3`.
    pub version: String,
    /// Hexadecimal build id; empty when Xen was linked without one.
    pub build_id: String,
    /// The revision that it was built from, as its build recorded it.
    pub changeset: String,
}

impl Xen {
    /// Opens the privileged command driver.
    pub fn open() -> Result<Self, Error> {
        let (privcmd, buffer) = Privcmd::open().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NoXen {
                reason: "/dev/xen/privcmd is not there: run xenlr in dom0, as root, with the \
                         module xen-privcmd loaded"
                    .to_owned(),
            },
            io::ErrorKind::PermissionDenied => Error::NoXen {
                reason: "/dev/xen/privcmd cannot be opened: run xenlr as root".to_owned(),
            },
            _ => Error::NoXen {
                reason: format!("/dev/xen/privcmd cannot be used: {source}"),
            },
        })?;
        Ok(Self {
            privcmd,
            buffer: RefCell::new(buffer),
        })
    }

    /// One domctl; Xen's answer is returned with the control structure as Xen left it.
    ///
    /// # Safety
    /// Addresses in `u` are as [`Privcmd::hypercall`] wants them.
    unsafe fn domctl(&self, cmd: u32, domain: u16, u: DomctlUnion) -> io::Result<Domctl> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.put(
            0,
            Domctl {
                cmd,
                interface_version: abi::DOMCTL_INTERFACE_VERSION,
                domain,
                pad: [0; 3],
                u,
            },
        );
        let arg = [buffer.address(0), 0, 0, 0, 0];
        // SAFETY: the structure is in the buffer, and by the contract so is what it points to.
        unsafe { self.privcmd.hypercall(abi::HYPERVISOR_DOMCTL, arg) }?;
        Ok(buffer.get(0))
    }

    fn plain_domctl(&self, cmd: u32, domain: u16) -> io::Result<()> {
        // SAFETY: no address.
        unsafe { self.domctl(cmd, domain, DomctlUnion { pad: [0; 16] }) }.map(drop)
    }

    fn xenlr_op(&self, domain: u16, cmd: u32, port: u32, sync: u64) -> io::Result<XenlrStatus> {
        let status = {
            let mut buffer = self.buffer.borrow_mut();
            buffer.put(SECOND, XenlrStatus::default());
            buffer.address(SECOND)
        };
        let mut u = DomctlUnion { pad: [0; 16] };
        u.xenlr_op = XenlrOp {
            cmd,
            port,
            sync,
            status,
        };
        // SAFETY: the status has its place in the buffer.
        unsafe { self.domctl(abi::DOMCTL_XENLR_OP, domain, u) }?;
        Ok(self.buffer.borrow().get(SECOND))
    }

    /// Every domain that there is.
    pub fn domains(&self) -> Result<Vec<DomainInfo>, Error> {
        let mut all = Vec::new();
        let mut first_domain = 0;
        loop {
            let mut buffer = self.buffer.borrow_mut();
            let mut u = SysctlUnion { pad: [0; 16] };
            u.getdomaininfolist = GetDomainInfoList {
                first_domain,
                max_domains: LIST_ENTRIES as u32,
                buffer: buffer.address(SECOND),
                num_domains: 0,
            };
            buffer.put(
                0,
                Sysctl {
                    cmd: abi::SYSCTL_GETDOMAININFOLIST,
                    interface_version: abi::SYSCTL_INTERFACE_VERSION,
                    u,
                },
            );
            let arg = [buffer.address(0), 0, 0, 0, 0];
            // SAFETY: the structure is in the buffer, and so is the list, for as many entries as fit.
            unsafe { self.privcmd.hypercall(abi::HYPERVISOR_SYSCTL, arg) }
                .map_err(|source| Error::hypercall("list the domains", source))?;
            let answer: Sysctl = buffer.get(0);
            // SAFETY: every bit pattern is a value of this member.
            let count = unsafe { answer.u.getdomaininfolist.num_domains } as usize;
            for i in 0..count.min(LIST_ENTRIES) {
                let raw: GetDomainInfo = buffer.get(SECOND + i * size_of::<GetDomainInfo>());
                first_domain = raw.domain.saturating_add(1);
                all.push(DomainInfo::from(raw));
            }
            if count < LIST_ENTRIES {
                return Ok(all);
            }
        }
    }

    /// Whether this Xen can record and replay, and has memory set aside for it.
    pub fn require_xenlr(&self) -> Result<(), Error> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.put(
            0,
            Sysctl {
                cmd: abi::SYSCTL_PHYSINFO,
                interface_version: abi::SYSCTL_INTERFACE_VERSION,
                u: SysctlUnion { pad: [0; 16] },
            },
        );
        let arg = [buffer.address(0), 0, 0, 0, 0];
        // SAFETY: the structure is in the buffer, and holds no address.
        unsafe { self.privcmd.hypercall(abi::HYPERVISOR_SYSCTL, arg) }
            .map_err(|source| Error::hypercall("ask Xen what it can do", source))?;
        let answer: Sysctl = buffer.get(0);
        // SAFETY: every bit pattern is a value of this member.
        let capabilities = unsafe { answer.u.physinfo.capabilities };
        if capabilities & (abi::PHYSCAP_XENLR | abi::PHYSCAP_XENLR_PVH) == 0 {
            return Err(Error::NoXen {
                reason: "this Xen cannot record or replay: boot one with the XenLR patches and \
                         CONFIG_XENLR=y, with xenlr_arena=SIZE for PV domains"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// A handle on a domain, which may or may not exist.
    pub fn domain(&self, domid: u16) -> Domain<'_> {
        Domain::new(self, domid)
    }

    /// One text of Xen's.
    ///
    /// # Safety
    /// Xen writes at most `N` bytes for `what`.
    unsafe fn version_text<const N: usize>(&self, what: u64) -> io::Result<String> {
        let mut buffer = self.buffer.borrow_mut();
        buffer.put(0, [0u8; N]);
        let arg = [what, buffer.address(0), 0, 0, 0];
        // SAFETY: the place is in the buffer, and large enough by the contract.
        unsafe { self.privcmd.hypercall(abi::HYPERVISOR_XEN_VERSION, arg) }?;
        let text: [u8; N] = buffer.get(0);
        let end = text.iter().position(|&b| b == 0).unwrap_or(N);
        Ok(String::from_utf8_lossy(&text[..end]).into_owned())
    }

    fn build_id(&self) -> io::Result<String> {
        const LENGTH: usize = 64;
        let mut buffer = self.buffer.borrow_mut();
        buffer.put(0, LENGTH as u32);
        buffer.put(4, [0u8; LENGTH]);
        let arg = [abi::XENVER_BUILD_ID, buffer.address(0), 0, 0, 0];
        // SAFETY: the place is in the buffer, and says how much room it has.
        let length = unsafe { self.privcmd.hypercall(abi::HYPERVISOR_XEN_VERSION, arg) }?;
        let bytes: [u8; LENGTH] = buffer.get(4);
        let length = usize::try_from(length).unwrap_or(0).min(LENGTH);
        Ok(bytes[..length].iter().map(|b| format!("{b:02x}")).collect())
    }

    /// Version, build id and changeset of the running Xen.
    pub fn version(&self) -> Result<Version, Error> {
        let failed = |source| Error::hypercall("ask Xen for its version", source);
        let arg = [abi::XENVER_VERSION, 0, 0, 0, 0];
        // SAFETY: no address.
        let number = unsafe { self.privcmd.hypercall(abi::HYPERVISOR_XEN_VERSION, arg) };
        let number = number.map_err(failed)?;
        // SAFETY: `xen_extraversion_t` has 16 bytes.
        let extra = unsafe { self.version_text::<16>(abi::XENVER_EXTRAVERSION) }.map_err(failed)?;
        // SAFETY: `xen_changeset_info_t` has 64 bytes.
        let changeset = unsafe { self.version_text::<64>(abi::XENVER_CHANGESET) };
        Ok(Version {
            version: format!("{}.{}{extra}", number >> 16, number & 0xffff),
            // Both may be hidden or missing in a given build, which is not an error.
            build_id: self.build_id().unwrap_or_default(),
            changeset: changeset.unwrap_or_default(),
        })
    }
}
