//! Who was at work when an episode began, and what would be without him.

use std::collections::HashMap;

use fieldmouse_core::explain::culprit_unit;
use fieldmouse_core::metric::{self, Metric};
use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{Culprit, Episode, Without, phase};

use super::agent::Agent;
use crate::sources::machine::Machine;

/// What was told of open episodes. By unit, too: amounts of different things cannot be compared.
#[derive(Debug, Default)]
pub(super) struct Blamed(HashMap<(u64, &'static str), (Culprit, Option<Without>)>);

impl Blamed {
    fn told(&self, e: &Episode) -> Option<&(Culprit, Option<Without>)> {
        self.0.get(&(e.id, unit(e)?))
    }

    /// Puts it into what is told of an episode.
    pub(super) fn fill(&self, e: &mut Episode) {
        if let Some((culprit, without)) = self.told(e).cloned() {
            e.culprit = Some(culprit);
            e.without = without.or(e.without);
        }
    }
}

impl Agent {
    /// Says who was at work. Asked anew while it lasts; at the end the last answer stands.
    pub(super) fn blame(&mut self, now: Millis, e: &mut Episode) {
        if e.phase != phase::CLOSED {
            self.ask_again(now, e);
        }
        self.blamed.fill(e);
        if e.phase == phase::CLOSED {
            self.blamed.0.retain(|(id, _), _| *id != e.id);
        }
    }

    fn ask_again(&mut self, now: Millis, e: &Episode) {
        let Some(first) = e.contributors.first() else { return };
        let metric = first.key.metric();
        let onset = now.saturating_sub(e.since_ms.into());
        let Some(blame) = self.culprits.blame(&first.key, onset, now) else { return };
        let key = (e.id, culprit_unit(metric));
        // Who did most of it is at fault, not who happens to be busy at the latest look.
        let told = self.blamed.0.get(&key);
        let is_most = told.is_none_or(|(told, _)| blame.culprit.amount > told.amount);
        let is_same = told.is_some_and(|(told, _)| blame.culprit.name == told.name);
        if !is_most && !is_same {
            return;
        }
        let less = blame.beyond.and_then(|beyond| read_as(metric, beyond, &self.machine));
        let without = less.and_then(|less| self.pipeline.without_culprit(e, less));
        // Who makes no difference is not worth the words.
        let without = without.filter(|w| w.without < w.score);
        let entry = self.blamed.0.entry(key).or_insert_with(|| (blame.culprit.clone(), None));
        if is_most {
            entry.0 = blame.culprit;
        }
        entry.1 = without.or(entry.1);
    }
}

fn unit(e: &Episode) -> Option<&'static str> {
    Some(culprit_unit(e.contributors.first()?.key.metric()))
}

/// What a culprit's amount is in readings of a metric, if these measure the same.
fn read_as(metric: &Metric, amount: f32, machine: &Machine) -> Option<f32> {
    let whole = match metric.code {
        metric::CPU_BUSY | metric::CPU_MODE => f32::from(machine.cpus),
        metric::MEMORY_USED => machine.memory as f32,
        metric::DISK_IO | metric::PROCESS_CREATED => 1.0,
        _ => return None,
    };
    (whole > 0.0).then(|| amount / whole)
}
