//! Operators that move values and compute nothing.

use tract_core::internal::{AxisOp, ToDim, perm_to_ops};
use tract_core::ops::array::{Slice, TypedConcat};

use super::super::attrs::{Node, axes, axis};
use super::super::error::{Result, refused};
use super::super::graph::{Builder, Value};
use super::super::tensor;
use super::linear::change_axis;

pub(super) fn concat(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(1, 64)?;
    let Some(given) = node.int("axis")? else {
        return Err(refused(&node.place, "no attribute `axis`", "an axis"));
    };
    let mut shape = builder.shape(&builder.input(node, 0)?, &node.place)?;
    let axis = axis(given, shape.len(), &node.place)?;
    let mut total = 0usize;
    let mut outlets = Vec::new();
    for index in 0..node.proto.input.len() {
        let part = builder.input(node, index)?;
        let part_shape = builder.shape(&part, &node.place)?;
        if let (Some(length), Some(slot)) = (part_shape.get(axis), shape.get_mut(axis)) {
            total = total.saturating_add(*length);
            *slot = *length;
        }
        if part_shape != shape {
            let what = format!("input {index} has shape {part_shape:?}");
            return Err(refused(&node.place, what, format!("{shape:?} but for axis {axis}")));
        }
        outlets.push(builder.outlet(&part, &node.place)?);
    }
    if let Some(slot) = shape.get_mut(axis) {
        *slot = total;
    }
    builder.wire(node, TypedConcat::new(axis), &outlets, &shape, 1)
}

pub(super) fn flatten(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(1, 1)?;
    let input = builder.input(node, 0)?;
    let shape = builder.shape(&input, &node.place)?;
    let given = node.int("axis")?.unwrap_or(1);
    let rank = shape.len();
    let split = if usize::try_from(given) == Ok(rank) { rank } else { axis(given, rank, &node.place)? };
    let (rows, columns) = shape.split_at_checked(split).unwrap_or((&shape, &[]));
    let to = [tensor::volume(rows, &node.place)?, tensor::volume(columns, &node.place)?];
    reshape_to(builder, node, &input, &to)
}

pub(super) fn reshape(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(2, 2)?;
    let copy_zeros = !node.flag("allowzero", false)?;
    let input = builder.input(node, 0)?;
    let from = builder.shape(&input, &node.place)?;
    let wanted = builder.ints(node, 1)?.unwrap_or_default();
    let wrong = || {
        let what = format!("shape {wanted:?} for a value of {from:?}");
        refused(&node.place, what, "a shape of the same volume, -1 at most once")
    };
    let mut to = Vec::with_capacity(wanted.len());
    for (index, length) in wanted.iter().enumerate() {
        to.push(match length {
            -1 => None,
            0 if copy_zeros => Some(*from.get(index).ok_or_else(wrong)?),
            length => Some(usize::try_from(*length).ok().filter(|it| *it > 0).ok_or_else(wrong)?),
        });
    }
    let volume = tensor::volume(&from, &node.place)?;
    let known: Vec<usize> = to.iter().copied().flatten().collect();
    let known = tensor::volume(&known, &node.place)?;
    if to.iter().filter(|length| length.is_none()).count() > 1 {
        return Err(wrong());
    }
    let rest = volume.checked_div(known).ok_or_else(wrong)?;
    let to: Vec<usize> = to.into_iter().map(|length| length.unwrap_or(rest)).collect();
    if tensor::volume(&to, &node.place)? != volume {
        return Err(wrong());
    }
    reshape_to(builder, node, &input, &to)
}

fn reshape_to(builder: &mut Builder, node: &Node<'_>, input: &Value, to: &[usize]) -> Result<Value> {
    let from = builder.shape(input, &node.place)?;
    if from == to {
        return Ok(input.clone());
    }
    let dims = |shape: &[usize]| shape.iter().map(ToDim::to_dim).collect();
    let outlet = builder.outlet(input, &node.place)?;
    builder.wire(node, AxisOp::Reshape(0, dims(&from), dims(to)), &[outlet], to, 1)
}

pub(super) fn slice(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(3, 5)?;
    let mut result = builder.input(node, 0)?;
    let mut shape = builder.shape(&result, &node.place)?;
    let missing = || refused(&node.place, "no starts or ends", "constants of INT64");
    let starts = builder.ints(node, 1)?.ok_or_else(missing)?;
    let ends = builder.ints(node, 2)?.ok_or_else(missing)?;
    let given = builder.ints(node, 3)?;
    let given = given.unwrap_or_else(|| (0i64..).take(starts.len()).collect());
    let steps = builder.ints(node, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    axes(&given, shape.len(), &node.place)?;
    if steps.iter().any(|step| *step != 1) {
        return Err(refused(&node.place, format!("steps {steps:?}"), "steps of 1"));
    }
    if [ends.len(), given.len(), steps.len()] != [starts.len(); 3] {
        let what = "starts, ends, axes and steps of different lengths";
        return Err(refused(&node.place, what, "the same length"));
    }
    for ((start, end), given) in starts.iter().zip(&ends).zip(&given) {
        let axis = axis(*given, shape.len(), &node.place)?;
        let Some(length) = shape.get_mut(axis) else { continue };
        let (from, to) = (bound(*start, *length), bound(*end, *length));
        if from >= to {
            let what = format!("{start}..{end} of an axis of length {length} is empty");
            return Err(refused(&node.place, what, "at least one value"));
        }
        *length = to.saturating_sub(from);
        let outlet = builder.outlet(&result, &node.place)?;
        result = builder.wire(node, Slice::new(axis, from, to), &[outlet], &shape, 1)?;
    }
    Ok(result)
}

/// A start or end as ONNX counts it: negative from the back, then clamped.
fn bound(given: i64, length: usize) -> usize {
    let signed = i64::try_from(length).unwrap_or(i64::MAX);
    let from_front = if given < 0 { given.saturating_add(signed) } else { given };
    usize::try_from(from_front.clamp(0, signed)).unwrap_or(0)
}

pub(super) fn squeeze(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(1, 2)?;
    let mut result = builder.input(node, 0)?;
    let shape = builder.shape(&result, &node.place)?;
    let axes = match builder.ints(node, 1)? {
        Some(given) => axes(&given, shape.len(), &node.place)?,
        None => (0..shape.len()).filter(|axis| shape.get(*axis) == Some(&1)).collect(),
    };
    for axis in axes.into_iter().rev() {
        result = change_axis(builder, node, AxisOp::Rm(axis), &result)?;
    }
    Ok(result)
}

pub(super) fn unsqueeze(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(2, 2)?;
    let mut result = builder.input(node, 0)?;
    let given = builder.ints(node, 1)?.unwrap_or_default();
    let rank = builder.shape(&result, &node.place)?.len().saturating_add(given.len());
    for axis in axes(&given, rank, &node.place)? {
        result = change_axis(builder, node, AxisOp::Add(axis), &result)?;
    }
    Ok(result)
}

pub(super) fn transpose(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(1, 1)?;
    let mut result = builder.input(node, 0)?;
    let mut shape = builder.shape(&result, &node.place)?;
    let rank = shape.len();
    let order: Vec<usize> = match node.ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(given) => {
            if axes(given, rank, &node.place)?.len() != rank {
                let what = format!("perm {given:?}");
                return Err(refused(&node.place, what, format!("each of {rank} axes once")));
            }
            let order = given.iter().map(|one| axis(*one, rank, &node.place));
            order.collect::<Result<_>>()?
        }
    };
    for op in perm_to_ops(&order) {
        if let AxisOp::Move(from, to) = op
            && from < rank
            && to < rank
        {
            let length = shape.remove(from);
            shape.insert(to, length);
            let outlet = builder.outlet(&result, &node.place)?;
            result = builder.wire(node, op, &[outlet], &shape, 1)?;
        }
    }
    Ok(result)
}
