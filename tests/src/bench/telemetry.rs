//! Weeks of telemetry of a small server, made up: load that follows the day, noise, and jobs that come and go.

use std::f64::consts::TAU;
use std::fmt::Write;

use crate::sim::rng::Rng;

/// Minutes, hours and days in seconds.
pub const MINUTE: u64 = 60;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
pub const WEEK: u64 = 7 * DAY;

/// A stretch of the recording, in seconds after its first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First second.
    pub from: u64,
    /// First second after it.
    pub to: u64,
}

/// The first row is Monday, 6 January 2020, midnight.
const EPOCH: u64 = 1_578_268_800;

/// What is recorded. Names are those of the metric table; the last is a series that no table knows.
const COLUMNS: [&str; 9] = [
    "system.cpu.utilization",
    "system.cpu.utilization{cpu.mode=user}",
    "system.memory.utilization",
    "system.disk.io{system.device=sda,disk.io.direction=write}",
    "system.disk.io_time{system.device=sda}",
    "system.network.io{network.interface.name=eth0,network.io.direction=receive}",
    "system.process.count{process.status=running}",
    "hw.temperature{hw.id=coretemp,hw.sensor_location=cpu}",
    "requests",
];

/// The recording as `replay` reads it, a row every `tick` seconds. `loads` are the stretches in which a job runs that
/// keeps half of the processor and the disk busy.
#[must_use]
pub fn recording(seed: u64, tick: u64, seconds: u64, loads: &[Span]) -> String {
    let mut rng = Rng::new(seed);
    let mut csv = format!("timestamp,\"{}\"\n", COLUMNS.join("\",\""));
    let (mut slow, mut warm) = (0.0, 0.0);
    let (mut written, mut received) = (0.0, 0.0);
    let mut current = 0;
    for t in (0..seconds).step_by(usize::try_from(tick).unwrap()) {
        while loads.get(current).is_some_and(|l| l.to <= t) {
            current += 1;
        }
        let job = if loads.get(current).is_some_and(|l| l.from <= t) { 1.0 } else { 0.0 };
        let day = 0.5 - 0.5 * (TAU * (t % DAY) as f64 / DAY as f64).cos();
        let people = if t / DAY % 7 < 5 { day } else { 0.6 * day };
        // Noise that has a memory of ten minutes, whatever the tick.
        let keep = (-(tick as f64) / 600.0).exp();
        slow = slow * keep + (1.0 - keep * keep).sqrt() * normal(&mut rng);
        let busy =
            (0.08 + 0.15 * people + 0.02 * slow + 0.02 * normal(&mut rng) + 0.45 * job).clamp(0.01, 1.0);
        let user = busy * (0.8 + 0.02 * normal(&mut rng));
        let memory = 0.35 + 0.05 * people + 0.01 * slow + 0.002 * normal(&mut rng);
        let write = 4e5 * (1.0 + people) * (0.4 * normal(&mut rng)).exp()
            + 6e7 * job * (1.0 + 0.1 * normal(&mut rng));
        let io = (0.01 + write / 1.2e8 + 0.005 * normal(&mut rng).abs()).clamp(0.0, 1.0);
        let receive = 2e5 * (1.0 + 3.0 * people) * (0.3 * normal(&mut rng)).exp();
        let running = (1.0 + 2.0 * people + job + 0.7 * normal(&mut rng)).max(0.0).round();
        warm += (busy - warm) * (1.0 - (-(tick as f64) / 180.0).exp());
        let temperature = (2.0 * (38.0 + 25.0 * warm + 0.3 * normal(&mut rng))).round() / 2.0;
        let requests =
            (40.0 + 200.0 * people + (40.0 + 200.0 * people).sqrt() * normal(&mut rng)).max(0.0).round();
        written += write * tick as f64;
        received += receive * tick as f64;
        writeln!(
            csv,
            "{},{busy:.4},{user:.4},{memory:.5},{written:.0},{io:.4},{received:.0},{running},{temperature:.1},{requests}",
            EPOCH + t
        )
        .unwrap();
    }
    csv
}

/// A normal number, by Box and Muller.
fn normal(rng: &mut Rng) -> f64 {
    let mut unit = || (rng.draw() >> 11) as f64 / (1u64 << 53) as f64;
    (-2.0 * (1.0 - unit()).ln()).sqrt() * (TAU * unit()).cos()
}
