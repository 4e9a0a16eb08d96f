//! The collector as a whole: what is started in which order, and stopped in the reverse.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;

use crate::api::{self, State};
use crate::broker::Broker;
use crate::clock;
use crate::cluster::Sites;
use crate::config::{self, Config, Place, Remote, Retention};
use crate::counters::Counters;
use crate::desk::{self, Bell, Desk};
use crate::health;
use crate::intake::{Intake, Names};
use crate::listen::listen;
use crate::notify::outlets::Outlets;
use crate::notify::{self, Teller};
use crate::store::{Database, Kept, Server, Store};
use crate::supervisor;
use crate::topology::Declared;

/// Where the collector listens, once it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Page and API.
    pub http: SocketAddr,
    /// The embedded broker, if there is one.
    pub broker: Option<SocketAddr>,
}

/// Runs until `shutdown` is ready, then stops cleanly.
///
/// # Errors
/// If an address, the database or a file of the configuration cannot be used.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    run_and_tell(config, shutdown, None).await
}

/// As [`run`], and tells where it listens as soon as it does: for tests and programs that bind port 0.
///
/// # Errors
/// As [`run`].
pub async fn run_and_tell(
    config: Config,
    shutdown: impl Future<Output = ()>,
    tell: Option<oneshot::Sender<Bound>>,
) -> anyhow::Result<()> {
    let (place, is_shared) = (config.store.place.clone(), config.cluster.is_some());
    let store: Arc<dyn Store> = Arc::new(
        tokio::task::spawn_blocking(move || if is_shared { open_as(&place, true) } else { open(&place) })
            .await??,
    );
    let http = listen("http.listen", config.http.listen).await?;
    let (broker, remote) = match config.broker()? {
        config::Broker::Embedded(embedded) => {
            let broker = Broker::start(embedded).await?;
            let own = Remote::own(broker.own);
            (Some(broker), own)
        }
        config::Broker::Remote(remote) => (None, remote.clone()),
    };
    let bound = Bound { http: http.local_addr()?, broker: broker.as_ref().map(|b| b.listen) };
    let counters = Arc::new(Counters::default());
    let names = Names {
        root: config.root.clone(),
        id: config.id.clone(),
        instance: config.cluster.as_ref().map(|c| c.instance.clone()),
    };
    let bell = Bell::default();
    let learn = config.correlation.learn;
    let declared = config.topology.file.as_deref().map(Declared::load).transpose()?.unwrap_or_default();
    let of = Arc::clone(&store);
    let desk = tokio::task::spawn_blocking(move || {
        let rules = config.correlation.rules();
        let sites = if is_shared { Sites::none() } else { Sites::All };
        Desk::new(of, rules, learn, declared, sites, clock::wall_ms())
    });
    let desk = desk.await?.context("store")?;
    let atlas = desk.atlas();
    let (rate, of) = (config.intake.device_rate, Arc::clone(&store));
    let intake = Intake::start(&remote, &names, rate, &atlas, of, Arc::clone(&counters), bell.clone())?;
    let sites = intake.sites();
    let mine: notify::outlets::Mine = Arc::new(move |site: &str| sites.borrow().holds(site));
    let outlets = Arc::new(Outlets::start(&config.rules, &store, &mine)?);
    counters.outlets(outlets.counts().clone());
    let teller = Teller::new(Arc::clone(&store), config.rules.clone(), desk.atlas(), mine);
    let past = teller.past();
    let teller = tokio::spawn(notify::run(teller, Arc::clone(&outlets), Arc::clone(&counters)));
    let desk = tokio::spawn(desk::run(desk, bell.clone(), intake.sites()));
    let health = tokio::spawn(health::run(Arc::clone(&store), Arc::clone(&atlas), intake.sites()));
    let retention = tokio::spawn(forget(Arc::clone(&store), config.store.retention.clone()));
    let state = State {
        atlas,
        bell,
        past,
        rules: Arc::new(config.rules.clone()),
        learn,
        asker: intake.asker(),
        door: intake.door(),
        last: Arc::default(),
        instance: names.instance,
        store,
        counters,
        id: config.id.clone(),
        root: config.root.clone(),
        broker: bound.broker.map_or_else(|| remote.url.clone(), |at| format!("mqtt://{at}")),
        started_ms: clock::wall_ms(),
    };
    log::info!("page and API on http://{}", bound.http);
    if let Some(at) = bound.broker {
        log::info!("embedded broker on {at}");
    }
    if !bound.http.ip().is_loopback() {
        log::warn!("the page is open to the network and has no login");
    }
    // A supervisor that started us waits for this; without one it does nothing.
    supervisor::tell("READY=1");
    if let Some(tell) = tell {
        // Whoever asked may have left.
        let _told = tell.send(bound);
    }
    let served = api::serve(http, state, shutdown).await;
    supervisor::tell("STOPPING=1");
    retention.abort();
    health.abort();
    desk.abort();
    teller.abort();
    outlets.stop();
    intake.stop().await;
    if let Some(broker) = broker {
        broker.stop().await;
    }
    served
}

/// Opens the database.
///
/// # Errors
/// If it cannot be opened or reached.
pub(crate) fn open(place: &Place) -> anyhow::Result<Database> {
    open_as(place, false)
}

/// As [`open`], or as one of several collectors.
fn open_as(place: &Place, is_shared: bool) -> anyhow::Result<Database> {
    let opened = match place {
        Place::File { path } => Database::open(path),
        Place::Server { url, password_file, ca_file } => {
            let password = password_file.as_ref().map(|path| {
                std::fs::read_to_string(path)
                    .with_context(|| format!("store.password_file {}", path.display()))
            });
            let password = password.transpose()?;
            let password = password.as_deref().map(|text| text.trim_end_matches(['\r', '\n']));
            let server = Server::new(url, password, ca_file.as_deref()).context("store")?;
            if is_shared { Database::connect_shared(&server) } else { Database::connect(&server) }
        }
    };
    opened.with_context(|| format!("store {place}"))
}

/// Forgets what is too old, in pieces, every hour.
async fn forget(store: Arc<dyn Store>, retention: Retention) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        for what in Kept::ALL {
            let keep_ms = u64::try_from(retention.of(what).as_millis()).unwrap_or(u64::MAX);
            match forget_one(&store, what, clock::wall_ms().saturating_sub(keep_ms)).await {
                Ok(0) => {}
                Ok(gone) => log::info!("retention of {}: {gone} rows forgotten", what.word()),
                Err(e) => log::error!("retention of {}: {e:#}", what.word()),
            }
        }
    }
}

async fn forget_one(store: &Arc<dyn Store>, what: Kept, before: u64) -> anyhow::Result<usize> {
    let mut gone = 0;
    loop {
        let store = Arc::clone(store);
        match tokio::task::spawn_blocking(move || store.expire(what, before)).await?? {
            0 => return Ok(gone),
            piece => gone += piece,
        }
        // Between two pieces the intake has its turn.
        tokio::task::yield_now().await;
    }
}
