//! One reader for each domain: an exclusive lock that ends with its process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::Error;
use crate::xen::Uuid;

/// Where the locks are; a file system that does not survive a reboot.
pub const LOCK_DIR: &str = "/run/xenlr";

/// Held while a process reads a domain's ring.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Locks a domain's ring, named by its UUID and number, for this process.
pub fn acquire(dir: &Path, uuid: Uuid, domid: u16, name: &str) -> Result<Lock, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Error::io(format!("make {}", dir.display()), e))?;
    let path = dir.join(format!("{uuid}.{domid}.lock"));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Error::io(format!("open {}", path.display()), e))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _file: file }),
        Err(Errno::WOULDBLOCK) => Err(Error::Refused(format!(
            "the log of domain \"{name}\" is being read by another xenlr (it holds {}): stop that \
             one first (perhaps systemctl stop xenlr-daemon)",
            path.display()
        ))),
        Err(e) => Err(Error::io(
            format!("lock {}", path.display()),
            io::Error::from(e),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_reader_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = acquire(dir.path(), Uuid::default(), 3, "g").unwrap();
        let second = acquire(dir.path(), Uuid::default(), 3, "g");
        assert!(matches!(second, Err(Error::Refused(_))), "{second:?}");
        acquire(dir.path(), Uuid::default(), 4, "g").unwrap();
        drop(first);
        acquire(dir.path(), Uuid::default(), 3, "g").unwrap();
    }
}
