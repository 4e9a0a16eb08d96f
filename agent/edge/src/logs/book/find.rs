//! What is out of the ordinary in what was counted: new messages, silences, rates.

use fieldmouse_core::logs::rate::Change;
use fieldmouse_core::logs::severity::Class;

use super::ledger::{Entry, OCCASION};
use super::tell::{Finding, Kind, rate, span};
use super::watch::{GATHER, Watch};
use crate::logs::miner::Miner;
use crate::logs::template::{Template, difference};

/// Seconds in which one template is told once, in whatever way.
pub(super) const ONCE: u32 = 900;
/// Weeks are the longest that is looked back for new templates.
const WEEK: u32 = 7 * 86_400;
/// Errors of a new kind that are told although another name in a known one is all that is new.
const MANY: u16 = 5;

impl Watch {
    /// Tells new templates where such are rare.
    pub(super) fn news(&mut self, found: &mut Vec<Finding>) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.retain_mut(|(id, lines)| self.stays_fresh(*id, lines, found));
        self.fresh = fresh;
    }

    /// Whether it is to be looked at again, if not before it has so many lines.
    fn stays_fresh(&mut self, id: u32, lines: &mut u16, found: &mut Vec<Finding>) -> bool {
        // Merged into what was known, or told in another way.
        let Some(entry) = self.ledger.get(id).filter(|e| e.told == 0) else { return false };
        let age = self.at - entry.first;
        if age < GATHER || entry.debut < *lines {
            return age < OCCASION;
        }
        if !self.is_rare(id, entry) {
            *lines = entry.debut.saturating_mul(2);
            return true;
        }
        let (stream, class, lines) = (entry.stream, entry.class, u32::from(entry.debut));
        let times = if lines > 1 { format!(", {lines} times in {}", span(age)) } else { String::new() };
        let what = format!("a message never seen before{times}");
        let example = text(&self.miner, id).to_owned();
        let (kind, weight, at) = (Kind::New, lines as f32, self.at);
        self.ledger.get_mut(id).into_iter().for_each(|e| e.told = at);
        found.push(Finding { kind, stream, id: Some(id), class, for_s: age, lines, weight, what, example });
        false
    }

    /// Whether a new template of this kind is awaited seldom enough to be news: less often than the budget has alarms for
    /// everything together, more often if it is grave.
    fn is_rare(&self, id: u32, entry: &Entry) -> bool {
        let since = self.streams.all.get(usize::from(entry.stream)).map_or(self.at, |s| s.first);
        let watched = self.at.saturating_sub(since).min(WEEK) as f32;
        let awaited = watched / (1.0 + self.ledger.alike(entry, self.at) as f32);
        let share = match entry.class {
            Class::Error => 42.0,
            Class::Warn => 28.0,
            Class::Info => 7.0,
        };
        let is_many = entry.class == Class::Error && entry.debut >= MANY;
        awaited >= self.alarm_s() / share && (is_many || !self.is_variant(id))
    }

    /// Whether it differs in one word from another: a name, more often than not.
    fn is_variant(&self, id: u32) -> bool {
        let Some(it) = self.miner.templates().find(|t| t.id == id) else { return false };
        let is_alike = |other: &Template| {
            let is_other = other.id != id && other.words().len() == it.words().len();
            is_other
                && difference(it.words(), other.words())
                    .is_some_and(|d| d.words + d.values <= 1 && d.alike >= 3)
        };
        self.miner.templates().any(is_alike)
    }

    /// Seconds in which one false alarm is allowed.
    fn alarm_s(&self) -> f32 {
        self.budget.period_ms / 1000.0 / self.budget.alarms
    }

    pub(super) fn silences(&mut self, found: &mut Vec<Finding>) {
        let (at, alarm_s) = (self.at, self.alarm_s());
        for (id, entry) in self.ledger.iter_mut() {
            let Some(silence) = entry.beat.missed(at, alarm_s) else { continue };
            let of = &mut self.streams.all[usize::from(entry.stream)];
            if of.is_missed {
                continue;
            }
            entry.told = at;
            let (period, for_s) = (span(silence.period_s as u32), silence.for_s);
            // Whether its stream has fallen silent with it.
            of.is_missed = of.last <= entry.last + GATHER;
            let what = match of.is_missed {
                true => format!("nothing for {}; a message came every {period}", span(for_s)),
                false => format!("a message that came every {period} is missing for {}", span(for_s)),
            };
            let (kind, stream, class, lines, weight) =
                (Kind::Silent, entry.stream, entry.class, 0, silence.period_s);
            let example = text(&self.miner, id).to_owned();
            found.push(Finding { kind, stream, id: Some(id), class, for_s, lines, weight, what, example });
        }
    }

    /// A minute has passed.
    pub(super) fn rates(&mut self, found: &mut Vec<Finding>) {
        let at = self.at;
        let minutes = |kinds: usize| self.alarm_s() / 60.0 * kinds as f32;
        let (of_template, of_stream) = (minutes(self.ledger.len()), minutes(2 * self.streams.all.len()));
        let mut burst: Option<(u8, Change)> = None;
        for (stream, of) in (0..).zip(&mut self.streams.all) {
            let silent =
                of.lines.minute(&mut self.tails[1], of_stream).filter(|c| c.count == 0 && !of.is_missed);
            if let Some(change) = silent {
                of.is_missed = true;
                let for_s = at - of.last.min(at);
                let what = format!("nothing for {}; {} lines came before", span(for_s), rate(change.from));
                found.push(Finding::of_stream(Kind::Silent, stream, for_s, 0, what));
            }
            let change = of.errors.minute(&mut self.tails[1], of_stream).filter(Change::is_up);
            burst = burst.into_iter().chain(change.map(|c| (stream, c))).max_by_key(|(_, c)| c.count);
        }
        for (id, entry) in self.ledger.iter_mut() {
            let Some(change) = entry.rate.minute(&mut self.tails[0], of_template) else { continue };
            let of = &self.streams.all[usize::from(entry.stream)];
            if entry.is_told(at, ONCE) || entry.beat.is_silent() || of.is_missed {
                continue;
            }
            if change.is_up() && entry.class == Class::Error {
                burst = burst.into_iter().chain([(entry.stream, change)]).max_by_key(|(_, c)| c.count);
                continue;
            }
            // Whether it beats is asked elsewhere.
            if !change.is_up() && entry.beat.is_regular() {
                continue;
            }
            entry.told = at;
            let example = text(&self.miner, id).to_owned();
            found.push(Finding::of_rate(entry, id, &change, example));
        }
        found.extend(burst.and_then(|(stream, change)| self.burst(stream, &change)));
    }
}

impl Finding {
    pub(super) fn of_stream(kind: Kind, stream: u8, for_s: u32, lines: u32, what: String) -> Self {
        let (id, class, weight, example) = (None, Class::Info, f32::MAX, String::new());
        Self { kind, stream, id, class, for_s, lines, weight, what, example }
    }

    fn of_rate(entry: &Entry, id: u32, change: &Change, example: String) -> Self {
        let (from, to) = (rate(change.from), rate(change.to));
        let what = match change.is_up() {
            true => format!("a message comes more often: {to} instead of {from}"),
            false => format!("a message comes less often: {to} instead of {from}"),
        };
        let weight = (change.to.max(0.01) / change.from.max(0.01)).ln().abs();
        let (kind, stream, class, for_s) =
            (Kind::Rate, entry.stream, entry.class, 60 * u32::from(change.minutes));
        Self { kind, stream, id: Some(id), class, for_s, lines: change.count, weight, what, example }
    }
}

/// The masked text of a template.
pub(super) fn text(miner: &Miner, id: u32) -> &str {
    miner.templates().find(|t| t.id == id).map_or("", Template::text)
}
