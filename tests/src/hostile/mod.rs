//! Brokers that misbehave, byte by byte, and the agent's link against them.
//!
//! [`schedule`] runs the real link, delivery and outbox against a broker that does what a seed says for a while and is
//! honest from then on. [`stream`] sends bytes that only look like packets, [`otlp`] exports that only look like some.

pub mod broker;
pub mod collector;
pub mod dice;
pub mod evil;
pub mod otlp;
pub mod packet;
pub mod rubbish;
pub mod schedule;
pub mod stream;

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts every panic of this process from here on, as the shipped program would have died of it; and lets it have as
/// many sockets as it may.
pub fn prepare() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
}

/// Panics counted so far.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
