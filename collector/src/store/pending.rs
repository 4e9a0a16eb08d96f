//! Rows that a batch is going to write, table by table: one statement with many rows costs a tenth of many with one.

use std::collections::BTreeMap;

use fieldmouse_core::wire;

use super::engine::{Engine, Result};
use super::value::{Value, values};
use super::write::{Origin, id, int};
use super::{Closing, facts, forecasts, troubles};
use crate::intake::decode::{DeadLetter, Entry};

/// Dead letters kept; the oldest go first.
const DEAD_LETTERS: usize = 1000;

const EVENTS: &str = "INSERT INTO events (device, epoch, seq, received_at, at, mono_ms, wall_ms, clock, severity, kind,
    rev, body, episode, problem) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING id";

const LETTERS: &str =
    "INSERT INTO dead_letters (received_at, topic, reason, size, payload) VALUES (?1, ?2, ?3, ?4, ?5)";

/// A row of a table whose first column is the number of its event, and which event of those that are pending that is.
type OfEvent = (usize, Vec<Value>);

/// What waits to be written.
#[derive(Default)]
pub(super) struct Pending {
    events: Vec<Vec<Value>>,
    facts: Vec<OfEvent>,
    troubles: Vec<OfEvent>,
    forecasts: Vec<((i64, String), OfEvent)>,
    episodes: Vec<((i64, i64, i64), Row)>,
    letters: Vec<Vec<Value>>,
}

/// An episode's row, and whether it brings the latest contributors.
type Row = (bool, Vec<Value>);

impl Pending {
    /// An event; those that follow belong to it.
    pub(super) fn event(
        &mut self,
        origin: Origin,
        entry: &Entry,
        at: u64,
        episode: Option<u64>,
        problem: Option<&str>,
    ) {
        let row = values![
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
            entry.raw.as_slice(),
            episode.map(id),
            problem
        ];
        self.events.push(row.into());
    }

    fn last(&self) -> usize {
        self.events.len().saturating_sub(1)
    }

    pub(super) fn fact(&mut self, origin: Origin, entry: &Entry, fact: &wire::Fact, at: u64) {
        self.facts.push((self.last(), facts::columns(origin, entry, fact, at)));
    }

    pub(super) fn trouble(&mut self, origin: Origin, entry: &Entry, trouble: &wire::Trouble, at: u64) {
        self.troubles.push((self.last(), troubles::columns(origin, entry, trouble, at)));
    }

    /// What the highest number says holds. What an epoch says that is over holds no more.
    pub(super) fn forecast(&mut self, origin: Origin, entry: &Entry, forecast: &wire::Forecast, at: u64) {
        if origin.current {
            let key = (origin.device, forecast.key.to_string());
            self.forecasts.push((key, (self.last(), forecasts::columns(origin, entry, forecast, at))));
        }
    }

    pub(super) fn episode(&mut self, origin: Origin, entry: &Entry, e: &wire::Episode, at: u64) {
        let onset = at.saturating_sub(u64::from(e.since_ms));
        let (closing, closed_at) = match e.phase {
            wire::phase::CLOSED => (Closing::Told, Some(at)),
            _ if origin.current => (Closing::Open, None),
            _ => (Closing::NotTold, Some(origin.received_ms)),
        };
        let row = values![
            origin.device,
            id(origin.epoch),
            id(e.id),
            int(entry.seq),
            int(onset),
            int(at),
            int(at),
            closed_at.map(int),
            closing as u8,
            e.phase,
            entry.severity,
            e.group,
            e.shape,
            // NaN is not a column's value.
            if e.score.is_finite() { e.score } else { 0.0 },
            e.confidence,
            e.recurred,
            e.moved,
            entry.raw.as_slice()
        ];
        let key = (origin.device, id(origin.epoch), id(e.id));
        self.episodes.push((key, (!e.contributors.is_empty(), row.into())));
    }

    pub(super) fn letter(&mut self, letter: &DeadLetter) {
        // What would be removed again at once need not be written.
        if self.letters.len() >= 2 * DEAD_LETTERS {
            self.letters.drain(..DEAD_LETTERS);
        }
        let row = values![
            int(letter.received_ms),
            &letter.topic,
            letter.reason,
            int(letter.size as u64),
            letter.payload.as_slice()
        ];
        self.letters.push(row.into());
    }

    /// Writes all that waits, so that what is asked next sees it.
    pub(super) fn flush(&mut self, db: &mut dyn Engine) -> Result<()> {
        let Self { events, facts, troubles, forecasts, episodes, letters } = std::mem::take(self);
        let ids: Vec<i64> =
            db.many(EVENTS, &events)?.iter().map(|row| row.get("id")).collect::<Result<_>>()?;
        let numbered = |rows: Vec<OfEvent>| -> Vec<Vec<Value>> {
            let number = |(event, row): OfEvent| {
                ids.get(event).map(|event| std::iter::once(Value::from(*event)).chain(row).collect())
            };
            rows.into_iter().filter_map(number).collect()
        };
        db.many(facts::PUT, &numbered(facts))?;
        db.many(troubles::PUT, &numbered(troubles))?;
        for wave in waves(forecasts) {
            db.many(forecasts::PUT, &numbered(wave))?;
        }
        for wave in waves(episodes) {
            for has_contributors in [false, true] {
                let rows: Vec<Vec<Value>> = wave
                    .iter()
                    .filter(|(has, _)| *has == has_contributors)
                    .map(|(_, row)| row.clone())
                    .collect();
                db.many(if has_contributors { EPISODES_WITH_BODY } else { EPISODES }, &rows)?;
            }
        }
        if !letters.is_empty() {
            db.many(LETTERS, &letters)?;
            db.execute(
                "DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - ?1",
                &values![int(DEAD_LETTERS as u64)],
            )?;
        }
        Ok(())
    }
}

/// Rows parted so that no key is twice in one part, each key's in their order: a statement touches a row only once.
fn waves<K: Ord, R>(rows: Vec<(K, R)>) -> Vec<Vec<R>> {
    let (mut waves, mut seen): (Vec<Vec<R>>, BTreeMap<K, usize>) = (Vec::new(), BTreeMap::new());
    for (key, row) in rows {
        let nth = seen.entry(key).or_insert(0);
        match waves.get_mut(*nth) {
            Some(wave) => wave.push(row),
            None => waves.push(vec![row]),
        }
        *nth += 1;
    }
    waves
}

// Events may arrive in any order: what holds is what the highest number says.
macro_rules! episodes {
    ($($body:literal)?) => {
        concat!(
            "INSERT INTO episodes (device, epoch, id, seq, onset_at, opened_at, updated_at, closed_at, closing, phase,
             severity, grp, shape, score, confidence, recurred, moved, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT (device, epoch, id) DO UPDATE SET
             onset_at = CASE WHEN excluded.onset_at < episodes.onset_at THEN excluded.onset_at ELSE episodes.onset_at END,
             opened_at = CASE WHEN excluded.opened_at < episodes.opened_at THEN excluded.opened_at ELSE episodes.opened_at END,
             severity = CASE WHEN excluded.severity > episodes.severity THEN excluded.severity ELSE episodes.severity END",
            episodes!(@latest "updated_at" "closed_at" "closing" "phase" "grp" "shape" "score" "confidence" "recurred" "moved" "seq" $($body)?)
        )
    };
    (@latest $($column:literal)*) => {
        concat!($(", ", $column, " = CASE WHEN excluded.seq > episodes.seq THEN excluded.", $column, " ELSE episodes.", $column, " END"),*)
    };
}
const EPISODES: &str = episodes!();
const EPISODES_WITH_BODY: &str = episodes!("body");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wave_holds_a_key_twice_and_each_key_keeps_its_order() {
        assert_eq!(
            waves(vec![("a", 1), ("b", 2), ("a", 3), ("a", 4), ("b", 5)]),
            [vec![1, 2], vec![3, 5], vec![4]]
        );
    }
}
