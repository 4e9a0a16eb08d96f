//! How worn flash is: eMMC by `/sys/block/mmcblk*/device/{life_time,pre_eol_info}`, other disks by what `smartctl`
//! wrote of them.
//!
//! The health log of an NVMe or SATA disk is behind an ioctl for root. The agent has no such right and no unsafe code;
//! a timer that runs `smartctl --json --all /dev/nvme0 > FILE` does.

use std::path::{Path, PathBuf};

use fieldmouse_core::metric::{DISK_ENDURANCE, DISK_RESERVE};
use fieldmouse_core::series::{Millis, NoData, Reading, SeriesKey};
use serde::Deserialize;
use serde_json::Value;

use super::hwmon::folders;
use super::places::{Places, Roster, Values};
use super::text::{bytes_of, label, name_in};
use super::{Kind, Readings, Source, SourceError, below};

pub(super) const KIND: Kind = Kind {
    name: "flash",
    about: "wear of eMMC from /sys/block, and of other disks from what smartctl wrote",
    every_ms: 300_000,
    build: |table, place| Ok(Box::new(Flash::new(super::config(KIND.name, table)?, &place.root))),
};

/// `[source.flash]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Files that `smartctl --json --all` writes, one a disk.
    smart: Vec<PathBuf>,
}

/// More disks than this are left out.
const MOST: usize = 32;

/// Share of the rated life that is used up, and share of the spare blocks that is.
type Wear = Values<2>;

/// `0x02 0x01`: tenths of the life of two kinds of cells, from 0x01 for none; 0x0b is beyond.
fn parse_life(text: &str) -> Option<Reading> {
    let tenths = text.split_ascii_whitespace().map(|word| {
        let digits = word.strip_prefix("0x")?;
        u8::from_str_radix(digits, 16).ok().filter(|tenth| *tenth <= 0x0b)
    });
    match tenths.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max()) {
        // Not defined.
        Some(0) => None,
        Some(tenth) => Some(Ok(f64::from(tenth - 1) / 10.0)),
        None => Some(Err(NoData::Unparsable)),
    }
}

/// `0x01` normal, `0x02` warning: four fifths of the spare blocks are used up, `0x03` urgent: nine tenths.
fn parse_reserve(text: &str) -> Option<Reading> {
    match text.trim() {
        "0x00" => None,
        "0x01" => Some(Ok(0.0)),
        "0x02" => Some(Ok(0.8)),
        "0x03" => Some(Ok(0.9)),
        _ => Some(Err(NoData::Unparsable)),
    }
}

/// The disk's name and wear, from the JSON of smartctl.
fn parse_smart(text: &[u8]) -> Option<(String, Wear)> {
    let v: Value = serde_json::from_slice(text).ok()?;
    let name = v["device"]["name"].as_str()?.rsplit('/').next().unwrap_or_default().to_owned();
    let nvme = &v["nvme_smart_health_information_log"];
    let statistic = || {
        let pages = v["ata_device_statistics"]["pages"].as_array()?;
        let rows = pages.iter().filter_map(|page| page["table"].as_array()).flatten();
        rows.filter(|row| row["name"] == "Percentage Used Endurance Indicator").find_map(|row| row["value"].as_f64())
    };
    // Makers count down from 100 under one of these numbers.
    let attribute = || {
        let table = v["ata_smart_attributes"]["table"].as_array()?;
        let row = [231, 233, 202, 177].iter().find_map(|id| table.iter().find(|row| row["id"] == *id))?;
        Some(100.0 - row["value"].as_f64()?)
    };
    let used = v["endurance_used"]["current_percent"].as_f64();
    let used = used.or_else(|| nvme["percentage_used"].as_f64()).or_else(statistic).or_else(attribute);
    let spare = v["spare_available"]["current_percent"].as_f64().or_else(|| nvme["available_spare"].as_f64());
    // It is rated, not measured: a disk may outlive it.
    let share = |percent: f64| Ok((percent / 100.0).clamp(0.0, 1.0));
    Some((name, [used.map(share), spare.map(|percent| share(100.0 - percent))]))
}

#[derive(Debug)]
struct Flash {
    blocks: PathBuf,
    smart: Vec<PathBuf>,
    places: Roster<Places<2>>,
}

impl Flash {
    fn new(config: Config, root: &Path) -> Self {
        let smart = config.smart.iter().map(|file| below(root, file)).collect();
        Self { blocks: root.join("sys/block"), smart, places: Roster::new(MOST) }
    }

    fn put(&mut self, name: &str, wear: &Wear, out: &mut Readings) {
        let name = label(name);
        let key = |i: usize| SeriesKey::new([DISK_ENDURANCE, DISK_RESERVE][i], &[&name]);
        if let Some(places) = self.places.get(&name) {
            places.put_as(key, wear, out);
        }
    }
}

impl Source for Flash {
    fn sample(&mut self, _now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        for folder in folders(&self.blocks) {
            let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            // The boot partitions are parts of the same chip.
            if !name.starts_with("mmcblk") || name.contains("boot") {
                continue;
            }
            let file = |name: &str| name_in(&folder.join("device").join(name));
            let wear = [
                file("life_time").and_then(|text| parse_life(&text)),
                file("pre_eol_info").and_then(|text| parse_reserve(&text)),
            ];
            self.put(&name, &wear, out);
        }
        let mut failed = None;
        for file in self.smart.clone() {
            match bytes_of(&file).map(|text| parse_smart(&text)) {
                Ok(Some((name, wear))) => self.put(&name, &wear, out),
                Ok(None) => failed = Some((file, "is not what `smartctl --json --all` writes".to_owned())),
                Err(e) => failed = Some((file, format!("cannot be read: {e}"))),
            }
        }
        match failed {
            // What could be read of the others has been put; a wrong file is told all the same.
            Some((path, what)) if out.is_empty() => Err(SourceError { path, what, why: NoData::Failed }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emmc_tells_tenths() {
        let life = |text, want| assert_eq!(parse_life(text), want, "{text}");
        life("0x01 0x01\n", Some(Ok(0.0)));
        life("0x02 0x04", Some(Ok(0.3)));
        life("0x0b 0x01", Some(Ok(1.0)));
        life("0x00 0x00", None);
        life("0x0c 0x01", Some(Err(NoData::Unparsable)));
        life("two", Some(Err(NoData::Unparsable)));
        life("", Some(Err(NoData::Unparsable)));
        let reserve = |text, want| assert_eq!(parse_reserve(text), want, "{text}");
        reserve("0x00", None);
        reserve("0x02\n", Some(Ok(0.8)));
        reserve("0x07", Some(Err(NoData::Unparsable)));
    }

    #[test]
    fn smartctl_tells_by_four_ways() {
        let check = |text: &str, used: Option<f64>, reserve: Option<f64>| {
            let (name, wear) = parse_smart(text.as_bytes()).unwrap();
            assert_eq!((name.as_str(), wear), ("nvme0", [used.map(Ok), reserve.map(Ok)]), "{text}");
        };
        let disk = |rest: &str| format!(r#"{{"device": {{"name": "/dev/nvme0"}}, {rest}}}"#);
        let nvme = r#""nvme_smart_health_information_log": {"percentage_used": 7, "available_spare": 75}"#;
        check(&disk(nvme), Some(0.07), Some(0.25));
        check(&disk(r#""endurance_used": {"current_percent": 130}"#), Some(1.0), None);
        let statistic = r#"{"name": "Percentage Used Endurance Indicator", "value": 12}"#;
        check(&disk(&format!(r#""ata_device_statistics": {{"pages": [{{"table": [{statistic}]}}]}}"#)), Some(0.12), None);
        check(&disk(r#""ata_smart_attributes": {"table": [{"id": 9, "value": 3}, {"id": 177, "value": 98}]}"#), Some(0.02), None);
        check(&disk(r#""temperature": {"current": 30}"#), None, None);
        assert_eq!(parse_smart(b"{}"), None);
        assert_eq!(parse_smart(b"\xff"), None);
    }

    #[test]
    fn a_file_that_is_none_is_told() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("smart.json"), "no json").unwrap();
        let config = Config { smart: vec!["/smart.json".into()] };
        let e = Flash::new(config, root.path()).sample(0, &mut Readings::default()).unwrap_err();
        assert!(e.to_string().ends_with("smart.json: is not what `smartctl --json --all` writes"), "{e}");
    }
}
