//! The models of a device: which of them judges which series, and what becomes of one that fails.
//!
//! A model that fails, or whose answers are not finite and in order for some ticks, is off from then on; its series are
//! judged by the robust scorer alone, as are those of a model that could not be loaded.

use std::path::PathBuf;

use fieldmouse_core::judge::{LEVELS, Series};
use fieldmouse_core::metric::Metric;
use fieldmouse_core::series::{Millis, SeriesKey};
use fieldmouse_core::window::{self, Norm, WINDOW};

#[cfg(feature = "onnx")]
use super::joint::Joint;
use super::{Forecaster, is_sane};
use crate::sources::matches_any;

/// A model is off when its answers were senseless so many times running.
const SENSELESS: u8 = 5;

/// A model of the user's own, and how it is.
#[derive(Debug)]
pub struct Own {
    /// What it is called.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The contract it keeps; empty if it could not be loaded.
    pub contract: String,
    /// First bytes of its SHA-256.
    pub id: [u8; 8],
    /// Series that it reads, as patterns.
    pub series: Vec<String>,
    /// The model.
    pub engine: Engine,
    senseless: u8,
}

/// What runs.
#[derive(Debug)]
pub enum Engine {
    /// A forecast of each of its series.
    Forecast(Box<Rows>),
    /// A score of all of its series together.
    #[cfg(feature = "onnx")]
    Joint(Box<Joint>),
    /// Nothing, and why.
    Off(String),
}

/// A forecaster, and the series that its rows belong to.
#[derive(Debug)]
pub struct Rows {
    forecaster: Forecaster,
    series: Vec<usize>,
    norms: Vec<Option<Norm>>,
}

/// All of them.
#[derive(Debug)]
pub struct Models {
    own: Vec<Own>,
    /// Of all series that no other model reads.
    device: Own,
    /// So many series were given to a model.
    assigned: usize,
}

impl Own {
    /// A model that has not failed yet.
    #[must_use]
    pub fn new(name: &str, file: PathBuf, contract: &str, series: Vec<String>, engine: Engine) -> Self {
        let id = match &engine {
            Engine::Forecast(rows) => rows.forecaster.id(),
            #[cfg(feature = "onnx")]
            Engine::Joint(joint) => std::array::from_fn(|i| joint.model().info().sha256[i]),
            Engine::Off(_) => [0; 8],
        };
        Self { name: name.into(), file, contract: contract.into(), id, series, engine, senseless: 0 }
    }

    /// Why it is off, if it is.
    #[must_use]
    pub fn why_off(&self) -> Option<&str> {
        match &self.engine {
            Engine::Off(why) => Some(why),
            _ => None,
        }
    }

    /// How many series it reads now.
    #[must_use]
    pub fn reads(&self) -> usize {
        match &self.engine {
            Engine::Forecast(rows) => rows.series.len(),
            #[cfg(feature = "onnx")]
            Engine::Joint(joint) => joint.reads(),
            Engine::Off(_) => 0,
        }
    }

    /// What came of a run: one more senseless answer, none, or a failure for good.
    fn heed(&mut self, outcome: anyhow::Result<Option<String>>) {
        let why = match outcome {
            Ok(None) => {
                self.senseless = 0;
                return;
            }
            Ok(Some(why)) if self.senseless + 1 < SENSELESS => {
                self.senseless += 1;
                log::debug!("model {}: {why}", self.name);
                return;
            }
            Ok(Some(why)) => format!("{why}, {SENSELESS} times running"),
            Err(error) => format!("{error:#}"),
        };
        log::error!("model {} is off, the robust scorer judges alone: {why}", self.name);
        self.engine = Engine::Off(why);
    }
}

impl Engine {
    /// Forecasts of this model.
    #[must_use]
    pub fn forecast(forecaster: Forecaster) -> Self {
        Self::Forecast(Box::new(Rows { forecaster, series: Vec::new(), norms: Vec::new() }))
    }
}

/// A model's answer, in the units of a norm.
pub type Expected = Option<(Norm, [f32; LEVELS.len()])>;

impl Rows {
    fn expect(&mut self, series: &Series, metric: &Metric, values: &[f32]) -> anyhow::Result<Vec<Expected>> {
        self.forecaster.make_room(values.len())?;
        let mut series = series.clone();
        let rows = self.forecaster.windows.chunks_exact_mut(WINDOW);
        let ask = |(value, row): (&f32, &mut [f32])| {
            let norm = series.ask(metric, row);
            series.window.push(window::measure(metric, *value));
            norm
        };
        let norms: Vec<Option<Norm>> = values.iter().zip(rows).map(ask).collect();
        self.forecaster.run()?;
        let answer = |(row, norm): (usize, &Option<Norm>)| {
            let quantiles = self.forecaster.row(row);
            norm.filter(|_| is_sane(quantiles)).zip(quantiles.try_into().ok())
        };
        Ok(norms.iter().enumerate().map(answer).collect())
    }

    /// Asks for the next reading of every series. Returns what was senseless.
    fn run(&mut self, keys: &[SeriesKey], series: &mut [Series]) -> anyhow::Result<Option<String>> {
        if self.series.is_empty() {
            return Ok(None);
        }
        self.forecaster.make_room(self.series.len())?;
        self.norms.resize(self.series.len(), None);
        let rows = self.forecaster.windows.chunks_exact_mut(WINDOW);
        for ((i, norm), row) in self.series.iter().zip(&mut self.norms).zip(rows) {
            *norm = series[*i].ask(keys[*i].metric(), row);
        }
        self.forecaster.run()?;
        let mut senseless = None;
        for (row, (i, norm)) in self.series.iter().zip(&self.norms).enumerate() {
            let Some(norm) = norm else { continue };
            let quantiles = self.forecaster.row(row);
            if is_sane(quantiles) {
                series[*i].answer(*norm, quantiles);
            } else if self.forecaster.windows[row * WINDOW..][..WINDOW].iter().all(|x| x.is_finite()) {
                // A window that is not finite is not the model's fault.
                senseless.get_or_insert_with(|| {
                    format!("quantiles {quantiles:?} for `{}` are not finite and in order", keys[*i])
                });
            }
        }
        Ok(senseless)
    }
}

impl Models {
    /// The device's own model, or why there is none, and the user's.
    #[must_use]
    pub fn new(device: Engine, own: Vec<Own>) -> Self {
        Self { own, device: Own::new("device", PathBuf::new(), "", Vec::new(), device), assigned: 0 }
    }

    /// One model for everything, or none.
    #[must_use]
    pub fn of(forecaster: Option<Forecaster>) -> Self {
        Self::new(forecaster.map_or_else(|| Engine::Off(String::new()), Engine::forecast), Vec::new())
    }

    /// The model of all series that no other reads.
    #[must_use]
    pub fn device(&self) -> Option<&Forecaster> {
        match &self.device.engine {
            Engine::Forecast(rows) => Some(&rows.forecaster),
            _ => None,
        }
    }

    /// Why the device's model is off, if it is and should not be.
    #[must_use]
    pub fn device_why_off(&self) -> Option<&str> {
        self.device.why_off().filter(|why| !why.is_empty())
    }

    /// Every model that was asked for: the user's in their order, then the device's unless it is off by choice.
    pub fn all(&self) -> impl Iterator<Item = &Own> {
        let device = Some(&self.device).filter(|d| d.why_off() != Some(""));
        self.own.iter().chain(device)
    }

    /// The user's own.
    #[must_use]
    pub fn own(&self) -> &[Own] {
        &self.own
    }

    /// Leaves out models that read several series together: what they said is known.
    pub fn forget_joint(&mut self) {
        #[cfg(feature = "onnx")]
        self.own.retain(|own| !matches!(own.engine, Engine::Joint(_)));
    }

    /// Gives series that were not there before to the models that read them. Returns which series a model makes.
    pub fn assign(&mut self, keys: &[SeriesKey]) -> Vec<(usize, Vec<SeriesKey>)> {
        if self.assigned == keys.len() {
            return Vec::new();
        }
        for (i, key) in keys.iter().enumerate().skip(self.assigned) {
            let name = key.to_string();
            let mut own = self.own.iter_mut();
            let reader =
                own.find(|own| matches!(own.engine, Engine::Forecast(_)) && matches_any(&own.series, &name));
            if let Engine::Forecast(rows) = &mut reader.unwrap_or(&mut self.device).engine {
                rows.series.push(i);
            }
        }
        self.assigned = keys.len();
        #[cfg(not(feature = "onnx"))]
        return Vec::new();
        #[cfg(feature = "onnx")]
        self.find_together(keys)
    }

    #[cfg(feature = "onnx")]
    fn find_together(&mut self, keys: &[SeriesKey]) -> Vec<(usize, Vec<SeriesKey>)> {
        let mut made = Vec::new();
        for (at, own) in self.own.iter_mut().enumerate() {
            let Engine::Joint(joint) = &mut own.engine else { continue };
            match joint.find(&own.name, &own.series, keys) {
                Ok(keys) if keys.is_empty() => {}
                Ok(keys) => made.push((at, keys)),
                Err(error) => own.heed(Err(error)),
            }
        }
        made
    }

    /// The indices of the series that model `at` makes.
    pub fn make(&mut self, at: usize, indices: Vec<usize>) {
        #[cfg(feature = "onnx")]
        if let Some(Own { engine: Engine::Joint(joint), .. }) = self.own.get_mut(at) {
            joint.make(indices);
        }
        #[cfg(not(feature = "onnx"))]
        let _ = (at, indices);
    }

    /// Milliseconds between the scores of model `at`; 0 = at every tick.
    #[must_use]
    pub fn every_ms(&self, at: usize) -> Millis {
        #[cfg(feature = "onnx")]
        if let Some(Own { engine: Engine::Joint(joint), .. }) = self.own.get(at) {
            return joint.every_ms();
        }
        let _ = at;
        0
    }

    /// Scores series that belong together. `scored` gets the series and its score.
    pub fn score(&mut self, now: Millis, series: &[Series], scored: &mut Vec<(usize, f32)>) {
        #[cfg(feature = "onnx")]
        for own in &mut self.own {
            let Engine::Joint(joint) = &mut own.engine else { continue };
            let outcome = match joint.step(now, series) {
                Ok(None) => continue,
                Ok(Some((made, scores))) => {
                    scored.extend(made.iter().copied().zip(scores.iter().copied()));
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            own.heed(Ok(outcome));
        }
        #[cfg(not(feature = "onnx"))]
        let _ = (now, series, scored);
    }

    /// What the series' model would have expected of each of these values, had they been read one after the other. The
    /// series itself stays as it is.
    pub fn expect(&mut self, i: usize, series: &Series, metric: &Metric, values: &[f32]) -> Vec<Expected> {
        for own in self.own.iter_mut().chain([&mut self.device]) {
            if let Engine::Forecast(rows) = &mut own.engine
                && rows.series.contains(&i)
            {
                let expected = rows.expect(series, metric, values);
                return expected.unwrap_or_default();
            }
        }
        Vec::new()
    }

    /// Asks about every series' next reading.
    pub fn forecast(&mut self, keys: &[SeriesKey], series: &mut [Series]) {
        for own in self.own.iter_mut().chain([&mut self.device]) {
            if let Engine::Forecast(rows) = &mut own.engine {
                let outcome = rows.run(keys, series);
                own.heed(outcome);
            }
        }
    }
}

const _: () = assert!(LEVELS.len() == 7, "is_sane and answer look at seven levels");
