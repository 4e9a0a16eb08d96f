//! What people say to the collector: verdicts, silences and pairs, and what is refused of it.

use fieldmouse_core::wire::phase;
use serde_json::{Value, json};

use super::{ACKS, Agent, Collector, EMBEDDED, as_described, http, said};
use crate::sample;
use crate::store::{Change, Class, Database, Record, RecordFilter, Store};

const JSON: &str = "application/json";

async fn say(collector: &Collector, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, _, answer) = said(collector.bound.http, method, path, JSON, &body.to_string()).await;
    (status, serde_json::from_str(&answer).unwrap())
}

/// A collector with an incident that goes on, and one like it of an hour before.
async fn collector(dir: &std::path::Path, config: &str) -> (Collector, String) {
    let collector = Collector::start(dir, "collector", &format!("{EMBEDDED}\n{config}")).await;
    let mut agent = Agent::connect(collector.bound.broker.unwrap(), "press-1", ACKS).await;
    let now = crate::clock::wall_ms();
    agent.say("birth", 1, &[sample::birth(&[])]).await;
    let before = |seq, phase| sample::episode(seq, 1, phase, 60_000).at(now - 3_600_000);
    agent.say("event", 1, &[before(1, phase::OPENED), before(2, phase::CLOSED)]).await;
    agent.acked(1, 2).await;
    collector.until("/api/v1/incidents?state=closed", |i| i["incidents"][0].is_object()).await;
    agent.say("event", 1, &[sample::episode(3, 2, phase::OPENED, 30_000).at(now)]).await;
    let open = collector.until("/api/v1/incidents?state=open", |i| i["incidents"][0].is_object()).await;
    let id = open["incidents"][0]["id"].as_str().unwrap().to_owned();
    (collector, id)
}

fn kept(dir: &std::path::Path, class: Class) -> Vec<Record> {
    Database::open(&dir.join("c.db")).unwrap().records(&RecordFilter::all(class)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_and_silences_are_said_shown_heeded_and_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, id) =
        collector(dir.path(), "[[policy]]\nname = \"all\"\nthen = \"page\"\nrunbook = \"RB-7\"").await;
    let one = format!("/api/v1/incidents/{id}");
    let verdict = format!("{one}/verdict");

    // What was like it before, and all of it in one text.
    let shown = collector.until(&one, |i| i["similar"][0].is_object() && i["decision"].is_object()).await;
    assert_eq!(shown["similar"][0]["alike"], 1.0, "{shown}");
    assert_eq!(shown["next_time"], Value::Null);
    let (status, head, text) = http(collector.bound.http, "GET", &format!("{one}/statement")).await;
    assert!(status == 200 && head.contains("content-type: text/plain"), "{head}");
    for part in [
        "priority ",
        "probable cause: ",
        "resources: 1 device",
        "next step: follow RB-7\n",
        "like it before: ",
        &id,
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }

    // A verdict, with its evidence and what it changes; said again it is replaced, taken back it was never given.
    let body = json!({ "word": "not useful", "by": " ana ", "note": "the printer does that" });
    let (status, thought) = say(&collector, "POST", &verdict, &body).await;
    assert_eq!((status, thought["verdicts"][0]["by"].as_str()), (201, Some("ana")), "{thought}");
    assert_eq!(thought["verdicts"][0]["pattern"], shown["patterns"][0]);
    let next = thought["next_time"].as_str().unwrap();
    assert!(next.contains("1 of 1 like it was not useful"), "{next}");
    let (_, thought) = say(&collector, "POST", &verdict, &json!({ "word": "real", "by": "ana" })).await;
    assert_eq!(
        (thought["verdicts"].as_array().unwrap().len(), thought["verdicts"][0]["word"].as_str()),
        (1, Some("real"))
    );
    assert_eq!(collector.get(&one).await.1["next_time"], thought["next_time"]);
    let (status, refused) = say(&collector, "DELETE", &verdict, &json!({ "by": "bo" })).await;
    assert_eq!(
        (status, refused["error"].as_str()),
        (400, Some(format!("by: `bo` said nothing of {id}; ana did").as_str()))
    );
    let described: Vec<(&str, Value)> = vec![
        ("/api/v1/verdicts", collector.get("/api/v1/verdicts").await.1),
        ("/api/v1/incidents/{id}/verdict", collector.get(&verdict).await.1),
        ("/api/v1/incidents/{id}", collector.get(&one).await.1),
    ];
    let (status, thought) = say(&collector, "DELETE", &verdict, &json!({ "by": "ana" })).await;
    assert_eq!((status, &thought), (200, &json!({ "verdicts": [], "next_time": null })));

    // A silence that is made of the incident covers it, is decided by, and ends.
    let body = json!({ "match": shown["silence_like_it"], "for": "2h", "by": "ana", "why": "new printer" });
    let (status, silence) = say(&collector, "POST", "/api/v1/silences", &body).await;
    assert_eq!((status, &silence["covers"], silence["state"].as_str()), (201, &json!([id]), Some("active")));
    let silenced = collector.until(&one, |i| i["silences"][0].is_object()).await;
    assert_eq!(silenced["silences"][0]["id"], silence["id"]);
    let later = json!({ "match": { "site": ["hall"] }, "from_ms": crate::clock::wall_ms() + 60_000, "for": "1d", "by": "bo", "why": "move" });
    let (_, later) = say(&collector, "POST", "/api/v1/silences", &later).await;
    assert_eq!((later["state"].as_str(), &later["covers"]), (Some("waiting"), &json!([])));
    let listed = collector.get("/api/v1/silences").await.1;
    let ids = |listed: &Value| {
        listed["silences"].as_array().unwrap().iter().map(|s| s["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&listed), [silence["id"].clone(), later["id"].clone()]);
    for (of, ended) in [(&silence, Some("bo")), (&later, None)] {
        let body = json!({ "id": of["id"], "by": "bo" });
        let (status, after) = say(&collector, "DELETE", "/api/v1/silences", &body).await;
        assert_eq!((status, after["ended_by"].as_str()), (200, ended));
        assert_eq!(say(&collector, "DELETE", "/api/v1/silences", &body).await.0, 400, "it is over");
    }
    let over = collector.get("/api/v1/silences?state=over").await.1;
    assert_eq!(ids(&over), [silence["id"].clone()], "what is over is shown");
    assert!(collector.get(&one).await.1["silences"].as_array().unwrap().is_empty());

    let document: Value =
        serde_json::from_str(&http(collector.bound.http, "GET", "/openapi.json").await.2).unwrap();
    let told = collector.get("/api/v1/notices").await.1;
    assert_eq!(told["budget"]["allowed"], "3 per day");
    for (path, answer) in
        described.into_iter().chain([("/api/v1/silences", listed), ("/api/v1/notices", told)])
    {
        let schema =
            &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        as_described(&document, &[schema], &answer, path);
    }
    collector.stop().await;
    let who: Vec<Value> =
        kept(dir.path(), Class::Audit).iter().map(|r| serde_json::from_str(&r.doc).unwrap()).collect();
    let mut who: Vec<String> = who
        .iter()
        .map(|a| format!("{} {}", a["by"].as_str().unwrap(), a["what"].as_str().unwrap()))
        .collect();
    who.sort();
    assert_eq!(
        who,
        ["ana said", "ana said", "ana silenced", "ana took back", "bo ended", "bo ended", "bo silenced"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_are_reviewed() {
    let dir = tempfile::tempdir().unwrap();
    let names = json!(["hall/a cpu", "hall/b disk"]);
    let pair = json!({ "names": names, "count": 4, "sure": 0.8, "last_ms": 1000 });
    let put = Record {
        class: Class::Pattern,
        key: "hall/a cpu + hall/b disk".into(),
        site: "hall".into(),
        at_ms: 1000,
        is_open: true,
        doc: pair.to_string(),
    };
    Database::open(&dir.path().join("c.db")).unwrap().keep(&[Change::Put(put)]).unwrap();
    let config = format!("{EMBEDDED}\n[correlation]\nlearn = \"review\"");
    let collector = Collector::start(dir.path(), "collector", &config).await;
    let state = async || {
        let listed = collector.get("/api/v1/pairs").await.1;
        (listed["pairs"][0]["state"].as_str().unwrap().to_owned(), listed)
    };
    let (first, listed) = state().await;
    assert_eq!((first.as_str(), listed["learn"].as_str()), ("proposed", Some("review")));
    let turned = json!({ "names": ["hall/b disk", "hall/a cpu"], "wanted": true, "by": "ana" });
    let (status, pair) = say(&collector, "POST", "/api/v1/pairs", &turned).await;
    assert_eq!((status, pair["state"].as_str(), pair["by"].as_str()), (201, Some("used"), Some("ana")));
    let no = json!({ "names": names, "wanted": false, "by": "bo" });
    assert_eq!(say(&collector, "POST", "/api/v1/pairs", &no).await.1["state"], "refused");
    assert_eq!(state().await.0, "refused");
    let back = json!({ "names": names, "by": "bo" });
    assert_eq!(say(&collector, "DELETE", "/api/v1/pairs", &back).await.1["state"], "proposed");
    assert_eq!(say(&collector, "DELETE", "/api/v1/pairs", &back).await.0, 400);
    let document: Value =
        serde_json::from_str(&http(collector.bound.http, "GET", "/openapi.json").await.2).unwrap();
    let schema = &document["paths"]["/api/v1/pairs"]["get"]["responses"]["200"]["content"]["application/json"]
        ["schema"];
    as_described(&document, &[schema], &listed, "/api/v1/pairs");
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_meant_is_refused_in_a_sentence_and_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, id) = collector(dir.path(), "").await;
    let verdict = format!("/api/v1/incidents/{id}/verdict");
    let (verdict, silences, pairs) = (verdict.as_str(), "/api/v1/silences", "/api/v1/pairs");
    let long = format!("{{\"word\":\"real\",\"by\":\"{}\"}}", "a".repeat(65));
    let large = format!("{{\"word\":\"real\",\"by\":\"ana\",\"note\":\"{}\"}}", "a".repeat(17 << 10));
    let deep = format!("{{\"word\":{}", "[".repeat(10_000));
    let silence =
        |rest: &str| format!("{{\"match\":{{\"site\":[\"hall\"]}},\"by\":\"ana\",\"why\":\"x\",{rest}}}");
    let silenced = [
        silence("\"for\":\"soon\""),
        silence("\"until_ms\":5"),
        silence("\"for\":\"400d\""),
        silence("\"for\":\"1h\",\"until_ms\":5"),
        silence("\"from_ms\":18446744073709551615,\"for\":\"1h\""),
        silence("\"for\":\"1h\",\"colour\":1"),
    ];
    let rows: [(&str, &str, u16, &str); 33] = [
        (verdict, "", 400, "body: EOF"),
        (verdict, "{", 400, "body: EOF while parsing"),
        (verdict, "[1]", 400, "body: "),
        (verdict, "\u{0}", 400, "body: "),
        (verdict, &deep, 400, "body: "),
        (
            verdict,
            "{\"word\":\"grand\",\"by\":\"ana\"}",
            400,
            "unknown variant `grand`, expected one of `real`",
        ),
        (verdict, "{\"word\":\"real\"}", 400, "missing field `by`"),
        (verdict, "{\"word\":\"real\",\"by\":\" \"}", 400, "by: is empty"),
        (verdict, "{\"word\":\"real\",\"by\":\"a\\nb\"}", 400, "by: '\\n' in `ab` is no text"),
        (verdict, &long, 400, "is 65 bytes long; at most 64"),
        (verdict, &large, 413, "body: is longer than 16384 bytes"),
        (
            verdict,
            "{\"word\":\"real\",\"by\":\"ana\",\"until_ms\":5}",
            400,
            "until_ms: 5 is not within a year",
        ),
        (
            verdict,
            "{\"word\":\"real\",\"by\":\"ana\",\"until_ms\":-1}",
            400,
            "until_ms: invalid value: integer `-1`",
        ),
        (verdict, "{\"word\":\"real\",\"by\":\"ana\",\"who\":\"eve\"}", 400, "unknown field `who`"),
        (verdict, "{\"word\":\"real\",\"word\":\"real\",\"by\":\"ana\"}", 400, "duplicate field `word`"),
        ("/api/v1/incidents/none/verdict", "{\"word\":\"real\",\"by\":\"ana\"}", 404, "nothing here"),
        ("/api/v1/incidents/hall*/verdict", "{\"word\":\"real\",\"by\":\"ana\"}", 404, "nothing here"),
        (silences, &silenced[0], 400, "for: `soon` is not a span: 30m, 2h, 1d"),
        (silences, &silenced[1], 400, "until_ms: 5 is not within a year"),
        (silences, &silenced[2], 400, "is not within a year"),
        (silences, &silenced[3], 400, "until_ms, for: say one of them"),
        (silences, &silenced[4], 400, "is not within a year"),
        (silences, &silenced[5], 400, "unknown field `colour`"),
        (silences, "{\"match\":{},\"for\":\"1h\",\"by\":\"ana\",\"why\":\"x\"}", 400, "match: names nothing"),
        (
            silences,
            "{\"match\":{\"priority\":[9]},\"for\":\"1h\",\"by\":\"ana\",\"why\":\"x\"}",
            400,
            "match.priority: 9 is no priority",
        ),
        (
            silences,
            "{\"match\":{\"severity\":\"bad\"},\"for\":\"1h\",\"by\":\"ana\",\"why\":\"x\"}",
            400,
            "unknown variant `bad`",
        ),
        (
            silences,
            "{\"match\":{\"site\":[\"\"]},\"for\":\"1h\",\"by\":\"ana\",\"why\":\"x\"}",
            400,
            "match.site: an empty pattern",
        ),
        (
            silences,
            "{\"match\":{\"sites\":[\"a\"]},\"for\":\"1h\",\"by\":\"ana\",\"why\":\"x\"}",
            400,
            "match.sites: unknown field `sites`",
        ),
        (
            silences,
            "{\"match\":{\"site\":[\"a\"]},\"for\":\"1h\",\"by\":\"ana\",\"why\":\" \"}",
            400,
            "why: is empty",
        ),
        (
            silences,
            "{\"match\":{\"site\":[\"a\"]},\"by\":\"ana\",\"why\":\"x\"}",
            400,
            "until_ms, for: say one of them",
        ),
        (
            pairs,
            "{\"names\":[\"a\",\"b\"],\"wanted\":true,\"by\":\"ana\"}",
            400,
            "names: not that `a` and `b` came together",
        ),
        (pairs, "{\"names\":[\"a\"],\"wanted\":true,\"by\":\"ana\"}", 400, "names: "),
        (
            pairs,
            "{\"names\":[\"a\",\"b\"],\"wanted\":\"yes\",\"by\":\"ana\"}",
            400,
            "wanted: invalid type: string \"yes\"",
        ),
    ];
    for (path, body, wanted, part) in rows {
        let (status, _, answer) = said(collector.bound.http, "POST", path, JSON, body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == wanted && error.contains(part), "{path} {body:.200}: {status} {answer}");
    }
    // A page from elsewhere can send these kinds without asking, so they are not taken.
    for (path, method) in [
        (verdict, "POST"),
        (silences, "POST"),
        (pairs, "POST"),
        (verdict, "DELETE"),
        (silences, "DELETE"),
        (pairs, "DELETE"),
    ] {
        for content in ["text/plain", "application/x-www-form-urlencoded"] {
            let (status, _, answer) = said(collector.bound.http, method, path, content, "{}").await;
            assert!(
                status == 400 && answer.contains("application/json"),
                "{method} {path}: {status} {answer}"
            );
        }
    }
    for path in [
        "/api/v1/silences?state=loud",
        "/api/v1/silences?limit=0",
        "/api/v1/pairs?state=x",
        "/api/v1/pairs?colour=red",
        "/api/v1/verdicts?limit=2000",
        "/api/v1/notices?limit=x",
    ] {
        let (status, answer) = collector.get(path).await;
        assert!(status == 400 && answer["error"].is_string(), "{path}: {status} {answer}");
    }
    collector.stop().await;
    for class in [Class::Verdict, Class::Silence, Class::Review, Class::Audit] {
        assert_eq!(kept(dir.path(), class), [], "{class:?}");
    }
}
