//! The `xenlr` command; the library of the same name does the work.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use xenlr::cli::Cli;
use xenlr::error::Exit;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // clap prints help and version this way too, which are no errors.
            let code = if e.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            let _ = e.print();
            return ExitCode::from(code as u8);
        }
    };
    match xenlr::verb::run(&cli) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(e) => {
            eprintln!("xenlr: {e}");
            ExitCode::from(e.exit() as u8)
        }
    }
}
