//! A logarithmic histogram of durations: quantiles within 5 %, in less than a kilobyte.

/// From one bucket to the next.
const STEP: f64 = 1.1;
/// What is shorter is in the first bucket.
const LEAST_S: f64 = 1e-5;
/// The last one begins at thirteen minutes.
const BUCKETS: usize = 192;

/// How often durations of every size were seen.
#[derive(Debug)]
pub(super) struct Sketch {
    buckets: Box<[u32; BUCKETS]>,
    count: u32,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0 }
    }
}

impl Sketch {
    pub(super) fn add(&mut self, seconds: f64) {
        // Above what fits and below, a conversion ends at the bound.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "so it saturates")]
        let at = ((seconds / LEAST_S).ln() / STEP.ln()) as usize;
        let bucket = &mut self.buckets[at.min(BUCKETS - 1)];
        *bucket = bucket.saturating_add(1);
        self.count = self.count.saturating_add(1);
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// In seconds; none of nothing.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (f64::from(self.count) * share).ceil().max(1.0);
        let mut seen = 0.0;
        let at = self.buckets.iter().position(|n| {
            seen += f64::from(*n);
            seen >= rank
        })?;
        Some(LEAST_S * STEP.powf(at as f64 + 0.5))
    }

    pub(super) fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let check = |durations: &mut dyn Iterator<Item = f64>| {
            let mut all: Vec<f64> = durations.collect();
            let mut sketch = Sketch::default();
            all.iter().for_each(|d| sketch.add(*d));
            all.sort_by(f64::total_cmp);
            for share in [0.5, 0.95, 0.99] {
                let rank = (all.len() as f64 * share).ceil() as usize - 1;
                let (got, wanted) = (sketch.quantile(share).unwrap(), all[rank]);
                assert!((got / wanted - 1.0).abs() < 0.05, "{share}: {got}, not {wanted}");
            }
        };
        check(&mut (1..=1000).map(|i| f64::from(i) / 1000.0));
        check(&mut (0..100).map(|i| 2e-5 * 1.15_f64.powi(i % 90)));
        check(&mut [0.3].into_iter());
    }

    #[test]
    fn the_extremes_are_counted() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.quantile(0.5), None);
        [0.0, -1.0, f64::NAN, 1e-9].iter().for_each(|d| sketch.add(*d));
        assert!(sketch.quantile(1.0).unwrap() < 2e-5);
        sketch.add(f64::INFINITY);
        assert!(sketch.quantile(1.0).unwrap() > 700.0);
        assert_eq!(sketch.count(), 5);
        sketch.clear();
        assert_eq!((sketch.count(), sketch.quantile(0.5)), (0, None));
    }
}
