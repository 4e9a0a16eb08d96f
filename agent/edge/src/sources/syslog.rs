//! `syslog`: listens for messages by UDP, TCP (line by line, or each behind its length) and a local socket, in the forms
//! of RFC 3164 and 5424. What they say becomes rates of lines and facts, by a [`Book`]; a stream is a program.
//!
//! Syslog knows no authentication, so it listens beyond this machine only for addresses that are named.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use fieldmouse_core::logs::syslog::parse;
use fieldmouse_core::series::{Millis, NoData, cut};
use fieldmouse_core::wire::{Detail, Fact};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{Kind, Place, Readings, Source, SourceError};
use crate::logs::book::{Book, Record};
use crate::logs::keep::Keep;

mod frames;
mod listen;

use listen::{Address, Counts, Inbox, Net, messages, start};

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "syslog",
    about: "messages that programs and other machines send by syslog, where they are asked to",
    every_ms: 1000,
    build: |keys, place| Ok(Box::new(Syslog::new(&super::config(KIND.name, keys)?, place)?)),
};

/// What losses are told no more often than.
const BETWEEN: Millis = 600_000;

/// `[source.syslog]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// `udp://127.0.0.1:514`, `tcp://[::1]:601`, `unix:///run/fieldmouse/log`. None: it does not listen.
    listen: Vec<String>,
    /// Addresses beyond this machine that may send: `10.0.0.0/8`.
    allow_from: Vec<String>,
}

struct Syslog {
    listeners: Vec<Listener>,
    inbox: Arc<Inbox>,
    /// What was taken from the inbox; kept for its room.
    bytes: Vec<u8>,
    place: Place,
    /// None before the first sample.
    work: Option<Work>,
    counts: Counts,
    told: Option<Millis>,
}

struct Work {
    book: Book,
    keep: Option<Keep>,
    /// Messages read: where the source stands.
    read: u64,
}

struct Listener {
    address: Address,
    /// What the user wrote.
    text: String,
    task: Option<AbortHandle>,
}

impl Syslog {
    fn new(config: &Config, place: &Place) -> anyhow::Result<Self> {
        let allowed = config.allow_from.iter().map(|text| match Net::parse(text) {
            Some(net) => Ok(net),
            None => bail!("`allow_from`: `{text}` is no network; write it like `10.0.0.0/8`"),
        });
        let allowed: Vec<Net> = allowed.collect::<anyhow::Result<_>>()?;
        let listener = |text: &String| {
            let address = address(text)?;
            let is_wide = matches!(&address, Address::Udp(at) | Address::Tcp(at) if !at.ip().is_loopback());
            if is_wide && allowed.is_empty() {
                bail!("`listen`: `{text}` can be reached from elsewhere, and syslog has no authentication; name who may send in `allow_from`, or listen at 127.0.0.1");
            }
            Ok(Listener { address, text: text.clone(), task: None })
        };
        let listeners = config.listen.iter().map(listener).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            listeners,
            inbox: Arc::new(Inbox::new(allowed)),
            bytes: Vec::new(),
            place: place.clone(),
            work: None,
            counts: Counts::default(),
            told: None,
        })
    }

    /// Starts what does not listen yet. The first one that cannot is told; the others listen.
    fn listen(&mut self) -> Result<(), SourceError> {
        let mut result = Ok(());
        for listener in &mut self.listeners {
            let is_running = listener.task.as_ref().is_some_and(|task| !task.is_finished());
            if is_running {
                continue;
            }
            match start(&listener.address, &self.inbox, &Handle::current()) {
                Ok(task) => listener.task = Some(task),
                Err(error) if result.is_ok() => {
                    let (path, what) = (PathBuf::from(&listener.text), format!("cannot listen: {error}"));
                    result = Err(SourceError { path, what, why: NoData::Failed });
                }
                Err(_) => {}
            }
        }
        result
    }

    /// Tells what did not get in, at once and then now and then.
    fn tell_losses(&mut self, now: Millis, out: &mut Readings) {
        let Counts { lost, refused } = self.counts;
        let is_due = self.told.is_none_or(|told| now >= told + BETWEEN);
        if !is_due || lost + refused == 0 {
            return;
        }
        let text = match (lost, refused) {
            (_, 0) => format!("{lost} syslog messages lost: they came faster than they are read"),
            (0, _) => format!("{refused} times syslog refused: from an address that is not allowed, too many or too slow"),
            _ => format!("{lost} syslog messages lost: they came faster than they are read; {refused} times refused"),
        };
        let count = u32::try_from(lost + refused).unwrap_or(u32::MAX);
        let detail = Detail { about: cut(KIND.name), count, ..Detail::default() };
        out.tell(13, Fact { detail: Some(detail), ..Fact::new("lines-lost", &text) });
        (self.counts, self.told) = (Counts::default(), Some(now));
    }
}

impl Work {
    fn read(&mut self, bytes: &[u8]) {
        for message in messages(bytes) {
            let message = parse(message);
            let stream = if message.app.is_empty() { KIND.name } else { message.app };
            let (severity, text, wall_ms) = (message.severity, message.text, message.wall_ms);
            let from = [("host", message.host)];
            let beside = if message.host.is_empty() { &[][..] } else { &from };
            self.book.take_with(&Record { stream, severity, text, wall_ms }, beside);
            self.read += 1;
        }
    }

    fn keep(&mut self, now: Millis, has_moved: bool) {
        let Some(keep) = &mut self.keep else { return };
        if has_moved {
            keep.stand(&self.read.to_le_bytes());
        }
        keep.tend(now, || self.book.save());
    }
}

impl Source for Syslog {
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        // Who only looks must not take the place of an agent.
        if self.listeners.is_empty() || self.place.run.is_none() {
            return Ok(());
        }
        let work = match &mut self.work {
            Some(work) => work,
            None => {
                let (keep, found) = Keep::start(KIND.name, &self.place, now)?;
                let book = Book::new(KIND.name, &self.place, found.book.as_deref());
                self.work.insert(Work { book, keep, read: 0 })
            }
        };
        let counts = self.inbox.take(&mut self.bytes);
        self.counts.lost += counts.lost;
        self.counts.refused += counts.refused;
        work.read(&self.bytes);
        work.book.tick(now, out);
        work.keep(now, !self.bytes.is_empty());
        let listening = self.listen();
        self.tell_losses(now, out);
        listening
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        for listener in &self.listeners {
            let Some(task) = &listener.task else { continue };
            task.abort();
            if let Address::Unix(path) = &listener.address {
                // If it is gone already, so much the better.
                drop(std::fs::remove_file(path));
            }
        }
        if let Some(Work { book, keep: Some(keep), read: read @ 1.. }) = &mut self.work {
            keep.close(&read.to_le_bytes(), book.save());
        }
    }
}

fn address(text: &str) -> anyhow::Result<Address> {
    let socket = |at: &str| match at.parse::<SocketAddr>() {
        Ok(at) => Ok(at),
        Err(_) => bail!("`listen`: `{text}`: `{at}` is no address with a port; write it like `127.0.0.1:514`"),
    };
    match text.split_once("://") {
        Some(("udp", at)) => socket(at).map(Address::Udp),
        Some(("tcp", at)) => socket(at).map(Address::Tcp),
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        _ => bail!("`listen`: `{text}` is none of udp://ADDRESS:PORT, tcp://ADDRESS:PORT and unix:///PATH"),
    }
}

#[cfg(test)]
mod tests;
