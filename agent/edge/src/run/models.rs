//! Models that come and go in a running agent.

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
    pub(super) off: Vec<String>,
}

impl Loading {
    pub(super) fn new() -> Self {
        let (done, loaded) = mpsc::channel(1);
        Self { done, loaded, off: Vec::new() }
    }
}

impl Agent {
    /// Trying a model takes seconds, so it is done beside the loop. A file may have changed under the same name, so all
    /// are loaded anew.
    pub(super) fn load_models(&self, written: Written) {
        if written == Written::default() && self.config.written.model == written {
            return;
        }
        let done = self.loading.done.clone();
        let thread = std::thread::Builder::new().name("models".into()).stack_size(load::STACK);
        let begun = thread.spawn(move || {
            let models = load::models(&written);
            // Nobody listens any more only when the agent is stopping.
            let _stopping = done.blocking_send(Box::new(Loaded { written, models }));
        });
        if let Err(error) = begun {
            log::error!(
                "models: no thread to load them in: {error}; the old ones stay until the next reload"
            );
        }
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
