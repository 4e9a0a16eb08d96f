//! The whole way of a decision, minute by minute.

use super::super::sample::{incident, rules};
use super::super::{Silence, Verdict, Word};
use super::*;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A Monday, 00:00 UTC.
const MONDAY: u64 = 1_795_392_000_000;

/// Incidents in time, and what was decided of them.
struct Desk {
    rules: Rules,
    history: History,
    all: Vec<IncidentView>,
    /// Minute, incident, `told`, `over` or `raised`.
    said: Vec<(u64, String, &'static str)>,
}

impl Desk {
    fn new(text: &str) -> Self {
        Self { rules: rules(text), history: History::default(), all: Vec::new(), said: Vec::new() }
    }

    fn open(&mut self, id: &str, priority: u8, at: u64, minutes: u64) -> &mut IncidentView {
        let closed = Some(at + minutes * MINUTE);
        self.all.push(IncidentView { opened_ms: at, closed_ms: closed, ..incident(id, priority) });
        self.all.last_mut().unwrap()
    }

    /// Decides every minute.
    fn run(&mut self, from: u64, minutes: u64) {
        for now in (0..=minutes).map(|m| from + m * MINUTE) {
            let seen: Vec<IncidentView> = self
                .all
                .iter()
                .filter(|i| i.opened_ms <= now)
                .map(|i| IncidentView { closed_ms: i.closed_ms.filter(|c| *c <= now), ..i.clone() })
                .collect();
            seen.iter().for_each(|i| self.history.note(i));
            let of_concern: Vec<IncidentView> = seen
                .into_iter()
                .filter(|i| {
                    i.is_open() || self.history.decisions.get(&i.id).is_none_or(|d| d.standing().is_some())
                })
                .collect();
            self.history.learn(now);
            let decisions = decide(&of_concern, &self.history, &self.rules, now);
            for d in decisions {
                let (was, is) = (self.history.decisions.get(&d.incident).map(|d| d.told.clone()), &d.told);
                let was = was.unwrap_or_default();
                let minute = (now - MONDAY) / MINUTE;
                if is.len() > was.len() {
                    self.said.push((minute, d.incident.clone(), "told"));
                } else if is != &was {
                    let over = is.last().is_some_and(|t| t.over_ms.is_some());
                    self.said.push((minute, d.incident.clone(), if over { "over" } else { "raised" }));
                }
                self.history.decided(d);
            }
        }
    }

    fn check(&self, wanted: &[(u64, &str, &str)]) {
        let got: Vec<_> = self.said.iter().map(|(m, i, w)| (*m, i.as_str(), *w)).collect();
        assert_eq!(got, wanted);
    }

    fn decision(&self, id: &str) -> (Outcome, By, &str) {
        let d = &self.history.decisions[id];
        (d.outcome, d.by, d.why.last().map_or("", String::as_str))
    }
}

#[test]
fn shorter_blips_are_not_told_and_what_is_over_is_told_a_while_later() {
    let mut desk = Desk::new("");
    desk.open("blip", 3, MONDAY, 4);
    desk.open("lasting", 3, MONDAY + HOUR, 20).patterns = vec!["other".into()];
    desk.run(MONDAY, 180);
    desk.check(&[(65, "lasting", "told"), (95, "lasting", "over")]);
    assert_eq!(desk.decision("blip").1, By::Wait);
    assert_eq!(desk.decision("lasting").2, "policy \"ordinary\" (built in): page");
}

#[test]
fn what_flaps_is_told_once() {
    let mut desk = Desk::new("");
    // Every six minutes for two hours it is there for two: over when the last hour held less than three.
    for i in 0..20 {
        desk.open(&format!("f{i:02}"), 2, MONDAY + i * 6 * MINUTE, 2);
    }
    desk.run(MONDAY, 300);
    desk.check(&[(0, "f00", "told"), (163, "f00", "over")]);
    assert_eq!(desk.decision("f10").1, By::Flapping);
    assert!(desk.history.decisions["f10"].is_flapping);

    // Twenty minutes apart each is over, until it is called flapping.
    let mut desk = Desk::new("");
    for i in 0..12 {
        desk.open(&format!("s{i:02}"), 2, MONDAY + i * 20 * MINUTE, 2);
    }
    desk.run(MONDAY, 400);
    desk.check(&[(0, "s00", "told"), (17, "s00", "over"), (20, "s01", "told"), (37, "s01", "over")]);

    // The same incident that comes back again and again is told once.
    let mut desk = Desk::new("");
    for i in 0..10 {
        desk.open("same", 2, MONDAY + i * 6 * MINUTE, 2);
        desk.run(MONDAY + i * 6 * MINUTE, 5);
        desk.all.clear();
    }
    let told = desk.said.iter().filter(|s| s.2 == "told").count();
    assert_eq!(told, 1, "{:?}", desk.said);

    // Blips too short for their policy are told once they flap.
    let mut desk = Desk::new("");
    for i in 0..10 {
        desk.open(&format!("b{i}"), 3, MONDAY + i * 6 * MINUTE, 2);
    }
    desk.run(MONDAY, 60);
    desk.check(&[(12, "b2", "told")]);

    // What flapped and then stays goes on for people until it is over.
    let mut desk = Desk::new("");
    for i in 0..5 {
        desk.open(&format!("f{i}"), 2, MONDAY + i * 6 * MINUTE, if i == 4 { 600 } else { 2 });
    }
    desk.run(MONDAY, 700);
    desk.check(&[(0, "f0", "told"), (24 + 600 + 15, "f0", "over")]);

    // What is worse than they know is told.
    let mut desk = Desk::new("");
    desk.open("mild", 2, MONDAY, 2);
    desk.open("bad", 1, MONDAY + 6 * MINUTE, 2);
    desk.run(MONDAY, 8);
    desk.check(&[(0, "mild", "told"), (6, "bad", "told")]);
}

#[test]
fn a_nightly_backup_is_not_told_the_eighth_time_and_at_another_hour_it_is() {
    let mut desk = Desk::new("[notify]\npages = \"1000 per day\"\n");
    for day in 0..8 {
        desk.open(&format!("night{day}"), 3, MONDAY + day * DAY + 3 * HOUR, 20);
    }
    desk.open("afternoon", 3, MONDAY + 7 * DAY + 15 * HOUR, 20);
    desk.run(MONDAY, 8 * 24 * 60);
    let told: Vec<&str> = desk.said.iter().filter(|s| s.2 == "told").map(|s| s.1.as_str()).collect();
    assert_eq!(told, ["night0", "night1", "night2", "night3", "night4", "afternoon"]);
    assert!(desk.history.decisions["night7"].is_seasonal);
    assert_eq!(
        desk.decision("night7"),
        (Outcome::Suppress, By::Policy, "policy \"seasonal\" (built in): suppress")
    );
    let why = &desk.history.decisions["night7"].why[0];
    assert_eq!(why, "seasonal: it was on 7 of the last 7 days at about 03:00 UTC");
    assert!(!desk.history.decisions["afternoon"].is_seasonal);
}

#[test]
fn silences_and_maintenance_end() {
    let mut desk = Desk::new("[[maintenance]]\nname = \"move\"\nfrom = \"00:00\"\nto = \"01:00\"\n");
    desk.history.silences.push(Silence {
        id: "s".into(),
        matches: toml::from_str("pattern = [\"quiet\"]").unwrap(),
        from_ms: MONDAY,
        until_ms: MONDAY + 2 * HOUR,
        who: "anna".into(),
        why: "known".into(),
        ended_by: None,
    });
    desk.open("short", 1, MONDAY + 10 * MINUTE, 20);
    desk.open("long", 1, MONDAY + 30 * MINUTE, 600).patterns = vec!["loud".into()];
    desk.open("silenced", 1, MONDAY + 90 * MINUTE, 600).patterns = vec!["quiet".into()];
    desk.run(MONDAY, 180);
    desk.check(&[(60, "long", "told"), (120, "silenced", "told")]);
    assert_eq!(
        desk.decision("short"),
        (Outcome::Hold, By::Policy, "policy \"maintenance\" (built in): hold")
    );
}

#[test]
fn what_is_unusual_is_told_before_what_there_is_much_of() {
    // Devices lose their connection all day, each for as long as it takes to be told; then five hang at once. The budget is
    // the same.
    let told = |devices: usize, patterns: &[&str], minutes: u64| {
        let mut desk = Desk::new("[notify]\npages = \"1 per day\"\n");
        for i in 0..96 {
            let lost = desk.open(&format!("lost{i:02}"), 3, MONDAY + i * 30 * MINUTE, 6);
            lost.founder = format!("home/{i}");
            lost.patterns = vec!["lost".into()];
        }
        let seen = desk.open("x", 3, MONDAY + 2 * DAY + HOUR, minutes);
        seen.founder = "home/x".into();
        seen.patterns = patterns.iter().map(|p| (*p).to_owned()).collect();
        seen.devices = devices;
        desk.run(MONDAY, 50 * 60);
        let is_told = desk.said.iter().any(|s| s.1 == "x");
        let x = &desk.history.decisions["x"];
        (
            is_told,
            x.worth / desk.history.decisions["lost95"].worth,
            x.why.first().cloned().unwrap_or_default(),
        )
    };
    let (is_told, worth, why) = told(5, &["lost", "burns"], 30);
    assert!(is_told && worth > 1.5, "{worth}");
    assert!(why.contains("1 of 97 befell 5 devices or more"), "{why}");
    let (_, worth, _) = told(1, &["lost"], 6);
    assert!((worth - 1.0).abs() < 0.1, "one more of many: {worth}");
}

#[test]
fn what_becomes_more_urgent_is_told_again() {
    let mut desk = Desk::new("");
    desk.open("x", 2, MONDAY, 600);
    desk.run(MONDAY, 5);
    desk.all[0].priority = 3;
    desk.run(MONDAY + 6 * MINUTE, 5);
    desk.all[0].priority = 1;
    desk.run(MONDAY + 20 * MINUTE, 5);
    desk.check(&[(0, "x", "told"), (20, "x", "raised")]);
}

#[test]
fn verdicts_hold_back_and_are_taken_back() {
    let told = |words: &[Word]| {
        let mut desk = Desk::new("[notify]\npages = \"1 per day\"\nflaps = 100\n");
        for (i, word) in words.iter().enumerate() {
            let like_it = incident(&format!("before{i}"), 2);
            desk.history.verdicts.push(Verdict::on(&like_it, *word, "anna", "", MONDAY - DAY));
        }
        // Others that were worth a person set the price.
        for i in 0..8 {
            let other = desk.open(&format!("other{i}"), 3, MONDAY + i * 3 * HOUR, 30);
            other.founder = format!("home/{i}");
            other.patterns = vec!["other".into()];
        }
        desk.open("x", 2, MONDAY + DAY + HOUR, 100);
        desk.run(MONDAY, 27 * 60);
        let is_told = desk.said.iter().any(|s| s.1 == "x" && s.2 == "told");
        (is_told, desk.history.decisions["x"].clone())
    };
    use Word::{NotUseful, Real};
    let (is_told, plain) = told(&[]);
    assert!(is_told, "{plain:?}");
    let (is_told, held) = told(&[NotUseful, Real, NotUseful]);
    assert!(!is_told, "{held:?}");
    assert_eq!(held.by, By::Budget);
    assert!(held.why.iter().any(|w| w == "2 of 3 like it were not useful"), "{held:?}");
    assert!(held.why.last().is_some_and(|w| w.starts_with("held back: ")), "{held:?}");
    let (again, same) = told(&[]);
    assert_eq!((again, same), (true, plain), "a verdict that is taken back leaves no trace");
}

#[test]
fn the_most_urgent_are_told_whatever_the_budget_and_are_counted() {
    let storm = |text: &str| {
        let mut desk = Desk::new(text);
        for i in 0..12 {
            let one = desk.open(&format!("p{i:02}"), 1, MONDAY + i * MINUTE, 300);
            one.founder = format!("home/{i}");
        }
        desk.run(MONDAY, 60);
        let told = desk.said.iter().filter(|s| s.2 == "told").count();
        (told, spending(&desk.history, &desk.rules, MONDAY + HOUR))
    };
    let (told, after) = storm("");
    assert_eq!(told, 12);
    assert!(after.left < 0.0 && after.realised > 11.0, "{after:?}");
    let (told, after) = storm("[notify]\nalways = 0\n");
    assert!(told <= 6, "{told} told of 3 per day, {after:?}");
}

#[test]
fn of_those_that_ask_at_once_the_worthiest_is_told() {
    let mut desk = Desk::new("[notify]\npages = \"1 per day\"\n");
    for (id, confidence) in [("doubtful", 0.2), ("sure", 0.9)] {
        let one = desk.open(id, 3, MONDAY, 60);
        (one.founder, one.confidence) = (format!("home/{id}"), confidence);
        one.patterns = vec![id.into()];
    }
    desk.run(MONDAY, 10);
    desk.check(&[(5, "sure", "told")]);
    assert_eq!(desk.decision("doubtful").1, By::Budget);
}

#[test]
fn what_another_explains_is_not_told_beside_it() {
    let mut desk = Desk::new(
        "[[inhibit]]\nname = \"uplink\"\nof = \"all\"\nby = { pattern = [\"uplink\"] }\nmatch = { pattern = [\"broker\"] }\n",
    );
    for id in ["uplink", "broker"] {
        let one = desk.open(id, 1, MONDAY, 20);
        (one.founder, one.patterns) = (format!("home/{id}"), vec![id.into()]);
    }
    desk.run(MONDAY, 10);
    desk.check(&[(0, "uplink", "told")]);
    assert_eq!(desk.decision("broker").1, By::Inhibition);
}

#[test]
fn deciding_twice_changes_nothing() {
    let mut desk = Desk::new("");
    for i in 0..6 {
        let one = desk.open(&format!("p{i}"), 1 + i % 5, MONDAY, 300);
        one.founder = format!("home/{i}");
    }
    desk.run(MONDAY, 7);
    let now = MONDAY + 7 * MINUTE;
    let seen: Vec<IncidentView> =
        desk.all.iter().map(|i| IncidentView { closed_ms: None, ..i.clone() }).collect();
    for d in decide(&seen, &desk.history, &desk.rules, now) {
        assert!(!d.is_news(&desk.history.decisions[&d.incident]), "{d:?}");
        assert_eq!(d.at_ms, desk.history.decisions[&d.incident].at_ms);
    }
    let mut turned = seen.clone();
    turned.reverse();
    let mut again = decide(&turned, &desk.history, &desk.rules, now);
    again.reverse();
    assert_eq!(again, decide(&seen, &desk.history, &desk.rules, now), "the order of incidents means nothing");
}
