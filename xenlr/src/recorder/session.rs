//! One recorded domain and its file.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log_format::file::{Closing, LogError, LogWriter};

use super::adopt::{self, Adopted, Target};
use super::drain::{DrainError, drain};
use super::facts;
use super::sink::FileSink;
use crate::domains::NamedDomain;
use crate::error::Error;
use crate::lock::{self, LOCK_DIR, Lock};
use crate::output::Output;
use crate::ringio::RingMemory;
use crate::xen::{Domain, EventChannels, Port, Ring, Status, Xen};

/// Passes over one ring before the others get their turn.
const MAX_PASSES: u32 = 8;

/// A domain whose ring is being read.
pub struct Session<'x> {
    /// The domain, as it was when the session began.
    pub named: NamedDomain,
    domain: Domain<'x>,
    ring: Ring,
    sink: FileSink,
    port: Option<Port>,
    last_pass: Instant,
    closed: Option<Closing>,
    _lock: Lock,
}

/// What opening a session came to.
pub enum Opened<'x> {
    /// The log is to be read.
    Reading(Box<Session<'x>>),
    /// The log is in this file, finished.
    Finished(PathBuf),
}

impl<'x> Session<'x> {
    /// Locks the domain, maps its ring, and finds or creates its file.
    pub fn open(
        xen: &'x Xen,
        named: NamedDomain,
        status: &Status,
        target: &Target,
        max_image_bytes: u64,
        output: Output,
    ) -> Result<Opened<'x>, Error> {
        let lock = lock::acquire(
            Path::new(LOCK_DIR),
            named.info.uuid,
            named.info.domid,
            &named.name,
        )?;
        let domain = xen.domain(named.info.domid);
        let ring = domain.ring()?;
        let writer = match adopt::adopt(target, &named, &ring)? {
            Adopted::Continue(writer) => *writer,
            Adopted::Finished(path) => return Ok(Opened::Finished(path)),
            Adopted::New => create(xen, &named, status, target, max_image_bytes, output)?,
        };
        Ok(Opened::Reading(Box::new(Self {
            named,
            domain,
            ring,
            sink: FileSink::new(writer),
            port: None,
            last_pass: Instant::now(),
            closed: None,
            _lock: lock,
        })))
    }

    /// Has Xen notify us of this ring, unless it does already; a guest that waits for its first
    /// reader begins with this. A failure is reported and no more: what is in the ring of a domain
    /// that is dying must not be lost over it, and the timeouts still do the work.
    pub fn listen(&mut self, channels: &EventChannels, output: Output) {
        if self.port.is_none()
            && let Err(e) = self.bind(channels)
        {
            output.note(&e.to_string());
        }
    }

    fn bind(&mut self, channels: &EventChannels) -> Result<(), Error> {
        let port = channels
            .bind_unbound()
            .map_err(|e| Error::io("bind an event channel", e))?;
        if let Err(e) = self.domain.bind(Some(port)) {
            let _ = channels.unbind(port);
            return Err(e);
        }
        self.port = Some(port);
        Ok(())
    }

    /// Gives the event channel back.
    pub fn unlisten(&mut self, channels: &EventChannels) {
        if let Some(port) = self.port.take() {
            // The domain may be gone, and with it the binding.
            let _ = self.domain.bind(None);
            let _ = channels.unbind(port);
        }
    }

    /// Whether Xen tells of what is new.
    pub fn is_heard(&self) -> bool {
        self.port.is_some()
    }

    /// The port that Xen notifies.
    pub fn port(&self) -> Option<Port> {
        self.port
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.sink.path()
    }

    /// Records in the file, and the sync points that the guest has reached with them.
    pub fn progress(&self) -> (u64, u64) {
        (self.sink.records(), self.sink.sync_points())
    }

    /// Whether the file was finished, and why.
    pub fn closed(&self) -> Option<Closing> {
        self.closed
    }

    /// How long ago the ring was last read.
    pub fn idle(&self) -> Duration {
        self.last_pass.elapsed()
    }

    /// Whether the ring is at least half full now.
    pub fn is_half_full(&self) -> bool {
        self.ring.prod().wrapping_sub(self.ring.cons()) >= self.ring.size_bytes() / 2
    }

    /// Reads the ring until it is less than half full, wakes the guest, and finishes the file
    /// when the end record has come. Returns the bytes that are newly durable.
    pub fn pass(&mut self) -> Result<u64, DrainError> {
        self.last_pass = Instant::now();
        let mut bytes = 0;
        for _ in 0..MAX_PASSES {
            let drained = drain(&self.ring, &mut self.sink)?;
            bytes += drained.bytes;
            // The domain may be gone, but its ring stays readable.
            let _ = self.domain.kick();
            if !drained.was_half_full {
                break;
            }
        }
        if self.sink.is_ended() && self.closed.is_none() {
            self.finish(Closing::Ended).map_err(DrainError::Sink)?;
        }
        Ok(bytes)
    }

    /// Writes the trailer; nothing more will be read.
    pub fn finish(&mut self, closing: Closing) -> Result<(), Error> {
        if self.closed.is_none() {
            self.sink.finish(closing)?;
            self.closed = Some(closing);
        }
        Ok(())
    }
}

/// Whether a failed pass may succeed later, with the records safe in the ring until then.
pub fn may_recover(error: &DrainError) -> bool {
    match error {
        DrainError::Sink(Error::Log(LogError::Record { .. })) => false,
        DrainError::Sink(_) => true,
        DrainError::Ring(_) | DrainError::Gap { .. } => false,
    }
}

fn create(
    xen: &Xen,
    named: &NamedDomain,
    status: &Status,
    target: &Target,
    max_image_bytes: u64,
    output: Output,
) -> Result<LogWriter, Error> {
    let facts = facts::collect(xen, named, status, max_image_bytes)?;
    for warning in &facts.warnings {
        output.warn(&format!("domain \"{}\": {warning}", named.name));
    }
    let path = match target {
        Target::File(path) => path.clone(),
        Target::Directory(dir) => {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|e| Error::io(format!("make {}", dir.display()), e))?;
            dir.join(adopt::file_name(&facts.header))
        }
    };
    let images: Vec<_> = facts
        .images
        .iter()
        .map(|(which, bytes)| (*which, bytes.as_slice()))
        .collect();
    LogWriter::create(&path, &facts.header, &images).map_err(|e| {
        let exists = matches!(&e, LogError::Io { source, .. }
            if source.kind() == std::io::ErrorKind::AlreadyExists);
        if !exists {
            // Half a header is of no use, and would be in the way of the next try.
            let _ = fs::remove_file(&path);
        }
        Error::from(e)
    })
}
