//! One domain and what can be done with its log.

use std::{fmt, io};

use log_format::EndReason;
use log_format::control::{Divergence, Mode, State};

use super::abi::{self, DomainFlags, GetDomainInfo, StatusFlags, XenlrStatus};
use super::evtchn::Port;
use super::{Ring, Xen};
use crate::error::Error;

/// What Xen tells of every domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its number.
    pub domid: u16,
    /// Its UUID.
    pub uuid: Uuid,
    /// Being torn down.
    pub dying: bool,
    /// The guest has shut down or crashed.
    pub shutdown: bool,
    /// Paused from outside, as a domain is until the toolstack has built it.
    pub paused: bool,
    /// Pages that it has.
    pub pages: u64,
}

impl From<GetDomainInfo> for DomainInfo {
    fn from(raw: GetDomainInfo) -> Self {
        let flags = DomainFlags::from_bits_retain(raw.flags);
        Self {
            domid: raw.domain,
            uuid: Uuid(raw.handle),
            dying: flags.contains(DomainFlags::DYING),
            shutdown: flags.contains(DomainFlags::SHUTDOWN),
            paused: flags.contains(DomainFlags::PAUSED),
            pages: raw.tot_pages,
        }
    }
}

/// A domain's UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

/// The usual way, in five groups.
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// How a recording or a replay stands: Xen's numbers with the enumerations made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Recording or replaying.
    pub mode: Mode,
    /// Where it stands.
    pub state: State,
    /// Everything else, as Xen gave it.
    pub raw: XenlrStatus,
}

impl Status {
    fn flags(&self) -> StatusFlags {
        StatusFlags::from_bits_retain(self.raw.flags)
    }

    /// `on_full=stop` was asked for.
    pub fn stops_when_full(&self) -> bool {
        self.flags().contains(StatusFlags::ON_FULL_STOP)
    }

    /// CPUID faults for the guest, so that it may run on any CPU.
    pub fn cpuid_faults(&self) -> bool {
        self.flags().contains(StatusFlags::CPUID_FAULTS)
    }

    /// The guest's system calls leave to Xen (`syscalls=trap`).
    pub fn traps_syscalls(&self) -> bool {
        self.flags().contains(StatusFlags::TRAP_SYSCALLS)
    }

    /// An event channel is bound. A reader that was killed leaves it so: Xen is not told.
    pub fn is_bound(&self) -> bool {
        self.flags().contains(StatusFlags::BOUND)
    }

    /// The sync points that the guest has reached. On its way out of the log's end Xen may count one
    /// more, which is not in the log.
    pub fn sync_points(&self) -> u64 {
        match self.state {
            State::Ended => self.raw.end_sync,
            _ => self.raw.sync,
        }
    }

    /// Why the log has ended, if it has an end.
    pub fn end_reason(&self) -> Option<EndReason> {
        EndReason::from_number(u8::try_from(self.raw.end_reason).ok()?)
    }

    /// The log will grow no more (recording), or the replay will not go on by itself.
    pub fn is_final(&self) -> bool {
        matches!(
            self.state,
            State::Ended | State::Diverged | State::Failed | State::Released
        )
    }

    /// What differed, when the replay has diverged.
    pub fn divergence(&self) -> Option<Divergence> {
        Divergence::from_number(self.raw.diverge_kind)
    }

    /// Makes out Xen's numbers. `None`: the domain is not logged.
    pub fn from_raw(raw: XenlrStatus) -> Result<Option<Self>, Error> {
        let strange = |what: &str, number: u32| Error::NoXen {
            reason: format!(
                "Xen answers with a {what} of {number}, which this xenlr does not know: use the \
                 xenlr that was built with this Xen"
            ),
        };
        let mode = Mode::from_number(raw.mode & 0xff).ok_or_else(|| strange("mode", raw.mode))?;
        if mode == Mode::Off {
            return Ok(None);
        }
        let state = State::from_number(raw.state).ok_or_else(|| strange("state", raw.state))?;
        Ok(Some(Self { mode, state, raw }))
    }
}

/// A handle on a domain.
#[derive(Clone, Copy)]
pub struct Domain<'x> {
    xen: &'x Xen,
    domid: u16,
}

impl<'x> Domain<'x> {
    pub(super) fn new(xen: &'x Xen, domid: u16) -> Self {
        Self { xen, domid }
    }

    /// The domain's number.
    pub fn domid(&self) -> u16 {
        self.domid
    }

    /// How its log stands; `None` when it is not logged. A domain that has no vCPU yet, or is
    /// dying, is an [`Error::NotReady`].
    pub fn status(&self) -> Result<Option<Status>, Error> {
        match self.xen.xenlr_op(self.domid, abi::XENLR_OP_STATUS, 0, 0) {
            Ok(raw) => Status::from_raw(raw),
            Err(e) => match rustix::io::Errno::from_io_error(&e) {
                Some(rustix::io::Errno::OPNOTSUPP) => Ok(None),
                Some(rustix::io::Errno::INVAL) => Err(Error::NotReady {
                    name: self.domid.to_string(),
                }),
                _ => Err(self.failed("read the log's status of", e)),
            },
        }
    }

    /// Ends the recording at the next sync point; the guest then stays paused.
    pub fn stop(&self) -> Result<(), Error> {
        self.op("stop the recording of", abi::XENLR_OP_STOP, 0, 0)
    }

    /// Has Xen notify `port` when there is something to do; `None` ends that.
    pub fn bind(&self, port: Option<Port>) -> Result<(), Error> {
        let port = port.map_or(0, |p| p.0);
        self.op("be notified by", abi::XENLR_OP_BIND, port, 0)
    }

    /// Tells Xen that our index of the ring was moved.
    pub fn kick(&self) -> Result<(), Error> {
        self.op("wake", abi::XENLR_OP_KICK, 0, 0)
    }

    /// Pauses the replay at this sync number, or never at `u64::MAX`; a replay that is paused at
    /// an earlier one goes on.
    pub fn until(&self, sync: u64) -> Result<(), Error> {
        self.op("set the end of the replay of", abi::XENLR_OP_UNTIL, 0, sync)
    }

    /// Lets the guest of an ended log go on without one.
    pub fn release(&self) -> Result<(), Error> {
        self.op("release", abi::XENLR_OP_RELEASE, 0, 0)
    }

    /// Counts one pause from outside.
    pub fn pause(&self) -> Result<(), Error> {
        self.plain("pause", abi::DOMCTL_PAUSEDOMAIN)
    }

    /// Takes one pause back.
    pub fn unpause(&self) -> Result<(), Error> {
        self.plain("unpause", abi::DOMCTL_UNPAUSEDOMAIN)
    }

    /// Bytes in the ring now. What Xen's status says of it is as old as Xen's last look at our index.
    pub fn ring_used(&self) -> Result<u64, Error> {
        Ring::used(&self.xen.privcmd, self.domid).map_err(|e| self.failed("look at the ring of", e))
    }

    /// Maps the ring.
    pub fn ring(&self) -> Result<Ring, Error> {
        Ring::map(&self.xen.privcmd, self.domid).map_err(|e| self.failed("map the ring of", e))
    }

    fn op(&self, what: &'static str, cmd: u32, port: u32, sync: u64) -> Result<(), Error> {
        self.xen
            .xenlr_op(self.domid, cmd, port, sync)
            .map(drop)
            .map_err(|e| self.failed(what, e))
    }

    fn plain(&self, what: &'static str, cmd: u32) -> Result<(), Error> {
        self.xen
            .plain_domctl(cmd, self.domid)
            .map_err(|e| self.failed(what, e))
    }

    fn failed(&self, what: &str, source: io::Error) -> Error {
        if rustix::io::Errno::from_io_error(&source) == Some(rustix::io::Errno::SRCH) {
            return Error::NoDomain {
                name: self.domid.to_string(),
            };
        }
        Error::hypercall(&format!("{what} domain {}", self.domid), source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_has_five_groups() {
        let handle = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        assert_eq!(
            Uuid(handle).to_string(),
            "01234567-89ab-cdef-0123-456789abcdef"
        );
    }

    #[test]
    fn unknown_numbers_of_xen_are_errors() {
        let raw = XenlrStatus {
            mode: 1,
            state: 99,
            ..XenlrStatus::default()
        };
        assert!(Status::from_raw(raw).is_err());
        assert_eq!(Status::from_raw(XenlrStatus::default()).ok(), Some(None));
    }
}
