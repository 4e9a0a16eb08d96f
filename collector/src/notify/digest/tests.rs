//! What stands in a digest, and when.

use super::super::sample::{incident, rules};
use super::super::{By, Told};
use super::*;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A Monday, 00:00 UTC.
const MONDAY: u64 = 1_795_392_000_000;
const DUE: u64 = MONDAY + 8 * HOUR;

const OUTLET: &str =
    "[[outlet]]\nname = \"pager\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:9093\"\n";

fn decision(outcome: Outcome, by: By, worth: f32) -> Decision {
    Decision {
        incident: "x".into(),
        revision: 1,
        at_ms: MONDAY + HOUR,
        outcome,
        by,
        why: vec!["because".into()],
        runbook: None,
        worth,
        asked_ms: None,
        is_seasonal: false,
        is_flapping: false,
        in_maintenance: false,
        told: Vec::new(),
    }
}

fn seen(id: &str) -> IncidentView {
    IncidentView { opened_ms: MONDAY + HOUR, founder: format!("home/{id}"), ..incident(id, 4) }
}

#[test]
fn it_is_due_once_a_day_at_the_time_of_the_place() {
    let due = |at: &str, offset: &str, now: u64| {
        let daily = Daily::of(at, offset).unwrap().unwrap();
        (daily.due_ms(now), daily.day(daily.due_ms(now)))
    };
    for (at, offset, now, wanted, day) in [
        ("08:00", "+00:00", MONDAY + 8 * HOUR, MONDAY + 8 * HOUR, "2026-11-23"),
        ("08:00", "+00:00", MONDAY + 8 * HOUR - 1, MONDAY - 16 * HOUR, "2026-11-22"),
        ("08:00", "+00:00", MONDAY + 32 * HOUR - 1, MONDAY + 8 * HOUR, "2026-11-23"),
        ("08:00", "+01:00", MONDAY + 7 * HOUR, MONDAY + 7 * HOUR, "2026-11-23"),
        ("00:30", "+02:00", MONDAY + 23 * HOUR, MONDAY + 22 * HOUR + 30 * MINUTE, "2026-11-24"),
        ("20:00", "-05:00", MONDAY + 2 * HOUR, MONDAY + HOUR, "2026-11-22"),
    ] {
        assert_eq!(due(at, offset, now), (wanted, day.to_owned()), "{at} {offset} {now}");
    }
    assert_eq!(Daily::of("never", "+00:00"), Ok(None));
}

#[test]
fn what_was_not_told_at_once_stands_in_it_once() {
    use Outcome::{Digest, Hold, Page, Suppress};
    let check = |name: &str, change: &dyn Fn(&mut IncidentView, &mut Decision), listed, wanted: bool| {
        let (mut seen, mut decision) = (seen("x"), decision(Digest, By::Policy, 0.1));
        change(&mut seen, &mut decision);
        let entry = Entry { incident: &seen, decision: &decision, spells: 1 };
        assert_eq!(entry.is_due(DUE, listed), wanted, "{name}");
    };
    let stands =
        |outcome, by| move |_: &mut IncidentView, d: &mut Decision| (d.outcome, d.by) = (outcome, by);
    let told = |at_ms, over_ms| {
        move |_: &mut IncidentView, d: &mut Decision| {
            let labels = BTreeMap::new();
            d.told = vec![Told { at_ms, priority: 3, outlets: Vec::new(), labels, over_ms }];
        }
    };
    check("a policy wants it there", &|_, _| {}, None, true);
    check("the budget held it back", &stands(Hold, By::Budget), None, true);
    check("it was over before it could be told", &stands(Digest, By::Wait), None, true);
    check("it may still be told at once", &stands(Hold, By::Wait), None, false);
    check("somebody's policy holds it", &stands(Hold, By::Policy), None, false);
    check("silenced", &stands(Suppress, By::Silence), None, false);
    check("explained", &stands(Suppress, By::Inhibition), None, false);
    check("known already", &stands(Hold, By::Flapping), None, false);
    check("told", &stands(Page, By::Policy), None, false);
    check("told, and goes on", &told(MONDAY - DAY, None), None, false);
    check("told this time", &told(MONDAY + 2 * HOUR, Some(MONDAY + 3 * HOUR)), None, false);
    check("told another time", &told(MONDAY - DAY, Some(MONDAY - DAY + HOUR)), None, true);
    check("part of another", &|i, _| i.merged_into = Some("y".into()), None, false);
    check("decided after it was due", &|_, d| d.at_ms = DUE + 1, None, false);
    check("decided at that very time", &|_, d| d.at_ms = DUE, None, true);
    check("a week ago", &|_, d| d.at_ms = DUE - LOOKS_BACK_MS, None, false);
    check("days ago, while nobody was there to tell", &|_, d| d.at_ms = DUE - 6 * DAY, None, true);
    check("it stood in one since it began", &|_, _| {}, Some(MONDAY + HOUR), false);
    check("it stood in one before it came back", &|_, _| {}, Some(MONDAY), true);
}

#[test]
fn the_worthiest_stand_first_and_the_same_in_one_row() {
    let rules = rules(&format!("{OUTLET}[notify]\noffset = \"+01:00\"\n"));
    let mut all: Vec<(IncidentView, Decision)> = Vec::new();
    for (id, worth, place) in [("a", 0.1, "home/a"), ("b", 0.3, "home/b"), ("c", 0.2, "home/a")] {
        let mut view = IncidentView { founder: place.into(), ..seen(id) };
        view.title = format!("{id} is busy");
        view.closed_ms = (id != "b").then_some(MONDAY + 2 * HOUR);
        all.push((view, decision(Outcome::Digest, By::Policy, worth)));
    }
    all[1].0.causes = vec![super::super::Cause { why: "a job began".into(), ..Default::default() }];
    let entries: Vec<Entry<'_>> =
        all.iter().map(|(incident, decision)| Entry { incident, decision, spells: 2 }).collect();
    let digest = Digest::of("pager", &entries, &BTreeMap::new(), &rules, DUE).unwrap();
    assert_eq!(
        digest.to_string(),
        "P4 b is busy (a job began); from 2026-11-23 01:00 UTC, and goes on, time 2; because\n\
         P4 c is busy; from 2026-11-23 01:00 UTC to 2026-11-23 02:00, time 2, 1 like it; because\n"
    );
    assert_eq!(digest.title(), "digest of 2026-11-23: 3 incidents not told at once");
    assert_eq!(digest.rows[1].incidents, ["c", "a"]);
    let listed: BTreeMap<String, u64> = digest.incidents().map(|id| (id.clone(), DUE)).collect();
    assert_eq!(
        Digest::of("pager", &entries, &listed, &rules, DUE + DAY),
        None,
        "nothing to say, nothing said"
    );
    assert_eq!(Digest::of("chat", &entries, &BTreeMap::new(), &rules, DUE), None, "no policy names it");
}

#[test]
fn it_is_no_longer_than_a_reader_can_hold() {
    let rules = rules(OUTLET);
    let many: Vec<(IncidentView, Decision)> = (0..ROWS + 20)
        .map(|i| (seen(&format!("i{i:03}")), decision(Outcome::Digest, By::Policy, 1.0 / (i + 1) as f32)))
        .collect();
    let entries: Vec<Entry<'_>> =
        many.iter().map(|(incident, decision)| Entry { incident, decision, spells: 1 }).collect();
    let digest = Digest::of("pager", &entries, &BTreeMap::new(), &rules, DUE).unwrap();
    assert_eq!((digest.rows.len(), digest.rest.len()), (ROWS, 20));
    assert!(digest.to_string().ends_with("\nand 20 incidents worth less, which the page shows\n"));
}
