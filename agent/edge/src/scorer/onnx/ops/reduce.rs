//! Reductions, and what is made of them: `Softmax` and `LayerNormalization`.

use tract_core::internal::AxisOp;
use tract_core::ops::math;
use tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};

use super::super::attrs::{Node, axes, axis};
use super::super::error::{Result, refused};
use super::super::graph::{Builder, Value};
use super::super::tensor;
use super::linear::change_axis;
use super::{apply, binary, scalar};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Max,
    Mean,
    Sum,
}

pub(super) fn reduce(builder: &mut Builder, node: &Node<'_>, kind: Kind, opset: i64) -> Result<Value> {
    // In these opsets the axes of ReduceSum are an input, those of the others an attribute.
    let by_input = kind == Kind::Sum && opset >= 13;
    node.arity(1, if by_input { 2 } else { 1 })?;
    let given = if by_input { builder.ints(node, 1)? } else { node.ints("axes")?.map(<[i64]>::to_vec) };
    let keep = node.flag("keepdims", true)?;
    let nothing = by_input && node.flag("noop_with_empty_axes", false)?;
    let input = builder.input(node, 0)?;
    let rank = builder.shape(&input, &node.place)?.len();
    let given = given.unwrap_or_default();
    let axes = match given.is_empty() {
        true if nothing => return Ok(input),
        true => (0..rank).collect(),
        false => axes(&given, rank, &node.place)?,
    };
    let mut result = over(builder, node, kind, &input, &axes)?;
    if !keep {
        for axis in axes.iter().rev() {
            result = change_axis(builder, node, AxisOp::Rm(*axis), &result)?;
        }
    }
    Ok(result)
}

/// Reduces the axes to length 1.
fn over(builder: &mut Builder, node: &Node<'_>, kind: Kind, input: &Value, axes: &[usize]) -> Result<Value> {
    let mut shape = builder.shape(input, &node.place)?;
    let mut count = 1usize;
    for axis in axes {
        if let Some(length) = shape.get_mut(*axis) {
            count = count.saturating_mul(*length);
            *length = 1;
        }
    }
    let reducer = if kind == Kind::Max { Reducer::Max } else { Reducer::Sum };
    let outlet = builder.outlet(input, &node.place)?;
    let op = Reduce::new(axes.iter().copied().collect(), reducer);
    let sum = builder.wire(node, op, &[outlet], &shape, count)?;
    if kind != Kind::Mean {
        return Ok(sum);
    }
    let inverse = scalar(1.0 / count as f32, node)?;
    binary(builder, node, math::mul(), &sum, &inverse)
}

pub(super) fn softmax(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(1, 1)?;
    let input = builder.input(node, 0)?;
    let shape = builder.shape(&input, &node.place)?;
    let axis = axis(node.int("axis")?.unwrap_or(-1), shape.len(), &node.place)?;
    let outlet = builder.outlet(&input, &node.place)?;
    let op = Softmax::new([axis].into_iter().collect(), None, SoftmaxKind::Softmax);
    builder.wire(node, op, &[outlet], &shape, 3)
}

pub(super) fn layer_norm(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(2, 3)?;
    let epsilon = node.float("epsilon", 1e-5)?;
    // The stash type is the precision of the intermediate values; 1 is FLOAT.
    let stash = node.int("stash_type")?.unwrap_or(1);
    if stash != 1 {
        return Err(refused(&node.place, format!("attribute `stash_type` = {stash}"), "1"));
    }
    let input = builder.input(node, 0)?;
    let shape = builder.shape(&input, &node.place)?;
    let first = axis(node.int("axis")?.unwrap_or(-1), shape.len(), &node.place)?;
    let axes: Vec<usize> = (first..shape.len()).collect();

    let mean = over(builder, node, Kind::Mean, &input, &axes)?;
    let centred = binary(builder, node, math::sub(), &input, &mean)?;
    let squares = binary(builder, node, math::mul(), &centred, &centred)?;
    let variance = over(builder, node, Kind::Mean, &squares, &axes)?;
    let epsilon = scalar(epsilon, node)?;
    let variance = binary(builder, node, math::add(), &variance, &epsilon)?;
    let deviation = apply(builder, node, math::sqrt(), &variance)?;
    let mut result = binary(builder, node, math::div(), &centred, &deviation)?;
    for (index, op) in [(1, math::mul()), (2, math::add())] {
        let Some(factor) = builder.optional(node, index)? else { continue };
        result = binary(builder, node, op, &result, &factor)?;
    }
    if builder.shape(&result, &node.place)? != shape {
        let volume = tensor::volume(&shape, &node.place)?;
        let what = "a scale or bias larger than the input";
        return Err(refused(&node.place, what, format!("{shape:?}, {volume} values")));
    }
    Ok(result)
}
