//! `/proc/meminfo` in KiB, and what `/proc/vmstat` counts in pages: swapping, faults, kills.

use std::path::Path;

use fieldmouse_core::metric::{
    MEMORY_AVAILABLE, MEMORY_COMMITTED, MEMORY_DIRTY, MEMORY_SLAB, MEMORY_USAGE, MEMORY_USED, MEMORY_WRITEBACK,
    OOM_KILLS, PAGE_FAULTS, PAGING_OPERATIONS, SWAP_USAGE, SWAP_USED,
};
use fieldmouse_core::series::{NoData, Reading};

use crate::sources::Readings;
use crate::sources::places::{Places, Series, Values};
use crate::sources::text::{TextFile, count, number, why};

const MEMORY: [Series; 18] = [
    (MEMORY_USED, &[]),
    (MEMORY_AVAILABLE, &[]),
    (MEMORY_USAGE, &["used"]),
    (MEMORY_USAGE, &["free"]),
    (MEMORY_USAGE, &["cached"]),
    (MEMORY_USAGE, &["buffers"]),
    (MEMORY_USAGE, &["shared"]),
    (MEMORY_USAGE, &["anonymous"]),
    (MEMORY_USAGE, &["mapped"]),
    (MEMORY_USAGE, &["page_tables"]),
    (MEMORY_DIRTY, &[]),
    (MEMORY_WRITEBACK, &[]),
    (MEMORY_SLAB, &["reclaimable"]),
    (MEMORY_SLAB, &["unreclaimable"]),
    (MEMORY_COMMITTED, &[]),
    (SWAP_USED, &[]),
    (SWAP_USAGE, &["used"]),
    (SWAP_USAGE, &["free"]),
];

const PAGING: [Series; 5] = [
    (PAGING_OPERATIONS, &["in"]),
    (PAGING_OPERATIONS, &["out"]),
    (PAGE_FAULTS, &["minor"]),
    (PAGE_FAULTS, &["major"]),
    (OOM_KILLS, &[]),
];

const KEYS: [&str; 16] = [
    "MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree", "Dirty", "Writeback",
    "AnonPages", "Mapped", "Shmem", "SReclaimable", "SUnreclaim", "PageTables", "Committed_AS",
];

/// Bytes per series of [`MEMORY`].
fn parse(text: &str) -> Values<18> {
    let mut bytes: Values<16> = [None; 16];
    let mut at = 0;
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        // The kernel's order is ours but for additions: the search is short.
        let Some(i) = KEYS.iter().cycle().skip(at).take(KEYS.len()).position(|k| *k == key) else { continue };
        at = (at + i) % KEYS.len();
        bytes[at] = Some(number(rest.split_ascii_whitespace().next()).map(|kib| kib * 1024.0));
    }
    let [total, free, available, buffers, cached, swap_total, swap_free, dirty, writeback, anonymous, mapped, shared, reclaimable, unreclaimable, tables, committed] =
        bytes;
    let all = total.unwrap_or(Err(NoData::Unparsable));
    let cache = sum(&[buffers, cached, reclaimable]);
    // Kernels before 3.14 do not estimate what is available.
    let available = available.or(sum(&[free, buffers, cached])).unwrap_or(Err(NoData::Unparsable));
    let swap = |f: fn(f64, f64) -> f64| match (swap_total, swap_free) {
        (Some(Ok(0.0)) | None, _) => None,
        (Some(total), Some(free)) => Some(both(total, free, f)),
        (Some(_), None) => Some(Err(NoData::Unparsable)),
    };
    [
        Some(both(all, available, |all, available| if all > 0.0 { (1.0 - available / all).max(0.0) } else { 0.0 })),
        Some(available),
        sum(&[free, cache]).map(|unused| both(all, unused, |all, unused| (all - unused).max(0.0))),
        free,
        cached,
        buffers,
        shared,
        anonymous,
        mapped,
        tables,
        dirty,
        writeback,
        reclaimable,
        unreclaimable,
        committed,
        swap(|total, free| ((total - free) / total).max(0.0)),
        swap(|total, free| (total - free).max(0.0)),
        swap(|_, free| free),
    ]
}

fn both(a: Reading, b: Reading, f: impl Fn(f64, f64) -> f64) -> Reading {
    Ok(f(a?, b?))
}

/// Of those that are there; none if none is.
fn sum(parts: &[Option<Reading>]) -> Option<Reading> {
    parts.iter().flatten().copied().reduce(|a, b| both(a, b, |a, b| a + b))
}

/// Counts per series of [`PAGING`].
fn parse_vmstat(text: &str) -> Values<5> {
    let mut faults = None;
    let mut values: Values<5> = [None; 5];
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else { continue };
        let at = match key {
            "pswpin" => 0,
            "pswpout" => 1,
            "pgfault" => {
                faults = Some(count(Some(value)));
                continue;
            }
            "pgmajfault" => 3,
            "oom_kill" => 4,
            _ => continue,
        };
        values[at] = Some(number(Some(value)));
    }
    values[2] = faults.map(|all| both(all.map(|n| n as f64), values[3].unwrap_or(Ok(0.0)), |all, major| all - major));
    values
}

#[derive(Debug)]
pub(super) struct Memory {
    meminfo: TextFile,
    vmstat: TextFile,
    memory: Places<18>,
    paging: Places<5>,
}

impl Memory {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            meminfo: TextFile::new(root, "proc/meminfo"),
            vmstat: TextFile::new(root, "proc/vmstat"),
            memory: Places::default(),
            paging: Places::default(),
        }
    }

    pub(super) fn sample(&mut self, buf: &mut Vec<u8>, out: &mut Readings) {
        match self.meminfo.read(buf) {
            Ok(text) => self.memory.put(&MEMORY, &parse(&text), out),
            Err(e) => self.memory.fail(why(&e), out),
        }
        match self.vmstat.read(buf) {
            Ok(text) => self.paging.put(&PAGING, &parse_vmstat(&text), out),
            Err(e) => self.paging.fail(why(&e), out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(values: &[Option<Reading>], series: &[Series], wanted: Series) -> Option<Reading> {
        values[series.iter().position(|s| *s == wanted).unwrap()]
    }

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let text = "MemTotal:       1000 kB\nMemFree:  100 kB\nMemAvailable:    250 kB\nBuffers: 50 kB\n\
                    Cached: 100 kB\nSwapCached: 7 kB\nSwapTotal: 400 kB\nSwapFree: 300 kB\nDirty: x kB\nHugePages_Total: 0\n";
        let values = parse(text);
        let check = |series, want| assert_eq!(at(&values, &MEMORY, series), want, "{series:?}");
        check((MEMORY_USED, &[]), Some(Ok(0.75)));
        check((MEMORY_USAGE, &["used"]), Some(Ok(750.0 * 1024.0)));
        check((MEMORY_DIRTY, &[]), Some(Err(NoData::Unparsable)));
        check((MEMORY_SLAB, &["reclaimable"]), None);
        check((SWAP_USED, &[]), Some(Ok(0.25)));
        check((SWAP_USAGE, &["used"]), Some(Ok(100.0 * 1024.0)));
    }

    #[test]
    fn old_kernels_and_no_swap() {
        let values = parse("MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 350 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB");
        assert_eq!(values[0], Some(Ok(0.5)));
        assert_eq!(at(&values, &MEMORY, (SWAP_USED, &[])), None);
    }

    #[test]
    fn garbage_costs_the_series_that_must_be_there() {
        let values = parse("\u{fffd}:: no\nMemTotal: kB\n");
        assert_eq!(values[0], Some(Err(NoData::Unparsable)));
        assert_eq!(values[1], Some(Err(NoData::Unparsable)));
        assert!(values[3..].iter().all(Option::is_none));
        assert_eq!(parse("MemTotal: 0 kB\nMemAvailable: 0 kB")[0], Some(Ok(0.0)));
    }

    #[test]
    fn vmstat() {
        let values = parse_vmstat("nr_free_pages 5\npswpin 1\npswpout 2\npgfault 100\npgmajfault 30\noom_kill ?\n");
        let bad = Some(Err(NoData::Unparsable));
        assert_eq!(values, [Some(Ok(1.0)), Some(Ok(2.0)), Some(Ok(70.0)), Some(Ok(30.0)), bad]);
        assert_eq!(parse_vmstat("pgfault"), [None; 5]);
    }
}
