//! `xenlr replay`: runs a recorded guest again.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::status::{diverged_json, divergence_name, expected_and_actual};
use log_format::EndReason;
use log_format::control::Divergence;

use crate::cli::{Replay, Replaying, Then};
use crate::error::{Error, Exit};
use crate::logfile::integrity_name;
use crate::output::{Output, duration};
use crate::replayer::build::{self, Built};
use crate::replayer::console::Console;
use crate::replayer::own_log::{self, OwnLog};
use crate::replayer::places::{Hits, Places};
use crate::replayer::plan::{self, Plan};
use crate::replayer::run::{self, Ending, Limits, Outcome};
use crate::replayer::until;
use crate::show::{address, failure_text};
use crate::signals::Signals;
use crate::symbols::Symbols;
use crate::xen::Xen;

/// Replays, and does with the domain what was asked for.
pub fn run(args: &Replay, output: Output) -> Result<Exit, Error> {
    let until = args.until.as_deref().map(until::parse).transpose()?;
    let file = args.replaying.log.file(output)?;
    let until = until
        .map(|until| until::resolve(until, &file))
        .transpose()?;
    let then = args.then.unwrap_or(Then::Pause);
    replay(&file, &args.replaying, until, then, output)
}

/// A replay from beginning to end. Also what `verify` does.
pub fn replay(
    file: &Path,
    args: &Replaying,
    until: Option<u64>,
    then: Then,
    output: Output,
) -> Result<Exit, Error> {
    let signals = Signals::install().map_err(|e| Error::io("take over signals", e))?;
    let xen = Xen::open()?;
    xen.require_xenlr()?;
    if let Some(path) = &args.record {
        own_log::check_free(path)?;
    }
    let plan = plan::make(&xen, file, args, output)?;
    let limits = Limits {
        until,
        patience: (args.patience > 0).then(|| Duration::from_secs(args.patience)),
        hits: args.hits,
    };
    let once = |known: &Hits| once(&xen, &plan, args, known, limits, &signals, output);
    let mut places =
        (!args.no_places).then(|| Places::open(file, &plan.header, &plan.places, output));
    let mut run = once(places.as_ref().map_or(&Hits::new(), |places| &places.known))?;
    if let Some(places) = &mut places {
        if !places.known.is_empty() && is_bad(&plan, run.ending.outcome) {
            let text = to_text(
                &plan,
                &run.ending,
                &Symbols::of_kernel(&plan.kernel),
                limits,
            );
            output.warn(&text);
            places.forget(output);
            drop(run.own_log);
            run.built.destroy()?;
            run = once(&Hits::new())?;
        }
        if !is_bad(&plan, run.ending.outcome) {
            places.keep(&run.ending.found, output);
        }
    }
    let Run {
        built,
        own_log,
        ending,
    } = run;
    // The verdict comes first: what fails from here on must not hide it.
    let written = own_log.map_or(Ok(()), |log| log.write(&plan, &ending));
    let (left, settled) = settle(&xen, built, then, &ending, output);
    let symbols = Symbols::of_kernel(&plan.kernel);
    let said = output.result(
        &to_json(&plan, &ending, &symbols, &left),
        &(to_text(&plan, &ending, &symbols, limits) + &counted(&ending) + &left.text()),
    );
    let verdict = exit(&plan, &ending);
    match written.and(settled).and(said) {
        Err(e) if verdict != Exit::Ok => {
            output.error(&e.to_string(), verdict);
            Ok(verdict)
        }
        other => other.map(|()| verdict),
    }
}

/// A replay that has ended.
struct Run {
    built: Built,
    own_log: Option<OwnLog>,
    ending: Ending,
}

/// Builds the domain, and runs it up to its end. Of the places that are `known` the hits before them
/// are not compared.
fn once(
    xen: &Xen,
    plan: &Plan,
    args: &Replaying,
    known: &Hits,
    limits: Limits,
    signals: &Signals,
    output: Output,
) -> Result<Run, Error> {
    let built = build(xen, plan, signals)?;
    let own_log = args
        .record
        .as_deref()
        .map(|path| OwnLog::create(path, plan, &built))
        .transpose()?;
    let console = args
        .console
        .then(|| Console::open(built.domid, output.json))
        .transpose()?;
    let ending = run::run(xen, plan, &built, known, limits, signals, output)?;
    drop(console);
    Ok(Run {
        built,
        own_log,
        ending,
    })
}

/// Whether a replay ended as none does that was told the right hits of its places, and whose log is
/// right.
fn is_bad(plan: &Plan, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Diverged | Outcome::Failed | Outcome::Stalled | Outcome::NotFound => true,
        Outcome::LogUsedUp => plan.summary.end.is_some(),
        Outcome::Equal | Outcome::Until => false,
    }
}

/// Whether the log can be replayed here, by everything but running it.
pub fn check_only(file: &Path, args: &Replaying, output: Output) -> Result<Exit, Error> {
    let signals = Signals::install().map_err(|e| Error::io("take over signals", e))?;
    let xen = Xen::open()?;
    xen.require_xenlr()?;
    let plan = plan::make(&xen, file, args, output)?;
    build(&xen, &plan, &signals)?.destroy()?;
    output.result(
        &json!({
            "result": "fits",
            "file": plan.file,
            "log": integrity_name(&plan.summary.integrity),
            "log_sync": plan.summary.sync,
        }),
        &format!("{}: it can be replayed here", plan.file.display()),
    )?;
    Ok(Exit::Ok)
}

/// The domain, paused before its first instruction, with all that the log needs.
fn build(xen: &Xen, plan: &Plan, signals: &Signals) -> Result<Built, Error> {
    let built = build::build(xen, plan)?;
    run::check(xen, plan, &built)?;
    if signals.raised() {
        return Err(Error::Interrupted);
    }
    Ok(built)
}

/// What has become of the domain.
struct Left {
    domid: u16,
    name: String,
    /// `None`: it is gone.
    then: Option<Then>,
}

impl Left {
    fn text(&self) -> String {
        let Self { domid, name, .. } = self;
        match self.then {
            Some(Then::Pause) => format!("; domain \"{name}\" (number {domid}) is paused"),
            Some(Then::Live) => format!("; domain \"{name}\" (number {domid}) goes on"),
            Some(Then::Destroy) => {
                format!("; domain \"{name}\" (number {domid}) could not be destroyed")
            }
            None => String::new(),
        }
    }
}

/// Does with the domain what was asked for, as far as that can be, and says what became of it.
fn settle(
    xen: &Xen,
    mut built: Built,
    then: Then,
    ending: &Ending,
    output: Output,
) -> (Left, Result<(), Error>) {
    let mut left = Left {
        domid: built.domid,
        name: built.name.clone(),
        then: Some(Then::Pause),
    };
    if then == Then::Destroy {
        let destroyed = built.destroy();
        left.then = destroyed.is_err().then_some(Then::Destroy);
        return (left, destroyed);
    }
    built.keep();
    let domain = xen.domain(built.domid);
    let settled = match ending.outcome {
        Outcome::Equal if then == Then::Live => {
            let released = domain.release();
            if released.is_ok() {
                left.then = Some(Then::Live);
            }
            released
        }
        // Nothing else stops a guest that comes to no sync point.
        Outcome::Stalled | Outcome::NotFound => domain.pause(),
        _ => Ok(()),
    };
    // What follows would not fit the log's next records, before its end.
    if then == Then::Live && ending.outcome != Outcome::Equal {
        output.warn(&format!(
            "a guest goes on live only from the end of its log: domain \"{}\" is paused",
            built.name
        ));
    }
    (left, settled)
}

fn exit(plan: &Plan, ending: &Ending) -> Exit {
    match ending.outcome {
        Outcome::Equal | Outcome::Until => Exit::Ok,
        Outcome::Diverged => Exit::Diverged,
        Outcome::Failed => Exit::UnusableLog,
        // A whole log that Xen wants more of is a divergence: the guest goes on behind its end.
        Outcome::LogUsedUp if plan.summary.end.is_some() => Exit::Diverged,
        Outcome::LogUsedUp => Exit::Incomplete,
        Outcome::Stalled => Exit::Stalled,
        Outcome::NotFound => Exit::NotFound,
    }
}

/// What `LOG.places` was good for.
fn counted(ending: &Ending) -> String {
    let raw = &ending.status.raw;
    if raw.places_counted == 0 {
        return String::new();
    }
    format!(
        "; hits were counted for {} of {} places",
        raw.places_counted, raw.places
    )
}

fn to_text(plan: &Plan, ending: &Ending, symbols: &Symbols, limits: Limits) -> String {
    let raw = &ending.status.raw;
    let took = duration(u64::try_from(ending.took.as_nanos()).unwrap_or(u64::MAX));
    match ending.outcome {
        Outcome::Equal if raw.end_reason == EndReason::Cut as u32 => format!(
            "equal up to sync {}, where the log was cut off: {} records replayed in {took}; the log has no \
             digests of its end to compare with",
            raw.end_sync, raw.records
        ),
        Outcome::Equal => format!(
            "equal: {} sync points and {} records replayed in {took}, registers {:#018x}, memory \
             {:#018x} of {} pages",
            raw.end_sync, raw.records, raw.end_registers, raw.end_memory, raw.end_pages
        ),
        Outcome::Until => format!("replayed up to sync {} in {took}", raw.sync),
        Outcome::NotFound => format!(
            "the place after sync {} was not found in {} hits: the log or this replay is wrong, or the guest \
             was in a long loop, then give --hits",
            raw.sync, raw.search_hits
        ),
        Outcome::Diverged if ending.status.divergence() == Some(Divergence::Place) => format!(
            "diverged at sync {}, rip {}: the place after sync {} was not found in {} hits",
            raw.diverge_sync,
            symbols.describe(raw.diverge_rip),
            raw.diverge_sync.saturating_sub(1),
            raw.actual
        ),
        Outcome::Diverged => {
            let (expected, actual) = expected_and_actual(&ending.status);
            format!(
                "diverged at sync {}, rip {}: {}: expected {expected}, came {actual}",
                raw.diverge_sync,
                symbols.describe(raw.diverge_rip),
                divergence_name(ending.status.divergence()),
            )
        }
        Outcome::Failed => format!(
            "Xen cannot use the log at sync {}, after {} bytes: {}",
            raw.sync,
            raw.bytes,
            failure_text(ending.status.mode, raw.error)
        ),
        Outcome::Stalled => format!(
            "no sync point for {} s: the guest runs and does not leave to Xen behind sync {} of {}; if it \
             computes for longer, give --patience",
            limits.patience.unwrap_or_default().as_secs(),
            raw.sync,
            plan.summary.sync
        ),
        Outcome::LogUsedUp => format!(
            "the log has no more records at sync {} and {}; up to there the guest did what it did \
             when it was recorded",
            raw.sync,
            match plan.summary.end {
                Some(_) => "the guest goes on behind its end",
                None => "no end record",
            }
        ),
    }
}

fn to_json(plan: &Plan, ending: &Ending, symbols: &Symbols, left: &Left) -> Json {
    let raw = &ending.status.raw;
    let mut diverged = Json::Null;
    if ending.outcome == Outcome::Diverged {
        diverged = diverged_json(&ending.status);
        if let Some(object) = diverged.as_object_mut() {
            object.insert("symbol".to_owned(), symbols.name(raw.diverge_rip).into());
        }
    }
    json!({
        "result": ending.outcome.name(),
        "file": plan.file,
        "log": integrity_name(&plan.summary.integrity),
        "sync": ending.status.sync_points(),
        "records": raw.records,
        "bytes": raw.bytes,
        "log_sync": plan.summary.sync,
        "seconds": ending.took.as_secs_f64(),
        "domid": left.then.map(|_| left.domid),
        "domain": match left.then {
            Some(Then::Pause) => "paused",
            Some(Then::Live) => "live",
            Some(Then::Destroy) => "not destroyed",
            None => "destroyed",
        },
        "places": json!({
            "found": raw.places,
            "counted": raw.places_counted,
            "hits": raw.place_hits,
        }),
        "error": raw.error,
        "failure": (raw.error != 0).then(|| failure_text(ending.status.mode, raw.error)),
        "end": (ending.outcome == Outcome::Equal).then(|| json!({
            "sync": raw.end_sync,
            "rip": address(raw.end_rip),
            "registers": address(raw.end_registers),
            "memory": address(raw.end_memory),
            "pages": raw.end_pages,
        })),
        "diverged": diverged,
    })
}
