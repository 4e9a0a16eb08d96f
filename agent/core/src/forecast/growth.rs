//! How fast it grows: every window of the past is asked how well it would have told what came after it, and is heard
//! accordingly.

use heapless::Vec;

use super::past::HISTORY;

/// How the next growth is told from a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The window goes on along its straight line.
    Line,
    /// The window comes again and again: seasons, and whatever is done by the clock.
    Replay,
}

/// What one window of the past says of the future.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice {
    form: Form,
    window: usize,
    /// Growth per step.
    rate: f64,
    /// Mean, and root mean square, of what such rates were wrong by.
    mean: f64,
    error: f64,
}

/// What all windows say together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    /// Growth per step until the limit.
    pub(super) rate: f64,
    /// Growth per step at present.
    pub(super) now: f64,
    /// How wrong such a rate may be over a span of so many steps.
    pub(super) error: f64,
    pub(super) span: usize,
}

/// Two forms of the windows of 2, 4, … 64 steps, and all of the past.
const VOICES: usize = 13;

/// How much less a voice counts whose error is larger than the least: nearly nothing if it is half as large again.
fn loudness(least: f64, mean: f64) -> f64 {
    if mean <= least { 1.0 } else { libm::pow(least / mean, 10.0) }
}

/// How wrong the rates were that a window told: the mean, and the root mean square.
type Test = (f64, f64);

/// A repaired past, and its running sums.
pub(super) struct Trail {
    y: [f64; HISTORY],
    n: usize,
    /// Sums of y and of i·y before each point, for least squares over any window at once.
    sums: [(f64, f64); HISTORY + 1],
    /// What was lost by removals that are undone.
    pub(super) lost: f64,
}

impl Trail {
    pub(super) fn new(points: &[f64]) -> Self {
        let mut y = [0.0; HISTORY];
        let n = points.len().min(HISTORY);
        let first = points.first().copied().unwrap_or(0.0);
        y.iter_mut().zip(points).for_each(|(y, point)| *y = point - first);
        let lost = undo_removals(&mut y[..n]);
        let mut sums = [(0.0, 0.0); HISTORY + 1];
        for i in 0..n {
            sums[i + 1] = (sums[i].0 + y[i], sums[i].1 + i as f64 * y[i]);
        }
        Self { y, n, sums, lost }
    }

    /// Steps from the first point to the last.
    pub(super) fn steps(&self) -> usize {
        self.n.saturating_sub(1)
    }

    /// Mean growth per step over all that is known.
    pub(super) fn mean(&self) -> f64 {
        if self.n < 2 { 0.0 } else { (self.y[self.n - 1] - self.y[0]) / self.steps() as f64 }
    }

    /// The line through the `window + 1` points up to `end`: its value there, and its slope.
    fn line(&self, end: usize, window: usize) -> (f64, f64) {
        let from = end - window;
        let count = (window + 1) as f64;
        let mean = (self.sums[end + 1].0 - self.sums[from].0) / count;
        let middle = (from + end) as f64 / 2.0;
        let across = self.sums[end + 1].1 - self.sums[from].1 - middle * mean * count;
        let slope = across * 12.0 / (count * (count * count - 1.0));
        (mean + slope * window as f64 / 2.0, slope)
    }

    /// What `form` over the `window` up to `end` says of the growth in the next `ahead` steps.
    fn told(&self, form: Form, end: usize, window: usize, ahead: usize) -> f64 {
        match form {
            Form::Line => {
                let (at, slope) = self.line(end, window);
                at + slope * ahead as f64 - self.y[end]
            }
            Form::Replay => {
                let from = end - window;
                let round = self.y[end] - self.y[from];
                (ahead / window) as f64 * round + self.y[from + ahead % window] - self.y[from]
            }
        }
    }

    /// All windows that can be tried, with what they say of growth over `span` steps.
    fn voices(&self, span: usize) -> Vec<Voice, VOICES> {
        let mut voices = Vec::new();
        let last = self.steps();
        let mut hear = |form, window, test: Option<Test>| {
            let Some((mean, error)) = test else { return };
            let rate = match form {
                Form::Line => self.line(last, window).1,
                Form::Replay => (self.y[last] - self.y[last - window]) / window as f64,
            };
            // There is room for every power of two.
            let _fits = voices.push(Voice { form, window, rate, mean, error });
        };
        for form in [Form::Line, Form::Replay] {
            for window in (1..).map(|power| 1 << power).take_while(|window| *window < last) {
                hear(form, window, self.test(window, span, |end| self.told(form, end, window, span)));
            }
        }
        // Nothing comes after all of the past: here the rest tells each span that is left out of it.
        let all = self.y[last];
        let rest = |end: usize| {
            let here = self.y[end + span] - self.y[end];
            (all - here) * span as f64 / (last - span).max(1) as f64
        };
        hear(Form::Replay, last, self.test(0, span, rest));
        voices
    }

    /// What all windows say together of growth by `gap`, which is about `ahead` steps away: the better ones louder. None
    /// if there is too little to try them on.
    pub(super) fn growth(&self, ahead: f64, gap: f64) -> Option<Growth> {
        let last = Some(self.steps()).filter(|last| *last >= 3)?;
        let span = (ahead.clamp(1.0, 1e6) as usize).min((last / 3).max(1));
        let voices = self.voices(span);
        let least = voices.iter().map(|v| v.mean).fold(f64::INFINITY, f64::min);
        // Seasons, teeth and crests included: the rate by which the limit is reached, not the one of this hour.
        let until = |v: &Voice| {
            let is_ahead = v.rate > 0.0 && gap > 0.0;
            if is_ahead { gap / self.steps_to(gap, v).max(1e-3) } else { v.rate }
        };
        let (mut all, mut rate, mut now, mut squares) = (0.0, 0.0, 0.0, 0.0);
        for v in &voices {
            let (weight, until) = (loudness(least, v.mean), until(v));
            all += weight;
            rate += weight * until;
            now += weight * v.rate;
            // What they disagree by is a part of the error.
            squares += weight * (v.error * v.error + until * until);
        }
        if all <= 0.0 {
            return None;
        }
        rate /= all;
        let error = libm::sqrt((squares / all - rate * rate).max(0.0));
        Some(Growth { rate, now: now / all, error, span })
    }

    /// How wrong `told` was of the growth over `span` steps from every point on, the later counting more.
    fn test(&self, from: usize, span: usize, told: impl Fn(usize) -> f64) -> Option<Test> {
        let fade = libm::exp2(-2.0 / self.steps().max(8) as f64);
        let (mut all, mut sum, mut squares, mut weight) = (0.0, 0.0, 0.0, 1.0);
        let ends = from..self.n.saturating_sub(span);
        let tests = ends.len();
        for end in ends.rev() {
            let error = (self.y[end + span] - self.y[end] - told(end)) / span as f64;
            all += weight;
            sum += weight * error.abs();
            squares += weight * error * error;
            weight *= fade;
        }
        (tests >= 3).then(|| (sum / all, libm::sqrt(squares / all)))
    }

    /// How far the last `window` points rise above their line, at most: teeth and noise reach the limit before it.
    fn crest(&self, window: usize) -> f64 {
        let last = self.steps();
        let (at, slope) = self.line(last, window);
        (0..=window).map(|i| self.y[last - i] - (at - slope * i as f64)).fold(0.0, f64::max)
    }

    /// Steps until it has grown by `gap`, if it grows like `g`.
    fn steps_to(&self, gap: f64, g: &Voice) -> f64 {
        let last = self.steps();
        match g.form {
            Form::Line => {
                let ahead = self.line(last, g.window).0 - self.y[last] + self.crest(g.window);
                ((gap - ahead) / g.rate).max(0.0)
            }
            Form::Replay => {
                // Whole rounds at once, the last of them step by step.
                let told = |ahead| self.told(g.form, last, g.window, ahead);
                let round = told(g.window);
                let most = (0..g.window).map(told).fold(0.0, f64::max);
                let rounds = libm::floor(((gap - most) / round).max(0.0));
                let left = gap - rounds * round;
                let Some(at) = (1..=2 * g.window).find(|ahead| told(*ahead) >= left) else {
                    return gap / g.rate;
                };
                let (before, after) = (told(at - 1), told(at));
                let part = if after > before { (left - before) / (after - before) } else { 1.0 };
                rounds * g.window as f64 + (at - 1) as f64 + part.clamp(0.0, 1.0)
            }
        }
    }
}

/// Undoes a removal that came once or twice, so that what grows is seen to grow on, and returns what was removed.
/// Three are a habit, and stay.
fn undo_removals(y: &mut [f64]) -> f64 {
    let Some(last) = y.len().checked_sub(1).filter(|last| *last >= 5) else { return 0.0 };
    let mut changes = [0.0; HISTORY];
    changes.iter_mut().zip(y.windows(2)).for_each(|(c, pair)| *c = (pair[1] - pair[0]).abs());
    changes[..last].sort_unstable_by(f64::total_cmp);
    let usual = changes[last / 2];
    // A point is a mean: what is removed within it shows in two differences.
    let fall = |y: &[f64], i: usize| y[i - 1] - y[i + 1];
    let deepest = (1..last).map(|i| fall(y, i)).fold(0.0, f64::max);
    if deepest <= 8.0 * usual {
        return 0.0;
    }
    let (mut found, mut count, mut i) = ([0; 2], 0, 1);
    while i < last {
        if fall(y, i) <= deepest / 3.0 {
            i += 1;
            continue;
        }
        let at = if i + 1 < last && fall(y, i + 1) > fall(y, i) { i + 1 } else { i };
        if count == found.len() {
            return 0.0;
        }
        found[count] = at;
        count += 1;
        i = at + 2;
    }
    let lost: f64 = found[..count].iter().map(|at| fall(y, *at)).sum();
    let step = (y[last] - y[0] + lost) / (last as f64 - 2.0 * count as f64).max(1.0);
    for at in &found[..count] {
        let lift = fall(y, *at) + 2.0 * step;
        y[*at] = y[at - 1] + step;
        y[at + 1..].iter_mut().for_each(|later| *later += lift);
    }
    lost
}
