//! The one door to files for what must survive: a flat folder behind a trait, so that a simulated disk can fail,
//! fill up, or lose power between any two calls.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A flat folder of files. Nothing is durable before [`Disk::sync`] of the file, nor is a name before
/// [`Disk::sync_dir`].
pub trait Disk: Send {
    /// Every file and its size.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    fn list(&mut self) -> io::Result<Vec<(String, u64)>>;
    /// Appends `len` bytes of `name` from `at` on to `to`; fewer if the file ends before.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn read(&mut self, name: &str, at: u64, len: usize, to: &mut Vec<u8>) -> io::Result<()>;
    /// Writes bytes from `at` on, creating the file or letting it grow if need be. On an error any part of them may be
    /// there.
    ///
    /// # Errors
    /// If not all bytes were taken.
    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes the file's bytes durable. After an error the file must not be trusted again.
    ///
    /// # Errors
    /// If the device did not take them.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Makes names durable.
    ///
    /// # Errors
    /// If the device did not take them.
    fn sync_dir(&mut self) -> io::Result<()>;
    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// If there is no such file, or the folder cannot be written.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// If there is no such file, or the folder cannot be written.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Cuts a file.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be written.
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()>;
    /// Size of a file.
    ///
    /// # Errors
    /// If there is no such file.
    fn size(&mut self, name: &str) -> io::Result<u64>;
}

/// A real folder. It is made on first use, for the owner alone.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The file last written to: an error of writing back is told to handles that were open when it happened.
    last: Option<(String, File)>,
}

impl Folder {
    /// The folder at `path`. Nothing is touched yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), last: None }
    }

    fn forget(&mut self, name: &str) {
        if self.last.as_ref().is_some_and(|(last, _)| last == name) {
            self.last = None;
        }
    }
}

/// Whether files at `path` stand in memory: nothing wears off there, and nothing outlives the machine.
#[must_use]
pub fn is_memory(path: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58F6;
    // The type of the field differs between machines; its lower half is what counts.
    rustix::fs::statfs(path).is_ok_and(|s| [TMPFS, RAMFS].contains(&(s.f_type as u64 & 0xFFFF_FFFF)))
}

impl Disk for Folder {
    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_file() {
                files.push((entry.file_name().to_string_lossy().into_owned(), meta.len()));
            }
        }
        Ok(files)
    }

    fn read(&mut self, name: &str, at: u64, len: usize, to: &mut Vec<u8>) -> io::Result<()> {
        let mut file = File::open(self.path.join(name))?;
        file.seek(SeekFrom::Start(at))?;
        file.take(len as u64).read_to_end(to)?;
        Ok(())
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.last.as_ref().is_none_or(|(last, _)| last != name) {
            let mut options = OpenOptions::new();
            let file =
                options.write(true).create(true).truncate(false).mode(0o600).open(self.path.join(name))?;
            self.last = Some((name.to_owned(), file));
        }
        match &mut self.last {
            Some((_, file)) => file.write_all_at(bytes, at),
            None => Err(io::Error::other("no file")),
        }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let done = match &self.last {
            Some((last, file)) if last == name => file.sync_data(),
            _ => OpenOptions::new().write(true).open(self.path.join(name)).and_then(|f| f.sync_data()),
        };
        if done.is_err() {
            self.forget(name);
        }
        done
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.last = None;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        fs::remove_file(self.path.join(name))
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.forget(name);
        OpenOptions::new().write(true).open(self.path.join(name))?.set_len(len)
    }

    fn size(&mut self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path.join(name))?.len())
    }
}

/// Files in memory: what becomes of them is nobody's concern. For trying out what would be done to a real folder.
#[derive(Debug, Default)]
pub struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    /// A copy of what stands in a folder. Files that cannot be read are told by name.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn copy_of(folder: &Path) -> io::Result<(Self, Vec<(String, io::Error)>)> {
        let (mut copy, mut unread) = (Self::default(), Vec::new());
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.metadata()?.is_file() {
                match fs::read(entry.path()) {
                    Ok(bytes) => drop(copy.0.insert(name, bytes)),
                    Err(e) => unread.push((name, e)),
                }
            }
        }
        Ok((copy, unread))
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Vec<u8>> {
        self.0.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Memory {
    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.0.iter().map(|(n, b)| (n.clone(), b.len() as u64)).collect())
    }

    fn read(&mut self, name: &str, at: u64, len: usize, to: &mut Vec<u8>) -> io::Result<()> {
        let rest = self.file(name)?.iter().skip(usize::try_from(at).unwrap_or(usize::MAX));
        to.extend(rest.take(len));
        Ok(())
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let file = self.0.entry(name.to_owned()).or_default();
        file.resize(file.len().max(at + bytes.len()), 0);
        file.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.0.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.0.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.file(name)?.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn size(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_and_memory_do_what_the_trait_says() {
        let dir = tempfile::tempdir().unwrap();
        check(&mut Folder::new(&dir.path().join("a/b")));
        check(&mut Memory::default());
    }

    fn check(disk: &mut dyn Disk) {
        assert!(disk.list().unwrap().is_empty());
        disk.write("x", 0, b"hello ").unwrap();
        disk.write("x", 6, b"there").unwrap();
        disk.write("x", 6, b"world").unwrap();
        disk.sync("x").unwrap();
        disk.sync_dir().unwrap();
        let mut got = Vec::new();
        disk.read("x", 6, 100, &mut got).unwrap();
        assert_eq!(got, b"world");
        disk.rename("x", "y").unwrap();
        disk.write("y", 11, b"!").unwrap();
        assert_eq!(disk.size("y").unwrap(), 12);
        disk.truncate("y", 5).unwrap();
        disk.write("y", 5, b"?").unwrap();
        assert_eq!(disk.list().unwrap(), [("y".to_owned(), 6)]);
        disk.remove("y").unwrap();
        assert!(disk.size("y").is_err());
    }
}
