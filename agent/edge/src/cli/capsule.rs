//! `capsule list|get` and `replay --capsule`: what the device read around an episode, and its scores once more.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use fieldmouse_core::explain;
use fieldmouse_core::wire::Fact;
use serde_json::json;

use super::{Args, Failure, commands};
use crate::capsule::{Capsule, number, replay};
use crate::config::{Config, Written};
use crate::pipeline::{Output, Pipeline};
use crate::scorer::load;
use crate::{decode, run};

/// Every capsule of this device: number and path, the oldest first.
fn all(args: &Args) -> Result<Vec<(u64, PathBuf)>, Failure> {
    let dir = args.config()?.written.agent.state_dir.join("capsules");
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(anyhow::anyhow!("{}: {e}", dir.display()).into()),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        paths.filter_map(|path| Some((number(path.file_name()?.to_str()?)?, path))).collect();
    found.sort();
    Ok(found)
}

pub(super) fn list(args: &Args) -> Result<(), Failure> {
    for (id, path) in all(args)? {
        let line = match replay::read(&path) {
            Ok(capsule) if args.json => described(id, &capsule).to_string(),
            Ok(capsule) => {
                let when = capsule.head.wall_ms.map_or_else(|| "-".into(), time);
                let told =
                    capsule.told.first().map_or(String::new(), |(.., e)| explain::sentence(e).to_string());
                format!("{id:>6}  {when}  episode {}: {told}", capsule.head.episode)
            }
            Err(error) => format!("{id:>6}  {error:#}"),
        };
        commands::print(&format!("{line}\n"))?;
    }
    Ok(())
}

fn time(wall_ms: u64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(wall_ms);
    humantime::format_rfc3339_seconds(at).to_string()
}

fn described(id: u64, c: &Capsule) -> serde_json::Value {
    json!({
        "id": id,
        "node": c.head.node,
        "agent": c.head.agent,
        "episode": c.head.episode,
        "wall_ms": c.head.wall_ms,
        "config": decode::hex(&c.head.config),
        "models": c.head.models.iter().map(|(name, id)| json!({"name": name, "id": decode::hex(id)})).collect::<Vec<_>>(),
        "series": c.series.len(),
        "ticks": c.blocks.iter().map(|b| b.ticks).sum::<u32>(),
        "damaged": c.damaged,
        "near": c.near.iter().map(|(at, severity, fact)| near(*at, *severity, fact)).collect::<Vec<_>>(),
        "events": c.told.iter().map(|(_, _, e)| decode::episode(e)).collect::<Vec<_>>(),
    })
}

fn near(at: u64, severity: u8, fact: &Fact) -> serde_json::Value {
    let detail = fact.detail.clone().unwrap_or_default();
    json!({
        "tick": at,
        "severity": severity,
        "kind": fact.kind.as_str(),
        "text": fact.text.as_str(),
        "about": detail.about.as_str(),
        "count": detail.count,
        "example": detail.example.as_str(),
    })
}

pub(super) fn get(args: &Args, id: &str) -> Result<(), Failure> {
    let out =
        args.out.as_deref().ok_or_else(|| Failure::Usage("capsule get: --out FILE is missing".into()))?;
    let wanted: u64 = id.parse().map_err(|_| Failure::Usage(format!("`{id}` is no number of a capsule")))?;
    let found = all(args)?.into_iter().find(|(id, _)| *id == wanted);
    let (_, path) = found.ok_or_else(|| {
        anyhow::anyhow!("there is no capsule {id}; `fieldmouse capsule list` names those there are")
    })?;
    std::fs::copy(&path, out).with_context(|| format!("{}: cannot be written", out.display()))?;
    Ok(())
}

pub(super) fn replayed(args: &Args, file: &Path) -> Result<(), Failure> {
    let capsule = replay::read(file)?;
    let pipeline = pipeline(args, file, &capsule)?;
    let create = |path: &PathBuf| {
        let file =
            std::fs::File::create(path).with_context(|| format!("{}: cannot be written", path.display()))?;
        anyhow::Ok(std::io::BufWriter::new(file))
    };
    let mut scores: replay::Scores = args.scores.as_ref().map(create).transpose()?;
    let mut events = args.events.as_ref().map(create).transpose()?;
    let mut seq = 0;
    let found = replay::run(&capsule, pipeline, &mut scores, |tick, output: &Output| {
        seq += 1;
        if let Some(out) = &mut events {
            writeln!(out, "{}", crate::replay::event_json(output, seq, tick.now, None))?;
        }
        Ok(())
    })?;
    for out in [&mut scores, &mut events].into_iter().flatten() {
        out.flush()?;
    }
    let replay::Compared { ticks, replayed, same, worst, told, told_same, told_worst } = found;
    let cut = if capsule.damaged > 0 {
        format!(", {} bytes at its end are damaged", capsule.damaged)
    } else {
        String::new()
    };
    commands::print(&format!(
        "capsule of episode {} on {}, by {}{cut}\n\
         {ticks} ticks, {replayed} since its state: scores of {same} identical, largest difference {worst:e}\n\
         {told} events: {told_same} identical, largest difference of a score {told_worst:e}\n",
        capsule.head.episode, capsule.head.node, capsule.head.agent
    ))?;
    if !found.is_close() {
        return Err(anyhow::anyhow!("{}: the scores are not those of the device", file.display()).into());
    }
    Ok(())
}

/// A pipeline with the capsule's configuration, and with its models or those of `--config`.
fn pipeline(args: &Args, file: &Path, capsule: &Capsule) -> Result<Pipeline, Failure> {
    let place = file.display();
    let mut written: Written =
        toml::from_str(&capsule.config).with_context(|| format!("{place}: its configuration"))?;
    if args.config.is_some() {
        written.model = args.config()?.written.model;
    }
    let config =
        Config::new(written, "capsule").map_err(|e| anyhow::anyhow!("{place}: its configuration: {e}"))?;
    let mut models = load::models(&config.written.model);
    if let Some(fault) = run::model_fault(&config, &models) {
        let cure = "name a configuration with the models by --config";
        return Err(anyhow::anyhow!("{place}: {fault}; {cure}").into());
    }
    for (name, id) in &capsule.head.models {
        let here = models.all().find(|own| own.name == *name).map(|own| own.id);
        if here != Some(*id) {
            let here = here.map_or("none".into(), |id| decode::hex(&id));
            let id = decode::hex(id);
            let cure = "name a configuration with it by --config";
            return Err(anyhow::anyhow!("{place}: model {name} was {id}, here it is {here}; {cure}").into());
        }
    }
    // What they made stands in the capsule.
    models.forget_joint();
    let mut pipeline = Pipeline::of(&config, None, 1);
    pipeline.set_models(models);
    Ok(pipeline)
}
