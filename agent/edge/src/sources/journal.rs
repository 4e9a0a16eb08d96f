//! `journal`: the entries of systemd's journal, read from its files (`logs/journal.rs`), without its library. Each is taken
//! once, over rotation, restarts and kills. What they say is the book's; units that failed and cores are facts of their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::Fact;
use serde::Deserialize;
use serde_json::Value;

use super::{Kind, Place, Readings, Source, SourceError, below};
use crate::logs::book::{Book, Record};
use crate::logs::journal::{Journals, Kept};
use crate::logs::keep::Keep;
use crate::logs::tail::{Begin, Quota};

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "journal",
    about: "entries of systemd's journal, from its files, each once over rotation and restarts; units that failed",
    every_ms: 1000,
    build: |keys, place| Ok(Box::new(Journal { config: super::config(KIND.name, keys)?, place: place.clone(), work: None })),
};

const FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];
/// What one sample may read, in how much time.
const QUOTA: (u64, Duration) = (16 << 20, Duration::from_millis(250));
const WARN: u8 = 13;

/// `[source.journal]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Folders that hold a folder for each machine.
    folders: Vec<PathBuf>,
    /// Where to begin when it is seen the first time.
    from: Begin,
}

impl Default for Config {
    fn default() -> Self {
        Self { folders: FOLDERS.map(PathBuf::from).into(), from: Begin::default() }
    }
}

struct Journal {
    config: Config,
    place: Place,
    /// None before the first sample.
    work: Option<Work>,
}

struct Work {
    journals: Journals,
    book: Book,
    keep: Option<Keep>,
    /// What was kept last.
    kept: Kept,
}

impl Journal {
    fn begin(&self, now: Millis) -> Result<Work, SourceError> {
        let (keep, found) = Keep::start(KIND.name, &self.place, now)?;
        let kept: Option<Kept> = found.standing.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let folders = self.config.folders.iter().map(|folder| below(&self.place.root, Path::new(folder)));
        let journals = Journals::new(folders.collect(), self.config.from, kept.clone());
        let book = Book::new(KIND.name, &self.place, found.book.as_deref());
        Ok(Work { journals, book, keep, kept: kept.unwrap_or_default() })
    }
}

fn packed(kept: &Kept) -> Vec<u8> {
    // Numbers and text always can be.
    postcard::to_extend(kept, Vec::new()).unwrap_or_default()
}

impl Work {
    /// Keeps what the sample before has read: what came of it is on its way now.
    fn keep(&mut self, now: Millis) {
        let Some(keep) = &mut self.keep else { return };
        if *self.journals.kept() != self.kept {
            self.kept = self.journals.kept().clone();
            keep.stand(&packed(&self.kept));
        }
        let book = &self.book;
        keep.tend(now, || book.save());
    }
}

impl Source for Journal {
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        let mut work = match self.work.take() {
            Some(work) => work,
            None => self.begin(now)?,
        };
        work.journals.look(now);
        work.keep(now);
        let Work { journals, book, .. } = &mut work;
        let mut take = |record: &Record<'_>| book.take(record);
        journals.read(&mut Quota::new(QUOTA.0, QUOTA.1), &mut take);
        book.tick(now, out);
        journals.take_facts().into_iter().for_each(|fact| out.tell(WARN, fact));
        let lost = journals.take_lost();
        if lost > 0 {
            out.tell(WARN, Fact::new("lines-lost", &format!("journal: up to {lost} entries were gone or damaged")));
        }
        self.work = Some(work);
        Ok(())
    }

    fn about(&self) -> Value {
        self.work.as_ref().map_or(Value::Null, |work| work.journals.about())
    }
}

/// A stop in good order, or a reload: the next one goes on from here.
impl Drop for Journal {
    fn drop(&mut self) {
        let Some(Work { journals, book, keep: Some(keep), .. }) = &mut self.work else { return };
        if !journals.is_empty() {
            keep.close(&packed(journals.kept()), book.save());
        }
    }
}
