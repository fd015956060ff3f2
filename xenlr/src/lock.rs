//! Exclusive locks that end with their process: one reader for each domain, one replay for each name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::Error;
use crate::xen::Uuid;

/// Where the locks are; a file system that does not survive a reboot.
pub const LOCK_DIR: &str = "/run/xenlr";
/// Where the kernel lists the locks that are held.
const HELD_LOCKS: &str = "/proc/locks";

/// Held while a process reads a domain's ring. Its file goes with it.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // As long as the lock is held the file is ours: whoever opened it in the meantime finds,
        // once it has the lock, that the file has lost its name.
        if is_named(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The name of a domain's lock, without its ending.
pub fn name_of(uuid: Uuid, domid: u16) -> String {
    format!("{uuid}.{domid}")
}

fn path_of(dir: &Path, uuid: Uuid, domid: u16) -> PathBuf {
    dir.join(name_of(uuid, domid) + ".lock")
}

/// Whether the path still names this file.
fn is_named(file: &File, path: &Path) -> bool {
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(named)) => id(ours) == id(named),
        _ => false,
    }
}

/// Locks a file for this process; `None`: another one has it.
fn try_lock(path: PathBuf) -> Result<Option<Lock>, Error> {
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| Error::io(format!("make {}", dir.display()), e))?;
    }
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::io(format!("open {}", path.display()), e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_named(&file, &path) => return Ok(Some(Lock { path, file })),
            // The one before has just removed it.
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => {
                return Err(Error::io(
                    format!("lock {}", path.display()),
                    io::Error::from(e),
                ));
            }
        }
    }
}

/// Locks a domain's ring, named by its UUID and number, for this process.
pub fn acquire(dir: &Path, uuid: Uuid, domid: u16, name: &str) -> Result<Lock, Error> {
    let path = path_of(dir, uuid, domid);
    try_lock(path.clone())?.ok_or_else(|| {
        Error::Refused(format!(
            "the log of domain \"{name}\" is being read by another xenlr (it holds {}): \
             stop that one first (perhaps systemctl stop xenlr-daemon)",
            path.display()
        ))
    })
}

/// Claims what a domain that is to be built will have, its name or its UUID, until the lock is
/// dropped; `None`: another process has claimed it.
pub fn claim(dir: &Path, what: &str) -> Result<Option<Lock>, Error> {
    try_lock(dir.join(format!("{}.claim.lock", what.replace('/', "_"))))
}

/// Whether a process holds the lock of a domain. `None`: the kernel does not tell. The lock is not
/// touched, so nobody who wants it is refused meanwhile.
pub fn is_held(dir: &Path, uuid: Uuid, domid: u16) -> Option<bool> {
    let Ok(metadata) = fs::metadata(path_of(dir, uuid, domid)) else {
        return Some(false);
    };
    let held = fs::read_to_string(HELD_LOCKS).ok()?;
    let inode = metadata.ino().to_string();
    let (major, minor) = (
        rustix::fs::major(metadata.dev()),
        rustix::fs::minor(metadata.dev()),
    );
    let wanted = format!("{major:02x}:{minor:02x}:{inode}");
    Some(
        held.lines()
            .any(|line| line.split_whitespace().any(|word| word == wanted)),
    )
}

/// The files of locks that there are.
#[derive(Debug)]
pub struct Files(Vec<(String, PathBuf)>);

/// Lists them. A file is made by a reader that has seen its domain: of the domains that are listed
/// after this, none is missing that one of these files could still serve.
pub fn files(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    Files(
        entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let domain = name.to_str()?.strip_suffix(".lock")?.to_owned();
                Some((domain, entry.path()))
            })
            .collect(),
    )
}

/// Removes what readers left that were killed, of domains that are gone: nobody will want the lock
/// of one any more. `is_there` is asked with what [`name_of`] gives.
pub fn sweep(files: Files, is_there: impl Fn(&str) -> bool) {
    for (domain, path) in files.0 {
        if is_there(&domain) {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(&path) else {
            continue;
        };
        // A reader that is at the end of the log of such a domain removes its own.
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

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

    #[test]
    fn what_one_replay_claims_no_other_gets() {
        let dir = tempfile::tempdir().unwrap();
        let first = claim(dir.path(), "a/b").unwrap();
        assert!(first.is_some());
        assert!(claim(dir.path(), "a/b").unwrap().is_none());
        assert!(claim(dir.path(), "c").unwrap().is_some());
        drop(first);
        assert!(claim(dir.path(), "a/b").unwrap().is_some());
    }

    #[test]
    fn a_lock_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = acquire(dir.path(), Uuid::default(), 3, "g").unwrap();
        assert_eq!(count(dir.path()), 1);
        drop(lock);
        assert_eq!(count(dir.path()), 0);
    }

    #[test]
    fn whether_a_lock_is_held_is_known_without_taking_it() {
        let dir = tempfile::tempdir().unwrap();
        let uuid = Uuid::default();
        assert_eq!(is_held(dir.path(), uuid, 3), Some(false));
        let lock = acquire(dir.path(), uuid, 3, "g").unwrap();
        assert_ne!(is_held(dir.path(), uuid, 3), Some(false));
        drop(lock);
        // What a killed reader leaves: the file, and no lock.
        fs::write(path_of(dir.path(), uuid, 3), b"").unwrap();
        assert_ne!(is_held(dir.path(), uuid, 3), Some(true));
        acquire(dir.path(), uuid, 3, "g").unwrap();
    }

    #[test]
    fn what_killed_readers_left_of_domains_that_are_gone_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let uuid = Uuid::default();
        for domid in [3, 4] {
            fs::write(path_of(dir.path(), uuid, domid), b"").unwrap();
        }
        let held = acquire(dir.path(), uuid, 5, "g").unwrap();
        sweep(files(dir.path()), |name| name == name_of(uuid, 4));
        assert!(!path_of(dir.path(), uuid, 3).exists());
        assert!(path_of(dir.path(), uuid, 4).exists());
        assert!(path_of(dir.path(), uuid, 5).exists());
        drop(held);
    }
}
