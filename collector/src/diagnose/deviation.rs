//! How unusual the rows of a failure are, compared with the rows before it.

/// What a series usually does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    pub(super) median: f64,
    /// Half the width of the middle 90 %, scaled to be the standard deviation of a normal law: an outlier among the
    /// rows before does not widen it, a habit does.
    pub(super) spread: f64,
    /// Rows with a value.
    pub(super) rows: usize,
}

impl Usual {
    /// None for fewer than two values: nothing can be said of what is usual.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        (sorted.len() >= 2).then(|| Self {
            median: quantile(&sorted, 0.5),
            spread: (quantile(&sorted, 0.95) - quantile(&sorted, 0.05)) / (2.0 * 1.644_854),
            rows: sorted.len(),
        })
    }

    /// The spread, moderated by `pooled`, the relative spread of the same metric elsewhere, which is worth `pooled_rows`
    /// rows: of a handful of rows alone the spread is hardly known (Smyth 2004, moderated t).
    pub(super) fn moderated(&self, pooled: f64, pooled_rows: f64) -> f64 {
        let (rows, elsewhere) = (self.rows as f64 - 1.0, pooled * self.median.abs());
        ((pooled_rows * elsewhere.powi(2) + rows * self.spread.powi(2)) / (pooled_rows + rows)).sqrt()
    }
}

/// The quantile of sorted values, linear between neighbours; 0 of none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = sorted[(below + 1).min(last)];
    sorted[below] + (above - sorted[below]) * part
}

/// The larger half of the deviations, averaged: a failure need not fill the rows, and one wild row is not one.
pub(super) fn larger_half(deviations: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = deviations.iter().copied().filter(|d| d.is_finite()).collect();
    sorted.sort_by(|a, b| b.abs().total_cmp(&a.abs()).then(b.total_cmp(a)));
    sorted.truncate(sorted.len().div_ceil(2));
    if sorted.is_empty() { 0.0 } else { sorted.iter().sum::<f64>() / sorted.len() as f64 }
}

/// Nats against chance of a deviation of `z` spreads, by Student's law with that many degrees of `freedom`, whose tails
/// are as heavy as those of what machines do. Never negative, 0 for what is no number.
#[must_use]
pub fn strength(z: f64, freedom: f64) -> f64 {
    let z = z.clamp(-1e100, 1e100);
    let nats = (freedom + 1.0) / 2.0 * (z * z / freedom).ln_1p();
    if nats.is_finite() { nats.max(0.0) } else { 0.0 }
}

/// How much two courses move together: their correlation, at least 0. None if one of them stands still.
pub(super) fn together(a: &[f64], b: &[f64]) -> Option<f64> {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a).powi(2);
        bb += (y - mean_b).powi(2);
    }
    let norm = (aa * bb).sqrt();
    (norm > 1e-9).then(|| (ab / norm).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_does_not_widen_what_is_usual() {
        let mut values: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        let calm = Usual::of(&values).unwrap();
        values[7] = 1e9;
        let with = Usual::of(&values).unwrap();
        assert!(
            (calm.median - with.median).abs() < 1.0 && with.spread < calm.spread * 1.2,
            "{calm:?} {with:?}"
        );
        assert_eq!(Usual::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn few_rows_lean_on_the_others() {
        let few = Usual::of(&[10.0, 10.0, 10.0, 10.0, 10.0]).unwrap();
        let many = Usual::of(&[10.0; 1000]).unwrap();
        assert!((few.moderated(0.2, 4.0) - 2.0 / 2.0_f64.sqrt()).abs() < 1e-9);
        assert!(many.moderated(0.2, 4.0) < 0.2);
    }

    #[test]
    fn strength_grows_slowly_and_is_total() {
        let check =
            |z: f64, nats: f64| assert!((strength(z, 4.0) - nats).abs() < 0.05, "{z}: {}", strength(z, 4.0));
        check(0.0, 0.0);
        check(3.0, 2.95);
        check(-3.0, 2.95);
        check(100.0, 19.56);
        check(f64::NAN, 0.0);
        assert!(strength(f64::INFINITY, 4.0) > 100.0);
    }

    #[test]
    fn half_of_the_rows_are_enough() {
        assert_eq!(larger_half(&[0.0, 0.0, 8.0, 10.0]), 9.0);
        assert_eq!(larger_half(&[0.0, -6.0, 0.0]), -3.0);
        assert_eq!(larger_half(&[f64::NAN]), 0.0);
    }

    #[test]
    fn what_stands_still_moves_with_nothing() {
        assert_eq!(together(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(together(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]), Some(1.0));
        assert_eq!(together(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(0.0));
    }
}
