//! `file`: every file of a directory is a sensor that some script writes. The file's name is the sensor's, its text
//! one number. For 1-Wire bridges, serial helpers and whatever has no source of its own yet.

use std::path::{Path, PathBuf};

use fieldmouse_core::metric::SENSOR_VALUE;
use fieldmouse_core::series::{Millis, NoData};
use serde::Deserialize;

use super::{Kind, Readings, Source, SourceError, below};
use crate::config::Config as AgentConfig;

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "file",
    about: "sensors that scripts write: one number a file, in one directory",
    every_ms: 1000,
    build: |keys, place| {
        let config: Config = super::config(KIND.name, keys)?;
        Ok(Box::new(Files { dir: below(&place.root, &config.dir) }))
    },
};

const DIR: &str = "/run/fieldmouse/sensors";
/// More files than this are not sensors.
const MOST: usize = 256;
/// A number needs no more.
const LONGEST: usize = 64;

/// `[source.file]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// The directory.
    dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { dir: DIR.into() }
    }
}

/// The directory in force.
#[must_use]
pub fn directory(config: &AgentConfig) -> PathBuf {
    let keys = config.sources.iter().find(|s| s.kind.name == KIND.name).map(|s| s.keys.clone()).unwrap_or_default();
    let dir = keys.try_into::<Config>().unwrap_or_default().dir;
    below(&config.written.agent.root, &dir)
}

struct Files {
    dir: PathBuf,
}

impl Source for Files {
    fn sample(&mut self, _: Millis, out: &mut Readings) -> Result<(), SourceError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            // Nobody writes sensors here; that is the usual case.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(SourceError { path: self.dir.clone(), what: error.to_string(), why: NoData::Failed });
            }
        };
        for entry in entries.flatten().take(MOST) {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|n| !n.starts_with('.')) else { continue };
            let slot = out.slot(SENSOR_VALUE, &[name]);
            match read(&entry.path()) {
                Ok(value) => out.set(slot, value),
                Err(why) => out.fail(slot, why),
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<f64, NoData> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    // A pipe in the directory must not hang the source.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => NoData::Denied,
        std::io::ErrorKind::NotFound => NoData::Absent,
        _ => NoData::Failed,
    })?;
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err(NoData::Failed);
    }
    let mut text = Vec::with_capacity(LONGEST);
    file.take(LONGEST as u64 + 1).read_to_end(&mut text).map_err(|_| NoData::Failed)?;
    parse(&text).ok_or(NoData::Unparsable)
}

/// One number, with white space around it.
fn parse(text: &[u8]) -> Option<f64> {
    let text = text.get(..text.len().min(LONGEST + 1)).filter(|t| t.len() <= LONGEST)?;
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_and_nothing_else() {
        let check = |text: &[u8], value: Option<f64>| assert_eq!(parse(text), value);
        check(b"21.5\n", Some(21.5));
        check(b" -3e2 ", Some(-300.0));
        check(b"21.5 C", None);
        check(b"", None);
        check(b"\xff\xfe", None);
        check(&[b'1'; 100], None);
    }

    #[test]
    fn files_come_and_go() {
        let root = tempfile::tempdir().unwrap();
        let mut source = (KIND.build)(toml::Table::new(), &super::super::Place::at(root.path())).unwrap();
        let mut out = Readings::default();
        source.sample(0, &mut out).unwrap();
        assert!(out.is_empty());
        let dir = root.path().join("run/fieldmouse/sensors");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("tank"), "3.25\n").unwrap();
        std::fs::write(dir.join("broken"), "three\n").unwrap();
        source.sample(1, &mut out).unwrap();
        let mut seen: Vec<_> = out.iter().map(|(k, r)| (k.to_string(), r)).collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            seen,
            [
                ("sensor.value{sensor.name=broken}".into(), Err(NoData::Unparsable)),
                ("sensor.value{sensor.name=tank}".into(), Ok(3.25)),
            ]
        );
        out.begin();
        std::fs::remove_file(dir.join("tank")).unwrap();
        source.sample(2, &mut out).unwrap();
        assert!(out.iter().any(|(k, r)| k.label == "tank" && r == Err(NoData::Absent)));
    }
}
