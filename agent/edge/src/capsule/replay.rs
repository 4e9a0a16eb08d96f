//! The scores of a capsule once more, by the very pipeline of the agent, and whether they are the same.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};

use super::recorder::{self, BOOT};
use super::{Capsule, Tick};
use crate::clock::Stamp;
use crate::learnt::Learnt;
use crate::pipeline::{Output, Pipeline};

/// How the replay compares with what the device computed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Compared {
    /// Ticks that are there.
    pub ticks: usize,
    /// Ticks that were replayed: those since the state.
    pub replayed: usize,
    /// Ticks at which all series' scores are the same, bit for bit.
    pub same: usize,
    /// The largest difference of the device's score.
    pub worst: f32,
    /// Events of episodes that were told.
    pub told: usize,
    /// Events that came out the same, bit for bit.
    pub told_same: usize,
    /// The largest difference of an event's score.
    pub told_worst: f32,
}

impl Compared {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        (self.same, self.told_same) == (self.replayed, self.told)
    }

    /// Whether scores are the same but for what another kind of processor rounds otherwise.
    #[must_use]
    pub fn is_close(&self) -> bool {
        self.worst <= 1e-4 && self.told_worst <= 1e-4
    }
}

/// Where the scores go, if anywhere.
pub type Scores = Option<BufWriter<File>>;

/// Replays a capsule through a pipeline that knows its configuration and its models, and nothing yet. `each` gets what
/// is told, and when.
///
/// # Errors
/// If the state or the readings cannot be used, or the scores cannot be written.
pub fn run(
    capsule: &Capsule,
    mut pipeline: Pipeline,
    scores: &mut Scores,
    mut each: impl FnMut(&Tick, &Output) -> anyhow::Result<()>,
) -> anyhow::Result<Compared> {
    let (from, state) = &capsule.state;
    let learnt = Learnt::read(state);
    let Some(moment) = learnt.moment else { bail!("the state cannot be read") };
    pipeline.restore(learnt, recorder::at(moment.mono_ms), BOOT);
    let mut compared = Compared { told: 0, ..Compared::default() };
    let mut told = capsule.told.iter().filter(|(at, ..)| at >= from);
    let (mut outputs, mut line) = (Vec::new(), String::new());
    if let Some(out) = scores {
        let names = capsule.series.iter().map(|(key, _)| key.to_string());
        let mut titles = csv::WriterBuilder::new().from_writer(out);
        titles.write_record(["mono_ms".to_owned(), "score".to_owned()].into_iter().chain(names))?;
        titles.flush()?;
    }
    for block in &capsule.blocks {
        let ticks = block.read();
        for (at, tick) in (block.first..).zip(&ticks) {
            compared.ticks += 1;
            if at < *from {
                continue;
            }
            for (key, every_ms) in capsule.series.iter().take(tick.readings.len()).skip(pipeline.keys().len())
            {
                pipeline.index(key, *every_ms);
            }
            outputs.clear();
            pipeline.set_wall(tick.wall_ms);
            pipeline.follow_calendar(Stamp { wall_ms: tick.wall_ms, ..recorder::at(tick.now) }, &mut outputs);
            pipeline.tick(tick.now, &tick.readings, &mut outputs);
            if compared.replayed == 0 {
                let refused = pipeline.standing().refused;
                if refused.damaged + refused.foreign > 0 {
                    bail!("its state was taken by an agent of another version; replay it with that one");
                }
            }
            compared.replayed += 1;
            compared.same += usize::from(recorder::sum(&pipeline) == tick.sum);
            compared.worst = compared.worst.max((pipeline.score() - tick.score).abs());
            for output in &outputs {
                each(tick, output)?;
                if let Output::Episode { body, .. } = output {
                    // Only since the opening is written down what was told.
                    let first = capsule.told.first().map_or(u64::MAX, |(at, ..)| *at);
                    let live = if at >= first { told.next() } else { None };
                    if let Some((told_at, _, live)) = live {
                        compared.told += 1;
                        compared.told_same += usize::from(*told_at == at && body == live);
                        compared.told_worst = compared.told_worst.max((body.score - live.score).abs());
                    }
                }
            }
            if let Some(out) = scores {
                write_scores(out, tick, &pipeline, &mut line).context("the scores cannot be written")?;
            }
        }
    }
    compared.told += told.count();
    Ok(compared)
}

fn write_scores(
    out: &mut impl Write,
    tick: &Tick,
    pipeline: &Pipeline,
    line: &mut String,
) -> std::io::Result<()> {
    use std::fmt::Write as _;
    line.clear();
    // Writing to a string cannot fail.
    let _ok = write!(line, "{},{}", tick.now, pipeline.score());
    for series in pipeline.series() {
        let _ok = write!(line, ",{}", series.now.score);
    }
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// The file of a capsule.
///
/// # Errors
/// If it cannot be read, or is none.
pub fn read(path: &Path) -> anyhow::Result<Capsule> {
    let name = path.display();
    let len = std::fs::metadata(path).with_context(|| format!("{name}: cannot be read"))?.len();
    if len > super::MOST {
        bail!("{name}: {len} bytes; a capsule has at most {}", super::MOST);
    }
    let bytes = std::fs::read(path).with_context(|| format!("{name}: cannot be read"))?;
    Capsule::read(&bytes).with_context(|| name.to_string())
}
