//! `xenlr verify`: replays a log to its end and says whether everything was equal.

use super::replay::{check_only, replay};
use crate::cli::{Then, Verify};
use crate::error::{Error, Exit};
use crate::output::Output;

/// Replays without a stop. Xen compares every witness and sync number on the way, and registers
/// and memory at the end.
pub fn run(args: &Verify, output: Output) -> Result<Exit, Error> {
    let then = if args.keep {
        Then::Pause
    } else {
        Then::Destroy
    };
    let file = args.replaying.log.file(output)?;
    if args.check_only {
        return check_only(&file, &args.replaying, output);
    }
    replay(&file, &args.replaying, None, then, output)
}
