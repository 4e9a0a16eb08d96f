//! What the socket asks of the agent.

use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{self, Kind};
use serde_json::json;

use super::agent::Agent;
use super::report;
use crate::control::{Ask, Request};
use crate::link::Traffic;

impl Agent {
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
                let fact = wire::Fact { kind: cut(&kind), text: cut(&text) };
                let seq = self.push(Kind::Fact, severity, &fact);
                self.handed.wait(&self.outbox, seq, request.answer);
            }
        }
    }
}
