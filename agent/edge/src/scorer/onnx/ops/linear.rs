//! Matrix products: `MatMul` and `Gemm`.

use tract_core::internal::{AxesMapping, AxisOp, DatumType};
use tract_core::ops::{einsum::EinSum, math};

use super::super::attrs::Node;
use super::super::error::{Result, engine, refused};
use super::super::graph::{Builder, Value};
use super::{binary, broadcast, scalar};

pub(super) fn gemm(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(2, 3)?;
    let alpha = node.float("alpha", 1.0)?;
    let beta = node.float("beta", 1.0)?;
    let transpose = [node.flag("transA", false)?, node.flag("transB", false)?];
    let (a, b) = (builder.input(node, 0)?, builder.input(node, 1)?);
    let mut result = product(builder, node, &a, &b, 2, transpose)?;
    if alpha.to_bits() != 1f32.to_bits() {
        let alpha = scalar(alpha, node)?;
        result = binary(builder, node, math::mul(), &result, &alpha)?;
    }
    let Some(mut bias) = builder.optional(node, 2)? else { return Ok(result) };
    if beta.to_bits() != 1f32.to_bits() {
        let beta = scalar(beta, node)?;
        bias = binary(builder, node, math::mul(), &bias, &beta)?;
    }
    let shape = builder.shape(&result, &node.place)?;
    if broadcast(&shape, &builder.shape(&bias, &node.place)?, node)? != shape {
        return Err(refused(&node.place, "a bias larger than the product", format!("{shape:?}")));
    }
    binary(builder, node, math::add(), &result, &bias)
}

pub(super) fn matmul(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(2, 2)?;
    let (mut a, mut b) = (builder.input(node, 0)?, builder.input(node, 1)?);
    let rank_a = builder.shape(&a, &node.place)?.len();
    let rank_b = builder.shape(&b, &node.place)?.len();
    // A vector is a row on the left and a column on the right; its axis leaves the result again.
    if rank_a == 1 {
        a = Value::Wire(builder.lift(node, &a, 2)?);
    }
    if rank_b == 1 {
        b = change_axis(builder, node, AxisOp::Add(1), &b)?;
    }
    let rank = rank_a.max(rank_b).max(2);
    let mut result = product(builder, node, &a, &b, rank, [false, false])?;
    if rank_b == 1 {
        result = change_axis(builder, node, AxisOp::Rm(rank.saturating_sub(1)), &result)?;
    }
    if rank_a == 1 {
        let last = builder.shape(&result, &node.place)?.len();
        let row = if rank_b == 1 { last.saturating_sub(1) } else { last.saturating_sub(2) };
        result = change_axis(builder, node, AxisOp::Rm(row), &result)?;
    }
    Ok(result)
}

/// Adds or removes one axis of length 1.
pub(super) fn change_axis(
    builder: &mut Builder,
    node: &Node<'_>,
    op: AxisOp,
    value: &Value,
) -> Result<Value> {
    let mut shape = builder.shape(value, &node.place)?;
    match &op {
        AxisOp::Add(axis) if *axis <= shape.len() => shape.insert(*axis, 1),
        AxisOp::Rm(axis) if shape.get(*axis) == Some(&1) => {
            shape.remove(*axis);
        }
        other => {
            let what = format!("{other:?} on a shape of {shape:?}");
            return Err(refused(&node.place, what, "an axis of length 1"));
        }
    }
    let outlet = builder.outlet(value, &node.place)?;
    builder.wire(node, op, &[outlet], &shape, 1)
}

fn product(
    builder: &mut Builder,
    node: &Node<'_>,
    a: &Value,
    b: &Value,
    rank: usize,
    [transpose_a, transpose_b]: [bool; 2],
) -> Result<Value> {
    let left = builder.shape(a, &node.place)?;
    let right = builder.shape(b, &node.place)?;
    let mismatch = || {
        let what = format!("a product of {left:?} and {right:?}");
        refused(&node.place, what, "matrices whose inner lengths agree")
    };
    let (Some((batch_a, [m, k])), Some((batch_b, [l, n]))) =
        (left.split_last_chunk::<2>(), right.split_last_chunk::<2>())
    else {
        return Err(mismatch());
    };
    let (m, k) = if transpose_a { (k, m) } else { (m, k) };
    let (l, n) = if transpose_b { (n, l) } else { (l, n) };
    if k != l || left.len() > rank || right.len() > rank {
        return Err(mismatch());
    }
    let mut shape = broadcast(batch_a, batch_b, node)?;
    shape.extend([*m, *n]);
    let a = builder.lift(node, a, rank)?;
    let b = builder.lift(node, b, rank)?;
    let axes = AxesMapping::for_numpy_matmul(rank, transpose_a, transpose_b, false);
    let axes = axes.map_err(|error| engine(&node.place, &error))?;
    builder.wire(node, EinSum::new(axes, DatumType::F32), &[a, b], &shape, *k)
}
