//! `xenlr replay`: runs a recorded guest again.

use serde_json::{Value as Json, json};

use super::status::{diverged_json, divergence_name, expected_and_actual};
use crate::cli::{Replay, Replaying, Then};
use crate::error::{Error, Exit};
use crate::logfile::integrity_name;
use crate::output::{Output, duration};
use crate::replay::build::{self, Built};
use crate::replay::console::Console;
use crate::replay::plan::{self, Plan};
use crate::replay::run::{self, Ending, Outcome};
use crate::replay::{record, until};
use crate::show::address;
use crate::signals::Signals;
use crate::symbols::Symbols;
use crate::xen::Xen;

/// Replays, and does with the domain what was asked for.
pub fn run(args: &Replay, output: Output) -> Result<Exit, Error> {
    let until = args.until.as_deref().map(until::parse).transpose()?;
    let until = until
        .map(|until| until::resolve(until, &args.replaying.file))
        .transpose()?;
    let then = args.then.unwrap_or(Then::Pause);
    replay(&args.replaying, until, then, output)
}

/// A replay from beginning to end. Also what `verify` does.
pub fn replay(
    args: &Replaying,
    until: Option<u64>,
    then: Then,
    output: Output,
) -> Result<Exit, Error> {
    let signals = Signals::install().map_err(|e| Error::io("take over signals", e))?;
    let xen = Xen::open()?;
    xen.require_xenlr()?;
    let plan = plan::make(&xen, args, output)?;
    let built = build::build(&xen, &plan)?;
    run::check(&xen, &plan, &built)?;
    let console = args
        .console
        .then(|| Console::open(built.domid, output.json))
        .transpose()?;
    let ending = run::run(&xen, &plan, &built, until, &signals, output)?;
    drop(console);
    if let Some(path) = &args.record {
        record::write(path, &plan, &ending, built.domid, &built.name)?;
    }
    let (domid, name) = (built.domid, built.name.clone());
    settle(&xen, built, then, &ending, output)?;
    let symbols = Symbols::of_kernel(&plan.kernel);
    let left = match then {
        Then::Pause => format!("; domain \"{name}\" (number {domid}) is paused"),
        Then::Live => format!("; domain \"{name}\" (number {domid}) goes on"),
        Then::Destroy => String::new(),
    };
    output.result(
        &to_json(&plan, &ending, &symbols, domid, then),
        &(to_text(&plan, &ending, &symbols) + &left),
    )?;
    Ok(exit(&plan, &ending))
}

/// What becomes of the domain.
fn settle(
    xen: &Xen,
    mut built: Built,
    then: Then,
    ending: &Ending,
    output: Output,
) -> Result<(), Error> {
    match then {
        Then::Destroy => return built.destroy(),
        Then::Pause => {}
        // What follows would not fit the log's next records, before its end.
        Then::Live if ending.outcome != Outcome::Equal => output.warn(&format!(
            "a guest goes on live only from the end of its log: domain \"{}\" is paused",
            built.name
        )),
        Then::Live => xen.domain(built.domid).release()?,
    }
    built.keep();
    Ok(())
}

fn exit(plan: &Plan, ending: &Ending) -> Exit {
    match ending.outcome {
        Outcome::Equal | Outcome::Until => Exit::Ok,
        Outcome::Diverged => Exit::Diverged,
        Outcome::Failed => Exit::UnusableLog,
        // A whole log that Xen wants more of is a divergence: the guest goes on behind its end.
        Outcome::LogUsedUp if plan.summary.end.is_some() => Exit::Diverged,
        Outcome::LogUsedUp => Exit::Incomplete,
    }
}

fn to_text(plan: &Plan, ending: &Ending, symbols: &Symbols) -> String {
    let raw = &ending.status.raw;
    let took = duration(u64::try_from(ending.took.as_nanos()).unwrap_or(u64::MAX));
    match ending.outcome {
        Outcome::Equal => format!(
            "equal: {} sync points and {} records replayed in {took}, registers {:#018x}, memory \
             {:#018x} of {} pages",
            raw.end_sync, raw.records, raw.end_registers, raw.end_memory, raw.end_pages
        ),
        Outcome::Until => format!("replayed up to sync {} in {took}", raw.sync),
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
            "Xen cannot use the log: error {} at sync {}, after {} bytes",
            raw.error, raw.sync, raw.bytes
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

fn to_json(plan: &Plan, ending: &Ending, symbols: &Symbols, domid: u16, then: Then) -> Json {
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
        "sync": raw.sync,
        "records": raw.records,
        "bytes": raw.bytes,
        "log_sync": plan.summary.sync,
        "seconds": ending.took.as_secs_f64(),
        "domid": (then != Then::Destroy).then_some(domid),
        "error": raw.error,
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
