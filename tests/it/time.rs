//! Time that stands still or jumps ahead: suspend, a paused virtual machine, a stopped process. It makes no anomaly.

use fieldmouse::budget::Budget;
use fieldmouse::pipeline::{Output, Pipeline};
use fieldmouse::scorer::{Forecaster, SHIPPED};
use fieldmouse_core::metric;
use fieldmouse_core::series::{Reading, SeriesKey};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A small calm device that is awake for `awake_ms` by then. Its counters stand still while it sleeps.
fn readings(awake_ms: u64) -> [Option<Reading>; 5] {
    let t = awake_ms / SECOND;
    let noise = |salt: u64| {
        (t.wrapping_add(salt * 7919).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / f64::from(1 << 24)
    };
    let sum = |rate: f64, salt: u64| t as f64 * rate + rate * noise(salt);
    [
        Ok(0.05 + 0.02 * noise(1)),
        Ok(0.41 + 0.001 * noise(2)),
        Ok(sum(4096.0, 3)),
        Ok(sum(1500.0, 4)),
        Ok(40.0 + noise(5)),
    ]
    .map(Some)
}

/// Pauses: after so long awake, for so long. Nothing may be told of them.
#[track_caller]
fn check(name: &str, pauses: &[(u64, u64)]) {
    let mut pipeline = Pipeline::new(Budget::default(), Some(Forecaster::new(SHIPPED).unwrap()), 1);
    for (code, labels) in [
        (metric::CPU_BUSY, &[][..]),
        (metric::MEMORY_USED, &[]),
        (metric::DISK_IO, &["sda", "write"]),
        (metric::NETWORK_IO, &["eth0", "receive"]),
        (metric::TEMPERATURE, &["chip", "core"]),
    ] {
        pipeline.index(&SeriesKey::new(code, labels), 0);
    }
    let mut told = Vec::new();
    let mut slept = 0;
    for awake in (0..10 * MINUTE).step_by(1000) {
        slept += pauses.iter().filter(|(at, _)| *at == awake).map(|p| p.1).sum::<u64>();
        pipeline.tick(awake + slept, &readings(awake), &mut told);
    }
    let told: Vec<String> = told
        .iter()
        .map(|o| match o {
            Output::Episode { body, .. } => fieldmouse_core::explain::sentence(body).to_string(),
            Output::Trouble { body, .. } => body.text.as_str().to_owned(),
            Output::Maintenance(m) => m.text.clone(),
            Output::Drift(fact) => fact.text.as_str().to_owned(),
            Output::Forecast { body, .. } => fieldmouse_core::explain::expected(body).to_string(),
        })
        .collect();
    assert!(told.is_empty(), "{name}: {told:?}");
}

#[test]
fn sleep_makes_no_anomaly() {
    check("awake", &[]);
    check("suspended for a night", &[(5 * MINUTE, 8 * HOUR)]);
    check("a virtual machine paused", &[(5 * MINUTE, 10 * MINUTE)]);
    check("stopped by a signal", &[(3 * MINUTE, 5 * MINUTE)]);
    check("asleep every minute", &[1, 2, 3, 4, 5, 6, 7, 8, 9].map(|m| (m * MINUTE, 50 * SECOND)));
    check("asleep before anything was learnt", &[(5 * SECOND, HOUR), (20 * SECOND, 8 * HOUR)]);
    check("years", &[(5 * MINUTE, 40 * 365 * 24 * HOUR)]);
}
