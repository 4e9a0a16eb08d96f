//! `otlp`: what instrumented programs of this machine export by OTLP/HTTP: spans, metrics and logs, as protobuf or JSON,
//! packed by gzip or not. What becomes of it is told in [`crate::otlp`].
//!
//! It listens from the first sample of an agent on; a look (`once`, `check`) does not. A port that is taken is this
//! source's trouble alone, and is tried again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use fieldmouse_core::series::{Millis, NoData};
use fieldmouse_core::wire::Fact;
use serde::Deserialize;
use tokio::runtime::Handle;

use super::{Kind, Place, Readings, Source, SourceError};
use crate::disk::{Disk, Folder};
use crate::duration::Span;
use crate::http::{Limits, Listen, Request, Route, Server};
use crate::otlp::{self, Intake, JSON, PROTOBUF, Signal};

pub(super) const KIND: Kind = Kind {
    name: "otlp",
    about: "what programs export by OpenTelemetry: spans, metrics and logs, at 127.0.0.1:4318",
    every_ms: 1000,
    build: |keys, place| Ok(Box::new(Otlp::new(&super::config(KIND.name, keys)?, place)?)),
};

/// `[source.otlp]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Where it listens.
    listen: String,
    /// The bearer token that exporters send; needed if other machines can.
    token_file: Option<PathBuf>,
    /// Operations of all services that are told apart.
    operations: usize,
    /// Series that metrics may have.
    series: usize,
    /// The time over which calls are counted.
    window: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: "127.0.0.1:4318".into(), token_file: None, operations: 100, series: 200, window: Span(10_000) }
    }
}

/// More are no help, and cost memory.
const MOST: usize = 2000;
/// A port that is taken is tried again so often.
const AGAIN_MS: Millis = 10_000;
/// What has to outlive a restart is written so often, if there is news.
const KEEP_MS: Millis = 1_800_000;
/// What was refused is told so often at most.
const TELL_MS: Millis = 3_600_000;
const FILE: &str = "otlp.book";
const NEW_FILE: &str = "otlp.book.new";
/// A book is smaller.
const LARGEST: usize = 2 << 20;

struct Otlp {
    listen: Listen,
    place: Place,
    limits: otlp::Limits,
    intake: Option<Arc<Mutex<Intake>>>,
    server: Option<Server>,
    /// When to try again, and what went wrong.
    again: Millis,
    trouble: String,
    keeping: Keeping,
    told: (u64, Option<Millis>),
}

impl Otlp {
    fn new(config: &Config, place: &Place) -> anyhow::Result<Self> {
        for (key, number) in [("operations", config.operations), ("series", config.series)] {
            ensure!(number <= MOST, "`{key}`: {number} is too many; at most {MOST}");
        }
        let window = config.window;
        ensure!((1..=3_600_000).contains(&window.0), "`window`: {window} is not within 1ms and 1h");
        Ok(Self {
            listen: Listen::new(&config.listen, config.token_file.as_deref())?,
            place: place.clone(),
            limits: otlp::Limits { operations: config.operations, series: config.series, window_ms: config.window.0 },
            intake: None,
            server: None,
            again: 0,
            trouble: String::new(),
            keeping: Keeping::default(),
            told: (0, None),
        })
    }

    /// Listens, if it can.
    fn start(&mut self, now: Millis, runtime: &Handle) -> Result<(), SourceError> {
        if self.server.is_none() && now >= self.again {
            let intake = self.intake.get_or_insert_with(|| {
                let saved = self.place.state.as_deref().and_then(|dir| Keeping::load(&mut Folder::new(dir)));
                Arc::new(Mutex::new(Intake::new(&self.place, self.limits, saved)))
            });
            let routes = Signal::ALL.map(|signal| route(signal, intake)).to_vec();
            match Server::start(runtime, &self.listen, Limits::default(), routes) {
                Ok(server) => self.server = Some(server),
                Err(error) => (self.again, self.trouble) = (now + AGAIN_MS, error.to_string()),
            }
        }
        let path = || self.listen.address().to_string().into();
        match self.server {
            Some(_) => Ok(()),
            None => Err(SourceError { path: path(), what: self.trouble.clone(), why: NoData::Failed }),
        }
    }

    /// What was turned away is told.
    fn tell_refused(&mut self, now: Millis, out: &mut Readings) {
        let refused = self.server.as_ref().map_or(0, |server| server.counts().refused);
        let (told, at) = self.told;
        if refused > told && at.is_none_or(|at| now.saturating_sub(at) >= TELL_MS) {
            let text = format!("{} exports were turned away: too long, too many at once, or not by the protocol", refused - told);
            out.tell(13, Fact::new("otlp-refused", &text));
            self.told = (refused, Some(now));
        }
    }
}

impl Source for Otlp {
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        // Only an agent keeps anything; whoever just looks hears nothing.
        let Some(runtime) = Handle::try_current().ok().filter(|_| self.place.state.is_some()) else {
            return Ok(());
        };
        self.start(now, &runtime)?;
        let Some(intake) = self.intake.clone() else { return Ok(()) };
        let mut intake = intake.lock().unwrap_or_else(PoisonError::into_inner);
        intake.tick(now, out);
        self.tell_refused(now, out);
        if self.keeping.is_due(now) && let (Some(bytes), Some(dir)) = (intake.save(), &self.place.state) {
            drop(intake);
            self.keeping.keep(&mut Folder::new(dir), &bytes);
        }
        Ok(())
    }
}

/// What was learnt of the lines outlives a stop in good order.
impl Drop for Otlp {
    fn drop(&mut self) {
        let Some(intake) = &self.intake else { return };
        let saved = intake.lock().unwrap_or_else(PoisonError::into_inner).save();
        if let (Some(bytes), Some(dir)) = (saved, &self.place.state) {
            self.keeping.keep(&mut Folder::new(dir), &bytes);
        }
    }
}

fn route(signal: Signal, intake: &Arc<Mutex<Intake>>) -> Route {
    let intake = intake.clone();
    let handler = move |request: &Request<'_>| {
        intake.lock().unwrap_or_else(PoisonError::into_inner).take(signal, request.kind, request.body)
    };
    Route { method: "POST", path: signal.path(), kinds: &[PROTOBUF, JSON], handler: Arc::new(handler) }
}

/// What is kept of the lines, and when. A book that cannot be written is learnt anew after a restart.
#[derive(Debug, Default)]
struct Keeping {
    due: Option<Millis>,
    last: u32,
}

impl Keeping {
    fn is_due(&mut self, now: Millis) -> bool {
        let due = *self.due.get_or_insert(now + KEEP_MS);
        if now >= due {
            self.due = Some(now + KEEP_MS);
        }
        now >= due
    }

    fn keep(&mut self, disk: &mut dyn Disk, bytes: &[u8]) {
        let sum = crc32fast::hash(bytes);
        if sum == self.last {
            return;
        }
        let kept = disk.list().and_then(|_| disk.write(NEW_FILE, 0, bytes)).and_then(|()| {
            disk.truncate(NEW_FILE, bytes.len() as u64)?;
            disk.sync(NEW_FILE)?;
            disk.rename(NEW_FILE, FILE)?;
            disk.sync_dir()
        });
        match kept {
            Ok(()) => self.last = sum,
            Err(error) => log::warn!("{FILE}: {error}"),
        }
    }

    fn load(disk: &mut dyn Disk) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        disk.read(FILE, 0, LARGEST, &mut bytes).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::disk::Memory;
    use crate::http::tests::Runtime;

    fn keys(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    #[test]
    fn keys_that_cannot_be_are_refused() {
        let place = Place::default();
        let check = |text: &str, wrong: Option<&str>| match ((KIND.build)(keys(text), &place), wrong) {
            (Ok(_), None) => {}
            (Err(e), Some(why)) => assert!(format!("{e:#}").contains(why), "{e:#}"),
            (got, _) => panic!("{text}: {:?}", got.err()),
        };
        check("", None);
        check("listen = \"[::1]:4318\"", None);
        check("listen = \"0.0.0.0:4318\"\ntoken_file = \"/etc/fieldmouse/otlp.token\"", None);
        check("listen = \"0.0.0.0:4318\"", Some("set `token_file`"));
        check("listen = \"here\"", Some("no address with a port"));
        check("series = 1000000", Some("at most 2000"));
        check("window = \"2h\"", Some("not within 1ms and 1h"));
    }

    /// Posts to a port that the source says nothing of: it was free just now.
    fn post(address: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = "Host: here\r\nConnection: close\r\nContent-Type: application/json";
        write!(stream, "POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_listens_from_the_first_sample_on_and_a_taken_port_is_tried_again() {
        let runtime = Runtime::start();
        let _inside = runtime.handle.enter();
        let dir = tempfile::tempdir().unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let place = Place { state: Some(dir.path().to_owned()), ..Place::default() };
        let mut source = (KIND.build)(keys(&format!("listen = \"{address}\"")), &place).unwrap();
        let mut out = Readings::default();
        let error = source.sample(1000, &mut out).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{address}: Address already in use")), "{error}");
        drop(taken);
        assert!(source.sample(2000, &mut out).is_err(), "it is not tried at every tick");
        source.sample(11_000, &mut out).unwrap();
        let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET /","endTimeUnixNano":"5000000"}]}]}]}"#;
        let answer = post(&address, "/v1/traces", spans);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n{}"), "{answer}");
        out.begin();
        source.sample(21_000, &mut out).unwrap();
        let seen: Vec<_> = out.iter().map(|(key, reading)| (key.to_string(), reading)).collect();
        assert_eq!(seen[0], ("span.count{service.name=unknown_service,span.name=GET /}".into(), Ok(1.0)));
        let answer = post(&address, "/v1/spans", spans);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        source.sample(22_000, &mut out).unwrap();
        let told: Vec<_> = out.told().map(|told| told.fact.kind.to_string()).collect();
        assert_eq!(told, ["otlp-refused"]);
    }

    #[test]
    fn who_just_looks_does_not_listen() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let keys = keys(&format!("listen = \"{}\"", taken.local_addr().unwrap()));
        let mut source = (KIND.build)(keys, &Place::default()).unwrap();
        assert_eq!(source.sample(1000, &mut Readings::default()), Ok(()));
    }

    #[test]
    fn what_is_kept_is_written_seldom_and_whole() {
        let mut disk = Memory::default();
        let mut keeping = Keeping::default();
        assert_eq!(Keeping::load(&mut disk), None);
        assert!(!keeping.is_due(5) && !keeping.is_due(KEEP_MS) && keeping.is_due(KEEP_MS + 5));
        assert!(!keeping.is_due(KEEP_MS + 6));
        for bytes in [b"a long one".as_slice(), b"short"] {
            keeping.keep(&mut disk, bytes);
            assert_eq!(Keeping::load(&mut disk).as_deref(), Some(bytes));
        }
        assert_eq!(disk.list().unwrap().len(), 1);
    }
}
