//! The link against brokers that misbehave; the thousands of the nightly run are `hostile`'s.

use fieldmouse_tests::hostile::{panics, prepare, schedule, stream};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Every event is acknowledged in the end, and nothing is stuck for longer than three keep alives and the configured
/// waits once the broker is honest.
#[test]
fn random_schedules_end_well() {
    const SEED: u64 = 100_000;
    prepare();
    let summary = runtime().block_on(schedule::run_all(SEED..SEED + 200, 200));
    println!("{} schedules from seed {SEED}, {} events", summary.schedules, summary.events);
    assert!(summary.wrong.is_empty(), "{:#?}", summary.wrong);
    assert_eq!((summary.schedules, panics()), (200, 0));
}

#[test]
fn whatever_bytes_come_the_link_comes_back() {
    const SEED: u64 = 500_000;
    prepare();
    let sent = runtime().block_on(stream::send_all(SEED, 2000, 8));
    println!("{sent} streams from seed {SEED}");
    assert_eq!((sent, panics()), (2000, 0));
}
