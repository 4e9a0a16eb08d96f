//! The device as a whole: what its series say together, and what may be learnt from this tick.

use fieldmouse_core::joint::{DIMS, Joint, STRANGE};
use fieldmouse_core::judge::{self, Rules, Series, Tick};
use fieldmouse_core::metric::Role;
use fieldmouse_core::season::TimeOfDay;
use fieldmouse_core::series::{Millis, SeriesKey};

use super::Pipeline;
use crate::budget::Budget;

/// Energy that counts for half, where only the order matters.
const HALF: f32 = 30.0;

/// Novelty from which on a device's only series is held to be anomalous, at one false alarm a week.
const NOVEL: f32 = 2.0;
/// By which share of that it rises with the logarithm of the number of series, each of which may raise one.
const CROWD: f32 = 2.5;

/// How both thresholds follow another budget, for each e-fold of it; measured on recordings.
const NOVEL_BY_BUDGET: f32 = 0.5;
const LOUD_BY_BUDGET: f32 = 1.3;
const STRANGE_BY_BUDGET: f32 = 0.5;
/// However generous it is: below these everything is news.
const LEAST_NOVEL: f32 = 0.3;
const LEAST_STRANGE: f32 = 1.5;
const WEEK_MS: f32 = 7.0 * 86_400e3;

/// Surprise of all series together from which on an episode opens.
const LOUD: f32 = 4.8;

/// The state of the device as a whole.
#[derive(Debug, Default)]
pub(super) struct Device {
    /// Boxed for its 16 KiB.
    joint: Box<Joint>,
    /// The series that it knows apart, by place; none: one that is gone.
    seats: Vec<Option<usize>>,
    time: Option<TimeOfDay>,
    /// Series that speak for the device.
    voices: usize,
    /// Since when it has been strange.
    since: Option<Millis>,
    /// The series that answers for what all of them say together.
    lead: Option<usize>,
}

impl Device {
    /// What all series say together.
    pub(super) fn joint(&self) -> &Joint {
        &self.joint
    }

    /// The series that it knows apart, by place.
    pub(super) fn seats(&self) -> &[Option<usize>] {
        &self.seats
    }

    /// Goes on from what was learnt before.
    pub(super) fn resume(&mut self, joint: Box<Joint>, seats: Vec<Option<usize>>) {
        (self.joint, self.seats) = (joint, seats);
    }

    /// What was learnt of a series goes with it, whichever came or went before it.
    fn seat(&mut self, speaking: impl Iterator<Item = usize> + Clone) {
        let now = speaking.take(DIMS).map(Some);
        if now.clone().eq(self.seats.iter().copied()) {
            return;
        }
        let now: Vec<_> = now.collect();
        let was = |place: usize| now.get(place).and_then(|i| self.seats.iter().position(|old| old == i));
        self.joint.rearrange(was);
        self.seats = now;
    }
}

impl Pipeline {
    /// What the wall clock says from now on; none if nobody knows.
    pub fn set_wall(&mut self, wall_ms: Option<u64>) {
        self.device.time = wall_ms.map(TimeOfDay::of);
    }

    /// 0..1 for the whole device; 0.5 is the threshold. A reading counts by the strangest series, or by what all of
    /// them say together. What one series alone says over time is left to that series.
    #[must_use]
    pub fn score(&self) -> f32 {
        let Device { joint, voices, .. } = &self.device;
        // In company, what nobody described is judged by what all say.
        let counts = |(k, s, r): &(&SeriesKey, &Series, &Rules)| {
            judge::may_open(k.metric(), &s.now)
                && (*voices < 2 || s.now.beyond.is_some() || !judge::is_undescribed(k.metric(), r))
        };
        let all = self.keys.iter().zip(&self.series).zip(&self.rules).map(|((k, s), r)| (k, s, r));
        let one = all.filter(counts).map(|(_, s, _)| s.now.score).fold(0.0, f32::max);
        let order = joint.energy / (joint.energy + HALF) / 2.0;
        match *voices {
            0 | 1 if one >= 0.5 => one,
            0 | 1 => order,
            _ if one >= 0.5 || joint.is_strange(self.strange()) => 0.5 + order,
            _ => order,
        }
    }

    /// Compares all series with their long past, together, and learns what is plausible.
    pub(super) fn appraise(&mut self, now: Millis, passed: Millis) {
        self.device.voices = heard(&self.keys, &self.series, &self.rules).count();
        let free = |(i, _): &(usize, &Series)| judge::is_undescribed(self.keys[*i].metric(), &self.rules[*i]);
        let strangers = heard(&self.keys, &self.series, &self.rules).filter(free).count();
        let tick = Tick {
            now,
            time: self.device.time,
            every: self.tick_ms as f32,
            novel: (NOVEL - NOVEL_BY_BUDGET * self.generous()).max(LEAST_NOVEL)
                * (1.0 + CROWD * (strangers.max(1) as f32).ln()),
        };
        for ((s, key), rules) in self.series.iter_mut().zip(&self.keys).zip(&self.rules) {
            s.appraise(key.metric(), rules, &tick);
        }
        let speaking = heard(&self.keys, &self.series, &self.rules);
        self.device.seat(speaking.clone().map(|(i, _)| i));
        let plausible = self.device.joint.step(passed as f32, speaking.map(|(_, s)| s.part()));
        self.series.iter_mut().for_each(|s| s.settle(&tick, plausible));
        self.answer_together(now);
    }

    /// By how much the budget is larger than one false alarm a week, as a logarithm.
    fn generous(&self) -> f32 {
        let Budget { alarms, period_ms } = self.budget;
        (alarms * WEEK_MS / period_ms).max(1e-3).ln()
    }

    /// What all series say together is told as an anomaly of the one that says most of it. Series that somebody
    /// described answer for themselves: of them it is known which changes matter.
    fn answer_together(&mut self, now: Millis) {
        let (loud, strange) = (self.loud(), self.strange());
        let Device { joint, voices, since, lead, .. } = &mut self.device;
        if *voices < 2 || !joint.is_strange(strange) {
            if lead.is_some() {
                self.series.iter_mut().for_each(|s| s.now.part = 0.0);
            }
            (*since, *lead) = (None, None);
            return;
        }
        let onset = *since.get_or_insert(now);
        let lasted = now.saturating_sub(onset) + self.tick_ms;
        if lead.is_none() && joint.loudness() >= loud && lasted as f32 >= judge::SHORTEST_MS {
            self.device.lead = self.loudest();
        }
        if let Some(lead) = self.device.lead {
            let score = self.score_together_of(self.device.joint.surprise);
            self.series[lead].answer_for_device(onset, score);
            for (i, part) in self.divide() {
                self.series[i].take_part(part, onset);
            }
        }
    }

    /// Of the series that nobody described the one with the largest part, if they say most of it.
    fn loudest(&self) -> Option<usize> {
        let is_free = |i: usize| judge::is_undescribed(self.keys[i].metric(), &self.rules[i]);
        if !self.speaking().any(is_free) {
            return None;
        }
        let free: Vec<(usize, f32)> = self.divide().into_iter().filter(|(i, _)| is_free(*i)).collect();
        let most = free.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| *i);
        most.filter(|_| free.iter().map(|(_, part)| part).sum::<f32>() >= 0.5)
    }

    /// Surprise of all series together from which on an episode opens.
    fn loud(&self) -> f32 {
        (LOUD - LOUD_BY_BUDGET * self.generous()).max(self.strange())
    }

    /// Standard deviations from which on all of them together are strange.
    fn strange(&self) -> f32 {
        (STRANGE - STRANGE_BY_BUDGET * self.generous()).max(LEAST_STRANGE)
    }

    /// A surprise of all series together as a score: 0.5 is the threshold.
    pub(super) fn score_together_of(&self, surprise: f32) -> f32 {
        surprise / (surprise + self.loud())
    }

    /// The indices of the series that speak for the device.
    pub(super) fn speaking(&self) -> impl Iterator<Item = usize> + Clone {
        heard(&self.keys, &self.series, &self.rules).map(|(i, _)| i)
    }
}

/// The series that speak for the device, with their indices: headlines that somebody listens to.
fn heard<'a>(
    keys: &'a [SeriesKey],
    series: &'a [Series],
    rules: &'a [Rules],
) -> impl Iterator<Item = (usize, &'a Series)> + Clone {
    let is_heard = move |i: &usize| keys[*i].metric().role == Role::Headline && !rules[*i].overrides.quiet;
    (0..series.len()).filter(is_heard).map(|i| (i, &series[i]))
}
