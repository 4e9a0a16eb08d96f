//! When the desk looks: soon after something was told, and when something is due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Desk;
use crate::clock;
use crate::correlate::Depends;

/// What is told within this of each other is looked at together.
const PAUSE: Duration = Duration::from_secs(1);

/// Rung by the intake: these sites told something, of that time.
#[derive(Debug, Clone, Default)]
pub struct Bell {
    touched: Arc<Mutex<BTreeMap<String, u64>>>,
    rung: Arc<Notify>,
}

impl Bell {
    /// Says that these sites are to be looked at.
    pub fn ring(&self, sites: &BTreeMap<String, u64>) {
        if sites.is_empty() {
            return;
        }
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        for (site, &since) in sites {
            touched.entry(site.clone()).and_modify(|at| *at = since.min(*at)).or_insert(since);
        }
        self.rung.notify_one();
    }

    fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks until it is dropped. `topology` is asked at each look.
pub async fn run<F, D>(mut desk: Desk, bell: Bell, topology: F)
where
    F: Fn() -> Arc<D>,
    D: Depends + Send + Sync + 'static,
{
    let mut is_new = true;
    loop {
        let due = desk
            .next()
            .map_or(Duration::from_secs(60), |at| Duration::from_millis(at.saturating_sub(clock::wall_ms())));
        if !is_new {
            // A bell that rings while nobody listens is heard here.
            let _quiet = tokio::time::timeout(due.max(PAUSE), bell.rung.notified()).await;
            tokio::time::sleep(PAUSE).await;
        }
        let (touched, depends) = (bell.take(), topology());
        let mut at = desk.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let now = clock::wall_ms();
            let unseen = if is_new { at.unseen(now) } else { Ok(BTreeMap::new()) };
            let looked = unseen.map_err(|e| (touched.clone(), e)).and_then(|mut all| {
                for (site, since) in touched {
                    all.entry(site).and_modify(|at| *at = since.min(*at)).or_insert(since);
                }
                at.look(all, &*depends, now)
            });
            (at, looked)
        });
        let looked = match looked.await {
            Ok((after, looked)) => {
                desk = after;
                looked
            }
            Err(e) => {
                // What made it fail is in the store; it is looked at again with whatever is told next.
                log::error!("incidents: {e}");
                is_new = false;
                continue;
            }
        };
        match looked {
            Ok(_) => is_new = false,
            Err((again, e)) => {
                log::error!("incidents: {e}; they are looked at again");
                bell.ring(&again);
                tokio::time::sleep(10 * PAUSE).await;
            }
        }
    }
}
