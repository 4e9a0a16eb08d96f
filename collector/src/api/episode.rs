//! How an episode looks. Times are milliseconds since 1970.

use fieldmouse_core::metric::Group;
use fieldmouse_core::shape::Shape;
use fieldmouse_core::{explain, wire};
use serde::Serialize;
use serde_json::{Value, json};

use super::json::model;
use crate::store::{self, Closing};
use crate::words;

#[derive(Debug, Serialize)]
pub(super) struct Episode {
    site: String,
    node: String,
    epoch: String,
    id: String,
    state: &'static str,
    end_told: Option<bool>,
    phase: &'static str,
    onset_ms: u64,
    opened_ms: u64,
    updated_ms: u64,
    closed_ms: Option<u64>,
    severity: &'static str,
    group: &'static str,
    shape: &'static str,
    score: f32,
    confidence: u8,
    recurred: u32,
    moved: u32,
    sentence: String,
}

pub(super) fn episode(e: &store::Episode) -> Episode {
    Episode {
        site: e.site.clone(),
        node: e.node.clone(),
        epoch: e.epoch.to_string(),
        id: e.id.to_string(),
        state: if e.closing == Closing::Open { "open" } else { "closed" },
        end_told: (e.closing != Closing::Open).then_some(e.closing == Closing::Told),
        phase: wire::phase::word(e.phase),
        onset_ms: e.onset_at,
        opened_ms: e.opened_at,
        updated_ms: e.updated_at,
        closed_ms: e.closed_at,
        severity: words::severity_word(e.severity),
        group: Group::word(e.group),
        shape: Shape::word(e.shape),
        score: e.score,
        confidence: e.confidence,
        recurred: e.recurred,
        moved: e.moved,
        sentence: e.body.as_ref().map(|b| explain::sentence(b).to_string()).unwrap_or_default(),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct EpisodeInFull {
    #[serde(flatten)]
    episode: Episode,
    contributors: Vec<Contributor>,
    culprit: Option<Culprit>,
    without: Option<Value>,
    near: Vec<Value>,
    model: Option<String>,
    spark: Option<Spark>,
    phases: Vec<Phase>,
}

#[derive(Debug, Serialize)]
struct Contributor {
    series: String,
    unit: &'static str,
    actual: f32,
    expected: f32,
    low: f32,
    high: f32,
    share: u8,
}

#[derive(Debug, Serialize)]
struct Culprit {
    name: String,
    pid: Option<u32>,
    count: u16,
    amount: f32,
    unit: &'static str,
}

#[derive(Debug, Serialize)]
struct Spark {
    series: String,
    unit: &'static str,
    step_ms: u32,
    onset_ms: u64,
    expected: f32,
    low: f32,
    high: f32,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    at_ms: u64,
    value: Option<f32>,
}

#[derive(Debug, Serialize)]
struct Phase {
    seq: u64,
    phase: &'static str,
    at_ms: u64,
    received_ms: u64,
    severity: &'static str,
    score: f32,
    moved: u16,
    sentence: String,
}

pub(super) fn episode_in_full(e: &store::Episode, events: &[store::EpisodeEvent]) -> EpisodeInFull {
    let body = e.body.as_ref();
    // A later event may leave out what an earlier one told.
    let culprit = events.iter().rev().find_map(|event| event.body.culprit.as_ref());
    EpisodeInFull {
        episode: episode(e),
        contributors: body.map(|b| b.contributors.iter().map(contributor).collect()).unwrap_or_default(),
        culprit: culprit.or_else(|| body?.culprit.as_ref()).map(|c| Culprit {
            name: c.name.as_str().to_owned(),
            pid: (c.pid > 0).then_some(c.pid),
            count: c.count,
            amount: c.amount,
            unit: body
                .and_then(|b| b.contributors.first())
                .map_or("", |c| explain::culprit_unit(c.key.metric())),
        }),
        without: body.and_then(|b| b.without).map(
            |w| json!({"omitted": wire::omitted::word(w.omitted), "score": w.score, "without": w.without}),
        ),
        near: body
            .map_or(&[][..], |b| &b.near)
            .iter()
            .map(|n| json!({"kind": n.kind.as_str(), "before_ms": n.before_ms, "text": n.text.as_str()}))
            .collect(),
        model: body.and_then(|b| model(&b.model, "")).map(|m| m.hash),
        spark: events.iter().rev().find_map(spark),
        phases: events.iter().map(phase).collect(),
    }
}

fn contributor(c: &wire::Contributor) -> Contributor {
    Contributor {
        series: c.key.to_string(),
        unit: c.key.metric().unit,
        actual: c.actual,
        expected: c.expected,
        low: c.low,
        high: c.high,
        share: c.share,
    }
}

fn spark(event: &store::EpisodeEvent) -> Option<Spark> {
    let spark = event.body.spark.as_ref()?;
    let first = event.body.contributors.first()?;
    let last = spark.points.len().checked_sub(1)?;
    let points = spark.points.iter().enumerate().map(|(i, byte)| Point {
        at_ms: event.at.saturating_sub((last - i) as u64 * u64::from(spark.step_ms)),
        value: (*byte < 255).then(|| spark.low + (spark.high - spark.low) * f32::from(*byte) / 254.0),
    });
    Some(Spark {
        series: first.key.to_string(),
        unit: first.key.metric().unit,
        step_ms: spark.step_ms,
        onset_ms: event.at.saturating_sub(spark.onset_ms.into()),
        expected: first.expected,
        low: first.low,
        high: first.high,
        points: points.collect(),
    })
}

fn phase(event: &store::EpisodeEvent) -> Phase {
    Phase {
        seq: event.seq,
        phase: wire::phase::word(event.body.phase),
        at_ms: event.at,
        received_ms: event.received_at,
        severity: words::severity_word(event.severity),
        score: event.body.score,
        moved: event.body.moved,
        sentence: explain::sentence(&event.body).to_string(),
    }
}
