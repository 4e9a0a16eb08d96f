//! What outlives the agent: what was learnt, and the time.

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Kind};

use super::agent::Agent;
use crate::clock;
use crate::learnt::keeper::{File, Keeper};

/// How often it is asked whether the clock was compared with others.
const TIME_MS: Millis = 3_600_000;

impl Agent {
    /// Says what came back from before the start, and what did not.
    pub(super) fn tell_restored(&mut self) {
        let standing = self.pipeline.standing();
        match standing.age_ms {
            Some(age) => log::info!("learnt: {} series came back, {} s old", standing.restored, age / 1000),
            None => log::info!("learnt: nothing came back"),
        }
        let refused = standing.refused;
        if refused.damaged + refused.foreign == 0 {
            return;
        }
        let text = format!(
            "{} series came back; {} bytes were damaged, {} records are of another version: learnt anew",
            standing.restored, refused.damaged, refused.foreign
        );
        log::warn!("learnt: {text}");
        self.push(Kind::Fact, 9, &wire::Fact::new("relearning", &text));
    }

    /// An episode or maintenance has begun or ended.
    pub(super) fn note_change(&mut self) {
        self.keeper.note_change();
        self.beside.iter_mut().for_each(Keeper::note_change);
    }

    /// Keeps what was learnt, if it is time.
    pub(super) async fn keep(&mut self, now: Millis) {
        let learning = self.pipeline.standing().oldest_ms;
        for keeper in std::iter::once(&mut self.keeper).chain(&mut self.beside) {
            let Some(file) = keeper.due(now).await else { continue };
            let bytes = match file {
                File::Series => self.pipeline.save(clock::stamp(), self.boot),
                File::Device => self.pipeline.save_device(clock::stamp(), self.boot),
            };
            keeper.write(now, file, bytes, learning);
        }
    }

    /// Keeps what is known of the time, for a start with a clock that was not set.
    pub(super) fn keep_time(&mut self, now: Millis) {
        if now < self.next_time {
            return;
        }
        self.next_time = now + TIME_MS;
        if clock::is_synced() {
            self.floor.set(clock::wall_s());
        }
        if let Err(e) = self.floor.keep(&self.config.written.agent.state_dir) {
            log::debug!("the time cannot be kept: {e}");
        }
    }

    pub(super) async fn close(&mut self) {
        self.outbox.close(clock::mono_ms());
        self.handed.answer(&self.outbox);
        self.recording.close(&self.pipeline).await;
        self.keeper.settle().await;
        if self.keeper.has_room() {
            let bytes = self.pipeline.save(clock::stamp(), self.boot);
            self.keeper.write(clock::mono_ms(), File::Series, bytes, 0);
            self.keeper.settle().await;
        }
    }
}
