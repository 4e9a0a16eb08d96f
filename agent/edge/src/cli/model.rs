//! `model show|check [FILE]`: what a model is, whether it may run here, and what it costs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use super::{Args, Failure, commands};
use crate::scorer::load::{self, AGREEMENT};
use crate::scorer::onnx::{FORECAST, Model, ModelInfo};
use crate::scorer::{Forecaster, GOLDEN, ROWS, SHIPPED, trial};
use crate::{clock, decode};

const RUNS: u32 = 200;

pub(super) fn run(args: &Args, verb: &str, file: Option<&Path>) -> Result<(), Failure> {
    let configured = args.config()?.written.model;
    let file = file.or(configured.device.file.as_deref());
    // A file that the configuration knows keeps what stands there.
    let own = configured.own.iter().find(|own| Some(own.file.as_path()) == file);
    let contract = args.contract.as_deref().or(own.and_then(|own| own.contract.as_deref()));
    let place = file.map_or("the shipped model".into(), |p| p.display().to_string());
    let refused = |error: anyhow::Error| Failure::Config(format!("{place}: {error:#}"));
    let (bytes, tried) = match file {
        None => (Cow::Borrowed(SHIPPED), trial::try_out(Path::new(trial::THIS_PROGRAM), SHIPPED, None)),
        Some(file) => {
            let (bytes, tried) = load::tried(file, contract).map_err(refused)?;
            (bytes.into(), Ok(tried))
        }
    };
    let info = Model::inspect_as(&bytes, contract).map_err(|e| refused(e.into()))?;
    let mut text = described(&place, &info);
    if verb == "check" {
        let tried = tried.map_err(refused)?;
        let us = cost(&bytes, &info, contract).map_err(refused)?;
        let rows = if info.contract == FORECAST { ROWS } else { 1 };
        let what =
            if info.contract == FORECAST { format!("{rows} series at once") } else { "one run".into() };
        line(&mut text, "cost", &format!("{us:.1} us for {what}, {:.2} us a series", us / rows as f64));
        line(&mut text, "memory", &format!("{} KiB at most, to load it and to run it", tried.kib));
        let golden = match file {
            None => Some(("its golden vectors".into(), GOLDEN.into())),
            Some(file) => {
                load::golden_beside(file).map_err(refused)?.map(|(p, t)| (p.display().to_string(), t))
            }
        };
        let golden =
            golden.map(|(path, text)| Ok((path, load::agreement(&bytes, contract, &text)?))).transpose();
        match golden.map_err(refused)? {
            Some((path, (worst, rows))) if worst <= AGREEMENT => {
                line(
                    &mut text,
                    "golden",
                    &format!("largest difference {worst:.2e} in {rows} rows of {path}"),
                );
            }
            Some((path, (worst, _))) => {
                let what = format!("differs from {path} by {worst:.2e}; at most {AGREEMENT:e}");
                return Err(refused(anyhow::anyhow!(what)));
            }
            None => line(
                &mut text,
                "golden",
                "no golden vectors beside it; `models/README.md` says how to write them",
            ),
        }
        line(&mut text, "verdict", "keeps the contract");
    }
    commands::print(&text)
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ok = writeln!(text, "{key:<10} {value}");
}

fn described(place: &str, info: &ModelInfo) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| line(&mut text, key, &value);
    line("model", place.to_owned());
    line("name", format!("{} {}", info.name, info.version));
    line("contract", info.contract.clone());
    line("sha256", decode::hex(&info.sha256));
    line("bytes", info.bytes.to_string());
    line("opset", info.opset.to_string());
    line("operators", info.ops.join(" "));
    for (name, dims) in &info.inputs {
        line("input", format!("{name} [{}]", dims.join(", ")));
    }
    for (name, dims) in &info.outputs {
        line("output", format!("{name} [{}]", dims.join(", ")));
    }
    line("series", info.series.to_string());
    line("window", info.window.to_string());
    if info.contract == FORECAST {
        line("quantiles", format!("{:?}", info.quantiles));
    }
    text
}

/// Microseconds of a run in this process: of [`ROWS`] series for a forecaster, of one window for a score.
fn cost(bytes: &[u8], info: &ModelInfo, contract: Option<&str>) -> anyhow::Result<f64> {
    if info.contract == FORECAST {
        let mut model = Forecaster::new(bytes)?;
        return time(|| model.run());
    }
    let mut model = Model::load_as(bytes, contract, 1)?;
    let (fed, given) = info.values();
    let (windows, mut out) = (vec![0.0; fed], vec![0.0; given]);
    time(|| Ok(model.run(&windows, &mut out)?))
}

fn time(mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    run()?;
    let start = clock::instant();
    for _ in 0..RUNS {
        run()?;
    }
    Ok(clock::since(start).as_secs_f64() * 1e6 / f64::from(RUNS))
}
