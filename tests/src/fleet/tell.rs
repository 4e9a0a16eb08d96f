//! What devices have to tell, before anything is said of how it travels.

use fieldmouse_core::series::cut;
use fieldmouse_core::shape::Shape;
use fieldmouse_core::wire::{self, phase};

use super::layout::Layout;
use super::signs::{self, Sign};
use crate::sim::rng::Rng;

/// What is told.
#[derive(Debug, Clone)]
pub enum Body {
    /// An anomaly.
    Episode(Box<wire::Episode>),
    /// Something happened.
    Fact(Box<wire::Fact>),
    /// A source or a series fails or works again.
    Trouble(wire::Trouble),
    /// A limit will be reached.
    Forecast(wire::Forecast),
}

/// One thing that a device tells.
#[derive(Debug, Clone)]
pub struct Telling {
    /// Which device.
    pub node: usize,
    /// When, in milliseconds since 1970, by a clock that is right.
    pub at: u64,
    /// OpenTelemetry severity number.
    pub severity: u8,
    /// What.
    pub body: Body,
    /// Which fault it comes of.
    pub fault: Option<usize>,
}

/// How a device goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing more is heard of it; its broker finds out when it has waited long enough.
    Silence,
    /// Its connection is closed by the network, which the broker sees.
    Cut,
    /// It says goodbye, and starts anew.
    Restart,
    /// Its power fails: nothing is heard of it, and what it would have told was never said. It starts anew.
    Power,
}

/// A time in which a device cannot be reached.
#[derive(Debug, Clone)]
pub struct Absence {
    /// Which device.
    pub node: usize,
    /// From when …
    pub from: u64,
    /// … to when.
    pub to: u64,
    /// How it goes.
    pub way: Way,
    /// Which fault it comes of.
    pub fault: Option<usize>,
}

/// All that happens, in no order.
#[derive(Debug, Default)]
pub struct Script {
    /// What devices tell.
    pub tellings: Vec<Telling>,
    /// When they are away.
    pub absences: Vec<Absence>,
    episodes: u64,
    /// Facts by device, for what episodes name as near.
    facts: Vec<(usize, u64, wire::Fact)>,
}

/// Whoever writes into the script: chance, and which fault it speaks of.
#[derive(Debug)]
pub struct Story<'a> {
    /// The devices.
    pub layout: &'a Layout,
    /// What is written.
    pub script: &'a mut Script,
    /// Chance.
    pub rng: Rng,
    /// Which fault this is the story of.
    pub fault: Option<usize>,
}

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

impl Story<'_> {
    /// So many seconds, more or less, in milliseconds.
    pub fn seconds(&mut self, from: u64, to: u64) -> u64 {
        self.rng.between(from * SECOND, to * SECOND)
    }

    fn tell(&mut self, node: usize, at: u64, severity: u8, body: Body) {
        self.script.tellings.push(Telling { node, at, severity, body, fault: self.fault });
    }

    /// An anomaly from `onset` to `end`. Agents see it late, and do not know its onset to the second.
    pub fn episode(&mut self, node: usize, signs: &[Sign], onset: u64, end: u64, culprit: Option<&str>) {
        self.episodes(node, signs, &[(onset, end)], culprit);
    }

    /// An anomaly that comes back.
    pub fn episodes(&mut self, node: usize, signs: &[Sign], spans: &[(u64, u64)], culprit: Option<&str>) {
        self.script.episodes += 1;
        let id = self.script.episodes;
        let score = 0.5 + self.rng.below(450) as f32 / 1000.0;
        for (again, (onset, end)) in (0_u16..).zip(spans) {
            let late = match signs[0].shape {
                Shape::Ramp => self.seconds(15, 90),
                Shape::Frozen => self.seconds(30, 120),
                _ => self.seconds(5, 40),
            };
            let (opened, onset) = (onset + late, onset + self.rng.between(0, late * 2 / 3));
            let end = (*end).max(opened + 5 * SECOND);
            let near = self.near(node, onset);
            let mut say = |phase: u8, at: u64, lasted_ms: u64, signs: &[Sign]| {
                let told = signs::Told {
                    id,
                    phase,
                    since_ms: at - onset,
                    lasted_ms,
                    recurred: again,
                    signs,
                    culprit,
                    near: near.clone(),
                    score,
                };
                let (severity, body) = signs::episode(told);
                self.tell(node, at, severity, Body::Episode(Box::new(body)));
            };
            say(
                if again == 0 { phase::OPENED } else { phase::REOPENED },
                opened,
                opened - onset,
                &signs[..1],
            );
            if end > opened + 30 * SECOND && signs.len() > 1 {
                let at = opened + 20 * SECOND;
                say(phase::UPDATED, at, at - onset, signs);
            }
            say(phase::CLOSED, end + 45 * SECOND, end - onset, signs);
        }
    }

    /// An anomaly that is told within seconds, and over as fast.
    pub fn brief(&mut self, node: usize, signs: &[Sign], onset: u64, end: u64) {
        self.script.episodes += 1;
        let id = self.script.episodes;
        let opened = onset + self.seconds(3, 9);
        for (phase, at) in [(phase::OPENED, opened), (phase::CLOSED, end.max(opened) + self.seconds(20, 35))]
        {
            let (since_ms, near) = (at - onset, heapless::Vec::new());
            let told = signs::Told {
                id,
                phase,
                since_ms,
                lasted_ms: end - onset,
                recurred: 0,
                signs,
                culprit: None,
                near,
                score: 0.8,
            };
            let (severity, body) = signs::episode(told);
            self.tell(node, at, severity, Body::Episode(Box::new(body)));
        }
    }

    /// A source that gives no data once, and is not heard of again today.
    pub fn stumble(&mut self, node: usize, at: u64, source: &str, text: &str) {
        let bad = wire::Trouble { source: cut(source), series: None, verdict: 1, why: 2, text: cut(text) };
        self.tell(node, at, 13, Body::Trouble(bad));
    }

    fn near(&self, node: usize, onset: u64) -> heapless::Vec<wire::Near, { wire::NEAR }> {
        let facts = self.script.facts.iter().rev().filter(|(on, at, _)| {
            *on == node && *at <= onset + 5 * SECOND && onset.saturating_sub(*at) < 20 * MINUTE
        });
        facts
            .take(wire::NEAR)
            .map(|(_, at, fact)| wire::Near {
                kind: fact.kind.clone(),
                before_ms: i32::try_from(onset.cast_signed() - at.cast_signed()).unwrap_or(0),
                text: cut(&fact.text),
            })
            .collect()
    }

    /// Something happened: its kind, what it is about, in words, and how grave.
    pub fn fact(&mut self, node: usize, at: u64, severity: u8, (kind, about, text): (&str, &str, &str)) {
        let detail = wire::Detail { about: cut(about), since_ms: 0, count: 1, example: cut("") };
        let fact = wire::Fact { detail: Some(detail), ..wire::Fact::new(kind, text) };
        self.script.facts.push((node, at, fact.clone()));
        self.tell(node, at, severity, Body::Fact(Box::new(fact)));
    }

    /// A log speaks of trouble: which stream, what it says, how many times.
    pub fn burst(&mut self, node: usize, at: u64, stream: &str, says: &str) {
        let count = self.rng.between(40, 900);
        let text = format!("{stream}: {count} errors in 2 min instead of 1, {says}");
        let about = format!("{:08x}", crate::sim::rng::hash(7, says.as_bytes()) as u32);
        self.fact(node, at, 17, ("log-burst", &about, &text));
    }

    /// A source stops giving data, and gives it again.
    pub fn trouble(&mut self, node: usize, from: u64, to: u64, source: &str, text: &str) {
        let bad = wire::Trouble { source: cut(source), series: None, verdict: 1, why: 2, text: cut(text) };
        let good = wire::Trouble { verdict: 0, why: 0, text: cut("answers again"), ..bad.clone() };
        self.tell(node, from + 5 * SECOND, 13, Body::Trouble(bad));
        self.tell(node, to + 5 * SECOND, 9, Body::Trouble(good));
    }

    /// A share will be used up: told so long before `full`.
    pub fn forecast(&mut self, node: usize, sign: &Sign, at: u64, full: u64, phase: u8) {
        let left = u32::try_from(full.saturating_sub(at) / SECOND).unwrap_or(u32::MAX);
        let severity = match (phase, left) {
            (phase::CLOSED, _) => 9,
            (_, 0..3600) => 17,
            _ => 13,
        };
        let forecast = wire::Forecast {
            key: sign.key.clone(),
            phase,
            limit: 1.0,
            level: 0.9,
            per_day: 8640.0 / left.max(1) as f32,
            whole: 3.2e10,
            expected_s: left,
            early_s: left / 2,
            late_s: Some(left.saturating_mul(2)),
        };
        self.tell(node, at, severity, Body::Forecast(forecast));
    }

    /// A device cannot be reached for a while.
    pub fn away(&mut self, node: usize, from: u64, to: u64, way: Way) {
        self.script.absences.push(Absence { node, from, to, way, fault: self.fault });
        if matches!(way, Way::Restart | Way::Power) {
            let (severity, how) = match way {
                Way::Restart => (9, "after it had been shut down in good order"),
                _ => (13, "and had not been shut down in good order"),
            };
            let at = to + self.seconds(5, 60);
            self.fact(node, at, severity, ("boot", "boot", &format!("the machine was started again, {how}")));
        }
    }
}
