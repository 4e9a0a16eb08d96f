use serde_json::{Value, json};

use super::line;

const FACT: &str = r#"{"node":"press-1","epoch":"18446744073709551615","seq":3,"mono_ms":1,"wall_ms":null,"clock":"unset",
    "severity":9,"kind":"fact","rev":2,"body":{"kind":"note","text":"hi","detail":null}}"#;

/// The line with some keys replaced, or removed where the new value is null.
fn with(changes: Value) -> String {
    let mut line: Value = serde_json::from_str(FACT).unwrap();
    for (pointer, value) in changes.as_object().unwrap() {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = line.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.insert(key.to_owned(), value.clone());
    }
    line.to_string()
}

#[test]
fn a_line_says_where_and_when_if_it_does() {
    let line = line::read(FACT).unwrap();
    assert_eq!((line.site, line.received_ms, line.retained), (None, None, false));
    let line = line::read(&with(json!({"/site": "hall", "/received_ms": 5, "/fault": "of others"}))).unwrap();
    assert_eq!((line.site.as_deref(), line.received_ms), (Some("hall"), Some(5)));
}

#[test]
fn a_line_that_is_none_says_what_is_wrong() {
    let check = |text: &str, parts: &[&str]| {
        let said = line::read(text).unwrap_err();
        assert!(parts.iter().all(|part| said.contains(part)), "{text:.200}: {said}");
    };
    check("", &["EOF"]);
    check("{", &["EOF"]);
    check("null", &["null"]);
    check("[]", &["length 0"]);
    check(&format!("{FACT} {FACT}"), &["trailing"]);
    check(&format!("{{\"body\":{}", "[".repeat(100_000)), &["recursion"]);
    check(&with(json!({"/node": "Press 1"})), &["node", "`Press 1`", "[a-z0-9-]"]);
    check(&with(json!({"/site": "../.."})), &["site", "`../..`"]);
    check(&with(json!({"/node": "x".repeat(1 << 20)})), &["node"]);
    check(&with(json!({"/epoch": "-1"})), &["epoch", "`-1`"]);
    check(&with(json!({"/seq": -1})), &["seq", "-1"]);
    check(&with(json!({"/clock": "sundial"})), &["clock", "`sundial`"]);
    check(&with(json!({"/severity": 256})), &["severity", "256"]);
    check(&with(json!({"/kind": "rumour"})), &["kind", "`rumour`"]);
    check(&with(json!({"/kind": 4711})), &["body.bytes", "missing"]);
    check(&with(json!({"/kind": "episode"})), &["body.", "missing field"]);
    check(&with(json!({"/body": {"bytes": "abc"}})), &["body.bytes", "`abc`"]);
    check(&with(json!({"/body": {"bytes": "ää"}})), &["body.bytes"]);
    check(&with(json!({"/body/text": "x".repeat(201)})), &["body.text"]);
    check(&with(json!({"/body": {"bytes": "00".repeat(70_000)}})), &["body", "larger"]);
}

proptest::proptest! {
    #[test]
    fn nothing_that_stands_in_a_file_stops_the_reader(text in ".*", at in 0..1000_usize, bent in ".?") {
        drop(line::read(&text));
        let mut line = FACT.to_owned();
        let at = line.floor_char_boundary(at % line.len());
        line.replace_range(at..=at, &bent);
        drop(line::read(&line));
    }
}
