//! A made-up set through the scoring of open data, with the real program.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use fieldmouse_tests::accuracy::run::{Options, all};

const ROWS: usize = 900;
const ANOMALY: (usize, usize) = (700, 760);

fn packed(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    assert!(Command::new("gzip").arg(path).status().unwrap().success(), "gzip");
}

#[test]
fn a_jump_is_found_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("jumps");
    let (mut csv, mut labels) = (String::from("timestamp,value\n"), String::from("row,label\n"));
    let mut noise = 1u64;
    for i in 0..ROWS {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let is = (ANOMALY.0..=ANOMALY.1).contains(&i);
        let value = (noise >> 40) as f64 / f64::from(1u32 << 24) + if is { 30.0 } else { 0.0 };
        writeln!(csv, "{},{value:.4}", 1_600_000_000 + i).unwrap();
        if i >= 300 {
            writeln!(labels, "{i},{}", u8::from(is)).unwrap();
        }
    }
    packed(&set.join("replay/jump.csv"), &csv);
    packed(&set.join("labels/jump.csv"), &labels);
    let about =
        r#"{"name": "jumps", "kind": "detect", "files": [{"name": "jump", "rows": 900, "score_from": 300}]}"#;
    std::fs::write(set.join("set.json"), about).unwrap();

    let options = Options { data: dir.path().to_owned(), jobs: 1, ..Options::default() };
    let (done, failed) = all(&options).unwrap();
    assert_eq!(failed, Vec::<String>::new());
    let [done] = &done[..] else { panic!("one recording, not {}", done.len()) };
    assert_eq!(done.truth.spans, [ANOMALY]);
    assert_eq!(done.truth.rows.len(), ROWS - 300);
    let peak =
        |of: &[f64], rows: std::ops::RangeInclusive<usize>| of[rows].iter().copied().fold(0.0, f64::max);
    // The agent, then the plainest reference, whose 0.5 is reached by one row of 200 that it learnt from.
    for (score, normal) in done.scores.iter().zip([0.5, 0.7]) {
        assert_eq!(score.len(), ROWS);
        let (inside, before) = (peak(score, ANOMALY.0..=ANOMALY.1), peak(score, 300..=699));
        assert!(
            inside >= 0.5 && before < normal && before < inside,
            "{inside} in the anomaly, {before} before"
        );
    }
    let calm = done.daily.unwrap();
    assert!((calm.seconds - (899.0 - 61.0)).abs() < 1e-6, "{calm:?}");
    assert!(calm.episodes <= 1, "a day's budget");
    assert_eq!(done.weekly.episodes, 0);
    assert!(done.events >= 2, "opened and closed");
}
