//! The open sets as they lie in a folder: `SET/set.json`, `SET/replay/NAME.csv.gz`, and `SET/labels/NAME.csv.gz` with
//! `row,label` or `SET/labels/windows.json` with the first and last row of every anomaly.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

const HOW_TO_GET: &str = "the sets are not part of the project, as some of their licences forbid it; tests/ACCURACY.md \
                          says under `Data` where each is from and how the folder must look";

/// One recording of a set.
#[derive(Debug, Clone)]
pub struct File {
    /// The set's name.
    pub set: String,
    /// The recording's name.
    pub name: String,
    /// Rows without the header.
    pub rows: usize,
    /// The first row that is scored.
    pub score_from: usize,
    /// Rows from which a reference may learn.
    pub train_rows: usize,
    /// The longest buffer of VUS-PR; none: the period of the first column.
    pub vus_window: Option<usize>,
    /// Whether it is the set's first, on which the checks of replay are made.
    pub is_first: bool,
    folder: PathBuf,
}

/// What was recorded.
#[derive(Debug)]
pub struct Recording {
    /// The file as `replay` reads it.
    pub csv: String,
    /// Names of the series.
    pub names: Vec<String>,
    /// Seconds since the first row; never falling, as the agent takes them.
    pub seconds: Vec<f64>,
    /// A column per series; NaN where there is no reading.
    pub columns: Vec<Vec<f64>>,
}

/// What is known of a recording.
#[derive(Debug, Default, Clone)]
pub struct Truth {
    /// The scored rows.
    pub rows: Vec<usize>,
    /// Whether each of them is anomalous.
    pub label: Vec<bool>,
    /// First and last row of every anomaly.
    pub spans: Vec<(usize, usize)>,
}

/// All recordings of the wanted sets; of every set if none is named.
///
/// # Errors
/// If there is no such folder or set; the message says where to get it.
pub fn find(data: &Path, wanted: &[String]) -> anyhow::Result<Vec<File>> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(data)
        .with_context(|| format!("{}: no folder with the open sets; {HOW_TO_GET}", data.display()))?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.join("set.json").exists())
        .collect();
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
        let set = json(&folder.join("set.json"))?;
        let name = text(&set["name"]);
        if set["kind"] == "detect" && (wanted.is_empty() || wanted.contains(&name)) {
            let files = set["files"].as_array().context("set.json: no files")?;
            found.extend(files.iter().enumerate().map(|(i, file)| {
                let number = |key: &str| file[key].as_u64().map(|n| n as usize);
                let score_from = number("score_from").unwrap_or(0);
                File {
                    set: name.clone(),
                    name: text(&file["name"]),
                    rows: number("rows").unwrap_or(0),
                    score_from,
                    train_rows: number("train_rows").unwrap_or(score_from),
                    vus_window: set["vus_window"].as_u64().map(|n| n as usize),
                    is_first: i == 0,
                    folder: folder.clone(),
                }
            }));
        }
    }
    for set in wanted {
        ensure!(
            found.iter().any(|f| f.set == *set),
            "{}: no detection set `{set}`; {HOW_TO_GET}",
            data.display()
        );
    }
    ensure!(!found.is_empty(), "{}: no detection sets; {HOW_TO_GET}", data.display());
    Ok(found)
}

impl File {
    /// What was recorded.
    ///
    /// # Errors
    /// If the file cannot be read, or is not what `set.json` says.
    pub fn recording(&self) -> anyhow::Result<Recording> {
        let csv = unpacked(&self.folder.join("replay").join(format!("{}.csv.gz", self.name)))?;
        let (head, body) = csv.split_once('\n').context("no header")?;
        let names: Vec<String> = head.trim_end().split(',').skip(1).map(Into::into).collect();
        let (mut seconds, mut columns) = (Vec::new(), vec![Vec::new(); names.len()]);
        let mut first = None;
        for line in body.lines() {
            let mut cells = line.trim_end().split(',');
            let at: f64 = cells.next().unwrap_or_default().parse().context("timestamps are epoch seconds")?;
            let since = at - *first.get_or_insert(at);
            seconds.push(since.max(seconds.last().copied().unwrap_or(0.0)));
            for column in &mut columns {
                column.push(cells.next().unwrap_or_default().parse().unwrap_or(f64::NAN));
            }
        }
        ensure!(seconds.len() == self.rows, "{} rows; set.json says {}", seconds.len(), self.rows);
        Ok(Recording { names, seconds, columns, csv })
    }

    /// What is known of it.
    ///
    /// # Errors
    /// If the labels cannot be read.
    pub fn truth(&self) -> anyhow::Result<Truth> {
        let labels = self.folder.join("labels");
        let windows = labels.join("windows.json");
        if windows.exists() {
            let spans = json(&windows)?[&self.name]["rows"].as_array().cloned().unwrap_or_default();
            let row = |n: &Value| n.as_u64().unwrap_or(0) as usize;
            let spans: Vec<_> = spans.iter().map(|s| (row(&s[0]), row(&s[1]))).collect();
            let rows: Vec<usize> = (self.score_from..self.rows).collect();
            let label = rows.iter().map(|r| spans.iter().any(|(a, b)| a <= r && r <= b)).collect();
            return Ok(Truth { rows, label, spans });
        }
        let text = unpacked(&labels.join(format!("{}.csv.gz", self.name)))?;
        let (mut rows, mut label) = (Vec::new(), Vec::new());
        for line in text.lines().skip(1) {
            let (row, is) = line.trim_end().split_once(',').context("labels are `row,label`")?;
            rows.push(row.parse()?);
            label.push(is != "0");
        }
        let spans = runs(&label).iter().map(|(a, b)| (rows[*a], rows[*b])).collect();
        Ok(Truth { rows, label, spans })
    }
}

/// First and last index of every run of anomalous rows.
#[must_use]
pub fn runs(label: &[bool]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, _) in label.iter().enumerate().filter(|(_, is)| **is) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => runs.push((i, i)),
        }
    }
    runs
}

fn json(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn unpacked(path: &Path) -> anyhow::Result<String> {
    let done = Command::new("gzip")
        .arg("-dc")
        .arg(path)
        .output()
        .context("gzip; install it: apt-get install gzip")?;
    ensure!(done.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&done.stderr).trim());
    Ok(String::from_utf8(done.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_anomalous_rows() {
        let of = |bits: &str| runs(&bits.chars().map(|c| c == '1').collect::<Vec<_>>());
        assert_eq!(of("0110010"), [(1, 2), (5, 5)]);
        assert_eq!(of("11"), [(0, 1)]);
        assert_eq!(of("00"), []);
    }

    #[test]
    fn an_absent_folder_says_where_the_data_is_from() {
        let told = find(Path::new("no-such-folder"), &[]).unwrap_err();
        assert!(format!("{told:#}").contains("tests/ACCURACY.md"), "{told:#}");
        let dir = tempfile::tempdir().unwrap();
        let told = find(dir.path(), &["nab".into()]).unwrap_err();
        assert!(format!("{told:#}").contains("no detection set `nab`"), "{told:#}");
    }
}
