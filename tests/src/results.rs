//! What a fault test has to say: one line `name value unit` per figure on standard output, and the same as a line of
//! JSON in the file that `FIELDMOUSE_RESULTS` names, from which `figures` makes the table of `tests/FAULTS.md`.

use std::fmt::Display;
use std::io::Write;
use std::process::Command;

use serde_json::{Value, json};

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    id: &'static str,
    what: &'static str,
    seed: Option<u64>,
    failures: u64,
}

impl Row {
    /// A row: its id, what is done, and the seed by which it can be done again.
    #[must_use]
    pub fn new(id: &'static str, what: &'static str, seed: Option<u64>) -> Self {
        if let Some(seed) = seed {
            say(&format!("{id} seed {seed}"));
        }
        Self { id, what, seed, failures: 0 }
    }

    /// How often it was tried.
    pub fn count(&mut self, name: &str, value: u64, unit: &str) {
        self.tell("count", name, value, unit);
    }

    /// How often something happened that must not.
    pub fn failures(&mut self, name: &str, value: u64, unit: &str) {
        self.failures += value;
        self.tell("failures", name, value, unit);
    }

    /// What was seen beside.
    pub fn figure(&mut self, name: &str, value: impl Display, unit: &str) {
        self.tell("figure", name, value, unit);
    }

    /// With 95 % confidence a failure is rarer than this: the rule of three, for `tries` that were drawn at random.
    pub fn bound(&mut self, name: &str, tries: u64) {
        if self.failures == 0 && tries > 0 {
            self.tell("bound", name, format!("{:.1e}", 3.0 / tries as f64), "per try");
        }
    }

    /// All that must not have happened.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures
    }

    fn tell(&self, role: &str, name: &str, value: impl Display, unit: &str) {
        say(&format!("{name} {value} {unit}"));
        keep(|| {
            json!({
                "id": self.id, "what": self.what, "role": role, "name": name, "value": value.to_string(),
                "unit": unit, "seed": self.seed, "commit": commit(),
            })
        });
    }
}

/// A table of `tests/ACCURACY.md`, by its name there, told cell by cell.
#[derive(Debug)]
pub struct Table(pub &'static str);

impl Table {
    /// What stands in a cell. Rows and columns stand in the order in which they were first told.
    pub fn tell(&self, row: &str, column: &str, value: impl Display, unit: &str) {
        let word = |text: &str| text.replace([' ', ','], "_").replace("__", "_");
        say(&format!("{}.{}.{} {value} {unit}", self.0, word(row), word(column)));
        keep(|| {
            json!({
                "table": self.0, "row": row, "column": column, "value": value.to_string(), "commit": commit(),
            })
        });
    }
}

/// Adds a line to the file of results, if one is wanted.
fn keep(line: impl FnOnce() -> Value) {
    let Some(path) = std::env::var_os("FIELDMOUSE_RESULTS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(file, "{}", line()).unwrap();
}

/// Prints a line at once, also into a pipe.
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub fn say(line: &str) {
    println!("{line}");
}

/// What was tested, `-dirty` if it is not what was committed.
fn commit() -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--abbrev=10", "--dirty", "--exclude=*"])
        .current_dir(crate::repository())
        .output();
    git.map_or(String::new(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}
