//! `/dev/xen/evtchn`: an event channel that Xen notifies us on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::abi::DOMID_SELF;
use super::privcmd::call;

/// The event channel driver. All ports of one handle are read from one file descriptor.
pub struct EventChannels {
    file: File,
}

/// A local event channel port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u32);

impl EventChannels {
    /// Opens the driver; no port is bound yet.
    pub fn open() -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags_nonblock()
            .open("/dev/xen/evtchn")?;
        Ok(Self { file })
    }

    /// A fresh port that only Xen or this domain itself can notify.
    pub fn bind_unbound(&self) -> io::Result<Port> {
        let mut remote_domain = DOMID_SELF;
        let port = call(&self.file, b'E', 2, &mut remote_domain)?;
        u32::try_from(port).map(Port).map_err(io::Error::other)
    }

    /// Gives a port back.
    pub fn unbind(&self, port: Port) -> io::Result<()> {
        let mut number = port.0;
        call(&self.file, b'E', 3, &mut number).map(drop)
    }

    /// The ports that were notified since the last call; each is armed again.
    pub fn take_pending(&self) -> io::Result<Vec<Port>> {
        let mut bytes = [0; 4 * 64];
        let length = match (&self.file).read(&mut bytes) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        let whole = bytes.get(..length / 4 * 4).unwrap_or(&[]);
        if !whole.is_empty() {
            (&self.file).write_all(whole)?;
        }
        Ok(whole
            .chunks_exact(4)
            .map(|b| Port(u32::from_ne_bytes([b[0], b[1], b[2], b[3]])))
            .collect())
    }
}

impl AsFd for EventChannels {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// `O_NONBLOCK` without naming its number.
trait NonBlock {
    fn custom_flags_nonblock(&mut self) -> &mut Self;
}

impl NonBlock for OpenOptions {
    fn custom_flags_nonblock(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        self.custom_flags(flags.cast_signed())
    }
}
