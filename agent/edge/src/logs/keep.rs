//! What a source of lines keeps: where it stands, whenever it moved, and what its book knows, seldom.
//!
//! Where it stands is written without waiting for the disk into the folder that outlives the process, in two files by
//! turns, and once a minute into the one that outlives a reboot. The book goes there as often as the flash allows, and
//! where the first folder is memory, there as well. Each record has a number and a checksum: the newest sound one counts.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use fieldmouse_core::series::{Millis, NoData};

use crate::disk::{self, Folder};
use crate::sources::{Place, SourceError};
use crate::store::Store;

/// How often the disk is asked to keep where the source stands.
const SYNC_MS: Millis = 60_000;
/// The book, at most so often, …
const BOOK_MS: Millis = 600_000;
/// … and in no more than so many bytes in 24 hours.
const BOOK_BYTES_PER_DAY: u64 = 1 << 20;
const DAY_MS: u64 = 86_400_000;
/// No record is longer.
const MOST: u64 = 4 << 20;
const UNKEPT: &str = "where it stands cannot be kept";
const TWICE: &str = "after a restart lines are skipped or counted again";
/// Length, checksum, number.
const HEAD: usize = 16;

/// Keeps it.
#[derive(Debug)]
pub struct Keep {
    name: &'static str,
    state: PathBuf,
    /// For the book, if it is memory.
    memory: Option<PathBuf>,
    turns: [File; 2],
    /// Which of them is next: not the one that holds the newest.
    turn: usize,
    number: u64,
    /// Where the source stands, if the disk does not know yet.
    unsynced: Option<Vec<u8>>,
    next_sync: Millis,
    next_book: Millis,
    writing: Option<JoinHandle<()>>,
    is_failing: bool,
}

/// What was kept.
#[derive(Debug, Default)]
pub struct Found {
    /// Where the source stands.
    pub standing: Option<Vec<u8>>,
    /// What its book knows.
    pub book: Option<Vec<u8>>,
}

impl Keep {
    /// Opens what a source keeps. If the folders cannot be written it works without, which is logged.
    ///
    /// # Errors
    /// If another one still keeps things under this name, as for a moment after a reload.
    pub fn start(
        name: &'static str,
        place: &Place,
        now: Millis,
    ) -> Result<(Option<Self>, Found), SourceError> {
        match Self::open(name, place, now) {
            Ok(opened) => Ok(opened.map_or((None, Found::default()), |(keep, found)| (Some(keep), found))),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(SourceError {
                path: place.run.clone().unwrap_or_default(),
                what: format!("what {name} keeps is still in use"),
                why: NoData::Failed,
            }),
            Err(e) => {
                log::warn!("source {name}: {UNKEPT}: {e}; {TWICE}");
                Ok((None, Found::default()))
            }
        }
    }

    /// Opens what is kept under this name. None: nothing is to be kept here.
    ///
    /// # Errors
    /// If the folder cannot be written, or another one still keeps things under this name.
    pub fn open(name: &'static str, place: &Place, now: Millis) -> io::Result<Option<(Self, Found)>> {
        let (Some(state), Some(run)) = (&place.state, &place.run) else { return Ok(None) };
        for folder in [state, run] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let open = |turn: u8| {
            let path = run.join(format!("{name}.{turn}"));
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
        };
        let turns = [open(0)?, open(1)?];
        turns[0].try_lock().map_err(io::Error::from)?;
        let numbers = [&turns[0], &turns[1]].map(|turn| self::read(turn).map(|(number, _)| number));
        let memory = disk::is_memory(run).then(|| run.clone());
        let read = |folder: &Path, what: &str| read(&File::open(folder.join(format!("{name}.{what}"))).ok()?);
        let standing = turns.iter().filter_map(self::read).chain(read(state, "standing")).max();
        let book = memory.iter().chain([state]).filter_map(|folder| read(folder, "book")).max();
        let number = standing.iter().chain(&book).map(|(number, _)| number + 1).max().unwrap_or(0);
        let keep = Self {
            name,
            state: state.clone(),
            memory,
            turn: usize::from(numbers[0] > numbers[1]),
            turns,
            number,
            unsynced: None,
            next_sync: now + SYNC_MS,
            next_book: now + BOOK_MS,
            writing: None,
            is_failing: false,
        };
        let bytes = |record: Option<(u64, Vec<u8>)>| record.map(|(_, bytes)| bytes);
        Ok(Some((keep, Found { standing: bytes(standing), book: bytes(book) })))
    }

    /// Keeps where the source stands; it has moved.
    pub fn stand(&mut self, standing: &[u8]) {
        let record = self.record(standing);
        let done = self.turns[self.turn].write_all_at(&record, 0);
        self.turn = 1 - self.turn;
        self.tell(done);
        self.unsynced = Some(record);
    }

    /// Does what is due. `book` is asked what it knows if it may be kept; one that is empty knows
    /// nothing.
    pub fn tend(&mut self, now: Millis, book: impl FnOnce() -> Vec<u8>) {
        if self.writing.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        self.settle();
        let mut files = Vec::new();
        if now >= self.next_sync {
            self.next_sync = now + SYNC_MS;
            files.extend(self.unsynced.take().map(|record| ("standing", record)));
        }
        // Nothing moved, so the book knows nothing new.
        if now >= self.next_book && !files.is_empty() {
            self.next_book = now + BOOK_MS;
            let book = book();
            if !book.is_empty() {
                self.next_book += book.len() as u64 * DAY_MS / BOOK_BYTES_PER_DAY;
                files.push(("book", self.record(&book)));
            }
        }
        if !files.is_empty() {
            let (state, memory, name) = (self.state.clone(), self.memory.clone(), self.name);
            // Disks may take their time; a sample must not.
            self.writing = Some(std::thread::spawn(move || write(name, &state, memory.as_deref(), &files)));
        }
    }

    /// Keeps all of it: the source stops.
    pub fn close(&mut self, standing: &[u8], book: Vec<u8>) {
        self.settle();
        self.stand(standing);
        let mut files = vec![("standing", self.record(standing))];
        if !book.is_empty() {
            files.push(("book", self.record(&book)));
        }
        write(self.name, &self.state, self.memory.as_deref(), &files);
    }

    fn settle(&mut self) {
        if let Some(thread) = self.writing.take() {
            // It cannot panic, and has said what failed.
            let _done = thread.join();
        }
    }

    fn record(&mut self, body: &[u8]) -> Vec<u8> {
        self.number += 1;
        let mut record = vec![0; HEAD];
        record[8..].copy_from_slice(&self.number.to_le_bytes());
        record.extend_from_slice(body);
        let (len, sum) = (record.len() as u32, crc32fast::hash(&record[8..]));
        record[..4].copy_from_slice(&len.to_le_bytes());
        record[4..8].copy_from_slice(&sum.to_le_bytes());
        record
    }

    fn tell(&mut self, done: io::Result<()>) {
        if let Err(e) = &done
            && !self.is_failing
        {
            log::warn!("source {}: {UNKEPT}: {e}; {TWICE}", self.name);
        }
        self.is_failing = done.is_err();
    }
}

/// Number and body of a record, if it is sound.
fn read(file: &File) -> Option<(u64, Vec<u8>)> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0).ok()?;
    let word = |at: usize| head.get(at..at + 4).and_then(|w| w.try_into().ok()).map(u32::from_le_bytes);
    let len = word(0).filter(|len| (HEAD as u64..MOST).contains(&u64::from(*len)))?;
    let mut record = vec![0; len as usize];
    file.read_exact_at(&mut record, 0).ok()?;
    let number = u64::from_le_bytes(record[8..HEAD].try_into().ok()?);
    (Some(crc32fast::hash(&record[8..])) == word(4)).then(|| (number, record.split_off(HEAD)))
}

fn write(name: &str, state: &Path, memory: Option<&Path>, files: &[(&str, Vec<u8>)]) {
    let put = |folder: &Path, what: &str, record: &[u8]| {
        let mut store = Store::new(Box::new(Folder::new(folder)));
        let file = format!("{name}.{what}");
        let done = store.list().and_then(|_| store.replace(&file, &format!("{file}.new"), record));
        if let Err(e) = done {
            log::warn!("{}: {file}: cannot be written: {e}", folder.display());
        }
    };
    for (what, record) in files {
        if let Some(memory) = memory.filter(|_| *what == "book") {
            put(memory, what, record);
        }
        put(state, what, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> Place {
        Place { state: Some(dir.join("state")), run: Some(dir.join("run")), ..Place::at(dir) }
    }

    fn open(dir: &Path) -> (Keep, Found) {
        Keep::open("x", &place(dir), 0).unwrap().unwrap()
    }

    #[track_caller]
    fn check(dir: &Path, standing: Option<&[u8]>, book: Option<&[u8]>) {
        let (_, found) = open(dir);
        assert_eq!((found.standing.as_deref(), found.book.as_deref()), (standing, book));
    }

    #[test]
    fn the_newest_sound_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert!(Keep::open("x", &Place::at(dir), 0).unwrap().is_none());
        check(dir, None, None);
        let (mut keep, _) = open(dir);
        keep.stand(b"one");
        assert!(Keep::open("x", &place(dir), 0).is_err(), "it is in use");
        drop(keep);
        check(dir, Some(b"one"), None);
        let (mut keep, _) = open(dir);
        keep.stand(b"two");
        keep.tend(SYNC_MS, || unreachable!());
        keep.stand(b"three");
        keep.tend(SYNC_MS + 1, || unreachable!());
        keep.settle();
        drop(keep);
        check(dir, Some(b"three"), None);
        // The last one was being written when it ended.
        let newest = (0..2)
            .map(|turn| dir.join(format!("run/x.{turn}")))
            .find(|path| std::fs::read(path).unwrap().ends_with(b"three"));
        let newest = newest.unwrap();
        let mut torn = std::fs::read(&newest).unwrap();
        *torn.last_mut().unwrap() ^= 1;
        std::fs::write(&newest, &torn).unwrap();
        check(dir, Some(b"two"), None);
        // The machine lost its memory; what was synced stands.
        std::fs::remove_dir_all(dir.join("run")).unwrap();
        check(dir, Some(b"two"), None);
    }

    #[test]
    fn the_book_is_kept_seldom_and_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (mut keep, _) = open(dir);
        keep.tend(BOOK_MS, || unreachable!("nothing moved"));
        keep.stand(b"one");
        keep.tend(BOOK_MS + SYNC_MS, || vec![7; 1 << 20]);
        keep.settle();
        keep.stand(b"two");
        keep.tend(BOOK_MS + 3 * SYNC_MS + DAY_MS / 2, || unreachable!("a day's bytes are written"));
        drop(keep);
        check(dir, Some(b"two"), Some(&vec![7; 1 << 20]));
        let (mut keep, _) = open(dir);
        keep.close(b"three", b"book".to_vec());
        drop(keep);
        check(dir, Some(b"three"), Some(b"book"));
    }
}
