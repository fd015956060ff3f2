//! Replay: from a file back into a guest.
//!
//! [`plan`] decides whether this host can replay the log, and gathers what is needed; [`build`]
//! has xl create the domain; [`feed`] moves the log into the ring; [`run`] watches until the
//! replay has ended or diverged; [`record`] writes a log of the replayed run.

pub mod build;
pub mod console;
pub mod feed;
pub mod plan;
pub mod record;
pub mod run;
pub mod until;
