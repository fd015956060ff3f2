//! `xenlr daemon`: writes the log of every recorded domain.
//!
//! One thread and one `poll`: event channels, xenstore's word that domains come and go, and
//! signals. Xen notifies when a ring is half full, full or ended; for the rest there is the
//! interval, so that an idle guest makes few and well-compressed chunks.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::cli::Daemon;
use crate::error::{Error, Exit};
use crate::output::Output;
use crate::poll;
use crate::record::adopt::Target;
use crate::record::fleet::{Fleet, Writing};
use crate::signals::Signals;
use crate::xen::{EventChannels, Xen};
use crate::xenstore::Xenstore;

/// Seconds after which records are written when nothing else is said.
const DEFAULT_INTERVAL_S: u64 = 30;

/// Runs until a signal comes.
pub fn run(args: &Daemon, output: Output) -> Result<Exit, Error> {
    let signals = Signals::install().map_err(|e| Error::io("take over signals", e))?;
    let xen = Xen::open()?;
    xen.require_xenlr()?;
    let channels = EventChannels::open().map_err(|e| Error::io("open /dev/xen/evtchn", e))?;
    let writing = Writing {
        target: Target::Directory(args.dir.clone()),
        max_image_bytes: args.writing.max_image << 20,
        interval: Duration::from_secs(args.writing.interval.unwrap_or(DEFAULT_INTERVAL_S)),
    };
    output.note(&format!(
        "writing logs to {}, at the latest every {} s",
        args.dir.display(),
        writing.interval.as_secs()
    ));
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
    let mut last_scan = Instant::now();
    while !signals.raised() {
        let mut fds = vec![signals.as_fd(), channels.as_fd()];
        fds.extend(store.connection.as_ref().map(AsFd::as_fd));
        let interval = fleet.patience(store.connection.is_some());
        poll::wait(&fds, interval).map_err(|e| Error::io("wait for events", e))?;
        let ports = channels
            .take_pending()
            .map_err(|e| Error::io("read /dev/xen/evtchn", e))?;
        fleet.notified(&ports);
        if store.changed() || last_scan.elapsed() >= interval {
            last_scan = Instant::now();
            // Xen answered at the start; a later failure is passing, or the next one tells.
            if let Err(e) = fleet.scan(store.get()) {
                output.warn(&e.to_string());
            }
        }
    }
    Ok(())
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
