//! The log text: lines of open systems, each with the event it is of.

use std::path::Path;
use std::process::Command;

/// Lines that one system wrote.
#[derive(Debug)]
pub(super) struct System {
    pub(super) name: String,
    /// Text, and the number of its event.
    pub(super) lines: Vec<(String, usize)>,
    /// Lines of each event.
    pub(super) counts: Vec<usize>,
}

/// Reads those of a folder, or some of them.
pub(super) fn read(data: &Path, only: Option<&[String]>) -> Vec<System> {
    let folder = data.join("labels");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("--data: {}: {e}", folder.display()));
    let mut names: Vec<String> = entries
        .filter_map(|e| Some(e.ok()?.file_name().to_str()?.strip_suffix(".csv.gz")?.to_owned()))
        .filter(|name| only.is_none_or(|only| only.contains(name)))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{}: no NAME.csv.gz of these systems", folder.display());
    names.into_iter().map(|name| system(data, name)).collect()
}

fn system(data: &Path, name: String) -> System {
    let text = unpacked(&data.join(format!("logs/{name}.raw.log.gz")));
    let labels = unpacked(&data.join(format!("labels/{name}.csv.gz")));
    let mut events: Vec<&str> = Vec::new();
    let of_lines = labels.lines().skip(1).map(|row| {
        let event = row.split(',').nth(1).unwrap_or("");
        events.iter().position(|e| *e == event).unwrap_or_else(|| {
            events.push(event);
            events.len() - 1
        })
    });
    let of_lines: Vec<usize> = of_lines.collect();
    let lines: Vec<(String, usize)> = text.lines().map(str::to_owned).zip(of_lines).collect();
    let mut counts = vec![0; events.len()];
    lines.iter().for_each(|(_, event)| counts[*event] += 1);
    System { name, lines, counts }
}

fn unpacked(path: &Path) -> String {
    let out = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip: apt-get install gzip");
    assert!(out.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

impl System {
    /// Whether people would call an event an error. Not in the words of the product, which are to be tried.
    pub(super) fn is_error(&self, event: usize) -> bool {
        const WORDS: [&str; 11] = [
            "error",
            "fail",
            "fatal",
            "exception",
            "cannot",
            "unable",
            "denied",
            "refused",
            "severe",
            "corrupt",
            "bad ",
        ];
        let text = self.lines.iter().find(|(_, e)| *e == event).map(|(text, _)| text.to_ascii_lowercase());
        let text = text.unwrap_or_default();
        !text.contains(" info ") && WORDS.iter().any(|w| text.contains(w))
    }

    /// Whether an event tells of a crash or a boot, as people would say.
    pub(super) fn is_crash(&self, event: usize) -> bool {
        let text = self.of(event).next().unwrap_or("").to_ascii_lowercase();
        ["panic!", "linux version", "killed process"].iter().any(|w| text.contains(w))
    }

    /// The lines of an event.
    pub(super) fn of(&self, event: usize) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |(_, e)| *e == event).map(|(text, _)| text.as_str())
    }
}
