//! The applications, one a module, chosen by the first word of the command line.

use crate::{cmdline, say};

pub mod bench;
pub mod cases;
pub mod clockcheck;
pub mod compute;
pub mod crash;
pub mod daytime;
pub mod doors;
pub mod edges;
pub mod hostile;
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
        "observe" => observe::run(),
        "watch" => watch::run(),
        "torture" => torture::run(),
        "compute" => compute::run(),
        "bench" => bench::run(),
        "cases" => cases::run(),
        "clockcheck" => clockcheck::run(),
        "talk" => talk::run(),
        "crash" => crash::run(),
        "edges" => edges::run(),
        "hostile" => hostile::run(),
        "spin" => spin::run(),
        "doors" => doors::run(),
        "roots" => roots::run(),
        other => say!("minios: no application {other}: see minios-guest/README.md"),
    }
}
