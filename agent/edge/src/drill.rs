//! Drills: labelled faults, injected on purpose, to measure whether the running agent sees them.
//!
//! Each runs in this process, never in the agent's, and undoes itself: by ending.

mod faults;

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::clock;
use crate::config::Config;
use crate::control::{Ask, ask};

/// One drill: what it does, and in which part of the device it should be seen.
#[derive(Debug)]
struct Drill {
    name: &'static str,
    about: &'static str,
    /// The group of the first contributor.
    group: &'static str,
    /// How long to wait for it to be seen.
    patience: Duration,
    /// Runs the fault until told to stop.
    fault: fn(&Config, &AtomicBool) -> anyhow::Result<()>,
}

const DRILLS: &[Drill] = &[
    Drill {
        name: "cpu-hog",
        about: "a busy thread on every processor",
        group: "cpu",
        patience: Duration::from_secs(30),
        fault: faults::cpu_hog,
    },
    Drill {
        name: "memory-leak",
        about: "takes up to an eighth of the memory, bit by bit",
        group: "memory",
        patience: Duration::from_secs(60),
        fault: faults::memory_leak,
    },
    Drill {
        name: "disk-fill",
        about: "reserves a twentieth of the state directory's file system",
        group: "filesystem",
        patience: Duration::from_secs(90),
        fault: faults::disk_fill,
    },
    Drill {
        name: "process-storm",
        about: "starts short-lived processes as fast as it can",
        group: "process",
        patience: Duration::from_secs(30),
        fault: faults::process_storm,
    },
    Drill {
        name: "sensor-freeze",
        about: "a lively sensor of the `file` source that stops moving after a minute",
        group: "sensor",
        patience: Duration::from_secs(180),
        fault: faults::sensor_freeze,
    },
];

/// `drill list`.
#[must_use]
pub fn list() -> String {
    DRILLS.iter().map(|d| format!("{:<14} {}\n", d.name, d.about)).collect()
}

/// `drill NAME`: injects the fault, waits until it is seen, ends it, waits until it is over.
///
/// # Errors
/// If there is no such drill, no agent answers, or it was not seen.
pub fn run(name: &str, socket: &Path, config: &Config) -> anyhow::Result<()> {
    let names = || DRILLS.iter().map(|d| d.name).collect::<Vec<_>>().join(", ");
    let drill = DRILLS
        .iter()
        .find(|d| d.name == name)
        .with_context(|| format!("no drill is called `{name}`; there are: {}", names()))?;
    let mut out = std::io::stdout();
    let before = open_episodes(&ask(socket, &Ask::Status)?);
    if let Some((id, sentence)) =
        before.iter().find(|(_, e)| e["group"] == drill.group).map(|(id, e)| (id, &e["sentence"]))
    {
        bail!(
            "episode {id} is open in the same part of the device; the drill could not be told from it: {sentence}"
        );
    }
    let text = format!("{}: {}", drill.name, drill.about);
    ask(socket, &Ask::Event { kind: "drill".into(), text: text.clone(), severity: 9 })?;
    writeln!(out, "injecting {text}")?;
    // The culprit of a drill should be known for one. The first thread's name is the process's.
    let name = format!("drill-{}", drill.name);
    let _unnamed = std::ffi::CString::new(name).map(|n| rustix::thread::set_name(&n));
    let stop = AtomicBool::new(false);
    let start = clock::instant();
    std::thread::scope(|scope| {
        let fault = scope.spawn(|| (drill.fault)(config, &stop));
        let seen = wait(drill.patience, || {
            if fault.is_finished() {
                bail!("the fault ended before it was seen");
            }
            let open = open_episodes(&ask(socket, &Ask::Status)?);
            Ok(open
                .into_iter()
                .find(|(id, e)| e["group"] == drill.group && before.iter().all(|(b, _)| b != id)))
        });
        stop.store(true, Ordering::Relaxed);
        let end = clock::instant();
        let join = || fault.join().map_err(|_| anyhow::anyhow!("the fault failed"));
        let Some((id, episode)) = seen? else {
            join()??;
            bail!("not seen within {} s", drill.patience.as_secs());
        };
        let after = end.saturating_duration_since(start).as_secs_f64();
        writeln!(
            out,
            "seen after {after:.1} s as episode {id}: {}",
            episode["sentence"].as_str().unwrap_or("")
        )?;
        let closed = wait(Duration::from_secs(120), || {
            let open = open_episodes(&ask(socket, &Ask::Status)?);
            Ok(open.iter().all(|(i, _)| *i != id).then_some(()))
        })?;
        let took = clock::since(end).as_secs_f64();
        join()??;
        match closed {
            Some(()) => writeln!(out, "closed {took:.1} s after its end")?,
            None => bail!("episode {id} is still open two minutes after the fault ended"),
        }
        Ok(())
    })
}

fn open_episodes(status: &Value) -> Vec<(u64, Value)> {
    let open = status["episodes"].as_array().cloned().unwrap_or_default();
    open.into_iter().filter_map(|e| Some((e["id"].as_u64()?, e))).collect()
}

/// Asks twice a second until there is an answer or patience ends.
fn wait<T>(
    patience: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let start = clock::instant();
    while clock::since(start) < patience {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
    Ok(None)
}
