//! Exports that only look like some: of every signal in both encodings, bent, cut, joined, and plain noise. The intake has
//! to answer each, and to stay small.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fieldmouse::otlp::{Intake, JSON, Limits, PROTOBUF, Signal};
use fieldmouse::sources::{Place, Readings};

use super::dice::Dice;
use crate::otlp;
use crate::wait::timed;

const LIMITS: Limits = Limits { operations: 20, series: 40, window_ms: 10_000 };
/// Series of operations, of metrics, and of lines.
const SERIES: usize = 5 * 21 + 40 + 8;
/// Exports that one intake takes.
const EACH: u64 = 200;

/// What was tried.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many exports.
    pub exports: u64,
    /// How many of them were good enough to be taken.
    pub taken: u64,
    /// Seeds of intakes that failed.
    pub failed: Vec<u64>,
}

/// Tries seed after seed for so long.
#[must_use]
pub fn run(first: u64, span: Duration) -> Summary {
    let (mut summary, mut passed) = (Summary::default(), Duration::ZERO);
    for seed in first.. {
        let (taken, took) = timed(|| catch_unwind(AssertUnwindSafe(|| one(seed))).ok().flatten());
        summary.exports += EACH;
        match taken {
            Some(taken) => summary.taken += taken,
            None => summary.failed.push(seed),
        }
        passed += took;
        if passed >= span {
            break;
        }
    }
    summary
}

/// How many were taken; none if it grew, or answered what is no answer.
#[must_use]
pub fn one(seed: u64) -> Option<u64> {
    let mut dice = Dice::new(seed);
    let mut intake = Intake::new(&Place::default(), LIMITS, None);
    let mut out = Readings::default();
    let mut taken = 0;
    for i in 0..EACH {
        let service = format!("service {}", dice.below(8));
        let count = dice.below(4);
        let (signal, kind, mut body) = match dice.below(5) {
            0 => (Signal::Traces, PROTOBUF, otlp::spans(&mut dice, &service, count)),
            1 => (Signal::Traces, JSON, otlp::spans_json(&mut dice, &service, count).into_bytes()),
            2 => (Signal::Metrics, PROTOBUF, otlp::metrics(&mut dice)),
            3 => (Signal::Logs, PROTOBUF, otlp::logs(&mut dice)),
            _ => (dice.pick(&Signal::ALL), dice.pick(&[JSON, PROTOBUF]), dice.bytes(300)),
        };
        for _ in 0..dice.below(4) {
            bend(&mut body, &mut dice);
        }
        match intake.take(signal, kind, &body).status {
            200 => taken += 1,
            400 => {}
            _ => return None,
        }
        out.begin();
        intake.tick(1000 * i, &mut out);
        out.told().for_each(drop);
        if out.len() > SERIES {
            return None;
        }
    }
    Some(taken)
}

fn bend(body: &mut Vec<u8>, dice: &mut Dice) {
    if body.is_empty() {
        return;
    }
    let at = dice.below(body.len());
    match dice.below(8) {
        0 => body[at] ^= 1 << dice.below(8),
        1 => body[at] = dice.byte(),
        2 => body.truncate(at),
        3 => body.insert(at, dice.byte()),
        4 => drop(body.remove(at)),
        5 => body[at] = dice.pick(b"\"{}[]:,\\0\x7f\x80\xff"),
        6 => body.extend_from_within(at..),
        _ => {
            let some = dice.bytes(40);
            body.splice(at..at, some).for_each(drop);
        }
    }
}
