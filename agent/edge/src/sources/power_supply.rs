//! Batteries of `/sys/class/power_supply`: the charge as a share, from energy (µWh) or charge (µAh), else from
//! `capacity` (%).
//!
//! A battery has a limit while it is being discharged, and only then.

use std::path::{Path, PathBuf};

use fieldmouse_core::forecast::Limit;
use fieldmouse_core::metric::BATTERY_CHARGE;
use fieldmouse_core::series::{Millis, NoData, Reading};
use serde::Deserialize;

use super::hwmon::folders;
use super::text::{label, matches_any, name_in, number_in, why};
use super::{Kind, Readings, Source, SourceError};

pub(super) const KIND: Kind = Kind {
    name: "power_supply",
    about: "charge of batteries, from /sys/class/power_supply",
    every_ms: 10_000,
    build: |table, place| Ok(Box::new(Batteries::new(super::config(KIND.name, table)?, &place.root))),
};

/// `[source.power_supply]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Batteries to leave out, by the name of their folder; `*` stands for anything.
    ignore: Vec<String>,
}

/// More than these are left out.
const MOST: usize = 16;

#[derive(Debug)]
struct Batteries {
    config: Config,
    class: PathBuf,
}

impl Batteries {
    fn new(config: Config, root: &Path) -> Self {
        Self { config, class: root.join("sys/class/power_supply") }
    }
}

/// What is left as a share. What was full when it was new may be more than full later.
fn charge(folder: &Path) -> Reading {
    for (now, full) in [("energy_now", "energy_full"), ("charge_now", "charge_full")] {
        if let (Ok(now), Ok(full)) = (number_in(&folder.join(now)), number_in(&folder.join(full)))
            && full > 0.0
        {
            return Ok((now / full).clamp(0.0, 1.0));
        }
    }
    match number_in(&folder.join("capacity")).map_err(|e| why(&e))? {
        percent if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(NoData::Unparsable),
    }
}

impl Source for Batteries {
    fn sample(&mut self, _now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        let is_battery = |folder: &PathBuf| {
            let says = |file: &str, word: &str| name_in(&folder.join(file)).as_deref() == Some(word);
            // An empty bay is a battery that is not present.
            says("type", "Battery") && !says("present", "0")
        };
        for folder in folders(&self.class).into_iter().filter(is_battery).take(MOST) {
            let name = folder.file_name().map(|n| label(&n.to_string_lossy())).unwrap_or_default();
            if matches_any(&self.config.ignore, &name) {
                continue;
            }
            let slot = out.slot(BATTERY_CHARGE, &[&name]);
            out.put(slot, charge(&folder));
            let is_discharged = name_in(&folder.join("status")).as_deref() == Some("Discharging");
            out.limit(slot, is_discharged.then_some(Limit::Below(0.0)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], want: Reading, limit: Option<Limit>) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/power_supply/BAT0");
        std::fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
        let mut out = Readings::default();
        Batteries::new(Config::default(), root.path()).sample(0, &mut out).unwrap();
        let found: Vec<_> = out.iter().map(|(key, reading)| (key.to_string(), reading)).collect();
        assert_eq!(found, [("hw.battery.charge{hw.id=BAT0}".to_owned(), want)]);
        assert_eq!(out.limits().collect::<Vec<_>>(), [(0, limit)]);
    }

    #[test]
    fn a_battery_has_a_limit_while_it_is_discharged() {
        let battery = ("type", "Battery\n");
        let fine = [battery, ("energy_now", "12345000"), ("energy_full", "49380000"), ("capacity", "24")];
        check(&fine, Ok(0.25), None);
        let drained = [battery, ("capacity", "24\n"), ("status", "Discharging\n")];
        check(&drained, Ok(0.24), Some(Limit::Below(0.0)));
        check(&[battery, ("capacity", "24"), ("status", "Charging")], Ok(0.24), None);
        check(&[battery, ("capacity", "400")], Err(NoData::Unparsable), None);
        check(&[battery, ("energy_now", "1"), ("energy_full", "0")], Err(NoData::Absent), None);
    }

    #[test]
    fn mains_and_empty_bays_are_none() {
        let root = tempfile::tempdir().unwrap();
        for (name, files) in [("AC", [("type", "Mains"), ("online", "1")]), ("BAT1", [("type", "Battery"), ("present", "0")])] {
            let folder = root.path().join("sys/class/power_supply").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            files.iter().for_each(|(file, text)| std::fs::write(folder.join(file), text).unwrap());
        }
        let mut out = Readings::default();
        Batteries::new(Config::default(), root.path()).sample(0, &mut out).unwrap();
        assert!(out.is_empty());
    }
}
