//! Bodies of events, from JSON to bytes.

use std::fmt::Debug;

use fieldmouse_core::metric::Group;
use fieldmouse_core::quality::Verdict;
use fieldmouse_core::series::{NoData, SeriesKey};
use fieldmouse_core::shape::Shape;
use fieldmouse_core::wire::{self, Kind};
use heapless::String as Short;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::line::Number;

/// The bytes of a body, and in which revision they are.
pub(super) fn write(kind: Option<Kind>, rev: u8, body: Value) -> Result<(u8, Vec<u8>), String> {
    if let Some(bytes) = body.get("bytes").and_then(Value::as_str) {
        // What `decode` could not read, or a kind from the future.
        return Ok((rev, unhex(bytes)?));
    }
    let Some(kind) = kind else { return Err("bytes: is missing, and the kind is unknown here".to_owned()) };
    let bytes = match kind {
        Kind::Status => bytes(&read::<Status>(body)?.wire()?)?,
        Kind::Birth => read::<Birth>(body)?.bytes()?,
        Kind::Beat => return beat(body),
        Kind::Ack => return read::<Ack>(body)?.bytes(),
        Kind::Ask => bytes(&read::<wire::Ask>(body)?)?,
        Kind::Piece => {
            return Err(
                "bytes: is not hexadecimal; of pieces of capsules JSON has the length alone".to_owned()
            );
        }
        Kind::Episode => bytes(&read::<Episode>(body)?.wire()?)?,
        Kind::Fact => bytes(&read::<wire::Fact>(body)?)?,
        Kind::Trouble => bytes(&read::<Trouble>(body)?.wire()?)?,
        Kind::Loss => bytes(&read::<Loss>(body)?.wire()?)?,
        Kind::ClockSet => bytes(&read::<ClockSet>(body)?.wire()?)?,
        Kind::Forecast => bytes(&read::<Forecast>(body)?.wire()?)?,
    };
    Ok((kind.rev(), bytes))
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(body).map_err(|e| e.to_string())
}

fn bytes<T: Serialize + Debug>(body: &T) -> Result<Vec<u8>, String> {
    let mut to = vec![0; wire::MAX_PAYLOAD];
    let len = wire::write_body(body, &mut to).ok_or("is larger than a message")?;
    to.truncate(len);
    Ok(to)
}

/// The number for which `words` has this word.
pub(super) fn number(key: &str, word: &str, words: fn(u8) -> &'static str) -> Result<u8, String> {
    let mut numbers = 0..=u8::MAX;
    numbers.find(|n| words(*n) == word).ok_or_else(|| format!("{key}: `{word}` is unknown"))
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("bytes: `{text}` is not hexadecimal");
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).map_err(|_| wrong())).collect()
}

/// The first bytes of a hash.
fn model(text: &str) -> Result<[u8; 8], String> {
    unhex(text)?.try_into().map_err(|_| format!("model: `{text}` is not 8 bytes in hexadecimal"))
}

/// JSON has no word for what is no number.
fn float<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f32::NAN))
}

#[derive(Deserialize)]
struct Status {
    state: String,
    version: Short<24>,
}

impl Status {
    fn wire(self) -> Result<wire::Status, String> {
        Ok(wire::Status { state: number("state", &self.state, wire::state::word)?, version: self.version })
    }
}

#[derive(Deserialize)]
struct Birth {
    version: Short<24>,
    platform: Short<24>,
    os: Short<48>,
    host: Short<64>,
    cpus: u16,
    memory: u64,
    model: String,
    model_name: Short<48>,
    tick_ms: u32,
    labels: Short<128>,
    series: Vec<String>,
    edges: Vec<wire::Edge>,
}

impl Birth {
    fn bytes(self) -> Result<Vec<u8>, String> {
        let birth = wire::Birth {
            version: self.version,
            platform: self.platform,
            os: self.os,
            host: self.host,
            cpus: self.cpus,
            memory: self.memory,
            model: model(&self.model)?,
            model_name: self.model_name,
            tick_ms: self.tick_ms,
            labels: self.labels,
            series: u16::try_from(self.series.len()).map_err(|_| "series: has more than 65535 entries")?,
        };
        let mut all = bytes(&birth)?;
        for name in &self.series {
            all.extend(bytes(&SeriesKey::named(name))?);
        }
        let before = all.len();
        for edge in &self.edges {
            all.extend(bytes(edge)?);
        }
        let edges = u16::try_from(all.len() - before).map_err(|_| "edges: are more than fit a birth")?;
        all.extend(edges.to_le_bytes());
        Ok(all)
    }
}

/// Revision 1 has no alarms.
fn beat(mut body: Value) -> Result<(u8, Vec<u8>), String> {
    let alarms = body.get_mut("alarms").map_or(Value::Null, Value::take);
    let mut all = bytes(&read::<wire::Beat>(body)?)?;
    if alarms.is_null() {
        return Ok((1, all));
    }
    all.extend(bytes(&read::<wire::Alarms>(alarms)?)?);
    Ok((2, all))
}

#[derive(Deserialize)]
struct Ack {
    epoch: Number,
    seq: u64,
    collector: Option<Short<{ wire::NAME }>>,
}

impl Ack {
    /// Revision 1 names nobody.
    fn bytes(self) -> Result<(u8, Vec<u8>), String> {
        let ack = wire::Ack { epoch: self.epoch.read().map_err(|e| format!("epoch: {e}"))?, seq: self.seq };
        Ok(match self.collector {
            Some(collector) => (2, bytes(&wire::AckFrom { ack, collector })?),
            None => (1, bytes(&ack)?),
        })
    }
}

#[derive(Deserialize)]
struct Contributor {
    series: String,
    #[serde(deserialize_with = "float")]
    actual: f32,
    #[serde(deserialize_with = "float")]
    expected: f32,
    #[serde(deserialize_with = "float")]
    low: f32,
    #[serde(deserialize_with = "float")]
    high: f32,
    share: u8,
}

#[derive(Deserialize)]
struct Without {
    omitted: String,
    #[serde(deserialize_with = "float")]
    score: f32,
    #[serde(deserialize_with = "float")]
    without: f32,
}

#[derive(Deserialize)]
struct Episode {
    id: u64,
    phase: String,
    since_ms: u32,
    lasted_ms: u32,
    shape: String,
    group: String,
    #[serde(deserialize_with = "float")]
    score: f32,
    confidence: u8,
    recurred: u16,
    moved: u16,
    contributors: Vec<Contributor>,
    culprit: Option<wire::Culprit>,
    model: String,
    spark: Option<wire::Spark>,
    #[serde(default)]
    without: Option<Without>,
    #[serde(default)]
    near: heapless::Vec<wire::Near, { wire::NEAR }>,
}

impl Episode {
    fn wire(self) -> Result<wire::Episode, String> {
        let mut contributors = heapless::Vec::new();
        for c in self.contributors {
            let key = SeriesKey::named(&c.series);
            let (actual, expected, low, high, share) = (c.actual, c.expected, c.low, c.high, c.share);
            let c = wire::Contributor { key, actual, expected, low, high, share };
            contributors
                .push(c)
                .map_err(|_| format!("contributors: has more than {}", wire::CONTRIBUTORS))?;
        }
        let without = self.without.map(|w| {
            let omitted = number("without.omitted", &w.omitted, wire::omitted::word)?;
            Ok::<_, String>(wire::Without { omitted, score: w.score, without: w.without })
        });
        Ok(wire::Episode {
            id: self.id,
            phase: number("phase", &self.phase, wire::phase::word)?,
            since_ms: self.since_ms,
            lasted_ms: self.lasted_ms,
            shape: number("shape", &self.shape, Shape::word)?,
            group: number("group", &self.group, Group::word)?,
            score: self.score,
            confidence: self.confidence,
            recurred: self.recurred,
            moved: self.moved,
            contributors,
            culprit: self.culprit,
            model: model(&self.model)?,
            spark: self.spark,
            without: without.transpose()?,
            near: self.near,
        })
    }
}

#[derive(Deserialize)]
struct Trouble {
    source: Short<16>,
    series: Option<String>,
    verdict: String,
    #[serde(default)]
    why: Option<String>,
    text: Short<96>,
}

impl Trouble {
    fn wire(self) -> Result<wire::Trouble, String> {
        let words = |n| NoData::of(n).map_or("", NoData::word);
        Ok(wire::Trouble {
            source: self.source,
            series: self.series.as_deref().map(SeriesKey::named),
            verdict: number("verdict", &self.verdict, Verdict::word)?,
            why: self.why.map_or(Ok(0), |why| number("why", &why, words))?,
            text: self.text,
        })
    }
}

#[derive(Deserialize)]
struct Loss {
    first: u64,
    count: u64,
    reason: String,
}

impl Loss {
    fn wire(self) -> Result<wire::Loss, String> {
        let reason = number("reason", &self.reason, wire::loss::word)?;
        Ok(wire::Loss { first: self.first, count: self.count, reason })
    }
}

#[derive(Deserialize)]
struct ClockSet {
    epoch: Number,
    first: u64,
    last: u64,
    boot_ms: u64,
}

impl ClockSet {
    fn wire(self) -> Result<wire::ClockSet, String> {
        let epoch = self.epoch.read().map_err(|e| format!("epoch: {e}"))?;
        Ok(wire::ClockSet { epoch, first: self.first, last: self.last, boot_ms: self.boot_ms })
    }
}

#[derive(Deserialize)]
struct Forecast {
    series: String,
    phase: String,
    #[serde(deserialize_with = "float")]
    limit: f32,
    #[serde(deserialize_with = "float")]
    level: f32,
    #[serde(deserialize_with = "float")]
    per_day: f32,
    #[serde(deserialize_with = "float")]
    whole: f32,
    expected_s: u32,
    early_s: u32,
    late_s: Option<u32>,
}

impl Forecast {
    fn wire(self) -> Result<wire::Forecast, String> {
        Ok(wire::Forecast {
            key: SeriesKey::named(&self.series),
            phase: number("phase", &self.phase, wire::phase::word)?,
            limit: self.limit,
            level: self.level,
            per_day: self.per_day,
            whole: self.whole,
            expected_s: self.expected_s,
            early_s: self.early_s,
            late_s: self.late_s,
        })
    }
}
