//! Signals that came together again and again (temporal grouping, as market-basket analysis has it): how often a pair was
//! seen within the reach of each other, and how often each without the other. <https://en.wikipedia.org/wiki/Association_rule_learning>

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::signal::{Role, Signal};

/// So often a pair must have come together.
pub const OFTEN: u32 = 3;
/// And in such a share of the times that the rarer of the two came.
pub const SURE: f64 = 0.7;
/// Pairs that are counted at most; those of the latest time go first.
const MOST: usize = 10_000;
/// Signals that come together with more than so many others say nothing of any of them.
const CROWD: usize = 16;

/// A pair that came together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The two, `entity pattern` each, in the order of their names.
    pub names: (String, String),
    /// How often they came together.
    pub count: u32,
    /// The share of the times that the rarer of the two came.
    pub sure: f64,
    /// When they came together last, in milliseconds since 1970.
    pub last_ms: u64,
}

/// What is the same at another time.
#[must_use]
pub fn name(signal: &Signal) -> String {
    format!("{} {}", signal.entity, signal.pattern)
}

/// Pairs of different entities that came together often and surely.
#[must_use]
pub fn pairs(history: &[Signal], reach_ms: u64) -> Vec<Pair> {
    let mut symptoms: Vec<(u64, String)> =
        history.iter().filter(|s| s.role == Role::Symptom).map(|s| (s.onset_ms, name(s))).collect();
    symptoms.sort();
    // The same again within the reach is the same time.
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    symptoms.retain(|(at, name)| {
        let is_new = last.get(name).is_none_or(|before| at - before > reach_ms);
        last.insert(name.clone(), *at);
        is_new
    });
    let mut alone: BTreeMap<&str, u32> = BTreeMap::new();
    let mut both: BTreeMap<(&str, &str), (u32, u64)> = BTreeMap::new();
    for (i, (at, name)) in symptoms.iter().enumerate() {
        *alone.entry(name).or_default() += 1;
        let near: Vec<&str> = symptoms[i + 1..]
            .iter()
            .take_while(|(later, _)| later - at <= reach_ms)
            .take(CROWD + 1)
            .map(|(_, other)| other.as_str())
            .filter(|other| entity(other) != entity(name))
            .collect();
        if near.len() > CROWD {
            continue;
        }
        for other in near {
            let pair = if name.as_str() < other { (name.as_str(), other) } else { (other, name.as_str()) };
            if both.len() < MOST || both.contains_key(&pair) {
                let seen = both.entry(pair).or_default();
                *seen = (seen.0 + 1, (*at).max(seen.1));
            }
        }
    }
    both.into_iter()
        .filter_map(|((a, b), (count, last_ms))| {
            let rarer = alone.get(a)?.min(alone.get(b)?);
            // As JSON gives it back.
            let sure = (100.0 * f64::from(count) / f64::from(*rarer)).round() / 100.0;
            let names = (a.to_owned(), b.to_owned());
            (count >= OFTEN && sure >= SURE).then_some(Pair { names, count, sure, last_ms })
        })
        .collect()
}

fn entity(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}
