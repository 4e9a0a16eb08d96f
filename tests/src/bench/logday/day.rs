//! A day: when each line is written.

use std::collections::HashMap;

use super::incidents::{self, Change, Incident};
use super::systems::System;
use crate::sim::rng::Rng;

/// Of a day in which nothing happens, and of the one that is tried.
pub(super) const SECONDS: u32 = 2 * DAY;
pub(super) const DAY: u32 = 86_400;
/// Of the 20 incidents, one in each such part of the second day.
const SLOT: u32 = DAY / 20;
/// Messages that come by the clock, a system.
const BEATS: usize = 2;

/// A line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Written {
    pub(super) at: u32,
    pub(super) stream: usize,
    pub(super) text: usize,
}

/// All of its lines, in order, and what was done to it.
#[derive(Debug)]
pub(super) struct Day {
    pub(super) streams: Vec<String>,
    pub(super) texts: Vec<String>,
    pub(super) lines: Vec<Written>,
    pub(super) incidents: Vec<Incident>,
}

/// A message that comes by the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    pub(super) event: usize,
    pub(super) period: u32,
}

/// One system on this day.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) system: &'a System,
    /// Events that it does not write by itself.
    pub(super) held: Vec<usize>,
    pub(super) beats: Vec<Beat>,
    /// Lines a second, on average.
    pub(super) rate: f64,
}

impl Day {
    pub(super) fn new(systems: &[System], rng: &mut Rng) -> Self {
        let sources: Vec<Source<'_>> = systems.iter().map(|s| source(s, rng)).collect();
        let plan = incidents::plan(&sources, DAY, SLOT, rng);
        let mut texts = Texts::default();
        let mut lines = Vec::new();
        for (stream, source) in sources.iter().enumerate() {
            let changes: Vec<Change> =
                plan.changes.iter().filter(|(of, _)| *of == stream).map(|(_, change)| *change).collect();
            write(source, &changes, rng, |at, text| {
                lines.push(Written { at, stream, text: texts.place(text) })
            });
        }
        for (stream, at, text) in &plan.lines {
            lines.push(Written { at: *at, stream: *stream, text: texts.place(text) });
        }
        lines.retain(|l| l.at < SECONDS);
        // Those of one second in the order in which they were made.
        lines.sort_by_key(|l| l.at);
        let streams = systems.iter().map(|s| s.name.clone()).collect();
        Self { streams, texts: texts.all, lines, incidents: plan.incidents }
    }
}

#[derive(Debug, Default)]
struct Texts {
    all: Vec<String>,
    places: HashMap<String, usize>,
}

impl Texts {
    fn place(&mut self, text: &str) -> usize {
        *self.places.entry(text.to_owned()).or_insert_with(|| {
            self.all.push(text.to_owned());
            self.all.len() - 1
        })
    }
}

/// What a system writes by itself on this day: a third of its rarer events are kept for incidents and beats.
fn source<'a>(system: &'a System, rng: &mut Rng) -> Source<'a> {
    let total = system.lines.len();
    let mut rare: Vec<usize> = (0..system.counts.len()).filter(|e| system.counts[*e] * 20 < total).collect();
    let mut held = Vec::new();
    for _ in 0..(rare.len().div_ceil(3)).max(rare.len().min(4)) {
        held.push(rare.swap_remove(rng.index(rare.len())));
    }
    let calm: Vec<usize> = held.iter().copied().filter(|e| !system.is_error(*e)).collect();
    let mut beats: Vec<Beat> = Vec::new();
    for event in calm.into_iter().take(BEATS) {
        beats.push(Beat { event, period: rng.pick(&[15, 30, 60, 120, 240]) });
    }
    // What is an incident by itself is planted, or not there.
    held.extend(
        (0..system.counts.len()).filter(|e| system.is_crash(*e) && !held.contains(e)).collect::<Vec<_>>(),
    );
    let rate = rng.spread(50, 1500) as f64 / 1000.0;
    Source { system, held, beats, rate }
}

/// Writes a day of a system.
fn write<'a>(source: &Source<'a>, changes: &[Change], rng: &mut Rng, mut line: impl FnMut(u32, &'a str)) {
    let lines: Vec<&(String, usize)> =
        source.system.lines.iter().filter(|(_, event)| !source.held.contains(event)).collect();
    let phase = unit(rng) * std::f64::consts::TAU;
    let mut mood = 0.0_f64;
    for second in 0..SECONDS {
        // Slow moods beside the rhythm of the day: a fifth up or down, for about twenty minutes.
        mood += -mood / 1200.0 + 0.2 * (2.0 / 1200.0_f64).sqrt() * normal(rng);
        let rhythm = 1.0 + 0.6 * (f64::from(second) / f64::from(DAY) * std::f64::consts::TAU + phase).sin();
        let mut runs = source.rate / MEAN_RUN * rhythm * mood.exp();
        while unit(rng) < runs {
            runs -= 1.0;
            let (mut at, mut place) = (f64::from(second), rng.index(lines.len()));
            loop {
                let (text, event) = lines[place % lines.len()];
                let share = changes.iter().filter(|c| c.is_of(at as u32, *event)).map(|c| c.share);
                if share.fold(1.0, f64::min) > unit(rng) {
                    line(at as u32, text);
                }
                if unit(rng) < 1.0 / MEAN_RUN {
                    break;
                }
                place += 1;
                at -= 2.0 * unit(rng).max(1e-9).ln();
            }
        }
    }
    for beat in &source.beats {
        // One that is always the same, but for its values in life.
        let text = source.system.of(beat.event).next().unwrap_or("");
        let mut at = rng.below(u64::from(beat.period)) as u32;
        while at < SECONDS {
            let jitter = rng.below(u64::from(beat.period) / 20 + 1) as u32;
            if !changes.iter().any(|c| c.is_of(at, beat.event)) {
                line(at + jitter, text);
            }
            at += beat.period;
        }
    }
}

/// Lines that follow each other as they do in the file, on average.
const MEAN_RUN: f64 = 4.0;

/// Evenly between 0 and 1.
pub(super) fn unit(rng: &mut Rng) -> f64 {
    rng.draw() as f64 / u64::MAX as f64
}

fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| unit(rng)).sum::<f64>() - 6.0
}
