//! `xenlr stop`: ends a recording at the guest's next sync point.

use std::time::{Duration, Instant};

use log_format::EndReason;
use log_format::control::{Mode, State};
use serde_json::json;

use crate::cli::Stop;
use crate::domains;
use crate::error::{Error, Exit};
use crate::output::Output;
use crate::show::{address, failure_text};
use crate::xen::{Status, Xen};

/// How often the state is looked at while waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What the guest does once its log has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guest {
    IsPaused,
    GoesOn,
    HasShutDown,
    HasCrashed,
}

impl Guest {
    fn name(self) -> &'static str {
        match self {
            Self::IsPaused => "paused",
            Self::GoesOn => "running",
            Self::HasShutDown => "shutdown",
            Self::HasCrashed => "crashed",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::IsPaused => {
                "is paused: end it with xl destroy, or let it go on with xenlr stop --release"
            }
            Self::GoesOn => "goes on without a log",
            Self::HasShutDown => "has shut down: end it with xl destroy",
            Self::HasCrashed => "has crashed: end it with xl destroy",
        }
    }
}

/// Stops and waits until the end record is written.
pub fn run(args: &Stop, output: Output) -> Result<Exit, Error> {
    let xen = Xen::open()?;
    xen.require_xenlr()?;
    let named = domains::find(&xen, &args.domain)?;
    let name = named.name;
    let domain = xen.domain(named.info.domid);
    let status = || {
        domain
            .status()?
            .ok_or_else(|| Error::NotLogged { name: name.clone() })
    };
    let before = status()?;
    if before.mode != Mode::Record {
        return Err(Error::Refused(format!(
            "domain \"{name}\" is being replayed, not recorded: end the replay with xl destroy {name}"
        )));
    }
    if matches!(before.state, State::Running | State::Waiting) {
        domain.stop()?;
    }
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let end = loop {
        let now = status()?;
        if now.is_final() {
            break now;
        }
        if Instant::now() >= deadline {
            return Err(Error::Refused(why_not(&name, &now, args.timeout)));
        }
        std::thread::sleep(LOOK_INTERVAL);
    };
    if end.state == State::Failed {
        return Err(Error::Refused(format!(
            "the log of domain \"{name}\" has no end record: {}",
            failure_text(end.mode, end.raw.error)
        )));
    }
    // A guest that has shut down has nothing to go on with.
    let guest = match (end.state, end.end_reason()) {
        (State::Released, _) => Guest::GoesOn,
        (_, Some(EndReason::Shutdown)) => Guest::HasShutDown,
        (_, Some(EndReason::Crash)) => Guest::HasCrashed,
        _ if args.release => {
            domain.release()?;
            Guest::GoesOn
        }
        _ => Guest::IsPaused,
    };
    let reason = end.end_reason().map_or("unknown", EndReason::name);
    let without = match end.end_reason() {
        Some(EndReason::Cut) => {
            ": the guest came to no sync point, so this is the last one, and the log ends without digests"
        }
        _ => "",
    };
    output.result(
        &json!({
            "domain": name,
            "sync": end.raw.end_sync,
            "reason": reason,
            "rip": address(end.raw.end_rip),
            "released": guest == Guest::GoesOn,
            "guest": guest.name(),
        }),
        &format!(
            "the log of \"{name}\" ends at sync {} ({reason}{without}); the guest {}",
            end.raw.end_sync,
            guest.text()
        ),
    )?;
    Ok(Exit::Ok)
}

fn why_not(name: &str, status: &Status, seconds: u64) -> String {
    let (why, way_out) = match status.state {
        State::Waiting => (
            "its ring is full and nobody reads it",
            "run xenlr daemon or xenlr extract",
        ),
        State::Ending => (
            "its memory is still being digested",
            "wait, or give --timeout",
        ),
        _ => (
            "the guest has come to no sync point",
            "it stops at the next one; if it is paused, xl unpause it",
        ),
    };
    format!("the log of domain \"{name}\" did not end within {seconds} s: {why}; {way_out}")
}
