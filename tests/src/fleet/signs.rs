//! What an agent says of series that left their usual place.

use fieldmouse_core::metric;
use fieldmouse_core::series::{SeriesKey, cut};
use fieldmouse_core::shape::Shape;
use fieldmouse_core::wire::{self, phase};

use crate::sim::rng::Rng;

/// One series that moved.
#[derive(Debug, Clone)]
pub struct Sign {
    /// Which.
    pub key: SeriesKey,
    /// Where it usually is.
    pub usual: f32,
    /// Where it is now.
    pub now: f32,
    /// What that looks like.
    pub shape: Shape,
}

/// `usual` and `now`, each a little different from time to time.
fn sign(rng: &mut Rng, code: u16, values: &[&str], usual: f32, now: f32, shape: Shape) -> Sign {
    let mut about = |x: f32| x * (0.85 + 0.3 * rng.below(1000) as f32 / 1000.0);
    let (usual, mut now) = (about(usual), about(now));
    let (low, high) = metric::by_code(code).range;
    now = now.clamp(low, high);
    Sign { key: SeriesKey::new(code, values), usual, now, shape }
}

/// A processor that is busy.
pub fn cpu(rng: &mut Rng) -> Sign {
    sign(rng, metric::CPU_BUSY, &[], 0.15, 0.95, Shape::Step)
}

/// Memory that is used up.
pub fn memory(rng: &mut Rng) -> Sign {
    sign(rng, metric::MEMORY_USED, &[], 0.45, 0.95, Shape::Ramp)
}

/// A disk that writes.
pub fn disk_io(rng: &mut Rng) -> Sign {
    sign(rng, metric::DISK_IO, &["sda", "write"], 2e6, 9e7, Shape::Step)
}

/// A disk that is busy.
pub fn disk_busy(rng: &mut Rng) -> Sign {
    sign(rng, metric::DISK_IO_TIME, &["sda"], 0.08, 0.98, Shape::Step)
}

/// A file system that is nearly full.
pub fn filesystem(rng: &mut Rng, mount: &str) -> Sign {
    Sign { now: 0.985, ..sign(rng, metric::FILESYSTEM_USED, &[mount], 0.55, 1.0, Shape::Ramp) }
}

/// Traffic of an interface.
pub fn traffic(rng: &mut Rng) -> Sign {
    sign(rng, metric::NETWORK_IO, &["eth0", "transmit"], 2e5, 1.6e7, Shape::Step)
}

/// Segments sent again.
pub fn retransmits(rng: &mut Rng) -> Sign {
    sign(rng, metric::TCP_RETRANSMITS, &[], 1.0, 180.0, Shape::Step)
}

/// Errors of an interface.
pub fn link_errors(rng: &mut Rng) -> Sign {
    sign(rng, metric::NETWORK_ERRORS, &["eth0", "receive"], 0.01, 70.0, Shape::Step)
}

/// Connections that wait for an answer.
pub fn connections(rng: &mut Rng) -> Sign {
    sign(rng, metric::NETWORK_CONNECTIONS, &["tcp", "SYN_SENT"], 1.0, 240.0, Shape::Step)
}

/// Calls of a service that fail.
pub fn failing(rng: &mut Rng, service: &str) -> Sign {
    sign(rng, metric::SPAN_ERROR, &[service, &operation(service)], 0.02, 14.0, Shape::Step)
}

/// Calls of a service that take long.
pub fn slow(rng: &mut Rng, service: &str) -> Sign {
    sign(rng, metric::SPAN_DURATION, &[service, &operation(service), "p99"], 0.08, 2.6, Shape::Step)
}

/// What calls of a service are named.
#[must_use]
pub fn operation(service: &str) -> String {
    format!("POST /{service}/<*>")
}

/// A temperature that rises.
pub fn temperature(rng: &mut Rng) -> Sign {
    sign(rng, metric::TEMPERATURE, &["soc", "package"], 44.0, 66.0, Shape::Ramp)
}

/// A sensor's own value.
pub fn sensor(rng: &mut Rng, name: &str) -> Sign {
    sign(rng, metric::SENSOR_VALUE, &[name], 20.0, 55.0, Shape::Step)
}

/// A voltage that falls.
pub fn voltage(rng: &mut Rng) -> Sign {
    sign(rng, metric::VOLTAGE, &["ups", "input"], 230.0, 60.0, Shape::Drop)
}

/// Lines of a log.
pub fn lines(rng: &mut Rng, log: &str) -> Sign {
    sign(rng, metric::LOG_RECORDS, &[log, "error"], 0.1, 60.0, Shape::Step)
}

/// Processes that are started.
pub fn started(rng: &mut Rng) -> Sign {
    sign(rng, metric::PROCESS_CREATED, &[], 3.0, 400.0, Shape::Step)
}

/// One telling of an episode.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// Its number.
    pub id: u64,
    /// A [`phase`] number.
    pub phase: u8,
    /// Milliseconds since the onset, as the device estimates it.
    pub since_ms: u64,
    /// Milliseconds that it lasted.
    pub lasted_ms: u64,
    /// How often it came back.
    pub recurred: u16,
    /// What moved, the best explanation first.
    pub signs: &'a [Sign],
    /// Who was at work.
    pub culprit: Option<&'a str>,
    /// What happened shortly before on the same device.
    pub near: heapless::Vec<wire::Near, { wire::NEAR }>,
    /// 0..1.
    pub score: f32,
}

/// The event, and how grave it is.
#[must_use]
pub fn episode(told: Told<'_>) -> (u8, wire::Episode) {
    const SHARES: [&[u8]; 4] = [&[100], &[68, 32], &[55, 28, 17], &[48, 26, 16, 10]];
    let signs = &told.signs[..told.signs.len().min(wire::CONTRIBUTORS)];
    let shares = SHARES[signs.len() - 1];
    let contributors = signs.iter().zip(shares).map(|(s, share)| wire::Contributor {
        key: s.key.clone(),
        actual: s.now,
        expected: s.usual,
        low: s.usual * 0.8,
        high: s.usual * 1.25,
        share: *share,
    });
    let first = signs[0].key.metric();
    // As agents decide it: an error if a share is nearly used up.
    let full = first.range == (0.0, 1.0) && signs[0].now >= 0.9 && first.group != metric::Group::Cpu;
    let severity = if told.phase == phase::CLOSED {
        9
    } else if full {
        17
    } else {
        13
    };
    let narrow = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    let body = wire::Episode {
        id: told.id,
        phase: told.phase,
        since_ms: narrow(told.since_ms),
        lasted_ms: narrow(told.lasted_ms),
        shape: signs[0].shape as u8,
        group: first.group as u8,
        score: told.score,
        confidence: 90,
        recurred: told.recurred,
        moved: u16::try_from(signs.len()).unwrap_or(u16::MAX),
        contributors: contributors.collect(),
        culprit: told.culprit.map(|name| wire::Culprit { name: cut(name), pid: 4121, count: 1, amount: 1.0 }),
        model: [0x86, 0xD7, 0x11, 0x22, 0x39, 0x07, 0x4C, 0xDD],
        spark: None,
        without: None,
        near: told.near,
    };
    (severity, body)
}
