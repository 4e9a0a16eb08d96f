//! `figures RESULTS`: writes the table of `tests/FAULTS.md` anew from what the tests told (`FIELDMOUSE_RESULTS`). No
//! figure in it is typed by hand.
#![allow(clippy::unwrap_used, reason = "a tool of the tests fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use fieldmouse_tests::repository;
use fieldmouse_tests::results::say;
use serde_json::Value;

const BEGIN: &str = "<!-- figures: written by target/debug/figures -->\n";
const END: &str = "<!-- end of figures -->\n";

fn main() {
    let results = std::env::args().nth(1).expect("usage: figures RESULTS");
    let text = std::fs::read_to_string(&results).unwrap_or_else(|e| panic!("{results}: {e}"));
    let path = repository().join("tests/FAULTS.md");
    let page = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, filled(&page, &table(&text))).unwrap();
    say(&format!("{} is up to date with {}", path.display(), Path::new(&results).display()));
}

/// The page with another table between the markers.
fn filled(page: &str, table: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the page has its first marker");
    let (_, after) = rest.split_once(END).expect("the page has its second marker");
    format!("{before}{BEGIN}\n{table}\n{END}{after}")
}

/// Letters and number of an id, and what was done: so rows are in order.
type Key = (String, u64, String);
/// What was told of a row, in order, by name.
type Told = BTreeMap<(usize, String), Value>;

/// One line per row; what was told last holds.
fn table(results: &str) -> String {
    let mut rows: BTreeMap<Key, Told> = BTreeMap::new();
    for (n, line) in results.lines().enumerate() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("line {}: {e}: {line}", n + 1));
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let (letters, number): (String, String) = word("id").chars().partition(|c| c.is_alphabetic());
        let row = rows.entry((letters, number.parse().unwrap_or(0), word("what"))).or_default();
        let known = row.keys().find(|(_, name)| *name == word("name")).cloned();
        row.insert(known.unwrap_or((n, word("name"))), line);
    }
    let mut out = String::from(
        "| row | what was done | tries | failures | 95 % bound | seen beside | seed | commit |\n|---|---|---|---|---|---|---|---|\n",
    );
    for ((letters, number, what), row) in rows {
        let of = |role: &str| {
            let told = row.values().filter(|l| l["role"] == role);
            told.map(|l| {
                (l["name"].as_str().unwrap(), l["value"].as_str().unwrap(), l["unit"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
        };
        let short = |name: &str| name.rsplit('.').next().unwrap().replace('_', " ");
        let join = |of: Vec<String>, by: &str| of.join(by);
        let tries =
            join(of("count").iter().map(|(_, value, unit)| format!("{value} {unit}")).collect(), ", ");
        let failed: u64 = of("failures").iter().map(|(_, value, _)| value.parse::<u64>().unwrap()).sum();
        let kinds = join(of("failures").iter().map(|(name, ..)| short(name)).collect(), ", ");
        let bound = match of("bound").first() {
            Some((_, value, _)) => (*value).to_owned(),
            None if of("failures").is_empty() => String::new(),
            None => "all were tried".to_owned(),
        };
        let beside = join(
            of("figure").iter().map(|(n, value, unit)| format!("{}: {value} {unit}", short(n))).collect(),
            "; ",
        );
        let id = if number == 0 { letters } else { format!("{letters}{number}") };
        let failed = if kinds.is_empty() { String::new() } else { format!("{failed} ({kinds})") };
        let last = row.values().last().unwrap();
        let (seed, commit) = (&last["seed"], last["commit"].as_str().unwrap());
        let seed = if seed.is_null() { String::new() } else { seed.to_string() };
        out += &format!("| {id} | {what} | {tries} | {failed} | {bound} | {beside} | {seed} | {commit} |\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_was_told() {
        let line = |id: &str, role: &str, name: &str, value: u64| {
            format!(
                r#"{{"id":"{id}","what":"w","role":"{role}","name":"{name}","value":"{value}","unit":"u","seed":7,"commit":"c"}}"#
            )
        };
        let told = [
            line("A11", "count", "b.count", 3),
            line("A2", "count", "a.count", 5),
            line("A2", "failures", "a.lost", 1),
            line("A2", "failures", "a.lost", 2),
            line("A2", "figure", "a.start_max", 4),
        ];
        let table = table(&told.join("\n"));
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| A2 | w | 5 u | 2 (lost) | all were tried | start max: 4 u | 7 | c |",
                "| A11 | w | 3 u |  |  |  | 7 | c |"
            ]
        );
        let page = format!("a\n{BEGIN}old\n{END}b\n");
        assert_eq!(filled(&filled(&page, "x"), "y"), format!("a\n{BEGIN}\ny\n{END}b\n"));
    }
}
