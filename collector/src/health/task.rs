//! When health is looked at: every quarter of a minute.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Scope, Watch};
use crate::clock;
use crate::cluster::Sites;
use crate::signal;
use crate::store::{Store, StoreError};
use crate::topology::Atlas;

const EVERY: Duration = Duration::from_secs(15);

/// Looks until it is dropped, at the sites that are ours. What was not kept for want of a store is scored again.
pub async fn run(store: Arc<dyn Store>, atlas: Arc<Mutex<Atlas>>, mut sites: watch::Receiver<Sites>) {
    let mut rounds = tokio::time::interval(EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch: Option<Watch> = None;
    loop {
        rounds.tick().await;
        if sites.has_changed().unwrap_or(false) {
            // Of sites that were another's until now only the store knows.
            watch = None;
        }
        let (store, atlas, own) = (Arc::clone(&store), Arc::clone(&atlas), sites.borrow_and_update().clone());
        let looked = tokio::task::spawn_blocking(move || look(watch, &*store, &atlas, &own)).await;
        watch = match looked {
            Ok(Ok(watch)) => Some(watch),
            // It goes on from what was kept.
            Ok(Err(e)) => {
                log::error!("health: {e}");
                None
            }
            Err(e) => {
                log::error!("health: {e}");
                None
            }
        };
    }
}

fn look(
    watch: Option<Watch>,
    store: &dyn Store,
    atlas: &Mutex<Atlas>,
    own: &Sites,
) -> Result<Watch, StoreError> {
    let mut watch = watch.map_or_else(|| Watch::of(store), Ok)?;
    let (declared, topology) = {
        let mut atlas = atlas.lock().unwrap_or_else(PoisonError::into_inner);
        (atlas.declared().clone(), atlas.present())
    };
    let now = clock::wall_ms();
    let scope = Scope::of(&declared, &topology, own);
    let signals = signal::signals(&store.told(&scope.reads, now)?);
    let changes = watch.look(&scope, &topology, &signals, now);
    if !changes.is_empty() {
        store.keep(&changes)?;
    }
    Ok(watch)
}
