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
const TRAIL: usize = 5;
/// Of more than one series also over so many, by this share: what lasts says more than what flares up.
const SLOW: f32 = 30.0;
const SLOW_SHARE: f32 = 0.3;
/// What is strange at most depends on the device's own past; by this share it is the same for all devices, so that a
/// rather calm one is not held to be strange for little, nor a wild one calm.
const COMMON: f32 = 0.25;
const COMMON_ENERGY: f32 = 30.0;
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

impl Joint {
    /// Takes the answers of all series at one tick, `passed` milliseconds after the last. Returns how plausible it is,
    /// 0..1: the share in which it may be learnt.
    pub fn step(&mut self, passed: f32, parts: impl Iterator<Item = Part>) -> f32 {
        let mut levels = [0.0f32; DIMS];
        let mut weights = [0.0f32; DIMS];
        let mut energies = [0.0f32; ENERGIES];
        let (mut total, mut n) = (0.0, 0);
        for Part { answers, is_switch } in parts {
            let weight = if is_switch { SWITCH } else { 1.0 };
            total += weight;
            for (e, x) in
                [0, 2, 3, 4].into_iter().zip([answers.level, answers.step, answers.drift, answers.rough])
            {
                energies[e] += weight * x * x;
            }
            if n < DIMS {
                (levels[n], weights[n]) = (answers.level, weight);
            } else {
                energies[1] += weight * answers.level * answers.level;
            }
            n += 1;
        }
        if n == 0 {
            return 1.0;
        }
        let dims = n.min(DIMS);
        if self.dims != dims || self.ticks.is_multiple_of(REFRESH) {
            self.dims = dims;
            self.refresh();
        }
        energies[1] += self.whitened(&levels[..dims], &weights[..dims]);
        self.trail[self.ticks as usize % TRAIL] = energies.map(|e| e / total);
        self.ticks = self.ticks.wrapping_add(1);
        let plausible = self.judge(passed);
        self.learn(&levels[..dims], plausible);
        plausible
    }

    /// Whether all series together are farther off than they usually are.
    #[must_use]
    pub fn is_strange(&self) -> bool {
        let own = self.sum.mean + STRANGE * libm::sqrtf(self.sum.variance).max(LEAST_SPREAD);
        let edge = own + COMMON * (libm::logf(COMMON_ENERGY) - own);
        self.learnt > WARM_UP && Log::of(self.energy) >= edge
    }

    fn judge(&mut self, passed: f32) -> f32 {
        let mut mean = [0.0; ENERGIES];
        for row in &self.trail {
            for (m, e) in mean.iter_mut().zip(row) {
                *m += e / TRAIL as f32;
            }
        }
        self.energy = mean.iter().zip(SHARES).map(|(e, share)| e * share).sum();
        if self.dims > 1 {
            self.slow += (self.energy - self.slow) / SLOW;
            self.energy += SLOW_SHARE * (self.slow - self.energy);
        }
        let is_warm = self.learnt > WARM_UP;
        let above = |log: &Log, energy| if is_warm { log.above(energy, 0.3) } else { 0.0 };
        let guard = above(&self.guards[0], mean[0]).max(above(&self.guards[1], mean[1]));
        self.surprise = if is_warm { self.sum.above(self.energy, LEAST_SPREAD).max(0.0) } else { 0.0 };
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

    /// Sum of the squared levels after whitening, each series' share counted by its weight.
    fn whitened(&self, levels: &[f32], weights: &[f32]) -> f32 {
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
        levels.iter().zip(&y).zip(weights).map(|((x, y), w)| w * (x * y).max(0.0)).sum()
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
    fn one_that_leaves_its_company_is_seen() {
        let alone = check(20, 5.0, |i| if i == 3 { 10.0 } else { 0.0 }).0;
        assert!(alone.is_some_and(|n| n < 20), "{alone:?}: within what all of them do, but alone");
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
