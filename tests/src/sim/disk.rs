//! A disk in memory that behaves as POSIX allows and no better: what was not synced may be there after a power cut, in
//! part, in any order, or not at all; so may names. It fills up, fails at a given call, and forgets what a failed sync
//! should have kept.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use fieldmouse::disk::Disk;

use super::rng::{Rng, hash};

/// A change of the folder.
#[derive(Debug, Clone)]
pub enum Change {
    /// Bytes were written from here on.
    Write(u32, usize, Vec<u8>),
    /// The file was cut.
    Truncate(u32, usize),
    /// Its bytes are durable.
    Sync(u32),
    /// A sync failed, and the kernel holds the bytes that it lost for clean.
    Forget(u32),
    /// All names are durable.
    SyncDir,
    /// A new file.
    Create(String, u32),
    /// Another name, replacing what had it.
    Rename(String, String, u32),
    /// A name is gone.
    Remove(String),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// As the process sees it.
    live: Vec<u8>,
    /// What no power cut takes away.
    kept: Vec<u8>,
    /// What was written since the last sync.
    dirty: Vec<Range<usize>>,
    /// Sizes it had since then.
    sizes: Vec<usize>,
    /// Cut to this since then, and how many of those sizes came before.
    cut: Option<(usize, usize)>,
}

/// A folder: what the process sees, what is durable, and what lies between.
#[derive(Debug, Clone, Default)]
pub struct Files {
    inodes: BTreeMap<u32, Inode>,
    live: BTreeMap<String, u32>,
    kept: BTreeMap<String, u32>,
    /// Changes of names since the last sync of the folder.
    names: Vec<Change>,
    next: u32,
}

impl Files {
    /// Applies a change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Write(ino, from, bytes) => {
                let f = self.inodes.entry(*ino).or_default();
                let to = from + bytes.len();
                f.live.resize(f.live.len().max(to), 0);
                f.live[*from..to].copy_from_slice(bytes);
                f.dirty.push(*from..to);
                f.sizes.push(f.live.len());
            }
            Change::Truncate(ino, len) => {
                let f = self.inodes.entry(*ino).or_default();
                f.live.truncate(*len);
                f.dirty.retain_mut(|r| {
                    r.end = r.end.min(*len);
                    r.start < r.end
                });
                f.cut = Some((f.cut.map_or(*len, |c| c.0.min(*len)), f.sizes.len()));
                f.sizes.push(f.live.len());
            }
            Change::Sync(ino) => {
                let f = self.inodes.entry(*ino).or_default();
                f.kept.truncate(f.cut.take().map_or(usize::MAX, |c| c.0));
                f.kept.resize(f.live.len(), 0);
                for r in f.dirty.drain(..) {
                    f.kept[r.clone()].copy_from_slice(&f.live[r]);
                }
                f.sizes.clear();
            }
            Change::Forget(ino) => self.inodes.entry(*ino).or_default().dirty.clear(),
            Change::SyncDir => {
                self.kept.clone_from(&self.live);
                self.names.clear();
                let used = &self.kept;
                self.inodes.retain(|ino, _| used.values().any(|u| u == ino));
            }
            Change::Create(name, ino) => {
                self.next = self.next.max(*ino + 1);
                self.inodes.entry(*ino).or_default();
                self.live.insert(name.clone(), *ino);
                self.names.push(change.clone());
            }
            Change::Rename(from, to, ino) => {
                self.live.remove(from);
                self.live.insert(to.clone(), *ino);
                self.names.push(change.clone());
            }
            Change::Remove(name) => {
                self.live.remove(name);
                self.names.push(change.clone());
            }
        }
    }

    /// Whether a power cut now could take anything away.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.names.is_empty() && self.inodes.values().all(|f| f.sizes.is_empty())
    }

    /// What a power cut at this moment may leave: a new folder, all of it durable.
    #[must_use]
    pub fn cut(&self, rng: &mut Rng) -> Self {
        // Nothing, everything, or anything between.
        let odds = |rng: &mut Rng| rng.pick(&[0, 500, 500, 850, 1000]);
        let (name_odds, size_odds, data_odds) = (odds(rng), odds(rng), odds(rng));
        let mut names = self.kept.clone();
        for change in &self.names {
            if !rng.chance(name_odds) {
                continue;
            }
            match change {
                Change::Create(name, ino) => drop(names.insert(name.clone(), *ino)),
                Change::Rename(from, to, ino) => {
                    if names.get(from) == Some(ino) {
                        names.remove(from);
                    }
                    names.insert(to.clone(), *ino);
                }
                Change::Remove(name) => drop(names.remove(name)),
                _ => {}
            }
        }
        let mut left = Self { next: self.next, ..Self::default() };
        for (name, ino) in names {
            let bytes =
                self.inodes.get(&ino).map(|f| f.after_cut(rng, size_odds, data_odds)).unwrap_or_default();
            let new = left.next;
            left.next += 1;
            left.inodes.insert(new, Inode { live: bytes.clone(), kept: bytes, ..Inode::default() });
            left.kept.insert(name, new);
        }
        left.live = left.kept.clone();
        left
    }

    /// Tells states apart.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.live.iter().fold(1, |h, (name, ino)| {
            let bytes = self.inodes.get(ino).map_or(&[][..], |f| &f.live);
            hash(hash(h, name.as_bytes()), bytes)
        })
    }

    fn total(&self) -> u64 {
        self.live.values().filter_map(|ino| self.inodes.get(ino)).map(|f| f.live.len() as u64).sum()
    }
}

impl Inode {
    fn after_cut(&self, rng: &mut Rng, size_odds: u64, data_odds: u64) -> Vec<u8> {
        let mut base = self.kept.clone();
        if self.sizes.is_empty() {
            return base;
        }
        // Sizes change in order: after the cut, or without it.
        let sizes = match self.cut {
            Some((cut, before)) if rng.chance(size_odds) => {
                base.truncate(cut);
                &self.sizes[before..]
            }
            Some((_, before)) => &self.sizes[..before],
            None => &self.sizes[..],
        };
        let size = if sizes.is_empty() || !rng.chance(size_odds) {
            base.len()
        } else if rng.chance(700) {
            rng.pick(sizes)
        } else {
            // A page at a time.
            let most = sizes.iter().copied().max().unwrap_or(0);
            (rng.index(most + 1).div_ceil(512) * 512).min(most)
        };
        let mut left = base.clone();
        left.resize(size.max(base.len()), 0);
        if rng.chance(300) {
            left[base.len()..].iter_mut().for_each(|b| *b = rng.draw() as u8);
        }
        let grain = rng.pick(&[1, 512, 4096]);
        for range in &self.dirty {
            // What one write brought, in pieces that are written or not.
            let mut from = range.start;
            while from < range.end {
                let to = if grain == 1 { range.end } else { ((from / grain + 1) * grain).min(range.end) };
                let end = to.min(left.len());
                if from < end && rng.chance(data_odds) {
                    left[from..end].copy_from_slice(&self.live[from..end]);
                }
                from = to;
            }
        }
        left
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An I/O error; a write may have done a part.
    Eio,
    /// An I/O error, and what a sync should have kept is forgotten.
    LostPages,
    /// The file system is read-only.
    ReadOnly,
    /// No room.
    Full,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Eio | Self::LostPages => io::Error::from_raw_os_error(5),
            Self::ReadOnly => io::Error::from(io::ErrorKind::ReadOnlyFilesystem),
            Self::Full => io::Error::from(io::ErrorKind::StorageFull),
        }
    }
}

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Writing calls from this one on, so many, fail like this.
    pub fail: Option<(u64, u64, Fault)>,
    /// It holds so many bytes.
    pub capacity: Option<u64>,
    /// At this writing call the power goes.
    pub dies_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    files: Files,
    journal: Option<Vec<Change>>,
    faults: Faults,
    calls: u64,
    dead: bool,
    peak: u64,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Ram(Arc<Mutex<Inner>>);

impl Ram {
    /// A disk that holds this.
    #[must_use]
    pub fn of(files: Files) -> Self {
        let peak = files.total();
        Self(Arc::new(Mutex::new(Inner { files, peak, ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Begins to write down every change.
    pub fn record(&self) {
        self.inner().journal = Some(Vec::new());
    }

    /// The changes since the last call.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.inner().journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Another folder takes its place, as after a power cut.
    pub fn become_(&self, files: Files) {
        let mut inner = self.inner();
        inner.files = files;
        (inner.dead, inner.faults.dies_at) = (false, None);
    }

    /// A copy of the folder as it is.
    #[must_use]
    pub fn files(&self) -> Files {
        self.inner().files.clone()
    }

    /// Changes what is wrong with it.
    pub fn set(&self, how: impl FnOnce(&mut Faults, u64)) {
        let mut inner = self.inner();
        let calls = inner.calls;
        how(&mut inner.faults, calls);
    }

    /// Whether its power is gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.inner().dead
    }

    /// Bytes of all files: now, and at most so far.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.files.total(), inner.peak)
    }
}

impl Inner {
    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("no power")) } else { Ok(()) }
    }

    /// Counts a writing call; the fault it meets, if any.
    fn call(&mut self) -> io::Result<Option<Fault>> {
        self.alive()?;
        self.calls += 1;
        if self.faults.dies_at.is_some_and(|at| at <= self.calls) {
            self.dead = true;
        }
        self.alive()?;
        let met = |&(from, n, _): &(u64, u64, Fault)| (from..from.saturating_add(n)).contains(&self.calls);
        Ok(self.faults.fail.filter(met).map(|(.., fault)| fault))
    }

    fn change(&mut self, change: Change) {
        self.files.apply(&change);
        self.peak = self.peak.max(self.files.total());
        if let Some(journal) = &mut self.journal {
            journal.push(change);
        }
    }

    fn ino(&self, name: &str) -> io::Result<u32> {
        self.files.live.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn file(&self, name: &str) -> io::Result<&Inode> {
        self.files.inodes.get(&self.ino(name)?).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

fn fails(fault: Option<Fault>) -> io::Result<()> {
    fault.map_or(Ok(()), |f| Err(f.error()))
}

impl Disk for Ram {
    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let inner = self.inner();
        inner.alive()?;
        let size = |ino| inner.files.inodes.get(ino).map_or(0, |f| f.live.len() as u64);
        Ok(inner.files.live.iter().map(|(name, ino)| (name.clone(), size(ino))).collect())
    }

    fn read(&mut self, name: &str, at: u64, len: usize, to: &mut Vec<u8>) -> io::Result<()> {
        let inner = self.inner();
        inner.alive()?;
        let bytes = &inner.file(name)?.live;
        let at = (at as usize).min(bytes.len());
        to.extend_from_slice(&bytes[at..at.saturating_add(len).min(bytes.len())]);
        Ok(())
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let fault = inner.call()?;
        if fault == Some(Fault::ReadOnly) {
            return fails(fault);
        }
        let ino = match inner.ino(name) {
            Ok(ino) => ino,
            Err(_) => {
                let ino = inner.files.next;
                inner.change(Change::Create(name.to_owned(), ino));
                ino
            }
        };
        let room =
            inner.faults.capacity.map_or(usize::MAX, |c| c.saturating_sub(inner.files.total()) as usize);
        let (at, held) = (at as usize, inner.file(name)?.live.len());
        let room = room.saturating_add(held.saturating_sub(at));
        let took = match fault {
            Some(Fault::LostPages) | None => bytes.len().min(room),
            _ => (bytes.len() / 2).min(room),
        };
        if took > 0 {
            inner.change(Change::Write(ino, at, bytes[..took].to_vec()));
        }
        match fault {
            Some(Fault::LostPages) | None if took < bytes.len() => fails(Some(Fault::Full)),
            Some(Fault::LostPages) | None => Ok(()),
            fault => fails(fault),
        }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let fault = inner.call()?;
        let ino = inner.ino(name)?;
        match fault {
            None => inner.change(Change::Sync(ino)),
            Some(Fault::LostPages) => inner.change(Change::Forget(ino)),
            Some(_) => {}
        }
        fails(fault)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        let mut inner = self.inner();
        let fault = inner.call()?;
        if fault.is_none() {
            inner.change(Change::SyncDir);
        }
        fails(fault)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let fault = inner.call()?.filter(|f| !matches!(f, Fault::LostPages | Fault::Full));
        fails(fault)?;
        let ino = inner.ino(from)?;
        inner.change(Change::Rename(from.to_owned(), to.to_owned(), ino));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let fault = inner.call()?.filter(|f| !matches!(f, Fault::LostPages | Fault::Full));
        fails(fault)?;
        inner.ino(name)?;
        inner.change(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        let fault = inner.call()?.filter(|f| !matches!(f, Fault::LostPages | Fault::Full));
        fails(fault)?;
        let ino = inner.ino(name)?;
        inner.change(Change::Truncate(ino, len as usize));
        Ok(())
    }

    fn size(&mut self, name: &str) -> io::Result<u64> {
        let inner = self.inner();
        inner.alive()?;
        Ok(inner.file(name)?.live.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every content of `name` that cuts leave; `-` if it is absent.
    fn left(disk: &Ram, name: &str) -> BTreeSet<String> {
        let files = disk.files();
        let one = |seed| {
            let mut cut = Ram::of(files.cut(&mut Rng::new(seed)));
            let mut bytes = Vec::new();
            match cut.read(name, 0, 100, &mut bytes) {
                Ok(()) => bytes.iter().map(|b| if b.is_ascii_graphic() { *b as char } else { '.' }).collect(),
                Err(_) => "-".to_owned(),
            }
        };
        (0..400).map(one).collect()
    }

    fn has(disk: &Ram, name: &str, wanted: &[&str], only: bool) {
        let found = left(disk, name);
        for w in wanted {
            assert!(found.contains(*w), "{name}: no `{w}` in {found:?}");
        }
        assert!(!only || found.len() == wanted.len(), "{name}: {found:?}");
    }

    #[test]
    fn what_was_not_synced_may_be_lost_in_any_order() {
        let mut d = Ram::default();
        d.write("a", 0, b"one").unwrap();
        has(&d, "a", &["-", "", "one"], false);
        d.sync("a").unwrap();
        has(&d, "a", &["-", "one"], true);
        d.sync_dir().unwrap();
        has(&d, "a", &["one"], true);
        d.write("a", 3, b"two").unwrap();
        d.write("a", 6, b"six").unwrap();
        has(&d, "a", &["one", "onetwo", "onetwosix", "one...", "one......", "one...six"], false);
        d.write("t", 0, b"new").unwrap();
        d.sync("t").unwrap();
        d.rename("t", "a").unwrap();
        has(&d, "a", &["one", "new"], false);
        d.sync_dir().unwrap();
        has(&d, "a", &["new"], true);
        d.remove("a").unwrap();
        has(&d, "a", &["new", "-"], true);
    }

    #[test]
    fn what_stood_there_may_stand_there_still() {
        let mut d = Ram::default();
        d.write("a", 0, b"......").unwrap();
        d.sync("a").unwrap();
        d.sync_dir().unwrap();
        d.write("a", 0, b"one").unwrap();
        d.write("a", 3, b"two").unwrap();
        has(&d, "a", &["......", "one...", "...two", "onetwo"], true);
        d.sync("a").unwrap();
        has(&d, "a", &["onetwo"], true);
    }

    #[test]
    fn a_failed_sync_may_forget() {
        let mut d = Ram::default();
        d.write("a", 0, b"one").unwrap();
        d.sync("a").unwrap();
        d.sync_dir().unwrap();
        d.write("a", 3, b"two").unwrap();
        d.set(|f, calls| f.fail = Some((calls + 1, 1, Fault::LostPages)));
        assert!(d.sync("a").is_err());
        d.sync("a").unwrap();
        assert_eq!(d.size("a").unwrap(), 6, "the process sees it still");
        has(&d, "a", &["one..."], true);
    }

    #[test]
    fn it_fills_up_and_it_dies() {
        let mut d = Ram::default();
        d.set(|f, _| f.capacity = Some(4));
        assert_eq!(d.write("a", 0, b"hello").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(d.size("a").unwrap(), 4);
        d.set(|f, calls| f.dies_at = Some(calls + 2));
        d.sync("a").unwrap();
        assert!(d.sync_dir().is_err() && d.list().is_err() && d.is_dead());
    }
}
