//! VUS-PR: the volume under the range-aware precision-recall surface (Paparrizos et al., VLDB 2022), in the revision that
//! TSB-AD uses.

use super::sets::runs;

/// Points of the curve.
const THRESHOLDS: usize = 250;

/// VUS-PR in 0..1, the mean over the buffer sizes `0..=window`. Zero without anomalies.
#[must_use]
pub fn vus_pr(score: &[f64], label: &[bool], window: usize) -> f64 {
    let (n, spans) = (score.len(), runs(label));
    if spans.is_empty() {
        return 0.0;
    }
    let positives = label.iter().filter(|is| **is).count() as f64;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
    // Every threshold is the score of a row, at even steps of rank; with it, how many rows reach it.
    let step = (n - 1) as f64 / (THRESHOLDS - 1) as f64;
    let rank = |i: usize| if i + 1 == THRESHOLDS { n - 1 } else { (i as f64 * step) as usize };
    let curve: Vec<(f64, usize)> = (0..THRESHOLDS)
        .map(|i| {
            let threshold = score[order[rank(i)]];
            (threshold, order.partition_point(|i| score[*i] >= threshold))
        })
        .collect();
    let hits = sums(&order, |i| f64::from(u8::from(label[i])));
    let mut area = 0.0;
    for w in 0..=window {
        let soft = ramps(label, &spans, w);
        let near = sums(&order, |i| soft[i]);
        let mut peaks: Vec<f64> = regions(&spans, w, n)
            .iter()
            .map(|(a, b)| score[*a..=*b].iter().copied().fold(f64::NEG_INFINITY, f64::max))
            .collect();
        peaks.sort_by(f64::total_cmp);
        let mut recall = 0.0;
        for (threshold, told) in &curve {
            // A row of the ramp counts its soft label once for the hits; the size averages hit and whole.
            let tp = hits[*told] + near[*told];
            let seen = (peaks.len() - peaks.partition_point(|p| p < threshold)) as f64 / peaks.len() as f64;
            let now = (tp / (positives + near[*told] / 2.0)).min(1.0) * seen;
            area += (now - recall) * tp / *told as f64;
            recall = now;
        }
    }
    area / (window + 1) as f64
}

/// Running sums in an order: entry `k` is that of the first `k`.
fn sums(order: &[usize], value: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sum = 0.0;
    std::iter::once(0.0)
        .chain(order.iter().map(|i| {
            sum += value(*i);
            sum
        }))
        .collect()
}

/// Outside of anomalies: `sqrt(1 - distance / w)` within half of `w`, at most 1.
fn ramps(label: &[bool], spans: &[(usize, usize)], w: usize) -> Vec<f64> {
    let (n, half) = (label.len(), w / 2);
    let mut soft = vec![0.0f64; n];
    if half > 0 {
        let height = |distance: usize| (1.0 - distance as f64 / w as f64).sqrt();
        for (a, b) in spans {
            (b + 1..(b + half + 1).min(n)).for_each(|i| soft[i] += height(i - b));
            (a.saturating_sub(half)..*a).for_each(|i| soft[i] += height(a - i));
        }
    }
    soft.iter().zip(label).map(|(s, is)| if *is { 0.0 } else { s.min(1.0) }).collect()
}

/// The anomalies with their buffers; those that overlap are one.
fn regions(spans: &[(usize, usize)], w: usize, n: usize) -> Vec<(usize, usize)> {
    let half = w / 2;
    let mut out = Vec::new();
    let mut begin = spans[0].0.saturating_sub(half);
    for pair in spans.windows(2) {
        let (end, next) = (pair[0].1, pair[1].0);
        if end + half + half < next {
            out.push((begin, end + half));
            begin = next - half;
        }
    }
    out.push((begin, (spans[spans.len() - 1].1 + half).min(n - 1)));
    out
}

/// TSB-AD's window: the lag of the highest local maximum of the autocorrelation, lags 3 to 400 of the first 20,000 rows;
/// 125 if there is none or it lies outside 3 to 300.
#[must_use]
pub fn period(x: &[f64]) -> usize {
    const NONE: usize = 125;
    let x: Vec<f64> = x.iter().take(20_000).map(|v| if v.is_finite() { *v } else { 0.0 }).collect();
    let mean = x.iter().sum::<f64>() / x.len().max(1) as f64;
    let x: Vec<f64> = x.iter().map(|v| v - mean).collect();
    let of = |lag: usize| x.iter().zip(&x[lag..]).map(|(a, b)| a * b).sum::<f64>();
    // A spectrum computes a constant's as exactly zero; sums leave a rounding error.
    if x.iter().all(|v| v.abs() <= 1e-12 * mean.abs()) {
        return NONE;
    }
    let a: Vec<f64> = (3..=400.min(x.len() - 1)).map(of).collect();
    let peaks = (1..a.len().saturating_sub(1)).filter(|i| a[*i] > a[i - 1] && a[*i] > a[i + 1]);
    match peaks.max_by(|i, j| a[*i].total_cmp(&a[*j])) {
        Some(lag) if (3..=300).contains(&lag) => lag + 3,
        _ => NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(is: f64, should: f64) {
        assert!((is - should).abs() < 1e-9, "{is}, not {should}");
    }

    fn bits(text: &str) -> Vec<bool> {
        text.chars().map(|c| c == '1').collect()
    }

    #[test]
    fn buffers() {
        let label = bits("0000110000");
        assert_eq!(regions(&[(4, 5)], 4, 10), [(2, 7)]);
        assert_eq!(regions(&[(1, 1), (8, 9)], 4, 10), [(0, 3), (6, 9)]);
        assert_eq!(regions(&[(1, 1), (5, 9)], 4, 10), [(0, 9)]);
        let soft = ramps(&label, &[(4, 5)], 4);
        let (far, near) = (0.5f64.sqrt(), 0.75f64.sqrt());
        assert_eq!(soft, [0.0, 0.0, far, near, 0.0, 0.0, near, far, 0.0, 0.0]);
    }

    #[test]
    fn without_a_buffer_it_is_the_curve_of_rows() {
        let label = bits("0001100000");
        let perfect: Vec<f64> = label.iter().map(|is| f64::from(u8::from(*is))).collect();
        close(vus_pr(&perfect, &label, 0), 1.0);
        let flat = vec![0.5; 10];
        close(vus_pr(&flat, &label, 0), 0.2);
        // The anomaly's second row comes third: one of one, then two of three.
        let score = [0.0, 0.1, 0.2, 0.9, 0.7, 0.8, 0.0, 0.0, 0.0, 0.0];
        close(vus_pr(&score, &label, 0), 0.5 + 0.5 * 2.0 / 3.0);
    }

    #[test]
    fn known_values_with_buffers() {
        let label = bits("000000011100000000001111000000");
        let score: Vec<f64> = (0..30).map(|i| f64::from(i * i * 7 % 31) / 31.0).collect();
        // From the reference implementation in Python that agrees with the package of TSB-AD.
        close(vus_pr(&score, &label, 10), 0.408_456_438_564_799);
        close(vus_pr(&score, &label, 3), 0.278_758_687_789_859_24);
    }

    #[test]
    fn periods() {
        let wave = |n: usize| {
            (0..600).map(|i| ((i % n) as f64 / n as f64 * std::f64::consts::TAU).sin()).collect::<Vec<_>>()
        };
        assert_eq!(period(&wave(40)), 40);
        assert_eq!(period(&[1.0; 500]), 125);
        assert_eq!(period(&[1.0]), 125);
    }
}
