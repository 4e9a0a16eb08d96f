//! Which group is which incident, and what is told of a change.

use super::super::incident::{Cause, Impact};
use super::*;
use crate::signal::What;

/// A symptom of this name.
fn signal(name: &str) -> Signal {
    Signal {
        key: Key { site: "hall".into(), node: name.into(), what: What::Episode, epoch: 1, id: 1 },
        role: Role::Symptom,
        entity: format!("hall/{name}"),
        pattern: String::new(),
        onset_ms: 0,
        end_ms: None,
        severity: 13,
        score: 1.0,
        confidence: 90,
        text: String::new(),
        moved: Vec::new(),
        culprit: None,
        near: Vec::new(),
        due_ms: None,
        later: Vec::new(),
    }
}

fn member(name: &str, end_ms: Option<u64>) -> Member {
    let Signal { key, role, entity, onset_ms, severity, text, .. } = signal(name);
    Member { key, role, entity, onset_ms, end_ms, severity, text }
}

/// `a b c`: an open incident of these symptoms, with the name that the first gave it, opened at that time.
fn incident(symptoms: &str, opened_ms: u64) -> Incident {
    let members: Vec<Member> = symptoms.split(' ').map(|name| member(name, None)).collect();
    Incident {
        id: draft::id(&members[0].key),
        revision: 1,
        state: State::Open,
        sites: vec!["hall".into()],
        title: format!("{symptoms} are bad"),
        priority: 3,
        priority_why: Vec::new(),
        severity: 13,
        confidence: 90,
        onset_ms: 0,
        opened_ms,
        updated_ms: opened_ms,
        closed_ms: None,
        reopened: 0,
        merged_into: None,
        split_from: None,
        causes: Vec::new(),
        impact: Impact::default(),
        count: members.len(),
        members,
        links: Vec::new(),
        patterns: Vec::new(),
    }
}

/// Incidents, groups as names of symptoms; which incident each group is, what each new one came out of, and what was merged.
#[track_caller]
fn check(
    known: &[Incident],
    groups: &[&str],
    of: &[Option<usize>],
    from: &[Option<usize>],
    merged: &[(usize, usize)],
) {
    let mut names: Vec<&str> = groups.iter().flat_map(|g| g.split(' ')).collect();
    names.sort_by_key(|name| signal(name).key);
    let signals: Vec<Signal> = names.iter().map(|name| signal(name)).collect();
    let at = |name: &str| names.iter().position(|n| *n == name).unwrap();
    let group = |names: &&str| Group { symptoms: names.split(' ').map(at).collect(), ..Group::default() };
    let groups: Vec<Group> = groups.iter().map(group).collect();
    let want = Matched { of: of.to_vec(), from: from.to_vec(), merged: merged.to_vec() };
    assert_eq!(matched(known, &signals, &groups), want);
}

#[test]
fn an_incident_goes_on_with_its_symptoms() {
    let known = [incident("a", 1), incident("b", 2)];
    check(&known, &["a x", "b", "c"], &[Some(0), Some(1), None], &[None; 3], &[]);
    check(&known, &["x"], &[None], &[None], &[]);
    // A hint does not make it the same.
    let mut hinted = incident("a h", 1);
    hinted.members[1].role = Role::Hint;
    check(&[hinted], &["h"], &[None], &[None], &[]);
}

#[test]
fn the_older_goes_on_when_two_are_one() {
    check(&[incident("a", 1), incident("b", 2)], &["a b"], &[Some(0)], &[None], &[(1, 0)]);
    check(&[incident("a", 2), incident("b", 1)], &["a b"], &[Some(1)], &[None], &[(0, 1)]);
    // What was merged before is not merged again.
    let gone = Incident { state: State::Merged, ..incident("b", 0) };
    check(&[gone.clone(), incident("a", 1)], &["a b"], &[Some(1)], &[None], &[]);
    // If it comes out again it is itself again, and came out of what it had been part of.
    check(&[gone, incident("a b", 1)], &["a", "b"], &[Some(1), Some(0)], &[None, Some(1)], &[]);
}

#[test]
fn of_a_split_the_part_that_gave_the_name_keeps_it() {
    check(&[incident("a b", 1)], &["b", "a"], &[None, Some(0)], &[Some(0), None], &[]);
    let mut late = incident("b a", 1);
    late.members.reverse();
    check(&[late], &["a", "b"], &[None, Some(0)], &[Some(0), None], &[]);
    // One part goes on as another that was there.
    check(&[incident("a b", 1), incident("c", 2)], &["a", "b c"], &[Some(0), Some(1)], &[None, None], &[]);
}

#[test]
fn it_is_over_when_nothing_of_it_went_on_for_five_minutes() {
    let check = |members: &[Member], now: u64, want: Result<u64, Option<u64>>| {
        let symptoms = members.iter().filter(|m| m.role != Role::Hint);
        assert_eq!(over(ended(symptoms.map(|m| m.end_ms)), now), want, "{now}");
    };
    let two = [member("a", Some(1000)), member("b", Some(5000))];
    check(&two, 5000 + SETTLE_MS, Ok(5000));
    check(&two, 4999 + SETTLE_MS, Err(Some(5000 + SETTLE_MS)));
    check(&[member("a", Some(5000)), member("b", Some(1000))], 5000 + SETTLE_MS, Ok(5000));
    check(&[member("a", Some(1000)), member("b", None)], u64::MAX, Err(None));
    // What stands beside it does not keep it open.
    let hint = Member { role: Role::Hint, ..member("b", None) };
    check(&[member("a", Some(1000)), hint], u64::MAX, Ok(1000));
}

#[test]
fn what_people_want_to_know_is_a_step() {
    let base = || incident("a", 1);
    let check = |before: Option<Incident>, after: Incident, want: Option<(Step, &str)>| {
        let found = step(before.as_ref(), &after);
        assert_eq!(found.as_ref().map(|(step, text)| (*step, text.as_str())), want);
    };
    let cause = |entity: &str| {
        let (entity, why) = (entity.to_owned(), String::new());
        vec![Cause { entity, score: 1.0, metric: None, why, reasons: Vec::new() }]
    };
    let devices = |devices| Impact { devices, ..Impact::default() };
    let closed = || Incident { state: State::Closed, closed_ms: Some(125_000), ..base() };
    let merged = || Incident { state: State::Merged, merged_into: Some("other".into()), ..base() };
    check(None, base(), Some((Step::Opened, "a are bad")));
    check(None, Incident { split_from: Some("x".into()), ..base() }, Some((Step::Split, "a are bad")));
    check(Some(base()), closed(), Some((Step::Closed, "over after 2 min")));
    check(Some(closed()), base(), Some((Step::Reopened, "a are bad")));
    check(Some(base()), merged(), Some((Step::Merged, "it is part of other")));
    check(Some(closed()), merged(), Some((Step::Merged, "it is part of other")));
    check(Some(merged()), base(), Some((Step::Split, "a are bad")));
    check(Some(merged()), merged(), None);
    check(Some(base()), base(), None);
    check(Some(base()), Incident { priority: 2, ..base() }, Some((Step::Updated, "priority 2 was 3")));
    check(
        Some(base()),
        Incident { causes: cause("hall/a"), ..base() },
        Some((Step::Updated, "likely cause now hall/a")),
    );
    let doubtful = Incident { causes: cause("hall/a"), ..base() };
    let surer = Incident { causes: vec![Cause { score: 0.5, ..doubtful.causes[0].clone() }], ..base() };
    check(Some(doubtful), surer, None);
    let three = || Incident { impact: devices(3), ..base() };
    check(Some(base()), three(), Some((Step::Updated, "3 devices were 0")));
    check(Some(three()), base(), None);
    check(Some(base()), Incident { severity: 17, ..base() }, Some((Step::Updated, "it is graver")));
    check(Some(base()), Incident { severity: 9, title: "b".into(), updated_ms: 9, ..base() }, None);
}

#[test]
fn spans_as_people_say_them() {
    let check = |ms: u64, want: &str| assert_eq!(span(ms), want);
    check(59_999, "59 s");
    check(60_000, "1 min");
    check(7_500_000, "2 h 5 min");
    check(26 * 3_600_000, "1 d 2 h");
}
