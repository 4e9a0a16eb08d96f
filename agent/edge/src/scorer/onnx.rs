//! The ONNX model: checked bytes in, predictive quantiles out.
//!
//! Builds the graph from tract's core operators, without its ONNX operator register. So the operators are those of the contract, and the binary carries
//! no more than they need. Not for choosing or trusting a model: a signature is checked elsewhere.

mod attrs;
mod contract;
mod error;
#[cfg(feature = "full-onnx")]
mod full;
mod graph;
mod ops;
mod proto;
mod scan;
mod tensor;

use prost::Message;
use ring::digest;

use tract_core::internal::{IntoTValue, Tensor, TypedModel};
use tract_core::model::{TypedSimplePlan, TypedSimpleState};

pub use super::{FORECAST, SCORE};
pub use contract::RECONSTRUCTION;
pub use error::ModelError;
use error::{Result, at_most, engine};
use proto::ModelProto;

/// Bytes of one file: the weights and as much again for everything else.
pub const MAX_FILE_BYTES: u64 = 10 << 20;
const MAX_BATCH: u64 = 16_384;
/// Not 1: an axis of one window could be squeezed away, which no real batch would show.
const INSPECT_BATCH: usize = 2;

/// What a model says about itself, and what was found in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelInfo {
    /// The contract it keeps: [`FORECAST`] or [`SCORE`].
    pub contract: String,
    /// `fieldmouse.name`; may be empty in a [`SCORE`].
    pub name: String,
    /// `fieldmouse.version`; may be empty in a [`SCORE`].
    pub version: String,
    /// Series that it reads together.
    pub series: usize,
    /// Values in one window of one series.
    pub window: usize,
    /// Levels of a forecast's columns, ascending; empty in a [`SCORE`].
    pub quantiles: Vec<f32>,
    /// Shape of one row of the input, and of the output.
    pub row: (Vec<usize>, Vec<usize>),
    /// Digest of the file.
    pub sha256: [u8; 32],
    /// Length of the file.
    pub bytes: usize,
    /// Version of the operator set.
    pub opset: i64,
    /// The operators it uses, each once.
    pub ops: Vec<String>,
    /// Names and dims of the inputs as the file has them.
    pub inputs: Vec<(String, Vec<String>)>,
    /// Names and dims of the outputs as the file has them.
    pub outputs: Vec<(String, Vec<String>)>,
    /// Multiply-adds for one window.
    pub work: u64,
}

impl ModelInfo {
    /// Values in one row of the input, and of the output.
    #[must_use]
    pub fn values(&self) -> (usize, usize) {
        (self.row.0.iter().product(), self.row.1.iter().product())
    }

    /// The output's name, which says what it means.
    #[must_use]
    pub fn output(&self) -> &str {
        self.outputs.first().map_or("", |(name, _)| name)
    }

    fn shapes(&self, batch: usize) -> (Vec<usize>, Vec<usize>) {
        let whole = |row: &[usize]| [&[batch], row].concat();
        (whole(&self.row.0), whole(&self.row.1))
    }
}

/// A model that is ready to run on a fixed number of windows.
#[derive(Debug)]
pub struct Model {
    info: ModelInfo,
    batch: usize,
    /// Shape of the input of all rows.
    shape: Vec<usize>,
    state: TypedSimpleState,
}

impl Model {
    /// Checks a file as `load` does and describes it.
    ///
    /// # Errors
    /// When the file does not keep the contract; the sentence says what, where, and what is allowed.
    pub fn inspect(bytes: &[u8]) -> Result<ModelInfo> {
        Self::inspect_as(bytes, None)
    }

    /// As [`Model::inspect`], for a file that may say nothing of its contract.
    ///
    /// # Errors
    /// Also when the file names another contract.
    pub fn inspect_as(bytes: &[u8], contract: Option<&str>) -> Result<ModelInfo> {
        let proto = decode(bytes)?;
        let fixed = contract::read(&proto, contract)?.inputs;
        let batch = fixed.first().and_then(|(_, dims)| dims.first()?.parse().ok());
        Ok(build(&proto, bytes, contract, batch.unwrap_or(INSPECT_BATCH))?.0)
    }

    /// Checks a file and prepares it for runs of `batch` windows.
    ///
    /// # Errors
    /// As [`Model::inspect`], and when the model's batch is fixed to another number.
    pub fn load(bytes: &[u8], batch: usize) -> Result<Self> {
        Self::load_as(bytes, None, batch)
    }

    /// As [`Model::load`], for a file that may say nothing of its contract.
    ///
    /// # Errors
    /// Also when the file names another contract.
    pub fn load_as(bytes: &[u8], contract: Option<&str>, batch: usize) -> Result<Self> {
        let proto = decode(bytes)?;
        let (info, model) = build(&proto, bytes, contract, batch)?;
        drop(proto);
        let model = model.into_optimized().map_err(|error| engine("optimizing the graph", &error))?;
        let plan = TypedSimplePlan::new(model);
        let state = plan.and_then(|plan| TypedSimpleState::new(&plan));
        let state = state.map_err(|error| engine("planning the run", &error))?;
        let shape = info.shapes(batch).0;
        let mut model = Self { info, batch, shape, state };
        // The first run makes the engine's scratch buffers, and shows that there is a second one.
        let (fed, given) = model.info.values();
        let windows = vec![0.0; batch.saturating_mul(fed)];
        let mut out = vec![0.0; batch.saturating_mul(given)];
        model.run(&windows, &mut out)?;
        Ok(model)
    }

    /// What the model says about itself.
    #[must_use]
    pub const fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Runs all windows at once: `windows` and `out` are row after row.
    ///
    /// A window that holds a NaN spoils its own row only, which is for the caller to look at.
    ///
    /// # Errors
    /// When a buffer has the wrong length.
    pub fn run(&mut self, windows: &[f32], out: &mut [f32]) -> Result<()> {
        let (fed, given) = self.info.values();
        fits("windows", windows.len(), self.batch, fed)?;
        fits("out", out.len(), self.batch, given)?;
        let done = self.exec(windows, out);
        let reset = self.state.reset_turn();
        done.and(reset.map_err(|error| engine("after a run", &error)))
    }

    fn exec(&mut self, windows: &[f32], out: &mut [f32]) -> Result<()> {
        let failed = |error| engine("running the model", &error);
        let input = Tensor::from_shape(&self.shape, windows);
        let input = input.map_err(failed)?.into_tvalue();
        self.state.set_input(0, input).map_err(failed)?;
        self.state.exec().map_err(failed)?;
        let result = self.state.output(0).map_err(failed)?;
        let result = result.try_as_plain_ram().map_err(failed)?;
        let values = result.as_slice::<f32>().map_err(failed)?;
        fits("the model's output", values.len(), 1, out.len())?;
        out.copy_from_slice(values);
        Ok(())
    }
}

fn fits(name: &'static str, got: usize, rows: usize, columns: usize) -> Result<()> {
    let expected = rows.saturating_mul(columns);
    if got == expected { Ok(()) } else { Err(ModelError::Buffer { name, got, expected }) }
}

fn decode(bytes: &[u8]) -> Result<ModelProto> {
    at_most("the file", "length in bytes", bytes.len() as u64, MAX_FILE_BYTES)?;
    scan::scan(bytes)?;
    ModelProto::decode(bytes).map_err(|error| ModelError::Malformed { what: error.to_string(), at: 0 })
}

fn build(
    proto: &ModelProto,
    bytes: &[u8],
    contract: Option<&str>,
    batch: usize,
) -> Result<(ModelInfo, TypedModel)> {
    let mut info = contract::read(proto, contract)?;
    at_most("the run", "batch", batch as u64, MAX_BATCH)?;
    contract::check_batch(&info, batch)?;
    let (fed, given) = info.shapes(batch);
    let input = (contract::INPUT, fed);
    let output = (info.output().to_owned(), given);
    let graph = proto.graph.as_ref();
    let graph = graph.ok_or_else(|| error::refused("the model", "no graph", "one graph"))?;
    let built = graph::build(graph, info.opset, std::slice::from_ref(&input), (&output.0, &output.1));
    #[cfg(feature = "full-onnx")]
    let built = match built {
        Err(ModelError::Operator { .. }) => full::build(bytes, graph, &input.1, (&output.0, &output.1)),
        built => built,
    };
    let built = built?;
    info.ops = built.ops;
    info.work = built.work / batch.max(1) as u64;
    info.bytes = bytes.len();
    for (to, from) in info.sha256.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *to = *from;
    }
    Ok((info, built.model))
}
