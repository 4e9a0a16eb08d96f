//! Models that come and go in a running agent, and those that fail.

use fieldmouse_core::series::{NoData, cut};
use fieldmouse_core::wire::{self, Kind};
use tokio::sync::mpsc;

use super::agent::Agent;
use crate::config::Models as Written;
use crate::scorer::load;
use crate::scorer::models::Models;

/// Models that were loaded beside the loop, and what they were loaded for.
pub(super) struct Loaded {
    written: Written,
    models: Models,
}

/// What is known of loading.
pub(super) struct Loading {
    done: mpsc::Sender<Box<Loaded>>,
    /// Models that were loaded beside the loop.
    pub(super) loaded: mpsc::Receiver<Box<Loaded>>,
    /// Models that were told to be off.
    off: Vec<String>,
}

impl Loading {
    pub(super) fn new() -> Self {
        let (done, loaded) = mpsc::channel(1);
        Self { done, loaded, off: Vec::new() }
    }
}

impl Agent {
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

    /// Trying a model takes seconds, so it is done beside the loop. A file may have changed under the same name, so all
    /// are loaded anew.
    pub(super) fn load_models(&self, written: Written) {
        if written == Written::default() && self.config.written.model == written {
            return;
        }
        let done = self.loading.done.clone();
        tokio::task::spawn_blocking(move || {
            let models = load::models(&written);
            // Nobody listens any more only when the agent is stopping.
            let _stopping = done.blocking_send(Box::new(Loaded { written, models }));
        });
    }

    /// Goes on with models that were loaded.
    pub(super) fn adopt_models(&mut self, loaded: Loaded) {
        self.config.written.model = loaded.written;
        self.pipeline.set_models(loaded.models);
        let models = self.pipeline.models();
        self.loading.off.retain(|off| models.all().any(|own| own.name == *off));
        for own in self.pipeline.models().all() {
            log::info!("model {}: {}", own.name, own.why_off().unwrap_or("works"));
        }
        self.recording.restart(&self.config);
        self.be_born();
    }
}
