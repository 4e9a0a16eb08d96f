//! A folder in memory. Clones are the same folder.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use fieldmouse::disk::Disk;

/// The files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The folder.
#[derive(Debug, Clone, Default)]
pub struct Ram(Arc<Mutex<Files>>);

impl Ram {
    /// A folder with these files.
    #[must_use]
    pub fn with(files: Files) -> Self {
        Self(Arc::new(Mutex::new(files)))
    }

    /// What it holds.
    #[must_use]
    pub fn files(&self) -> Files {
        self.0.lock().unwrap().clone()
    }

    fn file<T>(&self, name: &str, act: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        self.0.lock().unwrap().get_mut(name).map(act).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Ram {
    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.0.lock().unwrap().iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect())
    }
    fn read(&mut self, name: &str, at: u64, len: usize, to: &mut Vec<u8>) -> io::Result<()> {
        let at = usize::try_from(at).unwrap();
        self.file(name, |bytes| to.extend(bytes.iter().skip(at).take(len)))
    }
    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.entry(name.to_owned()).or_default();
        let at = usize::try_from(at).unwrap();
        file.resize(file.len().max(at + bytes.len()), 0);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name, |_| ())
    }
    fn sync_dir(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.file(from, std::mem::take)?;
        self.remove(from)?;
        self.0.lock().unwrap().insert(to.to_owned(), bytes);
        Ok(())
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.file(name, |bytes| bytes.truncate(usize::try_from(len).unwrap()))
    }
    fn size(&mut self, name: &str) -> io::Result<u64> {
        self.file(name, |bytes| bytes.len() as u64)
    }
}
