//! A model of several series together, `score/1`: windows of all of them in, how strange they are out.
//!
//! What it says becomes one more series, or one for each that it reads, and is judged like any other: so a score needs
//! no scale and no threshold of its own, and counts into the device's budget of false alarms.

use fieldmouse_core::judge::Series;
use fieldmouse_core::metric;
use fieldmouse_core::quality::Verdict;
use fieldmouse_core::series::{Millis, SeriesKey};

use super::onnx::{Model, RECONSTRUCTION};
use crate::sources::{label, matches_any};

/// A model, the series it reads, and those it makes.
#[derive(Debug)]
pub struct Joint {
    model: Model,
    every_ms: Millis,
    due: Millis,
    /// The series it reads, in its order; empty until all are there.
    reads: Vec<usize>,
    /// The series it makes.
    makes: Vec<usize>,
    /// The windows of all series, one after the other, oldest reading first.
    windows: Vec<f32>,
    filled: usize,
    out: Vec<f32>,
    scores: Vec<f32>,
}

impl Joint {
    /// A model that keeps `score/1`, run at every `every_ms`; 0 = at every tick.
    #[must_use]
    pub fn new(model: Model, every_ms: Millis) -> Self {
        let (fed, given) = model.info().values();
        let windows = vec![0.0; fed];
        Self {
            model,
            every_ms,
            due: 0,
            reads: Vec::new(),
            makes: Vec::new(),
            windows,
            filled: 0,
            out: vec![0.0; given],
            scores: Vec::new(),
        }
    }

    /// What the model says about itself.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Milliseconds between its scores; 0 = at every tick.
    #[must_use]
    pub fn every_ms(&self) -> Millis {
        self.every_ms
    }

    /// How many series it reads now.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads.len()
    }

    /// Looks for its series: pattern by pattern, of one pattern in the order of their names. Returns the names of the
    /// series it makes, for which [`Joint::make`] has to be told the indices.
    ///
    /// # Errors
    /// If there are more series than the model reads.
    pub fn find(
        &mut self,
        name: &str,
        patterns: &[String],
        keys: &[SeriesKey],
    ) -> anyhow::Result<Vec<SeriesKey>> {
        let mut found: Vec<(usize, String)> = Vec::new();
        for pattern in patterns {
            let one = std::slice::from_ref(pattern);
            let mut named: Vec<(usize, String)> = keys
                .iter()
                .map(ToString::to_string)
                .enumerate()
                .filter(|(_, n)| matches_any(one, n))
                .collect();
            named.sort_by(|a, b| a.1.cmp(&b.1));
            named.retain(|(i, _)| keys[*i].code != metric::MODEL_SCORE && found.iter().all(|(f, _)| f != i));
            found.append(&mut named);
        }
        let wanted = self.model.info().series;
        if found.len() > wanted {
            anyhow::bail!("{} series match its `series`, it reads {wanted}", found.len());
        }
        if found.len() < wanted || !self.reads.is_empty() {
            return Ok(Vec::new());
        }
        self.reads = found.iter().map(|(i, _)| *i).collect();
        let scores = if self.is_reconstruction() { wanted } else { self.out.len() };
        self.scores = vec![0.0; scores];
        if scores == 1 {
            return Ok(vec![SeriesKey::new(metric::MODEL_SCORE, &[name, "all"])]);
        }
        // Labels are cut; the number in front keeps them apart.
        let key = |(at, (_, series)): (usize, &(usize, String))| {
            SeriesKey::new(metric::MODEL_SCORE, &[name, &label(&format!("{} {series}", at + 1))])
        };
        Ok(found.iter().enumerate().map(key).collect())
    }

    /// The indices of the series it makes.
    pub fn make(&mut self, indices: Vec<usize>) {
        self.makes = indices;
    }

    fn is_reconstruction(&self) -> bool {
        self.model.info().output() == RECONSTRUCTION
    }

    /// Takes a tick's readings. Returns its scores and the series they belong to, if there is something new to say.
    ///
    /// A tick at which one of its series has no good reading is left out of the windows.
    ///
    /// # Errors
    /// If the engine fails or a score is not finite.
    pub fn step(&mut self, now: Millis, series: &[Series]) -> anyhow::Result<Option<(&[usize], &[f32])>> {
        let good =
            |i: &usize| series.get(*i).is_some_and(|s| s.now.verdict == Verdict::Ok && s.now.value.is_some());
        if self.makes.is_empty() || now < self.due || !self.reads.iter().all(good) {
            return Ok(None);
        }
        self.due =
            if self.due + self.every_ms <= now { now + self.every_ms } else { self.due + self.every_ms };
        let window = self.model.info().window;
        for (row, i) in self.windows.chunks_exact_mut(window).zip(&self.reads) {
            row.copy_within(1.., 0);
            row[window - 1] = series[*i].now.value.unwrap_or(0.0);
        }
        self.filled = (self.filled + 1).min(window);
        if self.filled < window {
            return Ok(None);
        }
        self.model.run(&self.windows, &mut self.out)?;
        if self.is_reconstruction() {
            let pairs = self.windows.chunks_exact(window).zip(self.out.chunks_exact(window));
            for (score, (read, rebuilt)) in self.scores.iter_mut().zip(pairs) {
                let error: f32 = read.iter().zip(rebuilt).map(|(a, b)| (a - b).abs()).sum();
                *score = error / window as f32;
            }
        } else {
            self.scores.copy_from_slice(&self.out);
        }
        if let Some(odd) = self.scores.iter().find(|score| !score.is_finite()) {
            anyhow::bail!("gives the score {odd}");
        }
        Ok(Some((&self.makes, &self.scores)))
    }
}
