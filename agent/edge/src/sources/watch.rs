//! `watch`: files under watched paths that were made, changed or removed: size, mode, owner and the first bytes of the
//! SHA-256 of what is in them, never what is in them. Units of systemd are told as such. No series: what happened is told
//! as facts.

mod look;
mod words;

use std::path::PathBuf;

use fieldmouse_core::series::{Millis, NoData};
use serde::Deserialize;

use super::{Kind, Place, Readings, Source, SourceError, matches_any};
use crate::inventory::{Inventory, Kept, differences};
use look::Look;

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "watch",
    about: "files made, changed or removed under watched paths, and units of systemd: facts, never what is in them",
    every_ms: 60_000,
    build: |keys, place| {
        let config: Config = super::config(KIND.name, keys)?;
        config.check()?;
        Ok(Box::new(Watch::new(config, place)))
    },
};

/// What is watched unless told otherwise: what decides how a device starts, who may enter, and what it does by the clock.
const PATHS: [&str; 32] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/etc/systemd/*.conf",
    "/etc/systemd/*.conf.d",
    "/etc/init.d",
    "/etc/rc.local",
    "/etc/inittab",
    "/etc/ssh/sshd_config",
    "/etc/ssh/sshd_config.d",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/fstab",
    "/etc/crontab",
    "/etc/crontabs",
    "/etc/cron.*",
    "/etc/sysctl.conf",
    "/etc/sysctl.d",
    "/etc/modprobe.d",
    "/etc/modules*",
    "/etc/network",
    "/etc/netplan",
    "/etc/NetworkManager/*.conf",
    "/etc/config",
    "/boot/*.txt",
    "/boot/firmware/*.txt",
    "/etc/fieldmouse/*.toml",
    "/etc/fieldmouse/conf.d",
];
/// Names of files that editors and package managers leave for a moment.
const IGNORE: [&str; 6] = ["*~", "*.swp", "*.swx", "*.tmp", "*.dpkg-new", "*.dpkg-tmp"];
/// More patterns than these are not looked at.
const MOST_PATHS: usize = 256;

/// `[source.watch]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Files, folders with all below them, and patterns of these.
    paths: Vec<String>,
    /// Paths to leave out.
    ignore: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { paths: PATHS.map(Into::into).to_vec(), ignore: IGNORE.map(Into::into).to_vec() }
    }
}

impl Config {
    fn check(&self) -> anyhow::Result<()> {
        let place = format!("in [source.{}]: `paths`", KIND.name);
        if self.paths.len() > MOST_PATHS {
            anyhow::bail!("{place}: {} of them; at most {MOST_PATHS}", self.paths.len());
        }
        if let Some(path) = self.paths.iter().find(|path| !path.starts_with('/')) {
            anyhow::bail!("{place}: `{path}` does not begin with /");
        }
        Ok(())
    }
}

struct Watch {
    config: Config,
    root: PathBuf,
    kept: Kept,
    /// A look that needs more than one sample, as there is much to hash.
    look: Option<Look>,
}

impl Watch {
    fn new(config: Config, place: &Place) -> Self {
        Self { config, root: place.root.clone(), kept: Kept::new(place, "files"), look: None }
    }
}

impl Source for Watch {
    fn sample(&mut self, _: Millis, out: &mut Readings) -> Result<(), SourceError> {
        self.kept.keep();
        let ignored = |path: &str| matches_any(&self.config.ignore, path);
        let mut look = self.look.take().unwrap_or_else(|| Look::begin(&self.root, &self.config.paths, ignored));
        let none = Inventory::default();
        let last = self.kept.last(out);
        if !look.go_on(last.unwrap_or(&none)) {
            self.look = Some(look);
            return Ok(());
        }
        let (now, left_out) = look.end();
        let different = last.map(|last| differences(last, &now)).unwrap_or_default();
        words::facts(&different, &self.root).into_iter().for_each(|fact| out.tell(9, fact));
        let is_other = last.is_none() || !different.is_empty();
        let watched = now.len();
        if is_other {
            self.kept.set(now);
        } else {
            self.kept.set_silently(now);
        }
        if left_out > 0 {
            let what = format!("{watched} files are watched and {left_out} are not: name less in source.watch.paths");
            return Err(SourceError { path: self.root.clone(), what, why: NoData::Failed });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
