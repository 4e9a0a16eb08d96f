//! Operators outside the contract, through tract's own ONNX reader: the feature `full-onnx`.
//!
//! It weighs about 4 MB, and a hostile model meets code that was not written against one. For
//! devices with room and models from a known hand; the structure is still checked by `scan`, so
//! operators with subgraphs stay out.

use tract_onnx::prelude::{Framework, InferenceModelExt, TypedModel};
use tract_onnx::tract_hir::internal::{Datum, InferenceFact};

use super::error::{Result, engine, refused};
use super::graph::Built;
use super::proto::GraphProto;

/// Builds the graph of a file for one input and one output of the given shapes.
pub(super) fn build(
    bytes: &[u8],
    graph: &GraphProto,
    input: &[usize],
    output: (&str, &[usize]),
) -> Result<Built> {
    let failed = |error| engine("reading the model with every operator", &error);
    let fact = InferenceFact::dt_shape(f32::datum_type(), input);
    let model = tract_onnx::onnx().model_for_read(&mut &*bytes);
    let model = model.and_then(|model| model.with_input_fact(0, fact)).map_err(failed)?;
    let model: TypedModel = model.into_typed().map_err(failed)?;
    let found = model.output_fact(0).map_err(failed)?;
    if found.shape.as_concrete() != Some(output.1) {
        let what = format!("the computed shape is {:?}", found.shape);
        return Err(refused(format!("output `{}`", output.0), what, format!("{:?}", output.1)));
    }
    let mut ops: Vec<_> = graph.node.iter().map(|node| node.op_type.clone()).collect();
    ops.sort_unstable();
    ops.dedup();
    Ok(Built { model, ops, work: 0 })
}
