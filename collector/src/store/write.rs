//! What a batch changes, inside one transaction.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use fieldmouse_core::wire::{self, DecodeError, Kind, phase, state};
use rusqlite::{OptionalExtension, Result, Transaction, params};

use super::{Acknowledged, Closing, Committed, capsules, dating, facts, forecasts, told};
use crate::intake::decode::{self, Arrival, Body, Entry, Leaf, Message};
use crate::numbers::{MAX_GAPS, Numbers, Seen};
use crate::words;

/// Dead letters kept; the oldest go first.
const DEAD_LETTERS: i64 = 1000;
/// Rows removed per table and call, so that intake never waits long for the retention.
pub(super) const EXPIRE_ROWS: i64 = 2000;

/// Identities are kept bit for bit.
pub(super) fn id(number: u64) -> i64 {
    number.cast_signed()
}

/// Quantities stop at the largest a column holds.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Applies a batch.
pub(super) fn batch(tx: &Transaction<'_>, arrivals: &[Arrival]) -> Result<Committed> {
    let mut batch = Batch { tx, epochs: BTreeMap::new(), done: Committed::default() };
    for arrival in arrivals {
        match arrival {
            Arrival::Message(m) if m.leaf == Leaf::Capsule => capsules::arrived(tx, m, &mut batch.done)?,
            Arrival::Message(message) => batch.message(message)?,
            Arrival::Refused(letter) => batch.dead_letter(letter)?,
        }
    }
    batch.finish()
}

/// Removes a piece of what arrived before.
pub(super) fn expire(tx: &Transaction<'_>, before_ms: u64) -> Result<usize> {
    let piece = |sql: &str| tx.execute(sql, params![int(before_ms), EXPIRE_ROWS]);
    Ok(piece(forecasts::EXPIRE)?
        + piece("DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < ?1 LIMIT ?2)")?
        + piece(
            "DELETE FROM facts WHERE event IN (SELECT event FROM facts WHERE received_at < ?1 LIMIT ?2)",
        )?
        + piece(
            "DELETE FROM troubles WHERE event IN (SELECT event FROM troubles WHERE received_at < ?1 LIMIT ?2)",
        )?
        + piece(
            "DELETE FROM episodes WHERE (device, epoch, id) IN (SELECT device, epoch, id FROM episodes
             WHERE closing <> 0 AND updated_at < ?1 LIMIT ?2)",
        )?
        + piece(
            "DELETE FROM losses WHERE (device, epoch, first, count) IN (SELECT device, epoch, first, count
             FROM losses WHERE declared_at < ?1 LIMIT ?2)",
        )?
        + piece(
            "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE received_at < ?1 LIMIT ?2)",
        )?)
}

struct Batch<'t> {
    tx: &'t Transaction<'t>,
    epochs: BTreeMap<(i64, u64), Epoch>,
    done: Committed,
}

/// An epoch touched by the batch.
struct Epoch {
    site: String,
    node: String,
    before: Numbers,
    numbers: Numbers,
    answer: bool,
}

/// The message an entry came in, as far as its rows need it.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) device: i64,
    pub(super) epoch: u64,
    // Whether this is the epoch the device is in.
    pub(super) current: bool,
    pub(super) received_ms: u64,
}

impl Batch<'_> {
    fn message(&mut self, m: &Message) -> Result<()> {
        let will = m.items.iter().any(|e| matches!(&e.body, Body::Status(s) if s.state == state::LOST));
        // What the broker kept, or says for the device, does not show that the device lives.
        let heard = match m.items.first() {
            _ if will => 0,
            Some(first) if m.retained => {
                dating::happened(first, m.received_ms).min(first.wall_ms.unwrap_or(0))
            }
            _ => m.received_ms,
        };
        let known: Option<(i64, i64)> = self
            .tx
            .prepare_cached("SELECT id, epoch FROM devices WHERE site = ?1 AND node = ?2")?
            .query_row(params![m.site, m.node], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let (device, mut current) = match known {
            Some((device, current)) => {
                if will && current != id(m.epoch) {
                    self.done.stale += 1;
                    return Ok(());
                }
                (device, current)
            }
            None => {
                self.tx
                    .prepare_cached(
                        "INSERT INTO devices (site, node, first_seen, seen_at, epoch) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![m.site, m.node, int(m.received_ms), int(heard), id(m.epoch)])?;
                self.done.born.insert((m.site.clone(), m.node.clone()));
                (self.tx.last_insert_rowid(), id(m.epoch))
            }
        };
        self.tx
            .prepare_cached("UPDATE devices SET seen_at = max(seen_at, ?2) WHERE id = ?1")?
            .execute(params![device, int(heard)])?;
        if self.enter(device, m)? && current != id(m.epoch) {
            self.new_epoch(device, m)?;
            current = id(m.epoch);
        }
        let origin =
            Origin { device, epoch: m.epoch, current: current == id(m.epoch), received_ms: m.received_ms };
        for entry in &m.items {
            match m.leaf {
                Leaf::Event => self.event(origin, entry, m)?,
                Leaf::Status | Leaf::Birth | Leaf::Beat | Leaf::Capsule => {
                    self.about(origin, entry, m.retained)?
                }
            }
        }
        Ok(())
    }

    /// Loads the numbers of the message's epoch; true if the epoch was never heard of.
    fn enter(&mut self, device: i64, m: &Message) -> Result<bool> {
        let Slot::Vacant(slot) = self.epochs.entry((device, m.epoch)) else { return Ok(false) };
        let key = params![device, id(m.epoch)];
        let high: Option<i64> = self
            .tx
            .prepare_cached("SELECT high FROM epochs WHERE device = ?1 AND epoch = ?2")?
            .query_row(key, |r| r.get(0))
            .optional()?;
        let numbers = match high {
            Some(high) => {
                let mut gaps = self.tx.prepare_cached(
                    "SELECT first, last FROM gaps WHERE device = ?1 AND epoch = ?2 ORDER BY first",
                )?;
                let gaps = gaps
                    .query_map(key, |r| {
                        Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get::<_, i64>(1)?.cast_unsigned()))
                    })?
                    .collect::<Result<Vec<_>>>()?;
                Numbers::restore(high.cast_unsigned(), gaps)
            }
            None => {
                self.tx
                    .prepare_cached(
                        "INSERT INTO epochs (device, epoch, first_seen, high) VALUES (?1, ?2, ?3, 0)",
                    )?
                    .execute(params![device, id(m.epoch), int(m.received_ms)])?;
                Numbers::default()
            }
        };
        slot.insert(Epoch {
            site: m.site.clone(),
            node: m.node.clone(),
            before: numbers.clone(),
            numbers,
            answer: false,
        });
        Ok(high.is_none())
    }

    /// The device made a new outbox: what the old one left open will not be closed by it.
    fn new_epoch(&self, device: i64, m: &Message) -> Result<()> {
        self.tx
            .prepare_cached("UPDATE devices SET epoch = ?2, beat = NULL, beat_at = NULL WHERE id = ?1")?
            .execute(params![device, id(m.epoch)])?;
        self.tx
            .prepare_cached(
                "UPDATE episodes SET closing = 2, closed_at = ?3 WHERE device = ?1 AND epoch <> ?2 AND closing = 0",
            )?
            .execute(params![device, id(m.epoch), int(m.received_ms)])?;
        forecasts::forget(self.tx, device, m.epoch).map(drop)
    }

    /// What the origin's site told since then is to be looked at again.
    fn touch(&mut self, origin: Origin, since_ms: u64) {
        let Some(epoch) = self.epochs.get(&(origin.device, origin.epoch)) else { return };
        match self.done.touched.get_mut(&epoch.site) {
            Some(since) => *since = since_ms.min(*since),
            None => drop(self.done.touched.insert(epoch.site.clone(), since_ms)),
        }
    }

    fn numbers(&mut self, origin: Origin) -> Option<&mut Epoch> {
        self.epochs.get_mut(&(origin.device, origin.epoch))
    }

    /// Status, birth, beat: the latest of each stands.
    fn about(&mut self, origin: Origin, entry: &Entry, retained: bool) -> Result<()> {
        let at = int(dating::happened(entry, origin.received_ms));
        match &entry.body {
            Body::Status(status) => {
                let at = if retained { at } else { int(origin.received_ms) };
                told::came_or_went(self.tx, origin, status.state, at.cast_unsigned())?;
                self.touch(origin, at.cast_unsigned());
                self.tx
                    .prepare_cached(
                        "UPDATE devices SET state_at = CASE WHEN state = ?2 THEN state_at ELSE ?3 END,
                         state = ?2, version = ?4 WHERE id = ?1",
                    )?
                    .execute(params![origin.device, status.state, at, status.version.as_str()])?;
            }
            Body::Birth(b, series, edges) => {
                if let Some(of) = self.epochs.get(&(origin.device, origin.epoch)) {
                    self.done.born.insert((of.site.clone(), of.node.clone()));
                }
                let names: Vec<String> = series.iter().map(ToString::to_string).collect();
                let names = serde_json::to_string(&names).unwrap_or_else(|_| "[]".to_owned());
                let edges = serde_json::to_string(edges).unwrap_or_else(|_| "[]".to_owned());
                self.tx
                    .prepare_cached(
                        "UPDATE devices SET version = ?2, platform = ?3, os = ?4, host = ?5, cpus = ?6, memory = ?7,
                         model = ?8, model_name = ?9, tick_ms = ?10, labels = ?11, series = ?12, birth_at = ?13, edges = ?14
                         WHERE id = ?1",
                    )?
                    .execute(params![
                        origin.device,
                        b.version.as_str(),
                        b.platform.as_str(),
                        b.os.as_str(),
                        b.host.as_str(),
                        b.cpus,
                        int(b.memory),
                        b.model,
                        b.model_name.as_str(),
                        b.tick_ms,
                        b.labels.as_str(),
                        names,
                        at,
                        edges
                    ])?;
            }
            Body::Beat(beat) => {
                self.tx
                    .prepare_cached(
                        "UPDATE devices SET beat = ?2, beat_at = ?3 WHERE id = ?1 AND epoch = ?4",
                    )?
                    .execute(params![origin.device, entry.raw, int(origin.received_ms), id(origin.epoch)])?;
                self.baseline(origin, beat)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A device that was acknowledged further than this database knows will never send those numbers again. Unless
    /// they are accounted for, the acknowledgements would stand still and its outbox would fill up.
    fn baseline(&mut self, origin: Origin, beat: &wire::Beat) -> Result<()> {
        let Some(epoch) = self.numbers(origin) else { return Ok(()) };
        // The agent missed an acknowledgement: tell it again.
        epoch.answer |= beat.acked < epoch.numbers.contiguous();
        if beat.acked <= epoch.numbers.contiguous() || beat.acked > beat.seq.min(i64::MAX as u64) {
            return Ok(());
        }
        let mut missing: Vec<(u64, u64)> = epoch
            .numbers
            .gaps()
            .iter()
            .filter(|g| g.0 <= beat.acked)
            .map(|g| (g.0, g.1.min(beat.acked)))
            .collect();
        if epoch.numbers.high() < beat.acked {
            missing.push((epoch.numbers.high() + 1, beat.acked));
        }
        epoch.numbers.cover(1, beat.acked);
        for (first, last) in missing {
            self.loss_row(origin, first, last - first + 1, words::own_loss::EARLIER_DATABASE, 0)?;
        }
        Ok(())
    }

    fn event(&mut self, origin: Origin, entry: &Entry, m: &Message) -> Result<()> {
        let Some(epoch) = self.numbers(origin) else { return Ok(()) };
        epoch.answer = true;
        if entry.seq > 0 {
            match epoch.numbers.insert(entry.seq) {
                Seen::New => {}
                Seen::Refused => {
                    self.done.refused += 1;
                    return Ok(());
                }
                Seen::Before => {
                    if !self.came_after_all(origin, entry.seq)? {
                        self.done.duplicates += 1;
                        return Ok(());
                    }
                }
            }
        }
        let at = dating::dated(self.tx, origin.device, origin.epoch, entry, origin.received_ms)?;
        let mut problem = None;
        if let Body::Loss(loss) = &entry.body {
            if loss.first == 0 || loss.count == 0 || i64::try_from(loss.first).is_err() {
                problem = Some(DecodeError::Body.word());
            } else if !self.loss(origin, loss)? {
                problem = Some("gaps");
            }
        }
        if let Body::ClockSet(said) = &entry.body
            && !dating::set(self.tx, origin.device, said, origin.received_ms)?
        {
            problem = Some(DecodeError::Body.word());
        }
        if let (Body::ClockSet(said), None) = (&entry.body, problem) {
            self.touch(origin, said.boot_ms);
        }
        if matches!(entry.body, Body::Malformed) {
            problem = Some(DecodeError::Body.word());
        }
        if let Some(reason) = problem {
            let topic = format!("{}/{}/event", m.site, m.node);
            self.dead_letter(&decode::DeadLetter::new(&topic, reason, &entry.raw, origin.received_ms))?;
        }
        if Kind::of(entry.kind).is_none_or(|kind| entry.rev > kind.rev()) {
            self.done.newer += 1;
        }
        if entry.seq == 0 {
            return Ok(());
        }
        let event = self.event_row(origin, entry, at, problem)?;
        self.done.stored += 1;
        self.touch(origin, at);
        match &entry.body {
            Body::Episode(e) => {
                self.touch(origin, at.saturating_sub(u64::from(e.since_ms)));
                self.episode(origin, entry, e, at)
            }
            Body::Forecast(f) => forecasts::put(self.tx, origin, event, entry, f, at),
            Body::Fact(f) => facts::put(self.tx, origin, event, entry, f, at),
            Body::Trouble(t) => {
                let series = t.series.as_ref().map(ToString::to_string).unwrap_or_default();
                self.tx
                    .prepare_cached(
                        "INSERT OR REPLACE INTO troubles (event, device, received_at, at, severity, source, series,
                         verdict, why, text, epoch, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                    )?
                    .execute(params![
                        event,
                        origin.device,
                        int(origin.received_ms),
                        int(at),
                        entry.severity,
                        t.source.as_str(),
                        series,
                        t.verdict,
                        t.why,
                        t.text.as_str(),
                        id(origin.epoch),
                        int(entry.seq)
                    ])?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn event_row(
        &self,
        origin: Origin,
        entry: &Entry,
        at: u64,
        problem: Option<&'static str>,
    ) -> Result<i64> {
        let episode = if let Body::Episode(e) = &entry.body { Some(id(e.id)) } else { None };
        self.tx
            .prepare_cached(
                "INSERT INTO events (device, epoch, seq, received_at, at, mono_ms, wall_ms, clock, severity, kind,
                 rev, body, episode, problem)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                origin.device,
                id(origin.epoch),
                int(entry.seq),
                int(origin.received_ms),
                int(at),
                int(entry.mono_ms),
                entry.wall_ms.map(int),
                entry.clock,
                entry.severity,
                entry.kind,
                entry.rev,
                entry.raw,
                episode,
                problem
            ])?;
        Ok(self.tx.last_insert_rowid())
    }

    /// Whether an accounted number is one that was declared lost and has come now.
    fn came_after_all(&self, origin: Origin, seq: u64) -> Result<bool> {
        let stored = self
            .tx
            .prepare_cached("SELECT 1 FROM events WHERE device = ?1 AND epoch = ?2 AND seq = ?3")?
            .exists(params![origin.device, id(origin.epoch), int(seq)])?;
        if stored {
            return Ok(false);
        }
        let corrected = self
            .tx
            .prepare_cached(
                "UPDATE losses SET arrived = arrived + 1 WHERE device = ?1 AND epoch = ?2
                 AND first <= ?3 AND ?3 - first < count AND arrived < count",
            )?
            .execute(params![origin.device, id(origin.epoch), int(seq)])?;
        Ok(corrected > 0)
    }

    /// Covers declared losses; false if that would make a gap too many.
    fn loss(&mut self, origin: Origin, loss: &wire::Loss) -> Result<bool> {
        let Some(epoch) = self.numbers(origin) else { return Ok(false) };
        let last = loss.first.saturating_add(loss.count - 1).min(i64::MAX as u64);
        let mut numbers = epoch.numbers.clone();
        let missing = numbers.cover(loss.first, last);
        if numbers.gaps().len() > MAX_GAPS {
            return Ok(false);
        }
        epoch.numbers = numbers;
        let count = last - loss.first + 1;
        self.loss_row(origin, loss.first, count, loss.reason, count - missing)?;
        Ok(true)
    }

    fn loss_row(&mut self, origin: Origin, first: u64, count: u64, reason: u8, arrived: u64) -> Result<()> {
        let new = self
            .tx
            .prepare_cached(
                "INSERT OR IGNORE INTO losses (device, epoch, first, count, reason, declared_at, arrived)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                origin.device,
                id(origin.epoch),
                int(first),
                int(count),
                reason,
                int(origin.received_ms),
                int(arrived)
            ])?;
        if new > 0 {
            self.done.lost = self.done.lost.saturating_add(count - arrived);
        }
        Ok(())
    }

    fn episode(&self, origin: Origin, entry: &Entry, e: &wire::Episode, at: u64) -> Result<()> {
        let onset = at.saturating_sub(u64::from(e.since_ms));
        let (closing, closed_at) = match e.phase {
            phase::CLOSED => (Closing::Told, Some(at)),
            _ if origin.current => (Closing::Open, None),
            _ => (Closing::NotTold, Some(origin.received_ms)),
        };
        // Events may arrive in any order: what holds is what the highest number says. NaN is not a column's value.
        self.tx
            .prepare_cached(
                "INSERT INTO episodes (device, epoch, id, seq, onset_at, opened_at, updated_at, closed_at, closing,
                 phase, severity, grp, shape, score, confidence, recurred, moved, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
                 ON CONFLICT (device, epoch, id) DO UPDATE SET
                 onset_at = min(onset_at, excluded.onset_at), opened_at = min(opened_at, excluded.opened_at),
                 updated_at = iif(excluded.seq > seq, excluded.updated_at, updated_at),
                 closed_at = iif(excluded.seq > seq, excluded.closed_at, closed_at),
                 closing = iif(excluded.seq > seq, excluded.closing, closing),
                 phase = iif(excluded.seq > seq, excluded.phase, phase),
                 severity = max(severity, excluded.severity),
                 grp = iif(excluded.seq > seq, excluded.grp, grp),
                 shape = iif(excluded.seq > seq, excluded.shape, shape),
                 score = iif(excluded.seq > seq, excluded.score, score),
                 confidence = iif(excluded.seq > seq, excluded.confidence, confidence),
                 recurred = iif(excluded.seq > seq, excluded.recurred, recurred),
                 moved = iif(excluded.seq > seq, excluded.moved, moved),
                 body = iif(excluded.seq > seq AND ?18, excluded.body, body),
                 seq = max(seq, excluded.seq)",
            )?
            .execute(params![
                origin.device,
                id(origin.epoch),
                id(e.id),
                int(entry.seq),
                int(onset),
                int(at),
                closed_at.map(int),
                closing as u8,
                e.phase,
                entry.severity,
                e.group,
                e.shape,
                if e.score.is_finite() { e.score } else { 0.0 },
                e.confidence,
                e.recurred,
                e.moved,
                entry.raw,
                !e.contributors.is_empty()
            ])?;
        Ok(())
    }

    fn dead_letter(&mut self, letter: &decode::DeadLetter) -> Result<()> {
        self.done.malformed.push(letter.reason);
        self.tx
            .prepare_cached(
                "INSERT INTO dead_letters (received_at, topic, reason, size, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                int(letter.received_ms),
                letter.topic,
                letter.reason,
                int(letter.size as u64),
                letter.payload
            ])?;
        Ok(())
    }

    fn finish(mut self) -> Result<Committed> {
        for ((device, epoch), e) in self.epochs {
            if e.numbers != e.before {
                self.tx
                    .prepare_cached("UPDATE epochs SET high = ?3 WHERE device = ?1 AND epoch = ?2")?
                    .execute(params![device, id(epoch), int(e.numbers.high())])?;
            }
            if e.numbers.gaps() != e.before.gaps() {
                self.tx
                    .prepare_cached("DELETE FROM gaps WHERE device = ?1 AND epoch = ?2")?
                    .execute(params![device, id(epoch)])?;
                let mut insert = self.tx.prepare_cached(
                    "INSERT INTO gaps (device, epoch, first, last) VALUES (?1, ?2, ?3, ?4)",
                )?;
                for &(first, last) in e.numbers.gaps() {
                    insert.execute(params![device, id(epoch), int(first), int(last)])?;
                }
            }
            let seq = e.numbers.contiguous();
            if (e.answer || seq != e.before.contiguous()) && seq > 0 {
                self.done.acks.push(Acknowledged { site: e.site, node: e.node, epoch, seq });
            }
        }
        if !self.done.malformed.is_empty() {
            self.tx.execute(
                "DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - ?1",
                [DEAD_LETTERS],
            )?;
        }
        Ok(self.done)
    }
}
