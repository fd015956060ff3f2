//! What can go wrong, and the exit code that each failure has.

use std::io;
use std::path::PathBuf;

/// Exit codes of `xenlr`. This is the only place that defines them; the manual page repeats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; the replay is equal; the logs do not differ.
    Ok = 0,
    /// The replay diverged; the logs differ.
    Diverged = 1,
    /// The file is no log, is damaged, or does not fit this host.
    UnusableLog = 2,
    /// No such domain, or it is not logged.
    NoDomain = 3,
    /// Not under Xen, not privileged, or Xen is not patched.
    NoXen = 4,
    /// Refused: the log or the domain is in use, or in a state that does not allow it.
    Refused = 5,
    /// Reading or writing failed.
    Io = 6,
    /// A program that xenlr needs (xl) failed.
    Tool = 7,
    /// Everything in the log was replayed and was equal, but the log has no end.
    Incomplete = 8,
    /// The guest of a replay came to no further sync point.
    Stalled = 9,
    /// The place of a forced commit was not found in as many hits as are allowed.
    NotFound = 10,
    /// The command line is wrong.
    Usage = 64,
    /// Interrupted by a signal; what was done is durable.
    Interrupted = 130,
}

/// Everything that a verb can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Xen cannot be talked to.
    #[error("{reason}")]
    NoXen {
        /// Why, and the way out.
        reason: String,
    },
    /// There is no such domain.
    #[error("there is no domain \"{name}\": see xl list")]
    NoDomain {
        /// What was given.
        name: String,
    },
    /// It is the control domain.
    #[error("domain 0 is the control domain, which runs xenlr and cannot be logged")]
    ControlDomain,
    /// The domain is not logged.
    #[error(
        "domain \"{name}\" is not logged: create it with xenlr=\"record\" in its configuration"
    )]
    NotLogged {
        /// The domain.
        name: String,
    },
    /// The domain is being created or destroyed.
    #[error("domain \"{name}\" is being created or destroyed: try again")]
    NotReady {
        /// The domain.
        name: String,
    },
    /// Refused, with the reason and the way out.
    #[error("{0}")]
    Refused(String),
    /// The log cannot be used.
    #[error("{}: {reason}", file.display())]
    UnusableLog {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The log cannot be read, or not continued.
    #[error(transparent)]
    Log(log_format::file::LogError),
    /// Reading or writing failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, with the name of the thing.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Another program failed.
    #[error("{0}")]
    Tool(String),
    /// The command line cannot be obeyed.
    #[error("{0}")]
    Usage(String),
    /// A signal ended the work.
    #[error("interrupted; what was written so far is durable")]
    Interrupted,
}

impl Error {
    /// A failed file operation.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// A failed hypercall.
    pub fn hypercall(what: &str, source: io::Error) -> Self {
        use rustix::io::Errno;
        let reason = match Errno::from_io_error(&source) {
            Some(Errno::NOSYS) => {
                format!("cannot {what}: this Xen has no XenLR; boot one with the XenLR patches")
            }
            Some(Errno::PERM) => format!("cannot {what}: run xenlr in dom0, as root"),
            Some(Errno::ACCESS) => format!(
                "cannot {what}: Xen's control interface has another version than this xenlr; \
                 boot the Xen with the XenLR patches that xenlr was built with"
            ),
            Some(Errno::OPNOTSUPP) => format!(
                "cannot {what}: Xen does not support it; boot a Xen with the XenLR patches and \
                 CONFIG_XENLR"
            ),
            _ => return Self::io(what, source),
        };
        Self::NoXen { reason }
    }

    /// The code that the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoXen { .. } => Exit::NoXen,
            Self::NoDomain { .. } | Self::ControlDomain | Self::NotLogged { .. } => Exit::NoDomain,
            Self::Refused(_) | Self::NotReady { .. } => Exit::Refused,
            Self::UnusableLog { .. } | Self::Log(_) => Exit::UnusableLog,
            Self::Io { .. } => Exit::Io,
            Self::Tool(_) => Exit::Tool,
            Self::Usage(_) => Exit::Usage,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}
