//! `xenlr daemon`: writes the log of every recorded domain.
//!
//! One thread and one `poll`: event channels, xenstore's word that domains come and go, and
//! signals. Xen notifies when a ring is half full, full or ended; for the rest there is the
//! interval, so that an idle guest makes few and well-compressed chunks.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::{Daemon, log_dir};
use crate::error::{Error, Exit};
use crate::output::Output;
use crate::poll;
use crate::recorder::adopt::Target;
use crate::recorder::fleet::{Fleet, Writing};
use crate::signals::Signals;
use crate::xen::{EventChannels, Xen};
use crate::xenstore::Xenstore;

/// Where one cannot see which domains there are, how long until the next look.
const BLIND_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until a signal comes.
pub fn run(args: &Daemon, output: Output) -> Result<Exit, Error> {
    let signals = Signals::install().map_err(|e| Error::io("take over signals", e))?;
    let xen = Xen::open()?;
    xen.require_xenlr()?;
    let channels = EventChannels::open().map_err(|e| Error::io("open /dev/xen/evtchn", e))?;
    let dir = args.dir.clone().unwrap_or_else(log_dir);
    let writing = Writing {
        target: Target::Directory(dir.clone()),
        max_image_bytes: args.writing.max_image << 20,
        interval: Duration::from_secs(args.interval),
    };
    output.event(
        &json!({ "event": "started", "dir": dir, "interval_s": args.interval }),
        &format!(
            "writing logs to {}, at the latest every {} s",
            dir.display(),
            args.interval
        ),
    );
    let mut fleet = Fleet::new(&xen, &channels, writing, output);
    let mut store = Store::default();
    fleet.scan(store.get())?;
    if args.once {
        return Ok(if fleet.write_all() {
            Exit::Ok
        } else {
            Exit::Io
        });
    }
    serve(&mut fleet, &channels, &mut store, &signals, output)?;
    fleet.write_all();
    fleet.unlisten();
    Ok(Exit::Ok)
}

fn serve(
    fleet: &mut Fleet<'_>,
    channels: &EventChannels,
    store: &mut Store,
    signals: &Signals,
    output: Output,
) -> Result<(), Error> {
    let mut scans = Scans::new(Instant::now());
    while !signals.raised() {
        let mut fds = vec![signals.as_fd(), channels.as_fd()];
        fds.extend(store.connection.as_ref().map(AsFd::as_fd));
        let interval = scans.interval(fleet.patience(store.connection.is_some()));
        poll::wait(&fds, interval).map_err(|e| Error::io("wait for events", e))?;
        let ports = channels
            .take_pending()
            .map_err(|e| Error::io("read /dev/xen/evtchn", e))?;
        fleet.notified(&ports);
        let has_changed = store.changed();
        if scans.is_due(has_changed, interval, Instant::now()) {
            // Xen answered at the start; a later failure is passing.
            let failure = fleet.scan(store.get()).err().map(|e| e.to_string());
            if let Some(text) = scans.done(failure, Instant::now()) {
                output.warn(&text);
            }
        }
    }
    Ok(())
}

/// When one looks which domains there are. A look that fails leaves undone what made it due, so that
/// the next one would be due at once.
struct Scans {
    last: Instant,
    /// Why the last one failed.
    failure: Option<String>,
}

impl Scans {
    fn new(now: Instant) -> Self {
        Self {
            last: now,
            failure: None,
        }
    }

    /// How long to wait, where `patience` is how long there is nothing to do.
    fn interval(&self, patience: Duration) -> Duration {
        match self.failure {
            Some(_) => patience.max(BLIND_INTERVAL),
            None => patience,
        }
    }

    fn is_due(&self, has_changed: bool, interval: Duration, now: Instant) -> bool {
        let has_waited = now.saturating_duration_since(self.last) >= interval;
        has_waited || (has_changed && self.failure.is_none())
    }

    /// Notes the outcome of one. What is to be said of it: the same failure is said once.
    fn done(&mut self, failure: Option<String>, now: Instant) -> Option<String> {
        self.last = now;
        let said = failure.clone().filter(|_| failure != self.failure);
        self.failure = failure;
        said
    }
}

/// The connection to xenstored, made again when it breaks.
#[derive(Default)]
struct Store {
    connection: Option<Xenstore>,
}

impl Store {
    fn get(&mut self) -> Option<&mut Xenstore> {
        if self.connection.is_none() {
            self.connection = watching();
        }
        self.connection.as_mut()
    }

    /// Whether domains have come or gone.
    fn changed(&mut self) -> bool {
        match self.connection.as_mut().map(Xenstore::take_events) {
            Some(Ok(changed)) => changed,
            Some(Err(_)) => {
                self.connection = None;
                true
            }
            None => false,
        }
    }
}

fn watching() -> Option<Xenstore> {
    let mut store = Xenstore::connect().ok()?;
    store.watch("@introduceDomain").ok()?;
    store.watch("@releaseDomain").ok()?;
    Some(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_look_at_the_domains_is_said_once_and_does_not_spin() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut scans = Scans::new(begin);
        assert_eq!(scans.interval(Duration::ZERO), Duration::ZERO);
        assert_eq!(scans.done(Some("no".into()), at(0)).as_deref(), Some("no"));
        // A ring is due, and stays so.
        let interval = scans.interval(Duration::ZERO);
        assert_eq!(interval, BLIND_INTERVAL);
        assert!(!scans.is_due(true, interval, at(999)));
        assert!(scans.is_due(false, interval, at(1000)));
        assert_eq!(scans.done(Some("no".into()), at(1000)), None);
        assert_eq!(scans.done(None, at(2000)), None);
        assert_eq!(scans.interval(Duration::ZERO), Duration::ZERO);
        assert!(scans.is_due(true, BLIND_INTERVAL, at(2001)));
    }
}
