//! One look at everything that is watched. Only what seems to be another file than before is read, and only so much at a
//! time: a look may take several samples.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::digest;

use crate::clock;
use crate::inventory::Inventory;
use crate::sources::below;
use crate::sources::text::{end_of, label, matches};

/// Files and links that are watched.
const MOST: usize = 2000;
/// Folders that are opened in one look.
const MOST_FOLDERS: usize = 1000;
/// How deep folders are followed.
const DEEPEST: usize = 6;
/// Bytes that are hashed in one sample, at most one file more.
const HASHED: u64 = 2 << 20;
/// Of a longer file only the beginning is hashed; its time of change counts instead of the rest.
const LONGEST: u64 = 1 << 20;
/// The last change of a file may be younger than the file system's clock can tell.
const YOUNG_MS: u64 = 2000;
/// The longest path that is told; of a longer one the end.
const PATH: usize = 240;

pub(super) struct Look {
    root: PathBuf,
    paths: Vec<PathBuf>,
    at: usize,
    found: Inventory,
    left_out: usize,
}

impl Look {
    /// Lists what is there.
    pub(super) fn begin(root: &Path, patterns: &[String], ignored: impl Fn(&str) -> bool) -> Self {
        let mut walk = Walk { root, ignored: &ignored, found: BTreeSet::new(), folders: 0, left_out: 0 };
        for pattern in patterns {
            let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
            walk.expand(root.to_owned(), &parts);
        }
        let Walk { found, left_out, .. } = walk;
        let paths = found.into_iter().collect();
        Self { root: root.to_owned(), paths, at: 0, found: Inventory::default(), left_out }
    }

    /// Looks at as much as one sample may. Whether that was all.
    pub(super) fn go_on(&mut self, last: &Inventory) -> bool {
        let mut hashed = 0;
        while let Some(path) = self.paths.get(self.at).filter(|_| hashed < HASHED) {
            hashed += look_at(&self.root, path, last, &mut self.found);
            self.at += 1;
        }
        self.at == self.paths.len()
    }

    /// What was found, and how many files had no room.
    pub(super) fn end(mut self) -> (Inventory, usize) {
        self.found.settle();
        let left_out = self.left_out + self.found.left_out;
        (self.found, left_out)
    }
}

/// Finds the files and links that patterns mean, in the order of their names.
struct Walk<'a> {
    root: &'a Path,
    ignored: &'a dyn Fn(&str) -> bool,
    found: BTreeSet<PathBuf>,
    folders: usize,
    left_out: usize,
}

impl Walk<'_> {
    fn expand(&mut self, path: PathBuf, parts: &[&str]) {
        match parts {
            [] => self.take(path, 0),
            [part, rest @ ..] if part.contains('*') => {
                for child in self.children(&path) {
                    let is_meant = child.file_name().is_some_and(|name| matches(part, &name.to_string_lossy()));
                    if is_meant {
                        self.expand(child, rest);
                    }
                }
            }
            [part, rest @ ..] => self.expand(path.join(part), rest),
        }
    }

    fn take(&mut self, path: PathBuf, depth: usize) {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { return };
        let kind = meta.file_type();
        if (self.ignored)(&shown(self.root, &path)) || kind.is_fifo() || kind.is_socket() {
        } else if kind.is_dir() {
            if depth < DEEPEST {
                self.children(&path).into_iter().for_each(|child| self.take(child, depth + 1));
            }
        } else if self.found.len() < MOST || self.found.contains(&path) {
            self.found.insert(path);
        } else {
            self.left_out += 1;
        }
    }

    fn children(&mut self, folder: &Path) -> Vec<PathBuf> {
        if self.folders >= MOST_FOLDERS {
            self.left_out += 1;
            return Vec::new();
        }
        self.folders += 1;
        let mut all: Vec<_> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().take(2 * MOST).map(|e| e.path()).collect();
        // What has no room then is always the same.
        all.sort_unstable();
        all
    }
}

/// The path as it is on the machine.
fn shown(root: &Path, path: &Path) -> String {
    end_of(&format!("/{}", label(&path.strip_prefix(root).unwrap_or(path).to_string_lossy())), PATH)
}

/// The file of a path that was shown.
pub(super) fn file_of(root: &Path, shown: &str) -> PathBuf {
    below(root, Path::new(shown))
}

/// Notes what a file is like, and returns how many bytes were read for it. Its mark is `size mode owner:group hash`, or
/// `-> target` of a link.
fn look_at(root: &Path, path: &Path, last: &Inventory, found: &mut Inventory) -> u64 {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    let name = shown(root, path);
    if meta.is_symlink() {
        let target = std::fs::read_link(path).unwrap_or_default();
        found.add(&name, &format!("-> {}", label(&target.to_string_lossy())), 0);
        return 0;
    }
    let stamp = stamp(&meta);
    if let Some(before) = last.get(&name).filter(|item| item.stamp == stamp) {
        found.add(&name, before.mark, stamp);
        return 0;
    }
    let (hash, read) = hash(path, &meta);
    let mark = format!("{} {:o} {}:{} {hash}", meta.len(), meta.mode() & 0o7777, meta.uid(), meta.gid());
    // A file that changes again within the same moment would keep its stamp: then it is read once more.
    found.add(&name, &mark, if is_young(&meta) { 0 } else { stamp });
    read
}

fn stamp(meta: &Metadata) -> u64 {
    let mut hasher = DefaultHasher::new();
    (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()).hash(&mut hasher);
    (meta.mode(), meta.uid(), meta.gid()).hash(&mut hasher);
    hasher.finish().max(1)
}

fn is_young(meta: &Metadata) -> bool {
    let changed_ms = u64::try_from(meta.ctime()).unwrap_or(0) * 1000;
    clock::stamp().wall_ms.is_some_and(|now| now.abs_diff(changed_ms) < YOUNG_MS)
}

/// The first bytes of the SHA-256 of a file, and how much of it was read. Of what may not be read the time of its last
/// change stands for it.
fn hash(path: &Path, meta: &Metadata) -> (String, u64) {
    let when = || format!("@{}.{:09}", meta.mtime(), meta.mtime_nsec());
    let mut context = digest::Context::new(&digest::SHA256);
    let read = read(path, &mut context).unwrap_or(0);
    let whole = read == meta.len();
    let digest = context.finish();
    let hex = || digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match (read, whole) {
        (0, false) => (when(), 0),
        (_, true) => (hex(), read),
        (_, false) => (format!("{}{}", hex(), when()), read),
    }
}

fn read(path: &Path, context: &mut digest::Context) -> std::io::Result<u64> {
    // A pipe that came in the file's place must not hang the source.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut file: std::io::Take<File> = file.take(LONGEST);
    let (mut buffer, mut all) = ([0; 8192], 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(all),
            Ok(n) => {
                context.update(&buffer[..n]);
                all += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
