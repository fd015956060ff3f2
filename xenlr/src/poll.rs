//! Waiting for file descriptors, for a time, and for the signals that end the work.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// Whether reading would not block now.
pub fn readable(fd: impl AsFd) -> io::Result<bool> {
    wait(&[fd.as_fd()], Duration::ZERO).map(|ready| ready > 0)
}

/// Waits until one of the descriptors is readable, or the time is over, or a signal arrives.
/// Returns how many are ready.
pub fn wait(fds: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<usize> {
    let mut polled: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Err(Errno::INTR) => Ok(0),
        other => Ok(other?),
    }
}
