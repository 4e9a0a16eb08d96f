//! The ONNX forecaster as the pipeline uses it: windows of all series in, quantiles out, one inference a tick.
//!
//! What a deviation from its prediction means is decided in `fieldmouse-core`; without it the robust baseline of the
//! core judges alone.

#[cfg(feature = "onnx")]
pub mod onnx;

use fieldmouse_core::judge::LEVELS;
#[cfg(feature = "onnx")]
use fieldmouse_core::window::WINDOW;

/// The shipped model.
#[cfg(feature = "onnx")]
pub static SHIPPED: &[u8] = include_bytes!("../../../models/forecaster.onnx");

/// Rows are added so many at a time, because a graph is prepared for a fixed number of rows.
#[cfg(feature = "onnx")]
const ROWS: usize = 32;

/// A model and its buffers.
#[derive(Debug)]
pub struct Forecaster {
    #[cfg(feature = "onnx")]
    bytes: std::borrow::Cow<'static, [u8]>,
    #[cfg(feature = "onnx")]
    model: onnx::Model,
    /// Normalised windows, one row a series.
    pub windows: Vec<f32>,
    quantiles: Vec<f32>,
}

impl Forecaster {
    /// The model of these bytes, checked against the contract.
    ///
    /// # Errors
    /// If it is not a model of the contract `forecast/1` with this agent's window and levels.
    #[cfg(feature = "onnx")]
    pub fn new(bytes: std::borrow::Cow<'static, [u8]>) -> anyhow::Result<Self> {
        let info = onnx::Model::inspect(&bytes)?;
        let levels_match = info.quantiles.len() == LEVELS.len()
            && info.quantiles.iter().zip(LEVELS).all(|(a, b)| (a - b).abs() < 1e-6);
        if info.window != WINDOW || !levels_match {
            anyhow::bail!(
                "window {} and quantiles {:?} do not fit; this agent needs window {WINDOW} and quantiles {LEVELS:?}",
                info.window,
                info.quantiles
            );
        }
        let model = onnx::Model::load(&bytes, ROWS)?;
        Ok(Self {
            bytes,
            model,
            windows: vec![0.0; ROWS * WINDOW],
            quantiles: vec![0.0; ROWS * LEVELS.len()],
        })
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

    /// Makes room for so many series.
    ///
    /// # Errors
    /// If the model cannot be prepared for that many rows.
    pub fn make_room(&mut self, series: usize) -> anyhow::Result<()> {
        #[cfg(feature = "onnx")]
        if series * WINDOW > self.windows.len() {
            let rows = series.next_multiple_of(ROWS);
            self.model = onnx::Model::load(&self.bytes, rows)?;
            self.windows.resize(rows * WINDOW, 0.0);
            self.quantiles.resize(rows * LEVELS.len(), 0.0);
        }
        let _ = series;
        Ok(())
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

/// The largest difference between this model and the reference runtime on the shipped golden vectors, relative to
/// the larger of one and the expected value.
///
/// # Errors
/// If the model fails.
#[cfg(feature = "onnx")]
pub fn check_golden(bytes: &[u8]) -> anyhow::Result<f32> {
    static GOLDEN: &str = include_str!("../../../models/golden.csv");
    let mut rows = Vec::new();
    for line in GOLDEN.lines() {
        rows.push(line.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>()?);
    }
    let mut model = Forecaster::new(bytes.to_vec().into())?;
    model.make_room(rows.len())?;
    for (row, window) in rows.iter().zip(model.windows.chunks_exact_mut(WINDOW)) {
        window.copy_from_slice(&row[..WINDOW]);
    }
    model.run()?;
    let differences = rows.iter().enumerate().flat_map(|(i, row)| {
        let expected = row[WINDOW..].iter();
        expected.zip(model.row(i)).map(|(e, got)| (e - got).abs() / e.abs().max(1.0))
    });
    Ok(differences.fold(0.0, f32::max))
}

#[cfg(all(test, feature = "onnx"))]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_model_agrees_with_the_reference_runtime() {
        let worst = check_golden(SHIPPED).unwrap();
        assert!(worst <= 1e-4, "{worst}");
    }

    #[test]
    fn rows_do_not_depend_on_how_many_there_are() {
        let run = |rows: usize| {
            let mut f = Forecaster::new(SHIPPED.into()).unwrap();
            f.make_room(rows).unwrap();
            for (i, x) in f.windows.iter_mut().take(WINDOW).enumerate() {
                *x = (i as f32).sin();
            }
            f.run().unwrap();
            f.row(0).to_vec()
        };
        assert_eq!(run(1), run(200));
        assert_eq!(run(33), run(512));
    }
}
