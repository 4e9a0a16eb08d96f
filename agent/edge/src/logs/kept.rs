//! Where a book stands while its agent does not run: often beside the socket, where that is memory; seldom on flash.

use std::io;
use std::path::PathBuf;

use fieldmouse_core::series::Millis;

use crate::disk::{Disk, Folder};
use crate::sources::Place;

/// Between writes to memory.
const OFTEN: Millis = 60_000;
/// The first write to flash, and between the later ones: a book of a thousand messages has 200 KB.
const FIRST: Millis = 600_000;
const SELDOM: Millis = 6 * 3_600_000;

/// The files of one book.
#[derive(Debug)]
pub struct Kept {
    name: String,
    /// None where there is no memory, or nothing is kept at all.
    run: Option<PathBuf>,
    state: Option<PathBuf>,
    run_due: Millis,
    state_due: Millis,
}

impl Kept {
    /// Of a source of this name.
    #[must_use]
    pub fn new(source: &str, place: &Place) -> Self {
        let run = place.run.clone().filter(|run| place.state.as_ref() != Some(run));
        Self { name: format!("{source}.book"), run, state: place.state.clone(), run_due: 0, state_due: 0 }
    }

    /// What was written last: in memory if it is there, else on flash.
    #[must_use]
    pub fn load(&self) -> Option<Vec<u8>> {
        let folders = [&self.run, &self.state];
        folders.into_iter().flatten().find_map(|folder| std::fs::read(folder.join(&self.name)).ok())
    }

    /// Writes what `save` makes where it is due. Where it cannot be written, it is tried again when it is due again.
    pub fn keep(&mut self, now: Millis, save: impl Fn() -> Vec<u8>) {
        if self.state_due == 0 {
            (self.run_due, self.state_due) = (now + OFTEN, now + FIRST);
        }
        if now >= self.run_due {
            self.run_due = now + OFTEN;
            self.write(self.run.as_ref(), false, &save);
        }
        if now >= self.state_due {
            self.state_due = now + SELDOM;
            self.write(self.state.as_ref(), true, &save);
        }
    }

    /// Writes it everywhere: nobody will later.
    pub fn keep_last(&self, save: impl Fn() -> Vec<u8>) {
        self.write(self.run.as_ref(), false, &save);
        self.write(self.state.as_ref(), true, &save);
    }

    fn write(&self, folder: Option<&PathBuf>, is_synced: bool, save: impl Fn() -> Vec<u8>) {
        let Some(folder) = folder else { return };
        let bytes = save();
        if bytes.is_empty() {
            return;
        }
        if let Err(error) = replace(&mut Folder::new(folder), &self.name, &bytes, is_synced) {
            log::warn!("{}: {error}", folder.join(&self.name).display());
        }
    }
}

/// Writes beside the old file and renames, so that there is always one that is whole.
fn replace(folder: &mut Folder, name: &str, bytes: &[u8], is_synced: bool) -> io::Result<()> {
    let beside = format!("{name}.new");
    // Makes the folder.
    if folder.list()?.iter().any(|(n, _)| *n == beside) {
        folder.remove(&beside)?;
    }
    folder.write(&beside, 0, bytes)?;
    if is_synced {
        folder.sync(&beside)?;
    }
    folder.rename(&beside, name)?;
    if is_synced { folder.sync_dir() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn often_in_memory_and_seldom_on_flash() {
        let dir = tempfile::tempdir().unwrap();
        let (state, run) = (dir.path().join("state"), dir.path().join("run"));
        let place = Place { state: Some(state.clone()), run: Some(run.clone()), ..Place::default() };
        let mut kept = Kept::new("syslog", &place);
        let mut check = |now: Millis, bytes: &[u8], in_run: Option<&[u8]>, in_state: Option<&[u8]>| {
            kept.keep(now, || bytes.to_vec());
            for (folder, want) in [(&run, in_run), (&state, in_state)] {
                assert_eq!(std::fs::read(folder.join("syslog.book")).ok().as_deref(), want, "at {now}");
            }
        };
        check(1000, b"one", None, None);
        check(50_000, b"two", None, None);
        check(61_000, b"three", Some(b"three"), None);
        check(601_000, b"four", Some(b"four"), Some(b"four"));
        check(700_000, b"five", Some(b"five"), Some(b"four"));
        // A book without lines leaves what was there.
        check(800_000, b"", Some(b"five"), Some(b"four"));
        assert_eq!(Kept::new("syslog", &place).load().as_deref(), Some(&b"five"[..]));
        std::fs::remove_dir_all(&run).unwrap();
        assert_eq!(Kept::new("syslog", &place).load().as_deref(), Some(&b"four"[..]));
        assert_eq!(Kept::new("syslog", &Place::default()).load(), None);
        // Where there is no memory, flash is written seldom all the same.
        let place = Place { run: Some(state.clone()), ..place };
        let mut kept = Kept::new("syslog", &place);
        kept.keep(1000, || b"six".to_vec());
        kept.keep(61_000, || b"six".to_vec());
        assert_eq!(kept.load().as_deref(), Some(&b"four"[..]));
        kept.keep_last(|| b"seven".to_vec());
        assert_eq!(kept.load().as_deref(), Some(&b"seven"[..]));
    }
}
