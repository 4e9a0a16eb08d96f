//! The tables of `tests/ACCURACY.md`, from what came of the recordings.

use super::delay::{Found, View, limit};
use super::episodes::Calm;
use super::nab::{self, PROFILES};
use super::points::{Counts, auc_pr, best_f1};
use super::ranges::vus_pr;
use super::references::REFERENCES;
use super::run::Done;
use super::sets::runs;
use crate::results::{Table, say};

/// The score from which on the agent holds a row to be anomalous.
const THRESHOLD: f64 = 0.5;
const DAY: f64 = 86_400.0;

/// The agent and the references, as their scores are in order.
fn detectors() -> Vec<&'static str> {
    std::iter::once("fieldmouse").chain(REFERENCES.iter().map(|r| r.name)).collect()
}

/// The scored rows of a recording.
struct Scored<'a> {
    done: &'a Done,
    /// By detector.
    scores: Vec<Vec<f64>>,
    seconds: Vec<f64>,
    spans: Vec<(usize, usize)>,
}

impl<'a> Scored<'a> {
    fn new(done: &'a Done) -> Self {
        let pick = |of: &[f64]| done.truth.rows.iter().map(|r| of[*r]).collect::<Vec<_>>();
        Self {
            done,
            scores: done.scores.iter().map(|s| pick(s)).collect(),
            seconds: pick(&done.seconds),
            spans: runs(&done.truth.label),
        }
    }

    fn view(&self, detector: usize) -> View<'_> {
        View {
            score: &self.scores[detector],
            label: &self.done.truth.label,
            seconds: &self.seconds,
            spans: &self.spans,
        }
    }
}

/// Means over the recordings that have anomalies; counts over all.
#[derive(Debug, Default)]
struct Figures {
    with_anomalies: f64,
    vus_pr: f64,
    auc_pr: f64,
    best_f1: f64,
    f1: f64,
    counts: Counts,
}

impl Figures {
    fn of(files: &[Scored<'_>], detector: usize, each: bool) -> Self {
        let mut all = Self::default();
        for file in files {
            let View { score, label, .. } = file.view(detector);
            let counts = Counts::at(THRESHOLD, score, label);
            all.counts = all.counts.and(counts);
            if file.spans.is_empty() {
                continue;
            }
            let (vus, auc, (best, _)) =
                (vus_pr(score, label, file.done.window), auc_pr(score, label), best_f1(score, label));
            if each {
                let name = &file.done.file.name;
                say(&format!("# {name} {vus:.4} {auc:.4} {best:.4} {:.4} {}", counts.f1(), file.done.window));
            }
            all.with_anomalies += 1.0;
            all.vus_pr += vus;
            all.auc_pr += auc;
            all.best_f1 += best;
            all.f1 += counts.f1();
        }
        let n = all.with_anomalies.max(1.0);
        Self {
            vus_pr: all.vus_pr / n,
            auc_pr: all.auc_pr / n,
            best_f1: all.best_f1 / n,
            f1: all.f1 / n,
            ..all
        }
    }

    fn tell(&self, table: &Table, row: &str) {
        let cell = |column: &str, value: f64| table.tell(row, column, format!("{value:.3}"), "ratio");
        cell("VUS-PR", self.vus_pr);
        cell("AUC-PR", self.auc_pr);
        cell("best F1", self.best_f1);
        cell("F1 at 0.5", self.f1);
        let false_alarms = 1000.0 * self.counts.false_alarm_rate();
        table.tell(row, "false alarms per 1,000", format!("{false_alarms:.2}"), "rows");
    }
}

/// Tells all tables; those of second runs only if there were any.
pub fn tell(done: &[Done], each: bool) {
    let scored: Vec<Scored<'_>> = done.iter().map(Scored::new).collect();
    let sets: Vec<&[Scored<'_>]> = scored.chunk_by(|a, b| a.done.file.set == b.done.file.set).collect();
    let name = |set: &[Scored<'_>]| set[0].done.file.set.clone();
    for set in &sets {
        overview(set, &name(set), each);
        match name(set).as_str() {
            "nab" => numenta(set),
            "skab" => pooled(set),
            _ => {}
        }
    }
    for set in &sets {
        for (i, detector) in detectors().iter().enumerate() {
            Figures::of(set, i, false).tell(&Table("references"), &format!("{}, {detector}", name(set)));
        }
    }
    delays(&sets);
    budgets(&sets);
}

fn overview(set: &[Scored<'_>], name: &str, each: bool) {
    let table = Table("sets");
    let sum = |of: &dyn Fn(&Done) -> f64| set.iter().map(|f| of(f.done)).sum::<f64>();
    table.tell(name, "recordings", set.len(), "recordings");
    let rows = sum(&|d| d.file.rows as f64);
    table.tell(name, "rows", rows, "rows");
    Figures::of(set, 0, each).tell(&table, name);
    table.tell(name, "events", sum(&|d| d.events as f64), "events");
    let took = sum(&|d| d.took);
    if took > 0.0 {
        table.tell(name, "rows a second", format!("{:.0}", rows / took), "rows/s");
    }
}

/// NAB's own score: with the best threshold for these files, as the leaderboard has it, and with ours.
fn numenta(set: &[Scored<'_>]) {
    for (i, detector) in detectors().iter().enumerate() {
        let files: Vec<nab::File> = set
            .iter()
            .map(|f| nab::File {
                score: f.done.scores[i].clone(),
                spans: f.done.truth.spans.clone(),
                from: f.done.file.score_from,
            })
            .collect();
        for (how, threshold) in [("best threshold", None), ("threshold 0.5", Some(THRESHOLD))] {
            for profile in PROFILES {
                let (score, at) = nab::score(&files, profile, threshold);
                let row = format!("{detector}, {how}");
                Table("nab").tell(&row, profile.name, format!("{score:.2}"), "points");
                if threshold.is_none() && profile.name == "standard" {
                    Table("nab").tell(&row, "at", format!("{at:.4}"), "score");
                }
            }
        }
    }
}

/// SKAB's own figures: all scored rows of recordings with anomalies together.
fn pooled(set: &[Scored<'_>]) {
    for (i, detector) in detectors().iter().enumerate() {
        let files: Vec<View<'_>> = set.iter().filter(|f| !f.spans.is_empty()).map(|f| f.view(i)).collect();
        let score: Vec<f64> = files.iter().flat_map(|f| f.score).copied().collect();
        let label: Vec<bool> = files.iter().flat_map(|f| f.label).copied().collect();
        if score.is_empty() {
            return;
        }
        let best = best_f1(&score, &label).1;
        for (how, threshold) in [("best threshold", best), ("threshold 0.5", THRESHOLD)] {
            let counts = Counts::at(threshold, &score, &label);
            let row = format!("{detector}, {how}");
            let table = Table("skab");
            table.tell(&row, "F1", format!("{:.3}", counts.f1()), "ratio");
            table.tell(&row, "false-alarm rate", format!("{:.2} %", 100.0 * counts.false_alarm_rate()), "");
            table.tell(&row, "missed-alarm rate", format!("{:.2} %", 100.0 * counts.missed_alarm_rate()), "");
            table.tell(&row, "at", format!("{threshold:.4}"), "score");
        }
    }
}

/// Normal rows of 1,000 that all may tell where the agent's threshold is moved as well.
const EQUAL: u64 = 5;

/// From onset to alarm, the references at the agent's rate of false alarms in each set; then all at the same low rate.
fn delays(sets: &[&[Scored<'_>]]) {
    let table = Table("delay");
    let mut all = [vec![Found::default(); detectors().len()], vec![Found::default(); detectors().len()]];
    for set in sets {
        let name = &set[0].done.file.set;
        let counts = set.iter().map(|f| Counts::at(THRESHOLD, f.view(0).score, f.view(0).label));
        let counts = counts.fold(Counts::default(), Counts::and);
        let normal = counts.fp + counts.tn;
        let rows = [(name.clone(), counts.fp), (format!("{name}, {EQUAL} per 1,000"), normal * EQUAL / 1000)];
        for (at, (row, allowed)) in rows.iter().enumerate() {
            table.tell(row, "false alarms", format!("{allowed} in {normal} rows"), "");
            for (i, detector) in detectors().iter().enumerate() {
                let views: Vec<View<'_>> = set.iter().map(|f| f.view(i)).collect();
                let found = if at == 0 && i == 0 {
                    Found::of(&views, |s| s >= THRESHOLD)
                } else {
                    let limit = limit(&views, *allowed);
                    Found::of(&views, |s| s > limit)
                };
                let after = found.median().map_or_else(
                    || "never".into(),
                    |(seconds, rows)| format!("after {} ({rows} rows)", human(seconds)),
                );
                table.tell(row, detector, format!("{}/{}, {after}", found.after.len(), found.of), "");
                all[at][i] = std::mem::take(&mut all[at][i]).and(&found);
            }
        }
    }
    for (row, all) in ["all".to_owned(), format!("all, {EQUAL} per 1,000")].iter().zip(&all) {
        for (detector, found) in detectors().iter().zip(all) {
            // Sets differ in their rhythm, so only rows compare.
            let rows =
                found.median().map_or_else(|| "never".into(), |(_, rows)| format!("after {rows} rows"));
            table.tell(row, detector, format!("{}/{}, {rows}", found.after.len(), found.of), "");
        }
    }
}

/// False episodes against the knob.
fn budgets(sets: &[&[Scored<'_>]]) {
    let table = Table("budget");
    let cells = |row: &str, knob: &str, per: f64, calm: Calm| {
        table.tell(row, "calm days", format!("{:.1}", calm.seconds / DAY), "days");
        table.tell(row, &format!("opened at {knob}"), calm.episodes, "episodes");
        table.tell(row, &format!("came back at {knob}"), calm.returns, "times");
        let allowed = calm.allowed(per);
        table.tell(row, &format!("allowed at {knob}"), format!("{allowed:.1}"), "episodes");
        table.tell(
            row,
            &format!("ratio at {knob}"),
            format!("{:.2}", calm.episodes as f64 / allowed),
            "times",
        );
    };
    let sum = |set: &[Scored<'_>], of: &dyn Fn(&Done) -> Calm| {
        set.iter().map(|f| of(f.done)).fold(Calm::default(), Calm::and)
    };
    let (mut week, mut day) = (Calm::default(), Calm::default());
    let is_daily = sets.iter().copied().flatten().all(|f| f.done.daily.is_some());
    for set in sets {
        let row = &set[0].done.file.set;
        let (weekly, daily) = (sum(set, &|d| d.weekly), sum(set, &|d| d.daily.unwrap_or_default()));
        cells(row, "1 per week", 7.0 * DAY, weekly);
        if is_daily {
            cells(row, "1 per day", DAY, daily);
        }
        (week, day) = (week.and(weekly), day.and(daily));
    }
    cells("all", "1 per week", 7.0 * DAY, week);
    if is_daily {
        cells("all", "1 per day", DAY, day);
    }
}

/// A span in the largest unit that leaves two digits.
fn human(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    }
}
