//! What the socket asks of the agent, and what collectors do.

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::{self, Head, Kind, piece};
use serde_json::json;

use super::agent::Agent;
use super::report;
use crate::capsule;
use crate::clock;
use crate::control::{Ask, Request};
use crate::jobs::Run;
use crate::link::{self, Command, Leaf, Traffic};
use crate::sources::Told;

/// Head, item and the rest of a piece, at most.
const BESIDE: usize = 256;

impl Agent {
    /// A collector wants a piece of a capsule. Whoever may write to our topic may ask; it costs the day's bytes at most.
    pub(super) fn asked(&mut self, epoch: u64, ask: &wire::Ask) {
        if !self.delivery.knows(&ask.by) {
            log::warn!("`{}` asks for a capsule, and no collector of that name is online", ask.by);
        } else if epoch == self.outbox.epoch() {
            self.recording.ask(ask.clone(), self.delivery.max_payload().saturating_sub(BESIDE));
        } else {
            // Episodes of another outbox have the same numbers.
            self.send_piece(epoch, &capsule::refusal(ask, piece::UNKNOWN, u32::MAX));
        }
    }

    /// Sends a piece of a capsule while no event waits.
    pub(super) async fn lend(&mut self, now: Millis) {
        if self.link.up
            && self.outbox.waiting() == 0
            && let Some(body) = self.recording.answer(now).await
        {
            self.send_piece(self.outbox.epoch(), &body);
        }
    }

    fn send_piece(&mut self, epoch: u64, body: &[u8]) {
        let head = Head { node: &self.config.node, epoch };
        let payload = link::message(&head, clock::stamp(), Kind::Piece, body);
        let leaf = Leaf::Capsule;
        self.publish.push(Command::Publish { leaf, payload, retain: false, confirm: true, token: 0 });
    }

    pub(super) fn on_request(&mut self, now: Millis, request: Request, traffic: &Traffic) {
        match request.ask {
            Ask::Status => {
                // A client that went away needs no answer.
                let _gone = request.answer.send(report::status(self, now, traffic));
            }
            Ask::Series => {
                let names: Vec<_> = self.pipeline.keys().iter().map(ToString::to_string).collect();
                let _gone = request.answer.send(json!({"series": names}));
            }
            Ask::MaintenanceStart { text, span_ms, pattern } => {
                self.pipeline.start_maintenance(now, text, span_ms, pattern);
                self.recording.restart(&self.config);
                let _gone = request.answer.send(json!({"span_ms": span_ms}));
            }
            Ask::MaintenanceEnd => {
                let had = self.pipeline.end_maintenance();
                self.recording.restart(&self.config);
                let answer =
                    if had { json!({}) } else { json!({"error": "no maintenance was started by hand"}) };
                let _gone = request.answer.send(answer);
            }
            Ask::Event { kind, text, severity } => {
                let fact = wire::Fact::new(&kind, &text);
                let seq = self.tell_fact(now, &Told { severity, fact });
                self.handed.wait(&self.outbox, seq, request.answer);
            }
            Ask::Run(told) => {
                let run = Run::from(told);
                let (severity, fact) = run.fact();
                // It is judged by the source of jobs, if that is on and not behind.
                if !self.jobs.put(run, true) {
                    log::warn!("{}: is not judged, too many wait", fact.text);
                }
                let seq = self.tell_fact(now, &Told { severity, fact });
                self.handed.wait(&self.outbox, seq, request.answer);
            }
        }
    }
}
