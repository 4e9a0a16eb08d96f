//! Parsers under input that only looks like some: `fuzz [--target NAME] [--seconds 600] [--seed 1] [--keep]`. With `--keep`
//! what made a parser answer as it never did before goes into `tests/fuzz/corpus`. What one failed on stands in
//! `target/fuzz`.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

use std::process::ExitCode;
use std::time::Duration;

use fieldmouse_tests::fuzz::corpus::Corpus;
use fieldmouse_tests::fuzz::targets::TARGETS;
use fieldmouse_tests::fuzz::{Until, run};
use fieldmouse_tests::hostile::prepare;
use fieldmouse_tests::results::Row;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let number =
        |name: &str, default: u64| option(name).map_or(default, |text| text.parse().expect("a number"));
    let (span, seed, one) =
        (Duration::from_secs(number("--seconds", 600)), number("--seed", 1), option("--target"));
    let targets: Vec<_> =
        TARGETS.iter().filter(|target| one.is_none_or(|name| name == target.name)).collect();
    if targets.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("no such target; there are: {}", names.join(", "));
        return ExitCode::from(2);
    }
    prepare();
    let mut corpus = Corpus::here(args.iter().any(|a| a == "--keep"));
    let mut row = Row::new("P1", "bent input for every parser of what strangers write", Some(seed));
    for target in targets {
        let summary = run(target, &mut corpus, Until::Passed(span), seed);
        summary.failed.iter().for_each(|failed| eprintln!("{failed}"));
        let name = |what: &str| format!("fuzz.{}.{what}", target.name);
        row.count(&name("inputs"), summary.inputs, "inputs");
        row.failures(&name("failed"), summary.failed.len() as u64, "inputs");
        row.figure(&name("answers"), summary.answers, "kinds of answers");
        row.figure(&name("kept"), summary.kept, "inputs");
    }
    if row.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
