//! How often the cause of a labelled failure is named first, and what hangs on each constant of diagnosis.
//!
//! `bench diagnose CASES TRUTH.json …`: folders with a folder per case, as `fieldmouse-collector diagnose` takes them, each
//! followed by its answers, `{case: {"service": name}}`. Printed are the shares of cases whose cause is the first and
//! among the first three, with the edges and without; then the least and the most that come of changing one constant by
//! 30 % either way.

use std::collections::BTreeMap;
use std::path::Path;

use fieldmouse_collector::diagnose::{Recording, Tuning, measure, rank_with, read};
use serde::Deserialize;

#[derive(Deserialize)]
struct Truth {
    service: String,
}

/// Shares of cases whose cause is first and among the first three.
type Shares = (f64, f64);

/// Prints the figures of each pair of folder and answers.
///
/// # Panics
/// If a folder or a file cannot be read.
pub fn main(args: &[String]) {
    for pair in args.chunks(2) {
        let [cases, truth] = pair else { panic!("{}: its TRUTH.json is missing", pair[0]) };
        let name = Path::new(cases).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let with: Vec<(Recording, String)> = load(Path::new(cases), Path::new(truth));
        let bare = |r: &Recording| Recording { graph: Vec::new(), ..r.clone() };
        let without: Vec<(Recording, String)> = with.iter().map(|(r, s)| (bare(r), s.clone())).collect();
        println!("{name}_cases {} cases", with.len());
        for (graph, cases) in [("without_edges", &without), ("with_edges", &with)] {
            let (first, three) = shares(cases, &Tuning::DEFAULT);
            println!("{name}_{graph}_first {first:.3} share\n{name}_{graph}_first_three {three:.3} share");
            shake(&format!("{name}_{graph}"), cases);
        }
    }
}

fn load(cases: &Path, truth: &Path) -> Vec<(Recording, String)> {
    let truth: BTreeMap<String, Truth> =
        serde_json::from_slice(&std::fs::read(truth).expect("TRUTH.json is read"))
            .expect("{case: {\"service\": name}}");
    let read =
        |(case, truth): (String, Truth)| (read(&cases.join(&case)).expect("a case's folder"), truth.service);
    truth.into_iter().map(read).collect()
}

fn shares(cases: &[(Recording, String)], tuning: &Tuning) -> Shares {
    let place = |(recording, truth): &(Recording, String)| {
        rank_with(&measure(recording, tuning), tuning)
            .iter()
            .position(|c| c.entity == *truth)
            .unwrap_or(usize::MAX)
    };
    let places: Vec<usize> = cases.iter().map(place).collect();
    let share = |k: usize| places.iter().filter(|p| **p < k).count() as f64 / places.len().max(1) as f64;
    (share(1), share(3))
}

fn shake(name: &str, cases: &[(Recording, String)]) {
    let names = Tuning::default().each().map(|(name, _)| name);
    let (mut least, mut most) = ((f64::INFINITY, f64::INFINITY), (0.0_f64, 0.0_f64));
    for (i, constant) in names.iter().enumerate() {
        let with = |factor: f64| {
            let mut tuning = Tuning::default();
            *tuning.each()[i].1 *= factor;
            shares(cases, &tuning)
        };
        let (less, more) = (with(0.7), with(1.3));
        println!("{name}_{constant}_less_30_percent_first {:.3} share", less.0);
        println!("{name}_{constant}_more_30_percent_first {:.3} share", more.0);
        for s in [less, more] {
            least = (least.0.min(s.0), least.1.min(s.1));
            most = (most.0.max(s.0), most.1.max(s.1));
        }
    }
    println!("{name}_shaken_first_least {:.3} share\n{name}_shaken_first_most {:.3} share", least.0, most.0);
    println!(
        "{name}_shaken_first_three_least {:.3} share\n{name}_shaken_first_three_most {:.3} share",
        least.1, most.1
    );
}
