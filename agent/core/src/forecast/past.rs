//! The past of one series in a few hundred bytes: the last three quarters of an hour finely, and up to eight days
//! of history coarsely.
//!
//! Readings are gathered into means of a 1024th of a day, so that every power of two of them divides a day. The
//! history begins at that pace and doubles its step whenever it is full, until a step is an hour and a half, or four days for what takes years.

use heapless::Deque;
use serde::{Deserialize, Serialize};

use crate::series::Millis;

/// The pace of the recent past: a 1024th of a day.
pub(super) const PACE_MS: Millis = 84_375;
/// Points of the recent past.
pub(super) const RECENT: usize = 32;
/// Points of the history.
pub(super) const HISTORY: usize = 128;
/// A step of the history is at most 2 to this power paces: an hour and a half; four days for what takes years.
const COARSEST: u32 = 6;
const COARSEST_OF_YEARS: u32 = 12;

/// So many paces without a reading are bridged even at the beginning: some series are read once an hour.
const LEAST_GAP: u64 = 64;

/// What is remembered of one series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Past {
    recent: Deque<f32, RECENT>,
    history: Deque<f32, HISTORY>,
    /// A step of the history is 2 to this power paces.
    doubled: u32,
    takes_years: bool,
    /// What will be the next point of the history, and of how many paces.
    half: (f64, u32),
    /// The pace that is being gathered.
    open: Option<Pace>,
    /// The last whole pace and its mean.
    last: Option<(u64, f32)>,
    /// Paces since growth was last compared with what it ever was, upwards and downwards.
    paces: u32,
    floods: [Flood; 2],
    /// How far the least and the greatest of a pace usually are from its mean.
    crests: (f32, f32),
}

/// Growth as it never was, one way. What grows faster than the history can show has to be judged by the recent past.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Flood {
    /// The most it ever grew in half of the recent past; slowly forgotten.
    record: f32,
    /// How much it grew when it broke the record. It lasts until growth is half of that.
    now: f32,
}

impl Flood {
    fn note(&mut self, rise: f32, may_begin: bool) {
        const BROKEN: f32 = 1.5;
        const FORGET: f32 = 0.999;
        if self.now > 0.0 && rise < self.now / 2.0 {
            (self.record, self.now) = (self.now, 0.0);
        } else if self.now <= 0.0 && may_begin && rise > BROKEN * self.record {
            self.now = rise;
        }
        if self.now <= 0.0 {
            self.record = (FORGET * self.record).max(rise);
        }
    }
}

/// Readings of one pace.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Pace {
    number: u64,
    sum: f64,
    count: u32,
    least: f32,
    most: f32,
}

impl Past {
    /// Of something that takes years: it is remembered for more than one, instead of eight days.
    #[must_use]
    pub fn of_years() -> Self {
        Self { takes_years: true, ..Self::default() }
    }

    /// Takes one reading; true if a pace was completed, so that there is something new to forecast from.
    pub fn observe(&mut self, now: Millis, value: f32) -> bool {
        if !value.is_finite() {
            return false;
        }
        let number = now / PACE_MS;
        match &mut self.open {
            Some(open) if number == open.number => {
                open.sum += f64::from(value);
                open.count = open.count.saturating_add(1);
                (open.least, open.most) = (open.least.min(value), open.most.max(value));
                false
            }
            // Time that goes back teaches nothing.
            Some(open) if number < open.number => false,
            open => {
                let done =
                    open.replace(Pace { number, sum: value.into(), count: 1, least: value, most: value });
                done.map(|pace| self.close(pace)).is_some()
            }
        }
    }

    /// The history, oldest first, times `sign`.
    pub(super) fn history<'o>(&self, sign: f64, out: &'o mut [f64; HISTORY]) -> &'o [f64] {
        copy(&self.history, sign, out)
    }

    /// The recent past, oldest first, times `sign`.
    pub(super) fn recent<'o>(&self, sign: f64, out: &'o mut [f64; RECENT]) -> &'o [f64] {
        copy(&self.recent, sign, out)
    }

    /// The last whole pace's mean.
    pub(super) fn latest(&self) -> Option<f32> {
        self.last.map(|(_, mean)| mean)
    }

    /// Milliseconds of a step of the history.
    pub(super) fn step_ms(&self) -> Millis {
        PACE_MS << self.doubled
    }

    /// Whether it grows (`sign` 1) or falls (-1) as it never did.
    pub(super) fn is_flooded(&self, sign: f64) -> bool {
        self.floods[usize::from(sign < 0.0)].now > 0.0
    }

    /// How far readings usually are above (`sign` 1) or below (-1) the mean of their pace.
    pub(super) fn crest(&self, sign: f64) -> f64 {
        f64::from(if sign < 0.0 { self.crests.0 } else { self.crests.1 })
    }

    fn close(&mut self, done: Pace) {
        let mean = done.sum / f64::from(done.count.max(1));
        let learn = |crest: &mut f32, now: f64| *crest += ((now - f64::from(*crest)) / 64.0) as f32;
        learn(&mut self.crests.0, mean - f64::from(done.least));
        learn(&mut self.crests.1, f64::from(done.most) - mean);
        let (pace, mean) = (done.number, mean as f32);
        if let Some((before, from)) = self.last {
            let gap = pace.saturating_sub(before);
            // A gap longer than half of what is known leaves nothing to go by.
            let known = (self.history.len() as u64) << self.doubled;
            if gap > known / 2 + LEAST_GAP {
                *self = Self { open: self.open, takes_years: self.takes_years, ..Self::default() };
            } else {
                for i in 1..gap {
                    let part = i as f64 / gap as f64;
                    self.push((f64::from(from) * (1.0 - part) + f64::from(mean) * part) as f32);
                }
            }
        }
        self.push(mean);
        self.last = Some((pace, mean));
    }

    fn watch_floods(&mut self, mean: f32) {
        let before = self.recent.len().checked_sub(RECENT / 2 + 1).and_then(|at| self.recent.get(at));
        self.paces = (self.paces + 1) % (RECENT as u32 / 2);
        if let (0, Some(before)) = (self.paces, before) {
            // Within the first hours everything is new.
            let (rise, may_begin) = (mean - before, self.doubled >= 3);
            self.floods[0].note(rise, may_begin);
            self.floods[1].note(-rise, may_begin);
        }
    }

    fn push(&mut self, mean: f32) {
        push_to(&mut self.recent, mean);
        self.watch_floods(mean);
        self.half = (self.half.0 + f64::from(mean), self.half.1 + 1);
        if self.half.1 < 1 << self.doubled {
            return;
        }
        push_to(&mut self.history, (self.half.0 / f64::from(self.half.1)) as f32);
        self.half = (0.0, 0);
        let coarsest = if self.takes_years { COARSEST_OF_YEARS } else { COARSEST };
        if self.history.is_full() && self.doubled < coarsest {
            for _ in 0..HISTORY / 2 {
                if let (Some(a), Some(b)) = (self.history.pop_front(), self.history.pop_front()) {
                    push_to(&mut self.history, a / 2.0 + b / 2.0);
                }
            }
            self.doubled += 1;
        }
    }
}

/// The oldest makes room.
fn push_to<const N: usize>(ring: &mut Deque<f32, N>, value: f32) {
    if ring.is_full() {
        ring.pop_front();
    }
    // There is room.
    let _fits = ring.push_back(value);
}

/// All of it, oldest first, times `sign`.
fn copy<'o, const N: usize>(ring: &Deque<f32, N>, sign: f64, out: &'o mut [f64; N]) -> &'o [f64] {
    out.iter_mut().zip(ring).for_each(|(o, x)| *o = sign * f64::from(*x));
    &out[..ring.len()]
}
