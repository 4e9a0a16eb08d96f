//! The graph of one moment, and what can be asked of it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock};

use petgraph::Direction::{self, Incoming, Outgoing};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::entity::{Name, device_of, site_of};

/// How much depends on an entity that nobody has weighed, 0 to 11.
pub const USUAL_IMPORTANCE: u8 = 5;
/// The greatest importance: such a KPI decides alone.
pub const MOST_IMPORTANT: u8 = 11;
/// A chain of dependencies is followed no further.
const HOPS: u8 = 16;
/// Labels that say what a device is there for; the first that it has.
const CLASSES: [&str; 4] = ["role", "class", "type", "model"];

/// What is known of one entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// 0 to 11, if somebody weighed it.
    pub importance: Option<u8>,
    /// What its device tells of itself, and what the declared file adds.
    pub labels: BTreeMap<String, String>,
    /// Whether anybody but the declared file or an edge named it.
    pub reported: bool,
}

#[derive(Debug)]
struct Vertex {
    name: Arc<str>,
    known: Known,
}

/// Who depends on whom at one moment.
#[derive(Debug, Default)]
pub struct Topology {
    graph: DiGraph<Vertex, ()>,
    index: HashMap<Arc<str>, NodeIndex>,
    /// Entities that are there for the same.
    peers: HashMap<String, Vec<NodeIndex>>,
    /// The devices and parts of each site.
    sites: BTreeMap<String, Vec<NodeIndex>>,
    /// How many devices of each site have told of themselves.
    devices: HashMap<String, usize>,
    /// How many depend on each, once somebody asked: of an uplink that is a walk through all that is behind it.
    dependents: Vec<OnceLock<usize>>,
    /// Sites that depend on one another, those that depend on no other left out.
    domains: HashMap<String, Arc<Vec<String>>>,
}

impl Topology {
    /// The graph of these entities and edges. Names that are none, and edges from an entity to itself, are left out;
    /// entities that only edges name are there, too.
    #[must_use]
    pub fn new<'a>(
        entities: impl IntoIterator<Item = (&'a str, Known)>,
        edges: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut this = Self::default();
        for (name, known) in entities {
            if let Some(at) = this.enter(name) {
                this.graph[at].known = known;
            }
        }
        let mut drawn = HashSet::new();
        for (from, to) in edges {
            let (Some(from), Some(to)) = (this.enter(from), this.enter(to)) else { continue };
            if from != to && drawn.insert((from, to)) {
                this.graph.add_edge(from, to, ());
            }
        }
        let parts: Vec<(NodeIndex, Arc<str>)> = this
            .graph
            .node_indices()
            .filter(|at| this.graph[*at].name.contains('#'))
            .map(|at| (at, this.graph[at].name.clone()))
            .collect();
        for (at, name) in parts {
            let Some(host) = device_of(&name).and_then(|device| this.enter(device)) else { continue };
            if drawn.insert((at, host)) {
                this.graph.add_edge(at, host, ());
            }
        }
        let mut peers: HashMap<String, Vec<NodeIndex>> = HashMap::new();
        for at in this.graph.node_indices() {
            if let Some(class) = this.class(at) {
                peers.entry(class).or_default().push(at);
            }
        }
        this.peers = peers;
        for at in this.graph.node_indices() {
            let name = &this.graph[at].name;
            if name.contains('/') {
                this.sites.entry(site_of(name).to_owned()).or_default().push(at);
                if this.graph[at].known.reported && !name.contains('#') {
                    *this.devices.entry(site_of(name).to_owned()).or_default() += 1;
                }
            }
        }
        this.dependents.resize_with(this.graph.node_count(), OnceLock::new);
        this.domains = super::depends::domains(&this);
        this
    }

    fn enter(&mut self, name: &str) -> Option<NodeIndex> {
        if let Some(at) = self.index.get(name) {
            return Some(*at);
        }
        Name::of(name)?;
        let name: Arc<str> = name.into();
        let at = self.graph.add_node(Vertex { name: Arc::clone(&name), known: Known::default() });
        self.index.insert(name, at);
        Some(at)
    }

    /// Where to begin for a name, and how many hops that is away: a part nobody has named is at least on its device.
    fn find(&self, name: &str) -> Option<(NodeIndex, u8)> {
        match self.index.get(name) {
            Some(at) => Some((*at, 0)),
            None => device_of(name).and_then(|device| self.index.get(device)).map(|at| (*at, 1)),
        }
    }

    /// Everything that can be reached, nearest first, each once, with the number of hops. Time and space are those of
    /// what is reached.
    fn reach(&self, name: &str, direction: Direction) -> Reach<'_> {
        let (mut waiting, mut seen) = (VecDeque::new(), HashSet::new());
        // Of a part that nobody has named its device is reached first, and nothing depends on it.
        if let Some((at, hops)) = self.find(name).filter(|(_, hops)| *hops == 0 || direction == Outgoing) {
            seen.insert(at);
            waiting.push_back((at, hops));
        }
        Reach { topology: self, direction, waiting, seen }
    }

    /// What the entity depends on, at one remove or many, nearest first, with the number of hops.
    pub fn dependencies<'t>(&'t self, entity: &str) -> impl Iterator<Item = (&'t str, u8)> + use<'t> {
        self.reach(entity, Outgoing)
    }

    /// What depends on the entity, at one remove or many, nearest first, with the number of hops.
    pub fn dependents<'t>(&'t self, entity: &str) -> impl Iterator<Item = (&'t str, u8)> + use<'t> {
        self.reach(entity, Incoming)
    }

    /// What the entity depends on at one remove.
    pub fn needs<'t>(&'t self, entity: &str) -> impl Iterator<Item = &'t str> + use<'t> {
        let found = self.find(entity);
        let host = found.filter(|(_, hops)| *hops == 1).map(|(at, _)| at);
        let own = found.filter(|(_, hops)| *hops == 0).map(|(at, _)| at);
        let direct = own.into_iter().flat_map(|at| self.graph.neighbors_directed(at, Outgoing));
        host.into_iter().chain(direct).map(|at| &*self.graph[at].name)
    }

    /// What is said of the number of those that depend on the entity, counted once.
    pub(super) fn counted(&self, entity: &str, count: impl FnOnce() -> usize) -> usize {
        let known = self.index.get(entity).and_then(|at| self.dependents.get(at.index()));
        known.map_or(0, |known| *known.get_or_init(count))
    }

    /// How many devices of a site have told of themselves.
    pub(super) fn devices_of(&self, site: &str) -> usize {
        self.devices.get(site).copied().unwrap_or(0)
    }

    /// How many entities depend on it, at one remove or many.
    #[must_use]
    pub fn dependents_count(&self, entity: &str) -> usize {
        self.dependents(entity).count()
    }

    /// How many entities depend on any of these, each counted once, and none of these themselves.
    #[must_use]
    pub fn dependents_of_all<'a>(&self, entities: impl IntoIterator<Item = &'a str>) -> usize {
        let mut reach =
            Reach { topology: self, direction: Incoming, waiting: VecDeque::new(), seen: HashSet::new() };
        for at in entities.into_iter().filter_map(|name| self.index.get(name)) {
            if reach.seen.insert(*at) {
                reach.waiting.push_back((*at, 0));
            }
        }
        let started = reach.seen.len();
        reach.by_ref().for_each(drop);
        reach.seen.len() - started
    }

    /// What all of these depend on, or are themselves, with the hops of the farthest; nearest first, then by name.
    #[must_use]
    pub fn common<'t>(&'t self, entities: &[&str]) -> Vec<(&'t str, u8)> {
        let mut shared: Option<HashMap<&str, u8>> = None;
        for entity in entities {
            let own = self.find(entity).filter(|(_, hops)| *hops == 0);
            let own = own.map(|(at, _)| (&*self.graph[at].name, 0));
            let reached: HashMap<&str, u8> = own.into_iter().chain(self.dependencies(entity)).collect();
            shared = Some(match shared {
                None => reached,
                Some(before) => before
                    .into_iter()
                    .filter_map(|(name, hops)| Some((name, hops.max(*reached.get(name)?))))
                    .collect(),
            });
        }
        let mut found: Vec<_> = shared.unwrap_or_default().into_iter().collect();
        found.sort_by_key(|(name, hops)| (*hops, *name));
        found
    }

    /// The shortest chain from one entity to another that it depends on, both ends included.
    #[must_use]
    pub fn path<'t>(&'t self, from: &str, to: &str) -> Option<Vec<&'t str>> {
        let ((start, _), goal) = (self.find(from)?, *self.index.get(to)?);
        let mut came: HashMap<NodeIndex, NodeIndex> = HashMap::from([(start, start)]);
        let mut waiting = VecDeque::from([(start, 0)]);
        while let Some((at, hops)) = waiting.pop_front() {
            if at == goal {
                let mut chain = vec![at];
                let mut last = at;
                while let Some(before) = came.get(&last).filter(|before| **before != last) {
                    chain.push(*before);
                    last = *before;
                }
                return Some(chain.into_iter().rev().map(|at| &*self.graph[at].name).collect());
            }
            if hops < HOPS {
                for next in self.graph.neighbors_directed(at, Outgoing) {
                    came.entry(next).or_insert_with(|| {
                        waiting.push_back((next, hops + 1));
                        at
                    });
                }
            }
        }
        None
    }

    /// Those that are there for the same at the same site, the entity itself left out: what a label says (`role`,
    /// `class`, `type`, `model`), else who depends on the same, else whose names differ in numbers alone. Parts of one
    /// kind and name on such devices are siblings, too.
    pub fn siblings<'t>(&'t self, entity: &str) -> impl Iterator<Item = &'t str> + use<'t> {
        let own = self.index.get(entity).copied();
        let peers = own.and_then(|at| self.class(at)).and_then(|class| self.peers.get(&class));
        peers.into_iter().flatten().filter(move |at| Some(**at) != own).map(|at| &*self.graph[*at].name)
    }

    /// Names of the services that run on a device.
    pub fn services<'t>(&'t self, device: &str) -> impl Iterator<Item = &'t str> + use<'t> {
        let at = self.index.get(device).copied();
        let own = at.map(|at| self.graph[at].name.len()).unwrap_or_default();
        let on_it = at.into_iter().flat_map(|at| self.graph.neighbors_directed(at, Incoming));
        on_it.filter_map(move |part| self.graph[part].name.get(own..)?.strip_prefix("#service="))
    }

    /// Whether the two are there for the same.
    #[must_use]
    pub fn are_siblings(&self, one: &str, other: &str) -> bool {
        let class = |name: &str| self.index.get(name).and_then(|at| self.class(*at));
        one != other && class(one).is_some_and(|of| class(other) == Some(of))
    }

    /// What two siblings agree in.
    fn class(&self, at: NodeIndex) -> Option<String> {
        let vertex = &self.graph[at];
        let name = Name::of(&vertex.name)?;
        let node = name.node?;
        let (device, part) = match name.part {
            Some(part) => (*self.index.get(device_of(&vertex.name)?)?, part),
            None => (at, ""),
        };
        let labels = &self.graph[device].known.labels;
        let class = CLASSES.iter().find_map(|key| Some(format!("{key}={}", labels.get(*key)?)));
        let class = class.or_else(|| {
            let mut on: Vec<&str> =
                self.graph.neighbors_directed(device, Outgoing).map(|to| &*self.graph[to].name).collect();
            on.sort_unstable();
            (!on.is_empty()).then(|| on.join(" "))
        });
        let stem = || node.replace(|c: char| c.is_ascii_digit(), "");
        Some(format!("{}#{part} {}", name.site, class.unwrap_or_else(stem)))
    }

    /// How much depends on it, 0 to 11: what was declared for it, else for its device, else [`USUAL_IMPORTANCE`].
    #[must_use]
    pub fn importance(&self, entity: &str) -> u8 {
        let of = |name: &str| self.known(name)?.importance;
        of(entity).or_else(|| of(device_of(entity)?)).unwrap_or(USUAL_IMPORTANCE)
    }

    /// What is known of an entity.
    #[must_use]
    pub fn known(&self, entity: &str) -> Option<&Known> {
        self.index.get(entity).map(|at| &self.graph[*at].known)
    }

    /// Every entity, in the order in which they came.
    pub fn entities(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.graph.node_weights().map(|v| (&*v.name, &v.known))
    }

    /// Every site.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        self.sites.keys().map(String::as_str)
    }

    /// Devices and parts of a site.
    pub fn of_site(&self, site: &str) -> impl Iterator<Item = (&str, &Known)> {
        let of = |at: &NodeIndex| &self.graph[*at];
        self.sites.get(site).into_iter().flatten().map(of).map(|v| (&*v.name, &v.known))
    }

    /// The sites that depend on one another, this one among them.
    pub(super) fn domain_of(&self, site: &str) -> Vec<String> {
        self.domains.get(site).map_or_else(|| vec![site.to_owned()], |domain| domain.to_vec())
    }

    /// Every set of sites that depend on one another, of two sites at least.
    pub fn domains(&self) -> impl Iterator<Item = &[String]> {
        let is_first = |(site, domain): &(&String, &Arc<Vec<String>>)| domain.first() == Some(*site);
        self.domains.iter().filter(is_first).map(|(_, domain)| domain.as_slice()).filter(|d| d.len() > 1)
    }

    /// Who depends directly on whom.
    pub fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        let name = |at: NodeIndex| &*self.graph[at].name;
        self.graph.raw_edges().iter().map(move |e| (name(e.source()), name(e.target())))
    }

    /// How many entities and edges there are.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.graph.node_count(), self.graph.edge_count())
    }

    /// Entities that depend on themselves by way of others: each such knot once, its names sorted.
    #[must_use]
    pub fn cycles(&self) -> Vec<Vec<&str>> {
        // Not Tarjan's, which calls itself: a chain of 100,000 would be its end.
        let mut knots: Vec<Vec<&str>> = kosaraju_scc(&self.graph)
            .into_iter()
            .filter(|knot| knot.len() > 1)
            .map(|knot| {
                let mut names: Vec<&str> = knot.into_iter().map(|at| &*self.graph[at].name).collect();
                names.sort_unstable();
                names
            })
            .collect();
        knots.sort_unstable();
        knots
    }
}

struct Reach<'t> {
    topology: &'t Topology,
    direction: Direction,
    waiting: VecDeque<(NodeIndex, u8)>,
    seen: HashSet<NodeIndex>,
}

impl<'t> Iterator for Reach<'t> {
    type Item = (&'t str, u8);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (at, hops) = self.waiting.pop_front()?;
            if hops < HOPS {
                for next in self.topology.graph.neighbors_directed(at, self.direction) {
                    if self.seen.insert(next) {
                        self.waiting.push_back((next, hops + 1));
                    }
                }
            }
            if hops > 0 {
                return Some((&self.topology.graph[at].name, hops));
            }
        }
    }
}
