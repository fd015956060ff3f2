//! Replay: from a file back into a guest.
//!
//! [`plan`] decides whether this host can replay the log, and gathers what is needed; [`build`]
//! has xl create the domain; [`feed`] moves the log into the ring; [`run`] watches until the
//! replay has ended or diverged; [`places`] keeps what it cost to find the log's places; [`own_log`] writes a log of the replayed run.

pub mod build;
pub mod console;
pub mod feed;
pub mod own_log;
pub mod places;
pub mod plan;
pub mod run;
pub mod until;
