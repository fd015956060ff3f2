//! `xenlr extract`: writes one domain's log to a file.

use std::os::fd::AsFd;
use std::time::Duration;

use indicatif::ProgressBar;
use log_format::control::{Mode, State};
use log_format::file::Closing;
use serde_json::json;

use crate::cli::{Extract, log_dir};
use crate::domains;
use crate::error::{Error, Exit};
use crate::output::Output;
use crate::poll;
use crate::recorder::adopt::Target;
use crate::recorder::drain::DrainError;
use crate::recorder::fleet::RETRY_INTERVAL;
use crate::recorder::session::{Opened, Session, may_recover};
use crate::show::failure_text;
use crate::signals::Signals;
use crate::xen::{EventChannels, Xen};

/// How a log that was followed came to be left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It is finished.
    Finished,
    /// We were asked to end; the log goes on.
    Interrupted,
}

/// Writes what there is, or follows the log to its end.
pub fn run(args: &Extract, output: Output) -> Result<Exit, Error> {
    let xen = Xen::open()?;
    xen.require_xenlr()?;
    let named = domains::find(&xen, &args.domain)?;
    let domain = xen.domain(named.info.domid);
    let status = domain
        .status()?
        .filter(|status| status.mode == Mode::Record)
        .ok_or_else(|| Error::NotLogged {
            name: named.name.clone(),
        })?;
    let target = match &args.output {
        Some(file) => Target::File(file.clone()),
        None => Target::Directory(log_dir()),
    };
    let max_image_bytes = args.writing.max_image << 20;
    let mut session = match Session::open(&xen, named, &status, &target, max_image_bytes, output)? {
        Opened::Reading(session) => session,
        Opened::Finished(path) => {
            output.result(
                &json!({ "file": path, "closed": "before", "bytes": 0 }),
                &format!("the log is finished, in {}", path.display()),
            )?;
            return Ok(Exit::Ok);
        }
    };
    let (bytes, left) = if args.follow {
        let interval = Duration::from_secs(args.interval);
        follow(&xen, &mut session, interval, output)?
    } else {
        (begin(&mut session, output)?, Left::Finished)
    };
    let (records, sync) = session.progress();
    let closed = session.closed().map(Closing::name);
    output.result(
        &json!({
            "file": session.path(),
            "bytes": bytes,
            "records": records,
            "sync": sync,
            "closed": closed,
        }),
        &format!(
            "{}: {bytes} bytes of log written; {records} records, {sync} sync points{}",
            session.path().display(),
            match closed {
                Some(how) => format!("; the log is {how}"),
                None => String::new(),
            }
        ),
    )?;
    Ok(match left {
        Left::Finished => Exit::Ok,
        Left::Interrupted => Exit::Interrupted,
    })
}

fn pass(session: &mut Session<'_>) -> Result<u64, Error> {
    session.pass().map_err(|e| failed(session, e))
}

fn failed(session: &Session<'_>, error: DrainError) -> Error {
    match error {
        DrainError::Sink(e) => e,
        other => Error::Refused(format!("domain \"{}\": {other}", session.named.name)),
    }
}

/// A file that cannot be written now: its records stay in the ring, and it is tried again.
#[derive(Default)]
struct Trouble {
    why: Option<String>,
}

impl Trouble {
    /// One pass. `None`: it is to be tried again.
    fn pass(&mut self, session: &mut Session<'_>, output: Output) -> Result<Option<u64>, Error> {
        match session.pass() {
            Ok(bytes) => {
                if self.why.take().is_some() {
                    output.note("writing goes on");
                }
                Ok(Some(bytes))
            }
            Err(e) if may_recover(&e) => {
                self.say(e.to_string(), output);
                Ok(None)
            }
            Err(e) => Err(failed(session, e)),
        }
    }

    /// Says what is wrong, once.
    fn say(&mut self, why: String, output: Output) {
        if self.why.as_ref() != Some(&why) {
            output.warn(&format!(
                "{why}; the records stay in the ring, trying again"
            ));
            self.why = Some(why);
        }
    }
}

/// Reads what there is. From now on the log has a file, so a guest that waits for its first reader
/// may begin.
fn begin(session: &mut Session<'_>, output: Output) -> Result<u64, Error> {
    let channels = open_channels()?;
    session.listen(&channels, output);
    let bytes = pass(session);
    session.unlisten(&channels);
    bytes
}

fn open_channels() -> Result<EventChannels, Error> {
    EventChannels::open().map_err(|e| Error::io("open /dev/xen/evtchn", e))
}

/// Reads until the log has ended, the domain is gone, or a signal comes.
fn follow(
    xen: &Xen,
    session: &mut Session<'_>,
    interval: Duration,
    output: Output,
) -> Result<(u64, Left), Error> {
    let signals = Signals::install().map_err(|e| Error::io("take over signals", e))?;
    let channels = open_channels()?;
    session.listen(&channels, output);
    let bar = output.progress("records", 0);
    let followed = until_left(xen, session, &signals, &channels, interval, output, &bar);
    bar.finish_and_clear();
    session.unlisten(&channels);
    followed
}

fn until_left(
    xen: &Xen,
    session: &mut Session<'_>,
    signals: &Signals,
    channels: &EventChannels,
    interval: Duration,
    output: Output,
    bar: &ProgressBar,
) -> Result<(u64, Left), Error> {
    let (domid, uuid) = (session.named.info.domid, session.named.info.uuid);
    let mut trouble = Trouble::default();
    let (mut bytes, mut last_look) = (0, false);
    loop {
        let mut passed = trouble.pass(session, output)?;
        bytes += passed.unwrap_or(0);
        bar.set_length(session.progress().0);
        bar.set_position(session.progress().0);
        if session.closed().is_some() {
            return Ok((bytes, Left::Finished));
        }
        if signals.raised() {
            return Ok((bytes, Left::Interrupted));
        }
        // As long as the ring is mapped its records are not lost.
        if last_look && passed.is_some() {
            match session.finish(Closing::Lost) {
                Ok(()) => {
                    output.warn("the domain is gone; the log has no end record");
                    return Ok((bytes, Left::Finished));
                }
                Err(e) => {
                    trouble.say(e.to_string(), output);
                    passed = None;
                }
            }
        }
        // A full disk is not asked again at each notification.
        if passed.is_some() {
            poll::wait(&[signals.as_fd(), channels.as_fd()], interval)
        } else {
            poll::wait(&[signals.as_fd()], RETRY_INTERVAL)
        }
        .map_err(|e| Error::io("wait for events", e))?;
        channels
            .take_pending()
            .map_err(|e| Error::io("read /dev/xen/evtchn", e))?;
        let alive = xen
            .domains()?
            .iter()
            .any(|info| info.domid == domid && info.uuid == uuid && !info.dying);
        if !alive {
            last_look = true;
        } else if passed.is_some()
            && let Ok(Some(status)) = xen.domain(domid).status()
            && status.state == State::Failed
        {
            pass(session)?;
            session.finish(Closing::Abandoned)?;
            return Err(Error::Refused(format!(
                "Xen has ended the log: {}; what was logged before is in {}",
                failure_text(status.mode, status.raw.error),
                session.path().display()
            )));
        }
    }
}
