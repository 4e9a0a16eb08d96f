//! Plain causal detectors to compare with. Each learns from the first rows, which score 0, and is told how many they
//! are; the agent is not. A raw score `r` becomes `r / (r + q)`, where `q` is the 99.5 % quantile of the rows learnt from.

/// Row by row, a value for every series.
type Rows = [Vec<f64>];

/// A detector by name.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// Its name.
    pub name: &'static str,
    /// Raw scores of rows, given the rows to learn from; both row by row.
    raw: fn(learn: &Rows, rows: &Rows) -> Vec<f64>,
}

/// All of them.
pub const REFERENCES: [Reference; 3] = [
    Reference { name: "energy", raw: energy },
    Reference { name: "z-score", raw: z_score },
    Reference { name: "PCA", raw: pca },
];

impl Reference {
    /// The score of every row. A missing reading counts as the series' mean.
    #[must_use]
    pub fn scores(&self, columns: &[Vec<f64>], learn: usize) -> Vec<f64> {
        let n = columns.first().map_or(0, Vec::len);
        let mut score = vec![0.0; n];
        if learn < 2 || learn >= n {
            return score;
        }
        let fill: Vec<f64> = columns
            .iter()
            .map(|c| {
                let known: Vec<f64> = c[..learn].iter().copied().filter(|v| v.is_finite()).collect();
                known.iter().sum::<f64>() / known.len().max(1) as f64
            })
            .collect();
        let row = |i: usize| -> Vec<f64> {
            columns.iter().zip(&fill).map(|(c, mean)| if c[i].is_finite() { c[i] } else { *mean }).collect()
        };
        let rows: Vec<Vec<f64>> = (0..n).map(row).collect();
        let (taught, rest) = rows.split_at(learn);
        let mut usual = (self.raw)(taught, taught);
        usual.sort_by(f64::total_cmp);
        let q = match quantile(&usual, 0.995) {
            q if q > 1e-12 => q,
            _ => 1.0,
        };
        let raw = (self.raw)(taught, rest);
        // What differs in the tenth digit is a rounding error and no order of rows.
        score[learn..].iter_mut().zip(raw).for_each(|(score, r)| *score = (1e9 * r / (r + q)).round() / 1e9);
        score
    }
}

/// The mean over the last 10 rows of the summed squares of standardised values.
fn energy(learn: &Rows, rows: &Rows) -> Vec<f64> {
    let spread = Spread::of(learn);
    let squares = |row: &Vec<f64>| spread.standardised(row, 50.0, |sd, _| sd > 1e-9).map(|z| z * z).sum();
    trailing(&rows.iter().map(squares).collect::<Vec<f64>>(), 10).iter().map(|e| e.ln_1p()).collect()
}

/// The largest standardised value.
fn z_score(learn: &Rows, rows: &Rows) -> Vec<f64> {
    let spread = Spread::of(learn);
    let largest =
        |row: &Vec<f64>| spread.standardised(row, 1e6, |sd, _| sd > 1e-9).map(f64::abs).fold(0.0, f64::max);
    rows.iter().map(largest).collect()
}

/// What the components that hold 95 % of the variance do not explain, the mean over the last 5 rows.
fn pca(learn: &Rows, rows: &Rows) -> Vec<f64> {
    let mut spread = Spread::of(learn);
    for (mean, sd) in spread.0.iter_mut() {
        if *sd < 1e-4 * (mean.abs() + 1e-3) {
            *sd = 1.0;
        }
    }
    let z = |row: &Vec<f64>| -> Vec<f64> { spread.standardised(row, 20.0, |_, _| true).collect() };
    let n = spread.0.len();
    let mut covariance = vec![vec![0.0; n]; n];
    for row in learn.iter().map(z) {
        for (i, line) in covariance.iter_mut().enumerate() {
            line.iter_mut().zip(&row).for_each(|(cell, other)| *cell += row[i] * other / learn.len() as f64);
        }
    }
    let (values, vectors) = eigen(covariance);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let all = values.iter().sum::<f64>().max(1e-12);
    let mut sum = 0.0;
    let short = order.iter().take_while(|i| {
        sum += values[**i];
        sum / all < 0.95
    });
    let kept: Vec<usize> = order.iter().copied().take(short.count() + 1).collect();
    let error = |row: Vec<f64>| {
        let mut rest = row.clone();
        for k in &kept {
            let along: f64 = (0..n).map(|i| row[i] * vectors[i][*k]).sum();
            (0..n).for_each(|i| rest[i] -= along * vectors[i][*k]);
        }
        rest.iter().map(|r| r * r).sum::<f64>().sqrt()
    };
    trailing(&rows.iter().map(|row| error(z(row))).collect::<Vec<f64>>(), 5)
}

/// Mean and standard deviation of every series.
struct Spread(Vec<(f64, f64)>);

impl Spread {
    fn of(rows: &Rows) -> Self {
        let n = rows.len() as f64;
        let of = |i: usize| {
            let mean = rows.iter().map(|r| r[i]).sum::<f64>() / n;
            (mean, (rows.iter().map(|r| (r[i] - mean).powi(2)).sum::<f64>() / n).sqrt())
        };
        Self((0..rows[0].len()).map(of).collect())
    }

    /// Series whose spread is too small to standardise are zero.
    fn standardised(
        &self,
        row: &[f64],
        most: f64,
        moves: fn(sd: f64, mean: f64) -> bool,
    ) -> impl Iterator<Item = f64> {
        row.iter().zip(&self.0).map(move |(x, (mean, sd))| {
            if moves(*sd, *mean) { ((x - mean) / sd).clamp(-most, most) } else { 0.0 }
        })
    }
}

/// The mean of the last `w` values, of fewer at the beginning.
fn trailing(values: &[f64], w: usize) -> Vec<f64> {
    let mean = |i: usize| {
        let last = &values[(i + 1).saturating_sub(w)..=i];
        last.iter().sum::<f64>() / last.len() as f64
    };
    (0..values.len()).map(mean).collect()
}

/// Between the two nearest of sorted values.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let at = level * (sorted.len() - 1) as f64;
    let low = sorted[at as usize];
    let high = sorted[(at as usize + 1).min(sorted.len() - 1)];
    low + (high - low) * at.fract()
}

/// Eigenvalues and, in the columns, eigenvectors of a symmetric matrix, by Jacobi's rotations.
fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = a.len();
    let mut v: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let size: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _ in 0..60 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        if off <= 1e-22 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q].abs() < 1e-300 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in a.iter_mut().chain(&mut v) {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (above, below) = a.split_at_mut(q);
                for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_of_known_matrices() {
        let (mut values, vectors) = eigen(vec![vec![2.0, 1.0], vec![1.0, 2.0]]);
        for (x, y) in vectors[0].iter().zip(&vectors[1]) {
            assert!((x.abs() - y.abs()).abs() < 1e-12 && (x * x + y * y - 1.0).abs() < 1e-12);
        }
        values.sort_by(f64::total_cmp);
        assert!((values[0] - 1.0).abs() < 1e-12 && (values[1] - 3.0).abs() < 1e-12);
    }

    #[test]
    fn means_and_quantiles() {
        assert_eq!(trailing(&[1.0, 3.0, 5.0], 2), [1.0, 2.0, 4.0]);
        assert!((quantile(&[0.0, 1.0, 2.0, 3.0], 0.5) - 1.5).abs() < 1e-12);
        assert!((quantile(&[4.0], 0.995) - 4.0).abs() < 1e-12);
    }

    /// Two series that move together; then the second one alone stands still, then one jumps.
    #[test]
    fn each_sees_what_it_is_made_for() {
        let wave = |i: usize| (i as f64 / 7.0).sin();
        let first: Vec<f64> = (0..300).map(|i| if i >= 280 { 40.0 } else { wave(i) }).collect();
        let second: Vec<f64> = (0..300).map(|i| if i >= 240 { 0.9 } else { wave(i) }).collect();
        let columns = [first, second];
        for reference in REFERENCES {
            let score = reference.scores(&columns, 200);
            assert!(score[..200].iter().all(|s| *s == 0.0), "{}", reference.name);
            assert!(score[200..240].iter().all(|s| *s < 0.6), "{}", reference.name);
            assert!(score[290] > 0.75, "{}: {}", reference.name, score[290]);
            if reference.name == "PCA" {
                assert!(score[239] < 1e-6, "two that move together are one: {}", score[239]);
                assert!(score[250] > 0.6, "what moved together no longer does: {}", score[250]);
            }
        }
        assert!(REFERENCES[0].scores(&columns, 300).iter().all(|s| *s == 0.0));
    }
}
