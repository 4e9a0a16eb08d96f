//! Who was at work: the process name behind an episode, as far as `/proc` can tell.
//!
//! Every ten seconds all processes are looked at; when an episode opens they are looked at again, and what differs
//! speaks. Amounts are summed by name, for people know `postgres` and not 4711. This explains; it never decides.

mod scan;

use std::path::{Path, PathBuf};

use fieldmouse_core::metric::Group;
use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire;

use self::scan::{Name, Proc, Scan, look, seconds, started, sum, work};
use crate::sources::Scanner;

/// Differences over less time are noise.
const SHORTEST_MS: Millis = 2000;
/// How far back growth of memory is looked for, at least.
const MINUTE_MS: Millis = 60_000;

// Who did less than this explains nothing.
const LEAST_CORES: f64 = 0.05;
const LEAST_BYTES_PER_S: f64 = 64e3;
const LEAST_GROWTH: f64 = 4e6;
const LEAST_STARTED: f64 = 3.0;

/// Remembers who used what, and says who used most.
#[derive(Debug)]
pub struct Culprits {
    scanner: Scanner,
    stat: PathBuf,
    own: Option<u32>,
    tick_s: f64,
    page_bytes: f64,
    /// The latest look, the one before it, and one made for an episode.
    last: Scan,
    before: Scan,
    fresh: Scan,
    /// Looks at least a minute apart, older first.
    minutes: [Scan; 2],
}

/// Who uses most.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Top {
    /// By processor time between the last two looks; amounts are cores.
    pub cpu: Vec<wire::Culprit>,
    /// By resident memory; amounts are bytes.
    pub memory: Vec<wire::Culprit>,
}

impl Culprits {
    /// Looks at the processes under `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            scanner: Scanner::new(root),
            stat: root.join("proc/stat"),
            own: (root == Path::new("/")).then(std::process::id),
            tick_s: 1.0 / rustix::param::clock_ticks_per_second().max(1) as f64,
            page_bytes: rustix::param::page_size() as f64,
            last: Scan::default(),
            before: Scan::default(),
            fresh: Scan::default(),
            minutes: Default::default(),
        }
    }

    /// Looks, and remembers. To be called every ten seconds or so.
    pub fn observe(&mut self, now: Millis) {
        let mut scan = std::mem::take(&mut self.before);
        look(&mut self.scanner, &self.stat, &self.last, now, &mut scan);
        self.before = std::mem::replace(&mut self.last, scan);
        let [older, newer] = &mut self.minutes;
        if newer.procs.is_empty() || now.saturating_sub(newer.at) >= MINUTE_MS {
            std::mem::swap(older, newer);
            newer.clone_from(&self.last);
        }
    }

    /// Who is most likely behind an episode in `group` that began about now. `None` if nobody stands out, or
    /// nothing is known of who uses such a thing.
    pub fn blame(&mut self, group: Group, now: Millis) -> Option<wire::Culprit> {
        if matches!(group, Group::Network | Group::Sensor | Group::Other) {
            return None;
        }
        // Several episodes may open at one tick.
        if self.fresh.at != now || self.fresh.procs.is_empty() {
            let mut scan = std::mem::take(&mut self.fresh);
            look(&mut self.scanner, &self.stat, &self.last, now, &mut scan);
            self.fresh = scan;
        }
        let (sums, least) = match group {
            Group::Memory => {
                let grown = self.grown(&self.fresh, |p| p.rss as f64 * self.page_bytes);
                if let Some(found) = self.most(&grown, LEAST_GROWTH) {
                    return Some(found);
                }
                (self.memory(&self.fresh), 0.0)
            }
            Group::Cpu => (self.cores(self.reference(now)?, &self.fresh), LEAST_CORES),
            Group::Process => {
                let old = self.reference(now)?;
                let started = started(old, &self.fresh);
                let elapsed = seconds(old, &self.fresh);
                if let Some(mut found) = self.most(&started, LEAST_STARTED) {
                    found.amount /= elapsed as f32;
                    return Some(found);
                }
                (self.grown(&self.fresh, |_| 1.0), LEAST_STARTED)
            }
            _ => {
                let old = self.reference(now)?;
                let elapsed = seconds(old, &self.fresh);
                let io = work(old, &self.fresh).into_iter().map(|w| (w.name, w.io as f64 / elapsed));
                (sum(io), LEAST_BYTES_PER_S)
            }
        };
        self.most(&sums, least)
    }

    /// The `n` names that use most, by the last look.
    #[must_use]
    pub fn top(&self, n: usize) -> Top {
        let first = |mut sums: Vec<(Name, f64)>| {
            sums.retain(|(_, amount)| *amount > 0.0);
            sums.sort_by(|a, b| b.1.total_cmp(&a.1));
            sums.truncate(n);
            sums.iter().map(|(name, amount)| culprit(&self.last, name, *amount)).collect()
        };
        let is_pair = !self.before.procs.is_empty() && self.before.at < self.last.at;
        let cpu = if is_pair { self.cores(&self.before, &self.last) } else { Vec::new() };
        Top { cpu: first(cpu), memory: first(self.memory(&self.last)) }
    }

    /// The youngest look that is old enough to be compared with.
    fn reference(&self, now: Millis) -> Option<&Scan> {
        [&self.last, &self.before]
            .into_iter()
            .find(|s| !s.procs.is_empty() && now.saturating_sub(s.at) >= SHORTEST_MS)
    }

    fn cores(&self, old: &Scan, new: &Scan) -> Vec<(Name, f64)> {
        let per_tick = self.tick_s / seconds(old, new);
        let mut cores = sum(work(old, new).into_iter().map(|w| (w.name, w.cpu as f64 * per_tick)));
        // A parent inherits the time of a child that ended, all of it at once: more than there is was not just now.
        let most = std::thread::available_parallelism().map_or(f64::INFINITY, |n| n.get() as f64 * 1.1);
        cores.retain(|(_, amount)| *amount <= most);
        cores
    }

    fn memory(&self, scan: &Scan) -> Vec<(Name, f64)> {
        sum(scan.procs.iter().map(|p| (p.name.clone(), p.rss as f64 * self.page_bytes)))
    }

    /// How `of` grew by name since a minute ago or more, if the agent has run so long.
    fn grown(&self, new: &Scan, of: impl Fn(&Proc) -> f64) -> Vec<(Name, f64)> {
        let [older, newer] = &self.minutes;
        let old = if older.procs.is_empty() { newer } else { older };
        if old.procs.is_empty() {
            return Vec::new();
        }
        let was = old.procs.iter().map(|p| (p.name.clone(), -of(p)));
        sum(new.procs.iter().map(|p| (p.name.clone(), of(p))).chain(was))
    }

    /// The largest, if it is large enough. The agent itself is named only where nobody else comes near: looking costs.
    fn most(&self, sums: &[(Name, f64)], least: f64) -> Option<wire::Culprit> {
        let own = self.own.and_then(|own| self.fresh.procs.iter().find(|p| p.pid == own)).map(|p| &p.name);
        let best = |is_allowed: &dyn Fn(&Name) -> bool| {
            let allowed = sums.iter().filter(|(name, amount)| *amount > least && is_allowed(name));
            allowed.max_by(|a, b| a.1.total_cmp(&b.1))
        };
        let other = best(&|name| Some(name) != own);
        let first = best(&|_| true)?;
        let chosen = other.filter(|o| o.1 * 2.0 > first.1).unwrap_or(first);
        Some(culprit(&self.fresh, &chosen.0, chosen.1))
    }
}

fn culprit(scan: &Scan, name: &Name, amount: f64) -> wire::Culprit {
    let mut of_name = scan.procs.iter().filter(|p| p.name == *name);
    let pid = of_name.next().map_or(0, |p| p.pid);
    let more = of_name.count();
    wire::Culprit {
        name: cut(name),
        pid: if more == 0 { pid } else { 0 },
        count: u16::try_from(more + 1).unwrap_or(u16::MAX),
        amount: amount as f32,
    }
}

#[cfg(test)]
mod tests;
