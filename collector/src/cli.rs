//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{Config, ConfigError, DEFAULT_FILE};
use crate::run::run;

const HELP: &str = "\
fieldmouse-collector: takes in the events of Fieldmouse agents, keeps them, and shows them.

usage: fieldmouse-collector COMMAND [--config FILE]

  run                the collector, in the foreground, until SIGTERM or SIGINT
  check              checks the configuration and prints what is in force
  diagnose FOLDER    ranks the causes of one failure: case.json and <service>.csv in, a JSON object per line out

  --config FILE    instead of /etc/fieldmouse/collector.toml
  --help, --version

exit codes: 0 fine, 1 run-time failure, 2 usage, 78 configuration, 70 internal
";

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

fn command(args: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let usage = |e: lexopt::Error| Failure::Usage(e.to_string());
    let mut parser = lexopt::Parser::from_iter(args);
    let (mut command, mut file, mut folder) = (None, None::<PathBuf>, None::<PathBuf>);
    while let Some(arg) = parser.next().map_err(usage)? {
        match arg {
            Long("config") => file = Some(parser.value().map_err(usage)?.into()),
            Long("help") | Short('h') => return print(HELP),
            Long("version") | Short('V') => {
                return print(&format!("fieldmouse-collector {}\n", env!("CARGO_PKG_VERSION")));
            }
            Value(word) if command.is_none() => command = Some(word.string().map_err(usage)?),
            Value(word) if command.as_deref() == Some("diagnose") && folder.is_none() => {
                folder = Some(PathBuf::from(word));
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    let command =
        command.ok_or_else(|| Failure::Usage("which command? run, check or diagnose".to_owned()))?;
    if command == "diagnose" {
        return diagnose(folder.as_deref());
    }
    if !["run", "check"].contains(&command.as_str()) {
        return Err(Failure::Usage(format!("\"{command}\" is no command: run, check or diagnose")));
    }
    let env = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let config = Config::load(file.as_deref(), env).map_err(Failure::Config)?;
    if command == "check" {
        let text = toml::to_string(&config).map_err(|e| Failure::Internal(e.to_string()))?;
        let from = file.unwrap_or_else(|| DEFAULT_FILE.into());
        return print(&format!("# in force, from {} and the environment\n{text}", from.display()));
    }
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

fn diagnose(folder: Option<&Path>) -> Result<(), Failure> {
    let folder = folder.ok_or_else(|| Failure::Usage("diagnose which FOLDER?".to_owned()))?;
    let causes = crate::diagnose::diagnose(folder).map_err(|e| Failure::Running(e.into()))?;
    print(&crate::diagnose::print(&causes).map_err(|e| Failure::Internal(e.to_string()))?)
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
        assert_eq!(code(&["c", "check", "--config", "/nowhere/c.toml"]), 78);
        assert_eq!(code(&["c", "check", "--config", "../packaging/collector.toml"]), 0);
    }
}
