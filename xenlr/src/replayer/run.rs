//! Feeding and watching a replay until it ends.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use log_format::control::{Mode, State};

use super::build::Built;
use super::feed::Feeder;
use super::places::Hits;
use super::plan::Plan;
use crate::error::Error;
use crate::lock::{self, LOCK_DIR};
use crate::logfile;
use crate::output::Output;
use crate::poll;
use crate::signals::Signals;
use crate::xen::{Domain, EventChannels, Ring, Status, Xen};

/// The ring is looked at after this time even when Xen has not asked for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Without a sync point for so long, the progress bar says so.
const SHOWN_STILL_S: u64 = 5;
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
    /// The guest runs, and comes to no further sync point.
    Stalled,
    /// The guest was stopped as often as is allowed, and never at the place of the next forced commit.
    NotFound,
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
            Self::Stalled => "stalled",
            Self::NotFound => "not found",
        }
    }
}

/// The end of a replay.
#[derive(Clone, Debug)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// Xen's last word.
    pub status: Status,
    /// How long it took.
    pub took: Duration,
    /// Places that took a search, with the fewest hits that it can have been.
    pub found: Hits,
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

/// How far, and with how much patience.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Where it is to pause.
    pub until: Option<u64>,
    /// After how long without a sync point it is given up; `None`: never.
    pub patience: Option<Duration>,
    /// After how many hits the search for a place is given up.
    pub hits: u64,
}

/// Since when there was no further sync point.
#[derive(Debug)]
struct Progress {
    /// Number of the last one, and hits in the search for a place behind it.
    reached: (u64, u64),
    since: Instant,
}

impl Progress {
    /// How long the guest has come to no sync point, if it could have.
    fn look(&mut self, reached: (u64, u64), could_run: bool, now: Instant) -> Duration {
        if reached != self.reached || !could_run {
            self.reached = reached;
            self.since = now;
        }
        now.saturating_duration_since(self.since)
    }
}

/// Runs the domain from the log until it ends, diverges, stalls, or reaches the limit. `known` are
/// hits that need not be compared.
pub fn run(
    xen: &Xen,
    plan: &Plan,
    built: &Built,
    known: &Hits,
    limits: Limits,
    signals: &Signals,
    output: Output,
) -> Result<Ending, Error> {
    let until = limits.until;
    // While it is held `status` says that the replay is being fed.
    let _lock = lock::acquire(Path::new(LOCK_DIR), built.uuid, built.domid, &built.name)?;
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
    let mut feeder = Feeder::new(logfile::open(&plan.file)?, known.clone());
    feeder.feed(&ring)?;
    let begin = Instant::now();
    domain.unpause()?;
    let bar = output.progress(
        "sync points",
        plan.summary.sync.min(until.unwrap_or(u64::MAX)),
    );
    let mut progress = Progress {
        reached: (0, 0),
        since: begin,
    };
    let watched = watch(&domain, &ring, &mut feeder, &channels, signals, |status| {
        let sync = status.raw.sync;
        bar.set_position(sync);
        // Before the first record its memory is digested. One that xl has paused is not to be blamed.
        let could_run = matches!(status.state, State::Running | State::Waiting)
            && status.raw.bytes > 0
            && !is_paused(xen, built.domid);
        let hits = status.raw.search_hits;
        let still = progress.look((sync, hits), could_run, Instant::now());
        bar.set_message(match (hits, still.as_secs()) {
            (0, 0..SHOWN_STILL_S) => String::new(),
            (hits, 0..SHOWN_STILL_S) => format!(", {hits} hits in search of a place"),
            (_, seconds) => format!(", no sync point for {seconds} s"),
        });
        if hits
            > limits
                .hits
                .min(known.get(&sync).map_or(u64::MAX, |known| most(*known)))
        {
            Some(Outcome::NotFound)
        } else {
            limits
                .patience
                .is_some_and(|patience| still >= patience)
                .then_some(Outcome::Stalled)
        }
    });
    bar.finish_and_clear();
    let (outcome, mut status, found) = watched?;
    status.raw.bytes = feeder.bytes_of_log(status.raw.bytes);
    // The domain keeps nothing of ours when it is left for inspection.
    let _ = domain.bind(None);
    let _ = channels.unbind(port);
    Ok(Ending {
        outcome,
        status,
        took: begin.elapsed(),
        found,
    })
}

/// Hits by which a place is found that is known to come at the `known`th or later: those that may have
/// been counted twice are few.
fn most(known: u64) -> u64 {
    known.saturating_add(known / 8).saturating_add(4096)
}

/// Whether somebody has paused the domain from outside.
fn is_paused(xen: &Xen, domid: u16) -> bool {
    xen.domains()
        .is_ok_and(|all| all.iter().any(|info| info.domid == domid && info.paused))
}

/// How a replay has ended, if it has. What Xen says of it comes before our patience.
fn judge(state: State, is_log_used_up: bool, given_up: Option<Outcome>) -> Option<Outcome> {
    match state {
        State::Ended | State::Released => Some(Outcome::Equal),
        State::Until => Some(Outcome::Until),
        State::Diverged => Some(Outcome::Diverged),
        State::Failed => Some(Outcome::Failed),
        State::Waiting | State::Running | State::Ending if is_log_used_up => {
            Some(Outcome::LogUsedUp)
        }
        State::Waiting | State::Running | State::Ending => given_up,
    }
}

fn watch(
    domain: &Domain<'_>,
    ring: &Ring,
    feeder: &mut Feeder<impl std::io::Read + std::io::Seek>,
    channels: &EventChannels,
    signals: &Signals,
    mut give_up: impl FnMut(&Status) -> Option<Outcome>,
) -> Result<(Outcome, Status, Hits), Error> {
    let mut looks_at_end = 0;
    let (mut found, mut seen) = (Hits::new(), 0);
    loop {
        if feeder.feed(ring)? {
            domain.kick()?;
        }
        let status = domain.status()?.ok_or_else(|| Error::NotLogged {
            name: domain.domid().to_string(),
        })?;
        let (new, all) = ring.found(seen);
        found.extend(new);
        seen = all;
        let given_up = give_up(&status);
        match status.state {
            State::Waiting if feeder.is_done() => looks_at_end += 1,
            _ => looks_at_end = 0,
        }
        if let Some(outcome) = judge(status.state, looks_at_end > LOOKS_AT_END, given_up) {
            return Ok((outcome, status, found));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_what_has_no_other_end() {
        assert_eq!(judge(State::Running, false, None), None);
        assert_eq!(
            judge(State::Running, false, Some(Outcome::Stalled)),
            Some(Outcome::Stalled)
        );
        assert_eq!(
            judge(State::Ended, false, Some(Outcome::Stalled)),
            Some(Outcome::Equal)
        );
        assert_eq!(
            judge(State::Diverged, false, Some(Outcome::NotFound)),
            Some(Outcome::Diverged)
        );
        assert_eq!(
            judge(State::Waiting, true, Some(Outcome::Stalled)),
            Some(Outcome::LogUsedUp)
        );
    }

    #[test]
    fn only_a_guest_that_could_run_stands_still() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut progress = Progress {
            reached: (0, 0),
            since: begin,
        };
        assert_eq!(progress.look((7, 0), true, at(5)), Duration::ZERO);
        assert_eq!(progress.look((7, 0), true, at(15)), Duration::from_secs(10));
        assert_eq!(progress.look((7, 0), false, at(25)), Duration::ZERO);
        assert_eq!(progress.look((7, 0), true, at(30)), Duration::from_secs(5));
        assert_eq!(progress.look((8, 0), true, at(31)), Duration::ZERO);
        // One that is stopped at an address over and over does not stand still.
        assert_eq!(progress.look((8, 5), true, at(41)), Duration::ZERO);
    }
}
