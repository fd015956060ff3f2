//! Recording: from a domain's ring into its file.
//!
//! [`session`] holds everything that one recorded domain needs; [`drain`] moves the records and
//! is the only place that gives room in the ring back; [`sink`] is the file with its faults;
//! [`adopt`] finds the file that a log belongs to; [`facts`] fills in
//! the header; [`fleet`] does it for every domain of the host.

pub mod adopt;
pub mod drain;
pub mod facts;
pub mod fleet;
pub mod session;
pub mod sink;
