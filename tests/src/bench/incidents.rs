//! Real incidents on this machine, with the agent, the broker and the collector as they are shipped: was each seen, when,
//! by which sign, and was the right process named; and what was told in the calm between.
//!
//! `bench incidents [--calm 600] [--fault 30] [--repeats 3] [--only NAME,NAME]`. The first incident comes five minutes
//! after the agent's first start, without any state: that is the warm-up. A whole run takes about five hours; it needs
//! stress-ng and root, and a machine on which nothing else goes on.

pub mod inflict;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use self::inflict::{Fault, Going, INCIDENTS, Incident, Sensor, Small};
use super::endtoend::patiently;
use crate::broker::Mosquitto;
use crate::ear::Ear;
use crate::program::{Agent, Collector};
use crate::results::{Table, say};
use crate::wait::{pause, timed};

/// How long the warm-up lasts.
const FIRST: u64 = 300;
/// Leaks and what stands still need longer than other faults.
const SLOW: u64 = 100;
/// What comes so long after an incident's end still belongs to it.
const SETTLE: Duration = Duration::from_secs(60);

/// What was seen of an incident's repeats.
#[derive(Debug, Default)]
struct Seen {
    times: usize,
    in_time: usize,
    after: Vec<f64>,
    first: usize,
    culprit: usize,
    openings: usize,
}

/// What was told in between.
#[derive(Debug, Default)]
struct Calm {
    seconds: f64,
    episodes: usize,
}

struct Host {
    agent: Agent,
    ear: Ear,
    sensor: Sensor,
    small: Small,
    scratch: std::path::PathBuf,
    // These only have to live.
    _collector: Collector,
    _broker: Mosquitto,
    _dir: tempfile::TempDir,
}

/// Prints the figures.
pub fn main(args: &[String]) {
    let (mut calm, mut fault, mut repeats, mut only) = (600, 30, 3, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().map(String::as_str).unwrap_or_default();
        let number = || value.parse::<u64>().unwrap_or_else(|e| panic!("{arg} `{value}`: {e}"));
        match arg.as_str() {
            "--calm" => calm = number(),
            "--fault" => fault = number(),
            "--repeats" => repeats = number(),
            "--only" => only = value.split(',').map(str::to_owned).collect(),
            other => panic!(
                "`{other}` is not understood; usage: incidents [--calm S] [--fault S] [--repeats N] [--only A,B]"
            ),
        }
    }
    let wanted = |i: &&Incident| only.is_empty() || only.iter().any(|o| o == i.name);
    let host = Host::start();
    let (mut seen, mut quiet) = (BTreeMap::<String, Seen>::new(), Calm::default());
    host.calm(FIRST.min(calm.max(60)), &mut quiet);
    for repeat in 0..repeats {
        for incident in INCIDENTS.iter().filter(wanted) {
            let is_first = seen.is_empty();
            let name =
                if is_first { format!("{}, warm-up", incident.name) } else { incident.name.to_owned() };
            host.suffer(incident, fault, seen.entry(name).or_default());
            host.calm(calm, &mut quiet);
            say(&format!("# {}, repeat {} of {repeats}", incident.name, repeat + 1));
        }
    }
    tell(&seen, &quiet);
    let cost = host.agent.status()["cost"].clone();
    say(&format!("incidents.agent_cpu {} us_per_s", cost["cpu_us"]));
}

impl Host {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Mosquitto::plain(dir.path());
        let collector = Collector::start(dir.path(), &broker.url());
        let small = Small::mounted(dir.path());
        let (sensors, scratch) = (dir.path().join("sensors"), dir.path().join("scratch"));
        std::fs::create_dir(&scratch).unwrap();
        let sensor = Sensor::at(&sensors);
        let ear = Ear::at(broker.side_port, "incidents", "fieldmouse/#");
        // As it is shipped, but for the places.
        let config = format!(
            "[broker]\nurl = \"{}\"\n[source.file]\ndir = \"{}\"\n[source.filesystem]\nmounts = [\"/\", \"{}\"]\n",
            broker.url(),
            sensors.display(),
            small.0.display()
        );
        let agent = Agent::with(dir.path(), &config, |command| command);
        Self { agent, ear, sensor, small, scratch, _collector: collector, _broker: broker, _dir: dir }
    }

    /// What tells of an anomaly, once each: episodes that open or come back, and sensors that stand still.
    fn told(&self) -> Vec<Value> {
        let mut known = BTreeSet::new();
        let events = self.ear.all().into_iter().flat_map(|h| h.events).filter(|e| {
            let body = &e["body"];
            let opens = e["kind"] == "episode" && (body["phase"] == "opened" || body["phase"] == "reopened");
            opens || e["kind"] == "trouble" && body["verdict"] == "frozen"
        });
        // Delivery is at least once.
        events.filter(|e| known.insert(e["seq"].as_u64())).collect()
    }

    fn calm(&self, seconds: u64, calm: &mut Calm) {
        let before = self.told().len();
        pause(Duration::from_secs(seconds));
        calm.seconds += seconds as f64;
        for event in &self.told()[before..] {
            calm.episodes += 1;
            say(&format!("# in the calm: {}", words(event)));
        }
    }

    fn suffer(&self, incident: &Incident, fault: u64, seen: &mut Seen) {
        let before = self.told().len();
        let lasts =
            Duration::from_secs(if matches!(incident.fault, Fault::Stress(_)) { fault } else { SLOW });
        let going = Going::start(incident.fault, &self.scratch, &self.small, &self.sensor);
        let (is_seen, after) = timed(|| patiently(lasts, || self.told().len() > before));
        // Of what grows slowly, all is known once it was seen; the others go on.
        if matches!(incident.fault, Fault::Stress(_)) {
            pause(lasts.saturating_sub(after));
        }
        drop(going);
        pause(SETTLE);
        let told = self.told().split_off(before);
        seen.times += 1;
        seen.openings += told.len();
        for event in &told {
            say(&format!("# {}: {}", incident.name, words(event)));
        }
        if !is_seen {
            say(&format!("# {}: not seen", incident.name));
            return;
        }
        seen.after.push(after.as_secs_f64());
        seen.in_time += usize::from(after.as_secs_f64() <= incident.in_time_s);
        let body = &told[0]["body"];
        // A sensor that stands still is told by its series.
        let series =
            body["contributors"][0]["series"].as_str().or(body["series"].as_str()).unwrap_or_default();
        seen.first += usize::from(incident.first.iter().any(|f| series.starts_with(f)));
        let culprit = body["culprit"]["name"].as_str();
        seen.culprit += usize::from(match (incident.culprit, culprit) {
            (Some(should), Some(is)) => is.starts_with(should),
            (should, is) => should.is_none() && is.is_none(),
        });
    }
}

fn words(event: &Value) -> String {
    let body = &event["body"];
    let series = &body["contributors"][0]["series"];
    if body["sentence"].is_string() {
        format!("{series} {} {}", body["culprit"]["name"], body["sentence"])
    } else {
        format!("{} {}", body["series"], body["text"])
    }
}

fn tell(seen: &BTreeMap<String, Seen>, calm: &Calm) {
    let table = Table("incidents");
    let mut all = Seen::default();
    let of = |n: usize, of: usize| format!("{n}/{of}");
    for (name, s) in seen {
        table.tell(name, "seen", of(s.after.len(), s.times), "incidents");
        table.tell(name, "in time", of(s.in_time, s.times), "incidents");
        let mut after = s.after.clone();
        after.sort_by(f64::total_cmp);
        let median = after.get(after.len() / 2).map_or_else(|| "never".into(), |s| format!("{s:.1} s"));
        table.tell(name, "median", median, "after its begin");
        table.tell(name, "right first contributor", of(s.first, s.times), "incidents");
        table.tell(name, "right culprit", of(s.culprit, s.times), "incidents");
        table.tell(name, "openings", s.openings, "episodes");
        all.times += s.times;
        all.in_time += s.in_time;
        all.first += s.first;
        all.culprit += s.culprit;
        all.openings += s.openings;
        all.after.extend(&s.after);
    }
    table.tell("all", "seen", of(all.after.len(), all.times), "incidents");
    table.tell("all", "in time", of(all.in_time, all.times), "incidents");
    table.tell("all", "right first contributor", of(all.first, all.times), "incidents");
    table.tell("all", "right culprit", of(all.culprit, all.times), "incidents");
    table.tell("all", "openings", all.openings, "episodes");
    let hours = calm.seconds / 3600.0;
    table.tell("calm between", "hours", format!("{hours:.1}"), "h");
    table.tell("calm between", "openings", calm.episodes, "episodes");
    table.tell("calm between", "per day", format!("{:.1}", calm.episodes as f64 * 24.0 / hours), "episodes");
}
