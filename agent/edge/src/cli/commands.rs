//! The commands that need no running agent; those that do ask it through the socket.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context;
use fieldmouse_core::wire;

use super::{Args, Failure, capsule, event, outbox, usage};
use crate::config::{Config, SeriesTable};
use crate::duration::Span;
use crate::pipeline::Pipeline;
use crate::scorer::{Forecaster, load};
use crate::{clock, control, decode, drill, logs, once, replay, run};

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
        ["logs", file] => mine(args, Path::new(file)),
        ["replay", file] => replay(args, Path::new(file)),
        ["replay"] => match &args.capsule {
            Some(file) => capsule::replayed(args, file),
            None => Err(Failure::Usage("replay: a recording or --capsule FILE is missing".into())),
        },
        ["capsule", "list"] => capsule::list(args),
        ["capsule", "get", id] => capsule::get(args, id),
        ["decode", file] => decode_file(file),
        ["model", verb @ ("show" | "check")] => model(args, verb, None),
        ["model", verb @ ("show" | "check"), file] => model(args, verb, Some(Path::new(file))),
        ["model", "try"] => model_try(None),
        ["model", "try", contract] => model_try(Some(contract)),
        ["status"] => control::status(&socket(args)?, args.json).map_err(Failure::from),
        ["event", kind] => event::hand_over(args, kind),
        ["maintenance", "start"] => {
            let missing = |what| Failure::Usage(format!("maintenance start: {what} is missing"));
            let text = args.text.clone().filter(|t| !t.is_empty()).ok_or_else(|| missing("--text"))?;
            let span = args.seconds.as_deref().ok_or_else(|| missing("--for"))?;
            let span = Span::parse(span).map_err(|e| Failure::Usage(format!("--for: {e}")))?;
            let pattern = args.pattern.clone();
            control::start_maintenance(&socket(args)?, &text, span, pattern).map_err(Failure::from)
        }
        ["maintenance", "end"] => control::end_maintenance(&socket(args)?).map_err(Failure::from),
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
    if let Some(fault) = start.model_fault() {
        return Err(crate::config::locate_here(args.config.as_deref(), fault).into());
    }
    let text = toml::to_string(&start.config.written).context("the configuration cannot be printed")?;
    let Config { node, site, sources, .. } = &start.config;
    let names: Vec<_> = sources.iter().map(|s| s.kind.name).collect();
    let model = start.models.device().map_or_else(|| "off".into(), Forecaster::name);
    let own: String =
        start.models.own().iter().map(|own| format!("# model {}, {}\n", own.name, own.contract)).collect();
    let head = format!("# node {node}, site {site}, sources {}, model {model}\n{own}", names.join(", "));
    print(&format!("{head}{}{text}", matched(&start.config)))
}

/// How many series each table of decisions matches now, if an agent runs.
fn matched(config: &Config) -> String {
    if config.written.series.is_empty() {
        return String::new();
    }
    let answer = match control::ask(&config.written.agent.socket, &control::Ask::Series) {
        Ok(answer) => answer,
        Err(_) => return "# no agent runs here that could say how many series each `match` matches\n".into(),
    };
    let names: Vec<&str> =
        answer["series"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    let count = |table: &SeriesTable| names.iter().filter(|name| table.matches(name)).count();
    let line =
        |t: &SeriesTable| format!("# `{}` matches {} of {} series\n", t.pattern, count(t), names.len());
    config.written.series.iter().map(line).collect()
}

fn replay(args: &Args, input: &Path) -> Result<(), Failure> {
    let config = args.config()?;
    let models = load::models(&config.written.model);
    if let Some(fault) = run::model_fault(&config, &models) {
        return Err(Failure::Config(fault.to_string()));
    }
    let mut pipeline = Pipeline::of(&config, None, 1);
    pipeline.set_models(models);
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

fn mine(args: &Args, input: &Path) -> Result<(), Failure> {
    let missing = || Failure::Usage("logs: --templates OUT.csv is missing".into());
    let output = args.templates.as_deref().ok_or_else(missing)?;
    let masker = args.config()?.written.logs.masker().map_err(|e| Failure::Config(e.to_string()))?;
    let start = clock::instant();
    let logs::file::Summary { lines, templates } = logs::file::run(input, output, masker)?;
    let took = clock::since(start).as_secs_f64();
    Ok(writeln!(std::io::stderr(), "{lines} lines, {templates} templates, {took:.2} s")?)
}

#[cfg(feature = "onnx")]
fn model(args: &Args, verb: &str, file: Option<&Path>) -> Result<(), Failure> {
    super::model::run(args, verb, file)
}

/// The process in which a model is tried; the agent starts it.
#[cfg(feature = "onnx")]
fn model_try(contract: Option<&str>) -> Result<(), Failure> {
    Ok(crate::scorer::trial::child(contract)?)
}

#[cfg(not(feature = "onnx"))]
fn model(_: &Args, _: &str, _: Option<&Path>) -> Result<(), Failure> {
    Err(Failure::Run(anyhow::anyhow!(load::NO_RUNTIME)))
}

#[cfg(not(feature = "onnx"))]
fn model_try(_: Option<&str>) -> Result<(), Failure> {
    Err(Failure::Run(anyhow::anyhow!(load::NO_RUNTIME)))
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
