//! The agent: one loop over one closed set of things that can wake it.

mod agent;
mod asked;
mod blame;
mod handed;
mod keeping;
mod models;
mod near;
mod recording;
mod reload;
mod report;
mod troubles;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::config::{Config, KeyError};
use crate::control::{self, Request};
use crate::link::{self, News, Ready};
use crate::scorer::load;
use crate::scorer::models::{Models, Own};
use crate::supervisor::Supervisor;
use crate::{clock, logger, once};

use agent::Agent;
use models::Loaded;

/// Everything a start needs, looked at before anything starts.
#[derive(Debug)]
pub struct Start {
    /// What is meant.
    pub config: Config,
    /// The models. One that may not run is off, and says why.
    pub models: Models,
    /// The broker, with its files read.
    pub broker: Ready,
    /// Where the configuration came from, to read it again.
    pub file: Option<PathBuf>,
}

impl Start {
    /// Checks everything that a start needs.
    ///
    /// # Errors
    /// If the broker has no address or its files cannot be used.
    pub fn new(config: Config, file: Option<PathBuf>) -> Result<Self, KeyError> {
        let broker = config.link().check().map_err(|e| match e {
            link::ConfigError::Value(key, what) => KeyError::new(&format!("broker.{key}"), what),
            link::ConfigError::File(key, e) => KeyError::new(&format!("broker.{key}"), e.to_string()),
        })?;
        let models = load::models(&config.written.model);
        Ok(Self { config, models, broker, file })
    }

    /// The first model that may not run. The agent runs without it; who asks whether all is well should hear it.
    #[must_use]
    pub fn model_fault(&self) -> Option<KeyError> {
        model_fault(&self.config, &self.models)
    }
}

/// The first model that may not run, by the key of its file.
pub(crate) fn model_fault(config: &Config, models: &Models) -> Option<KeyError> {
    let (off, why) = models.all().find_map(|own: &Own| Some((own, own.why_off()?)))?;
    let own = config.written.model.own.iter().find(|own| own.name == off.name);
    let key = own.map_or("model.file".into(), |own| format!("{}.file", own.key));
    Some(KeyError::new(&key, why.to_owned()))
}

/// What wakes the agent.
enum Wake {
    Tick,
    News(News),
    Request(Request),
    Deadline,
    Reload,
    Models(Box<Loaded>),
    Stop(&'static str),
}

/// How long a stop may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the agent until it is told to stop.
///
/// # Errors
/// If it cannot start.
pub fn main(start: Start) -> anyhow::Result<()> {
    logger::init();
    once::runtime()?.block_on(run(start))
}

async fn run(start: Start) -> anyhow::Result<()> {
    // First of all: a signal before its handler would kill.
    let mut hangup = signal(SignalKind::hangup()).context("no handler for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("no handler for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no handler for SIGINT")?;
    let listener = control::bind(&start.config.written.agent.socket)?;
    let (to_agent, mut requests) = mpsc::channel(16);
    tokio::spawn(control::serve(listener, to_agent));

    let tick = Duration::from_millis(start.config.written.agent.tick.0);
    let socket = start.config.written.agent.socket.clone();
    let broker = start.broker.clone();
    let mut agent = Agent::new(start)?;
    // The first tick shows which series there are, so that the birth can name them.
    agent.tick(clock::mono_ms()).await;
    let mut link = link::Link::start(broker, agent.compose());
    let mut supervisor = Supervisor::from_here();
    supervisor.ready();
    let mut interval = tokio::time::interval(tick);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval.tick().await;
    let reason = loop {
        let due = agent.deadline().min(supervisor.due());
        let rest = Duration::from_millis(due.saturating_sub(clock::mono_ms()));
        let wake = tokio::select! {
            biased;
            _ = terminate.recv() => Wake::Stop("terminated"),
            _ = interrupt.recv() => Wake::Stop("interrupted"),
            _ = hangup.recv() => Wake::Reload,
            _ = interval.tick() => Wake::Tick,
            Some(loaded) = agent.loading.loaded.recv() => Wake::Models(loaded),
            Some(news) = link.news.recv() => Wake::News(news),
            Some(request) = requests.recv() => Wake::Request(request),
            () = tokio::time::sleep(rest) => Wake::Deadline,
        };
        let now = clock::mono_ms();
        match wake {
            Wake::Tick => agent.tick(now).await,
            Wake::News(news) => agent.on_news(now, &news, &link.traffic()),
            Wake::Request(request) => agent.on_request(now, request, &link.traffic()),
            Wake::Reload => {
                supervisor.reloading();
                agent.reload();
                supervisor.ready();
            }
            Wake::Models(loaded) => agent.adopt_models(*loaded),
            Wake::Deadline => {}
            Wake::Stop(reason) => break reason,
        }
        agent.pump(&link.commands);
        if supervisor.due() <= now {
            supervisor.tend(now, &agent.vitals(&link.traffic()), report::one_line(&agent));
        }
    };
    supervisor.stopping();
    log::info!("{reason}; stopping");
    agent.close().await;
    let goodbye = async {
        if link.commands.send(link::Command::Stop).await.is_ok() {
            while !matches!(link.news.recv().await, Some(News::Stopped) | None) {}
        }
    };
    if tokio::time::timeout(DRAIN, goodbye).await.is_err() {
        log::warn!("the broker did not take our goodbye; its last will speaks for us");
    }
    // The socket is ours; nobody else's is removed.
    let _gone = std::fs::remove_file(&socket);
    Ok(())
}
