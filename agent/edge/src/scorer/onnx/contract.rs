//! The contract `forecast/1`: what a model must say about itself, and the shape of its two ends.
//!
//! One f32 input `window` of N windows, one f32 output `quantiles` of N rows; the metadata name the
//! window's length and the levels.

use super::ModelInfo;
use super::error::{Result, at_most, refused};
use super::proto::{Dim, FLOAT, ModelProto, ValueInfoProto};

/// The name in `fieldmouse.contract`.
pub const CONTRACT: &str = "forecast/1";
pub(super) const INPUT: &str = "window";
pub(super) const OUTPUT: &str = "quantiles";
const OPSETS: std::ops::RangeInclusive<i64> = 13..=17;
const MAX_WINDOW: u64 = 4096;
const MAX_LEVELS: u64 = 32;
const MAX_TEXT: u64 = 128;

/// Reads the description of a model and checks it against the contract.
pub(super) fn read(proto: &ModelProto) -> Result<ModelInfo> {
    let opset = opset(proto)?;
    let contract = text(proto, "fieldmouse.contract")?;
    if contract != CONTRACT {
        let what = format!("`{contract}`");
        return Err(refused("metadata `fieldmouse.contract`", what, format!("`{CONTRACT}`")));
    }
    let window = text(proto, "fieldmouse.window")?;
    let place = "metadata `fieldmouse.window`";
    let window = match window.parse::<usize>() {
        Ok(length) if length > 0 => length,
        _ => return Err(refused(place, format!("`{window}`"), "the number of values in a window")),
    };
    at_most(place, "window", window as u64, MAX_WINDOW)?;
    let quantiles = levels(text(proto, "fieldmouse.quantiles")?)?;

    let Some(graph) = &proto.graph else {
        return Err(refused("the model", "no graph", "one graph"));
    };
    let stored = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let fed: Vec<_> = graph.input.iter().filter(|input| !stored(&input.name)).collect();
    let inputs = end("input", INPUT, &fed, window)?;
    let given: Vec<_> = graph.output.iter().collect();
    let outputs = end("output", OUTPUT, &given, quantiles.len())?;
    Ok(ModelInfo {
        contract: contract.to_owned(),
        name: text(proto, "fieldmouse.name")?.to_owned(),
        version: text(proto, "fieldmouse.version")?.to_owned(),
        window,
        quantiles,
        sha256: [0; 32],
        bytes: 0,
        opset,
        ops: Vec::new(),
        inputs,
        outputs,
        work: 0,
    })
}

fn opset(proto: &ModelProto) -> Result<i64> {
    let mut version = None;
    for import in &proto.opset_import {
        let default_domain = matches!(import.domain.as_str(), "" | "ai.onnx");
        if !default_domain || version.is_some() || !OPSETS.contains(&import.version) {
            let what = format!("opset {} of domain `{}`", import.version, import.domain);
            return Err(refused("opset_import", what, "one opset of domain ``, 13 to 17"));
        }
        version = Some(import.version);
    }
    version.ok_or_else(|| refused("opset_import", "no opset", "one opset of domain ``, 13 to 17"))
}

fn text<'a>(proto: &'a ModelProto, key: &'static str) -> Result<&'a str> {
    let place = format!("metadata `{key}`");
    let mut found = proto.metadata_props.iter().filter(|pair| pair.key == key);
    match (found.next(), found.next()) {
        (Some(pair), None) => {
            let value = pair.value.trim();
            at_most(&place, "length", value.len() as u64, 4 * MAX_TEXT)?;
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(refused(place, format!("{value:?}"), "one line of text"));
            }
            Ok(value)
        }
        (None, _) => Err(refused(place, "missing", "one line of text")),
        (Some(_), Some(_)) => Err(refused(place, "given twice", "one line of text")),
    }
}

/// Levels as `0.05, 0.5, 0.95`, ascending.
fn levels(given: &str) -> Result<Vec<f32>> {
    let place = "metadata `fieldmouse.quantiles`";
    let wrong = || refused(place, format!("`{given}`"), "ascending levels such as `0.05, 0.5, 0.95`");
    let parse = |level: &str| level.trim().parse::<f32>().map_err(|_| wrong());
    let levels = given.split(',').map(parse).collect::<Result<Vec<f32>>>()?;
    at_most(place, "number of levels", levels.len() as u64, MAX_LEVELS)?;
    let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
    let ascending = levels.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if inside && ascending { Ok(levels) } else { Err(wrong()) }
}

/// Checks one end of the graph and gives its name and its dims for people.
fn end(
    what: &str,
    name: &str,
    given: &[&ValueInfoProto],
    columns: usize,
) -> Result<Vec<(String, Vec<String>)>> {
    let allowed = format!("one {what} `{name}` of FLOAT, [N, {columns}]");
    let [info] = given else {
        let names: Vec<_> = given.iter().map(|info| info.name.as_str()).collect();
        return Err(refused("the graph", format!("{what}s {names:?}"), allowed));
    };
    let place = format!("{what} `{}`", info.name);
    let tensor = match info.r#type.as_ref().and_then(|it| it.tensor_type.as_ref()) {
        Some(tensor) if info.name == name => tensor,
        _ => return Err(refused(place, "this name or a missing type", allowed)),
    };
    if tensor.elem_type != FLOAT {
        return Err(refused(place, format!("data type {}", tensor.elem_type), allowed));
    }
    let dims: Vec<String> = tensor
        .shape
        .iter()
        .flat_map(|shape| &shape.dim)
        .map(|dim| match &dim.value {
            Some(Dim::DimValue(length)) => length.to_string(),
            Some(Dim::DimParam(name)) => name.clone(),
            None => "?".to_owned(),
        })
        .collect();
    let fits = matches!(dims.as_slice(), [_, second] if *second == columns.to_string());
    // Exporters often leave the second axis of the output open; the computed shape is checked anyway.
    let open = what == "output" && matches!(dims.as_slice(), [_, second] if second.parse::<i64>().is_err());
    if !fits && !open {
        return Err(refused(place, format!("dims [{}]", dims.join(", ")), allowed));
    }
    Ok(vec![(info.name.clone(), dims)])
}

/// Refuses a batch that the model's fixed first axis does not allow.
pub(super) fn check_batch(info: &ModelInfo, batch: usize) -> Result<()> {
    let first = info.inputs.iter().chain(&info.outputs);
    for (name, dims) in first {
        let fixed = dims.first().and_then(|dim| dim.parse::<usize>().ok());
        if fixed.is_some_and(|fixed| fixed != batch) || batch == 0 {
            let what = format!("a batch of {batch}");
            return Err(refused(format!("`{name}`"), what, format!("[{}]", dims.join(", "))));
        }
    }
    Ok(())
}
