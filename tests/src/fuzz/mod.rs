//! Parsers of what strangers write, under input that only looks like some: seeds are bent, cut, joined and bent again, and
//! what made a parser answer as it never did before is kept, in `tests/fuzz/corpus`, and bent on from there.
//!
//! A parser fails if it panics, if it takes longer than the whole of a sample may, or if it breaks what its target says of
//! it. There is no look inside: how an answer differs stands in for which code was run.

pub mod bend;
pub mod corpus;
pub mod targets;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::hostile::dice::Dice;
use crate::wait::timed;

use bend::bend;
use corpus::Corpus;
use targets::Target;

/// No parser may take longer for one input.
const SLOW: Duration = Duration::from_secs(2);
/// Inputs that are long are no better, and slower.
const LONGEST: usize = 16 << 10;

/// What came of one target.
#[derive(Debug, Default)]
pub struct Summary {
    /// Inputs tried.
    pub inputs: u64,
    /// Ways in which it answered.
    pub answers: usize,
    /// Inputs that were kept because of a new one.
    pub kept: usize,
    /// Inputs that it failed on, as they were written down.
    pub failed: Vec<String>,
}

/// Until when.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// For so long.
    Passed(Duration),
    /// So many inputs, beside those that were kept.
    Tried(u64),
}

/// Tries one target: first all that was kept, then what is made of it.
pub fn run(target: &Target, corpus: &mut Corpus, until: Until, seed: u64) -> Summary {
    let mut dice = Dice::new(seed);
    let mut run = (target.start)();
    let (mut summary, mut answers, mut passed) = (Summary::default(), HashSet::new(), Duration::ZERO);
    let mut inputs: Vec<Vec<u8>> = (target.seeds)(&mut dice);
    let seeds = inputs.len();
    inputs.extend(corpus.inputs(target.name));
    let (known, longest) = (inputs.len(), inputs.iter().map(Vec::len).max().unwrap_or(0).max(LONGEST));
    for turn in 0_usize.. {
        let is_over = match until {
            Until::Passed(span) => passed >= span,
            Until::Tried(most) => turn as u64 >= most + known as u64,
        };
        if turn >= known && is_over {
            break;
        }
        let input = match inputs.get(turn).filter(|_| turn < known) {
            Some(input) => input.clone(),
            None => made(&inputs, longest, &mut dice),
        };
        let (answer, took) = timed(|| catch_unwind(AssertUnwindSafe(|| run(&input))));
        passed += took + Duration::from_micros(1);
        summary.inputs += 1;
        let why = match answer {
            Err(_) => "a panic".to_owned(),
            Ok(Err(why)) => why,
            Ok(Ok(_)) if took > SLOW => format!("it took {took:?}"),
            Ok(Ok(answer)) => {
                if !answers.insert(shape(&answer)) {
                    continue;
                }
                if !(seeds..known).contains(&turn) {
                    summary.kept += usize::from(corpus.keep(target.name, &input));
                }
                if turn >= known {
                    inputs.push(input);
                }
                continue;
            }
        };
        summary.failed.push(format!("{}: {why}: {}", target.name, corpus.fail(target.name, &input)));
        // It may have left things as they should never be.
        run = (target.start)();
        if summary.failed.len() >= 10 {
            break;
        }
    }
    summary.answers = answers.len();
    summary
}

/// One that was kept, bent a few times, or joined to another.
fn made(inputs: &[Vec<u8>], longest: usize, dice: &mut Dice) -> Vec<u8> {
    let mut input = if inputs.is_empty() { dice.bytes(64) } else { inputs[dice.below(inputs.len())].clone() };
    if !inputs.is_empty() && dice.percent(10) {
        let other = &inputs[dice.below(inputs.len())];
        input.truncate(dice.below(input.len() + 1));
        input.extend_from_slice(&other[dice.below(other.len() + 1)..]);
    }
    for _ in 0..=dice.below(5) {
        bend(&mut input, dice);
    }
    input.truncate(longest);
    input
}

/// An answer without what is not worth telling apart: numbers by their size alone.
fn shape(answer: &str) -> String {
    let mut shape = String::new();
    let mut digits = 0_u32;
    for c in answer.chars().take(300).chain(['\0']) {
        if c.is_ascii_digit() {
            digits += 1;
            continue;
        }
        if digits > 0 {
            shape.push(char::from(b'0' + digits.min(9) as u8));
        }
        digits = 0;
        shape.push(c);
    }
    shape
}
