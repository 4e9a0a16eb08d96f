//! Whether a job that comes by the clock stops being news: weeks of made-up telemetry with an hourly, a daily or a
//! weekly job through `replay`.
//!
//! `bench seasons [--only NAME] [--tick 60|10] [--seeds N]` tells for each: how many of the first three repeats were told
//! and how many from the fourth on, whether the same load at another time was, and what was told beside. A repeat is told
//! if an episode opens or comes back while it runs, or within ten minutes after.

use serde_json::Value;

use super::telemetry::{DAY, HOUR, MINUTE, Span, WEEK, recording};
use crate::program::fieldmouse;
use crate::results::{Table, say};
use crate::sim::rng::Rng;
use crate::wait::timed;

/// What goes on after a load's end belongs to it so long.
const AFTER: u64 = 10 * MINUTE;

/// A load by the clock, and the same load at times when it never came.
struct Season {
    name: &'static str,
    every: u64,
    /// When it first comes, after a beginning in which the day is seen.
    first: u64,
    lasts: u64,
    spans: u64,
    /// Seconds between rows.
    ticks: &'static [u64],
    /// When the same load comes at another time.
    other: &'static [u64],
}

const SEASONS: [Season; 4] = [
    Season {
        name: "none",
        every: WEEK,
        first: WEEK * 9,
        lasts: 0,
        spans: 4 * WEEK,
        ticks: &[60, 10],
        other: &[],
    },
    Season {
        name: "hourly",
        every: HOUR,
        first: DAY + 5 * MINUTE,
        lasts: 5 * MINUTE,
        spans: WEEK,
        ticks: &[60, 10],
        other: &[
            4 * DAY + 10 * HOUR + 35 * MINUTE,
            5 * DAY + 3 * HOUR + 40 * MINUTE,
            6 * DAY + 16 * HOUR + 30 * MINUTE,
        ],
    },
    Season {
        name: "daily",
        every: DAY,
        first: DAY + 2 * HOUR + 30 * MINUTE,
        lasts: 25 * MINUTE,
        spans: 3 * WEEK,
        ticks: &[60, 10],
        other: &[15 * DAY + 14 * HOUR, 17 * DAY + 20 * HOUR, 19 * DAY + 9 * HOUR],
    },
    Season {
        name: "weekly",
        every: WEEK,
        first: 6 * DAY + 4 * HOUR,
        lasts: HOUR,
        spans: 10 * WEEK,
        ticks: &[60],
        other: &[8 * WEEK + 2 * DAY + 4 * HOUR, 9 * WEEK + DAY + 15 * HOUR],
    },
];

/// What was told, summed over seeds.
#[derive(Debug, Default)]
struct Told {
    early: u64,
    early_of: u64,
    late: u64,
    late_of: u64,
    last: u64,
    other: u64,
    other_of: u64,
    beside: u64,
}

/// Prints the figures.
pub fn main(args: &[String]) {
    let (mut only, mut tick, mut seeds) = (None, None, 1);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().map(String::as_str).unwrap_or_default();
        match arg.as_str() {
            "--only" => only = Some(value.to_owned()),
            "--tick" => tick = Some(value.parse::<u64>().expect("--tick: seconds")),
            "--seeds" => seeds = value.parse().expect("--seeds: a number"),
            other => {
                panic!("`{other}` is not understood; usage: seasons [--only NAME] [--tick S] [--seeds N]")
            }
        }
    }
    for season in SEASONS.iter().filter(|s| only.as_ref().is_none_or(|o| o == s.name)) {
        for of in season.ticks.iter().filter(|t| tick.is_none_or(|only| only == **t)) {
            let mut told = Told::default();
            let ((), took) = timed(|| (1..=seeds).for_each(|seed| replay(season, *of, seed, &mut told)));
            tell(season, *of, seeds, &told, took.as_secs_f64());
        }
    }
}

fn replay(season: &Season, tick: u64, seed: u64, told: &mut Told) {
    let mut rng = Rng::new(seed);
    // A job by the clock begins within half a minute and takes about as long as ever.
    let mut span = |at: u64| {
        let from = at + rng.below(30);
        Span { from, to: from + season.lasts + rng.below(season.lasts / 8 + 1) }
    };
    let repeats: Vec<Span> =
        (season.first..season.spans).step_by(usize::try_from(season.every).unwrap()).map(&mut span).collect();
    let others: Vec<Span> = season.other.iter().map(|at| span(*at)).collect();
    let mut loads = [repeats.clone(), others.clone()].concat();
    loads.sort_by_key(|l| l.from);

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.csv"), recording(seed, tick, season.spans, &loads)).unwrap();
    let ran = fieldmouse(dir.path(), &["replay", "in.csv", "--events", "events.jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let events = std::fs::read_to_string(dir.path().join("events.jsonl")).unwrap();
    let opened: Vec<(u64, Value)> = events.lines().filter_map(opening).collect();

    let is_told = |l: &Span| opened.iter().any(|(t, _)| *t >= l.from && *t < l.to + AFTER);
    for (i, repeat) in (1..).zip(&repeats) {
        let is = u64::from(is_told(repeat));
        if i <= 3 {
            (told.early, told.early_of) = (told.early + is, told.early_of + 1);
        } else {
            (told.late, told.late_of) = (told.late + is, told.late_of + 1);
        }
        if is == 1 {
            told.last = told.last.max(i);
        }
    }
    told.other += others.iter().filter(|l| is_told(l)).count() as u64;
    told.other_of += others.len() as u64;
    for (at, body) in &opened {
        if !loads.iter().any(|l| *at >= l.from && *at < l.to + AFTER) {
            told.beside += 1;
            say(&format!(
                "# day {} {:02}:{:02}: {}",
                at / DAY,
                at % DAY / HOUR,
                at % HOUR / MINUTE,
                body["sentence"]
            ));
        }
    }
}

/// When an event opens an episode, in seconds after the first row, and the episode.
fn opening(line: &str) -> Option<(u64, Value)> {
    let event: Value = serde_json::from_str(line).unwrap();
    let opens = matches!(event["body"]["phase"].as_str(), Some("opened" | "reopened"));
    (event["kind"] == "episode" && opens)
        .then(|| (event["mono_ms"].as_u64().unwrap() / 1000, event["body"].clone()))
}

fn tell(season: &Season, tick: u64, seeds: u64, told: &Told, took: f64) {
    let table = Table("seasons");
    let row = format!("{}, {tick} s", season.name);
    let cell = |column: &str, value: String, unit: &str| table.tell(&row, column, value, unit);
    let of = |n: u64, of: u64| format!("{n}/{of}");
    if told.early_of > 0 {
        cell("told of the first 3 repeats", of(told.early, told.early_of), "repeats");
        cell("told from the 4th on", of(told.late, told.late_of), "repeats");
        cell("last repeat told", told.last.to_string(), "th");
        cell("told at another time", of(told.other, told.other_of), "loads");
    }
    let days = (season.spans * seeds) as f64 / DAY as f64;
    cell("told beside, per day", format!("{:.3}", told.beside as f64 / days), "episodes");
    cell("days", format!("{days:.0}"), "days");
    say(&format!("seasons.took {took:.1} s"));
}
