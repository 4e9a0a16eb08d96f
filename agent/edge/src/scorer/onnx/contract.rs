//! The contracts: what a model must say about itself, and the shape of its two ends.
//!
//! `forecast/1`: one f32 input `window` of N windows, one f32 output `quantiles` of N rows; the metadata name the
//! window's length and the levels. `score/1`: windows of several series in, and `score` or `reconstruction` out. What
//! the numbers mean is told in `models/README.md`.

use super::ModelInfo;
use super::error::{Result, at_most, refused};
use super::proto::{Dim, FLOAT, ModelProto, ValueInfoProto};
use crate::scorer::{FORECAST, SCORE};

pub(super) const INPUT: &str = "window";
const QUANTILES: &str = "quantiles";
const SCORES: &str = "score";
/// The output of `score/1` that is the input as the model would have it.
pub const RECONSTRUCTION: &str = "reconstruction";
const OPSETS: std::ops::RangeInclusive<i64> = 13..=17;
const MAX_WINDOW: u64 = 4096;
const MAX_LEVELS: u64 = 32;
const MAX_SERIES: u64 = 64;
/// Values in the windows of all series that one model reads.
const MAX_VALUES: u64 = 1 << 16;
const MAX_TEXT: u64 = 128;

/// Reads the description of a model and checks it against its contract: the one its metadata name, or `claimed`.
pub(super) fn read(proto: &ModelProto, claimed: Option<&str>) -> Result<ModelInfo> {
    let opset = opset(proto)?;
    const PLACE: &str = "metadata `fieldmouse.contract`";
    let contract = match (text(proto, "fieldmouse.contract")?, claimed) {
        (Some(own), Some(claimed)) if own != claimed => {
            return Err(refused(PLACE, format!("`{own}`"), format!("`{claimed}`, as it is configured")));
        }
        (own, claimed) => own.or(claimed).unwrap_or_default(),
    };
    let mut info = match contract {
        FORECAST => forecast(proto)?,
        SCORE => score(proto)?,
        "" => return Err(refused(PLACE, "missing", format!("`{FORECAST}` or `{SCORE}`"))),
        other => return Err(refused(PLACE, format!("`{other}`"), format!("`{FORECAST}` or `{SCORE}`"))),
    };
    info.contract = contract.to_owned();
    info.opset = opset;
    Ok(info)
}

fn forecast(proto: &ModelProto) -> Result<ModelInfo> {
    let window = needed(proto, "fieldmouse.window")?;
    let place = "metadata `fieldmouse.window`";
    let window = match window.parse::<usize>() {
        Ok(length) if length > 0 => length,
        _ => return Err(refused(place, format!("`{window}`"), "the number of values in a window")),
    };
    at_most(place, "window", window as u64, MAX_WINDOW)?;
    let quantiles = levels(needed(proto, "fieldmouse.quantiles")?)?;
    let name = needed(proto, "fieldmouse.name")?.to_owned();
    let version = needed(proto, "fieldmouse.version")?.to_owned();
    let (fed, given) = ends(proto)?;
    let input = end("input", INPUT, &fed, window)?;
    let output = end("output", QUANTILES, &given, quantiles.len())?;
    Ok(ModelInfo {
        name,
        version,
        series: 1,
        window,
        row: (vec![window], vec![quantiles.len()]),
        quantiles,
        inputs: vec![input],
        outputs: vec![output],
        ..ModelInfo::default()
    })
}

fn score(proto: &ModelProto) -> Result<ModelInfo> {
    const FED: &str = "one input `window` of FLOAT, [N, series] or [N, series, window] with fixed numbers";
    let (fed, given) = ends(proto)?;
    let input = float("input", &[INPUT], &fed, FED)?;
    let place = format!("input `{INPUT}`");
    let shown = || format!("dims [{}]", input.1.join(", "));
    let fixed: Option<Vec<usize>> = input.1.iter().skip(1).map(|dim| dim.parse().ok()).collect();
    let (shape, series, window) = match fixed.as_deref() {
        Some(&[series]) if series > 0 => (vec![series], series, 1),
        Some(&[series, window]) if series > 0 && window > 0 => (vec![series, window], series, window),
        _ => return Err(refused(place, shown(), FED)),
    };
    at_most(&place, "number of series", series as u64, MAX_SERIES)?;
    at_most(&place, "window", window as u64, MAX_WINDOW)?;
    at_most(&place, "number of values", series.saturating_mul(window) as u64, MAX_VALUES)?;
    let allowed = format!(
        "one output of FLOAT: `{SCORES}` [N, 1] or [N, {series}], or `{RECONSTRUCTION}` like the input"
    );
    let output = float("output", &[SCORES, RECONSTRUCTION], &given, &allowed)?;
    let fixed: Option<Vec<usize>> = output.1.iter().skip(1).map(|dim| dim.parse().ok()).collect();
    let fits = match (output.0.as_str(), fixed.as_deref()) {
        (SCORES, Some(found)) => found.is_empty() || *found == [1] || *found == [series],
        (_, Some(found)) => found == shape,
        // Exporters often leave the axes of the output open; the computed shape is checked anyway.
        (name, None) => name == RECONSTRUCTION,
    };
    if !fits || output.1.is_empty() {
        let what = format!("dims [{}]", output.1.join(", "));
        return Err(refused(format!("output `{}`", output.0), what, allowed));
    }
    let found = fixed.unwrap_or_else(|| shape.clone());
    let said = |key| Ok(text(proto, key)?.unwrap_or_default().to_owned());
    Ok(ModelInfo {
        name: said("fieldmouse.name")?,
        version: said("fieldmouse.version")?,
        series,
        window,
        row: (shape, found),
        inputs: vec![input],
        outputs: vec![output],
        ..ModelInfo::default()
    })
}

type Given<'a> = Vec<&'a ValueInfoProto>;

/// What is fed to the graph, without what it stores, and what it gives.
fn ends(proto: &ModelProto) -> Result<(Given<'_>, Given<'_>)> {
    let Some(graph) = &proto.graph else {
        return Err(refused("the model", "no graph", "one graph"));
    };
    let stored = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let fed = graph.input.iter().filter(|input| !stored(&input.name)).collect();
    Ok((fed, graph.output.iter().collect()))
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

fn needed<'a>(proto: &'a ModelProto, key: &'static str) -> Result<&'a str> {
    text(proto, key)?.ok_or_else(|| refused(format!("metadata `{key}`"), "missing", "one line of text"))
}

fn text<'a>(proto: &'a ModelProto, key: &'static str) -> Result<Option<&'a str>> {
    let place = format!("metadata `{key}`");
    let mut found = proto.metadata_props.iter().filter(|pair| pair.key == key);
    match (found.next(), found.next()) {
        (Some(pair), None) => {
            let value = pair.value.trim();
            at_most(&place, "length", value.len() as u64, 4 * MAX_TEXT)?;
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(refused(place, format!("{value:?}"), "one line of text"));
            }
            Ok(Some(value))
        }
        (None, _) => Ok(None),
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

/// The name and the dims of one end of the graph.
type End = (String, Vec<String>);

/// Checks one end of the graph whose rows have `columns` values.
fn end(what: &str, name: &str, given: &[&ValueInfoProto], columns: usize) -> Result<End> {
    let allowed = format!("one {what} `{name}` of FLOAT, [N, {columns}]");
    let (name, dims) = float(what, &[name], given, &allowed)?;
    let fits = matches!(dims.as_slice(), [_, second] if *second == columns.to_string());
    // Exporters often leave the second axis of the output open; the computed shape is checked anyway.
    let open = what == "output" && matches!(dims.as_slice(), [_, second] if second.parse::<i64>().is_err());
    if !fits && !open {
        return Err(refused(format!("{what} `{name}`"), format!("dims [{}]", dims.join(", ")), allowed));
    }
    Ok((name, dims))
}

/// The only tensor at one end of the graph, which must have one of these names and hold floats.
fn float(what: &str, names: &[&str], given: &[&ValueInfoProto], allowed: &str) -> Result<End> {
    let [info] = given else {
        let names: Vec<_> = given.iter().map(|info| info.name.as_str()).collect();
        return Err(refused("the graph", format!("{what}s {names:?}"), allowed));
    };
    let place = format!("{what} `{}`", info.name);
    let tensor = match info.r#type.as_ref().and_then(|it| it.tensor_type.as_ref()) {
        Some(tensor) if names.contains(&info.name.as_str()) => tensor,
        _ => return Err(refused(place, "this name or a missing type", allowed)),
    };
    if tensor.elem_type != FLOAT {
        return Err(refused(place, format!("data type {}", tensor.elem_type), allowed));
    }
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| match &dim.value {
        Some(Dim::DimValue(length)) => length.to_string(),
        Some(Dim::DimParam(name)) => name.clone(),
        None => "?".to_owned(),
    });
    Ok((info.name.clone(), dims.collect()))
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
