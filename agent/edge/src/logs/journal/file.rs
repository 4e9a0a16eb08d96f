//! One file of systemd-journald, read as its format is described (systemd.io/JOURNAL_FILE_FORMAT), regular and compact.
//!
//! The file is written by another process while it is read, and may be damaged: it is never mapped, and every number in it
//! is held for a guess until what it leads to looks as it must.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const SIGNATURE: &[u8; 8] = b"LPKSHHRH";
const HEADER: usize = 208;
const OBJECT: u64 = 16;
const DATA: u8 = 1;
const ENTRY: u8 = 3;
const ARRAY: u8 = 6;
/// Xz, LZ4, keyed hashes, zstd, compact. A file that needs more of its reader is refused.
const KNOWN: u32 = 1 | 2 | 4 | 8 | 16;
const COMPACT: u32 = 16;
/// Flags of a data object.
const PACKED: u8 = 1 | 2 | 4;
pub(super) const ZSTD: u8 = 4;
/// Fields that are looked at in one entry.
const MOST_FIELDS: usize = 256;
/// Bytes of a field that are read.
const MOST_BYTES: usize = crate::logs::lines::HELD + 32;
/// Data objects known to be nobody's concern.
const DULL: usize = 1024;

/// What the header says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Numbers of entries are compared within this alone.
    pub(super) seqnum_id: u128,
    /// The number of the first entry.
    pub(super) head: u64,
    /// The number of the last one.
    pub(super) tail: u64,
    /// How many there are.
    pub(super) entries: u64,
    /// When the first one was written, in microseconds since 1970.
    pub(super) begun: u64,
    /// When the last one was.
    pub(super) written: u64,
    /// The same in microseconds since the boot.
    pub(super) uptime: u64,
    /// In which boot.
    pub(super) boot: u128,
    flags: u32,
    array: u64,
}

/// An entry, with the fields that were asked for.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Its number.
    pub(super) seqnum: u64,
    /// Microseconds since 1970.
    pub(super) realtime: u64,
    /// Microseconds since the boot.
    pub(super) monotonic: u64,
    /// Which boot.
    pub(super) boot: u128,
    /// `NAME=value`, of the names that were asked for.
    pub(super) fields: Vec<Vec<u8>>,
    /// Fields that could not be unpacked.
    pub(super) unreadable: u32,
}

/// Where reading is: an array of entries, and the place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    array: u64,
    /// Entries in the arrays before.
    before: u64,
    /// Entries read in all.
    read: u64,
}

/// A journal file that is read from its first entry to its last.
pub(super) struct Journal {
    file: File,
    cursor: Option<Cursor>,
    dull: Box<[u64]>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn half(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn id(bytes: &[u8], at: usize) -> u128 {
    bytes.get(at..at + 16).and_then(|b| b.try_into().ok()).map_or(0, u128::from_be_bytes)
}

impl Header {
    /// Whether places are half as wide.
    pub(super) fn is_compact(&self) -> bool {
        self.flags & COMPACT != 0
    }

    /// Whether fields may be compressed by zstd.
    #[cfg(test)]
    pub(super) fn is_packed(&self) -> bool {
        self.flags & 8 != 0
    }
}

impl Journal {
    /// Takes over an open file.
    #[must_use]
    pub(super) fn new(file: File) -> Self {
        Self { file, cursor: None, dull: Box::default() }
    }

    /// Entries that were read, or gone past.
    #[must_use]
    pub(super) fn entries_read(&self) -> u64 {
        self.cursor.map_or(0, |cursor| cursor.read)
    }

    /// What the header says now.
    ///
    /// # Errors
    /// If it is no journal, or one of a kind that is not known.
    pub(super) fn header(&self) -> io::Result<Header> {
        let mut bytes = [0; HEADER];
        self.file.read_exact_at(&mut bytes, 0)?;
        if !bytes.starts_with(SIGNATURE) {
            return Err(bad("is no journal"));
        }
        let flags = half(&bytes, 12);
        if flags & !KNOWN != 0 {
            return Err(bad("is of a kind that is not known"));
        }
        Ok(Header {
            seqnum_id: id(&bytes, 72),
            head: word(&bytes, 168),
            tail: word(&bytes, 160),
            entries: word(&bytes, 152),
            begun: word(&bytes, 184),
            written: word(&bytes, 192),
            uptime: word(&bytes, 200),
            boot: id(&bytes, 56),
            flags,
            array: word(&bytes, 176),
        })
    }

    /// The head of an object of this kind: its flags and its size. `to` is filled with as much of it as there is.
    fn object(&self, at: u64, kind: u8, to: &mut [u8]) -> io::Result<(u8, u64, usize)> {
        if at < HEADER as u64 || !at.is_multiple_of(8) {
            return Err(bad("an object stands where none can be"));
        }
        let n = read_most(&self.file, to, at)?;
        let size = word(to, 8);
        if n < OBJECT as usize || to[0] != kind || size < OBJECT {
            return Err(bad("an object is of another kind"));
        }
        Ok((to[1], size, n.min(usize::try_from(size).unwrap_or(usize::MAX))))
    }

    /// The next array and the number of places in this one.
    fn array(&self, at: u64, header: &Header) -> io::Result<(u64, u64)> {
        let mut bytes = [0; 24];
        let (_, size, n) = self.object(at, ARRAY, &mut bytes)?;
        let places = size.saturating_sub(24) / item(header);
        if n < bytes.len() || places == 0 {
            return Err(bad("an array of entries holds none"));
        }
        Ok((word(&bytes, 16), places))
    }

    /// Where the entry in this place of an array is.
    fn place(&self, array: u64, index: u64, header: &Header) -> io::Result<u64> {
        let mut bytes = [0; 8];
        let width = item(header) as usize;
        let at = array.saturating_add(24).saturating_add(index.saturating_mul(item(header)));
        self.file.read_exact_at(&mut bytes[..width], at)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Goes behind the last entry whose number is at most `seqnum`.
    ///
    /// # Errors
    /// If the file cannot be read, or is damaged on the way.
    pub(super) fn seek(&mut self, seqnum: u64) -> io::Result<()> {
        let header = self.header()?;
        let (mut array, mut before) = (header.array, 0);
        let mut cursor = None;
        while array != 0 && before < header.entries {
            let (next, places) = self.array(array, &header)?;
            let used = places.min(header.entries - before);
            if self.seqnum(self.place(array, 0, &header)?)? > seqnum {
                break;
            }
            // The first one in (low, used] that is later.
            let (mut low, mut high) = (0, used);
            while low + 1 < high {
                let middle = low + (high - low) / 2;
                let later = self.seqnum(self.place(array, middle, &header)?)? > seqnum;
                (low, high) = if later { (low, middle) } else { (middle, high) };
            }
            cursor = Some(Cursor { array, before, read: before + high });
            if high < used || next <= array {
                break;
            }
            (array, before) = (next, before + places);
        }
        self.cursor = cursor;
        Ok(())
    }

    fn seqnum(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; 24];
        self.object(at, ENTRY, &mut bytes)?;
        Ok(word(&bytes, 16))
    }

    /// The next entry, if there is one, with those of its fields whose name `is_wanted`.
    ///
    /// # Errors
    /// If the file cannot be read, or is damaged. What comes behind the damage is not read.
    pub(super) fn next(&mut self, is_wanted: &dyn Fn(&[u8]) -> bool) -> io::Result<Option<Entry>> {
        let header = self.header()?;
        if header.entries == 0 || header.array == 0 {
            return Ok(None);
        }
        let mut cursor = self.cursor.unwrap_or(Cursor { array: header.array, before: 0, read: 0 });
        if cursor.read >= header.entries {
            return Ok(None);
        }
        let (next, places) = self.array(cursor.array, &header)?;
        if cursor.read - cursor.before >= places {
            // It is linked a moment after it is counted, and arrays never lead back.
            if next <= cursor.array {
                return if next == 0 { Ok(None) } else { Err(bad("arrays of entries lead back")) };
            }
            cursor = Cursor { array: next, before: cursor.before + places, read: cursor.read };
        }
        let at = self.place(cursor.array, cursor.read - cursor.before, &header)?;
        if at == 0 {
            return Ok(None);
        }
        let entry = self.entry(at, &header, is_wanted)?;
        cursor.read += 1;
        self.cursor = Some(cursor);
        Ok(Some(entry))
    }

    fn entry(&mut self, at: u64, header: &Header, is_wanted: &dyn Fn(&[u8]) -> bool) -> io::Result<Entry> {
        let width = if header.is_compact() { 4 } else { 16 };
        let mut bytes = vec![0; 64 + MOST_FIELDS * width];
        let (_, _, n) = self.object(at, ENTRY, &mut bytes)?;
        let items = bytes.get(64..n).ok_or_else(|| bad("an entry is cut off"))?;
        let mut entry = Entry {
            seqnum: word(&bytes, 16),
            realtime: word(&bytes, 24),
            monotonic: word(&bytes, 32),
            boot: id(&bytes, 40),
            ..Entry::default()
        };
        for item in items.chunks_exact(width) {
            let at = if width == 4 { half(item, 0).into() } else { word(item, 0) };
            if self.is_dull(at) {
                continue;
            }
            match self.data(at, header, is_wanted)? {
                Field::Wanted(field) => entry.fields.push(field),
                Field::Dull => self.note_dull(at),
                Field::Unreadable => entry.unreadable += 1,
            }
        }
        Ok(entry)
    }

    fn is_dull(&self, at: u64) -> bool {
        self.dull.get(dull_place(at)) == Some(&at)
    }

    fn note_dull(&mut self, at: u64) {
        if self.dull.is_empty() {
            self.dull = vec![0; DULL].into();
        }
        self.dull[dull_place(at)] = at;
    }

    fn data(&self, at: u64, header: &Header, is_wanted: &dyn Fn(&[u8]) -> bool) -> io::Result<Field> {
        let from = if header.is_compact() { 72 } else { 64 };
        let mut first = [0; 320];
        let (flags, size, n) = self.object(at, DATA, &mut first)?;
        let len = usize::try_from(size.saturating_sub(from as u64)).unwrap_or(usize::MAX);
        if flags & PACKED != 0 {
            // Which field it is only its text would say, and that may be long.
            let mut packed = vec![0; len.min(super::unpack::MOST_PACKED)];
            self.file.read_exact_at(&mut packed, at + from as u64)?;
            let Some(text) = super::unpack::unpack(flags & PACKED, &packed, MOST_BYTES) else {
                return Ok(Field::Unreadable);
            };
            return Ok(if is_wanted(name(&text)) { Field::Wanted(text) } else { Field::Dull });
        }
        let text = first.get(from..n).ok_or_else(|| bad("a field is cut off"))?;
        if !is_wanted(name(text)) {
            return Ok(Field::Dull);
        }
        let mut text = text.to_vec();
        let known = text.len();
        text.resize(len.min(MOST_BYTES).max(known), 0);
        self.file.read_exact_at(&mut text[known..], at + (from + known) as u64)?;
        Ok(Field::Wanted(text))
    }
}

enum Field {
    Wanted(Vec<u8>),
    Dull,
    Unreadable,
}

/// The name of a field; nothing if it has none that is short enough.
fn name(text: &[u8]) -> &[u8] {
    text.iter().take(64).position(|b| *b == b'=').map_or(&[], |at| &text[..at])
}

fn dull_place(at: u64) -> usize {
    (at / 8) as usize % DULL
}

/// Bytes of a place in an array.
fn item(header: &Header) -> u64 {
    if header.is_compact() { 4 } else { 8 }
}

/// Reads as much as there is.
fn read_most(file: &File, to: &mut [u8], at: u64) -> io::Result<usize> {
    let mut n = 0;
    while n < to.len() {
        match file.read_at(&mut to[n..], at.saturating_add(n as u64)) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}
