//! Where capsules stand: a folder with a cap, written by another thread, and seldom enough for the flash.
//!
//! A file is called `NUMBER-eEPISODE.capsule`; numbers rise, so the oldest goes first. A capsule that would wear the
//! flash beyond its day's bytes is not kept, which is counted.

use std::collections::VecDeque;
use std::io;

use fieldmouse_core::series::Millis;
use tokio::task::JoinHandle;

use super::{MOST, SUFFIX};
use crate::disk::Disk;
use crate::store::Store;

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// A new capsule, of this episode.
    Begin(u64, Vec<u8>),
    /// More of it.
    More(Vec<u8>),
}

/// The folder.
pub struct Shelf {
    /// None while another thread writes.
    store: Option<Store>,
    writing: Option<JoinHandle<(Store, io::Result<()>)>>,
    waiting: VecDeque<Job>,
    max_bytes: u64,
    flash_bytes_per_day: u64,
    /// Number of the next one.
    next: u64,
    /// The file that is being written; none if its beginning was not kept.
    name: Option<String>,
    /// How it is.
    pub state: State,
}

/// How keeping goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Capsules that stand there.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of flash written in the last 24 hours.
    pub worn: u64,
    /// Capsules that were made since the start.
    pub made: u64,
    /// And those not kept, for the flash's sake or because the disk failed.
    pub skipped: u64,
    /// Why the last attempt failed.
    pub trouble: Option<String>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Shelf {
    /// Opens the folder.
    #[must_use]
    pub fn open(disk: Box<dyn Disk>, max_bytes: u64, flash_bytes_per_day: u64) -> Self {
        let mut store = Store::new(disk);
        let mut shelf = Self {
            store: None,
            writing: None,
            waiting: VecDeque::new(),
            max_bytes,
            flash_bytes_per_day,
            next: 1,
            name: None,
            state: State::default(),
        };
        match store.list() {
            Ok(files) => {
                shelf.next = files.iter().filter_map(|(name, _)| number(name)).max().unwrap_or(0) + 1
            }
            Err(e) => shelf.state.trouble = Some(format!("cannot be read: {e}")),
        }
        shelf.look(&store);
        shelf.store = Some(store);
        shelf
    }

    /// Follows other bounds from now on.
    pub fn set_bounds(&mut self, max_bytes: u64, flash_bytes_per_day: u64) {
        (self.max_bytes, self.flash_bytes_per_day) = (max_bytes, flash_bytes_per_day);
    }

    /// The capsule that more is to be added to.
    #[must_use]
    pub fn unfinished(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Takes what is to be written.
    pub fn put(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Begins to write what waits, if nothing is being written.
    pub async fn tend(&mut self, now: Millis) {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.settle().await;
        }
        if let Some(store) = &mut self.store {
            store.settle(now);
            self.state.worn = store.worn();
        }
        while self.store.is_some()
            && let Some(job) = self.waiting.pop_front()
        {
            self.begin(job);
        }
    }

    fn begin(&mut self, job: Job) {
        let Some(mut store) = self.store.take() else { return };
        let (name, bytes, is_new) = match job {
            Job::Begin(episode, bytes) => {
                let len = bytes.len() as u64;
                if len > self.max_bytes.min(MOST) || store.worn() + len > self.flash_bytes_per_day {
                    self.state.skipped += 1;
                    self.name = None;
                    self.store = Some(store);
                    return;
                }
                self.next += 1;
                (format!("{:08}-e{episode}{SUFFIX}", self.next - 1), bytes, true)
            }
            Job::More(bytes) => match self.name.take() {
                Some(name) => (name, bytes, false),
                None => {
                    self.store = Some(store);
                    return;
                }
            },
        };
        self.name = is_new.then(|| name.clone());
        let most = self.max_bytes;
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let done = make_room(&mut store, most, bytes.len() as u64, &name)
                .and_then(|()| store.write(&name, store.size(&name), &bytes));
            (store, done)
        }));
    }

    /// Waits for what is being written.
    pub async fn settle(&mut self) {
        let Some(writing) = self.writing.take() else { return };
        let Ok((store, done)) = writing.await else { return };
        match done {
            Ok(()) => {
                self.state.made += u64::from(self.name.is_some());
                self.state.trouble = None;
            }
            Err(e) => {
                self.state.skipped += u64::from(self.name.is_some());
                self.name = None;
                log::warn!("a capsule is not kept: {e}");
                self.state.trouble = Some(format!("cannot be written: {e}"));
            }
        }
        self.look(&store);
        self.store = Some(store);
    }

    /// Writes all that waits, before a stop.
    pub async fn close(&mut self, now: Millis) {
        self.settle().await;
        while !self.waiting.is_empty() && self.store.is_some() {
            self.tend(now).await;
            self.settle().await;
        }
    }

    fn look(&mut self, store: &Store) {
        self.state.count = store.names().filter(|name| number(name).is_some()).count();
        self.state.bytes = store.bytes();
        self.state.worn = store.worn();
    }
}

/// The number of a capsule's file.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.split_once("-e")?.0.parse().ok()
}

/// The number of the episode that a capsule's file is of.
#[must_use]
pub(super) fn episode(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.split_once("-e")?.1.parse().ok()
}

/// Takes the oldest out until so many bytes have room beside them. What is no capsule is left alone.
fn make_room(store: &mut Store, most: u64, len: u64, but: &str) -> io::Result<()> {
    let mut capsules: Vec<String> =
        store.names().filter(|name| number(name).is_some() && *name != but).map(ToOwned::to_owned).collect();
    capsules.sort_by_key(|name| number(name));
    for name in capsules {
        if store.bytes() + len <= most {
            break;
        }
        store.remove(&name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Memory;

    fn check(max_bytes: u64, flash: u64, jobs: &[(bool, usize)], wanted: &[(&str, u64)], skipped: u64) {
        let mut shelf = Shelf::open(Box::<Memory>::default(), max_bytes, flash);
        crate::once::runtime().unwrap().block_on(async {
            for (at, (is_new, len)) in jobs.iter().enumerate() {
                let bytes = vec![7; *len];
                shelf.put(if *is_new { Job::Begin(at as u64, bytes) } else { Job::More(bytes) });
                shelf.close(0).await;
            }
        });
        let mut store = shelf.store.unwrap();
        let files = store.list().unwrap();
        let found: Vec<(&str, u64)> = files.iter().map(|(name, len)| (name.as_str(), *len)).collect();
        assert_eq!(found, wanted);
        assert_eq!((shelf.state.count, shelf.state.skipped), (wanted.len(), skipped));
        assert_eq!(shelf.state.bytes, wanted.iter().map(|(_, len)| len).sum::<u64>());
        assert!(shelf.state.bytes <= max_bytes);
    }

    #[test]
    fn the_oldest_goes_and_the_flash_is_spared() {
        const DAY: u64 = 1 << 30;
        check(10_000, DAY, &[(true, 10), (false, 5)], &[("00000001-e0.capsule", 15)], 0);
        let three = [(true, 4000), (true, 4000), (true, 4000)];
        check(10_000, DAY, &three, &[("00000002-e1.capsule", 4000), ("00000003-e2.capsule", 4000)], 0);
        // What grows takes the place of others, never its own.
        let grows = [(true, 4000), (true, 4000), (false, 4000)];
        check(10_000, DAY, &grows, &[("00000002-e1.capsule", 8000)], 0);
        check(10_000, DAY, &[(true, 20_000), (false, 5)], &[], 1);
        check(10_000, 10_000, &three, &[("00000001-e0.capsule", 4000)], 2);
        check(10_000, DAY, &[(false, 5)], &[], 0);
    }

    #[test]
    fn numbers_go_on_and_strange_files_stay() {
        let mut disk = Memory::default();
        disk.write("00000041-e7.capsule", 0, b"old").unwrap();
        disk.write("notes", 0, b"mine").unwrap();
        let shelf = Shelf::open(Box::new(disk), 1000, 1000);
        assert_eq!((shelf.next, shelf.state.count), (42, 1));
        assert_eq!(
            (number("notes"), number("00000041-e7.capsule"), number("x-e7.capsule")),
            (None, Some(41), None)
        );
        assert_eq!((episode("notes"), episode("00000041-e7.capsule")), (None, Some(7)));
    }
}
