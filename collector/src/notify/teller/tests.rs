use serde_json::json;

use super::super::sample::rules;
use super::super::{Matcher, Silence, Verdict, Word};
use super::*;
use crate::store::Database;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
const MONDAY: u64 = 1_795_392_000_000;

const OUTLET: &str =
    "[[outlet]]\nname = \"pager\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:9093\"\n";

fn put(store: &Arc<dyn Store>, id: &str, revision: u32, priority: u8, onset: u64, closed: Option<u64>) {
    let symptom = json!({
        "site": "home", "node": "nas", "what": "episode", "epoch": 1, "id": 1, "role": "symptom",
        "entity": "home/nas", "onset_ms": onset, "end_ms": closed, "severity": 17, "text": "busy",
    });
    let doc = json!({
        "id": id, "revision": revision, "state": if closed.is_some() { "closed" } else { "open" },
        "sites": ["home"], "title": format!("{id} is busy"), "priority": priority, "priority_why": [],
        "severity": 17, "confidence": 80, "onset_ms": onset, "opened_ms": onset,
        "updated_ms": closed.unwrap_or(onset), "closed_ms": closed, "reopened": 0, "merged_into": null,
        "split_from": null, "causes": [], "impact": { "devices": 1, "entities": ["home/nas"], "dependents": 0 },
        "members": [symptom], "count": 1, "links": [], "patterns": [format!("{id} busy")],
    });
    let read: Incident = serde_json::from_value(doc.clone()).expect("an incident as the desk keeps it");
    let record = Record {
        class: Class::Incident,
        key: read.id,
        site: "home".into(),
        at_ms: read.updated_ms,
        is_open: closed.is_none(),
        doc: doc.to_string(),
    };
    store.keep(&[Change::Put(record)]).unwrap();
}

fn teller(store: &Arc<dyn Store>) -> Teller {
    let atlas = Arc::new(Mutex::new(Atlas::new(Declared::default(), [])));
    Teller::new(Arc::clone(store), rules(OUTLET), atlas, Arc::new(|_: &str| true))
}

fn notices(store: &Arc<dyn Store>) -> Vec<String> {
    let mut keys: Vec<String> =
        store.records(&RecordFilter::all(Class::Notice)).unwrap().into_iter().map(|r| r.key).collect();
    keys.sort();
    keys
}

#[test]
fn what_was_decided_outlives_the_process() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    put(&store, "disk", 1, 1, MONDAY, None);
    put(&store, "small", 1, 5, MONDAY, None);
    assert_eq!(teller(&store).look(MONDAY).unwrap(), 2);
    assert_eq!(notices(&store), ["pager/disk-1"]);
    // Another process finds the same, and nothing new.
    assert_eq!(teller(&store).look(MONDAY + MINUTE).unwrap(), 0);
    // It is over, and a while later for people, too; whoever looks.
    put(&store, "disk", 2, 1, MONDAY, Some(MONDAY + 5 * MINUTE));
    let mut second = teller(&store);
    assert_eq!(second.look(MONDAY + 6 * MINUTE).unwrap(), 0);
    assert_eq!(second.look(MONDAY + 19 * MINUTE).unwrap(), 0);
    assert_eq!(teller(&store).look(MONDAY + 20 * MINUTE).unwrap(), 1);
    assert_eq!(notices(&store), ["pager/disk-1", "pager/disk-2"]);
    assert_eq!(second.look(MONDAY + 20 * MINUTE).unwrap(), 0, "the other has seen it");
    assert_eq!(notices(&store).len(), 2);
}

#[test]
fn what_people_said_is_heeded_and_taken_back() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    let silence = Silence {
        id: "s1".into(),
        matches: Matcher { site: vec!["home".into()], ..Matcher::default() },
        from_ms: MONDAY,
        until_ms: MONDAY + 60 * MINUTE,
        who: "anna".into(),
        why: "new disk".into(),
        ended_by: None,
    };
    store.keep(&[Change::Put(silence.record(MONDAY))]).unwrap();
    put(&store, "disk", 1, 2, MONDAY, None);
    let mut teller = teller(&store);
    teller.look(MONDAY).unwrap();
    assert!(notices(&store).is_empty());
    let decision = || -> Decision {
        let found = store.records(&RecordFilter::one(Class::Decision, "disk")).unwrap();
        serde_json::from_str(&found[0].doc).unwrap()
    };
    assert_eq!(decision().by, By::Silence);
    assert_eq!(
        decision().why,
        ["silenced by anna until 2026-11-23 01:00 UTC (site home): new disk"],
        "the reason is kept"
    );
    let verdict = Verdict {
        incident: "earlier".into(),
        word: Word::NotUseful,
        who: "ben".into(),
        at_ms: MONDAY,
        until_ms: None,
        note: String::new(),
        pattern: "disk busy".into(),
        causes: Vec::new(),
    };
    store.keep(&[Change::Remove(Class::Silence, "s1".into()), Change::Put(verdict.record())]).unwrap();
    teller.look(MONDAY + MINUTE).unwrap();
    assert_eq!(notices(&store), ["pager/disk-1"], "the silence was taken back");
    let halved = decision();
    assert!(halved.why.contains(&"1 of 1 like it was not useful".to_owned()), "{halved:?}");
    assert!((halved.worth - 0.75 * 0.9 / 2.0 / 2.0).abs() < 1e-6, "{halved:?}");
    // A silence that is over may be forgotten.
    let old = Silence { id: "s2".into(), until_ms: MONDAY + MINUTE, ..silence };
    store.keep(&[Change::Put(old.record(MONDAY))]).unwrap();
    teller.look(MONDAY + 2 * MINUTE).unwrap();
    assert!(!store.records(&RecordFilter::one(Class::Silence, "s2")).unwrap()[0].is_open);
}

/// Changes what is kept of an incident at this time.
fn change(store: &Arc<dyn Store>, id: &str, now: u64, changes: &Value) {
    let mut record = store.records(&RecordFilter::one(Class::Incident, id)).unwrap().remove(0);
    let mut doc: Value = serde_json::from_str(&record.doc).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        doc[key] = value.clone();
    }
    doc["updated_ms"] = now.into();
    (record.doc, record.at_ms, record.is_open) = (doc.to_string(), now, doc["state"] == "open");
    store.keep(&[Change::Put(record)]).unwrap();
}

#[test]
fn what_was_over_before_anybody_heard_of_it_stands_in_the_digest() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    let (onset, over, heard) = (MONDAY, MONDAY + 10 * MINUTE, MONDAY + 180 * MINUTE);
    put(&store, "uplink", 1, 2, onset, Some(over));
    change(&store, "uplink", heard, &json!({}));
    let mut teller = teller(&store);
    teller.look(heard).unwrap();
    teller.look(MONDAY + DAY / 2).unwrap();
    assert_eq!(digests(&store), [("2026-11-23".to_owned(), vec![vec!["uplink".to_owned()]])]);
}

#[test]
fn what_became_part_of_another_is_told_once_and_over_with_it() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    put(&store, "part", 1, 2, MONDAY + MINUTE, None);
    let mut teller = teller(&store);
    teller.look(MONDAY + MINUTE).unwrap();
    // What began before it is heard of later.
    put(&store, "whole", 1, 2, MONDAY, None);
    let merged = json!({ "state": "merged", "merged_into": "whole", "revision": 2 });
    change(&store, "part", MONDAY + 2 * MINUTE, &merged);
    teller.look(MONDAY + 2 * MINUTE).unwrap();
    teller.look(MONDAY + 90 * MINUTE).unwrap();
    assert_eq!(notices(&store), ["pager/part-1"], "people know it, and it goes on");
    let over = MONDAY + 100 * MINUTE;
    change(&store, "whole", over, &json!({ "state": "closed", "closed_ms": over, "revision": 2 }));
    teller.look(over + 15 * MINUTE).unwrap();
    assert_eq!(notices(&store), ["pager/part-1", "pager/part-2"], "it is over with the whole");
    teller.look(MONDAY + DAY).unwrap();
    assert_eq!(notices(&store).len(), 2, "nor does it stand in a digest");
}

/// The digests of an outlet: day, and what stands in each row.
fn digests(store: &Arc<dyn Store>) -> Vec<(String, Vec<Vec<String>>)> {
    let found = store.records(&RecordFilter::all(Class::Notice)).unwrap();
    let mut all: Vec<Notice> = documents(&found);
    all.retain(|notice| notice.event == Event::Digest);
    all.sort_by_key(Notice::key);
    let read = |notice: Notice| -> Digest { serde_json::from_value(notice.document).unwrap() };
    let rows = |d: Digest| (d.day, d.rows.into_iter().map(|row| row.incidents).collect());
    all.into_iter().map(read).map(rows).collect()
}

#[test]
fn what_was_not_told_at_once_stands_in_the_next_digest_once() {
    const HOUR: u64 = 60 * MINUTE;
    let row = |ids: &[&str]| -> Vec<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    put(&store, "small", 1, 5, MONDAY, None);
    put(&store, "blip", 1, 3, MONDAY, None);
    put(&store, "disk", 1, 1, MONDAY, None);
    teller(&store).look(MONDAY).unwrap();
    put(&store, "blip", 2, 3, MONDAY, Some(MONDAY + MINUTE));
    let mut first = teller(&store);
    first.look(MONDAY + 10 * MINUTE).unwrap();
    first.look(MONDAY + 8 * HOUR - 1).unwrap();
    assert!(digests(&store).is_empty(), "it is not due");
    // What is decided after it was due waits for the next.
    put(&store, "late", 1, 5, MONDAY + 8 * HOUR, None);
    let monday = ("2026-11-23".to_owned(), vec![row(&["blip"]), row(&["small"])]);
    let mut second = teller(&store);
    assert_eq!(first.look(MONDAY + 8 * HOUR + 1).unwrap(), 2, "a decision, and the digest");
    assert_eq!(digests(&store), std::slice::from_ref(&monday));
    // Nobody makes it again: neither another collector, nor who starts later, whatever they would have put into it.
    assert_eq!(second.look(MONDAY + 8 * HOUR + 2).unwrap(), 0);
    put(&store, "unseen", 1, 5, MONDAY + 9 * HOUR, None);
    teller(&store).look(MONDAY + 9 * HOUR).unwrap();
    assert_eq!(digests(&store), std::slice::from_ref(&monday));
    // Two days later a collector starts again: one digest, with what is new.
    put(&store, "unseen", 2, 5, MONDAY + 9 * HOUR, Some(MONDAY + 10 * HOUR));
    let mut third = teller(&store);
    third.look(MONDAY + 2 * DAY + 9 * HOUR).unwrap();
    let wednesday = ("2026-11-25".to_owned(), vec![row(&["late"]), row(&["unseen"])]);
    assert_eq!(digests(&store), [monday.clone(), wednesday.clone()]);
    // Nothing new: nothing said.
    third.look(MONDAY + 3 * DAY + 9 * HOUR).unwrap();
    assert_eq!(digests(&store), [monday, wednesday]);
}

#[test]
fn a_digest_is_made_by_whoever_has_a_site_of_it() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    put(&store, "small", 1, 5, MONDAY, None);
    teller(&store).look(MONDAY).unwrap();
    let mut stranger = teller(&store);
    stranger.mine = Arc::new(|_: &str| false);
    stranger.look(MONDAY + DAY / 2).unwrap();
    assert!(digests(&store).is_empty());
    teller(&store).look(MONDAY + DAY / 2).unwrap();
    assert_eq!(digests(&store).len(), 1);
    stranger.look(MONDAY + DAY / 2).unwrap();
    assert_eq!((digests(&store).len(), stranger.digested_ms), (1, MONDAY + DAY / 3), "it has seen it");
    let notice = &documents::<Notice>(&store.records(&RecordFilter::all(Class::Notice)).unwrap())[0];
    assert_eq!(
        (notice.site.as_str(), notice.idempotency_key().as_str()),
        ("home", "digest-2026-11-23-1-pager")
    );
}

#[test]
fn what_is_another_collectors_is_left_to_it() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    put(&store, "disk", 1, 1, MONDAY, None);
    let mut stranger = teller(&store);
    stranger.mine = Arc::new(|site: &str| site != "home");
    assert_eq!(stranger.look(MONDAY).unwrap(), 0);
    assert!(notices(&store).is_empty());
    assert_eq!(teller(&store).look(MONDAY).unwrap(), 1);
    assert_eq!(notices(&store), ["pager/disk-1"]);
}

#[test]
fn a_dry_run_changes_nothing() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    put(&store, "disk", 2, 1, MONDAY, Some(MONDAY + 5 * MINUTE));
    put(&store, "small", 1, 5, MONDAY + MINUTE, None);
    let report =
        last(Arc::clone(&store), rules(OUTLET), Declared::default(), MONDAY - DAY, MONDAY + DAY).unwrap();
    assert_eq!((report.count("told"), report.count("digest")), (1, 1), "{report}");
    assert!(notices(&store).is_empty());
    assert!(store.records(&RecordFilter::all(Class::Decision)).unwrap().is_empty());
}

#[test]
fn a_dry_run_knows_what_is_declared() {
    let store: Arc<dyn Store> = Arc::new(Database::in_memory().unwrap());
    put(&store, "disk", 1, 1, MONDAY, None);
    let policy = "[[policy]]\nname = \"test\"\nmatch = { label = { env = \"test\" } }\nthen = \"suppress\"\n";
    let suppressed = |topology: &str| {
        let declared = Declared::read("topology.toml", topology).unwrap();
        last(Arc::clone(&store), rules(policy), declared, MONDAY - DAY, MONDAY + DAY)
            .unwrap()
            .count("suppressed")
    };
    assert_eq!(suppressed(""), 0);
    assert_eq!(suppressed("[[entity]]\nname = \"home/nas\"\nlabels = { env = \"test\" }"), 1);
}
