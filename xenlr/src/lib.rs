//! `xenlr`, the dom0 command: takes the logs of recorded Xen guests out of the hypervisor, shows
//! them, and replays them.
//!
//! The way of a log: [`xen`] maps a domain's ring, [`recorder`] moves whole records from it into a
//! file ([`log_format::file`]) and gives the room back once they are durable, and [`verb`] has
//! one module for each thing that a user can ask for. Replay goes the other way: [`replayer`]
//! rebuilds the domain and feeds the ring from the file.
//!
//! All unsafe code is in [`xen`]; [`ringio`] is the border at which tests stand in for it.
#![deny(unsafe_code)]

pub mod cli;
pub mod domains;
pub mod error;
pub mod library;
pub mod lock;
pub mod log_time;
pub mod logfile;
pub mod output;
pub mod poll;
pub mod recorder;
pub mod replayer;
pub mod ringio;
pub mod show;
pub mod signals;
pub mod symbols;
pub mod verb;
pub mod xen;
pub mod xenstore;
pub mod xlcfg;
