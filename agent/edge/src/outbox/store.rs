//! The folder with its account: how many bytes stand in it and how many were ever written to it.

use std::collections::BTreeMap;
use std::io;

use crate::disk::Disk;

/// A [`Disk`] that is kept account of.
pub(super) struct Store {
    disk: Box<dyn Disk>,
    sizes: BTreeMap<String, u64>,
    written: u64,
}

impl Store {
    /// Takes over a disk; [`Store::list`] comes first.
    pub(super) fn new(disk: Box<dyn Disk>) -> Self {
        Self { disk, sizes: BTreeMap::new(), written: 0 }
    }

    /// Every file and its size.
    pub(super) fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let files = self.disk.list()?;
        self.sizes = files.iter().cloned().collect();
        Ok(files)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Bytes of one file.
    pub(super) fn size(&self, name: &str) -> u64 {
        self.sizes.get(name).copied().unwrap_or(0)
    }

    /// Bytes written since the start.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Part of a file.
    pub(super) fn read(&mut self, name: &str, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len.min(1 << 16));
        self.disk.read(name, at, len, &mut bytes)?;
        Ok(bytes)
    }

    /// Adds to a file and makes it durable, its name too if it is new.
    pub(super) fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = !self.sizes.contains_key(name);
        let done = self
            .disk
            .append(name, bytes)
            .and_then(|()| self.disk.sync(name))
            .and_then(|()| if new { self.disk.sync_dir() } else { Ok(()) });
        self.count(name, bytes.len(), done.is_ok());
        done
    }

    fn count(&mut self, name: &str, len: usize, ok: bool) {
        let known = self.size(name);
        let size = if ok { Some(known + len as u64) } else { self.disk.size(name).ok() };
        match size {
            Some(size) => {
                self.written += size.saturating_sub(known);
                self.sizes.insert(name.to_owned(), size);
            }
            None => {
                self.sizes.remove(name);
            }
        }
    }

    /// Puts `bytes` in place of what `name` holds, whole or not at all: a new file under `temp`, synced, renamed.
    pub(super) fn replace(&mut self, name: &str, temp: &str, bytes: &[u8]) -> io::Result<()> {
        if self.sizes.contains_key(temp) {
            self.remove(temp)?;
        }
        let done = self.disk.append(temp, bytes).and_then(|()| self.disk.sync(temp));
        self.count(temp, bytes.len(), done.is_ok());
        let done = done.and_then(|()| self.disk.rename(temp, name));
        if let Err(e) = done {
            if let Err(left) = self.remove(temp) {
                log::debug!("outbox: {temp} stays behind: {left}");
            }
            return Err(e);
        }
        self.sizes.remove(temp);
        self.sizes.insert(name.to_owned(), bytes.len() as u64);
        self.disk.sync_dir()
    }

    /// Takes from a file, if there is one, what lies behind `len`.
    pub(super) fn cut(&mut self, name: &str, len: u64) -> io::Result<()> {
        if self.size(name) <= len {
            return Ok(());
        }
        if len == 0 {
            return self.remove(name);
        }
        self.disk.truncate(name, len)?;
        self.sizes.insert(name.to_owned(), len);
        Ok(())
    }

    /// Removes a file.
    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.disk.remove(name)?;
        self.sizes.remove(name);
        Ok(())
    }

    /// Makes durable what is in a file.
    pub(super) fn sync(&mut self, name: &str) -> io::Result<()> {
        self.disk.sync(name)
    }

    /// Makes removals durable.
    pub(super) fn sync_dir(&mut self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}
