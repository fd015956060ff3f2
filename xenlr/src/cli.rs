//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use log_format::Kind;

/// Where recordings go when nothing else is said.
const LOG_DIR: &str = "/var/log/xenlr";
/// The variable that says something else.
const LOG_DIR_VARIABLE: &str = "XENLR_LOG_DIR";

/// Where recordings go, and are looked for, when the command line says nothing.
pub fn log_dir() -> PathBuf {
    std::env::var_os(LOG_DIR_VARIABLE)
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| LOG_DIR.into(), PathBuf::from)
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done; a replay is equal, logs do not differ
  1  the replay diverged, or the logs differ
  2  the file is no usable log, or does not fit this host
  3  no such domain, or it is not logged
  4  no Xen, no privilege, or a Xen without XenLR
  5  refused: the log or the domain is in use, or not in a state for it
  6  reading or writing failed
  7  xl failed
  8  the replay was equal as far as the log goes, and the log has no end
  9  the replay came to no further sync point for the time of --patience
 10  the place of a forced commit was not found in the hits of --hits
  64 the command line is wrong
  130 interrupted";

/// Record Xen guests and run them again, bit for bit.
#[derive(Debug, Parser)]
#[command(name = "xenlr", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,

    /// Print JSON for machines instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,

    /// Print nothing but results and errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write the log of every recorded domain to a file, for as long as it runs.
    #[command(after_help = "\
Examples:
  xenlr daemon
  xenlr daemon --dir /srv/logs --interval 10
  xenlr daemon --once        # write what is there now, and end")]
    Daemon(Daemon),
    /// Write one domain's log to a file.
    #[command(after_help = "\
Examples:
  xenlr extract guest                      # what there is now, to /var/log/xenlr
  xenlr extract guest -o guest.xlr --follow  # until the log ends")]
    Extract(Extract),
    /// End a recording at the guest's next sync point; the guest then stays paused.
    #[command(after_help = "\
Examples:
  xenlr stop guest
  xenlr stop guest --release     # the guest goes on without a log")]
    Stop(Stop),
    /// Show how recordings and replays stand.
    #[command(after_help = "\
Examples:
  xenlr status
  xenlr status guest --json")]
    Status(StatusArgs),
    /// List the logs that there are, the latest first.
    #[command(after_help = "\
Examples:
  xenlr ls
  xenlr ls /srv/logs --json | jq -r 'select(.fits) | .file'")]
    Ls(Ls),
    /// Summarise a log file.
    #[command(after_help = "\
Examples:
  xenlr info                # of the latest log
  xenlr info guest.xlr
  xenlr info guest.xlr --by-kind --json")]
    Info(Info),
    /// List the records of a log file.
    #[command(after_help = "\
Examples:
  xenlr dump guest.xlr
  xenlr dump guest.xlr --kind console_in,xenstore_in --from 1000
  xenlr dump guest.xlr --json | jq 'select(.port == 2)'")]
    Dump(Dump),
    /// Show the first difference of two log files.
    #[command(after_help = "\
Examples:
  xenlr diff first.xlr second.xlr   # exit code 0: none, 1: they differ")]
    Diff(Diff),
    /// Run a recorded guest again.
    #[command(after_help = "\
Examples:
  xenlr replay guest.xlr --console
  xenlr replay guest.xlr --until 120000 --then pause   # look at it with xenctx or gdbsx
  xenlr replay guest.xlr --until 12.5s --name suspect")]
    Replay(Replay),
    /// Replay a log and compare every sync point and the end state with it.
    #[command(after_help = "\
Examples:
  xenlr verify guest.xlr && echo equal
  xenlr verify guest.xlr --check-only   # would it replay here?")]
    Verify(Verify),
    /// Write a completion script for a shell.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How a recording is written.
#[derive(Debug, Clone, Args)]
pub struct Writing {
    /// Carry kernel and ramdisk in the log when they are no larger than this; else only their
    /// digests.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(0..=4096))]
    pub max_image: u64,
}

/// `daemon`
#[derive(Debug, Args)]
pub struct Daemon {
    /// Directory of the log files [default: /var/log/xenlr].
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Seconds after which records are written even when the ring is not half full.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub interval: u64,
    /// Write what is there now, and end.
    #[arg(long)]
    pub once: bool,
    /// How to write.
    #[command(flatten)]
    pub writing: Writing,
}

/// `extract`
#[derive(Debug, Args)]
pub struct Extract {
    /// Name or number of the domain.
    pub domain: String,
    /// File to write or to continue [default: /var/log/xenlr/NAME-UUID-START.xlr].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Go on until the log ends.
    #[arg(long, short)]
    pub follow: bool,
    /// Seconds after which records are written even when the ring is not half full.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub interval: u64,
    /// How to write.
    #[command(flatten)]
    pub writing: Writing,
}

/// `stop`
#[derive(Debug, Args)]
pub struct Stop {
    /// Name or number of the domain.
    pub domain: String,
    /// Seconds to wait for the guest to reach a sync point.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
    /// Let the guest go on, unlogged, once its log has ended.
    #[arg(long)]
    pub release: bool,
}

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Name or number of a domain [default: every logged one].
    pub domain: Option<String>,
}

/// `ls`
#[derive(Debug, Args)]
pub struct Ls {
    /// Directory of the log files [default: /var/log/xenlr].
    pub dir: Option<PathBuf>,
}

/// The log that a verb is about.
#[derive(Debug, Args)]
pub struct Log {
    /// The log file [default: the latest in /var/log/xenlr].
    #[arg(value_name = "LOG")]
    pub file: Option<PathBuf>,
}

/// `info`
#[derive(Debug, Args)]
pub struct Info {
    /// The log file.
    #[command(flatten)]
    pub log: Log,
    /// Also list records and bytes of each kind.
    #[arg(long)]
    pub by_kind: bool,
}

/// `dump`
#[derive(Debug, Args)]
pub struct Dump {
    /// The log file.
    #[command(flatten)]
    pub log: Log,
    /// Only records of these kinds.
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kind_parser())]
    pub kinds: Vec<Kind>,
    /// First sync number to list.
    #[arg(long, value_name = "SYNC", default_value_t = 0)]
    pub from: u64,
    /// Last sync number to list.
    #[arg(long, value_name = "SYNC", default_value_t = u64::MAX, hide_default_value = true)]
    pub to: u64,
}

/// `diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// One log file.
    pub first: PathBuf,
    /// The other.
    pub second: PathBuf,
}

/// What becomes of the domain after a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Then {
    /// It stays paused where the replay ended.
    Pause,
    /// It is destroyed.
    Destroy,
    /// It goes on, without a log and without what came later.
    Live,
}

/// What a replay and a verification have in common.
#[derive(Debug, Args)]
pub struct Replaying {
    /// The log file.
    #[command(flatten)]
    pub log: Log,
    /// Name of the replayed domain [default: NAME-replay].
    #[arg(long)]
    pub name: Option<String>,
    /// Use this kernel instead of the one in the log; it must have the same digest.
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Use this ramdisk instead of the one in the log; it must have the same digest.
    #[arg(long, value_name = "FILE")]
    pub ramdisk: Option<PathBuf>,
    /// Size of the ring that feeds the log, in KiB, a power of two.
    #[arg(long, value_name = "KIB", default_value_t = 256)]
    pub buffer_kb: u64,
    /// Write a log of the replayed run; the file must not exist.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// End the replay when the guest comes to no sync point for so many seconds; 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub patience: u64,
    /// Give up the search for the place of a forced commit after so many hits of its address.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000_000)]
    pub hits: u64,
    /// Compare at every hit: LOG.places, where replays keep how many there are, is not looked at.
    #[arg(long)]
    pub no_places: bool,
    /// Show the guest's console.
    #[arg(long)]
    pub console: bool,
}

/// `replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// What and how.
    #[command(flatten)]
    pub replaying: Replaying,
    /// Pause at this sync number, or at this time of the guest since its start (such as 12.5s).
    #[arg(long, value_name = "SYNC|TIME")]
    pub until: Option<String>,
    /// What to do with the domain at the end [default: pause].
    #[arg(long, value_enum)]
    pub then: Option<Then>,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// What and how.
    #[command(flatten)]
    pub replaying: Replaying,
    /// Leave the domain paused at the end, or where it diverged.
    #[arg(long)]
    pub keep: bool,
    /// Only find out whether the log can be replayed here: the domain is built, does not run, and is
    /// destroyed.
    #[arg(long, conflicts_with_all = ["keep", "record", "console"])]
    pub check_only: bool,
}

/// A kind of record, as `dump` names it.
fn kind_parser() -> impl clap::builder::TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.name())).try_map(|name| {
        let of_name = Kind::ALL.iter().find(|kind| kind.name() == name);
        of_name.copied().ok_or("there is no such kind of record")
    })
}
