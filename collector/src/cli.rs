//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::clock;
use crate::config::{Config, ConfigError, DEFAULT_FILE, Place, duration};
use crate::notify::{self, Rules};
use crate::run::{open, run};
use crate::store::{Database, Store, StoreError};
use crate::topology::Declared;

const HELP: &str = "\
fieldmouse-collector: takes in the events of Fieldmouse agents, keeps them, and shows them.

usage: fieldmouse-collector COMMAND [--config FILE]

  run                the collector, in the foreground, until SIGTERM or SIGINT
  check              checks the configuration and prints what is in force
  replay EVENTS.jsonl --incidents OUT.jsonl [--go-on]
                     recorded events through the very pipeline, in simulated time: an incident with its life per line;
                     a line that is no event ends it, or with --go-on is left out
  policies [--since 7d]
                     what the present policies would have done with the incidents since then; nothing is sent
  diagnose FOLDER    ranks the causes of one failure: case.json and <service>.csv in, a JSON object per line out
  backup FILE        the whole database, as it is now, into a new file; the collector may go on
  restore FILE       takes everything over from a backup into an empty database
  export FOLDER      events, episodes, facts and incidents as Parquet files

  --config FILE    instead of /etc/fieldmouse/collector.toml; without it, replay goes by the defaults
  --help, --version

exit codes: 0 fine, 1 run-time failure, 2 usage, 78 configuration, 70 internal
";

/// So far back a dry run goes, unless told.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Why the program ends, for people and for supervisors.
#[derive(Debug)]
enum Failure {
    Usage(String),
    Config(ConfigError),
    Running(anyhow::Error),
    Internal(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Running(_) => 1,
            Self::Usage(_) => 2,
            Self::Internal(_) => 70,
            // A supervisor must not start it again: nothing would have changed.
            Self::Config(_) => 78,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => write!(f, "{what}; try --help"),
            Self::Config(e) => write!(f, "configuration: {e}"),
            Self::Running(e) => write!(f, "{e:#}"),
            Self::Internal(what) => write!(f, "internal: {what}"),
        }
    }
}

/// The program: `args` begins with its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match command(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell if standard error is gone.
            let _told = writeln!(std::io::stderr(), "fieldmouse-collector: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// What was asked for.
#[derive(Debug, Default)]
struct Asked {
    command: Option<String>,
    /// What the command is about: a file or a folder.
    operand: Option<PathBuf>,
    config: Option<PathBuf>,
    incidents: Option<PathBuf>,
    go_on: bool,
    since: Option<Duration>,
}

impl Asked {
    /// The operand, or what is missing.
    fn operand(&self, what: &str) -> Result<&Path, Failure> {
        let command = self.command.as_deref().unwrap_or_default();
        self.operand.as_deref().ok_or_else(|| Failure::Usage(format!("{command} which {what}?")))
    }

    fn config(&self) -> Result<Config, Failure> {
        let text = |(k, v): (OsString, OsString)| Some((k.into_string().ok()?, v.into_string().ok()?));
        let env = std::env::vars_os().filter_map(text);
        Config::load(self.config.as_deref(), env).map_err(Failure::Config)
    }

    /// The configuration with all that `run` needs of it.
    fn config_of_run(&self) -> Result<Config, Failure> {
        let config = self.config()?;
        let place = || self.config_file().display().to_string();
        config.broker().map_err(|e| Failure::Config(ConfigError { place: place(), ..e }))?;
        declared(&config)?;
        Ok(config)
    }

    fn config_file(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// That of the file that was named; without one, the defaults.
    fn config_or_default(&self) -> Result<Config, Failure> {
        if self.config.is_some() { self.config() } else { Config::from_toml("").map_err(Failure::Config) }
    }
}

/// What is declared of the fleet's shape.
fn declared(config: &Config) -> Result<Declared, Failure> {
    let file = config.topology.file.as_deref();
    Ok(file.map(Declared::load).transpose().map_err(Failure::Config)?.unwrap_or_default())
}

fn command(args: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let usage = |e: lexopt::Error| Failure::Usage(e.to_string());
    let mut parser = lexopt::Parser::from_iter(args);
    let mut asked = Asked::default();
    while let Some(arg) = parser.next().map_err(usage)? {
        let command = asked.command.as_deref();
        match arg {
            Long("config") => asked.config = Some(parser.value().map_err(usage)?.into()),
            Long("since") if command == Some("policies") => {
                let text = parser.value().and_then(ValueExt::string).map_err(usage)?;
                let what = || Failure::Usage(format!("--since {text}: write 7d, 36h or 90m"));
                asked.since = Some(duration(&text).ok_or_else(what)?);
            }
            Long("help") | Short('h') => return print(HELP),
            Long("version") | Short('V') => {
                return print(&format!("fieldmouse-collector {}\n", env!("CARGO_PKG_VERSION")));
            }
            Long("incidents") if command == Some("replay") => {
                asked.incidents = Some(parser.value().map_err(usage)?.into());
            }
            Long("go-on") if command == Some("replay") => asked.go_on = true,
            Value(word) if command.is_none() => asked.command = Some(word.string().map_err(usage)?),
            Value(word)
                if asked.operand.is_none() && !matches!(command, Some("run" | "check" | "policies")) =>
            {
                asked.operand = Some(word.into());
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    match asked.command.as_deref() {
        Some("run") => start(asked.config_of_run()?),
        Some("check") => check(&asked),
        Some("replay") => replay(&asked),
        Some("policies") => policies(&asked),
        Some("backup") => store(&asked, "FILE", |store, file| Ok(format!("{} rows\n", store.backup(file)?))),
        Some("restore") => {
            store(&asked, "FILE", |store, file| Ok(format!("{} rows\n", store.restore(file)?)))
        }
        Some("export") => store(&asked, "FOLDER", |store, folder| {
            let written = store.export(folder)?;
            Ok(written.iter().map(|(name, rows)| format!("{name}.parquet {rows} rows\n")).collect())
        }),
        Some("diagnose") => diagnose(asked.operand("FOLDER")?),
        Some(other) => Err(Failure::Usage(format!("\"{other}\" is no command"))),
        None => Err(Failure::Usage("which command?".to_owned())),
    }
}

fn check(asked: &Asked) -> Result<(), Failure> {
    let text = toml::to_string(&asked.config_of_run()?).map_err(|e| Failure::Internal(e.to_string()))?;
    let built_in: String = Rules::built_in().lines().map(|line| format!("# {line}\n")).collect();
    print(&format!(
        "# in force, from {} and the environment\n{text}\n# and behind these tables, built in:\n{built_in}",
        asked.config_file().display()
    ))
}

/// A dry run over the incidents in the store.
fn policies(asked: &Asked) -> Result<(), Failure> {
    let config = asked.config()?;
    let declared = declared(&config)?;
    let store: Arc<dyn Store> = Arc::new(opened(&config.store.place).map_err(Failure::Running)?);
    let (now, since) = (clock::wall_ms(), asked.since.unwrap_or(WEEK));
    let since_ms = now.saturating_sub(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let report =
        notify::last(store, config.rules, declared, since_ms, now).map_err(|e| Failure::Running(e.into()))?;
    print(&report.to_string())
}

fn start(config: Config) -> Result<(), Failure> {
    crate::stderr::install();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Running(e.into()))?;
    runtime.block_on(async {
        let stop = signals().map_err(|e| Failure::Running(e.into()))?;
        run(config, stop).await.map_err(Failure::Running)
    })
}

fn replay(asked: &Asked) -> Result<(), Failure> {
    let events = asked.operand("EVENTS.jsonl")?;
    let Some(incidents) = &asked.incidents else {
        return Err(Failure::Usage("replay needs --incidents OUT.jsonl".to_owned()));
    };
    let config = asked.config_or_default()?;
    crate::stderr::install();
    let open = || -> anyhow::Result<_> {
        let from = File::open(events).with_context(|| events.display().to_string())?;
        let to = File::create(incidents).with_context(|| incidents.display().to_string())?;
        crate::replay::replay(&config, BufReader::new(from), BufWriter::new(to), asked.go_on)
            .with_context(|| events.display().to_string())
    };
    let done = open().map_err(Failure::Running)?;
    print(&format!(
        "{} events of {} lines ({} bad) made {} incidents\n",
        done.stored, done.lines, done.bad, done.incidents
    ))
}

/// Does something with the database and a file or folder, and says what came of it.
fn store(
    asked: &Asked,
    what: &str,
    work: impl FnOnce(&Database, &Path) -> Result<String, StoreError>,
) -> Result<(), Failure> {
    let place = asked.operand(what)?;
    let config = asked.config()?;
    crate::stderr::install();
    let is_new = asked.command.as_deref() == Some("restore");
    let store = if is_new { open(&config.store.place) } else { opened(&config.store.place) };
    let done = store.and_then(|store| {
        work(&store, place).map_err(|e| match e {
            // It names the very file.
            StoreError::Exists(_) => e.into(),
            e => anyhow::Error::from(e).context(place.display().to_string()),
        })
    });
    print(&done.map_err(Failure::Running)?)
}

fn diagnose(folder: &Path) -> Result<(), Failure> {
    let causes = crate::diagnose::diagnose(folder).map_err(|e| Failure::Running(e.into()))?;
    print(&crate::diagnose::print(&causes).map_err(|e| Failure::Internal(e.to_string()))?)
}

/// Opens a database that is there: what only reads or copies makes none of a mistyped name.
fn opened(place: &Place) -> anyhow::Result<Database> {
    if let Place::File { path } = place
        && !path.exists()
    {
        anyhow::bail!("store {place}: there is no such file; name the database as store.path");
    }
    open(place)
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|e| Failure::Running(e.into()))
}

/// Ready at SIGTERM or SIGINT.
fn signals() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        log::info!("stopping");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(args: &[&str]) -> u8 {
        command(args.iter().map(OsString::from)).map_or_else(|f| f.code(), |()| 0)
    }

    #[test]
    fn exit_codes_tell_what_was_wrong() {
        assert_eq!(code(&["c", "--version"]), 0);
        assert_eq!(code(&["c", "--help"]), 0);
        assert_eq!(code(&["c"]), 2);
        assert_eq!(code(&["c", "fly"]), 2);
        assert_eq!(code(&["c", "run", "--fast"]), 2);
        assert_eq!(code(&["c", "run", "there"]), 2);
        assert_eq!(code(&["c", "policies", "7d"]), 2);
        assert_eq!(code(&["c", "diagnose"]), 2);
        assert_eq!(code(&["c", "diagnose", "one", "two"]), 2);
        assert_eq!(code(&["c", "diagnose", "/nowhere"]), 1);
        assert_eq!(code(&["c", "replay", "/nowhere"]), 2);
        assert_eq!(code(&["c", "replay", "/nowhere", "--incidents", "/dev/null"]), 1);
        assert_eq!(code(&["c", "policies", "--since", "soon"]), 2);
        assert_eq!(code(&["c", "run", "--since", "7d"]), 2);
        assert_eq!(code(&["c", "check", "--config", "/nowhere/c.toml"]), 78);
        assert_eq!(code(&["c", "check", "--config", "../packaging/collector.toml"]), 0);
    }
}
