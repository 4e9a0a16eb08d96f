//! Why: what the contributors' shares are, and what would be thought without a part of an episode.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use fieldmouse::budget::Budget;
use fieldmouse::pipeline::{Output, Pipeline};
use fieldmouse::scorer::{Forecaster, SHIPPED};
use fieldmouse_core::metric;
use fieldmouse_core::series::SeriesKey;
use fieldmouse_core::wire::{Episode, omitted, phase};

fn noise(t: u64, salt: u64) -> f64 {
    let mut x = t.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
    x = (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x >> 11) as f64 / (1u64 << 53) as f64 - 0.5
}

/// Runs so many seconds of these series; returns the pipeline as it is at the first event after `from`, and that event.
fn first_told(keys: &[SeriesKey], from: u64, reading: impl Fn(u64, usize) -> f64) -> (Pipeline, Episode) {
    let forecaster = Forecaster::new(SHIPPED).unwrap();
    let mut pipeline = Pipeline::new(Budget::default(), Some(forecaster), 1);
    for key in keys {
        pipeline.index(key, 0);
    }
    let mut told = Vec::new();
    for t in 0..from + 120 {
        let readings: Vec<_> = (0..keys.len()).map(|i| Some(Ok(reading(t, i)))).collect();
        pipeline.tick(1000 * t, &readings, &mut told);
        if let Some(Output::Episode { body, .. }) = told.first() {
            assert!(t >= from, "told in the calm: {body:?}");
            let body = body.clone();
            return (pipeline, body);
        }
    }
    panic!("nothing was told");
}

#[test]
fn without_what_the_culprit_used_the_same_readings_are_ordinary() {
    let keys = [SeriesKey::new(metric::CPU_BUSY, &[]), SeriesKey::new(metric::MEMORY_USED, &[])];
    let reading = |t: u64, i: usize| {
        let busy = if (900..).contains(&t) { 0.85 } else { 0.0 };
        [0.08 + busy + 0.04 * noise(t, 1), 0.3 + 0.002 * noise(t, 2)][i]
    };
    let (mut pipeline, body) = first_told(&keys, 900, reading);
    let first = body.without.unwrap();
    assert_eq!((first.omitted, first.score), (omitted::FIRST, body.score));
    assert!(first.without < 0.3, "{first:?}: nothing else is strange");

    let mut without = |less: f32| {
        let w = pipeline.without_culprit(&body, less).unwrap();
        assert_eq!(w.omitted, omitted::CULPRIT);
        assert!((w.score - body.score).abs() < 0.02, "judged again as it was, {w:?} is {}", body.score);
        w.without
    };
    assert_eq!(without(0.0), without(-0.0));
    assert!((without(0.0) - body.score).abs() < 0.02, "nothing left out");
    assert!(without(0.85) < 0.1, "{}", without(0.85));
    assert!(without(10.0) < 0.1, "never less than was expected: {}", without(10.0));
    assert!(without(0.2) > 0.5, "a smaller part explains nothing: {}", without(0.2));
}

#[test]
fn what_all_say_together_has_shares_and_a_counterfactual() {
    let keys: Vec<_> = (0..12).map(|i| SeriesKey::custom(&format!("s{i}"))).collect();
    // Each by itself stays where it has been before.
    let strange = |t: u64, i: usize| match i {
        _ if t < 2000 => 0.0,
        0 => 2.6,
        1..5 => 1.6,
        _ => 0.0,
    };
    let spikes = |t: u64, i: usize| if t.is_multiple_of(97 + 2 * i as u64) { 4.0 } else { 0.0 };
    let (pipeline, body) = first_told(&keys, 2000, |t, i| {
        let bell: f64 = (0..4).map(|k| noise(4 * t + k, i as u64)).sum();
        10.0 + bell + strange(t, i) + spikes(t, i)
    });
    assert!(pipeline.series()[0].now.by_device, "no series would have been told by itself: {body:?}");
    let named: Vec<_> = body.contributors.iter().map(|c| (c.key.to_string(), c.share)).collect();
    assert_eq!(named.iter().map(|(_, share)| u32::from(*share)).sum::<u32>(), 100, "{named:?}");
    assert!(named.len() == 4 && named.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{named:?}");
    assert!(
        named[0].0 == "s0" && named.iter().all(|(name, _)| ["s0", "s1", "s2", "s3", "s4"].contains(&&**name))
    );
    let without = body.without.unwrap();
    assert_eq!(without.omitted, omitted::FIRST);
    assert!(body.score >= 0.5 && (without.score - body.score).abs() < 0.02, "{without:?} {}", body.score);
    assert!(without.without < 0.95 * without.score && without.without > 0.2, "{without:?}: others moved too");
}

#[test]
fn a_slow_drift_is_told_apart_and_once() {
    let check = |per_day: f64, drifts: &[&str]| {
        let mut pipeline = Pipeline::new(Budget::default(), None, 1);
        let soc = pipeline.index(&SeriesKey::new(metric::TEMPERATURE, &["soc", "package"]), 0);
        let tank = pipeline.index(&SeriesKey::custom("tank.level"), 0);
        let disk = pipeline.index(&SeriesKey::new(metric::FILESYSTEM_USED, &["/"]), 0);
        let (mut told, mut facts, mut episodes) = (Vec::new(), Vec::new(), 0);
        for t in 0..14 * 288 {
            let day = t as f64 / 288.0;
            let hours = (day * std::f64::consts::TAU).sin();
            let mut readings = [None; 3];
            readings[soc] = Some(Ok(45.0 + 3.0 * hours + 2.0 * noise(t, 1) + per_day * day));
            readings[tank] = Some(Ok(7.0 + 0.2 * noise(t, 2) - 0.1 * per_day * day));
            // What has a limit is foretold.
            readings[disk] = Some(Ok(0.2 + 0.03 * per_day * day));
            pipeline.tick(300_000 * t, &readings, &mut told);
            for output in told.drain(..) {
                match output {
                    Output::Drift(fact) => facts.push(fact.text.as_str().to_owned()),
                    Output::Episode { body, .. } => episodes += u32::from(body.phase == phase::OPENED),
                    _ => {}
                }
            }
        }
        println!("drift {per_day} a day: {episodes} episodes, {facts:?}");
        assert_eq!(facts.len(), drifts.len(), "{facts:?}");
        assert!(facts.iter().zip(drifts).all(|(fact, wanted)| fact.starts_with(wanted)), "{facts:?}");
    };
    check(0.0, &[]);
    check(1.5, &["Temperature of soc package has risen slowly for 4 days", "tank.level has fallen slowly"]);
    check(0.2, &["tank.level has fallen slowly for 4 days"]);
}

#[test]
fn a_sensor_is_not_named_for_what_the_processor_does() {
    let mut keys = vec![SeriesKey::new(metric::SENSOR_VALUE, &["hall"])];
    keys.extend((0..3).map(|i| SeriesKey::new(metric::CPU_MODE, &[&format!("m{i}")])));
    let reading = |t: u64, i: usize| match i {
        0 => 40.0 + noise(t, 7),
        _ => 0.02 + 0.01 * noise(t, i as u64) + if t >= 1500 { 0.3 } else { 0.0 },
    };
    let forecaster = Forecaster::new(SHIPPED).unwrap();
    let mut pipeline = Pipeline::new(Budget::default(), Some(forecaster), 1);
    keys.iter().for_each(|key| _ = pipeline.index(key, 0));
    let (mut told, mut strangest) = (Vec::new(), 0.0f32);
    for t in 0..1700 {
        let readings: Vec<_> = (0..keys.len()).map(|i| Some(Ok(reading(t, i)))).collect();
        pipeline.tick(1000 * t, &readings, &mut told);
        strangest = strangest.max(pipeline.score());
    }
    assert!(strangest >= 0.5, "the device was strange: {strangest}");
    let named = told.iter().flat_map(|o| match o {
        Output::Episode { body, .. } => body.contributors.as_slice(),
        _ => &[],
    });
    let named: Vec<u16> = named.map(|c| c.key.code).collect();
    assert!(!named.is_empty() && named.iter().all(|code| *code == metric::CPU_MODE), "{told:?}");
}
