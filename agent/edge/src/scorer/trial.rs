//! A stranger's model is tried in a process of its own before it runs in the agent's.
//!
//! The inference library was not written against hostile files: it can panic, loop, or ask for all memory, and in a
//! program that aborts on panic nothing of that can be caught. So the agent runs itself as `model try`, which reads
//! the file from standard input, gives up all but the little it needs, loads the model, runs it on probes, and says what
//! it found. Whatever happens to that process is the model's fault, and the agent goes on.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::onnx::{self, FORECAST, Model};
use super::{SHIPPED, fits_agent, is_sane};
use crate::clock;

/// Where this very program is, also after an upgrade has replaced its file.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// Memory that a model may take, beside the program itself.
const MEMORY_BYTES: u64 = 48 << 20;
/// Processor time of the whole trial.
const CPU_S: u64 = 5;
/// Time of the whole trial on a device that gives the agent a fifth of a processor.
const PATIENCE: Duration = Duration::from_secs(30);
/// Windows of the first try, and of the second.
const FEW: usize = 32;
const MANY: usize = 256;
/// Runs by which the cost is measured.
const RUNS: u32 = 50;
/// The most that is heard of what the process says.
const MAX_SAID: u64 = 4096;

/// What a trial found.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Tried {
    /// Microseconds of one run.
    pub us: f64,
    /// Windows of that run.
    pub rows: usize,
    /// KiB of memory that loading and running took at most.
    pub kib: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Tried(Tried),
    Error(String),
}

/// Tries a model in a process of its own: `program` is this program.
///
/// # Errors
/// Why it may not run here: what it is refused for, or how the process ended.
pub fn try_out(program: &Path, bytes: &[u8], contract: Option<&str>) -> anyhow::Result<Tried> {
    let mut child = Command::new(program)
        .args(["model", "try"])
        .args(contract)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("it cannot be tried: no process for it")?;
    let (input, output, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (said, heard) = mpsc::channel();
    let (status, answer, complaint) = std::thread::scope(|scope| {
        let _writer = scope.spawn(move || {
            // A process that died early does not read on, which its end tells better.
            let _died = input.map(|mut pipe| pipe.write_all(bytes));
        });
        scope.spawn(move || said.send(text(output)));
        let complaint = scope.spawn(move || text(complaint));
        let answer = heard.recv_timeout(PATIENCE);
        if answer.is_err() {
            // Else it would go on for ever; it is ours and not yet waited for.
            let _gone = child.kill();
        }
        (child.wait(), answer, complaint.join().unwrap_or_default())
    });
    let Ok(answer) = answer else {
        bail!("its trial did not end within {} s", PATIENCE.as_secs());
    };
    match serde_json::from_str(&answer) {
        Ok(Answer::Tried(tried)) => Ok(tried),
        Ok(Answer::Error(error)) => bail!("{error}"),
        Err(_) => bail!("{}", how_it_ended(status.context("its trial is lost")?, &complaint)),
    }
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // What cannot be heard was not said.
    let _cut = pipe.map(|pipe| pipe.take(MAX_SAID).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn how_it_ended(status: ExitStatus, complaint: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    let complaint = complaint.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let complaint = complaint.trim_start_matches("fieldmouse: ");
    if complaint.starts_with("memory allocation of") {
        return format!("its trial asked for more than {} MiB of memory", MEMORY_BYTES >> 20);
    }
    let how = match status.signal() {
        // SIGXCPU, and SIGKILL for whoever ignores that.
        Some(24 | 9) => return format!("its trial took more than {CPU_S} s of processor time"),
        Some(signal) => format!("signal {signal}"),
        None => status.to_string(),
    };
    format!("its trial died ({how}): {complaint}")
}

/// `model try`: the process in which a model is tried.
///
/// # Errors
/// If it cannot confine itself.
pub fn child(contract: Option<&str>) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().take(onnx::MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    // What the library looks up once on the machine has to be known before no file can be opened.
    Model::load(SHIPPED, 1)?;
    let mut memory = Memory::now()?;
    confine(memory.mapped)?;
    let answer = match examine(&bytes, contract) {
        Ok((us, rows)) => Answer::Tried(Tried { us, rows, kib: memory.grown()? }),
        Err(error) => Answer::Error(format!("{error:#}")),
    };
    Ok(std::io::stdout().write_all(serde_json::to_string(&answer)?.as_bytes())?)
}

/// From here on: no file, socket, process or thread can be made, and memory and processor time are bounded.
fn confine(mapped: u64) -> anyhow::Result<()> {
    // If memory runs short all the same, this process goes and not the agent. Old kernels may not allow it.
    let _not_allowed = std::fs::write("/proc/self/oom_score_adj", "1000");
    for (resource, most) in [
        (Resource::As, mapped + MEMORY_BYTES),
        (Resource::Cpu, CPU_S),
        (Resource::Core, 0),
        (Resource::Nproc, 0),
        (Resource::Nofile, 0),
    ] {
        let most = Some(getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most)));
        setrlimit(resource, Rlimit { current: most, maximum: most })
            .with_context(|| format!("it cannot be tried: no limit of {resource:?}"))?;
    }
    Ok(())
}

/// Loads and runs; gives microseconds of a run, and its windows.
fn examine(bytes: &[u8], contract: Option<&str>) -> anyhow::Result<(f64, usize)> {
    let info = Model::inspect_as(bytes, contract)?;
    if info.contract == FORECAST {
        fits_agent(&info)?;
        let cost = forecast(&mut Model::load(bytes, FEW)?, FEW)?;
        forecast(&mut Model::load(bytes, MANY)?, MANY)?;
        return Ok((cost, FEW));
    }
    let mut model = Model::load_as(bytes, contract, 1)?;
    let mut out = vec![0.0; info.values().1];
    let mut answers = 0;
    for probe in 0..PROBES {
        // The sensors' ranges are not known here, so the model need not cope with every probe.
        model.run(&shape(probe, info.values().0), &mut out)?;
        answers += usize::from(out.iter().all(|x| x.is_finite()));
    }
    if answers == 0 {
        bail!("none of {PROBES} probes gives a finite `{}`; the first gives {out:?}", info.output());
    }
    Ok((cost(&mut model, &shape(0, info.values().0), &mut out)?, 1))
}

/// All probes in one batch; every answer has to be finite, in order, and not the same for all.
fn forecast(model: &mut Model, rows: usize) -> anyhow::Result<f64> {
    let (window, levels) = model.info().values();
    let windows: Vec<f32> = (0..rows).flat_map(|row| shape(row, window)).collect();
    let mut out = vec![0.0; rows * levels];
    model.run(&windows, &mut out)?;
    for (row, quantiles) in out.chunks_exact(levels).enumerate() {
        if !is_sane(quantiles) {
            bail!("quantiles {quantiles:?} for probe {row} are not finite and in order");
        }
    }
    if out.chunks_exact(levels).all(|row| row == &out[..levels]) {
        bail!("the same quantiles {:?} for every one of {rows} probes", &out[..levels]);
    }
    cost(model, &windows, &mut out)
}

fn cost(model: &mut Model, windows: &[f32], out: &mut [f32]) -> anyhow::Result<f64> {
    let start = clock::instant();
    for _ in 0..RUNS {
        model.run(windows, out)?;
    }
    Ok(clock::since(start).as_secs_f64() * 1e6 / f64::from(RUNS))
}

const PROBES: usize = 8;

/// Windows as they come: nothing, a step, a ramp, waves, noise; within what the contracts allow.
fn shape(probe: usize, len: usize) -> Vec<f32> {
    let noise = |i: usize| {
        let mixed = (i as u32).wrapping_add(977 * probe as u32).wrapping_mul(2_654_435_761) >> 9;
        mixed as f32 / (1u32 << 22) as f32 - 1.0
    };
    let scale = 1.0 + (probe / PROBES) as f32 / 8.0;
    let at = |i: usize| match probe % PROBES {
        0 => 0.0,
        1 => f32::from(u8::from(i >= len / 2)),
        2 => i as f32 / len as f32 * 2.0 - 1.0,
        3 => (i as f32 / 3.0).sin(),
        4 => (i as f32 / 11.0).sin() * 0.01,
        5 => noise(i),
        6 => f32::from(u8::from(i + 1 == len)) * 8.0,
        _ => noise(i) * 8.0,
    };
    (0..len).map(|i| (at(i) * scale).clamp(-8.0, 8.0)).collect()
}

/// The memory of this process, by a handle that stays open when nothing else can be opened.
struct Memory {
    status: File,
    mapped: u64,
    resident_kib: u64,
}

impl Memory {
    fn now() -> anyhow::Result<Self> {
        let status = File::open("/proc/self/status").context("it cannot be tried: no /proc")?;
        let mut memory = Self { status, mapped: 0, resident_kib: 0 };
        let text = memory.text()?;
        (memory.mapped, memory.resident_kib) = (kib(&text, "VmSize:") << 10, kib(&text, "VmRSS:"));
        Ok(memory)
    }

    fn grown(&mut self) -> anyhow::Result<u64> {
        Ok(kib(&self.text()?, "VmHWM:").saturating_sub(self.resident_kib))
    }

    fn text(&mut self) -> anyhow::Result<String> {
        let mut text = String::new();
        self.status.seek(SeekFrom::Start(0))?;
        self.status.read_to_string(&mut text)?;
        Ok(text)
    }
}

fn kib(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
