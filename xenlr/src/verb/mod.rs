//! One module for each verb of the command line.

pub mod daemon;
pub mod diff;
pub mod dump;
pub mod extract;
pub mod info;
pub mod replay;
pub mod status;
pub mod stop;
pub mod verify;

use clap::CommandFactory as _;

use crate::cli::{Cli, Verb};
use crate::error::{Error, Exit};
use crate::output::Output;

/// Does what the command line asks for.
pub fn run(cli: &Cli) -> Result<Exit, Error> {
    let output = Output {
        json: cli.json,
        quiet: cli.quiet,
    };
    match &cli.verb {
        Verb::Daemon(args) => daemon::run(args, output),
        Verb::Extract(args) => extract::run(args, output),
        Verb::Stop(args) => stop::run(args, output),
        Verb::Status(args) => status::run(args, output),
        Verb::Info(args) => info::run(args, output),
        Verb::Dump(args) => dump::run(args, output),
        Verb::Diff(args) => diff::run(args, output),
        Verb::Replay(args) => replay::run(args, output),
        Verb::Verify(args) => verify::run(args, output),
        Verb::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "xenlr", &mut std::io::stdout());
            Ok(Exit::Ok)
        }
    }
}
