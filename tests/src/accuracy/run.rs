//! Every recording of the sets, some at once: through the program, and by the references.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;

use super::episodes::Calm;
use super::ranges::period;
use super::references::REFERENCES;
use super::replay::{self, Replayed};
use super::sets::{File, Truth};

/// What is wanted.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// The folder of the sets.
    pub data: PathBuf,
    /// Names of sets; all if empty.
    pub sets: Vec<String>,
    /// A configuration for `replay`; what is shipped if none.
    pub config: Option<PathBuf>,
    /// Recordings at once.
    pub jobs: usize,
    /// Where scores and events are kept.
    pub keep: Option<PathBuf>,
    /// Where they were kept: nothing is run.
    pub scores_from: Option<PathBuf>,
    /// Whether to leave out second runs: the checks, and the budget of one a day.
    pub is_quick: bool,
    /// Whether to tell the figures of every recording.
    pub each: bool,
}

/// What came of a recording.
#[derive(Debug)]
pub struct Done {
    /// Which.
    pub file: File,
    /// What is known of it.
    pub truth: Truth,
    /// Seconds since the first row, of every row.
    pub seconds: Vec<f64>,
    /// The longest buffer of VUS-PR.
    pub window: usize,
    /// Scores of every row: the agent's, then those of the references in their order.
    pub scores: Vec<Vec<f64>>,
    /// Events told.
    pub events: usize,
    /// How long the replay took; zero if kept scores were read.
    pub took: f64,
    /// Episodes outside of anomalies with the budget that is shipped, one a week.
    pub weekly: Calm,
    /// The same at one a day, if it was measured.
    pub daily: Option<Calm>,
}

/// All of them in their order; of those that failed, why.
///
/// # Errors
/// If there is no data.
pub fn all(options: &Options) -> anyhow::Result<(Vec<Done>, Vec<String>)> {
    let files = super::sets::find(&options.data, &options.sets)?;
    let next = AtomicUsize::new(0);
    let (done, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(i) else { break };
                    match one(file, options) {
                        Ok(result) => done.lock().unwrap().push((i, result)),
                        Err(why) => {
                            failed.lock().unwrap().push(format!("{}/{}: {why:#}", file.set, file.name))
                        }
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(i, _)| *i);
    Ok((done.into_iter().map(|(_, d)| d).collect(), failed.into_inner().unwrap()))
}

fn one(file: &File, options: &Options) -> anyhow::Result<Done> {
    let recording = file.recording()?;
    let truth = file.truth()?;
    let dir = tempfile::tempdir()?;
    let csv = dir.path().join("in.csv");
    std::fs::write(&csv, &recording.csv)?;
    let place = |base: &Path| base.join(&file.set).join(&file.name);
    let config = options.config.as_deref();
    let mut daily = None;
    let Replayed { score, events, seconds: took } = if let Some(kept) = &options.scores_from {
        replay::read(&place(kept), file.rows, None)?
    } else {
        let to = place(options.keep.as_deref().unwrap_or(dir.path()));
        std::fs::create_dir_all(to.parent().context("a place")?)?;
        let seconds = replay::run(&csv, &to, config)?;
        let replayed = Replayed { seconds, ..replay::read(&to, file.rows, Some(&recording.names))? };
        if !options.is_quick {
            if file.is_first {
                replay::check(file, &recording, &to, config)?;
            }
            let (config, to) = (dir.path().join("daily.toml"), dir.path().join("daily"));
            std::fs::write(&config, "[detect]\nfalse_alarms = \"1 per day\"\n")?;
            replay::run(&csv, &to, Some(&config))?;
            let events = replay::read(&to, file.rows, None)?.events;
            daily = Some(Calm::of(&recording, &truth, &events));
        }
        replayed
    };
    let references = REFERENCES.iter().map(|r| r.scores(&recording.columns, file.train_rows));
    let scored = |column: &[f64]| truth.rows.iter().map(|r| column[*r]).collect::<Vec<_>>();
    Ok(Done {
        window: file.vus_window.unwrap_or_else(|| period(&scored(&recording.columns[0]))),
        scores: std::iter::once(score).chain(references).collect(),
        events: events.lines().filter(|l| !l.trim().is_empty()).count(),
        took,
        weekly: Calm::of(&recording, &truth, &events),
        daily,
        file: file.clone(),
        truth,
        seconds: recording.seconds,
    })
}
