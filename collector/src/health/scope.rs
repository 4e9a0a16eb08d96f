//! Whose health a collector looks after: its sites', and that of services whose first site is its own.

use std::collections::BTreeSet;

use crate::cluster::Sites;
use crate::topology::{Declared, Service, Topology, site_of};

/// What is scored here, and what has to be read for it.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Services that are ours.
    pub services: Vec<&'a Service>,
    /// Sites that are ours.
    pub sites: Vec<&'a str>,
    /// Sites whose devices decide on these.
    pub reads: Vec<&'a str>,
    /// Every service that is declared, whoever scores it.
    declared: BTreeSet<&'a str>,
    own: &'a Sites,
}

impl<'a> Scope<'a> {
    /// Of what is declared and known, what falls to the holder of these sites. Each service falls to one collector: the
    /// holder of the first site that it depends on, or of the first of all if it depends on none.
    #[must_use]
    pub fn of(declared: &'a Declared, topology: &'a Topology, own: &'a Sites) -> Self {
        let all: BTreeSet<&str> = topology.sites().collect();
        let mut reads: BTreeSet<&str> = all.iter().copied().filter(|site| own.holds(site)).collect();
        let sites = reads.iter().copied().collect();
        let mut services = Vec::new();
        for service in &declared.services {
            let on = topology.dependencies(&service.name).filter_map(|(name, _)| all.get(site_of(name)));
            let on: BTreeSet<&str> = on.copied().collect();
            if on.first().or(all.first()).is_none_or(|first| own.holds(first)) {
                services.push(service);
                reads.extend(on);
            }
        }
        let declared = declared.services.iter().map(|s| s.name.as_str()).collect();
        Self { services, sites, reads: reads.into_iter().collect(), declared, own }
    }

    /// Whether a report that is not made again is gone for good, rather than another collector's.
    #[must_use]
    pub fn has_lost(&self, kind: &str, name: &str) -> bool {
        if kind == "site" { self.own.holds(name) } else { !self.declared.contains(name) }
    }
}
