//! One module for each verb of the command line.

pub mod daemon;
pub mod diff;
pub mod dump;
pub mod extract;
pub mod info;
pub mod ls;
pub mod replay;
pub mod status;
pub mod stop;
pub mod verify;

use std::io::{self, Write as _};

use clap::CommandFactory as _;

use crate::cli::{Cli, Verb};
use crate::error::{Error, Exit};
use crate::output::{Output, stdout_result};

/// Does what the command line asks for.
pub fn run(cli: &Cli) -> Result<Exit, Error> {
    let output = Output::of(cli);
    match &cli.verb {
        Verb::Daemon(args) => daemon::run(args, output),
        Verb::Extract(args) => extract::run(args, output),
        Verb::Stop(args) => stop::run(args, output),
        Verb::Status(args) => status::run(args, output),
        Verb::Ls(args) => ls::run(args, output),
        Verb::Info(args) => info::run(args, output),
        Verb::Dump(args) => dump::run(args, output),
        Verb::Diff(args) => diff::run(args, output),
        Verb::Replay(args) => replay::run(args, output),
        Verb::Verify(args) => verify::run(args, output),
        Verb::Completions { shell } => {
            // The generator takes no refusal, so it writes to memory.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "xenlr", &mut script);
            stdout_result(io::stdout().write_all(&script))?;
            Ok(Exit::Ok)
        }
    }
}
