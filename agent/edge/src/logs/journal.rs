//! The journal of systemd, from its files: each entry once, over rotation, restarts and its move from memory to the disk.
//!
//! Files of one name (`system`, `user-1000`) are a lineage; journald renames the live one when it is full. Entries have
//! rising numbers, which go on from file to file, so the number of the last one taken says where reading stands. Where
//! journald begins to number anew, boot and uptime of the entries do.

mod file;
mod message;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fieldmouse_core::series::Millis;
use fieldmouse_core::wire::Fact;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::file::{Entry, Header, Journal};
use super::book::Record;
use super::tail::{Begin, Quota};

/// What is kept of all journals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    entries: u64,
    unreadable: u64,
    lost: u64,
    standings: Vec<(String, Standing)>,
}

/// The last entry that was taken of a lineage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    seqnum_id: u128,
    seqnum: u64,
    boot: u128,
    monotonic: u64,
    realtime: u64,
    /// Entries taken.
    entries: u64,
}

/// New files are looked for so often.
const SCAN_MS: Millis = 5_000;
/// Files at once.
const MOST: usize = 512;
const LINEAGES: usize = 64;
/// What is told of units in one sample.
const FACTS: usize = 16;

/// A file that is open.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    inode: (u64, u64),
    journal: Journal,
    /// Journald writes to it.
    is_live: bool,
    /// Whether it was gone to where reading stands.
    is_placed: bool,
    /// What comes behind the damage is not read.
    is_damaged: bool,
}

/// All journals in some folders.
#[derive(Debug)]
pub struct Journals {
    folders: Vec<PathBuf>,
    from: Begin,
    kept: Kept,
    open: HashMap<String, Vec<Open>>,
    /// Files that were read to their end, and grow no more: no two have the same name.
    done: BTreeSet<PathBuf>,
    next_scan: Millis,
    told_lost: u64,
    /// What cannot be read, and why.
    refused: Vec<(PathBuf, String)>,
    facts: Vec<Fact>,
}

impl Journals {
    /// Follows the journals below these folders.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>, from: Begin, kept: Option<Kept>) -> Self {
        let from = if kept.is_some() { Begin::Beginning } else { from };
        let kept = kept.unwrap_or_default();
        Self {
            folders,
            from,
            told_lost: kept.lost,
            kept,
            open: HashMap::new(),
            done: BTreeSet::new(),
            next_scan: 0,
            refused: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// What has to be kept.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Looks for new files. What is kept afterwards knows every lineage that is there.
    pub fn look(&mut self, now: Millis) {
        if now < self.next_scan {
            return;
        }
        self.next_scan = now + SCAN_MS;
        self.refused.clear();
        let found = files(&self.folders);
        let is_first = self.open.is_empty() && self.done.is_empty();
        self.open.values_mut().flatten().for_each(|open| open.is_live = false);
        let mut heads: HashMap<String, Vec<Header>> = HashMap::new();
        self.done.retain(|path| found.binary_search_by(|(there, ..)| there.cmp(path)).is_ok());
        for (path, lineage, is_live) in found {
            match self.admit(&path, &lineage, is_live) {
                Ok(Some(header)) => heads.entry(lineage).or_default().push(header),
                Ok(None) => {}
                Err(e) => self.refused.push((path, e.to_string())),
            }
        }
        for (lineage, headers) in &heads {
            self.place(lineage, headers, is_first);
        }
        self.from = Begin::Beginning;
    }

    /// Opens a file that is not known yet.
    fn admit(&mut self, path: &Path, lineage: &str, is_live: bool) -> std::io::Result<Option<Header>> {
        let meta = std::fs::metadata(path)?;
        let inode = (meta.dev(), meta.ino());
        let all = self.open.entry(lineage.to_owned()).or_default();
        if let Some(open) = all.iter_mut().find(|open| open.inode == inode) {
            (open.path, open.is_live) = (path.to_owned(), is_live);
            return Ok(None);
        }
        if self.done.contains(path) || !meta.is_file() {
            return Ok(None);
        }
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let journal = Journal::new(file);
        let header = journal.header()?;
        all.push(Open {
            path: path.to_owned(),
            inode,
            journal,
            is_live,
            is_placed: false,
            is_damaged: false,
        });
        Ok(Some(header))
    }

    /// Where to begin with a lineage of which files came in.
    fn place(&mut self, lineage: &str, headers: &[Header], is_first: bool) {
        let known =
            self.kept.standings.iter().find(|(name, _)| name == lineage).map(|(_, standing)| *standing);
        let standing = match known {
            Some(standing) => standing,
            None => {
                let newest =
                    headers.iter().max_by_key(|header| header.written).filter(|_| self.from == Begin::End);
                let standing = newest.map_or(Standing::default(), |header| Standing {
                    seqnum_id: header.seqnum_id,
                    seqnum: header.tail,
                    boot: header.boot,
                    monotonic: header.uptime,
                    realtime: header.written,
                    entries: 0,
                });
                if self.kept.standings.len() < LINEAGES {
                    self.kept.standings.push((lineage.to_owned(), standing));
                }
                standing
            }
        };
        // Numbers are shared with other lineages, so no more than these can be missing.
        let heads =
            headers.iter().filter(|h| h.seqnum_id == standing.seqnum_id && h.entries > 0).map(|h| h.head);
        if let Some(head) = heads.min().filter(|_| is_first && standing.seqnum > 0) {
            self.kept.lost += head.saturating_sub(standing.seqnum + 1);
        }
        let Some(all) = self.open.get_mut(lineage) else { return };
        all.sort_by_key(|open| {
            let header = open.journal.header().ok();
            let is_other = header.is_none_or(|h| h.seqnum_id != standing.seqnum_id);
            let begin = header.map_or(0, |h| if is_other { h.begun } else { h.head });
            (open.is_live, is_other, begin)
        });
    }

    /// Reads on, and hands every entry to `take`.
    pub fn read(&mut self, quota: &mut Quota, take: &mut dyn FnMut(&Record<'_>)) {
        let (kept, facts) = (&mut self.kept, &mut self.facts);
        for (lineage, all) in &mut self.open {
            let Some((_, standing)) = kept.standings.iter_mut().find(|(name, _)| name == lineage) else {
                continue;
            };
            let mut is_through = true;
            all.retain_mut(|open| {
                if !is_through || open.is_damaged && open.is_live {
                    return true;
                }
                let end = drain(open, standing, quota, &mut |entry: &Entry| {
                    kept.entries += 1;
                    kept.unreadable += u64::from(entry.unreadable > 0);
                    if facts.len() < FACTS {
                        facts.extend(message::fact(entry));
                    }
                    let said = message::message(entry);
                    if !said.text.is_empty() {
                        let message::Message { stream, severity, text, wall_ms } = said;
                        take(&Record { stream, severity, text, wall_ms });
                    }
                });
                match end {
                    End::Later => is_through = false,
                    End::Damaged(missing) => (kept.lost, open.is_damaged) = (kept.lost + missing, true),
                    End::Now => {}
                }
                let stays = open.is_live || !is_through;
                if !stays {
                    self.done.insert(open.path.clone());
                }
                stays
            });
        }
    }

    /// Entries that may be missing, since this was asked last.
    pub fn take_lost(&mut self) -> u64 {
        let lost = self.kept.lost - self.told_lost;
        self.told_lost = self.kept.lost;
        lost
    }

    /// What systemd said of its units since this was asked last.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// Whether there is any journal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.standings.is_empty()
    }

    /// How all are.
    #[must_use]
    pub fn about(&self) -> Value {
        let lineages = self
            .kept
            .standings
            .iter()
            .map(|(name, standing)| json!({"path": name, "lines": standing.entries, "behind_bytes": 0}));
        let refused = self.refused.iter().map(|(path, why)| json!({"path": path, "why": why}));
        let Kept { entries, unreadable, lost, .. } = self.kept;
        json!({
            "lines": entries, "unreadable": unreadable, "lost_lines": lost,
            "files": lineages.chain(refused).collect::<Vec<_>>(),
        })
    }
}

/// How reading a file came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All that is there was read.
    Now,
    /// There may be more.
    Later,
    /// It cannot be read any further; so many entries are missing.
    Damaged(u64),
}

fn drain(open: &mut Open, standing: &mut Standing, quota: &mut Quota, take: &mut dyn FnMut(&Entry)) -> End {
    let journal = &mut open.journal;
    let Some(header) = journal.header().ok().filter(|_| !open.is_damaged) else { return End::Damaged(0) };
    if !open.is_placed {
        if header.seqnum_id == standing.seqnum_id {
            if journal.seek(standing.seqnum).is_err() {
                return End::Damaged(header.tail.saturating_sub(standing.seqnum).min(header.entries));
            }
        } else if standing.realtime > 0 && header.written <= standing.realtime {
            return End::Now;
        }
        open.is_placed = true;
    }
    loop {
        if quota.is_spent() {
            return End::Later;
        }
        match journal.next(&message::is_wanted) {
            Ok(None) => return End::Now,
            Err(_) => {
                return End::Damaged(
                    journal.header().map_or(0, |h| h.entries.saturating_sub(journal.entries_read())),
                );
            }
            Ok(Some(entry)) => {
                quota.spend(entry.fields.iter().map(|f| f.len() as u64).sum::<u64>() + 512);
                // A copy of what was taken, under another number: the journal moved from memory to the disk.
                let is_copy = header.seqnum_id != standing.seqnum_id
                    && entry.boot == standing.boot
                    && entry.monotonic <= standing.monotonic;
                if is_copy {
                    continue;
                }
                take(&entry);
                *standing = Standing {
                    seqnum_id: header.seqnum_id,
                    seqnum: entry.seqnum,
                    boot: entry.boot,
                    monotonic: entry.monotonic,
                    realtime: entry.realtime,
                    entries: standing.entries + 1,
                };
            }
        }
    }
}

/// Files of journals of this machine: path, lineage, whether journald writes to it.
fn files(folders: &[PathBuf]) -> Vec<(PathBuf, String, bool)> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for machine in folders.iter().flat_map(|folder| entries(folder)) {
        let name = machine.file_name();
        // Journals of other machines may stand beside; only our own have a machine's id as their folder.
        let is_id = |name: &str| name.len() >= 32 && name.bytes().take(32).all(|b| b.is_ascii_hexdigit());
        let Some(id) = name.to_str().filter(|name| is_id(name)) else { continue };
        for file in entries(&machine.path()) {
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            let Some(stem) = name.strip_suffix(".journal").or_else(|| name.strip_suffix(".journal~")) else {
                continue;
            };
            let lineage = stem.split('@').next().unwrap_or(stem);
            found.push((file.path(), format!("{id}/{lineage}"), !name.contains(['@', '~'])));
        }
    }
    found.sort();
    found.truncate(MOST);
    found
}
