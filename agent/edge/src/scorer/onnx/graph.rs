//! From ONNX nodes to a typed graph: names, shapes, and what one run may cost.
//!
//! Every shape is known while the graph is built, as the batch is fixed. So each result is checked
//! against its budget before the engine hears of it.

use std::collections::HashMap;

use tract_core::internal::{AxisOp, DatumType, OutletId, SpecialOps, TypedFact, TypedModel, TypedOp};

use super::attrs::Node;
use super::error::{ModelError, Result, at_most, engine, refused};
use super::ops;
use super::proto::GraphProto;
use super::tensor::{self, Constant, MAX_RANK, MAX_WEIGHT_BYTES};

/// Nodes of one model.
const MAX_NODES: u64 = 512;
/// Multiply-adds (or values written, for the operators without) of one run.
const MAX_WORK: u64 = 1 << 30;
/// Values that all results of one run have together.
const MAX_VALUES: u64 = 8 << 20;

/// What a name of the model stands for.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Wire(OutletId),
    Constant(Constant),
}

/// The typed graph, its operators, and the work of one run.
pub(super) struct Built {
    pub(super) model: TypedModel,
    pub(super) ops: Vec<String>,
    pub(super) work: u64,
}

pub(super) struct Builder {
    model: TypedModel,
    values: HashMap<String, Value>,
    weights_left: u64,
    work: u64,
    volume: u64,
    serial: usize,
}

/// Builds the graph for inputs of the given shapes.
pub(super) fn build(
    graph: &GraphProto,
    opset: i64,
    inputs: &[(&str, Vec<usize>)],
    output: (&str, &[usize]),
) -> Result<Built> {
    at_most("the graph", "number of nodes", graph.node.len() as u64, MAX_NODES)?;
    let mut builder = Builder {
        model: TypedModel::default(),
        values: HashMap::new(),
        weights_left: MAX_WEIGHT_BYTES,
        work: 0,
        volume: 0,
        serial: 0,
    };
    for (name, shape) in inputs {
        let fact = TypedFact::dt_shape(DatumType::F32, shape);
        let source = builder.model.add_source(*name, fact);
        let source = source.map_err(|error| engine(format!("input `{name}`"), &error))?;
        builder.define(name, Value::Wire(source), "graph input")?;
    }
    for proto in &graph.initializer {
        let place = format!("initializer `{}`", proto.name);
        let constant = tensor::decode(proto, &place, &mut builder.weights_left)?;
        builder.define(&proto.name, Value::Constant(constant), &place)?;
    }
    let mut names = Vec::new();
    for (index, proto) in graph.node.iter().enumerate() {
        let node = Node::new(proto, index);
        ops::check(&node)?;
        let [output] = proto.output.as_slice() else {
            let what = format!("{} outputs", proto.output.len());
            return Err(refused(&node.place, what, "one output"));
        };
        let value = ops::build(&mut builder, &node, opset)?;
        node.all_read()?;
        builder.define(output, value, &node.place)?;
        if !names.contains(&proto.op_type) {
            names.push(proto.op_type.clone());
        }
    }
    builder.select(output)?;
    names.sort_unstable();
    Ok(Built { model: builder.model, ops: names, work: builder.work })
}

impl Builder {
    fn define(&mut self, name: &str, value: Value, place: &str) -> Result<()> {
        if name.is_empty() || self.values.contains_key(name) {
            return Err(refused(place, format!("the name `{name}`"), "names that are given once"));
        }
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    fn select(&mut self, (name, shape): (&str, &[usize])) -> Result<()> {
        let place = format!("output `{name}`");
        let Some(value) = self.values.get(name).cloned() else {
            return Err(refused(&place, "no node writes it", "an output that is computed"));
        };
        let found = self.shape(&value, &place)?;
        if found != shape {
            let what = format!("the computed shape is {found:?}");
            return Err(refused(&place, what, format!("{shape:?}")));
        }
        let outlet = self.outlet(&value, &place)?;
        let selected = self.model.select_output_outlets(&[outlet]);
        selected.map_err(|error| engine("selecting the outputs", &error))
    }

    /// The value behind input `index`, which must be there.
    pub(super) fn input(&self, node: &Node<'_>, index: usize) -> Result<Value> {
        self.optional(node, index)?
            .ok_or_else(|| refused(&node.place, format!("input {index} is missing"), "a value in its place"))
    }

    /// The value behind input `index`, if one is given.
    pub(super) fn optional(&self, node: &Node<'_>, index: usize) -> Result<Option<Value>> {
        let Some(name) = node.input(index) else { return Ok(None) };
        match self.values.get(name) {
            Some(value) => Ok(Some(value.clone())),
            None => {
                let what = format!("input `{name}` is not written by anything before");
                Err(refused(&node.place, what, "nodes in the order of their computation"))
            }
        }
    }

    /// Constant integers behind input `index`, if one is given: axes, shapes, starts, ends.
    pub(super) fn ints(&self, node: &Node<'_>, index: usize) -> Result<Option<Vec<i64>>> {
        match self.optional(node, index)? {
            None => Ok(None),
            Some(Value::Constant(Constant::Ints(ints))) => Ok(Some(ints)),
            Some(_) => {
                let what = format!("input {index} is not a constant of INT64");
                Err(refused(&node.place, what, "an initializer or a Constant"))
            }
        }
    }

    pub(super) fn shape(&self, value: &Value, place: &str) -> Result<Vec<usize>> {
        match value {
            Value::Constant(Constant::Floats(tensor)) => Ok(tensor.shape().to_vec()),
            Value::Constant(Constant::Ints(_)) => Err(integers(place)),
            Value::Wire(outlet) => {
                let fact = self.model.outlet_fact(*outlet);
                let fact = fact.map_err(|error| engine(place, &error))?;
                let shape = fact.shape.as_concrete().map(<[usize]>::to_vec);
                shape.ok_or_else(|| refused(place, "a shape that is not fixed", "fixed shapes"))
            }
        }
    }

    /// The outlet of a value; a constant becomes a node of the graph.
    pub(super) fn outlet(&mut self, value: &Value, place: &str) -> Result<OutletId> {
        match value {
            Value::Wire(outlet) => Ok(*outlet),
            Value::Constant(Constant::Floats(tensor)) => {
                self.serial = self.serial.saturating_add(1);
                let name = format!("constant {}", self.serial);
                let added = self.model.add_const(name, tensor.clone());
                added.map_err(|error| engine(place, &error))
            }
            Value::Constant(Constant::Ints(_)) => Err(integers(place)),
        }
    }

    /// Adds one operator whose result has `shape` and takes `depth` multiply-adds per value.
    pub(super) fn wire(
        &mut self,
        node: &Node<'_>,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
        shape: &[usize],
        depth: usize,
    ) -> Result<Value> {
        let place = &node.place;
        at_most(place, "rank", shape.len() as u64, MAX_RANK as u64)?;
        let volume = tensor::volume(shape, place)? as u64;
        self.volume = self.volume.saturating_add(volume);
        self.work = self.work.saturating_add(volume.saturating_mul(depth.max(1) as u64));
        at_most(place, "number of values so far", self.volume, MAX_VALUES)?;
        at_most(place, "number of multiply-adds so far", self.work, MAX_WORK)?;
        self.serial = self.serial.saturating_add(1);
        let name = format!("{place} {}", self.serial);
        let wired = self.model.wire_node(name, op, inputs);
        let outlets = wired.map_err(|error| engine(place, &error))?;
        let [outlet] = outlets.as_slice() else {
            return Err(refused(place, "the engine gave no single result", "one result"));
        };
        let value = Value::Wire(*outlet);
        let found = self.shape(&value, place)?;
        if found != shape {
            return Err(refused(place, format!("the engine gave {found:?}"), format!("{shape:?}")));
        }
        Ok(value)
    }

    /// Gives the value axes of length 1 in front until it has `rank` of them.
    pub(super) fn lift(&mut self, node: &Node<'_>, value: &Value, rank: usize) -> Result<OutletId> {
        let mut shape = self.shape(value, &node.place)?;
        if let Value::Constant(Constant::Floats(tensor)) = value {
            let tensor = tensor.clone().as_ref().clone().broadcast_into_rank(rank.max(shape.len()));
            let tensor = tensor.map_err(|error| engine(&node.place, &error))?;
            return self.outlet(&Value::Constant(Constant::Floats(tensor.into())), &node.place);
        }
        let mut value = value.clone();
        while shape.len() < rank {
            shape.insert(0, 1);
            let outlet = self.outlet(&value, &node.place)?;
            value = self.wire(node, AxisOp::Add(0), &[outlet], &shape, 1)?;
        }
        self.outlet(&value, &node.place)
    }
}

fn integers(place: &str) -> ModelError {
    refused(place, "an INT64 value in a computation", "FLOAT")
}
