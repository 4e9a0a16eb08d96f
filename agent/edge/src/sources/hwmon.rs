//! Sensors of `/sys/class/hwmon`: temperatures (m°C), fans (rpm), voltages (mV), power (µW), currents (mA),
//! humidity (m%), and alarm and fault bits. A temperature's own critical value is its limit.
//!
//! `hwmon3` may be `hwmon2` after the next boot. A chip is known by its name and its device, a sensor by its label.

use std::io;
use std::path::{Path, PathBuf};

use fieldmouse_core::forecast::Limit;
use fieldmouse_core::metric::{CURRENT, FAN_SPEED, HUMIDITY, POWER, SENSOR_ALARM, TEMPERATURE, VOLTAGE};
use fieldmouse_core::series::{Millis, NoData, SeriesKey};
use serde::Deserialize;

use super::text::{label, matches_any, name_in, number_in, why};
use super::{Kind, Readings, Slot, Source, SourceError};

pub(super) const KIND: Kind = Kind {
    name: "hwmon",
    about: "temperatures, fans, voltages, power, currents, humidity and alarms, from /sys/class/hwmon",
    every_ms: 5000,
    build: |table, place| Ok(Box::new(Hwmon::new(super::config(KIND.name, table)?, &place.root))),
};

/// `[source.hwmon]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Chips to leave out, by id; `*` stands for anything.
    ignore_chips: Vec<String>,
    /// Whether to read alarm and fault bits.
    alarms: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { ignore_chips: Vec::new(), alarms: true }
    }
}

const RESCAN_MS: Millis = 60_000;
/// The same when one is missing.
const GONE_MS: Millis = 10_000;
/// More sensors than this are left out.
const MOST_SENSORS: usize = 256;
/// Room in a series' label for each of chip and sensor.
const MOST_NAME: usize = 31;

/// What the name of a file in a chip's folder says.
#[derive(Debug, PartialEq)]
struct Meaning<'a> {
    code: u16,
    /// By which the file's number becomes the metric's unit.
    scale: f64,
    /// `temp1`, whose label names the sensor.
    sensor: &'a str,
    /// `crit` of `temp1_crit_alarm`.
    part: &'a str,
}

fn parse(file: &str) -> Option<Meaning<'_>> {
    let (sensor, what) = file.split_once('_')?;
    let kind = sensor.trim_end_matches(|c: char| c.is_ascii_digit());
    if kind.len() == sensor.len() {
        return None;
    }
    let (code, scale) = match kind {
        "temp" => (TEMPERATURE, 1e-3),
        "fan" => (FAN_SPEED, 1.0),
        "in" => (VOLTAGE, 1e-3),
        "power" => (POWER, 1e-6),
        "curr" => (CURRENT, 1e-3),
        "humidity" => (HUMIDITY, 1e-3),
        "intrusion" => (SENSOR_ALARM, 1.0),
        _ => return None,
    };
    match what {
        "input" if kind != "intrusion" => Some(Meaning { code, scale, sensor, part: "" }),
        // Some power meters give a mean only.
        "average" if kind == "power" => Some(Meaning { code, scale, sensor, part: "average" }),
        "alarm" | "fault" => Some(Meaning { code: SENSOR_ALARM, scale: 1.0, sensor, part: what }),
        _ => {
            let part = what.strip_suffix("_alarm")?;
            Some(Meaning { code: SENSOR_ALARM, scale: 1.0, sensor, part })
        }
    }
}

#[derive(Debug)]
struct Sensor {
    path: PathBuf,
    scale: f64,
    slot: Slot,
}

#[derive(Debug)]
struct Hwmon {
    config: Config,
    class: PathBuf,
    sensors: Vec<Sensor>,
    /// When to look for chips that came or went.
    rescan_at: Millis,
}

impl Hwmon {
    fn new(config: Config, root: &Path) -> Self {
        Self { config, class: root.join("sys/class/hwmon"), sensors: Vec::new(), rescan_at: 0 }
    }

    fn rescan(&mut self, out: &mut Readings) {
        self.sensors.clear();
        let mut keys: Vec<SeriesKey> = Vec::new();
        let mut ids: Vec<String> = Vec::new();
        for folder in folders(&self.class) {
            let Some(id) = chip_id(&folder) else { continue };
            let id = unique(id, &ids);
            if !matches_any(&self.config.ignore_chips, &id) {
                self.add_chip(&folder, &id, &mut keys, out);
            }
            ids.push(id);
        }
    }

    fn add_chip(&mut self, folder: &Path, id: &str, keys: &mut Vec<SeriesKey>, out: &mut Readings) {
        let files = names(folder);
        for file in &files {
            let Some(meaning) = parse(file) else { continue };
            let is_alarm = meaning.code == SENSOR_ALARM;
            let has_input = || files.iter().any(|f| f.strip_prefix(meaning.sensor) == Some("_input"));
            if is_alarm && !self.config.alarms || meaning.part == "average" && has_input() {
                continue;
            }
            if self.sensors.len() == MOST_SENSORS {
                return;
            }
            let named = name_in(&folder.join(format!("{}_label", meaning.sensor)));
            let mut name = named.unwrap_or_else(|| meaning.sensor.to_owned());
            if is_alarm {
                name = format!("{} {}", cut(&name, MOST_NAME - 8), meaning.part);
            }
            let key = |name: &str| SeriesKey::new(meaning.code, &[cut(id, MOST_NAME), cut(name, MOST_NAME)]);
            let mut key_found = key(&name);
            if keys.contains(&key_found) {
                // Two sensors of one label: the file's name tells them apart.
                key_found = key(&format!("{} {}", cut(&name, MOST_NAME - 12), meaning.sensor));
            }
            let slot = out.slot_of(key_found.clone());
            if meaning.code == TEMPERATURE {
                out.limit(slot, critical(&folder.join(format!("{}_crit", meaning.sensor))));
            }
            keys.push(key_found);
            self.sensors.push(Sensor { path: folder.join(file), scale: meaning.scale, slot });
        }
    }
}

impl Source for Hwmon {
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        if now >= self.rescan_at {
            self.rescan(out);
            self.rescan_at = now.saturating_add(RESCAN_MS);
        }
        for sensor in &self.sensors {
            let reading = number_in(&sensor.path).map(|n| n * sensor.scale).map_err(|e| no_data(&e));
            if reading == Err(NoData::Absent) {
                self.rescan_at = self.rescan_at.min(now.saturating_add(GONE_MS));
            }
            out.put(sensor.slot, reading);
        }
        Ok(())
    }
}

/// The temperature at which the hardware helps itself, if the file says one that can be.
pub(super) fn critical(file: &Path) -> Option<Limit> {
    let celsius = number_in(file).ok()? / 1000.0;
    (20.0..=150.0).contains(&celsius).then_some(Limit::Above(celsius as f32))
}

/// A sensor that is asleep or between two conversions says so by its own errors.
fn no_data(e: &io::Error) -> NoData {
    match e.kind() {
        io::ErrorKind::WouldBlock => NoData::Failed,
        _ => why(e),
    }
}

/// `coretemp.0`, `k10temp-0000:00:18.3`, `acpitz`: the name, and where the device sits.
fn chip_id(folder: &Path) -> Option<String> {
    let name = name_in(&folder.join("name"))?;
    let device = std::fs::read_link(folder.join("device")).ok();
    let place = device.as_deref().and_then(Path::file_name).map(|p| label(&p.to_string_lossy()));
    Some(match place {
        Some(place) if place.starts_with(&name) => place,
        Some(place) => format!("{name}-{place}"),
        None => name,
    })
}

/// The same chip twice without a place to tell them apart: they are counted.
pub(super) fn unique(name: String, taken: &[String]) -> String {
    let mut unique = name.clone();
    let mut n = 2;
    while taken.contains(&unique) {
        unique = format!("{name}-{n}");
        n += 1;
    }
    unique
}

/// Entries of a folder, in an order that does not depend on the folder; a missing folder has none.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|e| e.file_name().into_string().ok()).take(4096).collect();
    // `temp10` comes after `temp2`.
    names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    names
}

pub(super) fn folders(class: &Path) -> Vec<PathBuf> {
    names(class).into_iter().map(|name| class.join(name)).collect()
}

/// The names of all chips, for those who would show the same sensor twice.
pub(super) fn chip_names(root: &Path) -> Vec<String> {
    let chips = folders(&root.join("sys/class/hwmon"));
    chips.iter().filter_map(|folder| name_in(&folder.join("name"))).collect()
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        let check = |file, want: Option<(u16, f64, &str, &str)>| {
            assert_eq!(parse(file).map(|m| (m.code, m.scale, m.sensor, m.part)), want, "{file}");
        };
        check("temp12_input", Some((TEMPERATURE, 1e-3, "temp12", "")));
        check("in0_input", Some((VOLTAGE, 1e-3, "in0", "")));
        check("power1_average", Some((POWER, 1e-6, "power1", "average")));
        check("temp1_crit_alarm", Some((SENSOR_ALARM, 1.0, "temp1", "crit")));
        check("fan2_fault", Some((SENSOR_ALARM, 1.0, "fan2", "fault")));
        check("intrusion0_alarm", Some((SENSOR_ALARM, 1.0, "intrusion0", "alarm")));
        for other in ["temp1_max", "temp1_label", "name", "pwm1_input", "temp_input", "energy1_input", "in_", "_"] {
            check(other, None);
        }
    }

    #[test]
    fn ids_are_told_apart() {
        let taken = ["a".to_owned(), "a-2".to_owned()];
        assert_eq!(unique("a".into(), &taken), "a-3");
        assert_eq!(unique("b".into(), &taken), "b");
    }
}
