//! Metrics of single rows: hits and misses, precision and recall over all thresholds.

/// Hits, false alarms, misses and quiet rows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Anomalous and told.
    pub tp: u64,
    /// Normal and told.
    pub fp: u64,
    /// Anomalous and not told.
    pub fn_: u64,
    /// Normal and not told.
    pub tn: u64,
}

impl Counts {
    /// Of rows whose score reaches the threshold.
    #[must_use]
    pub fn at(threshold: f64, score: &[f64], label: &[bool]) -> Self {
        let mut counts = Self::default();
        for (s, is) in score.iter().zip(label) {
            match (*s >= threshold, *is) {
                (true, true) => counts.tp += 1,
                (true, false) => counts.fp += 1,
                (false, true) => counts.fn_ += 1,
                (false, false) => counts.tn += 1,
            }
        }
        counts
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let Self { tp, fp, fn_, tn } = other;
        Self { tp: self.tp + tp, fp: self.fp + fp, fn_: self.fn_ + fn_, tn: self.tn + tn }
    }

    /// Harmonic mean of precision and recall.
    #[must_use]
    pub fn f1(self) -> f64 {
        2.0 * self.tp as f64 / (2 * self.tp + self.fp + self.fn_).max(1) as f64
    }

    /// Share of normal rows that were told.
    #[must_use]
    pub fn false_alarm_rate(self) -> f64 {
        self.fp as f64 / (self.fp + self.tn).max(1) as f64
    }

    /// Share of anomalous rows that were not.
    #[must_use]
    pub fn missed_alarm_rate(self) -> f64 {
        self.fn_ as f64 / (self.fn_ + self.tp).max(1) as f64
    }
}

/// Hits and rows told, at one threshold.
struct Step {
    hits: f64,
    told: f64,
    threshold: f64,
}

/// A step for every distinct score, high to low.
fn steps(score: &[f64], label: &[bool]) -> Vec<Step> {
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
    let (mut steps, mut hits): (Vec<Step>, f64) = (Vec::new(), 0.0);
    for (n, i) in (1..).zip(order) {
        hits += f64::from(u8::from(label[i]));
        let step = Step { hits, told: f64::from(n), threshold: score[i] };
        match steps.last_mut() {
            Some(last) if last.threshold.total_cmp(&score[i]).is_eq() => *last = step,
            _ => steps.push(step),
        }
    }
    steps
}

/// Average precision; tied scores are one step. Zero without anomalies.
#[must_use]
pub fn auc_pr(score: &[f64], label: &[bool]) -> f64 {
    let all = label.iter().filter(|is| **is).count() as f64;
    let mut before = 0.0;
    let parts = steps(score, label).into_iter().map(|s| {
        let gained = s.hits - before;
        before = s.hits;
        gained / all.max(1.0) * s.hits / s.told
    });
    parts.sum()
}

/// The best F1 over all thresholds, and the highest threshold that has it.
#[must_use]
pub fn best_f1(score: &[f64], label: &[bool]) -> (f64, f64) {
    let all = label.iter().filter(|is| **is).count() as f64;
    steps(score, label).into_iter().fold((0.0, f64::INFINITY), |best, s| {
        let f1 = 2.0 * s.hits / (s.told + all);
        if f1 > best.0 { (f1, s.threshold) } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORE: [f64; 5] = [0.9, 0.8, 0.8, 0.3, 0.1];
    const LABEL: [bool; 5] = [true, true, false, false, true];

    fn close(is: f64, should: f64) {
        assert!((is - should).abs() < 1e-12, "{is}, not {should}");
    }

    #[test]
    fn hits_and_misses() {
        let counts = Counts::at(0.8, &SCORE, &LABEL);
        assert_eq!(counts, Counts { tp: 2, fp: 1, fn_: 1, tn: 1 });
        close(counts.f1(), 2.0 / 3.0);
        close(counts.false_alarm_rate(), 0.5);
        close(counts.missed_alarm_rate(), 1.0 / 3.0);
        assert_eq!(counts.and(counts).tp, 4);
    }

    #[test]
    fn precision_and_recall() {
        // Steps: 1 of 1, 2 of 3 (tied), 2 of 4, 3 of 5.
        close(auc_pr(&SCORE, &LABEL), 1.0 / 3.0 + 1.0 / 3.0 * 2.0 / 3.0 + 1.0 / 3.0 * 3.0 / 5.0);
        // 2·3 / (5 + 3) beats 2·2 / (3 + 3).
        let (f1, threshold) = best_f1(&SCORE, &LABEL);
        close(f1, 0.75);
        close(threshold, 0.1);
        close(auc_pr(&[0.9, 0.1], &[true, false]), 1.0);
        close(auc_pr(&[0.5, 0.5], &[true, false]), 0.5);
    }
}
