//! What the tests in the rig (`ci/vm`) need of Rust.
//!
//! The tests themselves are scripts, on the host or in dom0, since what they do is to call programs
//! and to look at what these say. What no script can do is a program here: `alter` makes logs that
//! are well-formed and wrong, `fuzz_reader` is a hostile reader, with the calls of [`probe`].
//! `vm_program` of `ci/vm/host.sh` builds one of them for dom0.

pub mod probe;
