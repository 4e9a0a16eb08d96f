//! A fleet that never was: devices and what depends on them, what goes on in any fleet, and faults whose causes are known.
//!
//! `Layout` (what there is) and `Script` (what happens, by noise and by faults) decide what devices tell; `deliver` is how
//! it travels. A seed decides all of it. Nothing here knows how a collector thinks.

pub mod deliver;
pub mod faults;
pub mod history;
pub mod layout;
pub mod noise;
pub mod score;
pub mod signs;
pub mod storm;
pub mod tell;

use std::io::Write;
use std::path::Path;

use deliver::{Sent, Trace, deliver};
use faults::{Label, SORTS};
use layout::Layout;
use noise::Noise;
use serde_json::json;
use tell::{DAY, HOUR, MINUTE, SECOND, Script, Story};

use crate::sim::rng::Rng;

/// 2026-11-23T00:00:00Z, a Monday.
pub const MONDAY: u64 = 1_795_392_000_000;

/// What is to be generated.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Devices, in sites of about fifty.
    pub devices: usize,
    /// Days from Monday on.
    pub days: u64,
    /// Faults.
    pub faults: usize,
    /// How much goes on besides, in thousandths of what is usual.
    pub noise: Noise,
}

impl Plan {
    /// The week that the figures are about.
    #[must_use]
    pub fn week(seed: u64) -> Self {
        Self { seed, devices: 1000, days: 7, faults: 50, noise: Noise(1000) }
    }
}

/// What was generated.
#[derive(Debug)]
pub struct Fleet {
    /// The devices.
    pub layout: Layout,
    /// What arrives, in the order in which it does.
    pub sent: Vec<Sent>,
    /// What is at fault when.
    pub labels: Vec<Label>,
    /// What of all that arrives comes of which fault.
    pub traces: Vec<Trace>,
}

/// Generates.
#[must_use]
pub fn generate(plan: Plan) -> Fleet {
    let mut rng = Rng::new(plan.seed);
    let layout = Layout::sites(&mut rng, plan.devices, plan.devices.div_ceil(50));
    let mut script = Script::default();
    let mut story = Story { layout: &layout, script: &mut script, rng: rng.fork(), fault: None };
    let labels = befall(&mut story, plan);
    noise::background(&mut story, MONDAY, plan.days, plan.noise);
    let (sent, traces) = deliver(&layout, &script, &mut rng, MONDAY);
    Fleet { layout, sent, labels, traces }
}

/// Faults, each sort as often as the others. Every fifth comes ten seconds after another that has nothing to do with it,
/// every tenth even at the same site.
fn befall(story: &mut Story<'_>, plan: Plan) -> Vec<Label> {
    let sites = story.layout.names();
    let mut labels: Vec<Label> = Vec::new();
    let shift = story.rng.index(SORTS.len());
    for number in 0..plan.faults {
        let sort = &SORTS[(number + shift) % SORTS.len()];
        let (site, onset) = match labels.last() {
            Some(last) if number % 5 == 4 => {
                let beside = number % 10 == 9 && may_meet(last.kind, sort.name);
                let others: Vec<&String> = sites.iter().filter(|s| **s != last.site).collect();
                let other = others.get(story.rng.index(others.len().max(1))).map_or(&last.site, |s| *s);
                let site = if beside { last.site.clone() } else { other.clone() };
                (site, last.onset_ms + 10 * SECOND)
            }
            _ => quiet_place(story, &labels, &sites, plan.days),
        };
        let label = sort.befall(story, number, &site, onset);
        let affected: Vec<usize> = (0..story.layout.nodes.len())
            .filter(|i| {
                let name = story.layout.nodes[*i].entity();
                let is = |other: &String| other.split('#').next() == Some(name.as_str());
                is(&label.cause) || label.affected.iter().any(is)
            })
            .collect();
        noise::red_herrings(story, &site, onset, &affected);
        labels.push(label);
    }
    labels
}

/// Whether two faults at one site have nothing to do with each other: one of services, one of sensors and gateways.
fn may_meet(a: &str, b: &str) -> bool {
    let of_services =
        |k: &str| ["deployment", "package", "database", "leak", "neighbour", "crash"].contains(&k);
    let of_sensors =
        |k: &str| ["gateway-gone", "gateway-link", "gateway-disk", "clock", "sensor-frozen"].contains(&k);
    of_services(a) && of_sensors(b) || of_services(b) && of_sensors(a)
}

/// A site and a time in which it has no other fault for three hours.
fn quiet_place(story: &mut Story<'_>, labels: &[Label], sites: &[String], days: u64) -> (String, u64) {
    loop {
        let site = story.rng.pick(sites);
        let onset = MONDAY + 3 * HOUR + story.rng.below(days * DAY - 7 * HOUR);
        let near = |l: &Label| l.site == site && l.onset_ms.abs_diff(onset) < 3 * HOUR;
        if !labels.iter().any(near) {
            return (site, onset / MINUTE * MINUTE + story.rng.below(MINUTE));
        }
    }
}

impl Fleet {
    /// Events of outboxes, each once.
    #[must_use]
    pub fn events(&self) -> usize {
        self.sent.iter().map(|s| s.events).sum()
    }

    /// What a collector is configured with that knows what people declared of this fleet in `dir`, and tells somebody of so
    /// many incidents, or of as many as it does as it is shipped.
    #[must_use]
    pub fn config(&self, dir: &Path, pages: Option<&str>) -> String {
        let notify = pages.map_or_else(String::new, |pages| format!("[notify]\npages = \"{pages}\"\n"));
        format!(
            "[broker]\nembedded = true\n[topology]\nfile = \"{0}/topology.toml\"\n{notify}\
             [[outlet]]\nname = \"pager\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:9\"\n",
            dir.display()
        )
    }

    /// Writes `events.jsonl`, `topology.toml` and `truth.json` into a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let mut events = std::io::BufWriter::new(std::fs::File::create(folder.join("events.jsonl"))?);
        for line in self.sent.iter().flat_map(|s| s.lines(&self.layout)) {
            serde_json::to_writer(&mut events, &line)?;
            events.write_all(b"\n")?;
        }
        events.flush()?;
        std::fs::write(folder.join("topology.toml"), self.layout.declared())?;
        let traces: Vec<_> = self
            .traces
            .iter()
            .map(|t| {
                let node = &self.layout.nodes[t.node];
                json!({
                    "fault": t.owed.fault, "site": node.site, "node": node.name, "what": t.owed.what, "epoch": t.epoch.to_string(),
                    "id": t.owed.id.to_string(), "received_ms": t.received_ms,
                })
            })
            .collect();
        let truth = json!({"faults": self.labels, "events": traces});
        std::fs::write(folder.join("truth.json"), serde_json::to_vec_pretty(&truth)?)
    }
}
