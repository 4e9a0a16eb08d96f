//! How long after an anomaly's onset it was told, at the same rate of false alarms for everybody.

/// Scores of a recording's scored rows, and what is true of them.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Of each scored row.
    pub score: &'a [f64],
    /// Of each scored row.
    pub label: &'a [bool],
    /// Seconds of each scored row.
    pub seconds: &'a [f64],
    /// First and last index of every anomaly among them.
    pub spans: &'a [(usize, usize)],
}

/// What was found, and when.
#[derive(Debug, Default, Clone)]
pub struct Found {
    /// Anomalies.
    pub of: usize,
    /// Of each that was told: seconds and rows after its first row.
    pub after: Vec<(f64, usize)>,
}

impl Found {
    /// By rows that are told.
    #[must_use]
    pub fn of(files: &[View<'_>], is_told: impl Fn(f64) -> bool) -> Self {
        let mut found = Self::default();
        for file in files {
            for (a, b) in file.spans {
                found.of += 1;
                if let Some(row) = (*a..=*b).find(|i| is_told(file.score[*i])) {
                    found.after.push((file.seconds[row] - file.seconds[*a], row - a));
                }
            }
        }
        found
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.of += other.of;
        self.after.extend(&other.after);
        self
    }

    /// The median seconds and rows; none if nothing was found.
    #[must_use]
    pub fn median(&self) -> Option<(f64, usize)> {
        let mut seconds: Vec<f64> = self.after.iter().map(|(s, _)| *s).collect();
        let mut rows: Vec<usize> = self.after.iter().map(|(_, r)| *r).collect();
        seconds.sort_by(f64::total_cmp);
        rows.sort_unstable();
        let middle = seconds.len() / 2;
        Some((*seconds.get(middle)?, *rows.get(middle)?))
    }
}

/// The lowest score above which at most `allowed` normal rows lie.
#[must_use]
pub fn limit(files: &[View<'_>], allowed: u64) -> f64 {
    let normal =
        files.iter().flat_map(|f| f.score.iter().zip(f.label).filter(|(_, is)| !**is).map(|(s, _)| *s));
    let mut normal: Vec<f64> = normal.collect();
    normal.sort_by(|a, b| b.total_cmp(a));
    normal.get(usize::try_from(allowed).unwrap_or(usize::MAX)).copied().unwrap_or(f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onset_to_alarm_at_a_rate() {
        let score = [0.1, 0.6, 0.2, 0.3, 0.7, 0.8, 0.0, 0.1, 0.2, 0.1];
        let label = [false, false, false, true, true, true, false, false, true, true];
        let seconds: Vec<f64> = (0..10).map(|i| f64::from(i) * 60.0).collect();
        let view = View { score: &score, label: &label, seconds: &seconds, spans: &[(3, 5), (8, 9)] };
        let found = Found::of(&[view], |s| s >= 0.5);
        assert_eq!((found.of, found.after.len(), found.median()), (2, 1, Some((60.0, 1))));
        // One false alarm is allowed: that of 0.6; the next highest normal row has 0.2.
        let limit = limit(&[view], 1);
        assert!((limit - 0.2).abs() < 1e-12);
        let found = Found::of(&[view, view], |s| s > limit);
        assert_eq!((found.of, found.after.len(), found.median()), (4, 2, Some((0.0, 0))));
        assert!((super::limit(&[view], 0) - 0.6).abs() < 1e-12);
        assert_eq!(Found::default().median(), None);
    }
}
