//! `tests/BEHAVIOURS.md` says of each behaviour which test shows it; that it does, and that the test exists and is run.

use std::collections::BTreeMap;
use std::path::Path;

use fieldmouse_tests::repository;

/// The tables, each with its number of rows.
const TABLES: [(&str, usize); 5] = [
    ("IBM Cloud Pak for AIOps", 10),
    ("Splunk ITSI", 10),
    ("Dynatrace", 10),
    ("Prometheus", 10),
    ("Elasticsearch ML and Elastic Agent", 10),
];

/// What is wrong with the page.
fn mistakes(page: &str, root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut table = "";
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            table = name;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(Ok(number)), true) = (cells.first().map(|c| c.parse()), line.starts_with('|')) else {
            continue;
        };
        rows.entry(table).or_default().push(number);
        let &[_, _, shown] = cells.as_slice() else {
            wrong.push(format!("{table} {number}: not a number, what a user gets and what shows it"));
            continue;
        };
        let tests: Vec<&str> = shown.split('`').filter(|name| name.contains("::")).collect();
        let reason = shown.split_once("not yet").map(|(_, why)| why.trim_matches([':', ',', ' ']));
        if tests.is_empty() && reason.is_none() || reason.is_some_and(str::is_empty) {
            wrong.push(format!("{table} {number}: no test, and no `not yet: why`"));
        }
        wrong.extend(
            tests.iter().filter_map(|name| absent(name, root)).map(|why| format!("{table} {number}: {why}")),
        );
    }
    for (name, count) in TABLES {
        let found = rows.remove(name).unwrap_or_default();
        if !found.iter().copied().eq(1..=count) {
            wrong.push(format!("{name}: rows {found:?}, not 1 to {count}"));
        }
    }
    wrong.extend(rows.keys().map(|name| format!("{name}: a table that nobody knows")));
    wrong
}

/// Why `file::function` is no test that is run.
fn absent(name: &str, root: &Path) -> Option<String> {
    let (file, function) = name.split_once("::")?;
    let text = match std::fs::read_to_string(root.join(file)) {
        Ok(text) => text,
        Err(e) => return Some(format!("{file}: {e}")),
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = format!("fn {function}(");
    let is_it = |line: &&str| line.strip_prefix("async ").unwrap_or(line).starts_with(&begins);
    let Some(at) = lines.iter().position(is_it) else { return Some(format!("{file}: no `{begins}…`")) };
    let attributes: Vec<&&str> = lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).collect();
    let any = |what: &str| attributes.iter().any(|line| line.starts_with(what));
    if any("#[ignore") {
        return Some(format!("{name} is not run: `#[ignore]`"));
    }
    (!any("#[test]") && !any("#[tokio::test")).then(|| format!("{name} is no test"))
}

#[test]
fn every_behaviour_has_a_test_or_a_reason() {
    let root = repository();
    let page = std::fs::read_to_string(root.join("tests/BEHAVIOURS.md")).unwrap();
    assert_eq!(mistakes(&page, &root), Vec::<String>::new());
}

#[test]
fn a_page_that_promises_too_much_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let tests = "#[test]\nfn is_one() {\n}\nfn is_none() {\n}\n#[test]\n#[ignore = \"slow\"]\nfn rests() {\n}\n\
                 #[tokio::test(flavor = \"multi_thread\")]\nasync fn waits() {\n}\n";
    std::fs::write(root.path().join("a.rs"), tests).unwrap();
    let page = |shown: &str| -> String {
        let table = |(name, count): (&str, usize)| {
            let rows: String = (1..=count).map(|n| format!("| {n} | works | {shown} |\n")).collect();
            format!("## {name}\n| # | what | by |\n|---|---|---|\n{rows}")
        };
        TABLES.map(table).concat()
    };
    let check = |page: &str, want: Option<&str>| {
        let found = mistakes(page, root.path());
        match want {
            None => assert_eq!(found, Vec::<String>::new()),
            Some(want) => assert!(found.iter().any(|wrong| wrong.contains(want)), "{want}: {found:#?}"),
        }
    };
    check(&page("`a.rs::is_one`, `a.rs::waits`"), None);
    check(&page("not yet: nobody asked"), None);
    check(&page("`a.rs::is_one`; the rest: not yet, nobody asked"), None);
    check(&page("`a.rs::is_none`"), Some("Dynatrace 3: a.rs::is_none is no test"));
    check(&page("`a.rs::is_gone`"), Some("no `fn is_gone(…`"));
    check(&page("`a.rs::rests`"), Some("a.rs::rests is not run"));
    check(&page("`b.rs::is_one`"), Some("b.rs: "));
    check(&page("of course"), Some("no test, and no `not yet: why`"));
    check(&page("not yet"), Some("no test, and no `not yet: why`"));
    let whole = page("`a.rs::is_one`");
    check(&whole.replacen("| 7 | works | `a.rs::is_one` |\n", "", 1), Some("not 1 to 10"));
    check(&whole.replace("## Prometheus", "## Others"), Some("Prometheus: rows [], not 1 to 10"));
}
