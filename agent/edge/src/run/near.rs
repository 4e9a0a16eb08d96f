//! What happened near an episode's onset is told with it.

use std::collections::HashMap;

use fieldmouse_core::near::Happenings;
use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{Episode, NEAR, Near, phase};

use crate::sources::Told;

/// What happened lately, and what was told of it with open episodes.
#[derive(Debug, Default)]
pub(super) struct Nearby {
    happenings: Happenings,
    told: HashMap<u64, heapless::Vec<Near, NEAR>>,
}

impl Nearby {
    pub(super) fn note(&mut self, now: Millis, told: &Told) {
        self.happenings.note(now, told.severity, &told.fact);
    }

    /// Puts it into what is told of an episode. At the end the last answer stands.
    pub(super) fn attach(&mut self, now: Millis, e: &mut Episode) {
        if e.phase == phase::CLOSED {
            e.near = self.told.remove(&e.id).unwrap_or_default();
        } else {
            e.near = self.happenings.near(now, e);
            self.told.insert(e.id, e.near.clone());
        }
    }

    /// Puts what was told into it.
    pub(super) fn fill(&self, e: &mut Episode) {
        e.near = self.told.get(&e.id).cloned().unwrap_or_default();
    }
}
