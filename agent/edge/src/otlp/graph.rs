//! The service graph: who calls whom.
//!
//! A call is seen twice, by the one who calls and by the one who answers, in exports that come in any order. Each half
//! waits in a table of fixed size for the other. A call that nobody answered within half a minute went to something
//! that exports no spans; its attributes may say what.

use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{EDGES, Edge};

use crate::logs::shown::fit;

/// Halves of calls that wait.
const WAITING: usize = 1024;
/// Services and what they call.
const NAMES: usize = 64;
/// So long an answer may take to be exported.
const PATIENCE_MS: Millis = 30_000;
const SWEEP_MS: Millis = 10_000;

/// The number of a name.
pub(super) type Name = u8;

#[derive(Debug, Clone, Copy, Default)]
struct Half {
    /// 0: none.
    call: u64,
    who: Name,
    /// What is called, as the caller says.
    peer: Option<Name>,
    at: Millis,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    names: Vec<Box<str>>,
    edges: Vec<(Name, Name)>,
    calls: Vec<Half>,
    answers: Vec<Half>,
    swept: Millis,
    is_new: bool,
}

impl Graph {
    /// The number of a name; none if there are too many.
    pub(super) fn name(&mut self, name: &str) -> Option<Name> {
        let name = fit(name, 32);
        let at = self.names.iter().position(|known| **known == *name).or_else(|| {
            (self.names.len() < NAMES).then(|| {
                self.names.push(name.into());
                self.names.len() - 1
            })
        });
        at.and_then(|at| Name::try_from(at).ok())
    }

    /// `who` calls.
    pub(super) fn calls(&mut self, who: Name, call: u64, peer: Option<Name>, now: Millis) {
        match take(&mut self.answers, call) {
            Some(answer) => self.edge(who, answer.who),
            None => {
                let gone = put(&mut self.calls, Half { call, who, peer, at: now });
                self.ends(gone);
            }
        }
    }

    /// `who` answers.
    pub(super) fn answers(&mut self, who: Name, call: u64, now: Millis) {
        // It may be answered more than once, as messages are: it stays.
        match find(&mut self.calls, call) {
            Some(half) => {
                half.peer = None;
                let caller = half.who;
                self.edge(caller, who);
            }
            None => {
                put(&mut self.answers, Half { call, who, peer: None, at: now });
            }
        }
    }

    /// The edges, if there are others than at the last time.
    pub(super) fn news(&mut self, now: Millis) -> Option<Vec<Edge>> {
        if now.saturating_sub(self.swept) >= SWEEP_MS {
            self.swept = now;
            let is_over = |half: &Half| half.peer.is_some() && now.saturating_sub(half.at) >= PATIENCE_MS;
            let over: Vec<usize> = (0..self.calls.len()).filter(|i| is_over(&self.calls[*i])).collect();
            for at in over {
                let half = std::mem::take(&mut self.calls[at]);
                self.ends(half);
            }
        }
        let name = |at: Name| cut(self.names.get(usize::from(at)).map_or("", |name| name));
        std::mem::take(&mut self.is_new)
            .then(|| self.edges.iter().map(|(from, to)| Edge { from: name(*from), to: name(*to) }).collect())
    }

    /// A call that nobody answers any more.
    fn ends(&mut self, half: Half) {
        if let Some(peer) = half.peer {
            self.edge(half.who, peer);
        }
    }

    fn edge(&mut self, from: Name, to: Name) {
        if from != to && self.edges.len() < EDGES && !self.edges.contains(&(from, to)) {
            self.edges.push((from, to));
            self.is_new = true;
        }
    }
}

/// The place of a call in a table, which has none before the first.
fn place(table: &mut Vec<Half>, call: u64) -> &mut Half {
    table.resize(WAITING, Half::default());
    #[expect(clippy::cast_possible_truncation, reason = "any bits of it will do")]
    let at = (call ^ call >> 32) as usize % WAITING;
    &mut table[at]
}

fn find(table: &mut Vec<Half>, call: u64) -> Option<&mut Half> {
    Some(place(table, call)).filter(|half| half.call == call && call != 0)
}

fn take(table: &mut Vec<Half>, call: u64) -> Option<Half> {
    find(table, call).map(std::mem::take)
}

/// Returns what had to go.
fn put(table: &mut Vec<Half>, half: Half) -> Half {
    std::mem::replace(place(table, half.call), half)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `web>42` calls, `42>shop` answers, `web>42>db` calls what is said to be `db`; returns the edges after so long.
    fn check(said: &[&str], after_ms: Millis, wanted: &[&str]) {
        let mut graph = Graph::default();
        for word in said {
            let parts: Vec<&str> = word.split('>').collect();
            let number = |at: usize| parts[at].parse::<u64>();
            match (number(0), number(1)) {
                (Ok(call), _) => {
                    let who = graph.name(parts[1]).unwrap();
                    graph.answers(who, call, 0);
                }
                (_, Ok(call)) => {
                    let who = graph.name(parts[0]).unwrap();
                    let peer = parts.get(2).and_then(|peer| graph.name(peer));
                    graph.calls(who, call, peer, 0);
                }
                _ => panic!("{word}"),
            }
        }
        let edges = graph.news(after_ms).unwrap_or_default();
        let edges: Vec<String> = edges.iter().map(|e| format!("{}>{}", e.from, e.to)).collect();
        assert_eq!(edges, wanted, "{said:?}");
    }

    #[test]
    fn both_halves_make_an_edge_in_any_order() {
        check(&["web>1", "1>shop"], 0, &["web>shop"]);
        check(&["1>shop", "web>1"], 0, &["web>shop"]);
        check(&["web>1", "2>shop"], 0, &[]);
        check(&["web>1", "1>web"], 0, &[]);
        check(&["web>1", "1>shop", "web>2", "2>shop"], 0, &["web>shop"]);
        check(&["web>1", "1>shop", "1>mail"], 0, &["web>shop", "web>mail"]);
    }

    #[test]
    fn what_exports_nothing_is_known_by_what_is_said_of_it() {
        check(&["shop>7>db"], 29_000, &[]);
        check(&["shop>7>db"], 30_000, &["shop>db"]);
        check(&["shop>7>10-9-8-7", "7>pay"], 30_000, &["shop>pay"]);
        // Another call takes its place.
        check(&["shop>7>db", "shop>1031>queue"], 0, &["shop>db"]);
    }

    #[test]
    fn ten_thousand_services_are_bounded() {
        let mut graph = Graph::default();
        for i in 1..10_000_u64 {
            if let (Some(a), Some(b)) = (graph.name(&format!("s{i}")), graph.name(&format!("s{}", i + 1))) {
                graph.calls(a, i, Some(b), i);
                graph.answers(b, i, i);
            }
        }
        assert_eq!((graph.names.len(), graph.edges.len()), (NAMES, NAMES - 1));
        assert_eq!((graph.calls.len(), graph.answers.len()), (WAITING, WAITING));
        assert_eq!(graph.news(0).map(|edges| edges.len()), Some(NAMES - 1));
        assert_eq!(graph.news(0), None, "nothing new");
    }
}
