//! When the desk looks: soon after something was told, and when something is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::{Desk, Looked};
use crate::clock;
use crate::cluster::Sites;
use crate::store::{Committed, StoreError};

/// What is told within this of each other is looked at together.
const PAUSE: Duration = Duration::from_secs(1);
/// A look is followed by a pause of so many times as long as it took, so that it leaves room for the intake.
const REST: u32 = 2;

/// Rung by the intake when something was told.
#[derive(Debug, Clone, Default)]
pub struct Bell {
    news: Arc<Mutex<News>>,
    rung: Arc<Notify>,
}

/// Sites that told something, and of which time; and devices that said what they are.
#[derive(Debug, Clone, Default)]
struct News {
    touched: BTreeMap<String, u64>,
    born: BTreeSet<(String, String)>,
}

impl News {
    fn add(&mut self, touched: &BTreeMap<String, u64>, born: &BTreeSet<(String, String)>) {
        for (site, &since) in touched {
            self.touched.entry(site.clone()).and_modify(|at| *at = since.min(*at)).or_insert(since);
        }
        self.born.extend(born.iter().cloned());
    }
}

impl Bell {
    /// Says what a commit touched.
    pub fn ring(&self, done: &Committed) {
        self.add(&done.touched, &done.born);
    }

    fn add(&self, touched: &BTreeMap<String, u64>, born: &BTreeSet<(String, String)>) {
        if !touched.is_empty() || !born.is_empty() {
            self.news.lock().unwrap_or_else(PoisonError::into_inner).add(touched, born);
            self.rung.notify_one();
        }
    }

    fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks until it is dropped.
pub async fn run(mut desk: Desk, bell: Bell, mut sites: watch::Receiver<Sites>) {
    let (mut is_new, mut pause) = (true, PAUSE);
    loop {
        if !is_new {
            let due = desk.next().map_or(Duration::from_secs(60), |at| {
                Duration::from_millis(at.saturating_sub(clock::wall_ms()))
            });
            // A bell that rang while nobody listened is heard here.
            let called = async {
                tokio::select! {
                    () = bell.rung.notified() => {}
                    Ok(()) = sites.changed() => {}
                }
            };
            let _quiet = tokio::time::timeout(due, called).await;
            tokio::time::sleep(pause).await;
        }
        let begun = clock::instant();
        let held = sites.borrow_and_update().clone();
        bell.add(&desk.hold(&held, clock::wall_ms()), &BTreeSet::new());
        let (news, mut at) = (bell.take(), desk.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let looked = look(&mut at, &news, is_new);
            (at, news, looked)
        });
        let looked = looked.await;
        pause = PAUSE.max(REST * begun.elapsed());
        match looked {
            Ok((after, news, looked)) => {
                desk = after;
                is_new &= looked.is_err();
                if let Err(e) = looked {
                    log::error!("incidents: {e}; they are looked at again");
                    bell.add(&news.touched, &news.born);
                    tokio::time::sleep(10 * PAUSE).await;
                }
            }
            Err(e) => {
                // What made it fail is in the store: it is looked at again with whatever is told next.
                log::error!("incidents: {e}");
                is_new = false;
            }
        }
    }
}

fn look(desk: &mut Desk, news: &News, is_new: bool) -> Result<Looked, StoreError> {
    let now = clock::wall_ms();
    let mut all = News::default();
    all.add(&desk.catch_up(now)?, &BTreeSet::new());
    desk.hear(&news.born, now)?;
    all.add(&news.touched, &news.born);
    all.add(&desk.listen(now)?, &BTreeSet::new());
    if is_new {
        all.add(&desk.unseen(now)?, &BTreeSet::new());
    }
    desk.look(all.touched, now)
}
