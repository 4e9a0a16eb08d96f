//! The flight recorder of a running agent.

use fieldmouse_core::series::{Millis, Reading};
use fieldmouse_core::wire;
use serde_json::{Value, json};

use crate::capsule::{Here, Lending, Recorder, Shelf};
use crate::clock::{self, Stamp};
use crate::config::Config;
use crate::disk::Folder;
use crate::pipeline::{Output, Pipeline};

/// The recorder, and where its capsules stand.
#[derive(Debug)]
pub(super) struct Recording {
    /// None: it is off.
    recorder: Option<Recorder>,
    shelf: Shelf,
    lending: Lending,
}

impl Recording {
    pub(super) fn new(config: &Config) -> Self {
        let keys = &config.written.capsule;
        let dir = config.written.agent.state_dir.join("capsules");
        let shelf = Shelf::open(Box::new(Folder::new(&dir)), keys.max_bytes, keys.flash_bytes_per_day);
        let lending = Lending::new(dir, keys.bytes_per_day);
        Self { recorder: keys.enabled.then(Recorder::default), shelf, lending }
    }

    /// Something has changed that readings do not show.
    pub(super) fn restart(&mut self, config: &Config) {
        let keys = &config.written.capsule;
        self.shelf.set_bounds(keys.max_bytes, keys.flash_bytes_per_day);
        self.lending.set_budget(keys.bytes_per_day);
        if !keys.enabled {
            self.recorder = None;
        }
        if keys.enabled {
            self.recorder.get_or_insert_default().restart();
        }
    }

    /// To be called before each tick of the pipeline.
    pub(super) fn before(&mut self, now: Millis, pipeline: &Pipeline) {
        if let Some(recorder) = &mut self.recorder {
            recorder.before(now, pipeline);
        }
    }

    /// Something happened, or is an example of what does.
    pub(super) fn note(&mut self, severity: u8, fact: &wire::Fact) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(severity, fact);
        }
    }

    /// To be called after it.
    pub(super) fn after(
        &mut self,
        stamp: Stamp,
        readings: &[Option<Reading>],
        pipeline: &Pipeline,
        outputs: &[Output],
        config: &Config,
    ) {
        let Some(recorder) = &mut self.recorder else { return };
        let here = Here { config, stamp };
        if let Some(job) = recorder.after(readings, pipeline, outputs, &here) {
            self.shelf.put(job);
        }
    }

    pub(super) async fn tend(&mut self, now: Millis) {
        self.shelf.tend(now).await;
    }

    /// A collector wants a piece of a capsule, in a message with so much room.
    pub(super) fn ask(&mut self, ask: wire::Ask, room: usize) {
        self.lending.ask(ask, room);
    }

    /// What to answer it, when there is nothing better to send.
    pub(super) async fn answer(&mut self, now: Millis) -> Option<Vec<u8>> {
        self.lending.answer(now, self.shelf.unfinished()).await
    }

    /// Writes what there is of a capsule, before a stop.
    pub(super) async fn close(&mut self, pipeline: &Pipeline) {
        let last = self.recorder.as_mut().and_then(|recorder| recorder.finish(pipeline));
        last.into_iter().for_each(|job| self.shelf.put(job));
        self.shelf.close(clock::mono_ms()).await;
    }

    pub(super) fn status(&self) -> Value {
        let state = &self.shelf.state;
        json!({
            "enabled": self.recorder.is_some(),
            "count": state.count,
            "bytes": state.bytes,
            "made": state.made,
            "skipped": state.skipped,
            "flash_bytes_day": state.worn,
            "sent_bytes_day": self.lending.sent(),
            "trouble": state.trouble,
        })
    }
}
