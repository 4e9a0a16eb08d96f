//! How soon people should look at an incident: 1 (at once) to 5 (when there is time).
//!
//! Impact and urgency, as service desks weigh them (ITIL): impact is who suffers, urgency how bad it is and how soon it
//! gets worse. Each is 0 to 3, and their sum decides; what is doubtful comes one step later.

use crate::words::severity_word;

/// Below this confidence, in percent, an incident is doubtful.
const DOUBTFUL: u8 = 50;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What an incident puts at stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stakes {
    /// OpenTelemetry severity number: the gravest of its symptoms.
    pub severity: u8,
    /// 0 to 11: of the most important of the entities concerned and of what depends on them.
    pub importance: u8,
    /// How many entities depend on what is at fault.
    pub dependents: usize,
    /// How many devices show symptoms now.
    pub suffer: usize,
    /// 0 to 100: how sure it is that something is wrong.
    pub confidence: u8,
    /// Milliseconds until a limit is reached, if one is foretold.
    pub left_ms: Option<u64>,
}

/// How soon people should look, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priority {
    /// 1 (highest) to 5.
    pub level: u8,
    /// What made it so, the impact first; a phrase each.
    pub why: Vec<String>,
}

/// Weighs what is at stake.
#[must_use]
pub fn priority(stakes: &Stakes) -> Priority {
    let (importance, weighed) = match stakes.importance {
        0..=3 => (0, "of little importance"),
        4..=7 => (1, "of usual importance"),
        8..=10 => (2, "important"),
        _ => (3, "of the highest importance"),
    };
    let (affected, depend) = match stakes.dependents {
        0 => (0, "nothing depends on it".to_owned()),
        1 => (1, "1 entity depends on it".to_owned()),
        n @ 2..=9 => (1, format!("{n} entities depend on it")),
        n @ 10..=99 => (2, format!("{n} entities depend on it")),
        n => (3, format!("{n} entities depend on it")),
    };
    let grave = match stakes.severity {
        0..=12 => 0,
        13..=16 => 1,
        17..=20 => 2,
        _ => 3,
    };
    // What has reached others is urgent, however mild it is on each.
    let reached = match stakes.suffer {
        0..=1 => 0,
        2..=9 => 2,
        _ => 3,
    };
    let soon = stakes.left_ms.map(|left| match left {
        0..HOUR => (3, left),
        HOUR..DAY => (2, left),
        DAY..=604_800_000 => (1, left),
        _ => (0, left),
    });
    let mut why = vec![
        format!("{weighed} ({} of 11)", stakes.importance.min(11)),
        depend,
        format!("severity {}", severity_word(stakes.severity)),
    ];
    if stakes.suffer > 1 {
        why.push(format!("{} devices suffer", stakes.suffer));
    }
    if let Some((_, left)) = soon {
        why.push(if left == 0 {
            "a limit is reached".to_owned()
        } else {
            format!("a limit is reached in {}", span(left))
        });
    }
    let impact = importance.max(affected);
    let urgency = soon.map_or(grave, |(soon, _)| grave.max(soon)).max(reached);
    let level: u8 = match impact + urgency {
        0..=1 => 5,
        2 => 4,
        3 => 3,
        4 => 2,
        _ => 1,
    };
    let doubtful = stakes.confidence < DOUBTFUL;
    if doubtful {
        why.push(format!("one step later: only {} % sure", stakes.confidence));
    }
    Priority { level: (level + u8::from(doubtful)).min(5), why }
}

fn span(ms: u64) -> String {
    match ms {
        0..HOUR => format!("{} min", ms.div_ceil(MINUTE)),
        HOUR..DAY => format!("{} h", ms / HOUR),
        _ => format!("{} d", ms / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Importance, dependents, severity, confidence, time left, and the priority that comes of it.
    type Row = (u8, usize, u8, u8, Option<u64>, u8);

    fn stakes(row: &Row) -> Stakes {
        let (importance, dependents, severity, confidence, left_ms, _) = *row;
        Stakes { severity, importance, dependents, suffer: 1, confidence, left_ms }
    }

    #[test]
    fn what_has_reached_others_is_urgent() {
        let level = |suffer| priority(&Stakes { suffer, ..stakes(&(5, 0, 13, 90, None, 0)) }).level;
        assert_eq!([1, 2, 9, 10].map(level), [4, 3, 3, 2]);
        let told = priority(&Stakes { suffer: 12, ..stakes(&(5, 0, 13, 90, None, 0)) }).why;
        assert!(told.contains(&"12 devices suffer".to_owned()), "{told:?}");
    }

    #[test]
    fn the_truth_table() {
        const SURE: u8 = 90;
        const TABLE: [Row; 27] = [
            // A usual device that nothing depends on: severity decides.
            (5, 0, 9, SURE, None, 5),
            (5, 0, 13, SURE, None, 4),
            (5, 0, 17, SURE, None, 3),
            (5, 0, 21, SURE, None, 2),
            // The same error: who depends on it decides.
            (5, 1, 17, SURE, None, 3),
            (5, 9, 17, SURE, None, 3),
            (5, 10, 17, SURE, None, 2),
            (5, 99, 17, SURE, None, 2),
            (5, 100, 17, SURE, None, 1),
            (5, 10_000, 13, SURE, None, 2),
            (5, 10_000, 21, SURE, None, 1),
            // Or how much it matters.
            (0, 0, 17, SURE, None, 4),
            (3, 0, 21, SURE, None, 3),
            (4, 0, 17, SURE, None, 3),
            (8, 0, 17, SURE, None, 2),
            (11, 0, 17, SURE, None, 1),
            (11, 0, 13, SURE, None, 2),
            (11, 0, 9, SURE, None, 3),
            // A limit that comes near is as bad as an error, or worse.
            (5, 0, 13, SURE, Some(30 * DAY), 4),
            (5, 0, 9, SURE, Some(3 * DAY), 4),
            (5, 0, 13, SURE, Some(5 * HOUR), 3),
            (5, 0, 13, SURE, Some(10 * MINUTE), 2),
            (5, 0, 13, SURE, Some(0), 2),
            // What is doubtful comes one step later, but never drops out.
            (5, 0, 17, 49, None, 4),
            (5, 0, 17, 50, None, 3),
            (5, 0, 9, 0, None, 5),
            // Whatever is said: total.
            (255, usize::MAX, 255, 255, Some(u64::MAX), 1),
        ];
        for row in &TABLE {
            let found = priority(&stakes(row));
            assert_eq!(found.level, row.5, "{row:?}: {:?}", found.why);
        }
    }

    #[test]
    fn it_says_why() {
        let check = |row: Row, want: &[&str]| assert_eq!(priority(&stakes(&row)).why, want);
        check(
            (5, 0, 17, 90, None, 3),
            &["of usual importance (5 of 11)", "nothing depends on it", "severity error"],
        );
        check(
            (11, 250, 13, 40, Some(90 * MINUTE), 2),
            &[
                "of the highest importance (11 of 11)",
                "250 entities depend on it",
                "severity warning",
                "a limit is reached in 1 h",
                "one step later: only 40 % sure",
            ],
        );
        check(
            (0, 1, 9, 90, Some(1), 3),
            &[
                "of little importance (0 of 11)",
                "1 entity depends on it",
                "severity info",
                "a limit is reached in 1 min",
            ],
        );
    }

    #[test]
    fn more_at_stake_is_never_later() {
        let all = [0u8, 3, 4, 8, 11].into_iter().flat_map(|importance| {
            [0usize, 1, 10, 100].into_iter().flat_map(move |dependents| {
                [9u8, 13, 17, 21].into_iter().flat_map(move |severity| {
                    [40u8, 90].into_iter().flat_map(move |confidence| {
                        [None, Some(30 * DAY), Some(3 * DAY), Some(3 * HOUR), Some(0)].into_iter().map(
                            move |left_ms| Stakes {
                                severity,
                                importance,
                                dependents,
                                suffer: 1,
                                confidence,
                                left_ms,
                            },
                        )
                    })
                })
            })
        });
        let all: Vec<Stakes> = all.collect();
        let left = |s: &Stakes| s.left_ms.unwrap_or(u64::MAX);
        for a in &all {
            for b in &all {
                let more = a.importance >= b.importance
                    && a.dependents >= b.dependents
                    && a.severity >= b.severity
                    && a.confidence >= b.confidence
                    && left(a) <= left(b);
                assert!(!more || priority(a).level <= priority(b).level, "{a:?} is no less than {b:?}");
            }
        }
    }
}
