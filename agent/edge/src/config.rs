//! Configuration: what was written (closed, with defaults) becomes what is meant (checked). Nothing downstream
//! checks again.
//!
//! `fieldmouse.toml`, then `conf.d/*.toml` beside it in lexical order, then `FIELDMOUSE__SECTION__KEY` from the
//! environment: later wins. An unknown key is an error, because a misspelt key is silently the default.

mod load;
mod logs;
mod maintenance;
mod model;
mod series;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire;
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::disk;
use crate::duration::Span;
use crate::link;
use crate::sources::{self, Kind, Place, certificate};

pub use maintenance::{MaintenanceTable, Window};
pub use series::{SeriesTable, decide};

pub use logs::{LogsKeys, MetricTable};

pub use load::{ConfigError, DEFAULT_FILE, from_here, load, locate_here};
pub use model::{Model, Models, Own};

/// What was written. Every key has a default but the broker's address.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// Who this device is.
    pub node: Node,
    /// How the agent works.
    pub agent: AgentKeys,
    /// When something is an anomaly.
    pub detect: Detect,
    /// Which limits are news.
    pub forecast: Forecast,
    /// The ONNX models.
    pub model: Models,
    /// Where events go.
    pub broker: link::Config,
    /// Where events wait.
    pub outbox: OutboxKeys,
    /// What is kept of the readings around an episode.
    pub capsule: CapsuleKeys,
    /// What of lines nobody may see.
    pub logs: LogsKeys,
    /// What people decided about series.
    pub series: Vec<SeriesTable>,
    /// When nothing alerts and nothing is learnt.
    pub maintenance: Vec<MaintenanceTable>,
    /// A table for each source: `enabled`, `every`, and its own keys.
    pub source: BTreeMap<String, toml::Table>,
}

/// `[node]`
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Name of this device; the host's name if absent.
    pub name: Option<String>,
    /// Name of its site.
    pub site: Option<String>,
    /// Anything people want to know it by.
    pub labels: BTreeMap<String, String>,
}

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentKeys {
    /// Time between ticks.
    pub tick: Span,
    /// How long a source may take.
    pub deadline: Span,
    /// Time between beats.
    pub beat: Span,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// The socket for `status`, `event` and `drill`.
    pub socket: PathBuf,
    /// Where the machine is: `/`.
    pub root: PathBuf,
}

impl Default for AgentKeys {
    fn default() -> Self {
        Self {
            tick: Span(1000),
            deadline: Span(800),
            beat: Span(300_000),
            state_dir: "/var/lib/fieldmouse".into(),
            socket: "/run/fieldmouse/agent.sock".into(),
            root: "/".into(),
        }
    }
}

/// `[detect]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    /// The one knob.
    pub false_alarms: Budget,
    /// Bytes of flash written in 24 hours to keep what was learnt.
    pub flash_bytes_per_day: u64,
}

impl Default for Detect {
    fn default() -> Self {
        Self { false_alarms: Budget::default(), flash_bytes_per_day: 2 << 20 }
    }
}

/// `[forecast]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forecast {
    /// How far ahead.
    pub horizon: Span,
}

impl Default for Forecast {
    fn default() -> Self {
        Self { horizon: Span(crate::pipeline::HORIZON_MS) }
    }
}

/// `[outbox]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxKeys {
    /// Bytes on disk, at most.
    pub max_bytes: u64,
    /// Bytes of flash written in 24 hours before the outbox goes easy on it.
    pub flash_bytes_per_day: u64,
}

impl Default for OutboxKeys {
    fn default() -> Self {
        Self { max_bytes: 16 << 20, flash_bytes_per_day: 50 << 20 }
    }
}

/// `[capsule]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CapsuleKeys {
    /// Whether there is a flight recorder.
    pub enabled: bool,
    /// Bytes of all capsules on disk, at most.
    pub max_bytes: u64,
    /// Bytes of flash that capsules may write in 24 hours.
    pub flash_bytes_per_day: u64,
    /// Bytes of capsules that are sent in 24 hours to collectors that ask.
    pub bytes_per_day: u64,
}

impl Default for CapsuleKeys {
    fn default() -> Self {
        Self { enabled: true, max_bytes: 4 << 20, flash_bytes_per_day: 4 << 20, bytes_per_day: 1 << 20 }
    }
}

/// A source that is on.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Which.
    pub kind: &'static Kind,
    /// Milliseconds between samples.
    pub every_ms: Millis,
    /// Its own keys.
    pub keys: toml::Table,
}

/// What is meant: checked, and complete but for the broker's address.
#[derive(Debug, Clone)]
pub struct Config {
    /// This device.
    pub node: String,
    /// Its site.
    pub site: String,
    /// `key=value` joined by `,`.
    pub labels: String,
    /// Windows of maintenance.
    pub windows: Vec<Window>,
    /// Sources that are on, in the order of the table.
    pub sources: Vec<SourceConfig>,
    /// The rest, as written.
    pub written: Written,
}

impl Config {
    /// Checks what was written. The error names the key.
    ///
    /// # Errors
    /// If a name may not be used, a source is unknown, or a span is impossible.
    pub fn new(mut written: Written, host: &str) -> Result<Self, KeyError> {
        // Whoever sets a short tick need not set the deadline too.
        let (tick, deadline) = (written.agent.tick, &mut written.agent.deadline);
        if *deadline == AgentKeys::default().deadline && *deadline > tick {
            *deadline = Span(tick.0 * 4 / 5);
        }
        let node = written.node.name.clone().unwrap_or_else(|| name_of_host(host));
        let site = written.node.site.clone().unwrap_or_else(|| "default".into());
        for (key, name) in [("node.name", &node), ("node.site", &site), ("broker.root", &written.broker.root)]
        {
            if !wire::is_name(name) {
                return Err(KeyError::new(
                    key,
                    format!("`{name}` is no name; allowed are 1 to 48 of a-z, 0-9 and -"),
                ));
            }
        }
        for (key, span, least, most) in [
            ("agent.tick", written.agent.tick, 100, 3_600_000),
            ("agent.deadline", written.agent.deadline, 10, written.agent.tick.0),
            ("agent.beat", written.agent.beat, 1000, 86_400_000),
            ("forecast.horizon", written.forecast.horizon, 600_000, 28 * 86_400_000),
        ] {
            if !(least..=most).contains(&span.0) {
                let allowed = [least, most].map(|ms| Span(ms).to_string());
                let text = span.to_string();
                return Err(KeyError::new(
                    key,
                    format!("`{text}` is not within {} and {}", allowed[0], allowed[1]),
                ));
            }
        }
        if written.outbox.max_bytes < 64 << 10 {
            return Err(KeyError::new("outbox.max_bytes", "must be at least 65536".into()));
        }
        written.series.iter().enumerate().try_for_each(|(at, table)| table.check(at))?;
        let maintenance = written.maintenance.iter().enumerate();
        let windows = maintenance.map(|(at, table)| table.window(at)).collect::<Result<_, _>>()?;
        written.logs.masker()?;
        written.logs.check()?;
        let labels =
            written.node.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
        if labels.len() > 128 {
            return Err(KeyError::new("node.labels", format!("{} bytes in all; at most 128", labels.len())));
        }
        let mut sources = source_configs(&written.source)?;
        if let Some(source) = sources.iter_mut().find(|s| s.kind.name == certificate::KIND.name) {
            let ours = [&written.broker.ca_file, &written.broker.cert_file];
            certificate::add_files(&mut source.keys, ours.into_iter().flatten());
        }
        Ok(Self { node, site, labels, windows, sources, written })
    }
}

impl Config {
    /// What the link needs: where the broker is, and who we are to it.
    #[must_use]
    pub fn link(&self) -> link::Config {
        link::Config { site: self.site.clone(), node: self.node.clone(), ..self.written.broker.clone() }
    }

    /// The section in which another configuration differs that cannot be taken over while running.
    #[must_use]
    pub fn differs_beyond_reload(&self, other: &Self) -> Option<&'static str> {
        let (a, b) = (&self.written, &other.written);
        if (&self.node, &self.site, &self.labels) != (&other.node, &other.site, &other.labels) {
            return Some("node");
        }
        [("agent", a.agent == b.agent), ("broker", a.broker == b.broker), ("outbox", a.outbox == b.outbox)]
            .into_iter()
            .find_map(|(section, is_same)| (!is_same).then_some(section))
    }

    /// Where the agent's sources find things, and keep some.
    #[must_use]
    pub fn place(&self) -> Place {
        let agent = &self.written.agent;
        let run = agent.socket.parent().filter(|dir| disk::is_memory(dir)).unwrap_or(&agent.state_dir);
        let (state, run) = (agent.state_dir.join("sources"), run.join("sources"));
        Place { state: Some(state), run: Some(run), ..self.look() }
    }

    /// Where they find things when nothing is kept.
    #[must_use]
    pub fn look(&self) -> Place {
        let budget = self.written.detect.false_alarms;
        Place { logs: self.written.logs.clone(), budget, ..Place::at(&self.written.agent.root) }
    }

    /// How long a source may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.written.agent.deadline.0)
    }
}

fn source_configs(tables: &BTreeMap<String, toml::Table>) -> Result<Vec<SourceConfig>, KeyError> {
    let names = || sources::KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = tables.keys().find(|name| sources::KINDS.iter().all(|k| k.name != name.as_str())) {
        let what = format!("no source is called `{unknown}`; there are: {}", names());
        return Err(KeyError::new(&format!("source.{unknown}"), what));
    }
    let mut on = Vec::new();
    for kind in sources::KINDS {
        let mut keys = tables.get(kind.name).cloned().unwrap_or_default();
        let key = |name: &str| format!("source.{}.{name}", kind.name);
        let enabled = match keys.remove("enabled") {
            None => true,
            Some(toml::Value::Boolean(b)) => b,
            Some(other) => {
                return Err(KeyError::new(
                    &key("enabled"),
                    format!("`{other}` is not allowed; write true or false"),
                ));
            }
        };
        let every_ms = match keys.remove("every") {
            None => Millis::from(kind.every_ms),
            Some(value) => {
                value.try_into::<Span>().map_err(|e| KeyError::new(&key("every"), e.message().to_owned()))?.0
            }
        };
        // The source itself refuses keys it does not know, also while it is off.
        (kind.build)(keys.clone(), &Place::at(std::path::Path::new("/")))
            .map_err(|e| source_error(kind.name, &keys, &format!("{e:#}")))?;
        if enabled {
            on.push(SourceConfig { kind, every_ms, keys });
        }
    }
    Ok(on)
}

/// What a source said of its keys, at the key it speaks of.
fn source_error(source: &str, keys: &toml::Table, said: &str) -> KeyError {
    let said = said.trim();
    let said = said.strip_prefix(&format!("in [source.{source}]: ")).unwrap_or(said);
    match said.split('`').nth(1).filter(|key| keys.contains_key(*key)) {
        Some(key) => {
            let what = said.strip_prefix(&format!("`{key}`: ")).unwrap_or(said);
            KeyError::new(&format!("source.{source}.{key}"), what.to_owned())
        }
        None => KeyError::new(&format!("source.{source}"), said.to_owned()),
    }
}

/// A key with a value that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct KeyError {
    /// The dotted key.
    pub key: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

impl KeyError {
    /// An error at a key.
    #[must_use]
    pub fn new(key: &str, what: String) -> Self {
        Self { key: key.to_owned(), what }
    }
}

/// A host's name as a device's name: what is not allowed becomes a dash.
fn name_of_host(host: &str) -> String {
    let name: String = host
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(wire::NAME)
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "device".into() } else { name.to_owned() }
}
