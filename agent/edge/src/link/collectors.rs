//! Which collectors there are and what each of them has. An event is free when every collector that is there has it,
//! so that none acknowledges what another has not committed. One that lags for long is not waited for.

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::Ack;

/// More than these are not told apart.
const MOST: usize = 8;
/// One that is there and acknowledges nothing while another does is waited for so long.
const PATIENCE_MS: Millis = 600_000;

/// One collector.
#[derive(Debug)]
struct Peer {
    name: String,
    online: bool,
    /// Epoch and highest number without a gap, of each epoch it spoke of.
    acked: Vec<Ack>,
    /// When it last got further, or came.
    moved: Millis,
}

impl Peer {
    fn seq(&self, epoch: u64) -> u64 {
        self.acked.iter().find(|a| a.epoch == epoch).map_or(0, |a| a.seq)
    }
}

/// All that were heard of since the start.
#[derive(Debug, Default)]
pub(super) struct Collectors(Vec<Peer>);

impl Collectors {
    fn peer(&mut self, now: Millis, name: &str) -> Option<&mut Peer> {
        if !self.0.iter().any(|p| p.name == name) {
            if self.0.len() >= MOST {
                self.0.retain(|p| p.online);
            }
            if self.0.len() >= MOST {
                return None;
            }
            self.0.push(Peer { name: name.to_owned(), online: false, acked: Vec::new(), moved: now });
        }
        self.0.iter_mut().find(|p| p.name == name)
    }

    /// A collector came or went. True if it was not there before.
    pub(super) fn presence(&mut self, now: Millis, name: &str, online: bool) -> bool {
        let Some(peer) = self.peer(now, name) else { return false };
        let came = online && !peer.online;
        if came {
            peer.moved = now;
        }
        peer.online = online;
        came
    }

    /// Whether the one of this name is there, as far as is known.
    #[must_use]
    pub(super) fn is_online(&self, name: &str) -> bool {
        self.0.iter().any(|p| p.online && p.name == name)
    }

    /// Whether one is there, as far as is known.
    #[must_use]
    pub(super) fn online(&self) -> Option<bool> {
        (!self.0.is_empty()).then(|| self.0.iter().any(|p| p.online))
    }

    /// A collector has everything up to `ack`: what all have that are waited for. `from` is none for a collector that
    /// does not say who it is; its word is taken as it is.
    pub(super) fn acked(&mut self, now: Millis, from: Option<&str>, ack: Ack) -> Ack {
        let Some(peer) = from.and_then(|name| self.peer(now, name)) else { return ack };
        if ack.seq > peer.seq(ack.epoch) {
            peer.moved = now;
        }
        // Also when it says less than before: its database may be an older one now.
        peer.acked.retain(|a| a.epoch != ack.epoch);
        peer.acked.push(ack);
        if peer.acked.len() > MOST {
            peer.acked.remove(0);
        }
        let waited = |p: &&Peer| {
            p.online && (p.seq(ack.epoch) >= ack.seq || now.saturating_sub(p.moved) < PATIENCE_MS)
        };
        let least = self.0.iter().filter(waited).map(|p| p.seq(ack.epoch)).min();
        Ack { seq: least.unwrap_or(ack.seq).min(ack.seq), ..ack }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_have_is_free() {
        enum Is {
            Here(&'static str),
            Gone(&'static str),
            /// Who, their number, what is free then.
            Has(Option<&'static str>, u64, u64),
        }
        use Is::{Gone, Has, Here};
        const LATER: Millis = PATIENCE_MS;
        let cases: [(&str, &[(Millis, Is)]); 6] = [
            ("one alone", &[(0, Here("a")), (1, Has(Some("a"), 5, 5))]),
            ("it may acknowledge before it is announced", &[(1, Has(Some("a"), 5, 5))]),
            (
                "the slower of two decides",
                &[
                    (0, Here("a")),
                    (0, Here("b")),
                    (1, Has(Some("a"), 9, 0)),
                    (2, Has(Some("b"), 4, 4)),
                    (3, Has(Some("b"), 9, 9)),
                ],
            ),
            (
                "one that went is not waited for",
                &[(0, Here("a")), (0, Here("b")), (1, Gone("b")), (2, Has(Some("a"), 9, 9))],
            ),
            (
                "one that lags too long is not waited for",
                &[
                    (0, Here("a")),
                    (0, Here("b")),
                    (LATER - 1, Has(Some("a"), 8, 0)),
                    (LATER, Has(Some("a"), 9, 9)),
                    (LATER + 1, Has(Some("b"), 3, 3)),
                    (LATER + 2, Has(Some("a"), 10, 3)),
                ],
            ),
            ("an old one says no name", &[(0, Here("a")), (1, Has(None, 7, 7))]),
        ];
        for (name, steps) in cases {
            let mut c = Collectors::default();
            for (now, step) in steps {
                match step {
                    Here(who) => assert!(c.presence(*now, who, true), "{name}"),
                    Gone(who) => assert!(!c.presence(*now, who, false), "{name}"),
                    Has(from, seq, free) => {
                        let got = c.acked(*now, *from, Ack { epoch: 1, seq: *seq });
                        assert_eq!((got.epoch, got.seq), (1, *free), "{name}, at {now}");
                    }
                }
            }
        }
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let mut c = Collectors::default();
        for i in 0..1000 {
            c.presence(i, &format!("c-{i}"), i % 3 == 0);
        }
        assert!(c.0.len() <= MOST);
        assert_eq!(c.online(), Some(true));
    }
}
