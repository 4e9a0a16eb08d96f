//! Looking at the files of an outbox without changing them.

use std::collections::BTreeMap;
use std::io;

use super::cursor;
use super::record::{self, Found, HEADER};
use super::recover::unfilled;
use crate::disk::Disk;

/// What stands in the folder.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Segment files, the oldest first.
    pub segments: Vec<Segment>,
    /// By epoch: whole records, the lowest and the highest number.
    pub epochs: BTreeMap<u64, Epoch>,
    /// What is noted beside the records; `Err` says what is wrong with it.
    pub cursor: Option<Result<(), &'static str>>,
    /// Files that are none of the outbox's, or left behind.
    pub others: Vec<(String, u64)>,
}

/// A segment file.
#[derive(Debug, Default)]
pub struct Segment {
    /// Its name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Whole records in it.
    pub records: u64,
    /// Where it is damaged.
    pub damage: Vec<Damage>,
}

/// Damaged bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Offset in the file.
    pub at: usize,
    /// How many bytes.
    pub bytes: usize,
    /// The number of the record, if it is still known.
    pub seq: Option<u64>,
}

/// The records of an epoch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// How many.
    pub records: u64,
    /// The lowest number.
    pub first: u64,
    /// The highest number.
    pub last: u64,
    /// Acknowledged up to here, as noted.
    pub acked: Option<u64>,
}

/// Reads every file.
///
/// # Errors
/// If the folder or a segment cannot be read.
pub fn inspect(disk: &mut dyn Disk) -> io::Result<Inspection> {
    let mut all = Inspection::default();
    let mut files = disk.list()?;
    files.sort();
    for (file, bytes) in files {
        let mut content = Vec::new();
        disk.read(&file, 0, usize::try_from(bytes).unwrap_or(usize::MAX), &mut content)?;
        if file.ends_with(".seg") {
            let segment = all.segment(file, &content);
            all.segments.push(segment);
        } else if file == cursor::NAME {
            let noted = cursor::decode(&content);
            for n in noted.iter().flatten() {
                all.epochs.entry(n.epoch).or_default().acked = Some(n.acked);
            }
            all.cursor = Some(noted.map(drop).ok_or("its checksum does not hold"));
        } else {
            all.others.push((file, bytes));
        }
    }
    Ok(all)
}

impl Inspection {
    fn segment(&mut self, file: String, content: &[u8]) -> Segment {
        let mut s = Segment { file, bytes: content.len() as u64, ..Segment::default() };
        record::scan(content, |found| match found {
            Found::Record(_, head) => {
                s.records += 1;
                let e = self.epochs.entry(head.epoch).or_default();
                e.first = if e.records == 0 { head.seq } else { e.first.min(head.seq) };
                e.last = e.last.max(head.seq);
                e.records += 1;
            }
            Found::Broken(at, head) => {
                let bytes = (HEADER + head.len).min(content.len() - at);
                s.damage.push(Damage { at, bytes, seq: Some(head.seq) });
            }
            Found::Junk(at, bytes) => {
                let (at, bytes) = unfilled(content, at, bytes);
                if bytes > 0 {
                    s.damage.push(Damage { at, bytes, seq: None });
                }
            }
        });
        s
    }

    /// Whether every byte is what was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.segments.iter().all(|s| s.damage.is_empty()) && !matches!(self.cursor, Some(Err(_)))
    }
}
