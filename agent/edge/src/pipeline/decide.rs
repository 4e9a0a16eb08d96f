//! What people decided, series by series: the tables of the configuration, and maintenance.

use fieldmouse_core::rules::Overrides;
use fieldmouse_core::series::{Millis, SeriesKey};

use super::calendar::Calendar;
use super::{Output, Pipeline};
use crate::budget::Budget;
use crate::clock::Stamp;
use crate::config::{self, SeriesTable, Window};

impl Pipeline {
    /// Follows what people decided about series from now on.
    pub fn set_tables(&mut self, tables: Vec<SeriesTable>) {
        self.decided.set_tables(tables, &self.keys, &self.calendar);
        self.rule_anew();
    }

    /// Follows another calendar of maintenance from now on.
    pub fn set_windows(&mut self, windows: Vec<Window>) {
        self.calendar.set_windows(windows);
    }

    /// Opens a window of maintenance by hand, for so long.
    pub fn start_maintenance(&mut self, now: Millis, text: String, span: Millis, pattern: Option<String>) {
        let until = self.own(now).saturating_add(span);
        self.calendar.start(text, until, pattern);
    }

    /// Closes the window of maintenance that was opened by hand; false if there is none.
    pub fn end_maintenance(&mut self) -> bool {
        self.calendar.end()
    }

    /// Opens and closes windows of maintenance. To be called before a tick.
    pub fn follow_calendar(&mut self, now: Stamp, out: &mut Vec<Output>) {
        let own = self.own(now.mono_ms);
        let tell = &mut |m| out.push(Output::Maintenance(m));
        if self.calendar.follow(own, now.wall_ms, tell) {
            self.decided.heed(&self.calendar, &self.keys);
            self.rule_anew();
        }
    }

    /// What maintenance there is now; for how long the one by hand lasts yet; and whether the calendar cannot be
    /// followed because the clock was never set.
    #[must_use]
    pub fn maintenance(&self, now: Millis) -> (Vec<&str>, Option<Millis>, bool) {
        (self.calendar.names().collect(), self.calendar.left(self.own(now)), self.calendar.is_blind)
    }

    /// How many series each table of decisions speaks of.
    pub fn matched(&self) -> impl Iterator<Item = (&str, usize)> {
        self.decided.matched(&self.keys)
    }

    /// What people decided about a series.
    #[must_use]
    pub fn overrides(&self, i: usize) -> Overrides {
        self.decided.overrides_of(i)
    }
}

/// Decisions about every series, in the order of their indices.
#[derive(Debug, Default)]
pub(super) struct Decided {
    tables: Vec<SeriesTable>,
    series: Vec<One>,
    /// How many series share the budget of each table.
    sharing: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct One {
    overrides: Overrides,
    /// Something is done to it now.
    maintained: bool,
    /// The table that gives it a budget.
    budget: Option<usize>,
}

impl Decided {
    pub(super) fn set_tables(&mut self, tables: Vec<SeriesTable>, keys: &[SeriesKey], calendar: &Calendar) {
        self.sharing = vec![0; tables.len()];
        self.tables = tables;
        self.series.clear();
        keys.iter().for_each(|key| self.add(key, calendar));
    }

    /// A series that is new.
    pub(super) fn add(&mut self, key: &SeriesKey, calendar: &Calendar) {
        let name = key.to_string();
        let (overrides, budget) = config::decide(&self.tables, &name);
        if let Some(count) = budget.and_then(|at| self.sharing.get_mut(at)) {
            *count += 1;
        }
        self.series.push(One { overrides, maintained: calendar.concerns(&name), budget });
    }

    /// Other series are under maintenance now.
    pub(super) fn heed(&mut self, calendar: &Calendar, keys: &[SeriesKey]) {
        for (one, key) in self.series.iter_mut().zip(keys) {
            one.maintained = calendar.concerns(&key.to_string());
        }
    }

    /// Each table's pattern, and how many series it matches.
    pub(super) fn matched(&self, keys: &[SeriesKey]) -> impl Iterator<Item = (&str, usize)> {
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        self.tables.iter().map(move |t| (t.pattern.as_str(), names.iter().filter(|n| t.matches(n)).count()))
    }

    /// A budget of its own, and how many series share it.
    pub(super) fn budget_of(&self, i: usize) -> Option<(Budget, usize)> {
        let at = self.series[i].budget?;
        Some((self.tables.get(at)?.false_alarms?, self.sharing[at]))
    }

    pub(super) fn overrides_of(&self, i: usize) -> Overrides {
        let One { overrides, maintained, .. } = self.series[i];
        Overrides { quiet: overrides.quiet || maintained, ..overrides }
    }
}
