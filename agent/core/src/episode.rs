//! Episodes: one anomaly with a life, however many series it moves.
//!
//! A headline series that gets hot opens an episode, or joins the one that is open if it began near it. Everything
//! that moves meanwhile is a contributor. The episode closes when its headlines have been calm for a while. If the
//! same part of the device acts up again soon after, it is the same episode come back; and if it keeps coming back,
//! it is a habit, which is told no more until it outgrows itself.

mod clockwork;
mod open;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::judge::{self, Series};
use crate::metric::Group;
use crate::series::{Millis, SeriesKey};
use crate::wire::{self, phase};

use clockwork::Clockwork;
use open::{Open, bit, rank, severity};

/// Episodes open at once; a fifth cause joins the oldest.
const OPEN: usize = 4;
/// Closed episodes remembered for coming back.
const HABITS: usize = 8;
/// Metrics remembered of each.
const CODES: usize = 8;

/// Times that shape an episode's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Series that begin within this of an episode's onset, or of its end, belong to it.
    pub near_ms: Millis,
    /// Calm for so long, it is over.
    pub quiet_ms: Millis,
    /// Coming back within this, it is the same.
    pub return_ms: Millis,
    /// First update after opening, when consequences and culprit are plain. What begins later than this is a
    /// consequence, whatever its size.
    pub update_ms: Millis,
}

impl Times {
    /// For ticks of this length: three ticks at least, whatever the seconds say.
    #[must_use]
    pub fn for_tick(tick_ms: Millis) -> Self {
        let at_least = |ms: Millis, ticks: Millis| ms.max(ticks * tick_ms);
        Self {
            near_ms: at_least(60_000, 5),
            quiet_ms: at_least(12_000, 3),
            return_ms: at_least(3_600_000, 60),
            update_ms: at_least(30_000, 5),
        }
    }
}

/// An event to tell: the body without culprit and model, which the caller knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What is told.
    pub body: wire::Episode,
    /// OpenTelemetry severity number.
    pub severity: u8,
}

/// What is remembered of an episode that closed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Habit {
    id: u64,
    /// Metrics that had a good share in it, the one that moved most first: what keeps coming back does not always begin with
    /// the same one, but what begins with none of them is not the same, nor is what moves another one most in the end.
    codes: Vec<u16, CODES>,
    closed: Millis,
    longest: Millis,
    times: u16,
}

impl Habit {
    /// Whether this metric moved most.
    fn is_mostly(&self, code: u16) -> bool {
        self.codes.first() == Some(&code)
    }
}

/// After coming back so often within the time of return, it is a habit.
const HABITUAL: u16 = 3;

/// All episodes of a device.
#[derive(Debug, Serialize, Deserialize)]
pub struct Episodes {
    times: Times,
    next_id: u64,
    open: Vec<Open, OPEN>,
    habits: Vec<Habit, HABITS>,
    clockwork: Clockwork,
    /// Episodes that were told as opened.
    pub opened: u64,
    /// Returns of habits that were not told.
    pub muted: u64,
}

impl Episodes {
    /// None open; the next is numbered `first_id`.
    #[must_use]
    pub fn new(times: Times, first_id: u64) -> Self {
        Self {
            times,
            next_id: first_id,
            open: Vec::new(),
            habits: Vec::new(),
            clockwork: Clockwork::default(),
            opened: 0,
            muted: 0,
        }
    }

    /// Follows ticks of another length from now on.
    pub fn retime(&mut self, times: Times) {
        self.times = times;
    }

    /// Goes on after a restart: numbers begin at `first_id` at least, and series have other indices now. Those that
    /// `index` does not know are forgotten.
    pub fn resume(&mut self, first_id: u64, index: impl Fn(usize) -> Option<usize>) {
        self.next_id = self.next_id.max(first_id);
        for e in &mut self.open {
            e.members.retain_mut(|m| index(m.series).map(|i| m.series = i).is_some());
        }
    }

    /// Time has passed unseen. What is open is over, unless it `may_go_on`: then it has time to show itself again.
    pub fn after_gap(&mut self, now: Millis, may_go_on: bool) {
        for e in &mut self.open {
            // There is nothing new to say of it before that is known.
            e.told = now;
            if may_go_on {
                e.hot = now;
            }
        }
    }

    /// The number that the next episode gets.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// The series of open episodes.
    pub fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.open.iter().flat_map(|e| e.members.iter().map(|m| m.series))
    }

    /// Remembers what would be without a part of an open episode.
    pub fn note_without(&mut self, id: u64, without: wire::Without) {
        self.open.iter_mut().filter(|e| e.id == id).for_each(|e| e.without = Some(without));
    }

    /// The series of an open episode.
    pub fn members_of(&self, id: u64) -> impl Iterator<Item = usize> + '_ {
        self.open.iter().filter(move |e| e.id == id).flat_map(|e| e.members.iter().map(|m| m.series))
    }

    /// How many are open and told.
    #[must_use]
    pub fn count_open(&self) -> usize {
        self.open.iter().filter(|e| !e.muted).count()
    }

    /// What there is to say of every open episode now.
    pub fn describe(
        &self,
        now: Millis,
        keys: &[SeriesKey],
        series: &[Series],
    ) -> impl Iterator<Item = wire::Episode> {
        self.open.iter().filter(|e| !e.muted).map(move |e| e.body(phase::UPDATED, now, keys, series))
    }

    /// Takes the judgements of one tick and tells what changed.
    pub fn step(&mut self, now: Millis, keys: &[SeriesKey], series: &[Series], tell: &mut dyn FnMut(Notice)) {
        self.place_hot_series(now, keys, series, tell);
        self.follow_members(now, keys, series);
        self.update(now, keys, series, tell);
        self.close_quiet(now, keys, series, tell);
    }

    fn place_hot_series(
        &mut self,
        now: Millis,
        keys: &[SeriesKey],
        series: &[Series],
        tell: &mut dyn FnMut(Notice),
    ) {
        let hot = |i: &usize| series[*i].now.hot && judge::may_open(keys[*i].metric(), &series[*i].now);
        let is_placed = |open: &[Open], i: usize| open.iter().any(|e| e.holds(i));
        let says = |i: usize| rank(&keys[i], series[i].now.deviation);
        let order = |a: usize, b: usize| says(a).total_cmp(&says(b)).then(a.cmp(&b));
        // What says most comes first, and each comes once: in a full episode there may be no room for it.
        let mut last = None;
        while let Some(lead) = (0..series.len().min(keys.len()))
            .filter(hot)
            .filter(|i| last.is_none_or(|last| order(*i, last).is_lt()) && !is_placed(&self.open, *i))
            .max_by(|a, b| order(*a, *b))
        {
            last = Some(lead);
            let group = keys[lead].metric().group;
            let began = series[lead].now.since.unwrap_or(now);
            let near = self.times.near_ms;
            let home = self.open.iter().position(|e| {
                let is_near = e.group == group
                    || began.saturating_sub(e.joined) <= near
                    || now.saturating_sub(e.hot) > 2_000;
                is_near && e.may_hold(&keys[lead], &series[lead])
            });
            match home {
                Some(at) => {
                    let episode = &mut self.open[at];
                    episode.join(lead, keys, series);
                    // Only its own kind carries it on; a late stranger does not.
                    episode.joined = began.max(episode.joined).min(episode.onset + 2 * near);
                }
                None if self.open.is_full() => {
                    self.open[0].join(lead, keys, series);
                }
                None => self.begin(now, lead, group, began, keys, series, tell),
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place begins an episode, with all that is known")]
    fn begin(
        &mut self,
        now: Millis,
        lead: usize,
        group: Group,
        onset: Millis,
        keys: &[SeriesKey],
        series: &[Series],
        tell: &mut dyn FnMut(Notice),
    ) {
        let return_ms = self.times.return_ms;
        self.habits.retain(|h| now.saturating_sub(h.closed) <= return_ms);
        let code = keys[lead].code;
        // What moved most the last time is the surer sign; what else moved is one as well.
        let habit = self
            .habits
            .iter()
            .find(|h| h.is_mostly(code))
            .or_else(|| self.habits.iter().find(|h| h.codes.contains(&code)));
        let (id, recurred) = match &habit {
            Some(h) => (h.id, h.times),
            None => {
                self.next_id += 1;
                (self.next_id - 1, 0)
            }
        };
        // A limit is told whenever it is reached.
        let by_clock = match series[lead].now.beyond {
            None => self.clockwork.expected(bit(group), onset),
            Some(_) => None,
        };
        let muted = recurred >= HABITUAL || by_clock.is_some();
        let usual = by_clock.unwrap_or(0).max(habit.map_or(0, |h| h.longest));
        let mut episode = Open {
            id,
            onset,
            late: onset + self.times.update_ms,
            joined: onset,
            hot: now,
            told: now,
            // What came back was explained before: the early update would only repeat it.
            updates: u32::from(recurred > 0),
            recurred,
            muted,
            usual,
            score: 0.0,
            members: Vec::new(),
            group,
            together: series[lead].now.by_device,
            known: habit.map(|h| h.codes.clone()).unwrap_or_default(),
            without: None,
        };
        episode.join(lead, keys, series);
        // What moves with it is part of it from the start.
        episode.follow(&self.open, &[], self.times.near_ms, keys, series);
        episode.settle(keys);
        if muted {
            self.muted += 1;
        } else {
            self.opened += u64::from(recurred == 0);
            let phase = if recurred == 0 { phase::OPENED } else { phase::REOPENED };
            tell(notice(&episode, phase, now, keys, series));
        }
        // There is room: the caller looked.
        let _pushed = self.open.push(episode);
    }

    fn follow_members(&mut self, now: Millis, keys: &[SeriesKey], series: &[Series]) {
        for at in 0..self.open.len() {
            let (before, rest) = self.open.split_at_mut(at);
            let Some((episode, after)) = rest.split_first_mut() else { break };
            episode.follow(before, after, self.times.near_ms, keys, series);
            for m in &mut episode.members {
                let s = &series[m.series];
                if s.now.deviation.abs() > m.peak.abs() {
                    m.peak = s.now.deviation;
                    m.actual = s.now.value.unwrap_or(m.actual);
                }
                m.note_limit(&s.now);
                m.parts += s.now.part;
                if s.now.hot && judge::may_open(keys[m.series].metric(), &s.now) {
                    episode.hot = now;
                }
                episode.score = episode.score.max(s.now.score);
            }
            episode.settle(keys);
        }
    }

    fn update(&mut self, now: Millis, keys: &[SeriesKey], series: &[Series], tell: &mut dyn FnMut(Notice)) {
        for at in 0..self.open.len() {
            let e = &self.open[at];
            let lasted = now.saturating_sub(e.onset);
            if e.muted {
                // A habit that lasts twice as long as it ever did is no habit.
                if lasted > (2 * e.usual).max(self.times.update_ms) {
                    let is_new = e.recurred == 0;
                    self.opened += u64::from(is_new);
                    self.open[at].muted = false;
                    self.open[at].told = now;
                    let phase = if is_new { phase::OPENED } else { phase::REOPENED };
                    let notice = notice(&self.open[at], phase, now, keys, series);
                    tell(notice);
                }
                continue;
            }
            // First when consequences are plain, then ever more rarely.
            let wait = self.times.update_ms << (3 * e.updates).min(12);
            if now.saturating_sub(e.told) >= wait {
                let notice = notice(e, phase::UPDATED, now, keys, series);
                self.open[at].told = now;
                self.open[at].updates += 1;
                tell(notice);
            }
        }
    }

    fn close_quiet(
        &mut self,
        now: Millis,
        keys: &[SeriesKey],
        series: &[Series],
        tell: &mut dyn FnMut(Notice),
    ) {
        let mut at = 0;
        while at < self.open.len() {
            if now.saturating_sub(self.open[at].hot) < self.times.quiet_ms {
                at += 1;
                continue;
            }
            let e = self.open.swap_remove(at);
            if !e.muted {
                tell(notice(&e, phase::CLOSED, now, keys, series));
            }
            let lasted = e.hot.saturating_sub(e.onset);
            self.clockwork.note(e.groups(keys), e.onset, lasted);
            let mut codes = e.codes(keys);
            // It may have come as one and turned out to be another.
            let is_same = |h: &Habit| h.id == e.id && codes.first().is_some_and(|main| h.is_mostly(*main));
            let old = self.habits.iter().position(is_same).map(|i| self.habits.swap_remove(i));
            for code in old.iter().flat_map(|h| &h.codes) {
                if !codes.contains(code) && codes.push(*code).is_err() {
                    break;
                }
            }
            if self.habits.is_full() {
                self.habits.remove(0);
            }
            let _pushed = self.habits.push(Habit {
                id: e.id,
                codes,
                closed: now,
                longest: lasted.max(old.as_ref().map_or(0, |h| h.longest)),
                // What was not told when it came is not told when it comes back either.
                times: if e.muted { HABITUAL } else { 0 }
                    .max(old.as_ref().map_or(0, |h| h.times).saturating_add(1)),
            });
        }
    }
}

fn notice(e: &Open, phase: u8, now: Millis, keys: &[SeriesKey], series: &[Series]) -> Notice {
    let body = e.body(phase, now, keys, series);
    let severity = if phase == phase::CLOSED { 9 } else { severity(&body) };
    Notice { body, severity }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Rules;
    use crate::metric;
    use crate::surprise::Threshold;
    use std::format;
    use std::string::String;
    use std::vec;

    /// A device with processor, memory and disk, whose readings are a function of time.
    fn check(seconds: u32, reading: impl Fn(u32) -> [f64; 3], expected: &str) {
        let keys = [
            SeriesKey::new(metric::CPU_BUSY, &[]),
            SeriesKey::new(metric::MEMORY_USED, &[]),
            SeriesKey::new(metric::DISK_IO_TIME, &["sda"]),
        ];
        let mut series = vec![Series::default(); 3];
        let threshold = Threshold::of_budget(1.0, 7.0 * 86_400e3, 3, 1000.0, 5000.0);
        let rules = Rules { threshold, overrides: Default::default() };
        let mut episodes = Episodes::new(Times::for_tick(1000), 1);
        let mut told = String::new();
        for t in 0..seconds {
            let now = 1000 * u64::from(t);
            let jitter = f64::from(t.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 * 0.02;
            for ((s, key), x) in series.iter_mut().zip(&keys).zip(reading(t)) {
                s.observe(key.metric(), &rules, now, Ok(x + jitter));
            }
            episodes.step(now, &keys, &series, &mut |n| {
                let word = ["?", "opened", "updated", "closed", "reopened"][n.body.phase as usize];
                let group = n.body.contributors[0].key.metric().group;
                if word != "updated" {
                    told.push_str(&format!("{word} {} {group:?}; ", n.body.id));
                }
            });
        }
        assert_eq!(told.trim_end_matches("; "), expected);
    }

    #[test]
    fn one_cause_is_one_episode() {
        check(900, |_| [0.05, 0.2, 0.01], "");
        let hog = |t| if (300..360).contains(&t) { [0.95, 0.2, 0.01] } else { [0.05, 0.2, 0.01] };
        check(900, hog, "opened 1 Cpu; closed 1 Cpu");
        let both = |t| match t {
            300..360 => [0.95, 0.7, 0.01],
            _ => [0.05, 0.2, 0.01],
        };
        check(900, both, "opened 1 Memory; closed 1 Memory");
        let aftermath = |t| match t {
            300..360 => [0.95, 0.2, 0.01],
            362..380 => [0.05, 0.2, 0.95],
            _ => [0.05, 0.2, 0.01],
        };
        check(900, aftermath, "opened 1 Cpu; closed 1 Cpu");
    }

    #[test]
    fn more_series_than_an_episode_holds_are_one_episode() {
        let keys: vec::Vec<_> =
            (0..60).map(|i| SeriesKey::new(metric::DISK_IO_TIME, &[&format!("sd{i}")])).collect();
        let mut series = vec![Series::default(); keys.len()];
        let threshold = Threshold::of_budget(1.0, 7.0 * 86_400e3, 60, 1000.0, 5000.0);
        let rules = Rules { threshold, overrides: Default::default() };
        let mut episodes = Episodes::new(Times::for_tick(1000), 1);
        let mut opened = 0;
        for t in 0..400 {
            for (s, key) in series.iter_mut().zip(&keys) {
                s.observe(key.metric(), &rules, 1000 * t, Ok(if t < 300 { 0.01 } else { 0.9 }));
            }
            episodes.step(1000 * t, &keys, &series, &mut |n| {
                opened += u32::from(n.body.phase == phase::OPENED);
            });
        }
        assert_eq!(opened, 1);
    }

    #[test]
    fn two_causes_are_two() {
        let two = |t| match t {
            300..400 => [0.95, 0.2, 0.01],
            400..460 => [0.95, 0.2, 0.95],
            460..600 => [0.95, 0.2, 0.01],
            _ => [0.05, 0.2, 0.01],
        };
        check(900, two, "opened 1 Cpu; opened 2 Disk; closed 2 Disk; closed 1 Cpu");
    }

    #[test]
    fn a_habit_is_of_its_metrics_and_mutes_no_other() {
        let codes = [metric::PROCESS_CREATED, metric::FILE_DESCRIPTORS_USED];
        assert!(codes.iter().all(|code| metric::by_code(*code).group == Group::Process));
        let keys = codes.map(|code| SeriesKey::new(code, &[]));
        let mut series = [Series::default(), Series::default()];
        let threshold = Threshold::of_budget(1.0, 7.0 * 86_400e3, 3, 1000.0, 5000.0);
        let rules = Rules { threshold, overrides: Default::default() };
        let mut episodes = Episodes::new(Times::for_tick(1000), 1);
        let (mut told, mut count) = (vec![], 0.0);
        for t in 0..2400u32 {
            count += if (300..2000).contains(&t) && t % 300 < 40 { 3000.0 } else { 5.0 };
            // It begins while the habit is at it.
            let used = 0.05 + f64::from(t.saturating_sub(1805)).min(60.0) * 0.01;
            for ((s, key), x) in series.iter_mut().zip(&keys).zip([count, used]) {
                s.observe(key.metric(), &rules, 1000 * u64::from(t), Ok(x));
            }
            episodes.step(1000 * u64::from(t), &keys, &series, &mut |n| {
                if n.body.phase == phase::OPENED {
                    told.push(n.body.contributors[0].key.code);
                }
            });
        }
        assert!(episodes.muted > 0, "the forks are a habit");
        assert_eq!(told, codes, "a leak is not");
    }

    #[test]
    fn what_keeps_coming_back_is_a_habit_until_it_outgrows_itself() {
        let job = |t: u32| if t >= 300 && t % 300 < 40 { [0.95, 0.2, 0.01] } else { [0.05, 0.2, 0.01] };
        check(
            3600,
            job,
            "opened 1 Cpu; closed 1 Cpu; reopened 1 Cpu; closed 1 Cpu; reopened 1 Cpu; closed 1 Cpu",
        );
        let outgrown = |t: u32| if t >= 2400 { [0.95, 0.2, 0.01] } else { job(t) };
        check(
            2600,
            outgrown,
            "opened 1 Cpu; closed 1 Cpu; reopened 1 Cpu; closed 1 Cpu; reopened 1 Cpu; closed 1 Cpu; reopened 1 Cpu",
        );
        let build = |t: u32| match t {
            300..340 => [0.95, 0.6, 0.01],
            600..640 => [0.95, 0.2, 0.01],
            _ => [0.05, 0.2, 0.01],
        };
        check(800, build, "opened 1 Memory; closed 1 Memory; reopened 1 Cpu; closed 1 Cpu");
        // A busy processor is the first sign of both, but they are two things, and each comes only three times.
        let two = |t: u32| match t {
            300..340 | 900..940 | 1500..1540 => [0.95, 0.2, 0.01],
            600..604 | 1200..1204 | 1800..1804 => [0.75, 0.2, 0.01],
            604..640 | 1204..1240 | 1804..1840 => [0.75, 0.2, 1.0],
            _ => [0.05, 0.2, 0.01],
        };
        check(
            2000,
            two,
            "opened 1 Cpu; closed 1 Cpu; reopened 1 Cpu; closed 1 Disk; reopened 1 Cpu; closed 1 Cpu; reopened 1 Cpu; \
             closed 1 Disk; reopened 1 Cpu; closed 1 Cpu; reopened 1 Disk; closed 1 Disk",
        );
        let later = |t: u32| {
            if [300, 5000].iter().any(|s| (*s..s + 40).contains(&t)) {
                [0.95, 0.2, 0.01]
            } else {
                [0.05, 0.2, 0.01]
            }
        };
        check(5200, later, "opened 1 Cpu; closed 1 Cpu; opened 2 Cpu; closed 2 Cpu");
    }
}
