//! Joint evidence: what all series of a device say together.
//!
//! A fault that moves thirty series a little is as plain as one that moves one series a lot. Every series answers
//! four questions ([`crate::usual`]); the squared answers are averaged over the series into energies, and the levels
//! once more after whitening, so that series which always move together count once and one that leaves the company
//! counts in full (Hotelling's T-squared with a ridge). The logarithm of the energies' sum is compared with its own
//! past.
//!
//! Nothing is learnt in proportion to how strange the device is, so that an anomaly does not become the usual by
//! happening; but what lasts is, in the end, the new usual.

use serde::{Deserialize, Serialize};

use crate::usual::Answers;

/// Series that are whitened; further ones count by themselves.
pub const DIMS: usize = 64;
/// Energies: level, whitened level, step, drift, roughness.
const ENERGIES: usize = 5;
/// By which they add up: what is out of company, and what was not expected, says more than what is merely far.
const SHARES: [f32; ENERGIES] = [1.0, 2.0, 2.0, 1.0, 1.0];
/// Ticks over which an energy is averaged.
pub const TRAIL: usize = 5;
/// Of more than one series also over about so many, by this share: what lasts says more than what flares up.
const SLOW: f32 = 30.0;
const SLOW_SHARE: f32 = 0.4;
/// What is strange depends on the device's own past; by this share it is the same for all devices, so that a rather
/// calm one is not held to be strange for little, nor a wild one calm.
const COMMON: f32 = 0.25;
const COMMON_ENERGY: f32 = 24.0;
/// Added to the variance of every direction: nothing is known so well.
const RIDGE: f32 = 0.3;
/// Ticks between two new whitenings.
const REFRESH: u32 = 25;
/// A switch's place says little.
const SWITCH: f32 = 0.02;
/// Standard deviations from which on the device is strange, and from which on it is learnt less.
pub const STRANGE: f32 = 3.0;
/// What is learnt at least of a strange tick.
const LEAST: f32 = 0.02;
/// What lasts so long is the new usual.
const ADOPT_MS: f32 = 1_800_000.0;
/// The logarithm of the energies spreads at least so much.
const LEAST_SPREAD: f32 = 0.1;
/// Ticks after which half of the surprise is believed, where it would wake somebody.
const HALF_KNOWN: f32 = 60.0;
/// Ticks before anything is said.
const WARM_UP: f32 = 50.0;
/// Ticks that count; older ones fade.
const MEMORY: f32 = 2e5;

/// The mean and spread of a logarithm.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Log {
    mean: f32,
    variance: f32,
}

impl Log {
    fn of(energy: f32) -> f32 {
        libm::logf(energy + 1e-3)
    }

    /// Standard deviations above the mean.
    fn above(&self, energy: f32, least: f32) -> f32 {
        (Self::of(energy) - self.mean) / libm::sqrtf(self.variance).max(least)
    }

    fn learn(&mut self, energy: f32, rate: f32) {
        let away = Self::of(energy) - self.mean;
        self.mean += rate * away;
        self.variance = (1.0 - rate) * (self.variance + rate * away * away);
    }
}

/// What one series brings.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its answers.
    pub answers: Answers,
    /// It has only two values.
    pub is_switch: bool,
}

/// What all series say at one tick.
struct Said {
    levels: [f32; DIMS],
    weights: [f32; DIMS],
    /// But for what whitening adds.
    energies: [f32; ENERGIES],
    total: f32,
    count: usize,
}

impl Said {
    fn by(parts: impl Iterator<Item = Part>) -> Self {
        let mut said = Self {
            levels: [0.0; DIMS],
            weights: [0.0; DIMS],
            energies: [0.0; ENERGIES],
            total: 0.0,
            count: 0,
        };
        for part in parts {
            let (weight, level) = (part.weight(), part.answers.level);
            said.total += weight;
            for (energy, own) in said.energies.iter_mut().zip(part.energies()) {
                *energy += own;
            }
            if said.count < DIMS {
                (said.levels[said.count], said.weights[said.count]) = (level, weight);
            } else {
                said.energies[1] += weight * level * level;
            }
            said.count += 1;
        }
        said
    }

    fn dims(&self) -> usize {
        self.count.min(DIMS)
    }
}

impl Part {
    fn weight(&self) -> f32 {
        if self.is_switch { SWITCH } else { 1.0 }
    }

    /// All but the whitened level, which is nobody's alone.
    fn energies(&self) -> [f32; ENERGIES] {
        let Answers { level, step, drift, rough } = self.answers;
        [level, 0.0, step, drift, rough].map(|x| self.weight() * x * x)
    }
}

/// All series of a device together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joint {
    /// Lower triangle, row by row.
    #[serde(with = "crate::array")]
    covariance: [f32; DIMS * (DIMS + 1) / 2],
    /// Its Cholesky factor, with the ridge.
    #[serde(with = "crate::array")]
    factor: [f32; DIMS * (DIMS + 1) / 2],
    dims: usize,
    ticks: u32,
    learnt: f32,
    trail: [[f32; ENERGIES]; TRAIL],
    /// Level and whitened level, by which is decided what to learn; and the sum.
    guards: [Log; 2],
    sum: Log,
    strange_ms: f32,
    slow: f32,
    /// The sum of the energies now.
    pub energy: f32,
    /// Standard deviations above what is usual of it.
    pub surprise: f32,
}

impl Default for Joint {
    fn default() -> Self {
        let mut joint = Self {
            covariance: [0.0; DIMS * (DIMS + 1) / 2],
            factor: [0.0; DIMS * (DIMS + 1) / 2],
            dims: 0,
            ticks: 0,
            learnt: 0.0,
            trail: [[0.0; ENERGIES]; TRAIL],
            guards: [Log::default(); 2],
            sum: Log::default(),
            strange_ms: 0.0,
            slow: 0.0,
            energy: 0.0,
            surprise: 0.0,
        };
        for i in 0..DIMS {
            joint.covariance[at(i, i)] = 1.0;
        }
        joint
    }
}

const fn at(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

fn mean_of(rows: &[[f32; ENERGIES]; TRAIL]) -> [f32; ENERGIES] {
    let mut mean = [0.0; ENERGIES];
    for row in rows {
        for (m, e) in mean.iter_mut().zip(row) {
            *m += e / TRAIL as f32;
        }
    }
    mean
}

fn sum_of(energies: &[f32; ENERGIES]) -> f32 {
    energies.iter().zip(SHARES).map(|(e, share)| e * share).sum()
}

impl Joint {
    /// The same for series in another order: `was` says where the series at a place stood before, if it was there.
    pub fn rearrange(&mut self, was: impl Fn(usize) -> Option<usize>) {
        let old = self.covariance;
        for i in 0..DIMS {
            for j in 0..=i {
                self.covariance[at(i, j)] = match (was(i), was(j)) {
                    (Some(a), Some(b)) if a.max(b) < DIMS => old[at(a.max(b), a.min(b))],
                    _ if i == j => 1.0,
                    _ => 0.0,
                };
            }
        }
        // So the next tick makes a new whitening.
        self.dims = 0;
    }

    /// Takes the answers of all series at one tick, `passed` milliseconds after the last. Returns how plausible it is,
    /// 0..1: the share in which it may be learnt.
    pub fn step(&mut self, passed: f32, parts: impl Iterator<Item = Part>) -> f32 {
        let said = Said::by(parts);
        if said.count == 0 {
            return 1.0;
        }
        if self.dims != said.dims() || self.ticks.is_multiple_of(REFRESH) {
            self.dims = said.dims();
            self.refresh();
        }
        self.trail[self.ticks as usize % TRAIL] = self.row(&said);
        self.ticks = self.ticks.wrapping_add(1);
        let plausible = self.judge(passed);
        self.learn(&said.levels[..self.dims], plausible);
        plausible
    }

    /// Whether all series together are farther off than they usually are, by so many standard deviations.
    #[must_use]
    pub fn is_strange(&self, deviations: f32) -> bool {
        let own = self.sum.mean + deviations * libm::sqrtf(self.sum.variance).max(LEAST_SPREAD);
        let edge = own + COMMON * (libm::logf(COMMON_ENERGY) - own);
        self.is_warm() && Log::of(self.energy) >= edge
    }

    /// How surprising that is, with the doubt of the young: what was seen for a minute is known by half.
    #[must_use]
    pub fn loudness(&self) -> f32 {
        self.surprise * self.learnt / (self.learnt + HALF_KNOWN)
    }

    /// The surprise there would be, had the last [`TRAIL`] ticks been these; 0 is the latest. Nothing is learnt.
    #[must_use]
    pub fn surprise_if<P: Iterator<Item = Part>>(&self, ticks_ago: impl Fn(usize) -> P) -> f32 {
        let rows = core::array::from_fn(|ago| self.row(&Said::by(ticks_ago(ago))));
        let mut slow = self.slow;
        let mut share = 1.0 / SLOW;
        for (ago, row) in rows.iter().enumerate() {
            let was = &self.trail[(self.ticks as usize + TRAIL - 1 - ago) % TRAIL];
            slow -= share * (sum_of(was) - sum_of(row));
            share *= 1.0 - 1.0 / SLOW;
        }
        self.surprise_of(self.blend(sum_of(&mean_of(&rows)), slow.max(0.0)))
    }

    /// How much of one tick's energy each series brought, in their order.
    pub fn divide(&self, parts: impl Iterator<Item = Part> + Clone, each: &mut dyn FnMut(f32)) {
        let said = Said::by(parts.clone());
        let whitened = self.whiten(&said.levels[..said.dims().min(self.dims)]);
        for (i, part) in parts.enumerate() {
            let mut energies = part.energies();
            let level = part.answers.level;
            energies[1] = part.weight() * whitened.get(i).map_or(level * level, |y| (level * y).max(0.0));
            each(sum_of(&energies));
        }
    }

    fn row(&self, said: &Said) -> [f32; ENERGIES] {
        let mut energies = said.energies;
        let dims = said.dims().min(self.dims);
        let y = self.whiten(&said.levels[..dims]);
        let each = said.levels.iter().zip(&y).zip(&said.weights).take(dims);
        energies[1] += each.map(|((x, y), w)| w * (x * y).max(0.0)).sum::<f32>();
        energies.map(|e| e / said.total.max(f32::MIN_POSITIVE))
    }

    fn blend(&self, quick: f32, slow: f32) -> f32 {
        if self.dims > 1 { quick + SLOW_SHARE * (slow - quick) } else { quick }
    }

    fn surprise_of(&self, energy: f32) -> f32 {
        if self.is_warm() { self.sum.above(energy, LEAST_SPREAD).max(0.0) } else { 0.0 }
    }

    fn is_warm(&self) -> bool {
        self.learnt > WARM_UP
    }

    /// Judges the tick whose row was put into the trail last.
    fn judge(&mut self, passed: f32) -> f32 {
        let mean = mean_of(&self.trail);
        let latest = sum_of(&self.trail[(self.ticks as usize + TRAIL - 1) % TRAIL]);
        self.slow += (latest - self.slow) / SLOW;
        self.energy = self.blend(sum_of(&mean), self.slow);
        let is_warm = self.is_warm();
        let above = |log: &Log, energy| if is_warm { log.above(energy, 0.3) } else { 0.0 };
        let guard = above(&self.guards[0], mean[0]).max(above(&self.guards[1], mean[1]));
        self.surprise = self.surprise_of(self.energy);
        let plausible = if guard > STRANGE {
            self.strange_ms += passed;
            let lasted = (self.strange_ms / ADOPT_MS).min(1.0);
            LEAST + (1.0 - LEAST) * lasted * lasted
        } else {
            self.strange_ms = (self.strange_ms - 4.0 * passed).max(0.0);
            1.0
        };
        if self.ticks as f32 > 2.0 * crate::usual::WARM_UP {
            self.learnt += plausible;
            let rate = plausible / self.learnt.clamp(1.0, MEMORY);
            self.guards[0].learn(mean[0], rate);
            self.guards[1].learn(mean[1], rate);
            self.sum.learn(self.energy, rate);
        }
        plausible
    }

    /// The levels after whitening: times the levels themselves, they are the squares of what is unlike the company.
    fn whiten(&self, levels: &[f32]) -> [f32; DIMS] {
        let n = levels.len();
        let mut y = [0.0f32; DIMS];
        for i in 0..n {
            let row = &self.factor[at(i, 0)..=at(i, i)];
            let known: f32 = row[..i].iter().zip(&y).map(|(l, y)| l * y).sum();
            y[i] = (levels[i] - known) / row[i];
        }
        for i in (0..n).rev() {
            y[i] /= self.factor[at(i, i)];
            let yi = y[i];
            for (j, y) in y[..i].iter_mut().enumerate() {
                *y -= self.factor[at(i, j)] * yi;
            }
        }
        y
    }

    fn learn(&mut self, levels: &[f32], plausible: f32) {
        if (self.ticks as f32) < crate::usual::WARM_UP {
            return;
        }
        let rate = plausible / (self.learnt + 60.0).min(MEMORY);
        for (i, x) in levels.iter().enumerate() {
            let row = &mut self.covariance[at(i, 0)..=at(i, i)];
            for (c, y) in row.iter_mut().zip(levels) {
                let product = x.clamp(-10.0, 10.0) * y.clamp(-10.0, 10.0);
                *c += rate * (product - *c);
                *c = if c.abs() < 1e-9 { 0.0 } else { *c };
            }
        }
    }

    /// Cholesky's factor of the covariance with the ridge.
    fn refresh(&mut self) {
        for i in 0..self.dims {
            for j in 0..=i {
                let (a, b) = (&self.factor[at(i, 0)..at(i, j)], &self.factor[at(j, 0)..at(j, j)]);
                let known: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                let ridge = if i == j { RIDGE } else { 0.0 };
                let left = self.covariance[at(i, j)] + ridge - known;
                self.factor[at(i, j)] =
                    if i == j { libm::sqrtf(left.max(RIDGE / 10.0)) } else { left / self.factor[at(j, j)] };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: u32) -> f32 {
        // A sum of four is bell-shaped enough.
        let one = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32 - 0.5;
        (0..4).map(|k| one(i.wrapping_mul(4).wrapping_add(k))).sum::<f32>() * 1.7
    }

    /// Levels of so many series that share a common part; `strange` adds to them from tick 2000 on. Returns the ticks
    /// after which the device was strange, and what was learnt of the last tick.
    fn check(series: u32, common: f32, strange: impl Fn(u32) -> f32) -> (Option<u32>, f32) {
        let mut joint = Joint::default();
        let (mut first, mut plausible) = (None, 1.0);
        for t in 0..2100 {
            let parts = (0..series).map(|i| {
                let level = noise(t * 101 + i) + common * noise(t.wrapping_mul(7919) + 13);
                let level = level + if t >= 2000 { strange(i) } else { 0.0 };
                let answers = Answers { level, step: noise(t * 211 + i), ..Answers::default() };
                Part { answers, is_switch: false }
            });
            plausible = joint.step(1000.0, parts);
            assert!((LEAST..=1.0).contains(&plausible) && joint.surprise.is_finite());
            if t >= 2000 && joint.surprise >= STRANGE {
                first = first.or(Some(t - 2000));
            }
        }
        (first, plausible)
    }

    #[test]
    fn many_a_little_are_as_plain_as_one_a_lot() {
        assert_eq!(check(30, 0.0, |_| 0.0), (None, 1.0), "calm");
        let (seen, learnt) = check(30, 0.0, |i| if i == 7 { 12.0 } else { 0.0 });
        assert!(seen.is_some_and(|n| n < 5) && learnt < 0.2, "one a lot: {seen:?} {learnt}");
        let (seen, learnt) = check(30, 0.0, |i| if i % 2 == 0 { 2.5 } else { -2.5 });
        assert!(seen.is_some_and(|n| n < 5) && learnt < 0.2, "all a little: {seen:?} {learnt}");
    }

    #[test]
    fn it_is_judged_once_more_without_one_of_them() {
        let mut joint = Joint::default();
        let answer = |t: u32, i: u32| {
            let strange = if t < 2000 { 0.0 } else { [9.0, 4.0].get(i as usize).copied().unwrap_or(0.0) };
            Answers { level: noise(t * 101 + i) + strange, step: noise(t * 211 + i), ..Answers::default() }
        };
        let parts = |t, omitted| {
            (0..20).map(move |i| {
                let answers = if Some(i) == omitted { Answers::default() } else { answer(t, i) };
                Part { answers, is_switch: false }
            })
        };
        (0..2006).for_each(|t| _ = joint.step(1000.0, parts(t, None)));
        let without = |omitted| joint.surprise_if(|ago| parts(2005 - ago as u32, omitted));
        assert!(
            (without(None) - joint.surprise).abs() < 1e-3 * joint.surprise,
            "the same readings: the same"
        );
        let [most, less, none] = [0, 1, 7].map(|i| without(Some(i)) / joint.surprise);
        assert!(most < 0.7 && (0.8..0.95).contains(&less) && none > 0.98, "{most} {less} {none}");
        let mut energies = std::vec::Vec::new();
        joint.divide(parts(2005, None), &mut |energy| energies.push(energy));
        let total: f32 = energies.iter().sum();
        assert!(energies[0] > 0.6 * total && energies[1] > 0.1 * total, "{energies:?}");
        assert!(energies[2..].iter().all(|e| *e < 0.05 * total), "{energies:?}");
    }

    #[test]
    fn one_that_leaves_its_company_is_seen() {
        let alone = check(20, 5.0, |i| if i == 3 { 10.0 } else { 0.0 }).0;
        assert!(alone.is_some_and(|n| n < 20), "{alone:?}: within what all of them do, but alone");
    }

    #[test]
    fn series_take_along_what_was_learnt_of_them() {
        let mut joint = Joint::default();
        let step = |joint: &mut Joint, t: u32, order: [u32; 4]| {
            // Two that go together, and two that do not.
            let level = |i: u32| noise(t * 101 + i) + if i < 2 { 3.0 * noise(t * 7919) } else { 0.0 };
            let answers = |i: &u32| Answers { level: level(*i), ..Answers::default() };
            joint.step(1000.0, order.iter().map(|i| Part { answers: answers(i), is_switch: false }));
        };
        (0..2000).for_each(|t| step(&mut joint, t, [0, 1, 2, 3]));
        let mut other = joint.clone();
        other.rearrange(|place| [3, 1, 0, 2].get(place).copied());
        for t in 2000..2003 {
            step(&mut joint, t, [0, 1, 2, 3]);
            step(&mut other, t, [3, 1, 0, 2]);
            assert!((joint.energy - other.energy).abs() < 1e-3, "{} {}", joint.energy, other.energy);
        }
        other.rearrange(|_| None);
        assert_eq!(other.covariance, Joint::default().covariance);
    }

    #[test]
    fn it_is_total() {
        let mut joint = Joint::default();
        assert_eq!(joint.step(1000.0, core::iter::empty()), 1.0);
        for t in 0..500u32 {
            let n = (t / 50) * 17 % 90;
            let parts = (0..n).map(|i| {
                let answers = Answers { level: if i % 3 == 0 { 12.0 } else { 0.0 }, ..Answers::default() };
                Part { answers, is_switch: i % 2 == 0 }
            });
            let plausible = joint.step(if t % 7 == 0 { 0.0 } else { 1e9 }, parts);
            assert!(plausible.is_finite() && joint.energy.is_finite() && joint.surprise.is_finite());
        }
    }
}
