//! When health is looked at: every quarter of a minute.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Watch;
use crate::clock;
use crate::signal;
use crate::store::{Store, StoreError};
use crate::topology::Atlas;

const EVERY: Duration = Duration::from_secs(15);

/// Looks until it is dropped. What was not kept for want of a store is scored again.
pub async fn run(store: Arc<dyn Store>, atlas: Arc<Mutex<Atlas>>) {
    let mut rounds = tokio::time::interval(EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch: Option<Watch> = None;
    loop {
        rounds.tick().await;
        let (store, atlas) = (Arc::clone(&store), Arc::clone(&atlas));
        let looked = tokio::task::spawn_blocking(move || look(watch, &*store, &atlas)).await;
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

fn look(watch: Option<Watch>, store: &dyn Store, atlas: &Mutex<Atlas>) -> Result<Watch, StoreError> {
    let mut watch = watch.map_or_else(|| Watch::of(store), Ok)?;
    let (declared, topology) = {
        let mut atlas = atlas.lock().unwrap_or_else(PoisonError::into_inner);
        (atlas.declared().clone(), atlas.present())
    };
    let now = clock::wall_ms();
    let sites: Vec<&str> = topology.sites().collect();
    let signals = signal::signals(&store.told(&sites, now)?);
    let changes = watch.look(&declared, &topology, &signals, now);
    if !changes.is_empty() {
        store.keep(&changes)?;
    }
    Ok(watch)
}
