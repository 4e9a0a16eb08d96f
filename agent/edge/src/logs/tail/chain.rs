//! The generations of a log: what became of the files that had its name before.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};

use super::file::{Reader, Stat};

/// Older generations than these are left alone.
const MOST: usize = 64;
/// Endings of files that were compressed. Only the first one is read.
const PACKED: [&str; 6] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z"];

/// One generation.
#[derive(Debug)]
pub(super) struct Link {
    /// Where it is now.
    pub(super) path: PathBuf,
    /// What the file system says of it.
    pub(super) stat: Stat,
    /// The file, with its first bytes; or why it cannot be read.
    pub(super) opened: Result<(Reader, Vec<u8>), String>,
    /// Whether it has the log's name now.
    pub(super) is_live: bool,
}

/// A generation before it is opened.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    stat: Stat,
}

/// All generations of the log that are there, the oldest first. None: they are being renamed just now.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn links(log: &Path) -> io::Result<Option<Vec<Link>>> {
    let Some(places) = places(log)? else { return Ok(None) };
    let mut links = Vec::new();
    for place in &places {
        let opened = open(log, &place.path);
        // One that cannot be read has a place in the order all the same.
        let stat = match &opened {
            Ok((reader, _)) => reader.stat(),
            Err(_) => Stat::at(&place.path),
        };
        let Some(stat) = stat.ok().filter(|stat| stat.inode == place.stat.inode) else { return Ok(None) };
        links.push(Link { path: place.path.clone(), stat, opened, is_live: place.path == log });
    }
    // Whoever renames or copies while we look would hide one from us.
    let again = self::places(log)?.unwrap_or_default();
    let is_still =
        links.len() == again.len() && links.iter().zip(&again).all(|(link, now)| is_still(link, now));
    Ok(is_still.then_some(links))
}

/// Whether a generation is what it was when it was opened a moment ago. One that grows is being copied, and the log is
/// truncated next: what was seen of the two would not fit together. A log that is written to grows as well; it does not shrink.
fn is_still(link: &Link, now: &Place) -> bool {
    let is_same = (&link.path, link.stat.inode) == (&now.path, now.stat.inode);
    is_same && if link.is_live { now.stat.len >= link.stat.len } else { now.stat.len == link.stat.len }
}

/// Whether the log has been copied and was not truncated yet: two generations hold the same, and which of them goes on is
/// not decided.
#[must_use]
pub(super) fn is_copied(links: &[Link]) -> bool {
    let [.., copy, live] = links else { return false };
    let (Ok((copied, copy_head)), Ok((_, head))) = (&copy.opened, &live.opened) else { return false };
    let known = copy_head.len().min(head.len());
    live.is_live
        && !copied.is_packed()
        && copy.stat.len <= live.stat.len
        && copy.stat.len > 0
        && copy_head[..known] == head[..known]
}

fn open(log: &Path, path: &Path) -> Result<(Reader, Vec<u8>), String> {
    let ending = packed(path).filter(|_| path != log);
    if let Some(ending) = ending.filter(|ending| *ending != ".gz") {
        return Err(format!("{ending} is not read"));
    }
    let mut reader = Reader::open(path, ending.is_some()).map_err(|e| e.to_string())?;
    let head = reader.head().map_err(|e| e.to_string())?;
    Ok((reader, head))
}

/// The log and its generations, the oldest first. None: one of them is gone.
fn places(log: &Path) -> io::Result<Option<Vec<Place>>> {
    let mut places = Vec::new();
    for path in list(log)? {
        let Ok(stat) = Stat::at(&path) else { return Ok(None) };
        places.push(Place { path, stat });
    }
    let number = |place: &Place| if place.path == log { Some(0) } else { number(log, &place.path) };
    if places.iter().all(|place| number(place).is_some()) {
        places.sort_by_key(|place| (place.path == log, Reverse(number(place))));
    } else {
        places.sort_by(|a, b| {
            (a.path == log, a.stat.written_ns, &a.path).cmp(&(b.path == log, b.stat.written_ns, &b.path))
        });
    }
    places.drain(..places.len().saturating_sub(MOST));
    Ok(Some(places))
}

/// The log and its generations, by name.
fn list(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(base)) = (log.parent(), log.file_name().and_then(|n| n.to_str())) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name == base || is_generation(base, name)) {
            found.push(folder.join(name));
        }
    }
    found.sort();
    // While it is being compressed, one stands there twice.
    let twice =
        |path: &PathBuf| packed(path).is_some_and(|_| found.binary_search(&path.with_extension("")).is_ok());
    Ok(found.iter().filter(|path| !twice(path)).cloned().collect())
}

/// Whether a file was compressed.
#[must_use]
pub(super) fn is_packed(path: &Path) -> bool {
    packed(path).is_some()
}

fn packed(path: &Path) -> Option<&'static str> {
    let name = path.to_str()?;
    PACKED.into_iter().find(|ending| name.ends_with(ending))
}

/// `app.log.1` is the first.
fn number(log: &Path, path: &Path) -> Option<u32> {
    let name = path.to_str()?;
    let name = packed(path).and_then(|ending| name.strip_suffix(ending)).unwrap_or(name);
    // A date is longer.
    name.strip_prefix(log.to_str()?)?.strip_prefix('.').filter(|n| n.len() < 6)?.parse().ok()
}

/// Whether `name` is what became of a file called `base`: `app.log.1`, `app.log.2.gz`, `app.log-20261123`,
/// `app-20261123.log`.
#[must_use]
pub(super) fn is_generation(base: &str, name: &str) -> bool {
    let plain = PACKED.into_iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let is_suffix = |text: &str, digits: usize| {
        let Some(text) = text.strip_prefix(['.', '-', '_']) else { return false };
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | ':' | 'T' | '+'))
            && text.chars().filter(char::is_ascii_digit).count() >= digits
    };
    if plain.strip_prefix(base).is_some_and(|suffix| is_suffix(suffix, 1)) {
        return true;
    }
    // Before the extension a small number may tell one log from another.
    let Some((stem, extension)) = base.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
        return false;
    };
    let date = plain.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
    date.is_some_and(|suffix| is_suffix(suffix, 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_being_made_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (log, copy) = (dir.path().join("app.log"), dir.path().join("app.log.1"));
        std::fs::write(&log, "one\ntwo\n").unwrap();
        std::fs::write(&copy, "one\n").unwrap();
        let links = links(&log).unwrap().unwrap();
        let check = |copy_len: u64, log_len: u64, expected: bool| {
            let place = |link: &Link, len| Place { path: link.path.clone(), stat: Stat { len, ..link.stat } };
            let is = is_still(&links[0], &place(&links[0], copy_len))
                && is_still(&links[1], &place(&links[1], log_len));
            assert_eq!(is, expected, "{copy_len} and {log_len} bytes");
        };
        check(4, 8, true);
        // Somebody writes to the log.
        check(4, 12, true);
        // The copy goes on; it was finished, and the log truncated.
        check(8, 8, false);
        check(4, 0, false);
        assert!(is_copied(&links));
        std::fs::write(&log, "three\n").unwrap();
        assert!(!is_copied(&super::links(&log).unwrap().unwrap()));
    }

    #[test]
    fn generations_by_their_names() {
        let check = |base: &str, name: &str, expected: bool| {
            assert_eq!(is_generation(base, name), expected, "{name}")
        };
        for name in [
            "app.log.1",
            "app.log.12.gz",
            "app.log-20261123",
            "app.log-20261123-1795400687.xz",
            "app.log.2026-11-23",
            "app-20261123.log",
            "app.2026-11-23.log.gz",
            "app.log.2026-11-23T03:24",
        ] {
            check("app.log", name, true);
        }
        for name in [
            "app.log",
            "app.log.gz",
            "app.log.old",
            "app-1.log",
            "app.logs.1",
            "xapp.log.1",
            "app.log.1x",
            "app.log.",
        ] {
            check("app.log", name, false);
        }
        check("syslog", "syslog.1", true);
        check("syslog", "syslog2", false);
    }

    #[test]
    fn the_oldest_comes_first() {
        let check = |names: &[&str], expected: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            for (at, name) in names.iter().enumerate() {
                let file = std::fs::File::create(dir.path().join(name)).unwrap();
                let written =
                    std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + at as u64);
                file.set_modified(written).unwrap();
            }
            let links = links(&dir.path().join("a.log")).unwrap().unwrap();
            let found: Vec<_> =
                links.iter().map(|l| l.path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
            assert_eq!(found, expected);
        };
        // By number, whenever they were written.
        check(
            &["a.log.1", "a.log", "a.log.10", "a.log.2", "b.log"],
            &["a.log.10", "a.log.2", "a.log.1", "a.log"],
        );
        check(&["a.log-20261122", "a.log-20261121", "a.log"], &["a.log-20261122", "a.log-20261121", "a.log"]);
        // One that is being compressed is there once.
        check(&["a.log.2.gz", "a.log.2", "a.log.1", "a.log"], &["a.log.2", "a.log.1", "a.log"]);
        check(&["a.log.1"], &["a.log.1"]);
        check(&[], &[]);
    }
}
