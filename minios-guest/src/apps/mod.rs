//! The applications, one a module, chosen by the first word of the command line.

use crate::{cmdline, machine, say};

pub mod bench;
pub mod blk;
pub mod cases;
pub mod clockcheck;
pub mod compute;
pub mod crash;
pub mod daytime;
pub mod doors;
pub mod edges;
pub mod hostile;
pub mod hostile_devices;
pub mod net;
pub mod observe;
pub mod roots;
pub mod shell;
pub mod spin;
pub mod talk;
pub mod torture;
pub mod watch;

/// Runs the application that the command line names; `shell` without one.
pub fn run() {
    match cmdline::application() {
        "daytime" => daytime::run(),
        "" | "shell" => shell::run(),
        "net" => net::run(),
        "observe" => observe::run(),
        "watch" => watch::run(),
        "torture" => torture::run(),
        "compute" => compute::run(),
        "bench" => bench::run(),
        "blk" => blk::run(),
        "cases" => cases::run(),
        "clockcheck" => clockcheck::run(),
        "talk" => talk::run(),
        "crash" => crash::run(),
        "edges" => edges::run(),
        "hostile" => hostile::run(),
        "hostile-devices" => hostile_devices::run(),
        "spin" => spin::run(),
        "doors" => doors::run(),
        "roots" => pv_only("roots", roots::run),
        other => say!("minios: no application {other}: see minios-guest/README.md"),
    }
}

/// Runs something that is about what only a PV guest has.
fn pv_only(name: &str, application: fn()) {
    if machine::is_pvh() {
        say!("{name}: only in a PV guest");
        return;
    }
    application();
}
