//! One log by its name: the file that has it now, and those that had it and are not read to their end yet.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chain::{self, Link};
use super::file::{Stat, is_binary};
use super::reading::{Sink, Standing, Tail};
use super::{Begin, Quota, Totals};
use crate::logs::book::Record;
use fieldmouse_core::series::Millis;

/// What cannot be read is tried again so often.
const RETRY_MS: Millis = 30_000;
/// A log that was copied is truncated within so long; else the copy is a file like any other.
const COPY_MS: Millis = 5_000;
/// Files read to their end that are kept open, because their writer may still have them.
const MOST_IDLE: usize = 4;

/// What is kept of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Its name.
    pub(super) path: String,
    totals: Totals,
    written_ns: i64,
    tails: Vec<Standing>,
}

/// A log that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    /// Its name.
    pub(super) path: PathBuf,
    /// What came of it.
    pub(super) totals: Totals,
    /// Why it cannot be read.
    pub(super) why: Option<String>,
    stream: String,
    /// The oldest first.
    tails: Vec<Tail>,
    /// A file that was written to from then on is news, if no file is known. 0: none ever was.
    written_ns: i64,
    /// Where to begin with the first file.
    from: Begin,
    is_looked_up: bool,
    retry: Millis,
    /// Since when the log and its copy hold the same.
    copied: Option<Millis>,
    /// Of what is missing, what was told, and why the rest is.
    told_lost: u64,
    lost_why: String,
}

impl Followed {
    /// A log that is seen the first time.
    #[must_use]
    pub(super) fn begin(path: PathBuf, from: Begin) -> Self {
        let stream = stream(&path);
        Self {
            path,
            totals: Totals::default(),
            why: None,
            stream,
            tails: Vec::new(),
            written_ns: 0,
            from,
            is_looked_up: false,
            retry: 0,
            copied: None,
            told_lost: 0,
            lost_why: String::new(),
        }
    }

    /// One that is known from before.
    #[must_use]
    pub(super) fn resume(kept: Kept, is_rebooted: bool) -> Self {
        let tails = kept.tails.into_iter().map(|tail| Tail::resume(tail, is_rebooted)).collect();
        let (totals, written_ns, told_lost) = (kept.totals, kept.written_ns, kept.totals.lost);
        Self { totals, tails, written_ns, told_lost, ..Self::begin(kept.path.into(), Begin::Beginning) }
    }

    /// What has to be kept of it; none before it could be read.
    #[must_use]
    pub(super) fn kept(&self) -> Option<Kept> {
        let path = self.path.to_str()?.to_owned();
        let tails = self.tails.iter().map(|tail| tail.standing).collect();
        (self.written_ns > 0).then_some(Kept {
            path,
            totals: self.totals,
            written_ns: self.written_ns,
            tails,
        })
    }

    /// Notices what was done to the file since the last look.
    pub(super) fn look(&mut self, now: Millis, is_multiline: bool, take: &mut dyn FnMut(&Record<'_>)) {
        let live = self.tails.iter_mut().find(|tail| tail.is_live && tail.is_open());
        let is_known = match (Stat::at(&self.path), live) {
            (Ok(stat), Some(tail)) => {
                let is_same = tail.standing.mark.is_inode(stat.inode) && tail.is_sound();
                self.written_ns =
                    if is_same { self.written_ns.max(stat.written_ns) } else { self.written_ns };
                is_same
            }
            (Err(e), None) if e.kind() == io::ErrorKind::NotFound => {
                // What comes into being later is read from its beginning.
                self.from = Begin::Beginning;
                self.is_looked_up
            }
            _ => false,
        };
        if is_known || now < self.retry {
            return;
        }
        self.why = None;
        if let Err(e) = self.catch_up(now, is_multiline, take) {
            self.why = Some(e.to_string());
        }
        if self.why.is_some() {
            self.retry = now + RETRY_MS;
        }
    }

    /// Finds out where every file is now, and which are new.
    fn catch_up(
        &mut self,
        now: Millis,
        is_multiline: bool,
        take: &mut dyn FnMut(&Record<'_>),
    ) -> io::Result<()> {
        let Some(mut links) = chain::links(&self.path)? else { return Ok(()) };
        if chain::is_copied(&links) && now < *self.copied.get_or_insert(now) + COPY_MS {
            return Ok(());
        }
        self.copied = None;
        let tails = std::mem::take(&mut self.tails).into_iter().filter(|tail| !tail.is_unseen());
        let find = |tail: &Tail, by_inode: bool| links.iter().rposition(|link| tail.is_at(link, by_inode));
        let tails: Vec<_> = tails.map(|tail| (find(&tail, true), find(&tail, false), tail)).collect();
        let mut newest = None;
        for (place, other, mut tail) in tails {
            let is_written_anew =
                place.is_none() && links.iter().any(|link| tail.standing.mark.is_inode(link.stat.inode));
            let place = place.or(other);
            newest = newest.max(place);
            tail.is_live = place.is_some_and(|at| links[at].is_live);
            if tail.is_open() && !is_written_anew {
                self.tails.push(tail);
                continue;
            }
            let gone = Err("was removed or truncated".to_owned());
            let found = place.map_or(gone, |at| {
                std::mem::replace(&mut links[at].opened, Err("is read already".to_owned()))
            });
            match (found, place) {
                (Ok((reader, head)), Some(at)) => {
                    tail.adopt(reader, &head, links[at].stat, now);
                    self.tails.push(tail);
                }
                (Err(why), _) => self.give_up(&mut tail, &why, now, is_multiline, take),
                (Ok(_), None) => {}
            }
        }
        let live = links.iter().position(|link| link.is_live).unwrap_or(links.len());
        let begin = match newest {
            Some(at) => at + 1,
            None if self.written_ns == 0 => live,
            None => {
                links.iter().position(|l| l.stat.written_ns >= self.written_ns || l.is_live).unwrap_or(live)
            }
        };
        if self.written_ns == 0 && live == links.len() {
            // Whatever comes into being from now on is new.
            self.written_ns = links.iter().map(|link| link.stat.written_ns).max().unwrap_or(0) + 1;
        }
        for link in links.drain(begin.min(links.len())..) {
            self.add(link, now);
        }
        self.is_looked_up = true;
        Ok(())
    }

    /// A file that is new.
    fn add(&mut self, link: Link, now: Millis) {
        let opened = link.opened.and_then(|(reader, head)| {
            if is_binary(&head) { Err("is binary".to_owned()) } else { Ok((reader, head)) }
        });
        match opened {
            Ok((reader, head)) => {
                let mut tail = Tail::begin(reader, &head, link.stat, now);
                tail.is_live = link.is_live;
                if self.from == Begin::End {
                    tail.skip_to_end();
                }
                self.from = Begin::Beginning;
                self.written_ns = self.written_ns.max(link.stat.written_ns);
                self.tails.push(tail);
            }
            Err(why) if link.is_live => self.why = Some(why),
            Err(why) => self.lose(link.stat.len, &format!("{}: {why}", link.path.display())),
        }
    }

    fn give_up(
        &mut self,
        tail: &mut Tail,
        why: &str,
        now: Millis,
        is_multiline: bool,
        take: &mut dyn FnMut(&Record<'_>),
    ) {
        let mut into = Sink { now, is_multiline, name: &self.stream, totals: &mut self.totals, take };
        let missing = tail.give_up(&mut into);
        self.lose(missing, why);
    }

    fn lose(&mut self, bytes: u64, why: &str) {
        if bytes > 0 {
            self.totals.lost += bytes;
            why.clone_into(&mut self.lost_why);
        }
    }

    /// Reads on, about `most` bytes. Returns whether there may be more.
    pub(super) fn read(
        &mut self,
        most: u64,
        quota: &mut Quota,
        buffer: &mut [u8],
        (now, is_multiline): (Millis, bool),
        take: &mut dyn FnMut(&Record<'_>),
    ) -> bool {
        let mut at = 0;
        // A later file is not begun before the earlier ones were read to their end.
        while let Some(tail) = self.tails.get_mut(at) {
            let mut into = Sink { now, is_multiline, name: &self.stream, totals: &mut self.totals, take };
            match tail.read(most, quota, buffer, &mut into) {
                Ok(true) => return true,
                Ok(false) => at += 1,
                Err(e) => {
                    let mut tail = self.tails.remove(at);
                    self.give_up(&mut tail, &e.to_string(), now, is_multiline, take);
                    self.written_ns = self.written_ns.max(tail.written_ns() + 1);
                }
            }
        }
        false
    }

    /// Hands over what has waited long enough, and lets go of files that are done. Once a sample.
    pub(super) fn settle(&mut self, now: Millis, is_multiline: bool, take: &mut dyn FnMut(&Record<'_>)) {
        let goes_on = self.tails.iter().rposition(|tail| tail.standing.seen > 0).unwrap_or(0);
        for (at, tail) in self.tails.iter_mut().enumerate() {
            let is_followed = at < goes_on && !tail.is_live;
            let mut into = Sink { now, is_multiline, name: &self.stream, totals: &mut self.totals, take };
            tail.settle(is_followed, &mut into);
        }
        let mut idle = self.tails.iter().filter(|tail| tail.is_idle()).count();
        let written_ns = &mut self.written_ns;
        self.tails.retain(|tail| {
            let goes = tail.is_done(now) || tail.is_idle() && idle > MOST_IDLE;
            if goes {
                idle = idle.saturating_sub(1);
                // Else it would be news.
                *written_ns = (*written_ns).max(tail.written_ns() + 1);
            }
            !goes
        });
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub(super) fn is_gone(&self) -> bool {
        self.tails.is_empty()
    }

    /// Bytes known to be there and not taken.
    #[must_use]
    pub(super) fn behind(&self) -> u64 {
        self.tails.iter().map(Tail::behind).sum()
    }

    /// Bytes that are missing and were not told yet, and why.
    pub(super) fn take_lost(&mut self) -> Option<(u64, &str)> {
        let lost = self.totals.lost - self.told_lost;
        self.told_lost = self.totals.lost;
        (lost > 0).then_some((lost, self.lost_why.as_str()))
    }

    /// How it is.
    #[must_use]
    pub(super) fn about(&self) -> Value {
        let Totals { lines, records, bytes, lost } = self.totals;
        json!({
            "path": self.path, "lines": lines, "records": records, "bytes": bytes, "lost_bytes": lost,
            "behind_bytes": self.behind(), "why": self.why,
        })
    }
}

/// Who writes a log: the container, else what the file is called.
fn stream(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder =
        |up: usize| path.ancestors().nth(up).and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let is_id = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    // Docker: ID/ID-json.log, and its name beside it.
    if let Some(id) = stem.strip_suffix("-json").filter(|id| is_id(id)) {
        return docker_name(path).unwrap_or_else(|| id[..12].to_owned());
    }
    // Podman: ID/userdata/ctr.log.
    if stem == "ctr" && is_id(&folder(2)) {
        return folder(2)[..12].to_owned();
    }
    // Kubernetes: POD_NAMESPACE_CONTAINER-ID.log.
    if let Some((names, id)) = stem.rsplit_once('-').filter(|(_, id)| is_id(id)) {
        return names.rsplit('_').next().map_or_else(|| id[..12].to_owned(), ToOwned::to_owned);
    }
    stem.into_owned()
}

fn docker_name(log: &Path) -> Option<String> {
    let text = crate::sources::text::bytes_of(&log.with_file_name("config.v2.json")).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    let name = config["Name"].as_str()?.trim_start_matches('/');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_a_log() {
        let id = "0123456789abcdef".repeat(4);
        let dir = tempfile::tempdir().unwrap();
        let docker = dir.path().join(&id).join(format!("{id}-json.log"));
        let check = |path: &Path, expected: &str| assert_eq!(stream(path), expected, "{}", path.display());
        check(&docker, "0123456789ab");
        std::fs::create_dir(dir.path().join(&id)).unwrap();
        std::fs::write(dir.path().join(&id).join("config.v2.json"), r#"{"ID":"x","Name":"/web-1"}"#).unwrap();
        check(&docker, "web-1");
        check(Path::new(&format!("/c/{id}/userdata/ctr.log")), "0123456789ab");
        check(Path::new(&format!("/var/log/containers/web-0_default_nginx-{id}.log")), "nginx");
        check(Path::new("/var/log/syslog"), "syslog");
        check(Path::new("/var/log/app/web.log"), "web");
    }
}
