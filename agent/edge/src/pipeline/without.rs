//! Counterfactuals: what the judge would think if a part of an episode had not been. Nothing is estimated: the readings
//! that are still known are judged once more, by the same code, with that part left out.

use fieldmouse_core::joint::TRAIL;
use fieldmouse_core::judge;
use fieldmouse_core::series::SeriesKey;
use fieldmouse_core::usual::Answers;
use fieldmouse_core::window::{WINDOW, unmeasure};
use fieldmouse_core::wire::{Episode, Without, omitted, phase};

use super::{Output, Pipeline};

/// Readings before the onset that the model should still see.
const BEFORE: usize = 16;

impl Pipeline {
    /// Who says how much, 0..1, of what all series say together.
    pub(super) fn divide(&self) -> Vec<(usize, f32)> {
        let speaking: Vec<usize> = self.speaking().collect();
        let mut parts = vec![0.0; speaking.len()];
        for ago in 0..TRAIL {
            let mut at = parts.iter_mut();
            let said = speaking.iter().map(|i| self.series[*i].part_ago(ago));
            self.device.joint().divide(said, &mut |energy| {
                if let Some(part) = at.next() {
                    *part += energy;
                }
            });
        }
        let total = parts.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        speaking.into_iter().zip(parts).map(|(i, part)| (i, part / total)).collect()
    }

    /// Says of each event of an open episode what the score would be without its first contributor. What was said last
    /// stands at the end.
    pub(super) fn tell_without(&mut self, told: &mut [Output]) {
        for output in told {
            let Output::Episode { body, .. } = output else { continue };
            if body.phase != phase::CLOSED
                && let Some(without) = self.without_first(body)
            {
                self.episodes.note_without(body.id, without);
                body.without = Some(without);
            }
        }
    }

    /// The score of an open episode now, and without what its first contributor says.
    fn without_first(&self, body: &Episode) -> Option<Without> {
        let first = self.find(&body.contributors.first()?.key)?;
        let may_open = |i: &usize| judge::may_open(self.keys[*i].metric(), &self.series[*i].now);
        let own = |i: usize| if self.series[i].now.by_device { 0.0 } else { self.series[i].now.score };
        let others = self.episodes.members_of(body.id).filter(|i| *i != first && may_open(i));
        let others = others.map(own).fold(0.0, f32::max);
        // Of what somebody described, all together are not asked.
        let is_asked = judge::is_undescribed(self.keys[first].metric(), &self.rules[first]);
        let together = |omitted| if is_asked { self.score_without(omitted) } else { 0.0 };
        let without = others.max(together(Some(first)));
        let score = own(first).max(others).max(together(None));
        Some(Without { omitted: omitted::FIRST, score, without })
    }

    /// The score of all series together, if one of them read what was expected of it.
    fn score_without(&self, omitted: Option<usize>) -> f32 {
        if self.speaking().nth(1).is_none() {
            return 0.0;
        }
        let said = |ago| {
            self.speaking().map(move |i| {
                let mut part = self.series[i].part_ago(ago);
                if Some(i) == omitted {
                    part.answers = Answers::default();
                }
                part
            })
        };
        self.score_together_of(self.device.joint().surprise_if(said))
    }

    /// What the score of an episode's first contributor would be, had it read so much less since the onset, but no less
    /// than was expected of it. None if it is unknown how it came to its score.
    pub fn without_culprit(&mut self, body: &Episode, less: f32) -> Option<Without> {
        let first = body.contributors.first()?;
        let i = self.find(&first.key)?;
        let now = self.series[i].now;
        // What is judged by novelty or by a limit has not come to it by what was added up.
        if judge::is_undescribed(first.key.metric(), &self.rules[i]) || now.beyond.is_some() {
            return None;
        }
        let (since, at) = (now.since?, self.last?);
        let every = if self.every_ms[i] == 0 { self.tick_ms } else { self.every_ms[i].into() };
        let readings = usize::try_from(at.saturating_sub(since) / every.max(1)).unwrap_or(WINDOW) + 1;
        let readings = readings.min(WINDOW - BEFORE);
        let score = self.judge_again(i, readings, 0.0);
        Some(Without { omitted: omitted::CULPRIT, score, without: self.judge_again(i, readings, less) })
    }

    /// The last readings of a series judged once more, less so much.
    fn judge_again(&mut self, i: usize, readings: usize, less: f32) -> f32 {
        let (metric, rules, now) = (self.keys[i].metric(), self.rules[i], self.last.unwrap_or(0));
        let (mut series, mut values) = self.series[i].rewound(metric, readings);
        let usual = unmeasure(metric, series.baseline.median);
        values.iter_mut().for_each(|x| *x = (*x - less).max(usual.min(*x)));
        let expected = self.models.expect(i, &series, metric, &values);
        for (at, value) in values.iter().enumerate() {
            if let Some((norm, quantiles)) = expected.get(at).and_then(Option::as_ref) {
                series.answer(*norm, quantiles);
            }
            series.judge_again(metric, &rules, now, *value);
        }
        series.now.score
    }

    fn find(&self, key: &SeriesKey) -> Option<usize> {
        self.by_key.get(key).copied()
    }
}
