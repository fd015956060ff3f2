//! `xenlr extract`: writes one domain's log to a file.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use log_format::control::{Mode, State};
use log_format::file::Closing;
use serde_json::json;

use crate::cli::{Extract, LOG_DIR};
use crate::domains;
use crate::error::{Error, Exit};
use crate::output::Output;
use crate::poll;
use crate::record::adopt::Target;
use crate::record::drain::DrainError;
use crate::record::session::{Opened, Session};
use crate::signals::Signals;
use crate::xen::{EventChannels, Xen};

/// Seconds between two looks at the ring when following.
const DEFAULT_INTERVAL_S: u64 = 1;

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
        None => Target::Directory(PathBuf::from(LOG_DIR)),
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
    let bytes = if args.follow {
        let interval = args.writing.interval.unwrap_or(DEFAULT_INTERVAL_S);
        follow(&xen, &mut session, Duration::from_secs(interval), output)?
    } else {
        begin(&mut session, output)?
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
    Ok(Exit::Ok)
}

fn pass(session: &mut Session<'_>) -> Result<u64, Error> {
    session.pass().map_err(|e| match e {
        DrainError::Sink(e) => e,
        other => Error::Refused(format!("domain \"{}\": {other}", session.named.name)),
    })
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
) -> Result<u64, Error> {
    let signals = Signals::install().map_err(|e| Error::io("take over signals", e))?;
    let channels = open_channels()?;
    session.listen(&channels, output);
    let (domid, uuid) = (session.named.info.domid, session.named.info.uuid);
    let bar = output.progress("records", 0);
    let mut bytes = 0;
    let mut last_look = false;
    loop {
        bytes += pass(session)?;
        bar.set_length(session.progress().0);
        bar.set_position(session.progress().0);
        if session.closed().is_some() || signals.raised() {
            break;
        }
        if last_look {
            session.finish(Closing::Lost)?;
            output.warn("the domain is gone; the log has no end record");
            break;
        }
        poll::wait(&[signals.as_fd(), channels.as_fd()], interval)
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
        } else if let Ok(Some(status)) = xen.domain(domid).status()
            && status.state == State::Failed
        {
            pass(session)?;
            session.finish(Closing::Abandoned)?;
            return Err(Error::Refused(format!(
                "Xen has ended the log with error {}: what was logged before is in {}",
                status.raw.error,
                session.path().display()
            )));
        }
    }
    bar.finish_and_clear();
    session.unlisten(&channels);
    Ok(bytes)
}
