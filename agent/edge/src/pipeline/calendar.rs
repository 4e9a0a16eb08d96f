//! Maintenance: windows of the calendar, and one that somebody opens by hand. Within them nothing alerts and nothing is
//! learnt; their beginning and end are told.

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire;
use serde::{Deserialize, Serialize};

use crate::config::Window;
use crate::sources::text;

/// All windows, and which of them are open.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    windows: Vec<Window>,
    open: Vec<bool>,
    kept: Kept,
    /// Somebody has opened or closed a window by hand.
    touched: bool,
    /// The clock was never set: windows of the calendar are not heeded.
    pub(super) is_blind: bool,
}

/// What outlives a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    by_hand: Option<ByHand>,
    /// Windows whose beginning was told.
    told: Vec<String>,
}

/// A window that somebody has opened by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ByHand {
    text: String,
    /// On the pipeline's own time.
    until: Millis,
    /// All series if there is none.
    pattern: Option<String>,
}

/// A window begins or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// What it is, in words.
    pub text: String,
    /// It begins.
    pub begins: bool,
}

impl Maintenance {
    /// What is told.
    #[must_use]
    pub fn fact(&self) -> wire::Fact {
        let kind = if self.begins { "maintenance-begin" } else { "maintenance-end" };
        wire::Fact::new(kind, &self.text)
    }
}

impl Calendar {
    pub(super) fn set_windows(&mut self, windows: Vec<Window>) {
        self.open = vec![false; windows.len()];
        self.windows = windows;
    }

    /// Opens a window by hand, in place of one that is open so.
    pub(super) fn start(&mut self, text: String, until: Millis, pattern: Option<String>) {
        self.kept.by_hand = Some(ByHand { text, until, pattern });
        self.touched = true;
    }

    /// Closes the window that was opened by hand; false if there is none.
    pub(super) fn end(&mut self) -> bool {
        self.touched = true;
        self.kept.by_hand.take().is_some()
    }

    pub(super) fn keep(&self) -> &Kept {
        &self.kept
    }

    pub(super) fn restore(&mut self, kept: Kept) {
        self.kept = kept;
    }

    /// Looks at the clock. Tells what begins and ends; true if other series are concerned now.
    pub(super) fn follow(
        &mut self,
        now: Millis,
        wall_ms: Option<u64>,
        tell: &mut dyn FnMut(Maintenance),
    ) -> bool {
        self.is_blind = wall_ms.is_none() && !self.windows.is_empty();
        let mut changed = std::mem::take(&mut self.touched);
        for (window, open) in self.windows.iter().zip(&mut self.open) {
            let is_open = wall_ms.is_some_and(|wall| window.is_open(wall));
            changed |= is_open != *open;
            *open = is_open;
        }
        if self.kept.by_hand.as_ref().is_some_and(|w| now >= w.until) {
            self.kept.by_hand = None;
        }
        let is_same = self.names().eq(self.kept.told.iter().map(String::as_str));
        if !is_same {
            let names: Vec<String> = self.names().map(ToOwned::to_owned).collect();
            let told = std::mem::replace(&mut self.kept.told, names);
            let only = |a: &[String], b: &[String], begins: bool, tell: &mut dyn FnMut(Maintenance)| {
                a.iter()
                    .filter(|n| !b.contains(n))
                    .for_each(|n| tell(Maintenance { text: n.clone(), begins }));
            };
            only(&told, &self.kept.told, false, tell);
            only(&self.kept.told, &told, true, tell);
        }
        changed | !is_same
    }

    /// What is open.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let windows = self.windows.iter().zip(&self.open).filter(|(_, open)| **open);
        windows.map(|(w, _)| w.name.as_str()).chain(self.kept.by_hand.as_ref().map(|w| w.text.as_str()))
    }

    /// For how long the window opened by hand stays open.
    pub(super) fn left(&self, now: Millis) -> Option<Millis> {
        self.kept.by_hand.as_ref().map(|w| w.until.saturating_sub(now))
    }

    /// Whether something is done to this series.
    pub(super) fn concerns(&self, name: &str) -> bool {
        let windows = self.windows.iter().zip(&self.open);
        windows.filter(|(_, open)| **open).any(|(w, _)| w.matches(name))
            || self
                .kept
                .by_hand
                .as_ref()
                .is_some_and(|w| w.pattern.as_ref().is_none_or(|pattern| text::matches(pattern, name)))
    }
}
