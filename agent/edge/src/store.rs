//! A folder for what must survive, with its account: how many bytes stand in it, how many were ever written to it, and
//! what that wore off the flash.

use std::collections::BTreeMap;
use std::io;

use fieldmouse_core::series::Millis;

use crate::disk::Disk;

/// What stands where nothing was written yet: no record begins so, and a page lost to zeroes does not look like it.
pub(crate) const FILL: u8 = 0xFF;
/// What a device writes for the least byte.
const PAGE: u64 = 4096;
const HOUR_MS: Millis = 3_600_000;

/// Bytes of each of the last hours.
#[derive(Debug, Default)]
pub(crate) struct Day {
    hours: [u64; 24],
    hour: u64,
}

impl Day {
    /// Goes on to the hour of `now`.
    pub(crate) fn settle(&mut self, now: Millis) {
        let hour = now / HOUR_MS;
        for gone in (self.hour + 1..=hour).take(24) {
            self.hours[usize::try_from(gone % 24).unwrap_or(0)] = 0;
        }
        self.hour = self.hour.max(hour);
    }

    /// Counts bytes of now.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.hours[usize::try_from(self.hour % 24).unwrap_or(0)] += bytes;
    }

    /// Bytes of the last 24 hours.
    pub(crate) fn sum(&self) -> u64 {
        self.hours.iter().sum()
    }
}

/// What writing these bytes of a file wears off: pages are counted whole, and one more for the names and sizes that a
/// file system writes with them.
fn wear(from: u64, to: u64) -> u64 {
    (to.div_ceil(PAGE) - from / PAGE + 1) * PAGE
}

/// A [`Disk`] that is kept account of.
pub(crate) struct Store {
    disk: Box<dyn Disk>,
    sizes: BTreeMap<String, u64>,
    written: u64,
    worn: Day,
}

impl Store {
    /// Takes over a disk; [`Store::list`] comes first.
    pub(crate) fn new(disk: Box<dyn Disk>) -> Self {
        Self { disk, sizes: BTreeMap::new(), written: 0, worn: Day::default() }
    }

    /// Every file and its size.
    pub(crate) fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let files = self.disk.list()?;
        self.sizes = files.iter().cloned().collect();
        Ok(files)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Every file that is known.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sizes.keys().map(String::as_str)
    }

    /// Bytes of one file.
    pub(crate) fn size(&self, name: &str) -> u64 {
        self.sizes.get(name).copied().unwrap_or(0)
    }

    /// Bytes written since the start.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// What time it is for the account of the flash.
    pub(crate) fn settle(&mut self, now: Millis) {
        self.worn.settle(now);
    }

    /// Bytes of flash written in the last 24 hours.
    pub(crate) fn worn(&self) -> u64 {
        self.worn.sum()
    }

    /// Part of a file.
    pub(crate) fn read(&mut self, name: &str, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len.min(1 << 16));
        self.disk.read(name, at, len, &mut bytes)?;
        Ok(bytes)
    }

    /// Makes a file of `size` bytes that stand for nothing, and its name, durable. What is written into it later costs
    /// the flash only itself: neither size nor blocks of the file change.
    pub(crate) fn prepare(&mut self, name: &str, temp: &str, size: u64) -> io::Result<()> {
        // It gets its name when it is whole: what looks otherwise later was damaged.
        self.replace(name, temp, &vec![FILL; usize::try_from(size).unwrap_or(0)])
    }

    /// Writes into a file and makes it durable, its name too if it is new.
    pub(crate) fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        // An empty one may be what an attempt that failed has left: nobody synced its name.
        let new = self.size(name) == 0;
        let done = self
            .disk
            .write(name, at, bytes)
            .and_then(|()| self.disk.sync(name))
            .and_then(|()| if new { self.disk.sync_dir() } else { Ok(()) });
        self.count(name, at, bytes.len(), done.is_ok());
        done
    }

    fn count(&mut self, name: &str, at: u64, len: usize, ok: bool) {
        let end = at + len as u64;
        let size = if ok { Some(self.size(name).max(end)) } else { self.disk.size(name).ok() };
        match size {
            Some(size) => {
                self.written += len as u64;
                self.worn.add(wear(at, end));
                self.sizes.insert(name.to_owned(), size);
            }
            None => {
                self.sizes.remove(name);
            }
        }
    }

    /// Puts `bytes` in place of what `name` holds, whole or not at all, and makes that durable.
    pub(crate) fn replace(&mut self, name: &str, temp: &str, bytes: &[u8]) -> io::Result<()> {
        self.swap(name, temp, bytes)?;
        self.disk.sync_dir()
    }

    /// The same, but until [`Store::sync_dir`] a power cut may bring the old file back: a new file under `temp`, synced,
    /// renamed. After an error the old one stands.
    pub(crate) fn swap(&mut self, name: &str, temp: &str, bytes: &[u8]) -> io::Result<()> {
        if self.sizes.contains_key(temp) {
            self.remove(temp)?;
        }
        let done = self.disk.write(temp, 0, bytes).and_then(|()| self.disk.sync(temp));
        self.count(temp, 0, bytes.len(), done.is_ok());
        let done = done.and_then(|()| self.disk.rename(temp, name));
        if let Err(e) = done {
            if let Err(left) = self.remove(temp) {
                log::debug!("{temp} stays behind: {left}");
            }
            return Err(e);
        }
        self.sizes.remove(temp);
        self.sizes.insert(name.to_owned(), bytes.len() as u64);
        Ok(())
    }

    /// Takes from a file, if there is one, what lies behind `len`.
    pub(crate) fn cut(&mut self, name: &str, len: u64) -> io::Result<()> {
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
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.disk.remove(name)?;
        self.sizes.remove(name);
        Ok(())
    }

    /// Makes durable what is in a file.
    pub(crate) fn sync(&mut self, name: &str) -> io::Result<()> {
        self.disk.sync(name)
    }

    /// Makes removals durable.
    pub(crate) fn sync_dir(&mut self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}
