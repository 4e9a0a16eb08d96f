//! What is at fault for some time, and told as such: sources and models.

use fieldmouse_core::series::{NoData, cut};
use fieldmouse_core::wire::{self, Kind};

use super::agent::Agent;
use crate::sampler::Health;

/// A source's fault is told when it has lasted so many ticks, and so is its end.
const TROUBLE_TICKS: u8 = 5;

impl Agent {
    /// Tells which sources are at fault and which are not any more.
    pub(super) fn tell_troubled_sources(&mut self) {
        let mut told = Vec::new();
        for (name, health) in self.sampler.health() {
            let (times, is_told) = self.troubles.entry(name).or_default();
            let is_bad = *health != Health::Good;
            *times = if is_bad == *is_told { 0 } else { times.saturating_add(1) };
            if *times < TROUBLE_TICKS {
                continue;
            }
            (*times, *is_told) = (0, is_bad);
            let (why, text) = match health {
                Health::Good => (0, "answers again".to_owned()),
                Health::Hung => (NoData::Timeout as u8, "does not answer before its deadline".to_owned()),
                Health::Failed(error) => (error.why as u8, error.to_string()),
            };
            told.push(wire::Trouble {
                source: cut(name),
                series: None,
                verdict: u8::from(is_bad),
                why,
                text: cut(&text),
            });
        }
        for trouble in told {
            log::warn!("source {}: {}", trouble.source, trouble.text);
            self.push(Kind::Trouble, if trouble.verdict == 0 { 9 } else { 13 }, &trouble);
        }
    }

    /// Tells which models are off and which are not any more.
    pub(super) fn tell_failed_models(&mut self) {
        let mut told = Vec::new();
        for own in self.pipeline.models().all() {
            let was_off = self.loading.off.contains(&own.name);
            if own.why_off().is_some() != was_off {
                told.push((own.name.clone(), own.why_off().map(ToOwned::to_owned)));
            }
        }
        for (name, why) in told {
            let text = why.as_deref().unwrap_or("works again");
            log::warn!("model {name}: {text}");
            self.loading.off.retain(|off| *off != name);
            let trouble = wire::Trouble {
                source: cut("model"),
                series: None,
                verdict: u8::from(why.is_some()),
                why: if why.is_some() { NoData::Failed as u8 } else { 0 },
                text: cut(&format!("{name}: {text}")),
            };
            self.push(Kind::Trouble, if why.is_some() { 13 } else { 9 }, &trouble);
            self.loading.off.extend(why.map(|_| name));
        }
    }
}
