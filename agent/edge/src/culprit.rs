//! Who was at work: the process name behind an episode, as far as `/proc` can tell.
//!
//! Every ten seconds all processes are looked at; when an episode opens they are looked at again, and what differs
//! speaks. Amounts are summed by name, for people know `postgres` and not 4711. This explains; it never decides.

mod files;
mod scan;

use std::path::{Path, PathBuf};

use fieldmouse_core::metric::Group;
use fieldmouse_core::series::{Millis, SeriesKey, cut};
use fieldmouse_core::wire;

use self::files::{holding, is_of_files, online, writing_to};
use self::scan::{Name, Proc, Scan, Work, look, seconds, started, sum, work};
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

/// Who is behind an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Blame {
    /// What is told.
    pub culprit: wire::Culprit,
    /// How much more than its usual it has used since the onset, in the amount's unit, if that is known.
    pub beyond: Option<f32>,
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

    /// Who is most likely behind an episode that began at `onset`, and whose first contributor is this. `None` if nobody
    /// stands out, or nothing is known of who uses such a thing.
    pub fn blame(&mut self, first: &SeriesKey, onset: Millis, now: Millis) -> Option<Blame> {
        let metric = first.metric();
        // Of the others it is not known who uses them.
        let is_used =
            [Group::Cpu, Group::Memory, Group::Disk, Group::Filesystem, Group::Network, Group::Process];
        if !is_used.contains(&metric.group) {
            return None;
        }
        // Several episodes may open at one tick.
        if self.fresh.at != now || self.fresh.procs.is_empty() {
            let mut scan = std::mem::take(&mut self.fresh);
            look(&mut self.scanner, &self.stat, &self.last, now, &mut scan);
            self.fresh = scan;
        }
        let held = |sums: &[(Name, f64)]| Some(Blame { culprit: self.most(sums, 0.0)?, beyond: None });
        match metric.group {
            _ if is_of_files(metric) => held(&holding(self.scanner.proc(), &self.fresh)),
            Group::Memory => {
                let grown = self.grown(&self.fresh, |p| p.rss as f64 * self.page_bytes);
                match self.most(&grown, LEAST_GROWTH) {
                    Some(culprit) => Some(Blame { beyond: Some(culprit.amount), culprit }),
                    None => held(&self.memory(&self.fresh)),
                }
            }
            Group::Cpu => self.busiest(onset, now, LEAST_CORES, |old, new| self.cores(old, new)),
            Group::Network => {
                let mut online = online(self.scanner.proc());
                self.busiest(onset, now, LEAST_CORES, |old, new| {
                    let mut cores = self.cores(old, new);
                    cores.retain(|(name, amount)| *amount > LEAST_CORES && online(new, name));
                    cores
                })
            }
            Group::Process => {
                let found = self.busiest(onset, now, 0.0, |old, new| {
                    let mut started = started(old, new);
                    started.retain(|(_, count)| *count > LEAST_STARTED);
                    started.iter_mut().for_each(|(_, count)| *count /= seconds(old, new));
                    started
                });
                found.or_else(|| {
                    let mut culprit = self.most(&self.grown(&self.fresh, |_| 1.0), LEAST_STARTED)?;
                    culprit.amount /= seconds(self.minute_ago(), &self.fresh) as f32;
                    Some(Blame { culprit, beyond: None })
                })
            }
            Group::Filesystem => {
                let mut is_there = writing_to(self.scanner.proc(), &first.label);
                let writes = self.busiest(onset, now, LEAST_BYTES_PER_S, |old, new| {
                    let mut wrote = rates(old, new, |w| w.wrote);
                    wrote.retain(|(name, amount)| *amount > LEAST_BYTES_PER_S && is_there(new, name));
                    wrote
                });
                writes.or_else(|| self.busiest_with_disks(onset, now))
            }
            Group::Disk => self.busiest_with_disks(onset, now).or_else(|| self.waiting()),
            _ => None,
        }
    }

    fn busiest_with_disks(&self, onset: Millis, now: Millis) -> Option<Blame> {
        self.busiest(onset, now, LEAST_BYTES_PER_S, |old, new| rates(old, new, |w| w.io))
    }

    /// Who flushes what others wrote has read and written nothing, but waits.
    fn waiting(&self) -> Option<Blame> {
        let waiting = self.fresh.procs.iter().filter(|p| p.waits).map(|p| (p.name.clone(), 1.0));
        let culprit = self.most(&sum(waiting), 0.0)?;
        Some(Blame { culprit: wire::Culprit { amount: 0.0, ..culprit }, beyond: None })
    }

    /// Who did most a second since the youngest look that is old enough to be compared with; and how much more than
    /// before that look, if all of it was done since the onset.
    fn busiest(
        &self,
        onset: Millis,
        now: Millis,
        least: f64,
        mut per_second: impl FnMut(&Scan, &Scan) -> Vec<(Name, f64)>,
    ) -> Option<Blame> {
        let old = self.reference(now)?;
        let culprit = self.most(&per_second(old, &self.fresh), least)?;
        let earlier = Some(&self.before).filter(|b| !b.procs.is_empty() && b.at < old.at);
        let usual = earlier.map_or_else(Vec::new, |earlier| per_second(earlier, old));
        let usual = usual.iter().find(|(name, _)| *name == culprit.name.as_str()).map_or(0.0, |(_, x)| *x);
        let since = now.saturating_sub(onset.max(old.at)).max(SHORTEST_MS) as f64 / 1000.0;
        let share = (seconds(old, &self.fresh) / since).max(1.0);
        let beyond = (f64::from(culprit.amount) - usual).max(0.0) * share;
        Some(Blame { culprit, beyond: Some(beyond as f32) })
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

    fn minute_ago(&self) -> &Scan {
        let [older, newer] = &self.minutes;
        if older.procs.is_empty() { newer } else { older }
    }

    /// How `of` grew by name since a minute ago or more, if the agent has run so long.
    fn grown(&self, new: &Scan, of: impl Fn(&Proc) -> f64) -> Vec<(Name, f64)> {
        let old = self.minute_ago();
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

/// What each did a second, by name.
fn rates(old: &Scan, new: &Scan, of: impl Fn(&Work) -> u64) -> Vec<(Name, f64)> {
    let per_s = 1.0 / seconds(old, new);
    sum(work(old, new).into_iter().map(|w| (w.name.clone(), of(&w) as f64 * per_s)))
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
