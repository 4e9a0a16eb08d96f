//! Faults done to the real thing: what is promised must hold for processes that are killed, links that are cut, calls
//! that fail, and bytes that are damaged. Each module is one row of `tests/FAULTS.md`.

/// C3 and C4: the database gone and back, and a full disk.
pub mod away;
/// C2: several collectors on one store.
pub mod collectors;
/// A12: the collector killed at each call of its commit.
pub mod commit;
/// A2: the outbox killed before each call.
pub mod crash;
/// A5: an outbox with damaged bytes.
pub mod damage;
/// A7: calls that fail, and file systems that are full or read-only.
pub mod disk;
/// C5: a device that floods.
pub mod flood;
/// A1 and A11: agent, broker and collector killed while links are cut.
pub mod kills;
/// A TCP proxy that does what bad networks do.
pub mod proxy;
/// A folder in memory.
pub mod ram;
/// The other end of an outbox.
pub mod receiver;
/// What is done to an outbox while it is killed or its calls fail.
pub mod script;
/// Running a program under strace, and reading what it tells.
pub mod strace;
/// L1: the agent killed while it reads a log that is rotated.
pub mod tail;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sim::rng::Rng;

/// Does something to each item, on as many threads as there are processors, and returns what came of it, in order.
pub fn each<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                while let Some((i, item)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
                {
                    let result = act(item);
                    done.lock().unwrap().push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Mixes the order, alike for the same seed.
pub fn shuffle<T>(seed: u64, all: &mut [T]) {
    let mut rng = Rng::new(seed);
    for i in (1..all.len()).rev() {
        all.swap(i, rng.index(i + 1));
    }
}

/// A folder that is gone with this value; in memory where there is such a place, as a kill spares the page cache anyway.
#[must_use]
pub fn folder() -> tempfile::TempDir {
    let shm = std::path::Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm).unwrap() } else { tempfile::tempdir().unwrap() }
}
