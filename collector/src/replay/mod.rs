//! Recorded events through the very pipeline of the collector, in simulated time: the same input, the same bytes.
//!
//! `lines → messages (line) → intake::decode → store, in memory → desk → incidents → teller → notices`. Time is that of the
//! lines: what arrived within a second is committed together, then desk and teller look; between lines the desk looks when
//! something is due, and the teller every minute. Notices are made, and stay: nobody is told anything.

mod body;
pub mod line;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::cluster::Sites;
use crate::config::Config;
use crate::desk::Desk;
use crate::intake::decode::{self, Arrival, Leaf};
use crate::notify::outlets::{Event, Notice};
use crate::notify::{Digest, Teller};
use crate::store::{Class, Database, RecordFilter, Store};
use crate::topology::Declared;
use fieldmouse_core::wire::Kind;

/// The site of lines that name none.
const SITE: &str = "replay";
/// The longest line that is looked at: a message in JSON takes less.
const LONGEST: u64 = 1 << 20;
/// Bad lines that are told one by one.
const NAMED: u64 = 20;
/// So much of an error is shown.
const SHOWN: usize = 300;
/// How often the teller looks though nothing arrived: budgets, silences and times of day change by themselves.
const TELL_MS: u64 = 60_000;
/// For so long after the desk looked last.
const LINGER_MS: u64 = 86_400_000;

/// What a replay came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Lines that were events.
    pub lines: u64,
    /// Lines that were none.
    pub bad: u64,
    /// Events that were stored.
    pub stored: u64,
    /// Events that were stored before.
    pub duplicates: u64,
    /// Incidents that were written.
    pub incidents: usize,
}

/// Replays `events`, and writes one line for every incident, with its life and what was told of it, in the order of their
/// beginning. A line that is no event ends it, unless it is to `go_on`.
///
/// # Errors
/// If a line is no event: its number and what is wrong with it. If a file of the configuration cannot be used, or
/// something cannot be read or written.
pub fn replay(
    config: &Config,
    mut events: impl BufRead,
    mut incidents: impl Write,
    go_on: bool,
) -> anyhow::Result<Replayed> {
    let mut replay = Replay::new(config)?;
    let mut text = Vec::new();
    for number in 1_u64.. {
        text.clear();
        let read = events.by_ref().take(LONGEST).read_until(b'\n', &mut text).context("events")?;
        if read == 0 {
            break;
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let taken = match std::str::from_utf8(&text) {
            _ if read as u64 == LONGEST => {
                skip_line(&mut events)?;
                Err(format!("is longer than {LONGEST} bytes"))
            }
            Ok(text) => replay.take(text)?,
            Err(e) => Err(e.to_string()),
        };
        match taken {
            Ok(()) => replay.done.lines += 1,
            Err(what) => {
                let what: String = what.chars().take(SHOWN).collect();
                if !go_on {
                    bail!("line {number}: {what}");
                }
                replay.done.bad += 1;
                if replay.done.bad <= NAMED {
                    log::warn!("line {number}: {what}; it is left out");
                }
            }
        }
    }
    replay.end()?;
    replay.write(&mut incidents)?;
    incidents.flush().context("incidents")?;
    Ok(replay.done)
}

/// Reads on to the end of the line.
fn skip_line(events: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let held = events.fill_buf()?;
        let (end, len) = (held.iter().position(|b| *b == b'\n'), held.len());
        events.consume(end.map_or(len, |at| at + 1));
        if end.is_some() || len == 0 {
            return Ok(());
        }
    }
}

struct Replay<'a> {
    config: &'a Config,
    store: Arc<Database>,
    desk: Desk,
    teller: Teller,
    /// When the teller looks again, and until when it does.
    tell: (u64, u64),
    /// The second it is, in milliseconds since 1970; it never goes back.
    second: u64,
    /// What arrived in it.
    batch: Vec<Arrival>,
    done: Replayed,
}

impl<'a> Replay<'a> {
    fn new(config: &'a Config) -> anyhow::Result<Self> {
        let store = Arc::new(Database::in_memory()?);
        let declared = config.topology.file.as_deref().map(Declared::load).transpose()?.unwrap_or_default();
        let of: Arc<dyn Store> = Arc::<Database>::clone(&store);
        let (rules, learn) = (config.correlation.rules(), config.correlation.learn);
        let desk = Desk::new(Arc::clone(&of), rules, learn, declared, Sites::All, 0)?;
        Ok(Self {
            config,
            teller: Teller::new(of, config.rules.clone(), desk.atlas(), Arc::new(|_: &str| true)),
            tell: (0, 0),
            desk,
            store,
            second: 0,
            batch: Vec::new(),
            done: Replayed::default(),
        })
    }

    /// Takes a line in. The inner error is the line's, the outer one is ours.
    fn take(&mut self, text: &str) -> anyhow::Result<Result<(), String>> {
        let line = match line::read(text) {
            Ok(line) => line,
            Err(what) => return Ok(Err(what)),
        };
        let Some(at) = line.received_ms.or(line.wall_ms) else {
            return Ok(Err("received_ms: is missing, and wall_ms, which would do, is null".to_owned()));
        };
        let leaf = match Kind::of(line.kind) {
            Some(Kind::Status) => Leaf::Status,
            Some(Kind::Birth) => Leaf::Birth,
            Some(Kind::Beat) => Leaf::Beat,
            Some(Kind::Piece) => Leaf::Capsule,
            Some(Kind::Ack | Kind::Ask) => return Ok(Err("kind: devices say no such thing".to_owned())),
            _ => Leaf::Event,
        };
        let now = at.max(self.second);
        if now / 1000 > self.second / 1000 {
            self.advance(now / 1000 * 1000)?;
        }
        let site = line.site.as_deref().unwrap_or(SITE);
        let topic = format!("{}/1/{site}/{}/{}", self.config.root, line.node, leaf.word());
        Ok(match decode::arrival(&self.config.root, &topic, &line.payload, line.retained, now) {
            Arrival::Refused(letter) => Err(letter.reason.to_owned()),
            message @ Arrival::Message(_) => {
                self.batch.push(message);
                Ok(())
            }
        })
    }

    /// Ends the second it is, and lets time go on to the next one that something arrives in.
    fn advance(&mut self, to: u64) -> anyhow::Result<()> {
        self.commit()?;
        while let Some(due) = self.due().filter(|due| *due <= to) {
            self.pass(due)?;
        }
        self.second = to;
        Ok(())
    }

    /// When there is something to look at though nothing arrives.
    fn due(&self) -> Option<u64> {
        let (again, until) = self.tell;
        self.desk.next().into_iter().chain((again <= until).then_some(again)).min()
    }

    fn pass(&mut self, now: u64) -> anyhow::Result<()> {
        if self.desk.next().is_none_or(|due| due > now) {
            return self.tell(now);
        }
        self.look(BTreeMap::new(), now)?;
        // What is due again at once would be for ever.
        match self.desk.next() {
            Some(next) if next <= now => bail!("incidents: looking does not settle what is due at {now}"),
            _ => Ok(()),
        }
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let committed = self.store.commit(&self.batch)?;
        self.done.stored += committed.stored;
        self.done.duplicates += committed.duplicates;
        self.batch.clear();
        self.desk.hear(&committed.born, self.second)?;
        self.look(committed.touched, self.second + 1000)
    }

    fn look(&mut self, touched: BTreeMap<String, u64>, now: u64) -> anyhow::Result<()> {
        self.desk.look(touched, now)?;
        self.tell.1 = now + LINGER_MS;
        self.tell(now)
    }

    fn tell(&mut self, now: u64) -> anyhow::Result<()> {
        self.teller.look(now)?;
        self.tell.0 = now + TELL_MS;
        Ok(())
    }

    /// Lets time go on until nothing is due any more.
    fn end(&mut self) -> anyhow::Result<()> {
        self.commit()?;
        while let Some(due) = self.due() {
            self.pass(due)?;
        }
        Ok(())
    }

    fn write(&mut self, to: &mut impl Write) -> anyhow::Result<()> {
        let (lives, notices) = (self.by_incident(Class::Life)?, self.by_incident(Class::Notice)?);
        let (decisions, digests) = (self.by_incident(Class::Decision)?, self.digests()?);
        let mut incidents = Vec::new();
        for record in self.store.records(&RecordFilter::all(Class::Incident))? {
            let doc: Value = serde_json::from_str(&record.doc)?;
            incidents.push((doc, record));
        }
        incidents.sort_by(|(a, ours), (b, theirs)| {
            (a["onset_ms"].as_u64(), &ours.key).cmp(&(b["onset_ms"].as_u64(), &theirs.key))
        });
        self.done.incidents = incidents.len();
        for (incident, record) in incidents {
            let of = |all: &BTreeMap<String, Vec<Value>>| all.get(&record.key).cloned().unwrap_or_default();
            let line = json!({
                "incident": incident, "life": of(&lives), "decision": of(&decisions).pop(), "notices": of(&notices),
                "digests": digests.get(&record.key).cloned().unwrap_or_default(),
            });
            serde_json::to_writer(&mut *to, &line).context("incidents")?;
            to.write_all(b"\n").context("incidents")?;
        }
        Ok(())
    }

    /// Keys of the digests in which an incident is told, by the incident.
    fn digests(&self) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
        let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in self.store.records(&RecordFilter::all(Class::Notice))? {
            let notice: Notice = serde_json::from_str(&record.doc)?;
            if notice.event != Event::Digest {
                continue;
            }
            let digest: Digest = serde_json::from_value(notice.document)?;
            for incident in digest.rows.into_iter().flat_map(|row| row.incidents) {
                of.entry(incident).or_default().push(record.key.clone());
            }
        }
        of.values_mut().for_each(|keys| keys.sort());
        Ok(of)
    }

    /// Documents by the incident that they name, each in the order of their keys.
    fn by_incident(&self, class: Class) -> anyhow::Result<BTreeMap<String, Vec<Value>>> {
        let mut records = self.store.records(&RecordFilter::all(class))?;
        records.sort_by(|a, b| a.key.cmp(&b.key));
        let mut of: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for record in records {
            let mut doc: Value = serde_json::from_str(&record.doc)?;
            // A notice has the incident in it, as it was then.
            doc.as_object_mut().map(|notice| notice.remove("document"));
            of.entry(doc["incident"].as_str().unwrap_or_default().to_owned()).or_default().push(doc);
        }
        Ok(of)
    }
}
