//! What a batch changes, inside one transaction.

use fieldmouse_core::wire::{self, DecodeError, Kind, state};

use super::engine::{Engine, Result};
use super::known::{Epoch, Known};
use super::pending::Pending;
use super::value::values;
use super::{Acknowledged, Committed, capsules, dating, forecasts, told};
use crate::intake::decode::{self, Arrival, Body, Entry, Leaf, Message};
use crate::numbers::{MAX_GAPS, Seen};
use crate::words;

/// Identities are kept bit for bit.
pub(super) fn id(number: u64) -> i64 {
    number.cast_signed()
}

/// Quantities stop at the largest a column holds.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Applies a batch: loads what it is about, decides in memory, and writes what is different. Whatever looks back at rows
/// that the batch has not written yet has them written first.
pub(super) fn batch(db: &mut dyn Engine, arrivals: &[Arrival]) -> Result<Committed> {
    let messages = arrivals.iter().filter_map(|arrival| match arrival {
        Arrival::Message(m) if m.leaf != Leaf::Capsule => Some(m),
        _ => None,
    });
    let known = Known::load(db, messages, |m| heard(m).unwrap_or(0))?;
    let done = Committed { born: known.born().collect(), ..Committed::default() };
    let mut batch = Batch { db, known, pending: Pending::default(), done };
    for arrival in arrivals {
        match arrival {
            Arrival::Message(m) if m.leaf == Leaf::Capsule => {
                capsules::arrived(batch.db, m, &mut batch.done)?
            }
            Arrival::Message(message) => batch.message(message)?,
            Arrival::Refused(letter) => batch.dead_letter(letter),
        }
    }
    batch.finish()
}

/// When a message shows that its device lived. None: it is a will. What the broker kept does not show that it lives now.
fn heard(m: &Message) -> Option<u64> {
    match m.items.first() {
        _ if m.items.iter().any(|e| matches!(&e.body, Body::Status(s) if s.state == state::LOST)) => None,
        Some(first) if m.retained => {
            Some(dating::happened(first, m.received_ms).min(first.wall_ms.unwrap_or(0)))
        }
        _ => Some(m.received_ms),
    }
}

struct Batch<'d> {
    db: &'d mut dyn Engine,
    known: Known,
    pending: Pending,
    done: Committed,
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
        let heard = heard(m);
        let Some(device) = self.known.device_mut(m) else { return Ok(()) };
        if heard.is_none() && device.epoch != m.epoch {
            self.done.stale += 1;
            return Ok(());
        }
        device.seen_at = device.seen_at.max(heard.unwrap_or(0));
        let (number, before) = (device.id, device.epoch);
        let mut current = before == m.epoch;
        if self.known.enter(number, m.epoch) && !current {
            self.new_epoch(number, m)?;
            current = true;
        }
        let origin = Origin { device: number, epoch: m.epoch, current, received_ms: m.received_ms };
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

    /// The device made a new outbox: what the old one left open will not be closed by it.
    fn new_epoch(&mut self, device: i64, m: &Message) -> Result<()> {
        self.pending.flush(self.db)?;
        if let Some(known) = self.known.device_mut(m) {
            known.epoch = m.epoch;
            known.is_anew = true;
        }
        self.db.execute(
            "UPDATE devices SET epoch = ?2, beat = NULL, beat_at = NULL WHERE id = ?1",
            &values![device, id(m.epoch)],
        )?;
        self.db.execute(
            "UPDATE episodes SET closing = 2, closed_at = ?3 WHERE device = ?1 AND epoch <> ?2 AND closing = 0",
            &values![device, id(m.epoch), int(m.received_ms)],
        )?;
        forecasts::forget(self.db, device, m.epoch).map(drop)
    }

    /// The origin told something: since then its site is to be looked at again.
    fn touch(&mut self, origin: Origin, since_ms: u64) {
        let Some(site) = self.known.told(origin.device, origin.epoch) else { return };
        match self.done.touched.get_mut(site) {
            Some(since) => *since = since_ms.min(*since),
            None => drop(self.done.touched.insert(site.to_owned(), since_ms)),
        }
    }

    fn numbers(&mut self, origin: Origin) -> Option<&mut Epoch> {
        self.known.epochs.get_mut(&(origin.device, origin.epoch))
    }

    /// Status, birth, beat: the latest of each stands.
    fn about(&mut self, origin: Origin, entry: &Entry, retained: bool) -> Result<()> {
        let at = int(dating::happened(entry, origin.received_ms));
        match &entry.body {
            Body::Status(status) => {
                let at = if retained { at } else { int(origin.received_ms) };
                told::came_or_went(self.db, origin, status.state, at.cast_unsigned())?;
                self.touch(origin, at.cast_unsigned());
                self.db.execute(
                    "UPDATE devices SET state_at = CASE WHEN state = ?2 THEN state_at ELSE ?3 END,
                         state = ?2, version = ?4 WHERE id = ?1",
                    &values![origin.device, status.state, at, status.version.as_str()],
                )?;
            }
            Body::Birth(b, series, edges) => {
                if let Some(of) = self.known.epochs.get(&(origin.device, origin.epoch)) {
                    self.done.born.insert((of.site.clone(), of.node.clone()));
                }
                let names: Vec<String> = series.iter().map(ToString::to_string).collect();
                let names = serde_json::to_string(&names).unwrap_or_else(|_| "[]".to_owned());
                let edges = serde_json::to_string(edges).unwrap_or_else(|_| "[]".to_owned());
                self.db.execute("UPDATE devices SET version = ?2, platform = ?3, os = ?4, host = ?5, cpus = ?6, memory = ?7,
                         model = ?8, model_name = ?9, tick_ms = ?10, labels = ?11, series = ?12, birth_at = ?13, edges = ?14
                         WHERE id = ?1", &values![
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
                self.db.execute(
                    "UPDATE devices SET beat = ?2, beat_at = ?3 WHERE id = ?1 AND epoch = ?4",
                    &values![origin.device, entry.raw.as_slice(), int(origin.received_ms), id(origin.epoch)],
                )?;
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
                    // Without a look at the rows, if none of its numbers was ever declared lost.
                    if !epoch.has_losses || !self.came_after_all(origin, entry.seq)? {
                        self.done.duplicates += 1;
                        return Ok(());
                    }
                }
            }
        }
        let clock_sets = self.numbers(origin).map(|epoch| epoch.clock_sets.as_slice()).unwrap_or_default();
        let at = dating::dated(clock_sets, entry, origin.received_ms);
        let mut problem = None;
        if let Body::Loss(loss) = &entry.body {
            if loss.first == 0 || loss.count == 0 || i64::try_from(loss.first).is_err() {
                problem = Some(DecodeError::Body.word());
            } else if !self.loss(origin, loss)? {
                problem = Some("gaps");
            }
        }
        if let Body::ClockSet(said) = &entry.body
            && !self.clock_set(origin, said)?
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
            self.dead_letter(&decode::DeadLetter::new(&topic, reason, &entry.raw, origin.received_ms));
        }
        if Kind::of(entry.kind).is_none_or(|kind| entry.rev > kind.rev()) {
            self.done.newer += 1;
        }
        if entry.seq == 0 {
            return Ok(());
        }
        let episode = if let Body::Episode(e) = &entry.body { Some(e.id) } else { None };
        self.pending.event(origin, entry, at, episode, problem);
        self.done.stored += 1;
        self.touch(origin, at);
        match &entry.body {
            Body::Episode(e) => {
                self.touch(origin, at.saturating_sub(u64::from(e.since_ms)));
                self.pending.episode(origin, entry, e, at);
            }
            Body::Forecast(f) => self.pending.forecast(origin, entry, f, at),
            Body::Fact(f) => self.pending.fact(origin, entry, f, at),
            Body::Trouble(t) => self.pending.trouble(origin, entry, t, at),
            _ => {}
        }
        Ok(())
    }

    /// Dates what was told before; false if the date is absurd.
    fn clock_set(&mut self, origin: Origin, said: &wire::ClockSet) -> Result<bool> {
        self.pending.flush(self.db)?;
        let is_sane = dating::set(self.db, origin.device, said, origin.received_ms)?;
        if is_sane && let Some(epoch) = self.known.epochs.get_mut(&(origin.device, said.epoch)) {
            epoch.is_dated(said.first, said.last, said.boot_ms);
        }
        Ok(is_sane)
    }

    /// Whether an accounted number is one that was declared lost and has come now.
    fn came_after_all(&mut self, origin: Origin, seq: u64) -> Result<bool> {
        self.pending.flush(self.db)?;
        let key = values![origin.device, id(origin.epoch), int(seq)];
        let stored =
            self.db.query("SELECT seq FROM events WHERE device = ?1 AND epoch = ?2 AND seq = ?3", &key)?;
        if !stored.is_empty() {
            return Ok(false);
        }
        let corrected = self.db.execute(
            "UPDATE losses SET arrived = arrived + 1 WHERE device = ?1 AND epoch = ?2
                 AND first <= ?3 AND ?3 - first < count AND arrived < count",
            &key,
        )?;
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
        let new = self.db.execute(
            "INSERT INTO losses (device, epoch, first, count, reason, declared_at, arrived)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            &values![
                origin.device,
                id(origin.epoch),
                int(first),
                int(count),
                reason,
                int(origin.received_ms),
                int(arrived)
            ],
        )?;
        if let Some(epoch) = self.numbers(origin) {
            epoch.has_losses = true;
        }
        if new > 0 {
            self.done.lost = self.done.lost.saturating_add(count - arrived);
        }
        Ok(())
    }

    fn dead_letter(&mut self, letter: &decode::DeadLetter) {
        self.done.malformed.push(letter.reason);
        self.pending.letter(letter);
    }

    fn finish(mut self) -> Result<Committed> {
        self.pending.flush(self.db)?;
        self.known.save(self.db)?;
        for ((_, epoch), e) in self.known.epochs {
            let seq = e.numbers.contiguous();
            if (e.answer || seq != e.before.contiguous()) && seq > 0 {
                self.done.acks.push(Acknowledged { site: e.site, node: e.node, epoch, seq });
            }
        }
        Ok(self.done)
    }
}
