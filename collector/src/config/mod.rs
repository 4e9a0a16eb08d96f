//! What is configured: read as written, checked once, and from there on meant.

mod broker;
mod correlation;
mod error;
mod place;
mod retention;
mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use correlation::Correlation;
pub use error::ConfigError;
pub(crate) use error::wrong;
use fieldmouse_core::wire;
pub use place::Place;
pub use retention::Retention;
use serde::{Serialize, Serializer};
pub use written::Written;

use crate::notify::Rules;
pub(crate) use written::parse;

/// Where the configuration is looked for unless told.
pub const DEFAULT_FILE: &str = "/etc/fieldmouse/collector.toml";

/// The configuration, complete and consistent.
#[derive(Debug, Clone, Serialize)]
pub struct Config {
    /// First part of every topic.
    pub root: String,
    /// Name of this collector.
    pub id: String,
    /// Which broker, if one was said: enough for commands that connect to none. See [`Self::broker`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<Broker>,
    /// Page and API.
    pub http: Http,
    /// Database.
    pub store: Store,
    /// What belongs together.
    pub correlation: Correlation,
    /// What is declared of the fleet's shape.
    pub topology: Topology,
    /// What is taken in.
    pub intake: Intake,
    /// As one of several collectors; none for who is alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// What people are told.
    #[serde(flatten)]
    pub rules: Rules,
}

/// What is taken in.
#[derive(Debug, Clone, Serialize)]
pub struct Intake {
    /// Events a second that a device may produce.
    pub device_rate: u32,
}

/// Several collectors that share the sites of one store.
#[derive(Debug, Clone, Serialize)]
pub struct Cluster {
    /// Name of this one among them.
    pub instance: String,
}

/// The broker: its own, or somebody's.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Broker {
    /// Inside this program.
    Embedded(Embedded),
    /// Elsewhere.
    Remote(Remote),
}

/// The broker inside this program.
#[derive(Debug, Clone, Serialize)]
pub struct Embedded {
    embedded: True,
    /// Where devices connect.
    pub listen: SocketAddr,
    /// Whether listening beyond this machine without TLS was asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_plain: bool,
    /// Certificate and key, if devices connect by TLS.
    #[serde(flatten)]
    pub tls: Option<Identity>,
    /// Authority of the devices' certificates; with it, devices without one are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// A broker elsewhere.
#[derive(Debug, Clone, Serialize)]
pub struct Remote {
    /// As written.
    pub url: String,
    /// Host name or address.
    #[serde(skip)]
    pub host: String,
    /// Port.
    #[serde(skip)]
    pub port: u16,
    /// Whether by TLS.
    #[serde(skip)]
    pub tls: bool,
    /// Authority of the broker's certificate; the system's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Certificate and key of this collector.
    #[serde(flatten)]
    pub identity: Option<Identity>,
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password. The password itself is never in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl Remote {
    /// The embedded broker, seen from inside.
    #[must_use]
    pub fn own(at: SocketAddr) -> Self {
        Self {
            url: format!("mqtt://{at}"),
            host: at.ip().to_string(),
            port: at.port(),
            tls: false,
            ca_file: None,
            identity: None,
            user: None,
            password_file: None,
        }
    }
}

/// A certificate with its key.
#[derive(Debug, Clone, Serialize)]
pub struct Identity {
    /// Certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
}

/// Page and API.
#[derive(Debug, Clone, Serialize)]
pub struct Http {
    /// Where they are served.
    pub listen: SocketAddr,
}

/// Database.
#[derive(Debug, Clone, Serialize)]
pub struct Store {
    /// Which.
    #[serde(flatten)]
    pub place: Place,
    /// How long what is kept.
    #[serde(flatten)]
    pub retention: Retention,
}

/// What is declared of the fleet's shape.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Topology {
    /// The file that declares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct True;

impl Serialize for True {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bool(true)
    }
}

fn as_written<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    let seconds = d.as_secs();
    let (n, unit) = [(86_400, "d"), (3600, "h"), (60, "m")]
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
        .map_or((seconds, "s"), |(unit, word)| (seconds / unit, word));
    s.serialize_str(&format!("{n}{unit}"))
}

impl Config {
    /// Reads the file (the default one may be absent) and the variables of the environment, and checks the whole.
    ///
    /// # Errors
    /// Names file, line, key and the allowed values.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if file.is_none() && e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => {
                let place = path.display().to_string();
                return Err(ConfigError { place, key: String::new(), what: format!("cannot read: {e}") });
            }
        };
        let file = path.display().to_string();
        let variables: Vec<(String, String)> = env.into_iter().collect();
        let mut written = Written::parse(&file, &text)?;
        written.overlay(Written::from_env(&variables)?);
        Self::mean(written).map_err(|e| match written::variable(&e.key, &variables) {
            Some(place) if e.place.is_empty() => ConfigError { place, ..e },
            _ => e.within(&file, &text),
        })
    }

    /// From TOML text alone, for programs that carry a collector inside.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        const FILE: &str = "configuration";
        Self::mean(Written::parse(FILE, text)?).map_err(|e| e.within(FILE, text))
    }

    /// Which broker, for what connects to one.
    ///
    /// # Errors
    /// If none was said.
    pub fn broker(&self) -> Result<&Broker, ConfigError> {
        let what =
            "is missing: say which broker (mqtt://host:1883 or mqtts://host:8883), or broker.embedded = true";
        self.broker.as_ref().map_or_else(|| wrong("broker.url", what), Ok)
    }

    fn mean(mut w: Written) -> Result<Self, ConfigError> {
        let rules = Rules::of(w.tables())?;
        let root = w.root.unwrap_or_else(|| "fieldmouse".to_owned());
        let id = w.id.unwrap_or_else(|| "collector".to_owned());
        for (key, name) in [("root", &root), ("id", &id)] {
            if !wire::is_name(name) {
                return wrong(key, &format!("\"{name}\" is not a name: [a-z0-9-], 1 to 48 characters"));
            }
        }
        let device_rate = w.intake.unwrap_or_default().device_rate.unwrap_or(1000);
        if device_rate == 0 {
            return wrong("intake.device_rate", "is events a second that a device may produce: 1 or more");
        }
        let http = w.http.unwrap_or_default();
        let store = w.store.unwrap_or_default();
        let broker = broker::meant(w.broker.unwrap_or_default())?;
        let place = Place::mean(&store)?;
        let cluster = w.cluster.map(|c| cluster(c, broker.as_ref(), &place)).transpose()?;
        Ok(Self {
            root,
            id,
            broker,
            rules,
            intake: Intake { device_rate },
            cluster,
            http: Http { listen: address("http.listen", http.listen.as_deref(), "127.0.0.1:8080")? },
            store: Store { place, retention: Retention::mean(&store)? },
            correlation: Correlation::mean(w.correlation.unwrap_or_default())?,
            topology: Topology { file: w.topology.and_then(|t| t.file) },
        })
    }
}

fn cluster(w: written::Cluster, broker: Option<&Broker>, place: &Place) -> Result<Cluster, ConfigError> {
    let Some(instance) = w.instance else {
        return wrong(
            "cluster.instance",
            "is missing: the name of this collector among those that share its id",
        );
    };
    if !wire::is_name(&instance) {
        let what = format!("\"{instance}\" is not a name: [a-z0-9-], 1 to 48 characters");
        return wrong("cluster.instance", &what);
    }
    if matches!(broker, Some(Broker::Embedded(_))) {
        return wrong(
            "cluster",
            "needs a broker that all its members reach: broker.url instead of broker.embedded",
        );
    }
    if matches!(place, Place::File { .. }) {
        return wrong("cluster", "needs a database that all its members reach: store.url instead of a file");
    }
    Ok(Cluster { instance })
}

fn address(key: &str, text: Option<&str>, default: &str) -> Result<SocketAddr, ConfigError> {
    let text = text.unwrap_or(default);
    text.parse().or_else(|_| wrong(key, &format!("\"{text}\" is not address:port, such as {default}")))
}

pub(crate) fn duration(text: &str) -> Option<Duration> {
    let split = text.len() - text.chars().last()?.len_utf8();
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> String {
        let config = Config::from_toml(text).and_then(|c| c.broker().map(|_| c.clone()));
        config.map_or_else(|e| e.to_string(), |c| toml::to_string(&c).unwrap())
    }

    #[test]
    fn mistakes_are_named_with_line_key_and_what_is_allowed() {
        let check = |text: &str, parts: &[&str]| {
            let said = says(text);
            assert!(parts.iter().all(|p| said.contains(p)), "{text:?} said {said:?}, not {parts:?}");
        };
        check("", &["broker.url", "is missing", "mqtt://host:1883", "embedded = true"]);
        check("[broker]\nurl = \"mqtt://b\"\nusr = \"x\"", &["configuration:3", "broker.usr", "`user`"]);
        check("[broker]\n\nembedded = 1", &["configuration:3", "broker.embedded", "boolean"]);
        check("[brokr]\nurl = \"x\"", &["configuration:1", "brokr", "`broker`"]);
        check("id = \"one\"\n[broker]\n\nurl = \"http://b\"", &["configuration:4: broker.url: \"http://b\""]);
        check(
            "[broker]\nembedded = true\ncert_file = \"c\"",
            &["configuration:1: broker.key_file: is needed"],
        );
        check("[broker]\nembedded = true\n[notify]\nflaps = 1", &["configuration:4: notify.flaps: 1"]);
        check("root = \n", &["configuration:1"]);
        check("[broker]\nurl = \"http://b\"", &["broker.url", "mqtts://"]);
        check("[broker]\nurl = \"mqtt://a b\"", &["broker.url"]);
        check("[broker]\nurl = \"mqtt://b:99999\"", &["broker.url"]);
        check("[broker]\nurl = \"mqtt://b:0\"", &["broker.url"]);
        check("[broker]\nurl = \"mqtt://u:secret@b\"", &["broker.url", "broker.password_file"]);
        check("[broker]\nurl = \"mqtt://b\"\nca_file = \"x\"", &["mqtts://"]);
        check("[broker]\nembedded = true\nurl = \"mqtt://b\"", &["broker.url", "embedded"]);
        check("[broker]\nembedded = true\nlisten = \"0.0.0.0:1883\"", &["broker.listen", "allow_plain"]);
        check("[broker]\nembedded = true\ncert_file = \"c\"", &["broker.key_file"]);
        check("[broker]\nembedded = true\n[http]\nlisten = \"8080\"", &["http.listen", "127.0.0.1:8080"]);
        check("[broker]\nembedded = true\n[store]\nretention = \"soon\"", &["store.retention", "90d"]);
        let keep = |key: &str| format!("[broker]\nembedded = true\n[store.keep]\n{key}");
        check(&keep("facts = \"5s\""), &["store.keep.facts", "an hour or more"]);
        check(&keep("fact = \"5d\""), &["store.keep.fact", "`facts`"]);
        check("[broker]\nembedded = true\n[intake]\ndevice_rate = 0", &["intake.device_rate", "1 or more"]);
        check("[broker]\nembedded = true\n[cluster]\ninstance = \"a\"", &["cluster", "broker.url"]);
        let member = "[broker]\nurl = \"mqtt://b\"\n[cluster]\ninstance = \"a\"";
        check(member, &["cluster", "store.url"]);
        let store = "[store]\nurl = \"postgres://f@db/fleet\"";
        check(&format!("{member}\n{store}"), &["instance = \"a\""]);
        check("[broker]\nurl = \"mqtt://b\"\n[cluster]", &["cluster.instance", "is missing"]);
        check(
            "[broker]\nurl = \"mqtt://b\"\n[cluster]\ninstance = \"A_1\"",
            &["cluster.instance", "[a-z0-9-]"],
        );
        let store = |keys: &str| format!("[broker]\nembedded = true\n[store]\n{keys}");
        check(&store("url = \"mysql://db\""), &["store.url", "postgres://user@host:port/database"]);
        check(&store("url = \"postgres://u:secret@db/f\""), &["store.url", "store.password_file"]);
        check(&store("url = \"postgres://u@db/f\"\npath = \"x.db\""), &["store.path", "store.url"]);
        check(&store("password_file = \"p\""), &["store.password_file", "store.url"]);
        check(&store("ca_file = \"p\""), &["store.ca_file", "store.url"]);
        check(&store("url = \"postgres://u@db/f\"\nca_file = \"p\""), &["ca_file = \"p\""]);
        check(
            &store("url = \"postgres://u@localhost/f\"\nca_file = \"p\""),
            &["store.ca_file", "sslmode=require"],
        );
        check(&store("url = \"postgres://u@db/f?sslmode=prefer\""), &["store.url", "sslmode=prefer"]);
        for hidden in
            [store("url = \"postgres://u:secret@db/f\""), "broker.url = \"mqtt://u:secret@b\"".to_owned()]
        {
            assert!(!says(&hidden).contains("secret"));
        }
        check(
            "[broker]\nembedded = true\n[intake]\ndevice_rate = \"many\"",
            &["configuration:4: intake.device_rate: ", "\"many\"", "expected a whole number, 0 or more"],
        );
        check("[[policy]]\nname = \"x\"\nthen = \"shout\"", &["configuration:3: policy[0].then: ", "`page`"]);
        check(
            "[[policy]]\nname = \"x\"\nthen = \"page\"\nmatch = { priority = 3 }",
            &["configuration:4: policy[0].match.priority: ", "expected a list"],
        );
        check("root = \"a/b\"\n[broker]\nembedded = true", &["root", "[a-z0-9-]"]);
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        for text in [
            "[broker]\nembedded = true",
            "[broker]\nembedded = true\nlisten = \"0.0.0.0:1883\"\nallow_plain = true",
            "root = \"r\"\nid = \"two\"\n[broker]\nurl = \"mqtts://[::1]:8884\"\nca_file = \"ca\"\ncert_file = \"c\"\n\
             key_file = \"k\"\nuser = \"u\"\npassword_file = \"p\"\n[store]\nretention = \"36h\"\npath = \"x.db\"\n[store.keep]\naudit = \"52w\"",
            "[broker]\nembedded = true\n[store]\nurl = \"postgres://fieldmouse@db:5433/fleet\"\npassword_file = \"p\"",
        ] {
            let printed = says(text);
            assert_eq!(says(&printed), printed);
        }
        assert!(says("[broker]\nembedded = true").contains("retention = \"90d\""));
    }

    #[test]
    fn the_environment_comes_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "id = \"one\"\n[broker]\nurl = \"mqtt://a\"\n").unwrap();
        let load = |key: &str, value: &str| {
            Config::load(Some(&path), [(format!("FIELDMOUSE_COLLECTOR__{key}"), value.to_owned())])
        };
        assert_eq!(load("ID", "two").unwrap().id, "two");
        assert_eq!(load("ID", "2").unwrap().id, "2");
        assert_eq!(load("INTAKE__DEVICE_RATE", "20").unwrap().intake.device_rate, 20);
        let Some(Broker::Remote(remote)) = load("BROKER__URL", "mqtt://b:1884").unwrap().broker else {
            panic!()
        };
        assert_eq!((remote.host.as_str(), remote.port, remote.tls), ("b", 1884, false));
        let said = load("HTTP__LISTEN", "8080").unwrap_err().to_string();
        assert!(said.starts_with("FIELDMOUSE_COLLECTOR__HTTP__LISTEN: http.listen: \"8080\""), "{said}");
        let said = load("", "x").unwrap_err().to_string();
        assert!(said.contains("FIELDMOUSE_COLLECTOR__: names no key"), "{said}");
        let said = load("BROKER__URI", "x").unwrap_err().to_string();
        assert!(said.contains("FIELDMOUSE_COLLECTOR__BROKER__URI") && said.contains("`url`"), "{said}");
        let absent = Config::load(Some(&dir.path().join("no.toml")), []).unwrap_err().to_string();
        assert!(absent.contains("no.toml"), "{absent}");
    }

    #[test]
    fn the_example_holds_every_key_and_is_right() {
        let example = include_str!("../../../packaging/collector.toml");
        Config::from_toml(example).expect("the example as it stands");
        // With every key switched on, each alternative of the broker on its own.
        let keys: Vec<&str> = example
            .lines()
            .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once(" = "))
            .map(|(key, _)| key)
            .collect();
        let kept = crate::store::Kept::ALL.map(crate::store::Kept::word);
        for key in Written::KEYS.iter().chain(&kept) {
            assert!(keys.contains(key), "{key} is not in the example");
        }
        // What is commented out without a space is right, too.
        let all: String = example
            .lines()
            .map(|line| {
                line.strip_prefix('#').filter(|l| l.starts_with(|c: char| !c.is_whitespace())).unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let rules = Config::from_toml(&all).expect("the example with its rules").rules;
        assert_eq!((rules.outlets.len(), rules.policies.len(), rules.inhibitions.len()), (2, 6, 2));
        let explained = rules.policies[0].to_string();
        let line = all.lines().position(|l| l == "[[policy]]").map_or(0, |at| at + 1);
        assert_eq!(explained, format!("policy \"night\" (configuration:{line}): page"));
    }
}
