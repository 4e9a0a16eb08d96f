//! A backup: all tables in a SQLite file of their own, whichever engine they come from, and back.

use super::StoreError;
use super::engine::{Engine, Result};
use super::value::{Row, Value};

/// Rows that are under way at once.
const PAGE: i64 = 2000;

/// Every table with the columns it is ordered by, those that others refer to first. Who holds which sites at the moment is
/// no part of it.
pub(super) const TABLES: &[(&str, &str)] = &[
    ("devices", "id"),
    ("heard", "device"),
    ("epochs", "device, epoch"),
    ("gaps", "device, epoch, first"),
    ("events", "id"),
    ("episodes", "device, epoch, id"),
    ("losses", "device, epoch, first, count"),
    ("facts", "event"),
    ("troubles", "event"),
    ("dead_letters", "id"),
    ("clock_sets", "device, epoch, first"),
    ("forecasts", "device, series"),
    ("capsules", "id"),
    ("capsule_pieces", "capsule, at"),
    ("records", "class, key"),
    ("presence", "device, at"),
];

/// Copies all rows; returns how many. Both sides are in a transaction.
///
/// # Errors
/// If the target has rows already.
pub(super) fn all(from: &mut dyn Engine, to: &mut dyn Engine) -> Result<u64> {
    let mut copied = 0;
    for (table, key) in TABLES {
        if !to.query(&format!("SELECT 1 AS one FROM {table} LIMIT 1"), &[])?.is_empty() {
            return Err(StoreError::NotEmpty(table));
        }
        let mut pages = Pages::new(&format!("SELECT * FROM {table}"), key);
        while let Some(rows) = pages.next(from)? {
            copied += rows.len() as u64;
            let (sql, rows) = insert(table, rows);
            to.many(&sql, &rows)?;
        }
    }
    to.settle()?;
    Ok(copied)
}

/// Reads the rows of a question in pieces, each from where the last ended.
pub(super) struct Pages {
    sql: String,
    key: Vec<String>,
    last: Option<Vec<Value>>,
}

impl Pages {
    /// `sql` has no `WHERE`; `key` are the columns that tell its rows apart.
    pub(super) fn new(sql: &str, key: &str) -> Self {
        Self { sql: sql.to_owned(), key: key.split(", ").map(str::to_owned).collect(), last: None }
    }

    /// The next piece; none at the end.
    pub(super) fn next(&mut self, db: &mut dyn Engine) -> Result<Option<Vec<Row>>> {
        let key = self.key.join(", ");
        let mut params = self.last.take().unwrap_or_default();
        let after = if params.is_empty() {
            String::new()
        } else {
            let places: Vec<String> = (1..=params.len()).map(|i| format!("?{i}")).collect();
            format!("WHERE ({key}) > ({})", places.join(", "))
        };
        params.push(Value::Int(PAGE));
        let rows =
            db.query(&format!("{} {after} ORDER BY {key} LIMIT ?{}", self.sql, params.len()), &params)?;
        let Some(last) = rows.last() else { return Ok(None) };
        // A key that comes from a join is named by its table too.
        let at = |name: &str| {
            let name = name.rsplit('.').next().unwrap_or(name);
            let at = last.columns.iter().position(|c| c == name);
            at.and_then(|at| last.values.get(at).cloned()).ok_or(StoreError::Column("key"))
        };
        self.last = Some(self.key.iter().map(|name| at(name)).collect::<Result<_>>()?);
        Ok(Some(rows))
    }
}

/// The statement that writes these rows again, and its parameters. A NULL does not know its type; another row of its
/// column does. What is NULL in all of them is left out.
fn insert(table: &str, rows: Vec<Row>) -> (String, Vec<Vec<Value>>) {
    let columns = rows.first().map(|row| row.columns.to_vec()).unwrap_or_default();
    let kinds: Vec<_> = (0..columns.len())
        .map(|i| {
            let known =
                rows.iter().filter_map(|row| row.values.get(i)).find(|v| !matches!(v, Value::Null(_)));
            known.map(Value::kind)
        })
        .collect();
    let names: Vec<&str> = columns
        .iter()
        .zip(&kinds)
        .filter(|(_, kind)| kind.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let places: Vec<String> = (1..=names.len()).map(|i| format!("?{i}")).collect();
    let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), places.join(", "));
    let rows = rows.into_iter().map(|row| {
        let values = row.values.into_iter().zip(&kinds);
        let typed = values.filter_map(|(value, kind)| {
            kind.map(|kind| if matches!(value, Value::Null(_)) { Value::Null(kind) } else { value })
        });
        typed.collect()
    });
    (sql, rows.collect())
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::sample::{self, NOON};
    use crate::store::tests::{Open, arrival};
    use crate::store::{Change, Class, Database, Record, RecordFilter, Store};

    /// All that can be asked of a store, in words.
    fn answers(store: &Database) -> String {
        let filter = crate::store::OpenFilter { limit: 100, ..Default::default() };
        let episodes = store.episodes(&filter).unwrap();
        let events: Vec<_> = episodes.iter().map(|e| store.episode_events(e).unwrap()).collect();
        format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
            store.devices().unwrap(),
            store.gaps("hall", "press-1").unwrap(),
            store.losses("hall", "press-1").unwrap(),
            episodes,
            events,
            store.facts(None, 100).unwrap(),
            store.troubles(None, 100).unwrap(),
            store.forecasts(&filter).unwrap(),
            store.dead_letters(100).unwrap(),
            store.records(&RecordFilter::all(Class::Incident)).unwrap(),
            store.totals().unwrap(),
        )
    }

    pub(in crate::store) fn filled(open: Open<'_>) -> Database {
        use fieldmouse_core::wire::{Kind, phase, state};
        let store = open();
        let say = |leaf: &str, items: &[sample::Sample]| {
            store.commit(&[arrival(leaf, 7, items, false)]).unwrap();
        };
        say("status", &[sample::status(state::ONLINE)]);
        say("birth", &[sample::birth(&[])]);
        say("beat", &[sample::beat(20, 0)]);
        say("event", &[sample::fact(1, "note", "dated"), sample::fact(2, "note", "undated").undated(5000)]);
        say("event", &[sample::episode(3, 9, phase::OPENED, 5), sample::episode(4, 9, phase::CLOSED, 5)]);
        say("event", &[sample::episode(5, 10, phase::OPENED, 5), sample::raw(6, Kind::Fact, vec![1])]);
        say("event", &[sample::loss(9, 7, 1), sample::fact(12, "note", "behind a gap")]);
        let forecast = sample::forecast(fieldmouse_core::metric::FILESYSTEM_USED, "/var", phase::OPENED, 900);
        say("event", &[sample::raw(13, Kind::Forecast, sample::body(&forecast))]);
        let key = "one".to_owned();
        let (site, doc) = ("hall".to_owned(), "{\"cause\":\"uplink\"}".to_owned());
        let record = Record { class: Class::Incident, key, site, at_ms: NOON, is_open: true, doc };
        store.keep(&[Change::Put(record)]).unwrap();
        store
    }

    pub(in crate::store) fn a_restored_backup_gives_the_same_answers(open: Open<'_>) {
        let store = filled(open);
        let before = answers(&store);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("backup.db");
        let copied = store.backup(&file).unwrap();
        assert!(store.backup(&file).is_err(), "a backup is never written over");
        let empty = open();
        assert_eq!(empty.restore(&file).unwrap(), copied);
        assert_eq!(answers(&empty), before);
        assert!(matches!(empty.restore(&file), Err(StoreError::NotEmpty("devices"))));
        // It goes on where it was: what was known is known, what is new gets numbers of its own.
        let done = empty
            .commit(&[arrival(
                "event",
                7,
                &[sample::fact(1, "note", "again"), sample::fact(14, "note", "new")],
                false,
            )])
            .unwrap();
        assert_eq!((done.stored, done.duplicates), (1, 1));
        assert_eq!(empty.facts(None, 100).unwrap().len(), store.facts(None, 100).unwrap().len() + 1);
        // The other engine reads it as well.
        let other = Database::in_memory().unwrap();
        assert_eq!(other.restore(&file).unwrap(), copied);
        assert_eq!(answers(&other), before);
        assert!(other.restore(Path::new("/nowhere/backup.db")).is_err());
    }

    #[test]
    fn every_table_is_copied() {
        use crate::store::engine::MIGRATIONS;
        // Of the moment: who holds which sites.
        const LEFT_OUT: [&str; 2] = ["lives", "domains"];
        let made = MIGRATIONS.iter().flat_map(|step| step.split("CREATE TABLE ").skip(1));
        let names: Vec<&str> = made.filter_map(|rest| rest.split(' ').next()).collect();
        for name in &names {
            let is_copied = TABLES.iter().any(|(table, _)| table == name);
            assert!(is_copied != LEFT_OUT.contains(name), "{name}: add it to TABLES");
        }
        assert_eq!(names.len(), TABLES.len() + LEFT_OUT.len());
    }
}
