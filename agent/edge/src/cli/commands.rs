//! The commands that need no running agent; those that do ask it through the socket.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context;
use fieldmouse_core::wire;

use super::{Args, Failure, outbox, usage};
use crate::config::Config;
use crate::duration::Span;
use crate::pipeline::Pipeline;
use crate::scorer::Forecaster;
use crate::{clock, control, decode, drill, once, replay, run};

pub(super) fn dispatch(args: &Args) -> Result<(), Failure> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run"] => run::main(config_for_run(args)?).map_err(Failure::from),
        ["check"] => check(args),
        ["once"] => once::print(&args.config()?, args.json).map_err(Failure::from),
        ["record", file] => {
            let span = args.seconds.clone().unwrap_or_else(|| "60s".into());
            let span = Span::parse(&span).map_err(|e| Failure::Usage(format!("--for: {e}")))?;
            once::record(&args.config()?, Path::new(file), span).map_err(Failure::from)
        }
        ["replay", file] => replay(args, Path::new(file)),
        ["decode", file] => decode_file(file),
        ["model", verb @ ("show" | "check")] => model(args, verb, None),
        ["model", verb @ ("show" | "check"), file] => model(args, verb, Some(Path::new(file))),
        ["status"] => control::status(&socket(args)?, args.json).map_err(Failure::from),
        ["event", kind] => {
            let text = args.text.clone().ok_or_else(|| Failure::Usage("event: --text is missing".into()))?;
            let severity = severity(args.severity.as_deref().unwrap_or("info"))?;
            control::event(&socket(args)?, kind, &text, severity).map_err(Failure::from)
        }
        ["doctor"] => crate::doctor::run(args.config.as_deref(), args.socket.as_deref(), args.json)
            .map_err(Failure::from),
        ["outbox", "check", dir] => outbox::check(args, Path::new(dir)),
        ["outbox", "repair", dir] => outbox::repair(args, Path::new(dir)),
        ["drill", "list"] => print(&drill::list()),
        ["drill", name] => drill::run(name, &socket(args)?, &args.config()?).map_err(Failure::from),
        ["help", ..] => print(usage::LONG),
        ["version", ..] => print(concat!("fieldmouse ", env!("CARGO_PKG_VERSION"), "\n")),
        [] => Err(Failure::Usage("no command".into())),
        other => Err(Failure::Usage(format!("`{}` is no command, or not with these words", other.join(" ")))),
    }
}

pub(super) fn print(text: &str) -> Result<(), Failure> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

pub(super) fn socket(args: &Args) -> Result<std::path::PathBuf, Failure> {
    match &args.socket {
        Some(socket) => Ok(socket.clone()),
        None => Ok(args.config()?.written.agent.socket),
    }
}

/// Everything a start needs is looked at before anything starts.
fn config_for_run(args: &Args) -> Result<run::Start, Failure> {
    let config = args.config()?;
    run::Start::new(config, args.config.clone())
        .map_err(|e| crate::config::locate_here(args.config.as_deref(), e).into())
}

fn check(args: &Args) -> Result<(), Failure> {
    let start = config_for_run(args)?;
    let text = toml::to_string(&start.config.written).context("the configuration cannot be printed")?;
    let Config { node, site, sources, .. } = &start.config;
    let names: Vec<_> = sources.iter().map(|s| s.kind.name).collect();
    let model = start.forecaster.as_ref().map_or_else(|| "off".into(), Forecaster::name);
    print(&format!("# node {node}, site {site}, sources {}, model {model}\n{text}", names.join(", ")))
}

fn replay(args: &Args, input: &Path) -> Result<(), Failure> {
    let config = args.config()?;
    let forecaster = forecaster(&config).map_err(|e| Failure::Config(format!("model.file: {e:#}")))?;
    let mut pipeline = Pipeline::new(config.written.detect.false_alarms, forecaster, 1);
    pipeline.set_horizon(config.written.forecast.horizon.0);
    let files = replay::Files {
        input: input.to_owned(),
        scores: args.scores.clone(),
        events: args.events.clone(),
        state_in: args.state_in.clone(),
        state_out: args.state_out.clone(),
    };
    let start = clock::instant();
    let summary = replay::run(&files, pipeline)?;
    let took = clock::since(start).as_secs_f64();
    let speed = summary.span_ms as f64 / 1000.0 / took.max(1e-9);
    let replay::Summary { rows, episodes, .. } = summary;
    Ok(writeln!(
        std::io::stderr(),
        "{rows} rows, {episodes} episodes, {took:.2} s, {speed:.0} times real time"
    )?)
}

/// The configured model, loaded; none if it is off.
pub(crate) fn forecaster(config: &Config) -> anyhow::Result<Option<Forecaster>> {
    if !config.written.model.enabled {
        return Ok(None);
    }
    #[cfg(feature = "onnx")]
    {
        let bytes = model_bytes(config.written.model.file.as_deref())?;
        let place = config
            .written
            .model
            .file
            .as_deref()
            .map_or("the shipped model".into(), |p| p.display().to_string());
        Ok(Some(Forecaster::new(bytes).context(place)?))
    }
    #[cfg(not(feature = "onnx"))]
    Ok(None)
}

#[cfg(feature = "onnx")]
fn model_bytes(file: Option<&Path>) -> anyhow::Result<Cow<'static, [u8]>> {
    match file {
        None => Ok(Cow::Borrowed(crate::scorer::SHIPPED)),
        Some(path) => Ok(Cow::Owned(
            std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?,
        )),
    }
}

#[cfg(feature = "onnx")]
fn model(args: &Args, verb: &str, file: Option<&Path>) -> Result<(), Failure> {
    use std::fmt::Write as _;

    use crate::scorer::onnx::Model;
    use fieldmouse_core::window::WINDOW;

    let configured = args.config()?.written.model.file;
    let file = file.or(configured.as_deref());
    let place = file.map_or("the shipped model".into(), |p| p.display().to_string());
    let bytes = model_bytes(file)?;
    let info = Model::inspect(&bytes).map_err(|e| Failure::Config(format!("{place}: {e}")))?;
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ok = writeln!(text, "{key:<10} {value}");
    };
    line("model", place.clone());
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
    line("window", info.window.to_string());
    line("quantiles", format!("{:?}", info.quantiles));
    if verb == "check" {
        const ROWS: usize = 200;
        const RUNS: u32 = 200;
        let mut model =
            Forecaster::new(bytes.clone()).map_err(|e| Failure::Config(format!("{place}: {e:#}")))?;
        model.make_room(ROWS)?;
        model.run()?;
        let start = clock::instant();
        for _ in 0..RUNS {
            model.run()?;
        }
        let us = clock::since(start).as_secs_f64() * 1e6 / f64::from(RUNS);
        let rows = model.windows.len() / WINDOW;
        line("cost", format!("{us:.1} us for {rows} series at once"));
        if file.is_none() {
            let worst = crate::scorer::check_golden(&bytes)?;
            line("golden", format!("largest difference to the reference runtime {worst:.2e}"));
            if worst > 1e-4 {
                return Err(Failure::Config(format!(
                    "{place}: differs from its golden vectors by {worst:e}; at most 1e-4"
                )));
            }
        }
        line("verdict", "keeps the contract".into());
    }
    print(&text)
}

#[cfg(not(feature = "onnx"))]
fn model(_: &Args, _: &str, _: Option<&Path>) -> Result<(), Failure> {
    let _: Option<Cow<'_, [u8]>> = None;
    Err(Failure::Run(anyhow::anyhow!("this build has no ONNX runtime; build with the feature `onnx`")))
}

fn decode_file(file: &str) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let limit = wire::MAX_PAYLOAD as u64 + 1;
    match file {
        "-" => std::io::stdin().take(limit).read_to_end(&mut bytes),
        path => {
            std::fs::File::open(path).with_context(|| path.to_owned())?.take(limit).read_to_end(&mut bytes)
        }
    }?;
    let events = decode::message(&bytes)
        .map_err(|e| anyhow::anyhow!("{file}: not a message of Fieldmouse ({})", e.word()))?;
    for event in events {
        print(&format!("{event}\n"))?;
    }
    Ok(())
}

fn severity(word: &str) -> Result<u8, Failure> {
    match word {
        "info" => Ok(9),
        "warning" => Ok(13),
        "error" => Ok(17),
        other => Err(Failure::Usage(format!("`{other}` is no severity; allowed are info, warning, error"))),
    }
}
