//! The `xenlr` command; the library of the same name does the work.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use xenlr::cli::Cli;
use xenlr::error::Exit;
use xenlr::output::Output;

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => xenlr::verb::run(&cli).unwrap_or_else(|e| {
            let exit = e.exit();
            Output::of(&cli).error(&e.to_string(), exit);
            exit
        }),
        Err(e) => refuse(&e),
    };
    ExitCode::from(exit as u8)
}

/// A command line that cannot be parsed; or one that asks for help or the version, which clap
/// reports in the same way.
fn refuse(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Ok;
    }
    // What was not parsed cannot tell whether JSON is wanted.
    if std::env::args_os().any(|word| word == "--json") {
        let output = Output {
            json: true,
            quiet: false,
        };
        output.error(error.to_string().trim_end(), Exit::Usage);
    } else {
        let _ = error.print();
    }
    Exit::Usage
}
