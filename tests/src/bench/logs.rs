//! The log template miner: lines a second on one core, and memory, on generated lines of 1,000 statements or on files.
#![expect(clippy::print_stdout, reason = "the figures are what they are for")]

use std::fmt::Write;

use fieldmouse::logs::book::{Book, Record};
use fieldmouse::logs::miner::{Change, Miner};
use fieldmouse::sources::{Place, Readings};
use fieldmouse_core::logs::line::Line;
use fieldmouse_core::logs::mask::Masker;

use crate::sim::rng::Rng;
use crate::wait::timed;

/// Statements of the generated log.
pub const STATEMENTS: usize = 1000;
/// Lines of it.
const LINES: usize = 500_000;

/// Prints the figures: of each file, or of generated lines.
pub fn main(files: &[String]) {
    if files.is_empty() {
        measure("logs", &generated(1, LINES));
    }
    for file in files {
        let text = std::fs::read(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let name = std::path::Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
        // A short file several times: the speed of a long one of its kind.
        let times = ((32 << 20) / text.len().max(1)).max(1);
        measure(&format!("logs.{name}"), &text.repeat(times));
    }
}

fn measure(name: &str, text: &[u8]) {
    let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let (mut masker, mut line) = (Masker::default(), Line::default());
    let ((), took) = timed(|| lines.iter().for_each(|text| masker.mask(text, &mut line)));
    println!("{name}.mask {:.0} lines/s", lines.len() as f64 / took.as_secs_f64());
    let (miner, took) = timed(|| learn(&lines));
    println!("{name}.mine {:.0} lines/s", lines.len() as f64 / took.as_secs_f64());
    println!("{name}.text {:.1} MB/s", text.len() as f64 / 1e6 / took.as_secs_f64());
    let ((book, facts), took) = timed(|| take(&lines));
    println!("{name}.book {:.0} lines/s", lines.len() as f64 / took.as_secs_f64());
    println!("{name}.book.facts {facts} count");
    println!("{name}.book.memory {} By", book.bytes());
    println!("{name}.book.state {} By", book.save().len());
    println!("{name}.templates {} count", miner.templates().count());
    println!("{name}.memory {} By", miner.bytes());
    println!("{name}.state {} By", miner.save().len());
}

/// A miner that has seen these lines.
#[must_use]
pub fn learn(lines: &[&[u8]]) -> Miner {
    let (mut masker, mut miner, mut line) = (Masker::default(), Miner::default(), Line::default());
    for text in lines {
        masker.mask(text, &mut line);
        miner.learn(&line);
        // A caller follows what becomes of templates.
        let changes: Vec<Change> = miner.take_changes();
        drop(changes);
    }
    miner
}

/// A book that has seen these lines, 5,000 in each second, and how many facts it told.
#[must_use]
pub fn take(lines: &[&[u8]]) -> (Book, usize) {
    let (mut book, mut out, mut facts) = (Book::new("log", &Place::default(), None), Readings::default(), 0);
    for (second, lines) in (0..).zip(lines.chunks(5000)) {
        for text in lines {
            book.take(&Record { stream: "bench", severity: None, text, wall_ms: None });
        }
        out.begin();
        book.tick(1000 * second, &mut out);
        facts += out.told().count();
    }
    (book, facts)
}

/// Lines of 1,000 statements, some far more frequent than others, with numbers, addresses, paths and names in them.
#[must_use]
pub fn generated(seed: u64, lines: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let statements: Vec<Vec<u64>> =
        (0..STATEMENTS).map(|_| (0..rng.between(4, 14)).map(|_| rng.below(4000)).collect()).collect();
    let mut text = String::new();
    for _ in 0..lines {
        // Squared, so that the first are frequent; each is seen.
        let at = rng.index(STATEMENTS) * rng.index(STATEMENTS) / STATEMENTS;
        for (place, part) in statements[at].iter().enumerate() {
            let _infallible = match part % 10 {
                0 => write!(text, "{} ", rng.below(100_000)),
                1 => write!(text, "10.{}.{}.7:{} ", rng.below(256), rng.below(256), rng.below(65_536)),
                2 => write!(text, "/var/lib/{}/{:x} ", word(rng.below(50)), rng.draw()),
                3 if place > 1 => write!(text, "user={} ", word(rng.below(40))),
                _ => write!(text, "{} ", word(100 + part)),
            };
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// A word that can be spoken.
fn word(number: u64) -> String {
    let syllable = |n: u64| {
        let letter = |from: &str, n: u64| char::from(from.as_bytes()[n as usize % from.len()]);
        [letter("bdfgklmnprst", n), letter("aeiou", n / 12)]
    };
    [number, number / 60 + 7, number / 3600 + 31].into_iter().flat_map(syllable).collect()
}
