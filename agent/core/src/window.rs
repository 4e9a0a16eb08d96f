//! The last readings of one series, and their scale-free form for the model.

use serde::{Deserialize, Serialize};

use crate::metric::{Metric, Scale};

/// How many readings a window holds; the model's input length.
pub const WINDOW: usize = 64;
/// The model sees nothing beyond so many scales.
const CLIP: f32 = 8.0;

/// A ring of the last [`WINDOW`] values, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    #[serde(with = "crate::array")]
    values: [f32; WINDOW],
    at: usize,
    len: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { values: [0.0; WINDOW], at: 0, len: 0 }
    }
}

impl Window {
    /// Appends a value; the oldest goes.
    pub fn push(&mut self, value: f32) {
        self.values[self.at] = value;
        self.at = (self.at + 1) % WINDOW;
        self.len = (self.len + 1).min(WINDOW);
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value pushed last.
    #[must_use]
    pub fn last(&self) -> Option<f32> {
        (self.len > 0).then(|| self.values[(self.at + WINDOW - 1) % WINDOW])
    }

    /// The values, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = f32> + ExactSizeIterator + '_ {
        let start = (self.at + WINDOW - self.len) % WINDOW;
        (0..self.len).map(move |i| self.values[(start + i) % WINDOW])
    }

    /// Writes the window for the model: `(x - mean) / scale`, clipped. A window that is not full yet is filled up
    /// at its front with its oldest value. `floor` keeps a quiet series from being blown up to the size of a lively
    /// one. Returns what turns predictions back into the series' own values.
    pub fn normalise(&self, floor: f32, out: &mut [f32]) -> Norm {
        let n = WINDOW as f32;
        let first = self.iter().next().unwrap_or(0.0);
        let pad = WINDOW - self.len;
        for x in &mut out[..pad] {
            *x = first;
        }
        for (x, v) in out[pad..].iter_mut().zip(self.iter()) {
            *x = v;
        }
        let mean = out.iter().sum::<f32>() / n;
        let variance = out.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n;
        let scale = libm::sqrtf(variance).max(floor).max(f32::MIN_POSITIVE);
        for x in out.iter_mut() {
            *x = ((*x - mean) / scale).clamp(-CLIP, CLIP);
        }
        Norm { mean, scale }
    }
}

/// What was taken out of a window by normalising it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Its mean.
    pub mean: f32,
    /// Its scale.
    pub scale: f32,
}

/// The value in which deviations of this metric are measured.
#[must_use]
pub fn measure(metric: &Metric, value: f32) -> f32 {
    match metric.scale {
        Scale::Linear => value,
        Scale::Log => libm::asinhf(value / metric.floor),
    }
}

/// The metric's own value again.
#[must_use]
pub fn unmeasure(metric: &Metric, measured: f32) -> f32 {
    match metric.scale {
        Scale::Linear => measured,
        Scale::Log => libm::sinhf(measured) * metric.floor,
    }
}

/// The smallest change of the measured value worth anybody's time; zero if the metric does not say.
#[must_use]
pub fn measured_floor(metric: &Metric) -> f32 {
    match metric.scale {
        Scale::Linear => metric.floor,
        // asinh(1): from nothing to the floor, or rather more than doubling.
        Scale::Log => 0.881_373_6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_ring_keeps_the_newest_in_order() {
        let mut w = Window::default();
        assert_eq!((w.last(), w.len()), (None, 0));
        for i in 0..100u8 {
            w.push(f32::from(i));
        }
        let kept: Vec<f32> = w.iter().collect();
        assert_eq!(kept, (36..100u8).map(f32::from).collect::<Vec<_>>());
        assert_eq!(w.last(), Some(99.0));
    }

    #[test]
    fn normalising_is_scale_free_and_total() {
        let mut out = [0.0; WINDOW];
        let mut a = Window::default();
        assert_eq!(a.normalise(0.0, &mut out).mean, 0.0);
        let mut b = Window::default();
        for i in 0..80u8 {
            let x = libm::sinf(f32::from(i));
            a.push(x);
            b.push(1000.0 * x + 5.0);
        }
        let mut out_b = [0.0; WINDOW];
        a.normalise(1e-6, &mut out);
        b.normalise(1e-6, &mut out_b);
        assert!(out.iter().zip(&out_b).all(|(x, y)| (x - y).abs() < 1e-3));
        a.push(f32::MAX);
        a.normalise(1e-6, &mut out);
        assert!(out.iter().all(|x| x.is_finite() || x.is_nan()));
    }
}
