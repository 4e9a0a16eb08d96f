//! When what was learnt is written to the state directory, and how: whole or not at all, by another thread, and seldom
//! enough for the flash.
//!
//! There are two files. `series` holds everything and is written when learning has doubled since the last time, and
//! later as often as the bytes per day allow. `device` holds what belongs to the whole device, its episodes above all:
//! it is small, and written whenever one opens or closes. Where files stand in memory and outlive the process, as in
//! /run, both are written beside, every 45 s: a killed agent goes on from there.

use std::io;

use fieldmouse_core::series::Millis;
use tokio::task::JoinHandle;

use super::{Learnt, MOST};
use crate::disk::Disk;
use crate::store::Store;

/// A file of what was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// Everything.
    Series,
    /// What belongs to the whole device.
    Device,
}

impl File {
    fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Device => "device",
        }
    }
}

const TEMP: &str = "temp";
const DAY_MS: Millis = 86_400_000;
/// Nothing worth a write of flash is learnt sooner.
const SOONEST_MS: Millis = 300_000;
/// Memory does not wear: often enough that a killed agent goes on within what its windows hold.
const MEMORY_MS: Millis = 45_000;
const MEMORY_SOONEST_MS: Millis = 5_000;
/// Device files are not written faster than this; over the budget, not faster than [`SOONEST_MS`].
const DEVICE_MS: Millis = 5_000;

/// Keeps what was learnt.
pub struct Keeper {
    /// None while another thread writes.
    store: Option<Store>,
    writing: Option<JoinHandle<Written>>,
    /// What the flash allows; none if it is no flash.
    bytes_per_day: Option<u64>,
    next_series: Millis,
    /// When the device file may be written next.
    next_device: Millis,
    changed: bool,
    /// How it is.
    pub state: State,
}

/// How keeping goes.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Bytes of the last file of series.
    pub bytes: u64,
    /// When it was written, monotonic.
    pub saved: Option<Millis>,
    /// Bytes of flash written in the last 24 hours.
    pub worn: u64,
    /// Why the last attempt failed.
    pub trouble: Option<String>,
}

struct Written {
    store: Store,
    file: File,
    at: Millis,
    done: io::Result<()>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Opens the folder and reads what stands there. What cannot be read is as if it were not there, and is said. So many
    /// bytes may be written to it in 24 hours; none: it is memory, and as many as it takes.
    #[must_use]
    pub fn open(disk: Box<dyn Disk>, bytes_per_day: Option<u64>, now: Millis) -> (Self, Learnt) {
        let mut store = Store::new(disk);
        let (mut learnt, mut state) = (Learnt::default(), State::default());
        for file in [File::Series, File::Device] {
            match read(&mut store, file) {
                Ok(bytes) => learnt.merge(Learnt::read(&bytes)),
                Err(e) => state.trouble = Some(format!("{}: cannot be read: {e}", file.name())),
            }
        }
        state.bytes = store.size(File::Series.name());
        let keeper = Self {
            store: Some(store),
            writing: None,
            bytes_per_day,
            next_series: now + soonest(bytes_per_day),
            next_device: now,
            changed: false,
            state,
        };
        (keeper, learnt)
    }

    /// Allows so many bytes of flash in 24 hours from now on.
    pub fn set_budget(&mut self, bytes_per_day: u64) {
        self.bytes_per_day = Some(bytes_per_day);
    }

    /// An episode has opened or closed.
    pub fn note_change(&mut self) {
        self.changed = true;
    }

    /// Which file is to be written now.
    pub async fn due(&mut self, now: Millis) -> Option<File> {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.settle().await;
        }
        let store = self.store.as_mut()?;
        store.settle(now);
        self.state.worn = store.worn();
        if now >= self.next_series && !self.is_worn() {
            return Some(File::Series);
        }
        (self.changed && now >= self.next_device).then_some(File::Device)
    }

    /// Writes a file in another thread. `learning`: for how long there has been learning, and so how much would be lost.
    pub fn write(&mut self, now: Millis, file: File, bytes: Vec<u8>, learning: Millis) {
        let Some(mut store) = self.store.take() else { return };
        // Everything holds what belongs to the device, too.
        self.changed = false;
        self.next_device = now + if self.is_worn() { SOONEST_MS } else { DEVICE_MS };
        if file == File::Series {
            self.state.bytes = bytes.len() as u64;
            self.next_series = now + self.period().min(learning.max(soonest(self.bytes_per_day)));
        }
        self.writing = Some(tokio::task::spawn_blocking(move || {
            store.settle(now);
            let done = store.replace(file.name(), TEMP, &bytes);
            Written { store, file, at: now, done }
        }));
    }

    /// Whether a last file may be written before a stop.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.store.is_some() && !self.is_worn()
    }

    /// Waits for the file that is being written.
    pub async fn settle(&mut self) {
        let Some(writing) = self.writing.take() else { return };
        let Ok(Written { store, file, at, done }) = writing.await else { return };
        self.state.worn = store.worn();
        self.store = Some(store);
        if file == File::Series && done.is_ok() {
            self.state.saved = Some(at);
        }
        self.state.trouble = done.err().map(|e| format!("{}: cannot be written: {e}", file.name()));
        if let Some(trouble) = &self.state.trouble {
            log::warn!("what was learnt is not kept: {trouble}");
        }
    }

    fn is_worn(&self) -> bool {
        self.bytes_per_day.is_some_and(|budget| self.state.worn >= budget)
    }

    /// Time between files of series that keeps within the bytes per day.
    fn period(&self) -> Millis {
        let Some(budget) = self.bytes_per_day else { return MEMORY_MS };
        // Whole pages, one for names and sizes, and a tenth for the files of the device.
        let cost = (self.state.bytes.div_ceil(4096) + 1) * 4096 * 11 / 10;
        (cost * DAY_MS / budget.max(1)).max(SOONEST_MS)
    }
}

fn soonest(bytes_per_day: Option<u64>) -> Millis {
    if bytes_per_day.is_some() { SOONEST_MS } else { MEMORY_SOONEST_MS }
}

fn read(store: &mut Store, file: File) -> io::Result<Vec<u8>> {
    let files = store.list()?;
    if files.iter().all(|(name, _)| name != file.name()) {
        return Ok(Vec::new());
    }
    store.read(file.name(), 0, MOST)
}
