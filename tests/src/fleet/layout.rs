//! What a generated fleet is made of, and what depends on what.

use crate::sim::rng::Rng;

/// What a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The router through which a whole site is reached.
    Uplink,
    /// The power supply of hosts and gateways.
    Ups,
    /// What sensors are behind.
    Gateway,
    /// A small board beside a machine.
    Sensor,
    /// A server; services run on it.
    Host,
}

/// A device.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its site's name.
    pub site: String,
    /// Its own.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Devices it cannot do without.
    pub on: Vec<usize>,
    /// Services that run on it.
    pub services: Vec<&'static str>,
}

impl Node {
    /// `site/node`.
    #[must_use]
    pub fn entity(&self) -> String {
        format!("{}/{}", self.site, self.name)
    }

    /// `site/node#service=shop`.
    #[must_use]
    pub fn part(&self, kind: &str, name: &str) -> String {
        format!("{}/{}#{kind}={name}", self.site, self.name)
    }
}

/// Who calls whom at every site.
pub const CALLS: [(&str, &str); 7] = [
    ("web", "shop"),
    ("web", "auth"),
    ("shop", "orders"),
    ("shop", "cache"),
    ("orders", "db"),
    ("orders", "mail"),
    ("auth", "db"),
];

/// Services of a site.
pub const SERVICES: [&str; 7] = ["web", "shop", "auth", "orders", "cache", "mail", "db"];

/// Who calls `service`, at once or by others, the nearest first, each with how many calls lie between.
#[must_use]
pub fn callers(service: &'static str) -> Vec<(&'static str, u64)> {
    let mut found: Vec<(&str, u64)> = Vec::new();
    let mut edge = vec![service];
    for far in 1.. {
        edge = CALLS
            .iter()
            .filter(|(from, to)| edge.contains(to) && !found.iter().any(|(known, _)| known == from))
            .map(|(from, _)| *from)
            .collect();
        edge.dedup();
        if edge.is_empty() {
            break;
        }
        found.extend(edge.iter().map(|from| (*from, far)));
    }
    found
}

/// Every device, site by site.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// All of them.
    pub nodes: Vec<Node>,
}

impl Layout {
    /// So many devices in so many sites, each with an uplink, a power supply, hosts, gateways and sensors.
    #[must_use]
    pub fn sites(rng: &mut Rng, devices: usize, sites: usize) -> Self {
        let mut layout = Self::default();
        for site in 0..sites {
            let size = devices / sites + usize::from(site < devices % sites);
            layout.site(rng, &format!("plant-{:02}", site + 1), size);
        }
        layout
    }

    /// One site whose devices are all sensors behind gateways behind one uplink.
    #[must_use]
    pub fn one_uplink(devices: usize) -> Self {
        let mut layout = Self::default();
        let site = "plant-01";
        let uplink = layout.add(site, "uplink-1".to_owned(), Role::Uplink, &[]);
        let gateways: Vec<usize> = (0..devices / 100)
            .map(|i| layout.add(site, format!("gateway-{:03}", i + 1), Role::Gateway, &[uplink]))
            .collect();
        for i in 0..devices - gateways.len() - 1 {
            let gateway = gateways[i % gateways.len()];
            layout.add(site, format!("sensor-{:05}", i + 1), Role::Sensor, &[gateway]);
        }
        layout
    }

    fn site(&mut self, rng: &mut Rng, site: &str, size: usize) {
        let ups = self.add(site, "ups-1".to_owned(), Role::Ups, &[]);
        let uplink = self.add(site, "uplink-1".to_owned(), Role::Uplink, &[]);
        self.nodes[ups].on = vec![uplink];
        let hosts: Vec<usize> =
            (0..6).map(|i| self.add(site, format!("host-{}", i + 1), Role::Host, &[uplink, ups])).collect();
        for service in SERVICES {
            // Some share a host, some hosts have none.
            let host = hosts[rng.index(hosts.len())];
            self.nodes[host].services.push(service);
        }
        let gateways: Vec<usize> = (0..3)
            .map(|i| self.add(site, format!("gateway-{}", i + 1), Role::Gateway, &[uplink, ups]))
            .collect();
        for i in 0..size.saturating_sub(11) {
            let gateway = gateways[rng.index(gateways.len())];
            self.add(site, format!("sensor-{:02}", i + 1), Role::Sensor, &[gateway]);
        }
    }

    fn add(&mut self, site: &str, name: String, role: Role, on: &[usize]) -> usize {
        self.nodes.push(Node { site: site.to_owned(), name, role, on: on.to_vec(), services: Vec::new() });
        self.nodes.len() - 1
    }

    /// Devices of a role at a site.
    #[must_use]
    pub fn of(&self, site: &str, role: Role) -> Vec<usize> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].site == site && self.nodes[*i].role == role).collect()
    }

    /// Names of the sites.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.nodes.iter().map(|n| n.site.clone()).collect();
        names.dedup();
        names
    }

    /// Where a service of a site runs.
    #[must_use]
    pub fn host_of(&self, site: &str, service: &str) -> usize {
        let here = |n: &Node| n.site == site && n.services.contains(&service);
        self.nodes.iter().position(here).expect("every site has every service")
    }

    /// Devices that cannot be reached or cannot work without this one, itself left out.
    #[must_use]
    pub fn behind(&self, node: usize) -> Vec<usize> {
        let mut found = vec![node];
        for i in 0..self.nodes.len() {
            // Whatever depends on another stands behind it in the list, but for power supplies.
            if i != node && self.nodes[i].on.iter().any(|on| found.contains(on)) {
                found.push(i);
            }
        }
        found.retain(|i| *i != node);
        found
    }

    /// What people declare of it: who is behind whom. Who calls whom is left to be learnt.
    #[must_use]
    pub fn declared(&self) -> String {
        let mut text = String::from("# Who cannot do without whom.\n");
        for (i, node) in self.nodes.iter().enumerate() {
            let from: Vec<String> = self
                .nodes
                .iter()
                .filter(|n| n.on.contains(&i))
                .map(|n| format!("\"{}\"", n.entity()))
                .collect();
            if !from.is_empty() {
                text += &format!("\n[[depends]]\nfrom = [{}]\non = \"{}\"\n", from.join(", "), node.entity());
            }
        }
        text
    }
}
