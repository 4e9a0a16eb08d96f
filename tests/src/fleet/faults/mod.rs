//! Faults with a known cause, and what each makes devices tell.

mod devices;
mod network;
mod services;

use serde::Serialize;

use super::layout::{Layout, Role};
use super::tell::Story;
use crate::sim::rng::Rng;

/// What is known of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Its number.
    pub fault: usize,
    /// What sort.
    pub kind: &'static str,
    /// Where.
    pub site: String,
    /// What is at fault.
    pub cause: String,
    /// Other names of the same thing: a service, its container and its unit are one.
    pub also: Vec<String>,
    /// When it began, in milliseconds since 1970.
    pub onset_ms: u64,
    /// When it was over.
    pub end_ms: u64,
    /// Devices and parts that suffer.
    pub affected: Vec<String>,
}

/// A sort of fault: its name and its story. The story is told where and when it is to happen.
#[derive(Debug)]
pub struct Sort {
    /// As in [`Label::kind`].
    pub name: &'static str,
    tell: fn(&mut Story<'_>, Place<'_>) -> Done,
}

/// Where and when.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    site: &'a str,
    onset: u64,
}

/// What a story comes to.
#[derive(Debug)]
struct Done {
    cause: String,
    also: Vec<String>,
    end: u64,
    affected: Vec<String>,
}

/// All there are.
pub const SORTS: [Sort; 14] = [
    Sort { name: "uplink", tell: network::uplink },
    Sort { name: "gateway-gone", tell: network::gateway_gone },
    Sort { name: "gateway-link", tell: network::gateway_link },
    Sort { name: "power", tell: network::power },
    Sort { name: "deployment", tell: services::deployment },
    Sort { name: "package", tell: services::package },
    Sort { name: "database", tell: services::database },
    Sort { name: "leak", tell: services::leak },
    Sort { name: "neighbour", tell: services::neighbour },
    Sort { name: "crash", tell: services::crash },
    Sort { name: "gateway-disk", tell: devices::gateway_disk },
    Sort { name: "clock", tell: devices::clock },
    Sort { name: "sensor-frozen", tell: devices::sensor_frozen },
    Sort { name: "heat", tell: devices::heat },
];

impl Sort {
    /// Tells of fault `number`.
    pub fn befall(&self, story: &mut Story<'_>, number: usize, site: &str, onset: u64) -> Label {
        story.fault = Some(number);
        let done = (self.tell)(story, Place { site, onset });
        story.fault = None;
        Label {
            fault: number,
            kind: self.name,
            site: site.to_owned(),
            cause: done.cause,
            also: done.also,
            onset_ms: onset,
            end_ms: done.end,
            affected: done.affected,
        }
    }
}

/// One of the devices of a role.
fn one(layout: &Layout, rng: &mut Rng, site: &str, role: Role) -> usize {
    rng.pick(&layout.of(site, role))
}

fn entities(layout: &Layout, nodes: &[usize]) -> Vec<String> {
    nodes.iter().map(|i| layout.nodes[*i].entity()).collect()
}
