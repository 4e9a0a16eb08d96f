//! `log`: lines of log files. Each is read once, whatever is done to the files and to the agent: rotation, truncation,
//! compression, a kill. What it says is the book's (`logs/book.rs`); how files are followed is told in `logs/tail.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldmouse_core::series::{Millis, cut};
use fieldmouse_core::wire::{Detail, Fact};
use serde::Deserialize;
use serde_json::Value;

use super::{Kind, Place, Readings, Source, SourceError, below};
use crate::clock;
use crate::logs::book::{Book, Record};
use crate::logs::keep::Keep;
use crate::logs::tail::{Begin, Kept, Quota, Tails};

/// In the table of sources.
pub const KIND: Kind = Kind {
    name: "log",
    about: "lines of log files, each once over rotation, truncation, compression and restarts",
    every_ms: 1000,
    build: |keys, place| Ok(Box::new(Log::new(super::config(KIND.name, keys)?, place)?)),
};

/// Files that most machines have, unless a journal has all of it.
const USUAL: [&str; 4] = ["/var/log/syslog", "/var/log/messages", "/var/log/auth.log", "/var/log/kern.log"];
/// What one sample may read, in how much time.
const QUOTA: (u64, Duration) = (16 << 20, Duration::from_millis(250));
const WARN: u8 = 13;

/// `[source.log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Files, or patterns of such: `*` stands for anything within one name.
    files: Option<Vec<PathBuf>>,
    /// Where to begin with a file that is seen the first time.
    from: Begin,
    /// Whether lines that are indented, and those of stack traces, belong to the one before.
    multiline: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { files: None, from: Begin::default(), multiline: true }
    }
}

struct Log {
    config: Config,
    place: Place,
    /// None before the first sample.
    work: Option<Work>,
}

struct Work {
    tails: Tails,
    book: Book,
    keep: Option<Keep>,
    /// What was kept last.
    kept: Kept,
    boot: u128,
    told: Vec<PathBuf>,
}

impl Log {
    fn new(config: Config, place: &Place) -> anyhow::Result<Self> {
        for file in config.files.iter().flatten() {
            let text = file.to_string_lossy();
            anyhow::ensure!(file.is_absolute(), "`files`: `{text}` is no full path; write /…/{text}");
            anyhow::ensure!(!text.contains("**"), "`files`: `{text}`: `**` is not understood; `*` stands within one name");
        }
        Ok(Self { config, place: place.clone(), work: None })
    }

    fn patterns(&self) -> Vec<PathBuf> {
        let root = &self.place.root;
        match &self.config.files {
            Some(files) => files.iter().map(|file| below(root, file)).collect(),
            None if has_journal(root) => Vec::new(),
            None => USUAL.iter().map(|file| below(root, Path::new(file))).collect(),
        }
    }

    fn begin(&self, now: Millis) -> Result<Work, SourceError> {
        let (keep, found) = Keep::start(KIND.name, &self.place, now)?;
        let kept: Kept = found.standing.and_then(|bytes| postcard::from_bytes(&bytes).ok()).unwrap_or_default();
        let boot = clock::boot();
        let tails = Tails::new(self.patterns(), self.config.from, self.config.multiline, kept.clone(), boot);
        let book = Book::new(KIND.name, &self.place, found.book.as_deref());
        Ok(Work { tails, book, keep, kept, boot, told: Vec::new() })
    }
}

/// Whether a journal is kept here, and may be read: what others write into files comes from it.
fn has_journal(root: &Path) -> bool {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = ["/var/log/journal", "/run/log/journal"].map(|folder| below(root, Path::new(folder)));
    let mut files = folders.iter().flat_map(|folder| entries(folder)).flat_map(|machine| entries(&machine.path()));
    files.any(|file| file.path().extension().is_some_and(|e| e == "journal") && std::fs::File::open(file.path()).is_ok())
}

fn packed(kept: &Kept) -> Vec<u8> {
    // Numbers and text always can be.
    postcard::to_extend(kept, Vec::new()).unwrap_or_default()
}

impl Work {
    /// Keeps what the sample before has read: what came of it is on its way now.
    fn keep(&mut self, now: Millis) {
        let Some(keep) = &mut self.keep else { return };
        let kept = self.tails.kept(self.boot);
        if kept != self.kept {
            keep.stand(&packed(&kept));
            self.kept = kept;
        }
        let book = &self.book;
        keep.tend(now, || book.save());
    }

    fn tell(&mut self, out: &mut Readings) {
        for (path, bytes, why) in self.tails.take_lost() {
            let name = path.display().to_string();
            let mut fact = Fact::new("lines-lost", &format!("{name}: {bytes} bytes were gone before they were read: {why}"));
            let count = u32::try_from(bytes).unwrap_or(u32::MAX);
            fact.detail = Some(Detail { about: cut(&name), since_ms: 0, count, example: cut(&why) });
            out.tell(WARN, fact);
        }
        for (path, why) in self.tails.refused() {
            if !self.told.iter().any(|told| told == path) {
                self.told.push(path.to_owned());
                log::warn!("source {}: {}: {why}", KIND.name, path.display());
            }
        }
    }
}

impl Source for Log {
    fn sample(&mut self, now: Millis, out: &mut Readings) -> Result<(), SourceError> {
        let mut work = match self.work.take() {
            Some(work) => work,
            None => self.begin(now)?,
        };
        let Work { tails, book, .. } = &mut work;
        let mut take = |record: &Record<'_>| book.take(record);
        tails.look(now, &mut take);
        work.keep(now);
        let Work { tails, book, .. } = &mut work;
        let mut take = |record: &Record<'_>| book.take(record);
        tails.read(now, &mut Quota::new(QUOTA.0, QUOTA.1), &mut take);
        book.tick(now, out);
        work.tell(out);
        self.work = Some(work);
        Ok(())
    }

    fn about(&self) -> Value {
        self.work.as_ref().map_or(Value::Null, |work| work.tails.about())
    }
}

/// A stop in good order, or a reload: the next one goes on from here.
impl Drop for Log {
    fn drop(&mut self) {
        let Some(Work { tails, book, keep: Some(keep), boot, .. }) = &mut self.work else { return };
        if !tails.is_empty() {
            keep.close(&packed(&tails.kept(*boot)), book.save());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_files_are_read_unless_a_journal_has_it_all() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::at(root.path());
        let check = |expected: &[&str]| {
            let log = Log::new(Config::default(), &place).unwrap();
            assert_eq!(log.patterns(), expected.iter().map(|file| root.path().join(file)).collect::<Vec<_>>());
        };
        std::fs::create_dir_all(root.path().join("var/log/journal/abc")).unwrap();
        check(&["var/log/syslog", "var/log/messages", "var/log/auth.log", "var/log/kern.log"]);
        std::fs::write(root.path().join("var/log/journal/abc/system.journal"), "").unwrap();
        check(&[]);
    }
}
