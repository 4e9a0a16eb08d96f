//! `package`: packages that were installed, removed or exchanged, from the databases of dpkg, opkg and apk, which are read
//! when they have changed and stood still since the sample before. Of rpm only that its database changed, and by how many
//! bytes; which packages, if dnf or yum wrote it into their logs. No series: what happened is told as facts.

mod rpm;
mod stanza;
mod words;

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fieldmouse_core::series::Millis;
use serde::Deserialize;

use super::text::why;
use super::{Kind, Place, Readings, Source, SourceError, matches_any};
use crate::clock;
use crate::inventory::{Inventory, Kept, differences};

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "package",
    about: "packages installed, removed, upgraded: facts from the databases of dpkg, opkg, apk and rpm",
    every_ms: 10_000,
    build: |keys, place| {
        Ok(Box::new(Packages::new(super::config(KIND.name, keys)?, place)))
    },
};

/// No database we read is larger.
const MOST_BYTES: u64 = 64 << 20;
/// A database that never stands still is read after so many samples.
const MOST_WAITS: u8 = 6;

/// `[source.package]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Packages of which nothing is told.
    ignore: Vec<String>,
}

/// Where a package manager has its database, and how to read it.
struct Manager {
    kept: &'static str,
    paths: &'static [&'static str],
    form: Form,
}

enum Form {
    Stanzas(stanza::Keys),
    Rpm,
}

static MANAGERS: [Manager; 4] = [
    Manager { kept: "packages.dpkg", paths: &["var/lib/dpkg/status"], form: Form::Stanzas(stanza::DEBIAN) },
    Manager {
        kept: "packages.opkg",
        paths: &["usr/lib/opkg/status", "var/lib/opkg/status"],
        form: Form::Stanzas(stanza::DEBIAN),
    },
    Manager {
        kept: "packages.apk",
        paths: &["lib/apk/db/installed", "usr/lib/apk/db/installed"],
        form: Form::Stanzas(stanza::ALPINE),
    },
    Manager { kept: "packages.rpm", paths: rpm::DATABASES, form: Form::Rpm },
];

/// What says that a file is the one it was: device, inode, size, seconds and nanoseconds of its last change.
type Stamp = (u64, u64, u64, i64, i64);

struct Watched {
    manager: &'static Manager,
    kept: Kept,
    read: Option<Stamp>,
    seen: Option<Stamp>,
    waits: u8,
}

struct Packages {
    root: PathBuf,
    ignore: Vec<String>,
    all: Vec<Watched>,
}

impl Packages {
    fn new(config: Config, place: &Place) -> Self {
        let watched =
            |m: &'static Manager| Watched { manager: m, kept: Kept::new(place, m.kept), read: None, seen: None, waits: 0 };
        Self { root: place.root.clone(), ignore: config.ignore, all: MANAGERS.iter().map(watched).collect() }
    }
}

impl Source for Packages {
    fn sample(&mut self, _: Millis, out: &mut Readings) -> Result<(), SourceError> {
        self.all.iter_mut().try_for_each(|watched| watched.look(&self.root, &self.ignore, out))
    }
}

impl Watched {
    fn look(&mut self, root: &Path, ignore: &[String], out: &mut Readings) -> Result<(), SourceError> {
        self.kept.keep();
        self.kept.rest();
        let found = self.manager.paths.iter().map(|path| root.join(path));
        let Some((path, stamp)) = found.filter_map(|path| Some((stamp(&path)?, path))).map(|(s, p)| (p, s)).next() else {
            return Ok(());
        };
        if self.read == Some(stamp) {
            return Ok(());
        }
        if self.seen.replace(stamp) != Some(stamp) && self.waits < MOST_WAITS {
            self.waits += 1;
            return Ok(());
        }
        self.waits = 0;
        let now = self.read(root, &path).map_err(|e| SourceError {
            what: format!("cannot be read: {e}"),
            why: why(&e),
            path,
        })?;
        self.read = Some(stamp);
        self.tell(root, ignore, stamp.3, now, out);
        Ok(())
    }

    fn read(&self, root: &Path, path: &Path) -> std::io::Result<Inventory> {
        let mut now = Inventory::default();
        match &self.manager.form {
            Form::Stanzas(keys) => {
                let file = File::open(path)?.take(MOST_BYTES);
                stanza::read(keys, &mut BufReader::with_capacity(16 << 10, file), &mut now)?;
            }
            Form::Rpm => rpm::read(root, path, &mut now)?,
        }
        now.settle();
        Ok(now)
    }

    /// Tells what is different; nothing the first time, when all of it would be.
    fn tell(&mut self, root: &Path, ignore: &[String], modified_s: i64, now: Inventory, out: &mut Readings) {
        if let Some(was) = self.kept.last(out) {
            let different = differences(was, &now);
            if different.is_empty() {
                return;
            }
            let mut changes = match self.manager.form {
                Form::Stanzas(_) => words::Changes::of(&different),
                Form::Rpm => rpm::changes(root, was, &now),
            };
            changes.all.retain(|change| !matches_any(ignore, &change.name));
            if let Some(fact) = changes.fact(&running(root), age_ms(modified_s)) {
                out.tell(9, fact);
            }
        }
        self.kept.set(now);
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some((meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// Milliseconds since this second of the wall clock; zero if no clock can say.
pub(super) fn age_ms(then_s: i64) -> u32 {
    let Some(now_ms) = clock::stamp().wall_ms else { return 0 };
    let then_ms = u64::try_from(then_s).unwrap_or(0).saturating_mul(1000);
    if then_ms == 0 { 0 } else { u32::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(u32::MAX) }
}

/// Names of the programs that run. Asked for only when there is something to tell.
fn running(root: &Path) -> Vec<String> {
    const MOST: usize = 4096;
    let entries = std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let processes = entries.filter(|e| e.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit)).take(MOST);
    let mut names: Vec<String> = processes.filter_map(|e| super::text::name_in(&e.path().join("comm"))).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
