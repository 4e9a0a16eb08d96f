//! A dry run: what these rules would have done with the incidents of the last while. Nothing is sent, nothing is kept.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::budget::Spending;
use super::calendar::minute;
use super::digest::Entry;
use super::view::Spells;
use super::{By, Decision, History, IncidentView, Outcome, Rules, decide, spending};

/// Decisions are made again this often.
const STEP_MS: u64 = 60_000;

/// What would have been done.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Each incident of the time, in the order of their beginnings, with what was decided of it last.
    pub lines: Vec<(IncidentView, Decision)>,
    /// How the budget would stand.
    pub spending: Spending,
    /// When there would have been a digest, and of how many incidents.
    pub digests: Vec<(u64, usize)>,
    rules: String,
    days: f64,
}

/// What these rules would have done from `since_ms` to `now`. `past`: incidents and when they were, those before included,
/// for what comes again; `said`: the verdicts and silences that there are.
#[must_use]
pub fn dry_run(
    past: &[(IncidentView, Spells)],
    said: &History,
    rules: &Rules,
    since_ms: u64,
    now: u64,
) -> Report {
    let mut history =
        History { verdicts: said.verdicts.clone(), silences: said.silences.clone(), ..History::default() };
    let mut last: BTreeMap<String, IncidentView> = BTreeMap::new();
    let (mut digests, mut listed) = (Vec::new(), BTreeMap::new());
    let mut at = since_ms;
    while at <= now {
        let mut of_concern: Vec<IncidentView> = Vec::new();
        for (incident, spells) in past {
            let known: Spells = spells
                .iter()
                .filter(|(from, _)| *from <= at)
                .map(|(from, to)| (*from, to.filter(|to| *to <= at)))
                .collect();
            let Some((opened_ms, closed_ms)) = known.last().copied() else { continue };
            let seen = IncidentView { opened_ms, closed_ms, ..incident.clone() };
            let decision = history.decisions.get(&incident.id);
            let stands = decision.is_some_and(|d| d.standing().is_some());
            // One that was shorter than a step is looked at once, as it was.
            let is_short = opened_ms >= since_ms && decision.is_none();
            history.spells(&seen, &known);
            if closed_ms.is_none_or(|closed| at < closed.saturating_add(30 * STEP_MS))
                && opened_ms.max(closed_ms.unwrap_or(at)) >= since_ms
                || stands
                || is_short
            {
                of_concern.push(seen);
            }
        }
        history.learn(at);
        for decision in decide(&of_concern, &history, rules, at) {
            history.decided(decision);
        }
        for seen in of_concern {
            last.insert(seen.id.clone(), seen);
        }
        let due_ms = rules.digest.map(|daily| daily.due_ms(at)).filter(|due| *due + STEP_MS > at);
        if let Some(due_ms) = due_ms {
            let entry = |(id, incident): (&String, _)| {
                let entry = Entry { incident, decision: history.decisions.get(id)?, spells: 1 };
                entry.is_due(due_ms, listed.get(id).copied()).then(|| id.clone())
            };
            let due: Vec<String> = last.iter().filter_map(entry).collect();
            digests.extend((!due.is_empty()).then_some((due_ms, due.len())));
            listed.extend(due.into_iter().map(|id| (id, due_ms)));
        }
        at += STEP_MS;
    }
    let mut lines: Vec<(IncidentView, Decision)> = last
        .into_values()
        .filter_map(|incident| history.decisions.get(&incident.id).cloned().map(|d| (incident, d)))
        .collect();
    lines.sort_by(|(a, _), (b, _)| (a.opened_ms, &a.id).cmp(&(b.opened_ms, &b.id)));
    Report {
        lines,
        spending: spending(&history, rules, now),
        digests,
        rules: rules.budget.to_string(),
        days: now.saturating_sub(since_ms) as f64 / 86_400e3,
    }
}

impl Report {
    /// How many incidents came to this.
    #[must_use]
    pub fn count(&self, what: &str) -> usize {
        self.lines.iter().filter(|(_, d)| word(d) == what).count()
    }
}

/// In a word: `told` if people were, else what stood last.
fn word(decision: &Decision) -> &'static str {
    match (decision.outcome, decision.by) {
        _ if !decision.told.is_empty() => "told",
        (Outcome::Hold, By::Budget) => "held back",
        (outcome, _) => match outcome {
            Outcome::Page => "told",
            Outcome::Digest => "digest",
            Outcome::Hold => "held",
            Outcome::Suppress => "suppressed",
        },
    }
}

/// A table: when it began (UTC), its priority, what would have been done, when, why, and what it is.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:16}  P  {:10}  {:16}  incident", "began (UTC)", "done", "told (UTC)")?;
        for (incident, decision) in &self.lines {
            let told = decision.told.first().map_or_else(String::new, |t| minute(t.at_ms));
            let done = word(decision);
            writeln!(
                f,
                "{}  {}  {done:10}  {told:16}  {}",
                minute(incident.opened_ms),
                incident.priority,
                incident.title
            )?;
            for why in &decision.why {
                writeln!(f, "{:49}{why}", "")?;
            }
        }
        let mut counts = String::new();
        for what in ["told", "digest", "held back", "held", "suppressed"] {
            let count = self.count(what);
            if count > 0 {
                write!(counts, ", {count} {what}")?;
            }
        }
        let told: usize = self.lines.iter().map(|(_, d)| d.told.len()).sum();
        if !self.digests.is_empty() {
            let told: usize = self.digests.iter().map(|(_, count)| count).sum();
            write!(counts, ", {told} told of in {} digests", self.digests.len())?;
        }
        writeln!(
            f,
            "{} incidents in {:.1} days{counts}; people told {told} times, {:.1} a day, of {}",
            self.lines.len(),
            self.days,
            told as f64 / self.days.max(f64::MIN_POSITIVE),
            self.rules
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{incident, rules};
    use super::*;

    const MINUTE: u64 = 60_000;
    const DAY: u64 = 24 * 60 * MINUTE;
    const MONDAY: u64 = 1_795_392_000_000;

    #[test]
    fn last_week_is_told_in_a_table() {
        let rules = rules("[[policy]]\nname = \"lab\"\nmatch = { site = [\"lab\"] }\nthen = \"suppress\"\n");
        let was = |id: &str, priority: u8, begins: &[(u64, u64)]| {
            let seen =
                IncidentView { title: format!("{id} is busy"), founder: id.into(), ..incident(id, priority) };
            (seen, begins.iter().map(|(at, minutes)| (*at, Some(at + minutes * MINUTE))).collect::<Spells>())
        };
        let nights: Vec<(u64, u64)> = (0..12).map(|d| (MONDAY + d * DAY + 3 * 60 * MINUTE, 20)).collect();
        let mut lab = was("lab", 1, &[(MONDAY + 8 * DAY, 30)]);
        lab.0.sites = vec!["lab".into()];
        let past = [
            was("urgent", 1, &[(MONDAY + 9 * DAY, 30)]),
            was("blip", 3, &[(MONDAY + 9 * DAY + 90 * MINUTE + 1, 0)]),
            was("small", 5, &[(MONDAY + 10 * DAY, 600)]),
            was("nightly", 3, &nights),
            was("before", 1, &[(MONDAY, 30)]),
            lab,
        ];
        let report = dry_run(&past, &History::default(), &rules, MONDAY + 7 * DAY, MONDAY + 12 * DAY);
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with(' ')).collect();
        assert_eq!(
            lines,
            [
                "began (UTC)       P  done        told (UTC)        incident",
                "2026-12-01 00:00  1  suppressed                    lab is busy",
                "2026-12-02 00:00  1  told        2026-12-02 00:00  urgent is busy",
                "2026-12-02 01:30  3  digest                        blip is busy",
                "2026-12-03 00:00  5  digest                        small is busy",
                "2026-12-04 03:00  3  suppressed                    nightly is busy",
                "5 incidents in 5.0 days, 1 told, 2 digest, 2 suppressed, 2 told of in 2 digests; people told 1 times, 0.2 a day, of 3 per day",
            ],
            "{text}"
        );
        assert!(
            text.contains(
                "\n                                                 policy \"lab\" (rules:1): suppress\n"
            ),
            "{text}"
        );
        assert!(text.contains("seasonal: it was on 7 of the last 7 days at about 03:00 UTC"), "{text}");
    }
}
