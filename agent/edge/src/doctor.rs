//! `doctor`: why nothing arrives, in words. Each finding says what is wrong, how that shows, and what to do.

mod look;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::link::Broker;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// How it shows.
    pub evidence: String,
    /// What to do.
    pub cure: String,
}

impl Finding {
    fn new(what: &str, evidence: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.to_owned(), evidence: evidence.into(), cure: cure.into() }
    }
}

/// What was seen of a broker from here.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reach {
    /// It takes connections.
    Open,
    /// Its name leads nowhere.
    Nameless(String),
    /// Nobody answers there.
    Closed(String),
}

/// Everything that was looked at.
#[derive(Debug, Default)]
struct Seen {
    /// What was found before anything could be asked: configuration, folders, files.
    first: Vec<Finding>,
    /// What the running agent says; none if no agent answers.
    status: Option<Value>,
    /// Where it was asked.
    socket: String,
    brokers: Vec<(Broker, Reach)>,
}

/// Looks, and prints what is wrong.
///
/// # Errors
/// If anything is.
pub fn run(config: Option<&Path>, socket: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    use std::io::Write;
    let findings = diagnose(&look::around(config, socket));
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", serde_json::to_string(&findings)?)?;
    } else {
        for (i, f) in findings.iter().enumerate() {
            writeln!(out, "{}. {}\n   seen: {}\n   do:   {}", i + 1, f.what, f.evidence, f.cure)?;
        }
    }
    match findings.len() {
        0 if as_json => Ok(()),
        0 => Ok(writeln!(
            out,
            "nothing found: configuration, state, agent, broker and collector are as they should be"
        )?),
        1 => anyhow::bail!("1 finding"),
        n => anyhow::bail!("{n} findings"),
    }
}

/// What is wrong, the likeliest cause first.
fn diagnose(seen: &Seen) -> Vec<Finding> {
    let mut found = seen.first.clone();
    match &seen.status {
        Some(status) => found.extend(of_agent(status)),
        // Nobody could be asked.
        None if seen.socket.is_empty() => {}
        None => found.push(Finding::new(
            "no agent is running",
            format!("{}: nobody answers on this socket", seen.socket),
            "start it: systemctl start fieldmouse; what it says at its start: journalctl -u fieldmouse",
        )),
    }
    let is_up = seen.status.as_ref().is_some_and(|s| s["link"]["state"] == "up");
    let reachable = seen.brokers.iter().any(|(_, reach)| *reach == Reach::Open);
    for (broker, reach) in &seen.brokers {
        let others = if is_up || reachable { "; meanwhile another one of the list does" } else { "" };
        match reach {
            Reach::Open => {}
            Reach::Nameless(why) => found.push(Finding::new(
                "the name of a broker leads nowhere",
                format!("{broker}: {why}"),
                format!(
                    "check broker.url, and the resolver of this device: getent hosts {}{others}",
                    broker.host
                ),
            )),
            Reach::Closed(why) => found.push(Finding::new(
                "a broker cannot be reached",
                format!("{broker}: {why}"),
                format!("is it running, and does a firewall let port {} through?{others}", broker.port),
            )),
        }
    }
    found
}

/// What the agent's own word tells.
fn of_agent(status: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let (link, outbox) = (&status["link"], &status["outbox"]);
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let number = |v: &Value| v.as_u64().unwrap_or(0);
    if status["clock"] == "unset" {
        found.push(Finding::new(
            "the clock of this device was never set",
            format!("it says {}", text(&status["time"])),
            "let it reach a time server (timedatectl timesync-status); certificates are judged by the last time known",
        ));
    }
    if outbox["memory_only"] == true {
        found.push(Finding::new(
            "the outbox cannot be written: events stand in memory alone",
            "status: memory_only",
            "make agent.state_dir writable for the user of the agent, and see that its file system has room",
        ));
    }
    if number(&outbox["lost"]) > 0 {
        found.push(Finding::new(
            "events were lost; each is counted and told to the collector",
            format!("status: {} lost", outbox["lost"]),
            "raise outbox.max_bytes if the collector was long away; `fieldmouse outbox check` tells of damage",
        ));
    }
    let waiting = number(&outbox["waiting"]);
    if link["state"] != "up" {
        let why = text(&link["why"]);
        let (what, cure) = cause(&why, link["refused"] == true);
        found.push(Finding::new(
            what,
            format!("{}: {why}, for {}", text(&link["broker"]), text(&link["for"])),
            cure,
        ));
    } else if waiting > 0 && link["collector"] != true {
        let never =
            if link["collector"].is_null() { "was never heard of" } else { "said goodbye or was lost" };
        found.push(Finding::new(
            "the broker is there, but no collector",
            format!("{waiting} events wait; a collector {never} at {}", text(&link["broker"])),
            "start the collector, and see that it uses the same broker and the same broker.root",
        ));
    } else if number(&link["rebuilds"]) > 0 {
        found.push(Finding::new(
            "a collector is online, and acknowledges nothing",
            format!("{waiting} events wait; the connection was rebuilt {} times in vain", link["rebuilds"]),
            "read the collector's log (can its store be written?), and let the broker allow this device to publish to \
             …/event and to subscribe to …/ack",
        ));
    }
    for source in status["sources"].as_array().into_iter().flatten().filter(|s| s["health"] != "good") {
        found.push(Finding::new(
            "a source gives no data",
            format!("{}: {}", text(&source["name"]), text(&source["health"])),
            "see what it reads, or turn it off in its section of the configuration",
        ));
    }
    found
}

/// What the reason of a broken link means, and what to do.
fn cause(why: &str, refused: bool) -> (&'static str, &'static str) {
    let has = |words: &[&str]| words.iter().any(|w| why.contains(w));
    if has(&["BadUserNamePassword", "NotAuthorized"]) {
        (
            "the broker refuses the login",
            "check broker.user and the file of broker.password_file against the broker's",
        )
    } else if has(&["certificate expired", "certificate not valid yet"]) {
        (
            "a certificate and this device's clock do not agree",
            "set the clock if it is wrong; else renew the certificate",
        )
    } else if has(&["UnknownIssuer", "BadSignature"]) {
        (
            "the broker's certificate is of an authority that is not trusted",
            "put the broker's authority into broker.ca_file",
        )
    } else if has(&["not valid for name", "NotValidForName"]) {
        ("the broker's certificate is for another name", "write the name of the certificate into broker.url")
    } else if has(&["received fatal alert", "CertificateRequired"]) {
        (
            "the broker refuses our certificate",
            "check broker.cert_file and broker.key_file against what the broker trusts",
        )
    } else if has(&["SessionTakenOver"]) {
        ("another device uses the name of this one", "give each device a node.name of its own")
    } else if has(&["ClientIdentifierNotValid", "BadClientId", "Banned"]) || refused {
        (
            "the broker does not want this device",
            "see the broker's log and its list of devices for this node.name",
        )
    } else if has(&["lookup", "resolve", "Name or service"]) {
        ("the name of the broker leads nowhere", "check broker.url, and the resolver of this device")
    } else if has(&["silent", "confirms nothing", "acknowledged", "Timeout", "elapsed", "pingreq"]) {
        (
            "the broker is connected to, and does not answer",
            "see its log and its load; a firewall may drop what idles",
        )
    } else {
        ("the agent is not connected", "see that the broker runs and is reached; the agent goes on trying")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> Value {
        json!({
            "clock": "synced",
            "link": {"state": "up", "why": "", "for": "1m", "broker": "mqtt://b:1883", "collector": true, "rebuilds": 0, "refused": false},
            "outbox": {"waiting": 0, "lost": 0, "memory_only": false},
            "sources": [{"name": "host", "health": "good"}],
        })
    }

    /// The findings of an agent whose status differs in these places.
    fn check(changes: &[(&str, Value)], wanted: &[&str]) {
        let mut s = status();
        for (at, value) in changes {
            *s.pointer_mut(at).unwrap() = value.clone();
        }
        let seen = Seen { status: Some(s), ..Seen::default() };
        let found: Vec<String> = diagnose(&seen).into_iter().map(|f| f.what).collect();
        assert_eq!(found, wanted, "{changes:?}");
    }

    #[test]
    fn what_the_agent_says_becomes_a_cause() {
        let down = |why: &str| [("/link/state", json!("down")), ("/link/why", json!(why))];
        check(&[], &[]);
        check(&[("/clock", json!("unset"))], &["the clock of this device was never set"]);
        check(
            &[("/outbox/memory_only", json!(true))],
            &["the outbox cannot be written: events stand in memory alone"],
        );
        check(
            &[("/outbox/lost", json!(3))],
            &["events were lost; each is counted and told to the collector"],
        );
        for collector in [json!(false), Value::Null] {
            let none = ["the broker is there, but no collector"];
            check(&[("/outbox/waiting", json!(2)), ("/link/collector", collector)], &none);
        }
        let mute = [("/outbox/waiting", json!(2)), ("/link/rebuilds", json!(1))];
        check(&mute, &["a collector is online, and acknowledges nothing"]);
        check(&[("/sources/0/health", json!("cannot be read"))], &["a source gives no data"]);
        check(&down("Connection refused, return code: `NotAuthorized`"), &["the broker refuses the login"]);
        check(
            &down(
                "certificate expired: it was valid until 2026-01-01T00:00:00Z; this device's clock says 2036",
            ),
            &["a certificate and this device's clock do not agree"],
        );
        check(
            &down("TLS: invalid peer certificate: UnknownIssuer"),
            &["the broker's certificate is of an authority that is not trusted"],
        );
        check(
            &down("Server sent disconnect with reason `None` and code 'SessionTakenOver' "),
            &["another device uses the name of this one"],
        );
        check(&down("the broker confirms nothing"), &["the broker is connected to, and does not answer"]);
        check(&down("I/O: Connection refused (os error 111)"), &["the agent is not connected"]);
    }

    #[test]
    fn what_is_seen_from_here_is_told_too() {
        let broker = Broker::parse("mqtt://b").unwrap();
        let seen = Seen {
            first: vec![Finding::new("a", "b", "c")],
            socket: "/run/x.sock".into(),
            brokers: vec![
                (broker.clone(), Reach::Nameless("no such name".into())),
                (broker.clone(), Reach::Closed("refused".into())),
                (broker, Reach::Open),
            ],
            ..Seen::default()
        };
        let found: Vec<String> =
            diagnose(&seen).iter().map(|f| format!("{}; {}", f.what, f.evidence)).collect();
        assert_eq!(
            found,
            [
                "a; b",
                "no agent is running; /run/x.sock: nobody answers on this socket",
                "the name of a broker leads nowhere; mqtt://b:1883: no such name",
                "a broker cannot be reached; mqtt://b:1883: refused",
            ]
        );
    }
}
