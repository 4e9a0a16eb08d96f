//! The ONNX scorer against onnxruntime: one tiny model per operator, golden vectors inside.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::{Path, PathBuf};

use fieldmouse::scorer::onnx::Model;
use prost::Message as _;
use tract_onnx::pb::{ModelProto, NodeProto, OperatorSetIdProto};

const ROWS: usize = 3;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "onnx")).collect();
    files.sort();
    files
}

fn fixture(name: &str) -> Vec<u8> {
    let found = fixtures().into_iter().find(|path| path.file_stem().is_some_and(|it| it == name));
    std::fs::read(found.unwrap()).unwrap()
}

fn golden(proto: &ModelProto, key: &str) -> Vec<f32> {
    let pair = proto.metadata_props.iter().find(|pair| pair.key == key).unwrap();
    pair.value.split(',').map(|value| value.parse().unwrap()).collect()
}

#[test]
fn every_operator_agrees_with_onnxruntime() {
    let files = fixtures();
    assert!(files.len() >= 60, "{} fixtures", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let proto = ModelProto::decode(bytes.as_slice()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let input = golden(&proto, "golden.input");
        let expected = golden(&proto, "golden.output");
        let mut out = vec![0.0; expected.len()];
        match Model::load(&bytes, ROWS).and_then(|mut model| model.run(&input, &mut out)) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(()) => {
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * b.abs().max(1.0);
                if !out.iter().zip(&expected).all(close) {
                    wrong.push(format!("{name}: {out:?}, expected {expected:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_operator_of_the_contract_has_a_fixture() {
    let mut used: Vec<String> = Vec::new();
    for path in fixtures() {
        used.extend(Model::inspect(&std::fs::read(path).unwrap()).unwrap().ops);
    }
    used.sort_unstable();
    used.dedup();
    let mut proto = ModelProto::decode(fixture("relu").as_slice()).unwrap();
    proto.graph.as_mut().unwrap().node[0].op_type = "Loop".to_owned();
    let sentence = Model::inspect(&proto.encode_to_vec()).unwrap_err().to_string();
    let (_, allowed) = sentence.split_once("allowed: ").unwrap();
    assert_eq!(used.join(", "), allowed);
}

#[test]
fn the_same_bytes_in_give_the_same_bytes_out() {
    let bytes = fixture("mlp");
    let proto = ModelProto::decode(bytes.as_slice()).unwrap();
    let input = golden(&proto, "golden.input");
    let run = || {
        let mut model = Model::load(&bytes, ROWS).unwrap();
        let mut outs = Vec::new();
        for _ in 0..3 {
            let mut out = vec![0.0; ROWS * 2];
            model.run(&input, &mut out).unwrap();
            outs.push(out.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        }
        outs
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert_eq!(first[0], first[2]);
}

#[test]
fn inspect_describes_the_model() {
    let bytes = fixture("mlp");
    let info = Model::inspect(&bytes).unwrap();
    assert_eq!((info.name.as_str(), info.version.as_str(), info.window), ("mlp", "1", 8));
    assert_eq!(info.quantiles, [0.1, 0.9]);
    assert_eq!(info.ops.join(" "), "Add Concat Gemm MatMul ReduceMean Softplus Sub Tanh");
    assert_eq!(info.inputs, [("window".to_owned(), vec!["N".to_owned(), "8".to_owned()])]);
    assert_eq!((info.bytes, info.opset), (bytes.len(), 17));
    assert_ne!(info.sha256, [0; 32]);
}

/// Changes a good model and expects a sentence that holds `text`.
fn refused(change: impl FnOnce(&mut ModelProto), text: &str) {
    let mut proto = ModelProto::decode(fixture("relu").as_slice()).unwrap();
    change(&mut proto);
    let error = Model::load(&proto.encode_to_vec(), ROWS).unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
}

fn set(proto: &mut ModelProto, key: &str, value: &str) {
    proto.metadata_props.iter_mut().find(|pair| pair.key == key).unwrap().value = value.to_owned();
}

#[test]
fn what_breaks_the_contract_is_refused_with_a_sentence() {
    refused(
        |model| {
            let node = &mut model.graph.as_mut().unwrap().node[0];
            node.op_type = "Loop".to_owned();
            node.name = "n7".to_owned();
        },
        "operator `Loop` (node `n7`) is not in the contract; allowed: Abs, Add,",
    );
    refused(
        |model| model.graph.as_mut().unwrap().node[0].domain = "com.microsoft".to_owned(),
        "operator `com.microsoft.Relu`",
    );
    refused(|model| set(model, "fieldmouse.contract", "forecast/2"), "`forecast/2`; allowed: `forecast/1`");
    refused(|model| set(model, "fieldmouse.window", "9"), "input `window`: dims [N, 8]");
    refused(|model| set(model, "fieldmouse.window", "0"), "fieldmouse.window`: `0`");
    refused(|model| set(model, "fieldmouse.quantiles", "0.9, 0.1"), "ascending levels");
    refused(|model| set(model, "fieldmouse.quantiles", "0.5"), "output `quantiles`: dims [N, 2]");
    refused(|model| model.metadata_props.retain(|it| it.key != "fieldmouse.version"), "missing");
    refused(|model| model.opset_import[0].version = 18, "opset 18");
    refused(
        |model| {
            let domain = "ai.onnx.ml".to_owned();
            model.opset_import.push(OperatorSetIdProto { domain, version: 3 });
        },
        "domain `ai.onnx.ml`",
    );
    refused(|model| model.graph.as_mut().unwrap().node[0].input[0] = "x9".to_owned(), "`x9` is not written");
    refused(
        |model| {
            let node = model.graph.as_ref().unwrap().node[0].clone();
            model.graph.as_mut().unwrap().node = vec![node; 513];
        },
        "number of nodes is 513, allowed are at most 512",
    );
    refused(|model| model.graph = None, "no graph");
    refused(|model| model.graph.as_mut().unwrap().initializer[0].raw_data.push(1), "raw_data of 9 bytes");
    refused(|model| model.graph.as_mut().unwrap().node.insert(0, NodeProto::default()), "operator ``");
}

#[test]
fn a_batch_and_buffers_that_do_not_fit_are_refused() {
    let bytes = fixture("relu");
    assert!(Model::load(&bytes, 0).is_err());
    assert!(Model::load(&bytes, 1 << 40).is_err());
    let mut model = Model::load(&bytes, 2).unwrap();
    let error = model.run(&[0.0; 15], &mut [0.0; 4]).unwrap_err().to_string();
    assert_eq!(error, "`windows` holds 15 values, expected 16");
    assert!(model.run(&[0.0; 16], &mut [0.0; 3]).is_err());
}

#[test]
fn cut_and_flipped_files_never_panic() {
    for name in ["mlp", "slice_two", "transpose_round", "layernorm_two", "constant_ints"] {
        let bytes = fixture(name);
        for length in 0..bytes.len() {
            let _cut = Model::inspect(&bytes[..length]);
        }
        for index in 0..bytes.len() {
            for mask in [0x01, 0x08, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[index] ^= mask;
                let _changed = Model::inspect(&changed);
            }
        }
    }
}

#[test]
fn the_shipped_model_gives_its_golden_vectors() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let bytes = std::fs::read(models.join("forecaster.onnx")).unwrap();
    let table = std::fs::read_to_string(models.join("golden.csv")).unwrap();
    let rows: Vec<Vec<f32>> =
        table.lines().map(|row| row.split(',').map(|it| it.parse().unwrap()).collect()).collect();
    let mut model = Model::load(&bytes, rows.len()).unwrap();
    let (window, levels) = (model.info().window, model.info().quantiles.len());
    let input: Vec<f32> = rows.iter().flat_map(|row| &row[..window]).copied().collect();
    let mut out = vec![0.0; rows.len() * levels];
    model.run(&input, &mut out).unwrap();
    for (row, found) in rows.iter().zip(out.chunks(levels)) {
        for (a, b) in found.iter().zip(&row[window..]) {
            assert!((a - b).abs() <= 1e-4 + 1e-4 * b.abs(), "{found:?}, expected {:?}", &row[window..]);
        }
    }
}
