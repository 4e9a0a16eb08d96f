//! The NAB score from its published rules: windows around anomalies, a scaled sigmoid that rewards early detection, one
//! threshold for all files. Telling nothing is 0, perfect is 100.

/// A weighting of what is right and wrong.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// As the leaderboard calls it.
    pub name: &'static str,
    hit: f64,
    false_alarm: f64,
    miss: f64,
}

/// The three of the leaderboard.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alarm: 0.11, miss: 1.0 },
    Profile { name: "low FP", hit: 1.0, false_alarm: 0.22, miss: 1.0 },
    Profile { name: "low FN", hit: 1.0, false_alarm: 0.11, miss: 2.0 },
];

/// A file to be scored.
#[derive(Debug, Clone)]
pub struct File {
    /// Scores of all rows.
    pub score: Vec<f64>,
    /// First and last row of every window.
    pub spans: Vec<(usize, usize)>,
    /// The first row that counts.
    pub from: usize,
}

/// Score and threshold. Without a threshold, the best one, which is the leaderboard's own rule; with one, a row is a
/// detection where its score reaches it.
#[must_use]
pub fn score(files: &[File], profile: Profile, threshold: Option<f64>) -> (f64, f64) {
    let sweep = sweep(files, profile);
    let none = sweep[0];
    match threshold {
        // Thresholds fall, so the last that reaches it tells all that it tells.
        Some(at) => {
            sweep.into_iter().take_while(|(t, _)| *t >= at).last().map_or((none.1, none.0), |(t, s)| (s, t))
        }
        None => {
            let best = sweep.iter().fold(none, |best, step| if step.1 > best.1 { *step } else { best });
            (best.1, best.0)
        }
    }
}

/// Score of a row; the file and window it lies in; what telling it is worth.
type Row = (f64, Option<(usize, usize)>, f64);

/// Thresholds, falling, and the score at each.
fn sweep(files: &[File], profile: Profile) -> Vec<(f64, f64)> {
    let top = sigmoid(-1.0);
    // Of every window, the best that a row in it earns; nothing yet.
    let mut best: Vec<Vec<f64>> = files.iter().map(|f| vec![-profile.miss; f.spans.len()]).collect();
    let mut rows: Vec<Row> = Vec::new();
    for (n, file) in files.iter().enumerate() {
        for (i, (window, value)) in
            weigh(file.score.len(), &file.spans).into_iter().enumerate().skip(file.from)
        {
            let value =
                if window.is_some() { value * profile.hit / top } else { value * profile.false_alarm };
            rows.push((file.score[i], window.map(|w| (n, w)), value));
        }
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let windows = best.iter().map(Vec::len).sum::<usize>() as f64;
    let (null, perfect) = (-profile.miss * windows, profile.hit * windows);
    let mut sum = null;
    let scaled = |sum: f64| if windows > 0.0 { 100.0 * (sum - null) / (perfect - null) } else { 0.0 };
    let mut steps = vec![(1.1, scaled(sum))];
    for tied in rows.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        for (_, window, value) in tied {
            match window {
                None => sum += value,
                Some((file, w)) => {
                    let best = &mut best[*file][*w];
                    sum += (value - *best).max(0.0);
                    *best = best.max(*value);
                }
            }
        }
        steps.push((tied[0].0, scaled(sum)));
    }
    steps
}

/// Of every row: its window, and what a detection there is worth, unweighted.
fn weigh(rows: usize, spans: &[(usize, usize)]) -> Vec<(Option<usize>, f64)> {
    let mut out = Vec::with_capacity(rows);
    let mut before: Option<(f64, f64)> = None;
    let mut next = 0;
    while out.len() < rows {
        let i = out.len();
        match spans.get(next) {
            Some((a, b)) if *a == i => {
                let width = (b - a + 1) as f64;
                out.extend((*a..=*b).map(|j| (Some(next), sigmoid(-((b - j + 1) as f64) / width))));
                before = Some((*b as f64, width));
                next += 1;
            }
            _ => out.push((
                None,
                before.map_or(-1.0, |(last, width)| sigmoid((i as f64 - last) / (width - 1.0))),
            )),
        }
    }
    out
}

/// 1 long before the end of a window, 0 at it, -1 long after.
fn sigmoid(y: f64) -> f64 {
    if y > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * y).exp()) - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_scores() {
        let mut one = vec![0.0; 20];
        for (row, score) in [(2, 0.9), (7, 0.6), (11, 0.8), (12, 0.2), (18, 0.7)] {
            one[row] = score;
        }
        let files = [
            File { score: one, spans: vec![(5, 9)], from: 2 },
            File { score: vec![0.1; 20], spans: vec![(10, 12)], from: 2 },
        ];
        // From the reference implementation in Python that agrees with the official scorer.
        let check = |threshold, should: [(f64, f64); 3]| {
            for (profile, should) in PROFILES.into_iter().zip(should) {
                let is = score(&files, profile, threshold);
                assert!(
                    (is.0 - should.0).abs() < 1e-9 && (is.1 - should.1).abs() < 1e-12,
                    "{}: {is:?}, not {should:?}",
                    profile.name
                );
            }
        };
        check(
            None,
            [(46.686_726_894_498_4, 0.1), (32.270_300_069_357_006, 0.6), (64.457_817_929_665_61, 0.1)],
        );
        check(
            Some(0.5),
            [(40.103_008_540_033_6, 0.6), (32.270_300_069_357_006, 0.6), (43.402_005_693_355_74, 0.6)],
        );
        check(Some(0.95), [(0.0, 1.1); 3]);
    }

    #[test]
    fn early_in_the_window_is_worth_most() {
        let at = |row: usize| {
            let mut score = vec![0.0; 100];
            score[row] = 1.0;
            super::score(&[File { score, spans: vec![(40, 59)], from: 15 }], PROFILES[0], Some(0.5)).0
        };
        assert!((at(40) - 100.0).abs() < 1e-9);
        assert!(at(40) > at(50) && at(50) > at(59) && at(59) > 0.0);
        // Before the window it is a false alarm; long after it as well.
        assert!((at(20) + 5.5).abs() < 1e-9 && (at(99) - -5.5 * 0.99).abs() < 0.1);
    }
}
