//! The harness: a broker, the programs as they are built, and ways to wait for what they do.
//!
//! What cannot be started is a failed test with the sentence that cures it; nothing is skipped in silence.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a harness fails by panicking, like the tests it serves, and then tells what it saw"
)]

pub mod bench;
pub mod broker;
pub mod demo;
pub mod ear;
pub mod http;
pub mod program;
pub mod sim;
pub mod wait;

use std::path::PathBuf;

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A port of the loopback that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
