//! Waiting for a condition: the one place where tests look at a clock.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that passes never waits so long.
pub const LIMIT: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "the one place where tests look at a clock")]
fn now() -> Instant {
    Instant::now()
}

/// Asks until there is an answer, and fails after `limit` saying what was waited for.
#[track_caller]
pub fn wait_for<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::park_timeout(PAUSE);
    }
}

/// Whether it came true before `limit`.
pub fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let start = now();
    while !is_so() {
        if start.elapsed() >= limit {
            return false;
        }
        std::thread::park_timeout(PAUSE);
    }
    true
}

/// What `act` returns, and how long it took.
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let start = now();
    let answer = act();
    (answer, start.elapsed())
}

/// Lets time pass that is itself part of what is tried: how long a fault lasts, how fast events come.
pub fn pause(span: Duration) {
    let start = now();
    while let Some(rest) = span.checked_sub(start.elapsed()).filter(|rest| !rest.is_zero()) {
        std::thread::park_timeout(rest);
    }
}

/// Measures from its start on.
#[derive(Debug, Clone, Copy)]
pub struct Watch(Instant);

impl Watch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(now())
    }

    /// How long ago that was.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
