//! Thermal zones of `/sys/class/thermal` (m°C). Boards without hwmon drivers have nothing else.
//!
//! A zone that the kernel shows as a hwmon chip, too, is left to [`super::hwmon`].

use std::path::{Path, PathBuf};

use fieldmouse_core::forecast::Limit;
use fieldmouse_core::metric::TEMPERATURE;
use fieldmouse_core::series::{Millis, NoData};
use serde::Deserialize;

use super::hwmon::{chip_names, critical, folders, unique};
use super::text::{matches_any, name_in, number_in, why};
use super::{Kind, Readings, Slot, Source, SourceError};

pub(super) const KIND: Kind = Kind {
    name: "thermal",
    about: "temperatures of thermal zones that hwmon does not show, from /sys/class/thermal",
    every_ms: 5000,
    build: |table, place| Ok(Box::new(Thermal::new(super::config(KIND.name, table)?, &place.root))),
};

/// `[source.thermal]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Zones to leave out, by type; `*` stands for anything.
    ignore_zones: Vec<String>,
}

const RESCAN_MS: Millis = 60_000;
/// The same when one is missing.
const GONE_MS: Millis = 10_000;
/// More zones than this are left out.
const MOST_ZONES: usize = 64;

/// Whether one of the hwmon chips shows this zone: the kernel names such a chip by the zone's type, with `_` for `-`.
fn is_shown(zone: &str, chips: &[String]) -> bool {
    let name = zone.replace('-', "_");
    chips.iter().any(|chip| *chip == name || (chip == "coretemp" && zone == "x86_pkg_temp"))
}

/// The trip point at which the kernel shuts the machine down.
fn critical_trip(zone: &Path) -> Option<Limit> {
    const TRIPS: usize = 16;
    let is_critical = |i: &usize| {
        name_in(&zone.join(format!("trip_point_{i}_type"))).as_deref() == Some("critical")
    };
    (0..TRIPS).find(is_critical).and_then(|i| critical(&zone.join(format!("trip_point_{i}_temp"))))
}

#[derive(Debug)]
struct Thermal {
    config: Config,
    root: PathBuf,
    zones: Vec<(PathBuf, Slot)>,
    /// When to look for zones that came or went.
    rescan_at: Millis,
}

impl Thermal {
    fn new(config: Config, root: &Path) -> Self {
        Self { config, root: root.to_owned(), zones: Vec::new(), rescan_at: 0 }
    }

    fn rescan(&mut self, out: &mut Readings) {
        self.zones.clear();
        let chips = chip_names(&self.root);
        let mut ids: Vec<String> = Vec::new();
        for folder in folders(&self.root.join("sys/class/thermal")) {
            let is_zone = folder.file_name().is_some_and(|n| n.to_string_lossy().starts_with("thermal_zone"));
            let Some(kind) = is_zone.then(|| name_in(&folder.join("type"))).flatten() else { continue };
            if is_shown(&kind, &chips) || matches_any(&self.config.ignore_zones, &kind) {
                continue;
            }
            if self.zones.len() == MOST_ZONES {
                return;
            }
            let id = unique(kind, &ids);
            let slot = out.slot(TEMPERATURE, &["thermal", &id]);
            out.limit(slot, critical_trip(&folder));
            self.zones.push((folder.join("temp"), slot));
            ids.push(id);
        }
    }
}

impl Source for Thermal {
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        if now >= self.rescan_at {
            self.rescan(out);
            self.rescan_at = now.saturating_add(RESCAN_MS);
        }
        for (path, slot) in &self.zones {
            let reading = number_in(path).map(|millidegrees| millidegrees / 1000.0).map_err(|e| why(&e));
            if reading == Err(NoData::Absent) {
                self.rescan_at = self.rescan_at.min(now.saturating_add(GONE_MS));
            }
            out.put(*slot, reading);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_that_hwmon_shows() {
        let chips = ["coretemp".to_owned(), "cpu_thermal".to_owned()];
        assert!(is_shown("cpu-thermal", &chips));
        assert!(is_shown("x86_pkg_temp", &chips));
        assert!(!is_shown("acpitz", &chips));
    }
}
