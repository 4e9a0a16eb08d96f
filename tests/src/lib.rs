//! The harness: a broker, the programs as they are built, and ways to wait for what they do.
//!
//! What cannot be started is a failed test with the sentence that cures it; nothing is skipped in silence.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a harness fails by panicking, like the tests it serves, and then tells what it saw"
)]

pub mod accuracy;
pub mod bench;
pub mod broker;
pub mod browser;
pub mod crowd;
pub mod demo;
pub mod ear;
pub mod faults;
pub mod fleet;
pub mod fuzz;
pub mod hostile;
pub mod http;
pub mod otlp;
pub mod postgres;
pub mod program;
pub mod results;
pub mod sim;
pub mod wait;

use std::path::PathBuf;

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A port of the loopback that was free a moment ago. It lies below those that the kernel gives to clients: else one of
/// them could take it before its server does, or even connect to itself.
#[must_use]
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 12_000..32_000;
    let begin = std::process::id().wrapping_mul(997);
    loop {
        let port = PORTS.start
            + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
