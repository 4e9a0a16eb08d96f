//! `/proc/diskstats`: whole disks; sectors of 512 bytes, milliseconds.
//!
//! Partitions are left out because their disk counts the same bytes; device-mapper and md devices stay, because what
//! they do to latency is theirs.

use std::path::Path;

use fieldmouse_core::metric::{DISK_IO, DISK_IO_TIME, DISK_LATENCY, DISK_MERGED, DISK_OPERATIONS, DISK_QUEUE};
use fieldmouse_core::series::{Millis, NoData, Reading, SeriesKey};

use crate::sources::Readings;
use crate::sources::places::{Places, Roster, Values};
use crate::sources::text::{TextFile, advance, count, label, matches_any, why};

/// More disks than this are left out.
const MOST_DISKS: usize = 64;
const SECTOR: f64 = 512.0;

/// Metric and direction.
const SERIES: [(u16, &str); 10] = [
    (DISK_IO, "read"),
    (DISK_IO, "write"),
    (DISK_OPERATIONS, "read"),
    (DISK_OPERATIONS, "write"),
    (DISK_MERGED, "read"),
    (DISK_MERGED, "write"),
    (DISK_LATENCY, "read"),
    (DISK_LATENCY, "write"),
    (DISK_IO_TIME, ""),
    (DISK_QUEUE, ""),
];

/// Reads, merged, sectors, ms; writes, merged, sectors, ms; in flight, busy ms, weighted ms.
type Counts = [u64; 11];

/// The disk's name and its counts.
fn parse(line: &str) -> Option<(&str, Result<Counts, NoData>)> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let name = fields.next()?;
    let mut counts = Counts::default();
    for c in &mut counts {
        match count(fields.next()) {
            Ok(n) => *c = n,
            Err(e) => return Some((name, Err(e))),
        }
    }
    Some((name, Ok(counts)))
}

/// Whether `name` is a partition of `disk`, which the kernel lists before it: `sda1`, `nvme0n1p2`, `mmcblk0boot0`.
fn is_part_of(disk: &str, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(disk) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !disk.ends_with(|c: char| c.is_ascii_digit()) {
        return is_number(rest);
    }
    rest.strip_prefix('p').is_some_and(is_number)
        || (disk.starts_with("mmcblk") && (rest.starts_with("boot") || rest == "rpmb"))
}

/// Devices that say nothing: memory that looks like a disk, and drives that nobody has used since boot.
fn is_idle_toy(name: &str, counts: &Result<Counts, NoData>) -> bool {
    let toy = |prefixes: &[&str]| prefixes.iter().any(|p| name.starts_with(p));
    toy(&["loop", "ram"]) || (toy(&["zram", "sr", "fd", "nbd"]) && matches!(counts, Ok(c) if *c == [0; 11]))
}

/// Readings of one disk: counters as they stand, the rest since the last sample.
fn values(before: Option<&(Millis, Counts)>, after: &Counts, now: Millis) -> Values<10> {
    let went = |i: usize| before.and_then(|(_, b)| advance(b[i], after[i])).ok_or(NoData::FirstReading);
    let elapsed_ms = before.map_or(0, |(at, _)| now.saturating_sub(*at));
    let of_elapsed = |i: usize| -> Reading {
        let ms = went(i)?;
        if elapsed_ms == 0 { Err(NoData::FirstReading) } else { Ok(ms as f64 / elapsed_ms as f64) }
    };
    // Nobody waited where nothing was done.
    let latency = |ops: usize, ms: usize| -> Reading {
        Ok(match went(ops)? {
            0 => 0.0,
            ops => went(ms)? as f64 / 1000.0 / ops as f64,
        })
    };
    let raw = |i: usize| -> Reading { Ok(after[i] as f64) };
    [
        raw(2).map(|sectors| sectors * SECTOR),
        raw(6).map(|sectors| sectors * SECTOR),
        raw(0),
        raw(4),
        raw(1),
        raw(5),
        latency(0, 3),
        latency(4, 7),
        // The file is read a little later than `now`.
        of_elapsed(9).map(|share| share.min(1.0)),
        of_elapsed(10),
    ]
    .map(Some)
}

#[derive(Debug, Default)]
struct Disk {
    /// What it had counted, and when.
    before: Option<(Millis, Counts)>,
    places: Places<10>,
}

#[derive(Debug)]
pub(super) struct Disks {
    file: TextFile,
    ignore: Vec<String>,
    disks: Roster<Disk>,
}

impl Disks {
    pub(super) fn new(root: &Path, ignore: Vec<String>) -> Self {
        let file = TextFile::new(root, "proc/diskstats");
        Self { file, ignore, disks: Roster::new(MOST_DISKS) }
    }

    pub(super) fn sample(&mut self, now: Millis, buf: &mut Vec<u8>, out: &mut Readings) {
        let text = match self.file.read(buf) {
            Ok(text) => text,
            Err(e) => return self.disks.iter().for_each(|d| d.places.fail(why(&e), out)),
        };
        let mut whole = "";
        for (name, counts) in text.lines().filter_map(parse) {
            if !whole.is_empty() && is_part_of(whole, name) {
                continue;
            }
            whole = name;
            if is_idle_toy(name, &counts) || matches_any(&self.ignore, name) {
                continue;
            }
            let Some(disk) = self.disks.get(name) else { continue };
            let values = match &counts {
                Ok(counts) => values(disk.before.as_ref(), counts, now),
                Err(e) => [Some(Err(*e)); 10],
            };
            disk.before = counts.ok().map(|counts| (now, counts));
            let key = |i: usize| match SERIES[i] {
                (code, "") => SeriesKey::new(code, &[&short(name)]),
                (code, direction) => SeriesKey::new(code, &[&short(name), direction]),
            };
            disk.places.put_as(key, &values, out);
        }
    }
}

/// Leaves room in the label for the direction.
fn short(name: &str) -> String {
    label(name).chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions() {
        for (disk, name, want) in [
            ("sda", "sda1", true),
            ("sda", "sdaa", false),
            ("sda", "sdb1", false),
            ("nvme0n1", "nvme0n1p12", true),
            ("nvme0n1", "nvme0n12", false),
            ("dm-1", "dm-10", false),
            ("mmcblk0", "mmcblk0p1", true),
            ("mmcblk0", "mmcblk0boot0", true),
            ("md0", "md0p", false),
        ] {
            assert_eq!(is_part_of(disk, name), want, "{disk} {name}");
        }
    }

    #[test]
    fn lines() {
        let line = " 254       0 vda 64746 10249 5568490 36080 51406 87535 12718864 56246 3 16324 93571 6230 41 951072 1188 1198 55";
        let counts = [64746, 10249, 5_568_490, 36080, 51406, 87535, 12_718_864, 56246, 3, 16324, 93571];
        assert_eq!(parse(line), Some(("vda", Ok(counts))));
        assert_eq!(parse("8 0 sda 1 2 3"), Some(("sda", Err(NoData::Unparsable))));
        assert_eq!(parse("8 0 sda -1 2 3 4 5 6 7 8 9 10 11"), Some(("sda", Err(NoData::Unparsable))));
        assert_eq!(parse("8 0"), None);
    }

    #[test]
    fn unused_drives_are_left_out() {
        assert!(is_idle_toy("loop7", &Ok([1; 11])));
        assert!(is_idle_toy("zram0", &Ok([0; 11])));
        assert!(!is_idle_toy("zram0", &Ok([1; 11])));
        assert!(!is_idle_toy("sda", &Ok([0; 11])));
    }

    #[test]
    fn a_second_of_a_disk() {
        let before = [100, 1, 800, 50, 200, 2, 1600, 90, 0, 4_294_967_200, 1000];
        let after = [110, 1, 880, 150, 200, 2, 1600, 90, 2, 404, 2500];
        let want = [880.0 * 512.0, 1600.0 * 512.0, 110.0, 200.0, 1.0, 2.0, 0.01, 0.0, 0.5, 1.5];
        assert_eq!(values(Some(&(5000, before)), &after, 6000), want.map(|v| Some(Ok(v))), "busy time wrapped");
        let first = values(None, &after, 6000);
        assert_eq!(first[2], Some(Ok(110.0)));
        assert!(first[6..].iter().all(|v| *v == Some(Err(NoData::FirstReading))));
        assert_eq!(values(Some(&(5000, before)), &after, 5000)[8], Some(Err(NoData::FirstReading)));
    }
}
