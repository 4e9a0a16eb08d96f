//! The ONNX models as the pipeline uses them. A forecaster: windows of its series in, quantiles out, one inference a
//! tick.
//!
//! What a deviation from its prediction means is decided in `fieldmouse-core`; without it the robust baseline of the
//! core judges alone.

#[cfg(feature = "onnx")]
pub mod joint;
pub mod load;
pub mod models;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "onnx")]
pub mod trial;

use fieldmouse_core::judge::LEVELS;
#[cfg(feature = "onnx")]
use fieldmouse_core::window::WINDOW;

/// The shipped model.
#[cfg(feature = "onnx")]
pub static SHIPPED: &[u8] = include_bytes!("../../../models/forecaster.onnx");

/// The contract of a forecaster: the next reading of one series, as quantiles.
pub const FORECAST: &str = "forecast/1";
/// The contract of a model that says how strange several series are together.
pub const SCORE: &str = "score/1";

/// Quantiles may cross by rounding.
const CROSSING: f32 = 1e-3;

/// Whether these are quantiles: finite, and in order.
#[must_use]
pub fn is_sane(quantiles: &[f32]) -> bool {
    let ordered = quantiles.windows(2).all(|pair| matches!(pair, [a, b] if *a <= *b + CROSSING));
    ordered && quantiles.iter().all(|q| q.is_finite())
}

/// Checks that a forecaster has this agent's window and levels.
///
/// # Errors
/// If it has not; the sentence says which it needs.
#[cfg(feature = "onnx")]
pub fn fits_agent(info: &onnx::ModelInfo) -> anyhow::Result<()> {
    let levels_match = info.quantiles.len() == LEVELS.len()
        && info.quantiles.iter().zip(LEVELS).all(|(a, b)| (a - b).abs() < 1e-6);
    if info.contract != FORECAST || info.window != WINDOW || !levels_match {
        anyhow::bail!(
            "contract {}, window {} and quantiles {:?} do not fit; this agent needs {FORECAST}, window {WINDOW} and quantiles {LEVELS:?}",
            info.contract,
            info.window,
            info.quantiles
        );
    }
    Ok(())
}

/// Series that are asked about at once: a graph is prepared for a fixed number of rows, and its buffers grow with it.
pub const ROWS: usize = 32;

/// A model and its buffers.
#[derive(Debug)]
pub struct Forecaster {
    #[cfg(feature = "onnx")]
    model: onnx::Model,
    /// Normalised windows of [`ROWS`] series, row after row.
    pub windows: Vec<f32>,
    quantiles: Vec<f32>,
}

impl Forecaster {
    /// The model of these bytes, checked against the contract.
    ///
    /// # Errors
    /// If it is not a model of the contract `forecast/1` with this agent's window and levels.
    #[cfg(feature = "onnx")]
    pub fn new(bytes: &[u8]) -> anyhow::Result<Self> {
        let info = onnx::Model::inspect(bytes)?;
        fits_agent(&info)?;
        let model = onnx::Model::load(bytes, ROWS)?;
        Ok(Self { model, windows: vec![0.0; ROWS * WINDOW], quantiles: vec![0.0; ROWS * LEVELS.len()] })
    }

    /// First bytes of the model's SHA-256.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        #[cfg(feature = "onnx")]
        return std::array::from_fn(|i| self.model.info().sha256[i]);
        #[cfg(not(feature = "onnx"))]
        return [0; 8];
    }

    /// The model's name and version.
    #[must_use]
    pub fn name(&self) -> String {
        #[cfg(feature = "onnx")]
        return format!("{} {}", self.model.info().name, self.model.info().version);
        #[cfg(not(feature = "onnx"))]
        return String::new();
    }

    /// Runs the model over all rows of `windows`.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn run(&mut self) -> anyhow::Result<()> {
        #[cfg(feature = "onnx")]
        self.model.run(&self.windows, &mut self.quantiles)?;
        Ok(())
    }

    /// The quantiles predicted for a row by the last run.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        self.quantiles.get(row * LEVELS.len()..(row + 1) * LEVELS.len()).unwrap_or(&[])
    }
}

/// Inputs of the shipped model, and what a reference runtime gave for them.
#[cfg(feature = "onnx")]
pub static GOLDEN: &str = include_str!("../../../models/golden.csv");

#[cfg(all(test, feature = "onnx"))]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_model_agrees_with_the_reference_runtime() {
        let (worst, rows) = load::agreement(SHIPPED, None, GOLDEN).unwrap();
        assert!(worst <= load::AGREEMENT && rows > 60, "{worst} in {rows}");
    }

    #[test]
    fn rows_do_not_depend_on_their_place_or_on_others() {
        let run = |place: usize, others: f32| {
            let mut f = Forecaster::new(SHIPPED).unwrap();
            f.windows.fill(others);
            for (i, x) in f.windows[place * WINDOW..].iter_mut().take(WINDOW).enumerate() {
                *x = (i as f32).sin();
            }
            f.run().unwrap();
            f.row(place).to_vec()
        };
        assert_eq!(run(0, 0.0), run(ROWS - 1, 3.0));
        assert_eq!(run(0, 0.0), run(7, f32::NAN));
    }
}
