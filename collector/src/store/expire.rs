//! Retention: what is too old goes, class by class, a bounded piece at a time. What is open stays.

use super::engine::{Engine, Result};
use super::value::values;
use super::write::int;

/// Rows removed per table and call, so that intake never waits long for the retention.
const ROWS: i64 = 2000;

macro_rules! records {
    ($classes:literal) => {
        concat!(
            "DELETE FROM records WHERE (class, key) IN (SELECT class, key FROM records WHERE class IN (",
            $classes,
            ") AND is_open = 0 AND at < ?1 LIMIT ?2)"
        )
    };
}

/// What is kept for a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// All that devices told as it came, what is expected, what was lost or could not be read, who came and went.
    Events,
    /// Anomalies.
    Episodes,
    /// Facts and troubles.
    Facts,
    /// Capsules that nobody asked for lately.
    Capsules,
    /// Incidents, with their lives, what was decided, what people thought of them, and what was learnt.
    Incidents,
    /// What people were told, or wanted not to be.
    Notices,
    /// What depended on what.
    Topology,
    /// Health of services and sites over time.
    Health,
    /// Who did what.
    Audit,
}

impl Kept {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Events,
        Self::Episodes,
        Self::Facts,
        Self::Capsules,
        Self::Incidents,
        Self::Notices,
        Self::Topology,
        Self::Health,
        Self::Audit,
    ];

    /// As it stands in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Episodes => "episodes",
            Self::Facts => "facts",
            Self::Capsules => "capsules",
            Self::Incidents => "incidents",
            Self::Notices => "notices",
            Self::Topology => "topology",
            Self::Health => "health",
            Self::Audit => "audit",
        }
    }

    /// Statements that remove what is older than `?1`, at most `?2` rows of a table.
    fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Events => &[
                "DELETE FROM forecasts WHERE (device, series) IN
                 (SELECT device, series FROM forecasts WHERE received_at < ?1 LIMIT ?2)",
                // The newest stays: the numbers of events must never be given twice.
                "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE received_at < ?1
                 AND id < (SELECT max(id) FROM events) LIMIT ?2)",
                "DELETE FROM losses WHERE (device, epoch, first, count) IN (SELECT device, epoch, first, count
                 FROM losses WHERE declared_at < ?1 LIMIT ?2)",
                "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE received_at < ?1 LIMIT ?2)",
                // The state a device is in stays.
                "DELETE FROM presence WHERE (device, at) IN (SELECT p.device, p.at FROM presence p WHERE p.at < ?1
                 AND EXISTS (SELECT 1 FROM presence n WHERE n.device = p.device AND n.at > p.at) LIMIT ?2)",
            ],
            Self::Episodes => &["DELETE FROM episodes WHERE (device, epoch, id) IN (SELECT device, epoch, id
                 FROM episodes WHERE closing <> 0 AND updated_at < ?1 LIMIT ?2)"],
            Self::Facts => &[
                "DELETE FROM facts WHERE event IN (SELECT event FROM facts WHERE received_at < ?1 LIMIT ?2)",
                "DELETE FROM troubles WHERE event IN (SELECT event FROM troubles WHERE received_at < ?1 LIMIT ?2)",
            ],
            Self::Capsules => {
                &["DELETE FROM capsules WHERE id IN (SELECT id FROM capsules WHERE asked_at < ?1 LIMIT ?2)"]
            }
            Self::Incidents => &[records!("'incident', 'life', 'decision', 'verdict', 'pattern', 'review'")],
            Self::Notices => &[records!("'notice', 'silence', 'alert'")],
            Self::Topology => &[records!("'edge'")],
            Self::Health => &[records!("'health'")],
            Self::Audit => &[records!("'audit'")],
        }
    }
}

/// Removes a piece of what is older than `before_ms`; returns how many rows went.
pub(super) fn piece(db: &mut dyn Engine, what: Kept, before_ms: u64) -> Result<usize> {
    let mut gone = 0;
    for sql in what.statements() {
        gone += db.execute(sql, &values![int(before_ms), ROWS])?;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Class;

    #[test]
    fn every_class_of_documents_is_forgotten_once() {
        for class in Class::ALL {
            let quoted = format!("'{}'", class.word());
            let times: usize = Kept::ALL
                .iter()
                .flat_map(|kept| kept.statements())
                .map(|sql| sql.matches(&quoted).count())
                .sum();
            assert_eq!(times, 1, "{class:?}");
        }
    }
}
