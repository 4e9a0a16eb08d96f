//! Models of the user's own in the pipeline: who reads what, what a joint model sees that nobody else does, and what
//! becomes of a model that fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::{Path, PathBuf};

use fieldmouse::budget::Budget;
use fieldmouse::pipeline::{Output, Pipeline};
use fieldmouse::scorer::joint::Joint;
use fieldmouse::scorer::models::{Engine, Models, Own};
use fieldmouse::scorer::onnx::Model;
use fieldmouse::scorer::{FORECAST, Forecaster, SCORE, SHIPPED};
use fieldmouse_core::series::{Reading, SeriesKey};
use prost::Message as _;
use tract_onnx::pb::ModelProto;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/joint").join(name)).unwrap()
}

fn noise(t: u32, salt: u32) -> f64 {
    let mut x = t.wrapping_mul(747_796_405).wrapping_add(salt.wrapping_mul(2_891_336_453));
    x = (x ^ (x >> 15)).wrapping_mul(2_246_822_519);
    f64::from((x ^ (x >> 13)) >> 8) / f64::from(1u32 << 24) * 2.0 - 1.0
}

/// The pump that the fixtures' model was made for. From `broken` on the flow no longer follows load and speed, although
/// it stays where it always was.
fn pump(t: u32, broken: u32) -> [f64; 4] {
    let (load, speed) = (noise(t, 1), noise(t, 2));
    let (load_there, speed_there) = if t < broken { (load, speed) } else { (noise(t, 3), noise(t, 4)) };
    let jitter = |salt: u32| 0.05 * noise(t, 10 + salt);
    [
        60.0 + 8.0 * load + jitter(0),
        20.0 + 3.0 * speed_there + 2.0 * load_there + jitter(1),
        45.0 + 4.0 * load - 2.0 * speed + jitter(2),
        9.0 + 2.0 * load + speed + jitter(3),
    ]
}

const SENSORS: [&str; 4] = ["1.pressure", "2.flow", "3.temperature", "4.current"];

fn joint(bytes: &[u8], series: &[&str]) -> Own {
    let model = Model::load_as(bytes, Some(SCORE), 1).unwrap();
    let engine = Engine::Joint(Box::new(Joint::new(model, 0)));
    Own::new("pump", PathBuf::new(), SCORE, series.iter().map(ToString::to_string).collect(), engine)
}

/// A pipeline with these models over four sensors.
fn pipeline(own: Vec<Own>) -> Pipeline {
    let mut pipeline = Pipeline::new(Budget::default(), None, 1);
    let device = Engine::forecast(Forecaster::new(SHIPPED).unwrap());
    pipeline.set_models(Models::new(device, own));
    for name in SENSORS {
        pipeline.index(&SeriesKey::custom(name), 0);
    }
    pipeline
}

fn run(pipeline: &mut Pipeline, from: u32, to: u32, readings: impl Fn(u32) -> [f64; 4]) -> Vec<Output> {
    let mut told = Vec::new();
    for t in from..to {
        let row: Vec<Option<Reading>> = readings(t).iter().map(|x| Some(Ok(*x))).collect();
        pipeline.tick(1000 * u64::from(t), &row, &mut told);
    }
    told
}

/// The series that the first episode names, and when it was told.
fn first_episode(told: &[Output]) -> Option<String> {
    told.iter().find_map(|output| match output {
        Output::Episode { body, .. } => Some(body.contributors[0].key.to_string()),
        _ => None,
    })
}

#[test]
fn together_they_show_what_none_shows_alone() {
    let broken = |t| pump(t, 900);
    let mut alone = pipeline(Vec::new());
    assert_eq!(first_episode(&run(&mut alone, 0, 1200, broken)), None, "each stays where it always was");
    for (file, made) in [("pump.onnx", 4), ("pump-each.onnx", 4), ("pump-window.onnx", 1)] {
        let mut together = pipeline(vec![joint(&fixture(file), &["*"])]);
        assert_eq!(first_episode(&run(&mut together, 0, 900, broken)), None, "{file}: calm");
        assert_eq!(together.keys().len(), 4 + made, "{file}");
        let told = run(&mut together, 900, 960, broken);
        let named = first_episode(&told).unwrap_or_else(|| panic!("{file}: nothing told in a minute"));
        assert!(named.starts_with("fieldmouse.model.score{fieldmouse.model.name=pump,"), "{file}: {named}");
        if file == "pump.onnx" {
            let series: Vec<String> = together.keys()[4..].iter().map(ToString::to_string).collect();
            assert!(series[1].ends_with("fieldmouse.model.series=2 2.flow}"), "{series:?}");
        }
        assert_eq!(together.models().own()[0].why_off(), None);
    }
}

#[test]
fn a_joint_model_waits_for_its_series_and_takes_no_others() {
    let mut few = pipeline(vec![joint(&fixture("pump.onnx"), &["1.*", "2.*", "3.*"])]);
    run(&mut few, 0, 20, |t| pump(t, 900));
    assert_eq!((few.keys().len(), few.models().own()[0].reads()), (4, 0), "three of four");
    few.index(&SeriesKey::custom("3.more"), 0);
    run(&mut few, 20, 40, |t| pump(t, 900));
    assert_eq!(few.models().own()[0].reads(), 4, "now there are four");
    few.index(&SeriesKey::custom("2.more"), 0);
    run(&mut few, 40, 60, |t| pump(t, 900));
    let why = few.models().own()[0].why_off().unwrap();
    assert_eq!(why, "5 series match its `series`, it reads 4");
}

#[test]
fn order_is_the_patterns_then_the_names() {
    let mut own = vec![joint(&fixture("pump.onnx"), &["4.*", "*"])];
    own[0].name = "x".into();
    let mut reordered = pipeline(own);
    run(&mut reordered, 0, 20, |t| pump(t, 900));
    let made: Vec<&str> = reordered.keys()[4..].iter().map(|k| k.label.as_str()).collect();
    assert_eq!(made, ["x;1 4.current", "x;2 1.pressure", "x;3 2.flow", "x;4 3.temperature"]);
}

#[test]
fn a_model_whose_scores_are_no_numbers_is_off() {
    let mut proto = ModelProto::decode(fixture("pump.onnx").as_slice()).unwrap();
    // The logarithm of what is left after the mean: no number for whatever is below it.
    proto.graph.as_mut().unwrap().node[1].op_type = "Log".into();
    proto.graph.as_mut().unwrap().node[1].input.truncate(1);
    let mut pipeline = pipeline(vec![joint(&proto.encode_to_vec(), &["*"])]);
    run(&mut pipeline, 0, 4, |t| pump(t, 900));
    assert_eq!(pipeline.models().own()[0].why_off(), None, "four times may be chance");
    let told = run(&mut pipeline, 4, 1200, |t| pump(t, 900));
    assert_eq!(pipeline.models().own()[0].why_off(), Some("gives the score NaN, 5 times running"));
    assert_eq!(first_episode(&told), None);
}

fn forecaster(change: impl FnOnce(&mut ModelProto)) -> Engine {
    let mut proto = ModelProto::decode(SHIPPED).unwrap();
    change(&mut proto);
    Engine::forecast(Forecaster::new(&proto.encode_to_vec()).unwrap())
}

#[test]
fn each_series_is_forecast_by_the_first_model_that_reads_it() {
    let own = |patterns: &[&str]| {
        let series = patterns.iter().map(ToString::to_string).collect();
        Own::new("mine", PathBuf::new(), FORECAST, series, forecaster(|_| ()))
    };
    let mut one = pipeline(Vec::new());
    let mut two = pipeline(vec![own(&["2.*", "4.*"]), own(&["4.*"])]);
    let told = run(&mut one, 0, 700, |t| pump(t, 600));
    assert_eq!(told, run(&mut two, 0, 700, |t| pump(t, 600)), "the same model in three places says the same");
    for (a, b) in one.series().iter().zip(two.series()) {
        assert_eq!((a.now.score.to_bits(), a.now.expected), (b.now.score.to_bits(), b.now.expected));
    }
    let reads: Vec<usize> = two.models().all().map(Own::reads).collect();
    assert_eq!(reads, [2, 0, 2]);
}

#[test]
fn a_forecaster_whose_quantiles_cross_is_off_and_the_robust_scorer_goes_on() {
    let crossing = || {
        forecaster(|proto| {
            for node in &mut proto.graph.as_mut().unwrap().node {
                if node.op_type == "Softplus" {
                    node.op_type = "Neg".into();
                }
            }
        })
    };
    let mut wrong = Pipeline::new(Budget::default(), None, 1);
    wrong.set_models(Models::new(crossing(), Vec::new()));
    let mut robust = Pipeline::new(Budget::default(), None, 1);
    for name in SENSORS {
        wrong.index(&SeriesKey::custom(name), 0);
        robust.index(&SeriesKey::custom(name), 0);
    }
    let fault = |t: u32| if t < 600 { pump(t, 900) } else { pump(t, 900).map(|x| 2.0 * x) };
    let told = run(&mut wrong, 0, 700, fault);
    let why = wrong.models().device_why_off().unwrap();
    assert!(
        why.starts_with("quantiles [") && why.ends_with("are not finite and in order, 5 times running"),
        "{why}"
    );
    assert_eq!((wrong.model(), wrong.model_name().as_str()), ([0; 8], ""));
    assert_eq!(told, run(&mut robust, 0, 700, fault));
    assert!(first_episode(&told).is_some());
}
