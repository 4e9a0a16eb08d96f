//! What explains a burst of errors of a stream: which message, word or value of a field stands in more of them than it did
//! before.
//!
//! As in the analysis of log rates that people know from large installations: for each value the share among the errors of the burst is
//! compared with its share among those before, by the likelihood ratio of the two (G, Dunning 1993). Words are those of
//! templates, and values are kept as they may be shown, so nothing that is masked can come out.

use std::collections::BTreeMap;

use fieldmouse_core::logs::rate::Change;
use fieldmouse_core::logs::severity::Class;

use super::find::{ONCE, text};
use super::ledger::Entry;
use super::tell::{Finding, Kind, span};
use super::watch::Watch;

/// A value of a field, and how many errors had it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Value<T> {
    pub(super) is: T,
    /// In a usual hour.
    pub(super) before: f32,
    /// In the burst.
    pub(super) during: f32,
}

/// A value that explains a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cause<T> {
    pub(super) is: T,
    /// The share of the errors that have it.
    pub(super) share: f32,
    /// How unlikely that is by chance: a likelihood ratio, chi-squared with one degree of freedom.
    pub(super) ratio: f32,
}

/// A chance of one in ten thousand.
const SIGNIFICANT: f32 = 15.1;
/// What less than so many have explains little.
const SHARE: f32 = 0.5;

/// The value that explains most. The first of several that explain alike.
pub(super) fn cause<T: Copy>(values: &[Value<T>], before: f32, during: f32) -> Option<Cause<T>> {
    let mut best: Option<Cause<T>> = None;
    for value in values {
        let share = value.during / during.max(1e-3);
        let usual = (value.before + 0.5) / (before + 1.0);
        if share < SHARE || share <= usual {
            continue;
        }
        let ratio = 2.0 * during * (part(share, usual) + part(1.0 - share, 1.0 - usual));
        if ratio >= SIGNIFICANT && best.as_ref().is_none_or(|b| ratio > 1.02 * b.ratio) {
            best = Some(Cause { is: value.is, share: share.min(1.0), ratio });
        }
    }
    best
}

fn part(share: f32, usual: f32) -> f32 {
    if share > 0.0 { share * (share / usual.max(1e-6)).ln() } else { 0.0 }
}

/// What errors may have in common.
#[derive(Debug, Clone, Copy)]
enum Is<'a> {
    Message(u32),
    Word(&'a str),
}

impl Watch {
    /// What explains the errors of the last minutes. `None`: what was told a moment ago.
    pub(super) fn burst(&mut self, stream: u8, change: &Change) -> Option<Finding> {
        let at = self.at;
        let is_of = |e: &Entry| {
            e.stream == stream && e.class == Class::Error && (e.lately(at) >= 0.5 || e.rate.usual() > 0.0)
        };
        let errors: BTreeMap<u32, &Entry> = self.ledger.iter().filter(|(_, e)| is_of(e)).collect();
        let counts = |e: &Entry| (60.0 * e.rate.usual(), e.lately(at));
        let (before, during) =
            errors.values().map(|e| counts(e)).fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        let (mut values, mut words) = (Vec::new(), BTreeMap::new());
        for (template, entry) in self.miner.templates().filter_map(|t| Some((t, *errors.get(&t.id)?))) {
            let (before, during) = counts(entry);
            values.push(Value { is: Is::Message(template.id), before, during });
            for (hash, word) in template.distinct_words() {
                let of = words.entry(hash).or_insert(Value { is: Is::Word(word), before: 0.0, during: 0.0 });
                (of.before, of.during) = (of.before + before, of.during + during);
            }
        }
        values.extend(words.into_values());
        let cause = cause(&values, before, during);
        let most =
            errors.iter().max_by(|a, b| a.1.lately(at).total_cmp(&b.1.lately(at))).map(|(id, _)| *id)?;
        let of_field = self.fields.as_ref().and_then(|fields| fields.cause(stream, at));
        let (id, said) = match (of_field, cause) {
            // It says more than what they say, which the example shows.
            (Some(Cause { is, share, .. }), cause) => {
                let id = match cause {
                    Some(Cause { is: Is::Message(id), .. }) => id,
                    _ => most,
                };
                (id, format!("{:.0} % of them with `{is}`", 100.0 * share))
            }
            (None, Some(Cause { is: Is::Message(id), share, .. })) => {
                (id, format!("{:.0} % of them this", 100.0 * share))
            }
            (None, Some(Cause { is: Is::Word(word), share, .. })) => {
                (most, format!("{:.0} % of them with `{word}`", 100.0 * share))
            }
            // As ever, but more of it.
            (None, None) => {
                let share = errors.get(&most).map_or(0.0, |e| e.lately(at)) / during.max(1e-3);
                let said = if share > 0.8 {
                    format!("{:.0} % of them this, as ever", 100.0 * share)
                } else {
                    "of many kinds".to_owned()
                };
                (most, said)
            }
        };
        let usual = change.from * f32::from(change.minutes);
        let minutes = span(60 * u32::from(change.minutes));
        let what = format!("{} errors in {minutes} instead of {usual:.0}, {said}", change.count);
        let example = text(&self.miner, id).to_owned();
        let told: Vec<u32> =
            errors.iter().filter(|(_, e)| e.lately(at) * 10.0 >= during).map(|(id, _)| *id).collect();
        let is_told = errors.get(&id).is_some_and(|e| e.is_told(at, ONCE));
        for id in told {
            self.ledger.get_mut(id).into_iter().for_each(|e| e.told = at);
        }
        let (kind, class, for_s) = (Kind::Burst, Class::Error, 60 * u32::from(change.minutes));
        let (lines, weight) = (change.count, change.count as f32);
        (!is_told).then_some(Finding {
            kind,
            stream,
            id: Some(id),
            class,
            for_s,
            lines,
            weight,
            what,
            example,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_represented_explains() {
        let check = |values: &[(&'static str, f32, f32)], want: Option<&str>| {
            let values: Vec<_> = values
                .iter()
                .map(|(is, before, during)| Value { is: *is, before: *before, during: *during })
                .collect();
            assert_eq!(cause(&values, 60.0, 100.0).map(|c| c.is), want);
        };
        check(&[("disk", 3.0, 90.0), ("net", 40.0, 10.0)], Some("disk"));
        // It always had most of them.
        check(&[("disk", 55.0, 90.0)], None);
        // Everything rose alike.
        check(&[("disk", 30.0, 50.0), ("net", 30.0, 50.0)], None);
        // Of two that say the same, the first.
        check(&[("message", 0.0, 95.0), ("word", 0.0, 95.0)], Some("message"));
        // A word that two messages share says more than either.
        check(&[("one", 0.0, 55.0), ("two", 0.0, 45.0), ("word", 0.0, 100.0)], Some("word"));
        check(&[], None);
        assert_eq!(cause(&[Value { is: (), before: 0.0, during: 0.0 }], 0.0, 0.0), None);
    }
}
