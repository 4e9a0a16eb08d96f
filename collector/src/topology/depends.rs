//! What correlation asks of the graph.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use petgraph::unionfind::UnionFind;

use super::entity::{device_of, site_of};
use super::graph::Topology;
use crate::correlate::Depends;

/// A name without a site that more sites depend on joins none of them: the internet is everybody's.
const JOINED: usize = 64;

impl Depends for Topology {
    fn dependencies(&self, entity: &str) -> Vec<(&str, u8)> {
        Self::dependencies(self, entity).collect()
    }

    /// A device counts once, whatever runs on it; what runs on the entity itself counts if nobody else depends on it.
    fn dependents(&self, entity: &str) -> usize {
        self.counted(entity, || {
            let own = device_of(entity);
            let all: HashSet<&str> = Self::dependents(self, entity).map(|(name, _)| name).collect();
            let others = |name: &&str| device_of(name).is_none_or(|device| Some(device) != own);
            let elsewhere: HashSet<&str> =
                all.iter().copied().filter(others).map(|name| device_of(name).unwrap_or(name)).collect();
            if elsewhere.is_empty() { all.len() } else { elsewhere.len() }
        })
    }

    fn devices(&self, site: &str) -> usize {
        self.devices_of(site)
    }

    fn domain(&self, site: &str) -> Vec<String> {
        self.domain_of(site)
    }

    fn label(&self, device: &str, name: &str) -> Option<&str> {
        self.known(device)?.labels.get(name).map(String::as_str)
    }
}

/// The sites that depend on one another, by site. What only depends, as a declared service does, joins nothing: what goes
/// wrong at one of its sites goes wrong there.
pub(super) fn domains(topology: &Topology) -> HashMap<String, Arc<Vec<String>>> {
    let mut needed: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for (from, to) in topology.edges() {
        needed.entry(site_of(to)).or_default().insert(site_of(from));
    }
    let sites: Vec<&str> = topology.sites().collect();
    let is_site: HashSet<&str> = sites.iter().copied().collect();
    let joins = |name: &str| {
        is_site.contains(name) || needed.get(name).is_some_and(|by| (1..=JOINED).contains(&by.len()))
    };
    let mut number: HashMap<&str, usize> = HashMap::new();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (from, to) in topology.edges() {
        let (from, to) = (site_of(from), site_of(to));
        if from != to && joins(from) && joins(to) {
            let [a, b] = [from, to].map(|name| {
                let next = number.len();
                *number.entry(name).or_insert(next)
            });
            pairs.push((a, b));
        }
    }
    let mut sets = UnionFind::<usize>::new(number.len());
    for (a, b) in pairs {
        sets.union(a, b);
    }
    let mut domains: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for site in &sites {
        if let Some(at) = number.get(site) {
            domains.entry(sets.find(*at)).or_default().push((*site).to_owned());
        }
    }
    let mut by_site = HashMap::new();
    for domain in domains.into_values().map(Arc::new) {
        by_site.extend(domain.iter().map(|site| (site.clone(), Arc::clone(&domain))));
    }
    by_site
}
