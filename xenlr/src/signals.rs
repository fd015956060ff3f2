//! SIGINT and SIGTERM as a file descriptor that becomes readable.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::poll;

/// Becomes readable, and stays so, when the process was asked to end.
pub struct Signals {
    asked: UnixStream,
}

impl Signals {
    /// Takes the signals over; from now on they no longer end the process by themselves.
    pub fn install() -> io::Result<Self> {
        let (asked, tell) = UnixStream::pair()?;
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::low_level::pipe::register(signal, tell.try_clone()?)?;
        }
        Ok(Self { asked })
    }

    /// Whether the process was asked to end.
    pub fn raised(&self) -> bool {
        poll::readable(&self.asked).unwrap_or(true)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.asked.as_fd()
    }
}
