//! Who depends on whom, and how far a fault spreads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Entities by number, with the edges between them in both directions. Cycles are allowed.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) names: Vec<&'a str>,
    /// What each depends on.
    pub(super) needs: Vec<Vec<usize>>,
    /// Who depends on each.
    pub(super) serves: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// Numbers go by name, so that the order of the edges leaves no trace.
    pub(super) fn new(names: impl Iterator<Item = &'a str>, edges: &'a [(String, String)]) -> Self {
        let edges: BTreeSet<(&str, &str)> =
            edges.iter().map(|(a, b)| (a.as_str(), b.as_str())).filter(|(a, b)| a != b).collect();
        let names: BTreeSet<&str> = names.chain(edges.iter().flat_map(|(a, b)| [*a, *b])).collect();
        let number: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (*n, i)).collect();
        let mut graph = Self {
            needs: vec![Vec::new(); names.len()],
            serves: vec![Vec::new(); names.len()],
            names: names.into_iter().collect(),
        };
        for (a, b) in edges {
            graph.needs[number[a]].push(number[b]);
            graph.serves[number[b]].push(number[a]);
        }
        graph
    }

    /// The number of an entity.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.names.binary_search(&name).ok()
    }
}

/// Everybody that can be reached along `edges` from `start`, without it; on from those alone that let it `pass`.
pub(super) fn reach(start: usize, edges: &[Vec<usize>], pass: impl Fn(usize) -> bool) -> Vec<usize> {
    if edges[start].is_empty() {
        return Vec::new();
    }
    let (mut seen, mut found) = (vec![false; edges.len()], Vec::new());
    let mut next = VecDeque::from([start]);
    seen[start] = true;
    while let Some(at) = next.pop_front() {
        for &to in edges.get(at).into_iter().flatten() {
            if !std::mem::replace(&mut seen[to], true) {
                found.push(to);
                if pass(to) {
                    next.push_back(to);
                }
            }
        }
    }
    found
}
