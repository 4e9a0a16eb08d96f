//! One file on its way to the end.

use std::io;

use fieldmouse_core::logs::head;
use fieldmouse_core::series::Millis;
use serde::{Deserialize, Serialize};

use super::chain::Link;
use super::file::{Got, HEAD, Mark, Reader, Stat};
use super::format::Format;
use super::join::{Joined, Joiner};
use super::{Quota, Totals};
use crate::logs::book::Record;
use crate::logs::lines::{Cut, Held};

/// A message that may have further lines waits so long for them.
const JOIN_MS: Millis = 1000;
/// A line without an end, in a file that has lost its name, is one after so long.
const LAST_MS: Millis = 5000;
/// Writers may hold a file that has lost its name for so long.
const LINGER_MS: Millis = 60_000;

/// How far a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Which.
    pub(super) mark: Mark,
    /// Behind the last record that was taken.
    pub(super) offset: u64,
    /// Bytes that it was seen to have.
    pub(super) seen: u64,
}

/// Where records go, and what is counted of them.
pub(super) struct Sink<'a> {
    /// Now.
    pub(super) now: Millis,
    /// Whether lines may belong to the one before.
    pub(super) is_multiline: bool,
    /// The file's stream.
    pub(super) name: &'a str,
    /// What is counted.
    pub(super) totals: &'a mut Totals,
    /// Who takes them.
    pub(super) take: &'a mut dyn FnMut(&Record<'_>),
}

impl Sink<'_> {
    fn take(&mut self, format: Format, joined: &Joined<'_>, offset: &mut u64) {
        self.totals.lines += joined.lines;
        self.totals.records += 1;
        self.totals.bytes += joined.end.saturating_sub(*offset);
        *offset = joined.end;
        // A writer that did not see its file truncated leaves a hole before its next line.
        let hole = joined.text.iter().take_while(|b| **b == 0).count();
        let text = &joined.text[hole..];
        let (program, wall_ms, text) = match format {
            Format::Plain => {
                let head = head::parse(text);
                (head.program, head.wall_ms, head.text)
            }
            Format::Json | Format::Cri => (None, joined.wall_ms, text),
        };
        if !text.trim_ascii().is_empty() {
            let stream = program.unwrap_or(self.name);
            (self.take)(&Record { stream, severity: None, text, wall_ms });
        }
    }
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct Tail {
    /// How far.
    pub(super) standing: Standing,
    /// Whether it has the log's name.
    pub(super) is_live: bool,
    reader: Option<Reader>,
    /// Read so far; what lies behind the standing's offset is held here.
    at: u64,
    held: Held,
    joiner: Joiner,
    format: Option<Format>,
    /// What was seen at the last look.
    looked: Stat,
    /// When it last brought bytes.
    grew: Millis,
    is_at_end: bool,
    /// The machine was down meanwhile, and may have lost the end of it.
    is_rebooted: bool,
}

impl Tail {
    /// One that is known from before; it is not open yet.
    #[must_use]
    pub(super) fn resume(standing: Standing, is_rebooted: bool) -> Self {
        Self {
            standing,
            is_live: false,
            reader: None,
            at: standing.offset,
            held: Held::default(),
            joiner: Joiner::default(),
            format: None,
            looked: Stat::default(),
            grew: 0,
            is_at_end: false,
            is_rebooted,
        }
    }

    /// One to read from its beginning.
    pub(super) fn begin(reader: Reader, head: &[u8], stat: Stat, now: Millis) -> Self {
        let standing = Standing { mark: Mark::of(stat.inode, head), offset: 0, seen: 0 };
        let mut tail = Self::resume(standing, false);
        tail.adopt(reader, head, stat, now);
        tail
    }

    /// Goes on in this file.
    pub(super) fn adopt(&mut self, reader: Reader, head: &[u8], stat: Stat, now: Millis) {
        let standing = &mut self.standing;
        standing.mark = Mark::of(stat.inode, head);
        if !reader.is_packed() {
            // Behind its end nothing can be.
            standing.offset = standing.offset.min(stat.len);
            standing.seen = stat.len;
        }
        self.at = standing.offset;
        self.held.clear();
        self.joiner = Joiner::default();
        self.format = None;
        self.looked = stat;
        self.grew = now;
        (self.is_at_end, self.is_rebooted) = (false, false);
        if standing.offset > 0 {
            let first = head.split(|b| *b == b'\n').next().unwrap_or(head);
            self.format = Some(Format::of(first));
        }
        self.reader = Some(reader);
    }

    /// Leaves out what is there, but for a line that has no end yet.
    pub(super) fn skip_to_end(&mut self) {
        let Some(reader) = &mut self.reader else { return };
        let len = self.standing.seen;
        let from = len.saturating_sub(1 << 13);
        let mut end = vec![0; usize::try_from(len - from).unwrap_or(0)];
        let n = match reader.read(from, &mut end) {
            Ok(Got::Bytes(n)) => n,
            _ => 0,
        };
        let whole = end[..n].iter().rposition(|b| *b == b'\n').map_or(len, |at| from + at as u64 + 1);
        (self.standing.offset, self.at) = (whole, whole);
    }

    /// Whether it is open.
    #[must_use]
    pub(super) fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// Bytes that are known to be there and were not taken.
    #[must_use]
    pub(super) fn behind(&self) -> u64 {
        self.standing.seen.saturating_sub(self.standing.offset)
    }

    /// Whether that is where it is now: by its inode if `by_inode`, else a copy of it, compressed or not.
    #[must_use]
    pub(super) fn is_at(&self, link: &Link, by_inode: bool) -> bool {
        let mark = &self.standing.mark;
        if by_inode != mark.is_inode(link.stat.inode) {
            return false;
        }
        match &link.opened {
            Ok((reader, head)) => {
                let read = if by_inode { self.at } else { self.standing.offset };
                let is_long =
                    reader.is_packed() || link.stat.len >= read || self.is_rebooted && mark.known > 0;
                mark.is_head_of(head) && is_long && (by_inode || mark.known > 0)
            }
            Err(_) => by_inode,
        }
    }

    /// Looks whether the open file is still what it was. `false`: it was truncated, or written anew.
    pub(super) fn is_sound(&mut self) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        let Ok(stat) = reader.stat() else { return false };
        if stat == self.looked || reader.is_packed() {
            return true;
        }
        let Ok(head) = reader.head() else { return false };
        let is_cut = stat.len < self.at || stat.len == 0 && self.standing.mark.known == 0;
        if is_cut || !self.standing.mark.is_head_of(&head) {
            return false;
        }
        self.looked = stat;
        self.standing.seen = stat.len;
        true
    }

    /// Whether nothing of it was seen, so that it would be taken for any other that has its inode.
    pub(super) fn is_unseen(&self) -> bool {
        self.standing.mark.known == 0 && self.standing.offset == 0
    }

    /// Knows it better now that it has grown.
    fn mark(&mut self) {
        let mark = &mut self.standing.mark;
        let Some(reader) = self.reader.as_mut().filter(|r| usize::from(mark.known) < HEAD && !r.is_packed())
        else {
            return;
        };
        if let Ok(head) = reader.head()
            && mark.is_head_of(&head)
        {
            *mark = Mark::of((mark.dev, mark.ino), &head);
        }
    }

    /// Reads on, `most` bytes at most. Returns whether there may be more.
    ///
    /// # Errors
    /// If it cannot be read any further.
    pub(super) fn read(
        &mut self,
        most: u64,
        quota: &mut Quota,
        buffer: &mut [u8],
        into: &mut Sink<'_>,
    ) -> io::Result<bool> {
        let mut used = 0;
        while used < most && !quota.is_spent() {
            let Some(reader) = &mut self.reader else { return Ok(false) };
            let room = buffer.len().min(quota.room());
            let n = match reader.read(self.at, &mut buffer[..room])? {
                Got::Bytes(0) => {
                    self.is_at_end = true;
                    return Ok(false);
                }
                Got::Skipped(n) => n,
                Got::Bytes(n) => {
                    self.mark();
                    self.split(&buffer[..n], into);
                    n
                }
            };
            (self.grew, self.is_at_end) = (into.now, false);
            used += n as u64;
            quota.spend(n as u64);
        }
        Ok(true)
    }

    fn split(&mut self, bytes: &[u8], into: &mut Sink<'_>) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|b| *b == b'\n') {
            let line = &rest[..at];
            self.at += at as u64 + 1;
            if self.held.is_empty() {
                self.line(Cut::of(line), into);
            } else {
                self.held.push(line);
                self.held_line(into);
            }
            rest = &rest[at + 1..];
        }
        self.held.push(rest);
        self.at += rest.len() as u64;
        self.standing.seen = self.standing.seen.max(self.at);
    }

    fn held_line(&mut self, into: &mut Sink<'_>) {
        let held = std::mem::take(&mut self.held);
        self.line(held.line(), into);
    }

    /// A line that ends where reading is.
    fn line(&mut self, line: Cut<'_>, into: &mut Sink<'_>) {
        let format = *self.format.get_or_insert_with(|| Format::of(line.head));
        let (end, now, is_multiline) = (self.at, into.now, into.is_multiline);
        let offset = &mut self.standing.offset;
        let take = &mut |joined: Joined<'_>| into.take(format, &joined, offset);
        self.joiner.push(&format.piece(line), end, now, is_multiline, take);
    }

    /// Hands over what has waited long enough. `is_followed`: its log goes on in another file, so the last message has no
    /// further lines, and must not wait for the next life of an agent that is killed again and again.
    pub(super) fn settle(&mut self, is_followed: bool, into: &mut Sink<'_>) {
        if !self.is_at_end {
            return;
        }
        let waited = into.now.saturating_sub(self.grew);
        let grows_no_more = !self.is_live && (self.is_packed() || waited >= LAST_MS);
        if grows_no_more && !self.held.is_empty() {
            self.held_line(into);
        }
        let format = self.format.unwrap_or(Format::Plain);
        let offset = &mut self.standing.offset;
        let wait = if grows_no_more || is_followed { 0 } else { JOIN_MS };
        self.joiner.flush_old(into.now, wait, &mut |joined| into.take(format, &joined, offset));
    }

    /// Nothing more will be read: hands over what there is, and returns how many bytes are missing.
    pub(super) fn give_up(&mut self, into: &mut Sink<'_>) -> u64 {
        if !self.held.is_empty() {
            self.held_line(into);
        }
        let format = self.format.unwrap_or(Format::Plain);
        let offset = &mut self.standing.offset;
        self.joiner.flush(&mut |joined| into.take(format, &joined, offset));
        self.behind()
    }

    fn is_packed(&self) -> bool {
        self.reader.as_ref().is_some_and(Reader::is_packed)
    }

    /// Whether it was read to its end, and nobody writes to it any more.
    #[must_use]
    pub(super) fn is_done(&self, now: Millis) -> bool {
        let waited = now.saturating_sub(self.grew);
        let is_read = self.is_at_end && self.held.is_empty() && self.joiner.is_empty();
        !self.is_live
            && is_read
            && (self.is_packed() || waited >= LINGER_MS || waited >= LAST_MS && self.is_deleted())
    }

    /// Whether it was read to its end for now.
    #[must_use]
    pub(super) fn is_idle(&self) -> bool {
        !self.is_live && self.is_at_end && self.held.is_empty() && self.joiner.is_empty()
    }

    fn is_deleted(&self) -> bool {
        self.reader.as_ref().is_some_and(Reader::is_deleted)
    }

    /// When it was last written to.
    pub(super) fn written_ns(&self) -> i64 {
        self.reader.as_ref().and_then(|r| r.stat().ok()).map_or(0, |stat| stat.written_ns)
    }
}
