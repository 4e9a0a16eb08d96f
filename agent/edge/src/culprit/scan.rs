//! Looks at all processes, and what lies between two of them.

use std::collections::BTreeMap;
use std::path::Path;

use fieldmouse_core::series::Millis;

use crate::sources::{Scanner, Stat};

/// No more processes than this are looked at.
const MOST: usize = 4096;
/// A process takes at least so many page faults to live and die.
const FAULTS_OF_A_LIFE: f64 = 30.0;

pub(super) type Name = heapless::String<16>;

/// One look at all processes, in rising order of number.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    pub(super) at: Millis,
    /// Processes and threads ever started.
    pub(super) forks: Option<u64>,
    pub(super) procs: Vec<Proc>,
}

#[derive(Debug, Clone)]
pub(super) struct Proc {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) start: u64,
    pub(super) name: Name,
    pub(super) cpu: u64,
    pub(super) child_cpu: u64,
    pub(super) child_faults: u64,
    pub(super) rss: u64,
    pub(super) io: u64,
    pub(super) wrote: u64,
    /// It waits for a disk, or for what else cannot be interrupted.
    pub(super) waits: bool,
}

/// What one process did between two looks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Work {
    pub(super) name: Name,
    pub(super) is_new: bool,
    /// Ticks, those of children that ended included.
    pub(super) cpu: u64,
    pub(super) io: u64,
    /// To whatever, in memory or not; what ended meanwhile is not counted.
    pub(super) wrote: u64,
    pub(super) child_faults: u64,
}

/// Looks at every process there is. `last` is the look before: what did not run since then is not asked again.
pub(super) fn look(scanner: &mut Scanner, stat: &Path, last: &Scan, now: Millis, scan: &mut Scan) {
    scan.at = now;
    scan.procs.clear();
    // A process that ended meanwhile is not there; a /proc that cannot be listed blames nobody.
    let _listed = scanner.scan(MOST, |stat, mut beside| {
        let known = last.procs.binary_search_by_key(&stat.pid, |p| p.pid).ok().map(|i| &last.procs[i]);
        let known = known.filter(|p| p.start == stat.start);
        let (io, wrote) = match known {
            // Who did not run did not read or write.
            Some(p) if p.cpu == stat.cpu && p.child_faults == stat.child_faults => (p.io, p.wrote),
            _ if is_kernel(stat) => (0, 0),
            _ => beside.read("io").map_or((0, 0), parse_io),
        };
        scan.procs.push(Proc {
            pid: stat.pid,
            parent: stat.parent,
            start: stat.start,
            name: name(stat),
            cpu: stat.cpu,
            child_cpu: stat.child_cpu,
            child_faults: stat.child_faults,
            rss: stat.rss,
            io,
            wrote,
            waits: stat.state == b'D' && !is_kernel(stat),
        });
    });
    scan.procs.sort_unstable_by_key(|p| p.pid);
    scan.forks = std::fs::read(stat).ok().and_then(|text| parse_forks(&text));
}

fn is_kernel(stat: &Stat<'_>) -> bool {
    stat.pid == 2 || stat.parent == 2
}

/// Kernel threads have names such as `kworker/u8:1-events`: what stands before the slash is the same for all.
pub(super) fn name(stat: &Stat<'_>) -> Name {
    let mut name = Name::new();
    for c in String::from_utf8_lossy(stat.name).chars() {
        let ends = is_kernel(stat) && c == '/';
        if ends || name.push(if c.is_control() { '_' } else { c }).is_err() {
            break;
        }
    }
    name
}

/// Bytes read from and written to devices, and bytes written to anything, from `/proc/[pid]/io`.
fn parse_io(text: &[u8]) -> (u64, u64) {
    let text = String::from_utf8_lossy(text);
    let of = |key| text.lines().find_map(|l| l.strip_prefix(key)?.trim().parse::<u64>().ok()).unwrap_or(0);
    (of("read_bytes:").saturating_add(of("write_bytes:")), of("wchar:"))
}

fn parse_forks(text: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(text);
    text.lines().find_map(|l| l.strip_prefix("processes ")?.trim().parse().ok())
}

pub(super) fn seconds(old: &Scan, new: &Scan) -> f64 {
    (new.at.saturating_sub(old.at).max(1)) as f64 / 1000.0
}

/// What each process of `new` did since `old`. A child that ended hands its whole life to the nearest ancestor that
/// lives; what was known of it before is taken off again, and what the ancestor then has read or written beyond that
/// was the child's doing.
pub(super) fn work(old: &Scan, new: &Scan) -> Vec<Work> {
    let find = |scan: &Scan, pid: u32| scan.procs.binary_search_by_key(&pid, |p| p.pid).ok();
    let mut work: Vec<Work> = new
        .procs
        .iter()
        .map(|p| {
            let before = find(old, p.pid).map(|i| &old.procs[i]).filter(|b| b.start == p.start);
            let of = |f: fn(&Proc) -> u64| f(p).saturating_sub(before.map_or(0, f));
            Work {
                name: p.name.clone(),
                is_new: before.is_none(),
                cpu: of(|p| p.cpu.saturating_add(p.child_cpu)),
                io: of(|p| p.io),
                wrote: of(|p| p.wrote),
                child_faults: of(|p| p.child_faults),
            }
        })
        .collect();
    let lives = |p: &Proc| find(new, p.pid).filter(|i| new.procs[*i].start == p.start);
    // By heir: the one of the dead who had read and written most.
    let mut heirs: BTreeMap<usize, &Proc> = BTreeMap::new();
    for gone in old.procs.iter().filter(|p| lives(p).is_none()) {
        let ancestors = std::iter::successors(Some(gone), |p| find(old, p.parent).map(|i| &old.procs[i]));
        // A loop of parents cannot be, but two looks are not one.
        let Some(heir) = ancestors.take(16).find_map(lives) else { continue };
        let its = &mut work[heir];
        its.cpu = its.cpu.saturating_sub(gone.cpu.saturating_add(gone.child_cpu));
        its.io = its.io.saturating_sub(gone.io);
        heirs
            .entry(heir)
            .and_modify(|most| *most = if gone.io > most.io { gone } else { *most })
            .or_insert(gone);
    }
    for (heir, gone) in heirs.into_iter().filter(|(_, gone)| gone.io > 0) {
        let io = std::mem::take(&mut work[heir].io);
        work.push(Work { name: gone.name.clone(), io, ..Work::default() });
    }
    work
}

/// Processes started by name: those that are there, and, at their parent's name, those that came and went.
pub(super) fn started(old: &Scan, new: &Scan) -> Vec<(Name, f64)> {
    let work = work(old, new);
    let here = work.iter().filter(|w| w.is_new).count() as f64;
    let all = new.forks.unwrap_or(0).saturating_sub(old.forks.unwrap_or(u64::MAX)) as f64;
    let unseen = (all - here).max(0.0);
    let faults: f64 = work.iter().map(|w| w.child_faults as f64).sum::<f64>().max(1.0);
    sum(work.into_iter().map(|w| {
        let its = w.child_faults as f64;
        let gone = (unseen * its / faults).min(its / FAULTS_OF_A_LIFE);
        (w.name, gone + if w.is_new { 1.0 } else { 0.0 })
    }))
}

/// Amounts of one name added up; in the order of names.
pub(super) fn sum(amounts: impl Iterator<Item = (Name, f64)>) -> Vec<(Name, f64)> {
    let mut sums: Vec<_> = amounts.collect();
    sums.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    sums.dedup_by(|next, first| {
        let is_same = next.0 == first.0;
        if is_same {
            first.1 += next.1;
        }
        is_same
    });
    sums
}
