//! Feeding and watching a replay until it ends.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use log_format::control::{Mode, State};

use super::build::Built;
use super::feed::Feeder;
use super::plan::Plan;
use crate::error::Error;
use crate::logfile;
use crate::output::Output;
use crate::poll;
use crate::signals::Signals;
use crate::xen::{Domain, EventChannels, Ring, Status, Xen};

/// The ring is looked at after this time even when Xen has not asked for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Looks in a row at a guest that waits, after the log is used up, until that is the end.
const LOOKS_AT_END: u32 = 3;

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It reached the end record, and the end state is the recorded one.
    Equal,
    /// It reached the sync number that was asked for.
    Until,
    /// The guest did something else than it did when it was recorded.
    Diverged,
    /// Xen could not use the log.
    Failed,
    /// Everything that the log has was replayed, and the log has no end record.
    LogUsedUp,
}

impl Outcome {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Until => "until",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::LogUsedUp => "incomplete",
        }
    }
}

/// The end of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// Xen's last word.
    pub status: Status,
    /// How long it took.
    pub took: Duration,
}

/// Checks that Xen has given the domain what the log needs, now that it can be asked.
pub fn check(xen: &Xen, plan: &Plan, built: &Built) -> Result<(), Error> {
    let status = xen
        .domain(built.domid)
        .status()?
        .filter(|status| status.mode == Mode::Replay)
        .ok_or_else(|| Error::NotLogged {
            name: built.name.clone(),
        })?;
    let (header, raw) = (&plan.header, &status.raw);
    let reason = if raw.arena_first_mfn != header.arena_first_mfn
        || raw.arena_frames != header.arena_frames
    {
        format!(
            "its arena was {} frames from {:#x}, and Xen gives {} from {:#x}: boot with the \
             recorded xenlr_arena=",
            header.arena_frames, header.arena_first_mfn, raw.arena_frames, raw.arena_first_mfn
        )
    } else if status.cpuid_faults() != header.cpuid_faults {
        format!(
            "CPUID {} when it was recorded, and here it {}: replay it on the kind of CPU that it \
             was recorded on",
            faults(header.cpuid_faults),
            faults(status.cpuid_faults())
        )
    } else if !header.cpuid_faults && raw.apic_id != header.apic_id {
        format!(
            "it was recorded on a CPU with APIC id {}, and CPU {} here has {}: the guest sees it",
            header.apic_id, raw.cpu, raw.apic_id
        )
    } else {
        return Ok(());
    };
    Err(Error::UnusableLog {
        file: plan.file.clone(),
        reason,
    })
}

fn faults(does: bool) -> &'static str {
    if does { "faults" } else { "does not fault" }
}

/// Runs the domain from the log until it ends, diverges, or reaches `until`.
pub fn run(
    xen: &Xen,
    plan: &Plan,
    built: &Built,
    until: Option<u64>,
    signals: &Signals,
    output: Output,
) -> Result<Ending, Error> {
    let domain = xen.domain(built.domid);
    let ring = domain.ring()?;
    let channels = EventChannels::open().map_err(|e| Error::io("open /dev/xen/evtchn", e))?;
    let port = channels
        .bind_unbound()
        .map_err(|e| Error::io("bind an event channel", e))?;
    domain.bind(Some(port))?;
    if let Some(sync) = until {
        domain.until(sync)?;
    }
    let mut feeder = Feeder::new(logfile::open(&plan.file)?);
    feeder.feed(&ring)?;
    let begin = Instant::now();
    domain.unpause()?;
    let bar = output.progress(
        "sync points",
        plan.summary.sync.min(until.unwrap_or(u64::MAX)),
    );
    let (outcome, status) = watch(&domain, &ring, &mut feeder, &channels, signals, |sync| {
        bar.set_position(sync);
    })?;
    bar.finish_and_clear();
    // The domain keeps nothing of ours when it is left for inspection.
    let _ = domain.bind(None);
    let _ = channels.unbind(port);
    Ok(Ending {
        outcome,
        status,
        took: begin.elapsed(),
    })
}

fn watch(
    domain: &Domain<'_>,
    ring: &Ring,
    feeder: &mut Feeder<impl std::io::Read + std::io::Seek>,
    channels: &EventChannels,
    signals: &Signals,
    show: impl Fn(u64),
) -> Result<(Outcome, Status), Error> {
    let mut looks_at_end = 0;
    loop {
        if feeder.feed(ring)? {
            domain.kick()?;
        }
        let status = domain.status()?.ok_or_else(|| Error::NotLogged {
            name: domain.domid().to_string(),
        })?;
        show(status.raw.sync);
        match status.state {
            State::Ended | State::Released => return Ok((Outcome::Equal, status)),
            State::Until => return Ok((Outcome::Until, status)),
            State::Diverged => return Ok((Outcome::Diverged, status)),
            State::Failed => return Ok((Outcome::Failed, status)),
            State::Waiting if feeder.is_done() => looks_at_end += 1,
            State::Waiting | State::Running | State::Ending => looks_at_end = 0,
        }
        if looks_at_end > LOOKS_AT_END {
            return Ok((Outcome::LogUsedUp, status));
        }
        poll::wait(&[signals.as_fd(), channels.as_fd()], LOOK_INTERVAL)
            .map_err(|e| Error::io("wait for events", e))?;
        if signals.raised() {
            return Err(Error::Interrupted);
        }
        channels
            .take_pending()
            .map_err(|e| Error::io("read /dev/xen/evtchn", e))?;
    }
}
