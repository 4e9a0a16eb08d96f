//! The command line of the agent: words in, exit code out. Each command is a function of its own file.

mod capsule;
mod commands;
mod event;
#[cfg(feature = "onnx")]
mod model;
mod outbox;
mod usage;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;

use crate::config::{self, Config, ConfigError};

/// What the exit code tells a supervisor.
#[derive(Debug)]
pub enum Failure {
    /// 1: it failed while running.
    Run(anyhow::Error),
    /// 2: the words make no command.
    Usage(String),
    /// 78: the configuration is wrong; starting again will not help.
    Config(String),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Run(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Run(error.into())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// What was asked for, in words and options.
#[derive(Debug, Default)]
struct Args {
    words: Vec<String>,
    config: Option<PathBuf>,
    socket: Option<PathBuf>,
    json: bool,
    scores: Option<PathBuf>,
    events: Option<PathBuf>,
    state_in: Option<PathBuf>,
    state_out: Option<PathBuf>,
    text: Option<String>,
    pattern: Option<String>,
    severity: Option<String>,
    seconds: Option<String>,
    contract: Option<String>,
    capsule: Option<PathBuf>,
    out: Option<PathBuf>,
    templates: Option<PathBuf>,
    name: Option<String>,
    status: Option<String>,
    duration: Option<String>,
    id: Option<String>,
    branch: Option<String>,
    commit: Option<String>,
    environment: Option<String>,
}

/// Runs the command of these arguments (without the program's name).
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = parse(args).and_then(|args| commands::dispatch(&args));
    let (code, message) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Run(error)) => {
            // A reader that went away is no failure.
            let is_pipe = error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe);
            if is_pipe {
                return ExitCode::SUCCESS;
            }
            (1, format!("{error:#}"))
        }
        Err(Failure::Usage(what)) => (2, format!("{what}\n\n{}", usage::SHORT)),
        Err(Failure::Config(what)) => (78, what),
    };
    // If standard error is gone, the code says it alone.
    let _gone = writeln!(std::io::stderr(), "fieldmouse: {message}");
    ExitCode::from(code)
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, Failure> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut got = Args::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("config") | Short('c') => got.config = Some(parser.value()?.into()),
            Long("socket") => got.socket = Some(parser.value()?.into()),
            Long("json") => got.json = true,
            Long("scores") => got.scores = Some(parser.value()?.into()),
            Long("events") => got.events = Some(parser.value()?.into()),
            Long("state-in") => got.state_in = Some(parser.value()?.into()),
            Long("state-out") => got.state_out = Some(parser.value()?.into()),
            Long("text") => got.text = Some(parser.value()?.string()?),
            Long("match") => got.pattern = Some(parser.value()?.string()?),
            Long("severity") => got.severity = Some(parser.value()?.string()?),
            Long("capsule") => got.capsule = Some(parser.value()?.into()),
            Long("out") => got.out = Some(parser.value()?.into()),
            Long("templates") => got.templates = Some(parser.value()?.into()),
            Long("name") => got.name = Some(parser.value()?.string()?),
            Long("status") => got.status = Some(parser.value()?.string()?),
            Long("duration") => got.duration = Some(parser.value()?.string()?),
            Long("id") => got.id = Some(parser.value()?.string()?),
            Long("branch") => got.branch = Some(parser.value()?.string()?),
            Long("commit") => got.commit = Some(parser.value()?.string()?),
            Long("environment") => got.environment = Some(parser.value()?.string()?),
            Long("contract") => got.contract = Some(parser.value()?.string()?),
            Long("for") => got.seconds = Some(parser.value()?.string()?),
            // Nothing here is random; the option is there for those who always give one.
            Long("seed") => drop(parser.value()?),
            Long("help") | Short('h') => got.words.insert(0, "help".into()),
            Long("version") | Short('V') => got.words.insert(0, "version".into()),
            Value(word) => got.words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(got)
}

impl Args {
    fn config(&self) -> Result<Config, Failure> {
        Ok(config::from_here(self.config.as_deref())?)
    }
}
