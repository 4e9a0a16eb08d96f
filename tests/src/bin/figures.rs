//! `figures RESULTS [PAGE]`: writes the tables of `tests/FAULTS.md`, `tests/ACCURACY.md` and `tests/FLEET.md` anew from what
//! the tests told (`FIELDMOUSE_RESULTS`). No figure in them is typed by hand. Only rows of the first page and tables of the
//! others that were told are written; the rest stays. With PAGE the rows of faults stand there instead.
#![allow(clippy::unwrap_used, reason = "a tool of the tests fails by panicking")]

use std::collections::BTreeMap;

use fieldmouse_tests::repository;
use fieldmouse_tests::results::say;
use serde_json::Value;

const FAULTS: &str = "<!-- figures: written by target/debug/figures -->\n";
/// Pages with tables of their own, each behind a marker with its name.
const TABLES: [&str; 2] = ["tests/ACCURACY.md", "tests/FLEET.md"];
const END: &str = "<!-- end of figures -->\n";

fn main() {
    let results = std::env::args().nth(1).expect("usage: figures RESULTS [PAGE]");
    let page = std::env::args().nth(2).unwrap_or_else(|| "tests/FAULTS.md".to_owned());
    let text = std::fs::read_to_string(&results).unwrap_or_else(|e| panic!("{results}: {e}"));
    let lines = text.lines().enumerate().map(|(n, line)| {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("line {}: {e}: {line}", n + 1))
    });
    let (cells, rows): (Vec<Value>, Vec<Value>) = lines.partition(|line: &Value| line["table"].is_string());
    let write = |page: &str, fill: &dyn Fn(String) -> String| {
        let path = repository().join(page);
        std::fs::write(&path, fill(std::fs::read_to_string(&path).unwrap())).unwrap();
        say(&format!("{page} is up to date with {results}"));
    };
    if !rows.is_empty() {
        write(&page, &|page| filled(&page, FAULTS, &table(&page, &rows)));
    }
    for (name, grid) in tables(&cells) {
        let marker = format!("<!-- figures: {name} -->\n");
        let has_it =
            |page: &&&str| std::fs::read_to_string(repository().join(page)).unwrap().contains(&marker);
        let page = TABLES.iter().find(has_it).unwrap_or_else(|| panic!("none of {TABLES:?} has {marker}"));
        write(page, &|page| filled(&page, &marker, &grid.shown()));
    }
}

/// The page with another table between the markers.
fn filled(page: &str, begin: &str, table: &str) -> String {
    let (before, rest) = page.split_once(begin).unwrap_or_else(|| panic!("the page has no marker {begin}"));
    let (_, after) = rest.split_once(END).expect("the page has its second marker");
    format!("{before}{begin}\n{table}\n{END}{after}")
}

/// Cells by row and column, which stand in the order in which they were first told.
#[derive(Default)]
struct Grid {
    rows: Vec<String>,
    columns: Vec<String>,
    cells: BTreeMap<(String, String), String>,
    commit: String,
}

impl Grid {
    fn shown(&self) -> String {
        let line = |first: &str, rest: Vec<String>| format!("| {first} | {} |\n", rest.join(" | "));
        let mut out = line("", self.columns.clone()) + &line("---", vec!["---".into(); self.columns.len()]);
        for row in &self.rows {
            let cell =
                |column: &String| self.cells.get(&(row.clone(), column.clone())).cloned().unwrap_or_default();
            out += &line(row, self.columns.iter().map(cell).collect());
        }
        out + &format!("\nMeasured on commit {}.\n", self.commit)
    }
}

/// The tables by name; what was told last holds.
fn tables(cells: &[Value]) -> BTreeMap<String, Grid> {
    let mut tables: BTreeMap<String, Grid> = BTreeMap::new();
    for cell in cells {
        let word = |key: &str| cell[key].as_str().unwrap_or_default().to_owned();
        let grid = tables.entry(word("table")).or_default();
        let note = |list: &mut Vec<String>, name: String| {
            if !list.contains(&name) {
                list.push(name);
            }
        };
        note(&mut grid.rows, word("row"));
        note(&mut grid.columns, word("column"));
        grid.cells.insert((word("row"), word("column")), word("value"));
        grid.commit = word("commit");
    }
    tables
}

/// Letters and number of an id, and what was done: so rows are in order.
type Key = (String, u64, String);
/// What was told of a row, in order, by name.
type Told = BTreeMap<(usize, String), Value>;

fn key(id: &str, what: &str) -> Key {
    let (letters, number): (String, String) = id.chars().partition(|c| c.is_alphabetic());
    (letters, number.parse().unwrap_or(0), what.to_owned())
}

/// The rows of a page, as they stand there.
fn standing(page: &str) -> BTreeMap<Key, String> {
    let (_, behind) = page.split_once(FAULTS).unwrap_or_default();
    let (table, _) = behind.split_once(END).unwrap_or_default();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((key(cells.next()?, cells.next()?), format!("{line}\n")))
    };
    table.lines().filter_map(row).filter(|((letters, ..), _)| letters != "row").collect()
}

/// One line per row; what was told last holds, and a row of the page that nothing was told of stays.
fn table(page: &str, results: &[Value]) -> String {
    let mut lines = standing(page);
    let mut rows: BTreeMap<Key, Told> = BTreeMap::new();
    for (n, line) in results.iter().enumerate() {
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let row = rows.entry(key(&word("id"), &word("what"))).or_default();
        let known = row.keys().find(|(_, name)| *name == word("name")).cloned();
        row.insert(known.unwrap_or((n, word("name"))), line.clone());
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
        let id = if number == 0 { letters.clone() } else { format!("{letters}{number}") };
        let failed = if kinds.is_empty() { String::new() } else { format!("{failed} ({kinds})") };
        let last = row.values().last().unwrap();
        let (seed, commit) = (&last["seed"], last["commit"].as_str().unwrap());
        let seed = if seed.is_null() { String::new() } else { seed.to_string() };
        let line =
            format!("| {id} | {what} | {tries} | {failed} | {bound} | {beside} | {seed} | {commit} |\n");
        lines.insert((letters, number, what), line);
    }
    lines.into_values().for_each(|line| out += &line);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_is_what_was_told() {
        let line = |id: &str, role: &str, name: &str, value: u64| {
            json!({
                "id": id, "what": "w", "role": role, "name": name, "value": value.to_string(), "unit": "u", "seed": 7,
                "commit": "c",
            })
        };
        let told = [
            line("A11", "count", "b.count", 3),
            line("A2", "count", "a.count", 5),
            line("A2", "failures", "a.lost", 1),
            line("A2", "failures", "a.lost", 2),
            line("A2", "figure", "a.start_max", 4),
        ];
        let page = format!(
            "{FAULTS}\n| row | what was done |\n|---|---|\n| A3 | v | 1 u |\n| A11 | w | 9 u |\n\n{END}"
        );
        let table = table(&page, &told);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| A2 | w | 5 u | 2 (lost) | all were tried | start max: 4 u | 7 | c |",
                "| A3 | v | 1 u |",
                "| A11 | w | 3 u |  |  |  | 7 | c |"
            ]
        );
        let page = format!("a\n{FAULTS}old\n{END}b\n");
        assert_eq!(filled(&filled(&page, FAULTS, "x"), FAULTS, "y"), format!("a\n{FAULTS}\ny\n{END}b\n"));
    }

    #[test]
    fn cells_stand_where_they_were_first_told() {
        let cell = |row: &str, column: &str, value: &str| json!({"table": "t", "row": row, "column": column, "value": value, "commit": "c"});
        let told = [cell("b", "x", "1"), cell("a", "y", "2"), cell("b", "x", "3")];
        assert_eq!(
            tables(&told)["t"].shown(),
            "|  | x | y |\n| --- | --- | --- |\n| b | 3 |  |\n| a |  | 2 |\n\nMeasured on commit c.\n"
        );
    }
}
