//! The operators of the contract: which there are, and the element-wise ones.

mod linear;
mod reduce;
mod shape;

use tract_core::internal::{ElementWiseMiniOp, Tensor, TractResult};
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::{binary::TypedBinOp, math, nn};

use super::attrs::Node;
use super::error::{ModelError, Result, refused};
use super::graph::{Builder, Value};
use super::tensor;

/// Every operator of the contract.
pub(super) const ALLOWED: &[&str] = &[
    "Abs",
    "Add",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Erf",
    "Exp",
    "Flatten",
    "Gemm",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Pow",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// Refuses an operator that is not in the contract.
pub(super) fn check(node: &Node<'_>) -> Result<()> {
    let proto = node.proto;
    let default_domain = matches!(proto.domain.as_str(), "" | "ai.onnx");
    if default_domain && ALLOWED.contains(&proto.op_type.as_str()) {
        return Ok(());
    }
    let op =
        if default_domain { proto.op_type.clone() } else { format!("{}.{}", proto.domain, proto.op_type) };
    Err(ModelError::Operator { op, node: proto.name.clone(), allowed: ALLOWED.join(", ") })
}

/// Adds one node of the model to the graph.
pub(super) fn build(builder: &mut Builder, node: &Node<'_>, opset: i64) -> Result<Value> {
    match node.proto.op_type.as_str() {
        "Add" => arithmetic(builder, node, math::add),
        "Sub" => arithmetic(builder, node, math::sub),
        "Mul" => arithmetic(builder, node, math::mul),
        "Div" => arithmetic(builder, node, math::div),
        "Pow" => arithmetic(builder, node, math::pow),
        "Min" => fold(builder, node, math::min),
        "Max" => fold(builder, node, math::max),
        "Abs" => unary(builder, node, math::abs()),
        "Erf" => unary(builder, node, math::erf()),
        "Exp" => unary(builder, node, math::exp()),
        "Log" => unary(builder, node, math::ln()),
        "Neg" => unary(builder, node, math::neg()),
        "Sigmoid" => unary(builder, node, nn::sigmoid()),
        "Softplus" => unary(builder, node, ElementWiseOp(Box::new(Softplus), None)),
        "Sqrt" => unary(builder, node, math::sqrt()),
        "Tanh" => unary(builder, node, math::tanh()),
        "LeakyRelu" => {
            let alpha = node.float("alpha", 0.01)?;
            unary(builder, node, nn::leaky_relu(alpha))
        }
        "Relu" => {
            node.arity(1, 1)?;
            let (input, zero) = (builder.input(node, 0)?, scalar(0.0, node)?);
            binary(builder, node, math::max(), &input, &zero)
        }
        "Clip" => clip(builder, node),
        "Constant" => constant(node),
        "Identity" => {
            node.arity(1, 1)?;
            builder.input(node, 0)
        }
        "Gemm" => linear::gemm(builder, node),
        "MatMul" => linear::matmul(builder, node),
        "LayerNormalization" => reduce::layer_norm(builder, node),
        "ReduceMax" => reduce::reduce(builder, node, reduce::Kind::Max, opset),
        "ReduceMean" => reduce::reduce(builder, node, reduce::Kind::Mean, opset),
        "ReduceSum" => reduce::reduce(builder, node, reduce::Kind::Sum, opset),
        "Softmax" => reduce::softmax(builder, node),
        "Concat" => shape::concat(builder, node),
        "Flatten" => shape::flatten(builder, node),
        "Reshape" => shape::reshape(builder, node),
        "Slice" => shape::slice(builder, node),
        "Squeeze" => shape::squeeze(builder, node),
        "Transpose" => shape::transpose(builder, node),
        "Unsqueeze" => shape::unsqueeze(builder, node),
        // `check` has been here before; a name in one list only ends here.
        other => Err(refused(&node.place, format!("`{other}` has no builder"), ALLOWED.join(", "))),
    }
}

fn unary(builder: &mut Builder, node: &Node<'_>, op: ElementWiseOp) -> Result<Value> {
    node.arity(1, 1)?;
    let input = builder.input(node, 0)?;
    apply(builder, node, op, &input)
}

/// One element-wise operator on a value.
fn apply(builder: &mut Builder, node: &Node<'_>, op: ElementWiseOp, input: &Value) -> Result<Value> {
    let shape = builder.shape(input, &node.place)?;
    let outlet = builder.outlet(input, &node.place)?;
    builder.wire(node, op, &[outlet], &shape, 1)
}

fn arithmetic(builder: &mut Builder, node: &Node<'_>, op: fn() -> TypedBinOp) -> Result<Value> {
    node.arity(2, 2)?;
    let (a, b) = (builder.input(node, 0)?, builder.input(node, 1)?);
    binary(builder, node, op(), &a, &b)
}

fn fold(builder: &mut Builder, node: &Node<'_>, op: fn() -> TypedBinOp) -> Result<Value> {
    node.arity(1, 8)?;
    let mut result = builder.input(node, 0)?;
    for index in 1..node.proto.input.len() {
        let next = builder.input(node, index)?;
        result = binary(builder, node, op(), &result, &next)?;
    }
    Ok(result)
}

fn clip(builder: &mut Builder, node: &Node<'_>) -> Result<Value> {
    node.arity(1, 3)?;
    let mut result = builder.input(node, 0)?;
    for (index, op) in [(1, math::max as fn() -> TypedBinOp), (2, math::min)] {
        let Some(bound) = builder.optional(node, index)? else { continue };
        if !builder.shape(&bound, &node.place)?.is_empty() {
            return Err(refused(&node.place, "a bound that is not a scalar", "a scalar"));
        }
        result = binary(builder, node, op(), &result, &bound)?;
    }
    Ok(result)
}

fn constant(node: &Node<'_>) -> Result<Value> {
    node.arity(0, 0)?;
    let place = node.place.as_str();
    // A Constant holds what an initializer may hold; its own budget keeps it below the file's size.
    let mut left = tensor::MAX_WEIGHT_BYTES;
    let value = if let Some(proto) = node.tensor("value")? {
        tensor::decode(proto, place, &mut left)?
    } else if let Some(ints) = node.ints("value_ints")? {
        tensor::Constant::Ints(ints.to_vec())
    } else if let Some(int) = node.int("value_int")? {
        tensor::Constant::Ints(vec![int])
    } else if let Some(floats) = node.floats("value_floats")? {
        tensor::floats(&tensor::dims(&[floats.len() as i64], place)?, floats, place)?
    } else {
        tensor::floats(&[], &[node.float("value_float", 0.0)?], place)?
    };
    Ok(Value::Constant(value))
}

/// A constant without axes.
fn scalar(value: f32, node: &Node<'_>) -> Result<Value> {
    tensor::floats(&[], &[value], &node.place).map(Value::Constant)
}

/// An operator on two values, with ONNX broadcasting.
fn binary(builder: &mut Builder, node: &Node<'_>, op: TypedBinOp, a: &Value, b: &Value) -> Result<Value> {
    let left = builder.shape(a, &node.place)?;
    let right = builder.shape(b, &node.place)?;
    let shape = broadcast(&left, &right, node)?;
    let a = builder.lift(node, a, shape.len())?;
    let b = builder.lift(node, b, shape.len())?;
    builder.wire(node, op, &[a, b], &shape, 1)
}

/// The common shape of two values: axes are matched from the back, 1 goes with everything.
fn broadcast(a: &[usize], b: &[usize], node: &Node<'_>) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let padded = |shape: &[usize]| {
        let mut padded = vec![1; rank.saturating_sub(shape.len())];
        padded.extend_from_slice(shape);
        padded
    };
    let mut common = Vec::with_capacity(rank);
    for (x, y) in padded(a).into_iter().zip(padded(b)) {
        if x != y && x != 1 && y != 1 {
            let what = format!("shapes {a:?} and {b:?}");
            return Err(refused(&node.place, what, "shapes that broadcast"));
        }
        common.push(x.max(y));
    }
    Ok(common)
}

/// `ln(1 + exp(x))` without overflow; the engine has no operator of its own for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Softplus;

impl ElementWiseMiniOp for Softplus {
    fn name(&self) -> String {
        "Softplus".to_owned()
    }

    fn eval_in_place(
        &self,
        tensor: &mut Tensor,
        _: Option<tract_core::internal::DatumType>,
    ) -> TractResult<()> {
        for x in tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()? {
            *x = x.max(0.0) + (-x.abs()).exp().ln_1p();
        }
        Ok(())
    }
}
