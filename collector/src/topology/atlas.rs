//! Everything that was ever told of the fleet's shape, and the graph of any moment of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::edge::{Edge, Origin};
use super::entity::{Name, device_of, site_of};
use super::file::Declared;
use super::graph::{Known, Topology};
pub use super::learn::Heard;
use crate::cluster::Sites;

/// Calls that a device told of for the last time a day before it was last heard are no longer made. Its labels are told
/// whole each time, so what they leave out is gone at once.
const CALLS_LAST: u64 = 24 * 3_600_000;
/// How exactly it is kept when an edge was last told of.
const HOUR: u64 = 3_600_000;
/// A service that is called on one device and runs on no more than so many others of its site runs there.
const SERVED_BY: usize = 8;
/// Notes that are kept of what was told and makes no sense.
const NOTES: usize = 100;

/// Why an edit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It names no entity.
    #[error("`{0}` names no entity: write site/node, site/node#service=name or a single name")]
    Name(String),
    /// From an entity to itself.
    #[error("`{0}` cannot depend on itself")]
    Itself(String),
    /// It was said already.
    #[error("`{0}` depends on `{1}` already, as somebody said")]
    Already(String, String),
    /// There is no such edit.
    #[error("nobody said that `{0}` depends on `{1}`: only what people said can be taken back")]
    Nothing(String, String),
}

/// All that is known of the fleet's shape, over time.
#[derive(Debug, Default)]
pub struct Atlas {
    declared: Declared,
    devices: BTreeMap<String, Heard>,
    /// Lives of edges by who tells of them: a device, the file (an empty name) or people (`@`). Ends stay.
    edges: BTreeMap<String, Vec<Edge>>,
    /// What was told and makes no sense, by who told it.
    notes: BTreeMap<String, Vec<String>>,
    present: Option<Arc<Topology>>,
}

const FILE: &str = "";
const PEOPLE: &str = "@";

impl Atlas {
    /// What is declared, and the edges that were kept.
    #[must_use]
    pub fn new(declared: Declared, kept: impl IntoIterator<Item = Edge>) -> Self {
        let mut edges: BTreeMap<String, Vec<Edge>> = BTreeMap::new();
        for edge in kept {
            let Some(speaker) = speaker(&edge) else { continue };
            edges.entry(speaker.to_owned()).or_default().push(edge);
        }
        Self { declared, edges, ..Self::default() }
    }

    /// What is declared.
    #[must_use]
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// A device was heard of. Returns the edges whose records are to be kept: new, ended, or told of again after an hour.
    pub fn hear(&mut self, device: Heard) -> Vec<Edge> {
        let name = device.name();
        if Name::of(&name).is_none() {
            return Vec::new();
        }
        let (told, notes) = device.depends();
        if notes.is_empty() {
            self.notes.remove(&name);
        } else {
            self.notes.insert(name.clone(), notes);
        }
        let edges = self.edges.entry(name.clone()).or_default();
        let changed = hear(edges, told, device.seen_at, |_| true);
        if edges.is_empty() {
            self.edges.remove(&name);
        }
        let same = |was: &Heard| was.labels == device.labels && was.parts == device.parts;
        let lives = changed.iter().any(|e| e.gone.is_some() || e.first_seen == e.last_seen);
        if lives || !self.devices.get(&name).is_some_and(same) {
            self.present = None;
        }
        self.devices.insert(name, device);
        changed
    }

    /// What the declared file says of the devices of these sites that are known, at a moment. Returns the edges whose
    /// records are to be kept. Of other sites whoever looks after them knows more.
    pub fn declare(&mut self, now_ms: u64, sites: &Sites) -> Vec<Edge> {
        let (told, notes) = self.declared.edges(&self.names());
        // What has no site, as a service, speaks through those that it depends on.
        let ours = |from: &str, to: &str| sites.holds(site_of(if from.contains('/') { from } else { to }));
        let told = told.into_iter().filter(|(from, to)| ours(from, to));
        let told = told.map(|(from, to)| (from, to, Origin::Declared)).collect();
        self.notes.insert(FILE.to_owned(), notes);
        let edges = self.edges.entry(FILE.to_owned()).or_default();
        let changed = hear(edges, told, now_ms, |edge| ours(&edge.from, &edge.to));
        if !changed.is_empty() {
            self.present = None;
        }
        changed
    }

    /// These edges are kept, whoever keeps them: a person at another collector, or what holds another site. Returns those
    /// that begin or end by it.
    pub fn learn(&mut self, kept: impl IntoIterator<Item = Edge>) -> Vec<Edge> {
        let mut news = Vec::new();
        for edge in kept {
            let Some(speaker) = speaker(&edge) else { continue };
            let edges = self.edges.entry(speaker.to_owned()).or_default();
            let same = |e: &&mut Edge| {
                (&e.from, &e.to, e.origin, e.first_seen)
                    == (&edge.from, &edge.to, edge.origin, edge.first_seen)
            };
            match edges.iter_mut().find(same) {
                // What ended does not come back: it would begin anew.
                Some(known) if known.gone.is_some() => continue,
                Some(known) if edge.gone.is_none() => {
                    known.last_seen = known.last_seen.max(edge.last_seen);
                    continue;
                }
                Some(known) => *known = edge.clone(),
                None => edges.push(edge.clone()),
            }
            self.present = None;
            news.push(edge);
        }
        news
    }

    /// Somebody says that one depends on the other ([`Origin::Edited`]), or that it does not ([`Origin::Denied`]).
    ///
    /// # Errors
    /// If it cannot be, or was said before.
    pub fn say(
        &mut self,
        from: &str,
        to: &str,
        denied: bool,
        by: &str,
        now_ms: u64,
    ) -> Result<Edge, Refused> {
        for name in [from, to] {
            if Name::of(name).is_none() {
                return Err(Refused::Name(name.chars().take(80).collect()));
            }
        }
        if from == to {
            return Err(Refused::Itself(from.to_owned()));
        }
        let origin = if denied { Origin::Denied } else { Origin::Edited };
        let edges = self.edges.entry(PEOPLE.to_owned()).or_default();
        if find(edges, from, to, &[origin]).is_some() {
            return Err(Refused::Already(from.to_owned(), to.to_owned()));
        }
        let edge = Edge { by: Some(by.to_owned()), ..Edge::new(from, to, origin, now_ms) };
        edges.push(edge.clone());
        self.present = None;
        Ok(edge)
    }

    /// Somebody takes back what people said of these two. Returns the ended edges.
    ///
    /// # Errors
    /// If nobody said anything.
    pub fn take_back(&mut self, from: &str, to: &str, by: &str, now_ms: u64) -> Result<Vec<Edge>, Refused> {
        let edges = self.edges.entry(PEOPLE.to_owned()).or_default();
        let mut ended = Vec::new();
        while let Some(edge) = find(edges, from, to, &[Origin::Edited, Origin::Denied]) {
            edge.gone = Some(now_ms.max(edge.first_seen));
            edge.gone_by = Some(by.to_owned());
            ended.push(edge.clone());
        }
        if ended.is_empty() {
            let clip = |text: &str| text.chars().take(80).collect();
            return Err(Refused::Nothing(clip(from), clip(to)));
        }
        self.present = None;
        Ok(ended)
    }

    /// All that people ever said.
    #[must_use]
    pub fn said(&self) -> Vec<Edge> {
        self.edges.get(PEOPLE).cloned().unwrap_or_default()
    }

    /// Makes it that people said this and nothing else, as when what they said last was not kept.
    pub fn unsay(&mut self, said: Vec<Edge>) {
        self.edges.insert(PEOPLE.to_owned(), said);
        self.present = None;
    }

    /// Every life of every edge, those of the file first.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.values().flatten()
    }

    /// Forgets edges that ended before a moment.
    pub fn forget(&mut self, before_ms: u64) {
        self.edges.retain(|_, edges| {
            edges.retain(|e| e.gone.is_none_or(|gone| gone >= before_ms));
            !edges.is_empty()
        });
    }

    /// What was told and makes no sense, and who depends on himself: a sentence each.
    #[must_use]
    pub fn notes(&mut self) -> Vec<String> {
        let cycles = self.present();
        let cycles = cycles.cycles().into_iter().map(|knot| {
            let shown: Vec<&str> = knot.iter().copied().take(8).collect();
            let more = knot.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("these depend on each other in a circle: {}{more}", shown.join(", "))
        });
        let told: Vec<String> = cycles.take(NOTES).collect();
        told.into_iter().chain(self.notes.values().flatten().cloned()).take(NOTES).collect()
    }

    /// The graph of now.
    #[must_use]
    pub fn present(&mut self) -> Arc<Topology> {
        if let Some(present) = &self.present {
            return Arc::clone(present);
        }
        let present = Arc::new(self.draw(|e| e.gone.is_none(), |_| true));
        self.present = Some(Arc::clone(&present));
        present
    }

    /// The graph of a moment: the edges that held then, and the devices that had been heard of.
    #[must_use]
    pub fn as_of(&self, at_ms: u64) -> Topology {
        self.draw(|e| e.held(at_ms), |device| device.first_seen <= at_ms)
    }

    fn draw(&self, held: impl Fn(&Edge) -> bool, heard: impl Fn(&Heard) -> bool) -> Topology {
        let holding: Vec<&Edge> = self.edges().filter(|e| held(e)).collect();
        let denied: BTreeSet<(&str, &str)> =
            holding.iter().filter(|e| e.origin == Origin::Denied).map(|e| (&*e.from, &*e.to)).collect();
        let mut drawn: Vec<(&str, &str)> = holding
            .iter()
            .filter(|e| e.origin != Origin::Denied)
            .map(|e| (&*e.from, &*e.to))
            .filter(|pair| !denied.contains(pair))
            .collect();
        let devices: Vec<(&String, &Heard)> = self.devices.iter().filter(|(_, d)| heard(d)).collect();
        drawn.extend(elsewhere(&devices, &holding).into_iter().filter(|pair| !denied.contains(pair)));

        let mut entities: BTreeMap<&str, Known> = BTreeMap::new();
        for (name, device) in &devices {
            entities.entry(name).or_default().labels = device.labels.clone();
            entities.extend(device.parts.iter().map(|part| (part.as_str(), Known::default())));
        }
        entities.values_mut().for_each(|known| known.reported = true);
        for name in self.declared.names().chain(drawn.iter().flat_map(|(from, to)| [*from, *to])) {
            entities.entry(name).or_default();
        }
        for (name, known) in &mut entities {
            let own = known.labels.get("importance").and_then(|text| text.parse().ok());
            let (declared, labels) = self.declared.of(name);
            known.importance = declared.or(own.filter(|n| *n <= super::graph::MOST_IMPORTANT));
            known.labels.extend(labels);
        }
        Topology::new(entities, drawn)
    }

    /// Every name that is known, for patterns to match.
    fn names(&self) -> BTreeSet<&str> {
        let mut names: BTreeSet<&str> = self.declared.names().filter(|n| !n.contains('/')).collect();
        for (name, device) in &self.devices {
            names.insert(name);
            names.insert(site_of(name));
            names.extend(device.parts.iter().map(String::as_str));
        }
        names
    }
}

/// A service that a device calls, and has no series of, runs on those devices of its site that do.
fn elsewhere<'a>(devices: &[(&'a String, &'a Heard)], edges: &[&'a Edge]) -> Vec<(&'a str, &'a str)> {
    let mut served: HashMap<(&str, &str), Vec<&str>> = HashMap::new();
    let key = |part: &'a str| Some((site_of(part), part.split_once('#')?.1));
    let parts = devices.iter().flat_map(|(_, d)| d.parts.iter().map(String::as_str));
    let calls: Vec<&Edge> = edges.iter().copied().filter(|e| e.origin == Origin::Calls).collect();
    let own: BTreeSet<&str> = parts.chain(calls.iter().map(|e| &*e.from)).collect();
    for part in &own {
        if let Some(key) = key(part) {
            served.entry(key).or_default().push(part);
        }
    }
    let called: BTreeSet<&str> = calls.iter().map(|e| &*e.to).filter(|to| !own.contains(to)).collect();
    let there = |part: &'a str| served.get(&key(part)?).filter(|on| on.len() <= SERVED_BY);
    called.iter().flat_map(|part| there(part).into_iter().flatten().map(|on| (*part, *on))).collect()
}

/// The life of these origins that has not ended.
fn find<'e>(edges: &'e mut [Edge], from: &str, to: &str, of: &[Origin]) -> Option<&'e mut Edge> {
    edges.iter_mut().find(|e| e.gone.is_none() && *e.from == *from && *e.to == *to && of.contains(&e.origin))
}

/// Who tells of an edge; none if its names are none.
fn speaker(edge: &Edge) -> Option<&str> {
    Name::of(&edge.from).and(Name::of(&edge.to))?;
    Some(match edge.origin {
        Origin::Declared => FILE,
        Origin::Edited | Origin::Denied => PEOPLE,
        Origin::Label | Origin::Calls => device_of(&edge.from).unwrap_or(&edge.from),
    })
}

/// Enters what somebody tells at a moment of all those of his edges that he speaks for; returns what is to be kept.
fn hear(
    edges: &mut Vec<Edge>,
    mut told: BTreeSet<(String, String, Origin)>,
    now_ms: u64,
    speaks_for: impl Fn(&Edge) -> bool,
) -> Vec<Edge> {
    let mut changed = Vec::new();
    for edge in edges.iter_mut().filter(|e| e.gone.is_none() && speaks_for(e)) {
        if told.remove(&(edge.from.to_string(), edge.to.to_string(), edge.origin)) {
            if now_ms >= edge.last_seen + HOUR {
                edge.last_seen = now_ms;
                changed.push(edge.clone());
            }
            continue;
        }
        let lasts = if edge.origin == Origin::Calls { CALLS_LAST } else { 0 };
        if now_ms >= edge.last_seen.saturating_add(lasts) {
            // Calls ended when they were last seen; what was taken out of a list ended just now.
            edge.gone = Some(if lasts > 0 { edge.last_seen + HOUR } else { now_ms });
            changed.push(edge.clone());
        }
    }
    let new = told.into_iter().map(|(from, to, origin)| Edge::new(&from, &to, origin, now_ms));
    let at = edges.len();
    edges.extend(new);
    changed.extend_from_slice(&edges[at..]);
    changed
}
