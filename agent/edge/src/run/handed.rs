//! Events that came through the socket, and those who wait to hear that they are safe.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::outbox::{Outbox, Standing};

/// Who waits, in order.
#[derive(Default)]
pub(super) struct Handed(VecDeque<(u64, u64, oneshot::Sender<Value>)>);

impl Handed {
    /// The event that was pushed last, as `seq`, is to be answered when it is safe.
    pub(super) fn wait(&mut self, outbox: &Outbox, seq: u64, answer: oneshot::Sender<Value>) {
        self.0.push_back((outbox.epoch(), seq, answer));
    }

    /// Answers those whose events are not pending any more. To be called after each sync of the outbox.
    pub(super) fn answer(&mut self, outbox: &Outbox) {
        while let Some((epoch, seq, _)) = self.0.front() {
            let reply = match outbox.standing(*epoch, *seq) {
                Standing::Pending => break,
                Standing::Durable => json!({"epoch": epoch.to_string(), "seq": seq, "durable": true}),
                Standing::Volatile => json!({"durable": false}),
                Standing::Lost => {
                    json!({"error": "the outbox is full of more severe events; counted as lost"})
                }
            };
            let Some((.., answer)) = self.0.pop_front() else { break };
            // A client that went away needs no answer.
            let _gone = answer.send(reply);
        }
    }
}
