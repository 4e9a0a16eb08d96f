//! Messages as agents write them, for tests.

use fieldmouse_core::metric;
use fieldmouse_core::series::{SeriesKey, cut};
use fieldmouse_core::wire::{self, Clock, Kind};
use serde::Serialize;

/// When samples happen: 2026-11-22T12:00:00Z.
pub(crate) const NOON: u64 = 1_795_348_800_000;

/// One item: seq, kind, body, monotonic and wall time, severity.
#[derive(Clone)]
pub(crate) struct Sample(u64, Kind, Vec<u8>, (u64, Option<u64>), u8);

impl Sample {
    /// The same at another time.
    pub(crate) fn at(self, wall_ms: u64) -> Self {
        Self(self.0, self.1, self.2, (1000, Some(wall_ms)), self.4)
    }

    /// The same as another number.
    pub(crate) fn numbered(self, seq: u64) -> Self {
        Self(seq, self.1, self.2, self.3, self.4)
    }

    /// The same, graver or not.
    pub(crate) fn of(self, severity: u8) -> Self {
        Self(self.0, self.1, self.2, self.3, severity)
    }

    /// The same from a device that does not know the time.
    pub(crate) fn undated(self, mono_ms: u64) -> Self {
        Self(self.0, self.1, self.2, (mono_ms, None), self.4)
    }
}

pub(crate) fn body<T: Serialize>(body: &T) -> Vec<u8> {
    let mut to = vec![0; 8192];
    let n = wire::write_body(body, &mut to).expect("a sample fits");
    to.truncate(n);
    to
}

pub(crate) fn message(node: &str, epoch: u64, items: &[Sample]) -> Vec<u8> {
    let mut to = vec![0; wire::MAX_PAYLOAD];
    let mut n = wire::write_head(&wire::Head { node, epoch }, &mut to).expect("the head fits");
    for Sample(seq, kind, body, (mono_ms, wall_ms), severity) in items {
        let item = wire::Item {
            seq: *seq,
            mono_ms: *mono_ms,
            wall_ms: *wall_ms,
            clock: if wall_ms.is_some() { Clock::Synced } else { Clock::Unset } as u8,
            severity: *severity,
            kind: *kind as u16,
            rev: if *kind == Kind::Birth { Kind::Birth.rev() } else { 1 },
            body,
        };
        n += wire::write_item(&item, &mut to[n..]).expect("the item fits");
    }
    to.truncate(n);
    to
}

pub(crate) fn raw(seq: u64, kind: Kind, body: Vec<u8>) -> Sample {
    Sample(seq, kind, body, (1000, Some(NOON)), 9)
}

pub(crate) fn fact(seq: u64, kind: &str, text: &str) -> Sample {
    raw(seq, Kind::Fact, body(&wire::Fact::new(kind, text)))
}

/// A source that fails, or works again if the verdict is 0.
pub(crate) fn trouble(seq: u64, verdict: u8, text: &str) -> Sample {
    let body = body(&wire::Trouble { source: cut("file"), series: None, verdict, why: 0, text: cut(text) });
    raw(seq, Kind::Trouble, body).of(if verdict == 0 { 9 } else { 13 })
}

pub(crate) fn loss(seq: u64, first: u64, count: u64) -> Sample {
    raw(seq, Kind::Loss, body(&wire::Loss { first, count, reason: wire::loss::FULL }))
}

pub(crate) fn status(state: u8) -> Sample {
    raw(0, Kind::Status, body(&wire::Status { state, version: cut("0.1.0") }))
}

pub(crate) fn beat(seq: u64, acked: u64) -> Sample {
    let beat = wire::Beat {
        seq,
        acked,
        waiting: 3,
        outbox_bytes: 4096,
        lost: 0,
        flags: 0,
        series: 212,
        no_data: 1,
        open: 1,
        uptime_s: 86_400,
        cpu_us: 4200,
        rss_kib: 9100,
        late: 0,
    };
    raw(0, Kind::Beat, body(&beat))
}

pub(crate) fn birth(series: &[SeriesKey]) -> Sample {
    let birth = wire::Birth {
        version: cut("0.1.0"),
        platform: cut("linux/aarch64"),
        os: cut("Debian 12"),
        host: cut("press"),
        cpus: 4,
        memory: 4 << 30,
        model: [0xab, 0xcd, 1, 2, 3, 4, 5, 6],
        model_name: cut("fieldmouse-quantiles 1"),
        tick_ms: 1000,
        labels: cut("line=3,hall=b"),
        series: u16::try_from(series.len()).expect("few"),
    };
    let mut bytes = body(&birth);
    for key in series {
        bytes.extend(body(key));
    }
    let edge = body(&wire::Edge { from: cut("web"), to: cut("shop") });
    bytes.extend([edge.as_slice(), &u16::try_from(edge.len()).expect("short").to_le_bytes()].concat());
    raw(0, Kind::Birth, bytes)
}

/// A file system of 100 GB that fills by 1.2 GB a day; earlier by half, or later by as much again.
pub(crate) fn forecast(code: u16, label: &str, phase: u8, expected_s: u32) -> wire::Forecast {
    wire::Forecast {
        key: SeriesKey::new(code, &[label]),
        phase,
        limit: 1.0,
        level: 0.9,
        per_day: 0.012,
        whole: 1e11,
        expected_s,
        early_s: expected_s / 2,
        late_s: Some(2 * expected_s),
    }
}

/// A processor that is far busier than usual.
pub(crate) fn episode(seq: u64, id: u64, phase: u8, since_ms: u32) -> Sample {
    let contributor = |code, label: &[&str], actual, expected, low, high, share| wire::Contributor {
        key: SeriesKey::new(code, label),
        actual,
        expected,
        low,
        high,
        share,
    };
    let points = (0..wire::SPARK).map(|i| match i {
        0..20 => u8::try_from(30 + i * 7 % 11).expect("small"),
        20..24 => u8::try_from(60 + (i - 20) * 45).expect("small"),
        28 => 255,
        _ => u8::try_from(232 + i * 5 % 17).expect("small"),
    });
    let e = wire::Episode {
        id,
        phase,
        since_ms,
        lasted_ms: since_ms,
        shape: 3,
        group: metric::Group::Cpu as u8,
        score: 0.83,
        confidence: 92,
        recurred: 0,
        moved: 7,
        contributors: [
            contributor(metric::CPU_MODE, &["user"], 0.94, 0.12, 0.05, 0.22, 71),
            contributor(metric::DISK_IO, &["sda", "write"], 4.2e7, 1.1e6, 2.0e5, 6.0e6, 18),
            contributor(metric::TEMPERATURE, &["soc", "package"], 71.5, 48.0, 44.0, 53.0, 8),
        ]
        .into_iter()
        .collect(),
        culprit: Some(wire::Culprit { name: cut("label-printer"), pid: 4121, count: 1, amount: 3.4 }),
        model: [0xab, 0xcd, 1, 2, 3, 4, 5, 6],
        spark: Some(wire::Spark {
            step_ms: 5000,
            onset_ms: 60_000,
            low: 0.0,
            high: 1.0,
            points: points.collect(),
        }),
        without: Some(wire::Without { omitted: wire::omitted::CULPRIT, score: 0.58, without: 0.04 }),
        near: [wire::Near {
            kind: cut("package"),
            before_ms: 94_000,
            text: cut("label-printer 2.1 installed"),
        }]
        .into_iter()
        .collect(),
    };
    let Sample(seq, kind, body, ..) = raw(seq, Kind::Episode, body(&e));
    Sample(seq, kind, body, (1000, Some(NOON)), if phase == wire::phase::CLOSED { 9 } else { 17 })
}
