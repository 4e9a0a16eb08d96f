//! One open episode: who belongs to it, which of them explains it best, and what is told of it.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::CODES;
use crate::judge::{self, Judgement, Series};
use crate::metric::{Group, Role};
use crate::quality::Verdict;
use crate::series::{Millis, SeriesKey};
use crate::shape::{self, Shape};
use crate::wire::{self, phase};

/// Series remembered per episode.
const MEMBERS: usize = 24;

/// Another explanation must be so much better to take the place of the one that was told.
const STEADY: f32 = 1.25;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) series: usize,
    pub(super) peak: f32,
    pub(super) actual: f32,
    pub(super) expected: (f32, f32, f32),
    /// It began when the episode was well under way: a consequence, whatever its size.
    pub(super) late: bool,
    /// Its metric lets it open an episode, or a limit that somebody set does.
    pub(super) headline: bool,
    /// It was beyond a limit that somebody set, which is what was expected of it.
    pub(super) beyond: bool,
    /// Its parts in what all series said together, added up over the ticks.
    pub(super) parts: f32,
}

impl Member {
    /// How well it explains an anomaly that began `together`, or that one series began.
    fn rank(&self, together: bool, keys: &[SeriesKey]) -> f32 {
        if together { self.parts } else { rank(&keys[self.series], self.peak) }
    }

    /// If the series is beyond a limit, that is what there is to say of it.
    pub(super) fn note_limit(&mut self, now: &Judgement) {
        if let Some(limit) = now.beyond {
            (self.headline, self.beyond, self.expected.0) = (true, true, limit);
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) id: u64,
    pub(super) onset: Millis,
    pub(super) late: Millis,
    pub(super) joined: Millis,
    pub(super) hot: Millis,
    pub(super) told: Millis,
    pub(super) updates: u32,
    pub(super) recurred: u16,
    pub(super) muted: bool,
    /// How long what it repeats has ever lasted.
    pub(super) usual: Millis,
    pub(super) score: f32,
    pub(super) members: Vec<Member, MEMBERS>,
    pub(super) group: Group,
    /// It began on the word of the whole device: its series are ranked by their parts in that.
    pub(super) together: bool,
    /// Metrics of the habit that it repeats.
    pub(super) known: Vec<u16, CODES>,
    /// What would be without a part of it, as was told last.
    pub(super) without: Option<wire::Without>,
}

impl Open {
    /// Whether the series belongs to it.
    pub(super) fn holds(&self, i: usize) -> bool {
        self.members.iter().any(|m| m.series == i)
    }

    /// Whether the series may belong to it: a sensor that stands still is at fault itself, and an episode that is kept
    /// quiet must not hide what it was never about.
    pub(super) fn may_hold(&self, key: &SeriesKey, series: &Series) -> bool {
        let is_kin = key.metric().group == self.group;
        if series.now.verdict == Verdict::Frozen {
            return is_kin;
        }
        !self.muted || self.known.contains(&key.code) || (self.known.is_empty() && is_kin)
    }

    /// Joins what is moving, began near the episode's onset, and is nobody else's.
    pub(super) fn follow(
        &mut self,
        others: &[Open],
        more: &[Open],
        near_ms: Millis,
        keys: &[SeriesKey],
        series: &[Series],
    ) {
        for i in 0..series.len().min(keys.len()) {
            let near = series[i].now.since.is_some_and(|began| began.abs_diff(self.onset) <= near_ms);
            let may = judge::may_open(keys[i].metric(), &series[i].now);
            if may && !self.may_hold(&keys[i], &series[i]) {
                continue;
            }
            if series[i].now.warm && near && !self.holds(i) && !others.iter().chain(more).any(|e| e.holds(i))
            {
                self.join(i, keys, series);
            }
        }
    }

    /// Takes a series in. If there is no room, what says least stays outside.
    pub(super) fn join(&mut self, i: usize, keys: &[SeriesKey], series: &[Series]) {
        let now = &series[i].now;
        let late = !self.members.is_empty() && now.since.is_some_and(|began| began > self.late);
        let (peak, actual) = (now.deviation, now.value.unwrap_or(0.0));
        let headline = keys[i].metric().role == Role::Headline;
        let mut member = Member {
            series: i,
            peak,
            actual,
            expected: now.expected,
            late,
            headline,
            beyond: false,
            parts: now.part,
        };
        member.note_limit(now);
        if self.members.is_full() {
            let says = |m: &Member| self.rank(m, keys);
            let order = |a: &usize, b: &usize| says(&self.members[*a]).total_cmp(&says(&self.members[*b]));
            let least = (0..self.members.len()).min_by(order);
            let at = least.filter(|at| says(&self.members[*at]) < says(&member));
            if let Some(at) = at {
                self.members[at] = member;
            }
        } else {
            let _pushed = self.members.push(member);
        }
        self.score = self.score.max(now.score);
    }

    /// Puts the best explanation first; headlines come before symptoms.
    pub(super) fn settle(&mut self, keys: &[SeriesKey]) {
        let told = self.members.first().map(|m| m.series);
        let together = self.together;
        let value = |m: &Member| {
            let steady = if told == Some(m.series) { STEADY } else { 1.0 };
            (m.headline && !m.late, steady * m.rank(together, keys))
        };
        self.members.sort_unstable_by(|a, b| {
            let ((ha, ra), (hb, rb)) = (value(a), value(b));
            hb.cmp(&ha).then(rb.total_cmp(&ra)).then(a.series.cmp(&b.series))
        });
        if let Some(lead) = self.members.first() {
            self.group = keys[lead.series].metric().group;
        }
    }

    fn rank(&self, m: &Member, keys: &[SeriesKey]) -> f32 {
        m.rank(self.together, keys)
    }

    /// The parts of the device that had a good share in it.
    pub(super) fn groups(&self, keys: &[SeriesKey]) -> u16 {
        let had_part = self.had_part(keys);
        had_part.fold(bit(self.group), |bits, m| bits | bit(keys[m.series].metric().group))
    }

    /// The metrics that had, as many as are remembered.
    pub(super) fn codes(&self, keys: &[SeriesKey]) -> Vec<u16, CODES> {
        let mut codes: Vec<u16, CODES> =
            self.members.first().map(|m| keys[m.series].code).into_iter().collect();
        for m in self.had_part(keys) {
            let code = keys[m.series].code;
            if !codes.contains(&code) && codes.push(code).is_err() {
                break;
            }
        }
        codes
    }

    fn had_part(&self, keys: &[SeriesKey]) -> impl Iterator<Item = &Member> {
        let share = |m: &Member| self.rank(m, keys);
        let most = self.members.first().map_or(0.0, share);
        self.members.iter().filter(move |m| m.headline && !m.late && share(m) >= most / 3.0)
    }

    /// What is told of it.
    pub(super) fn body(
        &self,
        phase: u8,
        now: Millis,
        keys: &[SeriesKey],
        series: &[Series],
    ) -> wire::Episode {
        let lead = self.members.first().map_or(0, |m| m.series);
        let over = phase == phase::CLOSED;
        // A closed episode lasted until it was last hot, not until it was sure to be over.
        let until = if over { self.hot } else { now };
        let named = || self.members.iter().take(wire::CONTRIBUTORS);
        let shares = shares(named().map(|m| self.rank(m, keys)));
        let contributors = named()
            .zip(shares)
            .map(|(m, share)| wire::Contributor {
                key: keys[m.series].clone(),
                actual: m.actual,
                expected: m.expected.0,
                low: m.expected.1,
                high: m.expected.2,
                share,
            })
            .collect();
        let shape = series.get(lead).map_or(Shape::Step, |s| {
            shape::of(s, keys[lead].metric(), over.then_some(until.saturating_sub(self.onset)))
        });
        wire::Episode {
            id: self.id,
            phase,
            since_ms: u32::try_from(now.saturating_sub(self.onset)).unwrap_or(u32::MAX),
            lasted_ms: u32::try_from(until.saturating_sub(self.onset)).unwrap_or(u32::MAX),
            shape: if self.members.first().is_some_and(|m| m.beyond) { Shape::Limit } else { shape } as u8,
            group: self.group as u8,
            score: self.score,
            confidence: series.get(lead).map_or(0, |s| (100.0 * s.confidence()) as u8),
            recurred: self.recurred,
            moved: self.members.len() as u16,
            contributors,
            culprit: None,
            model: [0; 8],
            spark: None,
            without: self.without,
            near: heapless::Vec::new(),
        }
    }
}

/// Whole percents of these amounts that add up to 100: what rounding leaves over goes to those it took most from.
fn shares(amounts: impl Iterator<Item = f32>) -> Vec<u8, { wire::CONTRIBUTORS }> {
    let sane = |x: f32| if x > f32::MIN_POSITIVE { x.min(f32::MAX / 100.0) } else { f32::MIN_POSITIVE };
    let amounts: Vec<f32, { wire::CONTRIBUTORS }> = amounts.map(sane).collect();
    let total: f32 = amounts.iter().map(|x| x / amounts.len() as f32).sum();
    let exact = |x: &f32| 100.0 * (x / total) / amounts.len() as f32;
    let mut shares: Vec<u8, { wire::CONTRIBUTORS }> = amounts.iter().map(|x| exact(x) as u8).collect();
    let given: u8 = shares.iter().fold(0, |sum, share| sum.saturating_add(*share));
    for _ in given..100 {
        let missing = |i: &usize| exact(&amounts[*i]) - f32::from(shares[*i]);
        let most = (0..shares.len()).max_by(|a, b| missing(a).total_cmp(&missing(b)).then(b.cmp(a)));
        if let Some(share) = most.and_then(|i| shares.get_mut(i)) {
            *share += 1;
        }
    }
    shares
}

/// A group as a bit.
pub(super) fn bit(group: Group) -> u16 {
    1 << (group as u16 & 15)
}

/// How well a series explains the anomaly: how far it strayed, and how much that says about the cause.
pub(super) fn rank(key: &SeriesKey, deviation: f32) -> f32 {
    key.metric().weight * libm::log1pf(deviation.abs())
}

/// Error if a share is nearly used up, warning otherwise.
pub(super) fn severity(body: &wire::Episode) -> u8 {
    const WARNING: u8 = 13;
    const ERROR: u8 = 17;
    let Some(first) = body.contributors.first() else { return WARNING };
    let metric = first.key.metric();
    let is_full = metric.range == (0.0, 1.0) && first.actual >= 0.9 && metric.group != Group::Cpu;
    if is_full { ERROR } else { WARNING }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_whatever_they_are_of() {
        let check = |amounts: &[f32], expected: &[u8]| {
            let shares = shares(amounts.iter().copied());
            assert_eq!(shares.as_slice(), expected, "{amounts:?}");
            assert!(shares.is_empty() || shares.iter().map(|s| u32::from(*s)).sum::<u32>() == 100);
        };
        check(&[], &[]);
        check(&[3.0], &[100]);
        check(&[1.0, 1.0, 1.0], &[34, 33, 33]);
        check(&[5.5, 3.2, 0.8, 0.5], &[55, 32, 8, 5]);
        check(&[0.0, 0.0], &[50, 50]);
        check(&[f32::INFINITY, f32::NAN, 1e-30, f32::MAX], &[50, 0, 0, 50]);
        check(&[1e9, 1.0, 1.0, 1.0], &[100, 0, 0, 0]);
    }
}
