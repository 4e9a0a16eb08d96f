//! `once` and `record`: what the sources show, without an agent.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use fieldmouse_core::explain::Amount;
use fieldmouse_core::metric::Metric;
use fieldmouse_core::quality::Verdict;
use fieldmouse_core::rules::{Direction, Overrides};
use fieldmouse_core::series::NoData;
use serde_json::json;

use crate::budget::Budget;
use crate::clock;
use crate::config::Config;
use crate::duration::Span;
use crate::pipeline::Pipeline;
use crate::sampler::{Health, Sampler};

/// Counters need two readings, so every source is read twice, this far apart.
const APART: Duration = Duration::from_millis(250);

/// Samples every source and prints the readings and their quality.
///
/// # Errors
/// If a source cannot be built or the output cannot be written.
pub fn print(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let mut out = std::io::stdout().lock();
    runtime.block_on(async {
        let mut pipeline = Pipeline::of(config, None, 1);
        let mut sampler = sampler(config, 1)?;
        let mut told = Vec::new();
        for pause in [APART, Duration::ZERO] {
            let now = clock::mono_ms();
            let readings = sampler.sample(now, &mut pipeline).await.to_vec();
            pipeline.tick(now, &readings, &mut told);
            tokio::time::sleep(pause).await;
        }
        for (i, (key, series)) in pipeline.keys().iter().zip(pipeline.series()).enumerate() {
            let decided = in_words(&pipeline.overrides(i), key.metric());
            let (value, verdict) = (series.now.value, Verdict::word(series.now.verdict as u8));
            let unit = key.metric().unit;
            if as_json {
                writeln!(
                    out,
                    "{}",
                    json!({"series": key.to_string(), "value": value, "unit": unit, "quality": verdict, "decided": decided})
                )?;
            } else {
                let value = value.map_or_else(|| "-".into(), |v| v.to_string());
                let decided = if decided.is_empty() { decided } else { format!(", {decided}") };
                writeln!(out, "{:<72} {value:>16} {unit:<18} {verdict}{decided}", key.to_string())?;
            }
        }
        for (name, health) in sampler.health() {
            if let Health::Failed(error) = health {
                writeln!(std::io::stderr(), "source {name}: {error}")?;
            }
            if *health == Health::Hung {
                writeln!(std::io::stderr(), "source {name}: no answer within {:?}", config.deadline())?;
            }
        }
        Ok(())
    })
}

/// What people decided about a series; empty if nothing.
fn in_words(o: &Overrides, metric: &'static Metric) -> String {
    let mut words = Vec::new();
    if o.quiet {
        words.push("ignored".to_owned());
    }
    match o.direction {
        Direction::ByMetric => {}
        Direction::Up => words.push("up".into()),
        Direction::Down => words.push("down".into()),
        Direction::Both => words.push("up and down".into()),
    }
    if let Some(floor) = o.floor {
        words.push(format!("changes from {} on", Amount(floor, metric)));
    }
    if let Some(limit) = o.limit {
        let sides = [("above", limit.above), ("below", limit.below)];
        let sides = sides.into_iter().filter(|(_, at)| at.is_finite());
        let sides: Vec<_> = sides.map(|(side, at)| format!("{side} {}", Amount(at, metric))).collect();
        let span = if limit.for_ms > 0 { format!(" for {}", Span(limit.for_ms)) } else { String::new() };
        words.push(format!("told {}{span}", sides.join(" or ")));
    }
    words.join(", ")
}

/// Writes readings, one row a tick, as `replay` reads them.
///
/// # Errors
/// If a source cannot be built or the file cannot be written.
pub fn record(config: &Config, file: &Path, span: Span) -> anyhow::Result<()> {
    let tick = Duration::from_millis(config.written.agent.tick.0);
    let ticks = span.0.div_ceil(config.written.agent.tick.0).max(1);
    let place = || format!("{}: cannot be written", file.display());
    let mut csv = csv::WriterBuilder::new().flexible(false).from_path(file).with_context(place)?;
    runtime()?.block_on(async {
        let mut pipeline = Pipeline::new(Budget::default(), None, 1);
        let mut sampler = sampler(config, config.written.agent.tick.0)?;
        let mut interval = tokio::time::interval(tick);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut columns = 0;
        for _ in 0..=ticks {
            interval.tick().await;
            let readings = sampler.sample(clock::mono_ms(), &mut pipeline).await.to_vec();
            if columns == 0 {
                // The first sample shows which series there are; later ones have no column.
                columns = readings.len();
                csv.write_field("timestamp")?;
                csv.write_record(pipeline.keys().iter().map(ToString::to_string))?;
                continue;
            }
            let wall = clock::stamp().wall_ms.unwrap_or(0);
            csv.write_field(format!("{}.{:03}", wall / 1000, wall % 1000))?;
            csv.write_record(readings.iter().take(columns).map(|r| match r {
                Some(Ok(value)) => value.to_string(),
                Some(Err(NoData::NotFinite)) => "NaN".into(),
                _ => String::new(),
            }))?;
            csv.flush()?;
        }
        Ok(())
    })
}

fn sampler(config: &Config, tick_ms: u64) -> anyhow::Result<Sampler> {
    let mut sources = config.sources.clone();
    if tick_ms == 1 {
        sources.iter_mut().for_each(|s| s.every_ms = 1);
    }
    Sampler::new(&sources, &config.look(), config.deadline(), tick_ms)
}

/// One thread for decisions, a few for sources that may hang.
///
/// # Errors
/// If threads cannot be made.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Two to spare, and one for each source that listens.
        .max_blocking_threads(crate::sources::KINDS.len() + 4)
        .thread_stack_size(256 << 10)
        .build()
        .context("no runtime")
}
