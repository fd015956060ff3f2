//! All recorded domains of a host: taking them up, reading them, letting go of them.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use log_format::control::{Mode, State};
use log_format::file::Closing;
use serde_json::json;

use super::adopt::Target;
use super::facts;
use super::session::{Opened, Session, may_recover};
use crate::domains::{self, NamedDomain};
use crate::error::Error;
use crate::lock::{self, LOCK_DIR};
use crate::output::Output;
use crate::show::failure_text;
use crate::xen::{DomainInfo, EventChannels, Port, Uuid, Xen};
use crate::xenstore::Xenstore;

/// How often one looks which domains there are.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// The same where xenstore tells of changes.
const WATCHED_INTERVAL: Duration = Duration::from_secs(10);
/// The same while one is being created: it does not begin before its log is read.
const CREATE_INTERVAL: Duration = Duration::from_millis(50);
/// After a failure, how long until the next try.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a domain that runs may be without a stored configuration before it is read without.
const CONFIG_PATIENCE: Duration = Duration::from_secs(10);

/// How logs are written.
#[derive(Clone, Debug)]
pub struct Writing {
    /// Where to.
    pub target: Target,
    /// Largest image that a log carries.
    pub max_image_bytes: u64,
    /// After this time a ring is read even when Xen has not asked for it.
    pub interval: Duration,
}

/// What is known of one domain.
enum Slot<'x> {
    /// Logged, and its configuration is not stored yet.
    Waiting { since: Instant },
    /// Being read.
    Reading(Box<Reading<'x>>),
    /// Opening failed; tried again.
    Failed { why: String, next_try: Instant },
    /// Finished, given up, or not logged: left alone until the domain is gone.
    Done,
}

struct Reading<'x> {
    session: Session<'x>,
    /// The failure that was last reported, so that it is not repeated at each try.
    failure: Option<String>,
    next_try: Instant,
}

/// Names one run of a domain: numbers are used again.
type Key = (u16, Uuid);

/// The recorded domains of this host.
pub struct Fleet<'x> {
    xen: &'x Xen,
    channels: &'x EventChannels,
    writing: Writing,
    output: Output,
    slots: HashMap<Key, Slot<'x>>,
    /// A domain was between two states when one looked.
    is_unsettled: bool,
}

impl<'x> Fleet<'x> {
    /// Nothing yet; [`Self::scan`] finds the domains.
    pub fn new(
        xen: &'x Xen,
        channels: &'x EventChannels,
        writing: Writing,
        output: Output,
    ) -> Self {
        Self {
            xen,
            channels,
            writing,
            output,
            slots: HashMap::new(),
            is_unsettled: false,
        }
    }

    /// Reads the rings whose ports Xen has notified.
    pub fn notified(&mut self, ports: &[Port]) {
        self.pass(|reading| reading.session.port().is_some_and(|p| ports.contains(&p)));
    }

    /// Reads every ring. Returns whether all went well.
    pub fn write_all(&mut self) -> bool {
        self.pass(|_| true);
        self.slots.values().all(|slot| match slot {
            Slot::Reading(reading) => reading.failure.is_none(),
            Slot::Failed { .. } => false,
            Slot::Waiting { .. } | Slot::Done => true,
        })
    }

    /// How long there is nothing to do but for what Xen or xenstore tells of. With `is_watching`
    /// xenstore tells of domains that come and go.
    pub fn patience(&self, is_watching: bool) -> Duration {
        let most = if is_watching && !self.is_unsettled {
            WATCHED_INTERVAL
        } else {
            SCAN_INTERVAL
        };
        let each = self.slots.values().map(|slot| match slot {
            Slot::Waiting { .. } => CREATE_INTERVAL,
            Slot::Reading(reading) if reading.failure.is_none() && reading.session.is_heard() => {
                self.writing.interval.saturating_sub(reading.session.idle())
            }
            Slot::Reading(_) | Slot::Failed { .. } => SCAN_INTERVAL,
            Slot::Done => most,
        });
        each.fold(most, Duration::min)
    }

    /// Gives all event channels back.
    pub fn unlisten(&mut self) {
        for slot in self.slots.values_mut() {
            if let Slot::Reading(reading) = slot {
                reading.session.unlisten(self.channels);
            }
        }
    }

    /// Looks which domains there are: takes up new ones, closes those that are gone, and reads
    /// those whose time has come.
    pub fn scan(&mut self, store: Option<&mut Xenstore>) -> Result<(), Error> {
        self.is_unsettled = false;
        // Rings are read whether or not Xen tells which domains there are.
        let locks = lock::files(Path::new(LOCK_DIR));
        let looked = self
            .xen
            .domains()
            .map(|infos| self.look(infos, locks, store));
        let interval = self.writing.interval;
        self.pass(|r| r.session.idle() >= interval || r.session.is_half_full());
        looked
    }

    fn look(
        &mut self,
        infos: Vec<DomainInfo>,
        locks: lock::Files,
        mut store: Option<&mut Xenstore>,
    ) {
        let gone: Vec<Key> = self
            .slots
            .keys()
            .filter(|(domid, uuid)| {
                !infos
                    .iter()
                    .any(|i| i.domid == *domid && i.uuid == *uuid && !i.dying)
            })
            .cloned()
            .collect();
        for key in gone {
            self.close(&key);
        }
        lock::sweep(locks, |name| {
            infos
                .iter()
                .any(|info| name == lock::name_of(info.uuid, info.domid))
        });
        for info in infos {
            if info.domid == 0 || info.dying {
                continue;
            }
            let key = (info.domid, info.uuid);
            let due = match self.slots.get(&key) {
                None | Some(Slot::Waiting { .. }) => true,
                Some(Slot::Failed { next_try, .. }) => *next_try <= Instant::now(),
                Some(Slot::Reading(_) | Slot::Done) => false,
            };
            if due {
                let name = domains::name_of(info.domid, store.as_deref_mut());
                self.take_up(key, NamedDomain { info, name });
            }
        }
        for slot in self.slots.values_mut() {
            if let Slot::Reading(reading) = slot {
                reading.session.listen(self.channels, self.output);
            }
        }
    }

    /// Begins to read a domain, if it is recorded and ready.
    fn take_up(&mut self, key: Key, named: NamedDomain) {
        let slot = match self.try_take_up(&key, &named) {
            Ok(slot) => slot,
            // It is being created or destroyed: the next scan sees which.
            Err(Error::NoDomain { .. } | Error::NotReady { .. }) => {
                self.is_unsettled = true;
                return;
            }
            Err(e) => {
                let why = e.to_string();
                let is_known = matches!(self.slots.get(&key),
                    Some(Slot::Failed { why: old, .. }) if *old == why);
                if !is_known {
                    self.output
                        .warn(&format!("domain \"{}\": {why}", named.name));
                }
                Slot::Failed {
                    why,
                    next_try: Instant::now() + RETRY_INTERVAL,
                }
            }
        };
        self.slots.insert(key, slot);
    }

    fn try_take_up(&self, key: &Key, named: &NamedDomain) -> Result<Slot<'x>, Error> {
        let status = match self.xen.domain(named.info.domid).status()? {
            Some(status) if status.mode == Mode::Record => status,
            _ => return Ok(Slot::Done),
        };
        let since = match self.slots.get(key) {
            Some(Slot::Waiting { since }) => *since,
            _ => Instant::now(),
        };
        // libxl stores the configuration while it builds the domain, before the first unpause. One
        // that was unpaused without it may never get any.
        if facts::libxl_json(named).is_none()
            && (named.info.paused || since.elapsed() < CONFIG_PATIENCE)
        {
            return Ok(Slot::Waiting { since });
        }
        let opened = Session::open(
            self.xen,
            named.clone(),
            &status,
            &self.writing.target,
            self.writing.max_image_bytes,
            self.output,
        )?;
        let mut session = match opened {
            Opened::Reading(session) => *session,
            Opened::Finished(_) => return Ok(Slot::Done),
        };
        // With this the guest may begin, so it comes last.
        session.listen(self.channels, self.output);
        self.output.event(
            &json!({
                "event": "written",
                "domain": named.name,
                "domid": named.info.domid,
                "uuid": named.info.uuid.to_string(),
                "file": session.path(),
            }),
            &format!(
                "domain \"{}\" is written to {}",
                named.name,
                session.path().display()
            ),
        );
        let mut reading = Reading {
            session,
            failure: None,
            next_try: Instant::now(),
        };
        Ok(match self.pass_one(&mut reading) {
            Some(_) => Slot::Done,
            None => Slot::Reading(Box::new(reading)),
        })
    }

    /// Reads the rings that `wanted` picks, and those whose next try is due.
    fn pass(&mut self, wanted: impl Fn(&Reading<'x>) -> bool) {
        let mut slots = std::mem::take(&mut self.slots);
        for slot in slots.values_mut() {
            let Slot::Reading(reading) = slot else {
                continue;
            };
            let due = match reading.failure {
                // A full disk is not asked again at each notification.
                Some(_) => reading.next_try <= Instant::now(),
                None => wanted(reading),
            };
            if due && self.pass_one(reading).is_some() {
                *slot = Slot::Done;
            }
        }
        self.slots = slots;
    }

    /// Reads one ring and deals with what comes of it. Returns how the log was closed, if so.
    fn pass_one(&self, reading: &mut Reading<'x>) -> Option<Closing> {
        let name = reading.session.named.name.clone();
        match reading.session.pass() {
            Ok(_) => {
                if reading.failure.take().is_some() {
                    self.output
                        .note(&format!("domain \"{name}\": writing goes on"));
                }
                self.check_state(reading);
            }
            Err(e) if may_recover(&e) => {
                reading.next_try = Instant::now() + RETRY_INTERVAL;
                let why = e.to_string();
                if reading.failure.as_ref() != Some(&why) {
                    self.output.warn(&format!(
                        "domain \"{name}\": {why}; its records stay in the ring, trying again"
                    ));
                    reading.failure = Some(why);
                }
            }
            Err(e) => self.give_up(reading, &e.to_string()),
        }
        let closing = reading.session.closed()?;
        let (records, sync) = reading.session.progress();
        self.say_closed(
            &reading.session,
            closing,
            &format!(
                "domain \"{name}\": the log is {}, {records} records, {sync} sync points, in {}",
                closing.name(),
                reading.session.path().display()
            ),
        );
        reading.session.unlisten(self.channels);
        Some(closing)
    }

    fn say_closed(&self, session: &Session<'x>, closing: Closing, text: &str) {
        let (records, sync) = session.progress();
        self.output.event(
            &json!({
                "event": "closed",
                "domain": session.named.name,
                "domid": session.named.info.domid,
                "uuid": session.named.info.uuid.to_string(),
                "file": session.path(),
                "closing": closing.name(),
                "records": records,
                "sync": sync,
            }),
            text,
        );
    }

    /// A log that Xen has ended with an error gets no end record.
    fn check_state(&self, reading: &mut Reading<'x>) {
        if reading.session.closed().is_some() {
            return;
        }
        let domain = self.xen.domain(reading.session.named.info.domid);
        if let Ok(Some(status)) = domain.status()
            && status.state == State::Failed
        {
            self.give_up(
                reading,
                &format!(
                    "Xen has ended it: {}",
                    failure_text(status.mode, status.raw.error)
                ),
            );
        }
    }

    /// Finishes a file that cannot go on.
    fn give_up(&self, reading: &mut Reading<'x>, why: &str) {
        self.output.warn(&format!(
            "domain \"{}\": the log cannot go on: {why}",
            reading.session.named.name
        ));
        if let Err(e) = reading.session.finish(Closing::Abandoned) {
            self.output.warn(&e.to_string());
        }
    }

    /// The domain is dying or gone: its ring is read for the last time. Xen has paused it before
    /// it shows as dying, so nothing comes in any more.
    fn close(&mut self, key: &Key) {
        let Some(Slot::Reading(mut reading)) = self.slots.remove(key) else {
            return;
        };
        if self.pass_one(&mut reading).is_some() {
            return;
        }
        let name = reading.session.named.name.clone();
        match reading.session.finish(Closing::Lost) {
            Ok(()) => {
                self.say_closed(
                    &reading.session,
                    Closing::Lost,
                    &format!(
                        "domain \"{name}\" is gone; {} has no end record",
                        reading.session.path().display()
                    ),
                );
                reading.session.unlisten(self.channels);
            }
            Err(e) => {
                let why = e.to_string();
                if reading.failure.as_ref() != Some(&why) {
                    self.output.warn(&format!(
                        "domain \"{name}\" is gone, and its log cannot be finished: {why}; trying \
                         again"
                    ));
                    reading.failure = Some(why);
                }
                // As long as the ring is mapped its records are not lost.
                self.slots.insert(*key, Slot::Reading(reading));
            }
        }
    }
}
