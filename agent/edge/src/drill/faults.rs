//! The faults themselves. Each runs until `stop`, within bounds that leave the device usable, and leaves nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;

use crate::config::Config;

fn going(stop: &AtomicBool) -> bool {
    !stop.load(Ordering::Relaxed)
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub(super) fn cpu_hog(_: &Config, stop: &AtomicBool) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        for _ in 0..cpus() {
            scope.spawn(|| {
                let mut x = 1u64;
                while going(stop) {
                    for _ in 0..100_000 {
                        x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).rotate_left(7));
                    }
                }
            });
        }
    });
    Ok(())
}

pub(super) fn memory_leak(_: &Config, stop: &AtomicBool) -> anyhow::Result<()> {
    let info = rustix::system::sysinfo();
    #[expect(clippy::useless_conversion, reason = "its width differs between machines")]
    let total = u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit.max(1)));
    let most = usize::try_from(total / 8)?;
    let piece = (most / 80).max(1 << 16);
    let mut leaked: Vec<Vec<u8>> = Vec::new();
    while going(stop) {
        if (leaked.len() + 1) * piece <= most {
            // Written to, so that it is really taken.
            leaked.push(vec![0xA5; piece]);
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
    drop(std::hint::black_box(leaked));
    Ok(())
}

/// A file that is gone when the drill is.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::warn!("{}: cannot be removed: {error}", self.0.display());
        }
    }
}

pub(super) fn disk_fill(config: &Config, stop: &AtomicBool) -> anyhow::Result<()> {
    let dir = &config.written.agent.state_dir;
    let stat = rustix::fs::statvfs(dir).with_context(|| dir.display().to_string())?;
    // A twentieth of all, but never more than half of what is free.
    let bytes = stat.f_frsize * (stat.f_blocks / 20).min(stat.f_bavail / 2);
    let path = dir.join("drill-disk-fill");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let _scratch = Scratch(path);
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)
        .context("the space cannot be reserved")?;
    while going(stop) {
        std::thread::park_timeout(Duration::from_millis(200));
    }
    Ok(())
}

pub(super) fn process_storm(_: &Config, stop: &AtomicBool) -> anyhow::Result<()> {
    let program =
        ["/bin/true", "/usr/bin/true"].into_iter().find(|p| Path::new(p).exists()).context("no /bin/true")?;
    std::thread::scope(|scope| {
        for _ in 0..2 * cpus() {
            scope.spawn(|| {
                while going(stop) {
                    let child = Command::new(program).stdin(Stdio::null()).spawn();
                    // At the limit of processes the storm has done its work.
                    if let Ok(mut child) = child
                        && let Err(error) = child.wait()
                    {
                        log::debug!("{error}");
                    }
                }
            });
        }
    });
    Ok(())
}

/// So many seconds the sensor moves, before it stands still and after.
const BEFORE_S: u32 = 60;
const AFTER_S: u32 = 30;

pub(super) fn sensor_freeze(config: &Config, stop: &AtomicBool) -> anyhow::Result<()> {
    let dir = crate::sources::file::directory(config);
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let path = dir.join("drill-sensor");
    let _scratch = Scratch(path.clone());
    let mut x = 7u32;
    let mut lively = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::fs::write(&path, format!("{:.2}\n", 40.0 + f64::from(x >> 16) / 65_536.0))
    };
    for _ in 0..BEFORE_S {
        lively()?;
        if !going(stop) {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_secs(1));
    }
    while going(stop) {
        std::thread::park_timeout(Duration::from_millis(200));
    }
    // It is well again when it moves: one that is gone would not be known to be.
    for _ in 0..AFTER_S {
        lively()?;
        std::thread::park_timeout(Duration::from_secs(1));
    }
    Ok(())
}
