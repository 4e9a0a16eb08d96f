//! Hostile models: whatever a file holds, the process in which it is tried ends within its bounds and says why, and what
//! passes there does no harm here.
//!
//! `STRANGERS_EVERY=1` damages every byte instead of every eighth.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::path::Path;

use fieldmouse::scorer::onnx::Model;
use fieldmouse::scorer::trial::{self, Tried};
use prost::Message as _;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto, TypeProto, type_proto};

/// Memory that a trial may take at most: what it may map, and what stands in the pages of the program.
const MOST_KIB: u64 = 64 << 10;

fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)).unwrap()
}

fn try_out(bytes: &[u8]) -> anyhow::Result<Tried> {
    trial::try_out(Path::new(env!("CARGO_BIN_EXE_fieldmouse")), bytes, None)
}

/// What became of many files.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    refused: usize,
    died: Vec<String>,
}

impl Tally {
    fn of(files: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut tally = Self::default();
        for bytes in files {
            match try_out(&bytes) {
                Ok(tried) => {
                    assert!(tried.kib < MOST_KIB, "{tried:?}");
                    runs_here(&bytes);
                    tally.passed += 1;
                }
                Err(error) if format!("{error:#}").contains("its trial") => {
                    tally.died.push(format!("{error:#}"))
                }
                Err(_) => tally.refused += 1,
            }
        }
        tally
    }
}

/// What passed is run in this process on whatever readings may hold.
fn runs_here(bytes: &[u8]) {
    let Ok(info) = Model::inspect(bytes) else { panic!("it passed its trial") };
    let mut model = Model::load(bytes, 1).unwrap();
    let (fed, given) = info.values();
    let mut out = vec![0.0; given];
    for odd in [0.0, 1.0, -8.0, f32::MAX, f32::MIN_POSITIVE, f32::NAN, f32::INFINITY] {
        model.run(&vec![odd; fed], &mut out).unwrap();
    }
}

#[test]
fn damaged_files_end_their_own_process_at_worst() {
    let every = std::env::var("STRANGERS_EVERY").map_or(8, |n| n.parse().unwrap());
    let mut tallies = Vec::new();
    std::thread::scope(|scope| {
        let all: Vec<_> = ["joint/pump.onnx", "joint/pump-window.onnx"]
            .into_iter()
            .map(|name| {
                scope.spawn(move || {
                    let good = fixture(name);
                    let cut = (0..good.len()).step_by(every).map(|len| good[..len].to_vec());
                    let flipped = (0..good.len()).step_by(every).map(|at| {
                        let mut bad = good.clone();
                        bad[at] ^= [0x01, 0x10, 0x80, 0xff][(at / every) % 4];
                        bad
                    });
                    Tally::of(cut.chain(flipped))
                })
            })
            .collect();
        tallies.extend(all.into_iter().map(|one| one.join().unwrap()));
    });
    let tried: usize = tallies.iter().map(|t| t.passed + t.refused + t.died.len()).sum();
    let died: Vec<_> = tallies.iter().flat_map(|t| &t.died).collect();
    println!("strangers_damaged {tried} files");
    println!("strangers_passed {} files", tallies.iter().map(|t| t.passed).sum::<usize>());
    println!("strangers_died {} files: {died:?}", died.len());
    assert!(tried > 200 && tallies.iter().all(|t| t.refused > 50 && t.passed > 0), "{tallies:?}");
}

/// Changes a good model and expects the sentence by which it is refused.
fn check(file: &str, wanted: &str, change: impl FnOnce(&mut ModelProto)) {
    let mut proto = ModelProto::decode(fixture(file).as_slice()).unwrap();
    change(&mut proto);
    let said = format!("{:#}", try_out(&proto.encode_to_vec()).unwrap_err());
    assert!(said.contains(wanted), "wanted `{wanted}`, said: {said}");
}

const PUMP: &str = "joint/pump.onnx";
const WINDOW: &str = "joint/pump-window.onnx";

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn weights(proto: &mut ModelProto) -> &mut Vec<TensorProto> {
    &mut proto.graph.as_mut().unwrap().initializer
}

fn nodes(proto: &mut ModelProto) -> &mut Vec<NodeProto> {
    &mut proto.graph.as_mut().unwrap().node
}

fn dims(proto: &mut ModelProto, of_input: bool) -> &mut tract_onnx::pb::TensorShapeProto {
    let graph = proto.graph.as_mut().unwrap();
    let ends = if of_input { &mut graph.input } else { &mut graph.output };
    let TypeProto { value, .. } = ends[0].r#type.as_mut().unwrap();
    let Some(type_proto::Value::TensorType(tensor)) = value else { panic!("a tensor") };
    tensor.shape.as_mut().unwrap()
}

fn set_dim(proto: &mut ModelProto, of_input: bool, at: usize, length: i64) {
    use tract_onnx::pb::tensor_shape_proto::dimension::Value::DimValue;
    dims(proto, of_input).dim[at].value = Some(DimValue(length));
}

#[test]
fn what_a_stranger_thinks_of_is_refused_by_name() {
    let nan = |proto: &mut ModelProto| {
        for tensor in weights(proto) {
            tensor.raw_data = tensor.raw_data.chunks(4).flat_map(|_| f32::NAN.to_le_bytes()).collect();
        }
    };
    check(PUMP, "none of 8 probes gives a finite `reconstruction`", nan);
    check(PUMP, "is not written by anything before", |m| nodes(m)[0].input[0] = "wide".into());
    check(PUMP, "is not written by anything before", |m| {
        let all = nodes(m);
        let last = all.len() - 1;
        all.swap(0, last);
    });
    check(PUMP, "names that are given once", |m| nodes(m)[1].output[0] = "centred".into());
    check(PUMP, "opset 99 of domain ``", |m| m.opset_import[0].version = 99);
    check(PUMP, "opset 12", |m| m.opset_import[0].version = 12);
    check(PUMP, "no opset", |m| m.opset_import.clear());
    check(PUMP, "operator `Loop`", |m| nodes(m)[0].op_type = "Loop".into());
    check(PUMP, "operator `If`", |m| nodes(m)[0].op_type = "If".into());
    check(PUMP, "number of nodes is 513", |m| *nodes(m) = vec![node("Neg", &["window"], "x"); 513]);
    check(PUMP, "`forecast/1` or `score/1`", |m| m.metadata_props.clear());
    check(PUMP, "allowed: `forecast/1` or `score/1`", |m| m.metadata_props[0].value = "score/2".into());
    // Bombs: few bytes that say they are many.
    check(PUMP, "number of series is 1000000", |m| set_dim(m, true, 1, 1_000_000));
    check(PUMP, "dims [N, -4]", |m| set_dim(m, true, 1, -4));
    check(PUMP, "dims [N, 0]", |m| set_dim(m, true, 1, 0));
    check(WINDOW, "window is 9223372036854775807", |m| set_dim(m, true, 2, i64::MAX));
    check(WINDOW, "number of values is 262144", |m| {
        set_dim(m, true, 1, 64);
        set_dim(m, true, 2, 4096);
    });
    check(PUMP, "size in bytes of the remaining weights", |m| weights(m)[0].dims = vec![1 << 40]);
    check(PUMP, "a volume that can be counted", |m| weights(m)[0].dims = vec![1 << 33, 1 << 33]);
    check(PUMP, "dims of at least 1", |m| weights(m)[0].dims = vec![-4]);
    check(PUMP, "size in bytes of the remaining weights", |m| {
        let tensor = TensorProto {
            data_type: 1,
            dims: vec![1 << 20],
            raw_data: vec![0; 4 << 20],
            ..Default::default()
        };
        // Two of them fill the budget; what comes after finds nothing left.
        let pair = ["b1", "b2"].map(|name| TensorProto { name: name.into(), ..tensor.clone() });
        weights(m).splice(0..0, pair);
    });
    check(PUMP, "length in bytes is 10485761", |m| {
        m.doc_string = "x".repeat(11 << 20);
    });
    check(PUMP, "number of values so far", |m| {
        // Each step doubles what there is.
        let graph = nodes(m);
        graph.clear();
        let mut from = "window".to_owned();
        for i in 0..40 {
            let to = format!("d{i}");
            let mut double = node("Concat", &[&from, &from], &to);
            double.attribute.push(tract_onnx::pb::AttributeProto {
                name: "axis".into(),
                i: 1,
                r#type: 2,
                ..Default::default()
            });
            graph.push(double);
            from = to;
        }
    });
    check(PUMP, "dims [N, 1]; allowed: one output", |m| set_dim(m, false, 1, 1));
    check("joint/pump-each.onnx", "the computed shape is [2, 4]", |m| set_dim(m, false, 1, 1));
    check(PUMP, "input `window`: this name or a missing type", |m| {
        m.graph.as_mut().unwrap().input[0].r#type = None
    });
    check(PUMP, "the graph: outputs []", |m| m.graph.as_mut().unwrap().output.clear());
    check("onnx/mlp.onnx", "this agent needs forecast/1, window 64", |_| {});
}

#[test]
fn a_model_that_takes_too_long_is_stopped() {
    check(PUMP, "its trial took more than 5 s of processor time", |m| {
        let square = TensorProto {
            name: "w".into(),
            data_type: 1,
            dims: vec![1024, 1024],
            raw_data: vec![0; 4 << 20],
            ..Default::default()
        };
        let wide = TensorProto {
            name: "e".into(),
            dims: vec![4, 1024],
            raw_data: vec![0; 4 << 12],
            ..square.clone()
        };
        let back = TensorProto { name: "b".into(), dims: vec![1024, 4], ..wide.clone() };
        weights(m).extend([square, wide, back]);
        let mut chain = vec![node("MatMul", &["window", "e"], "x0")];
        chain.extend((0..500).map(|i| node("MatMul", &[&format!("x{i}"), "w"], &format!("x{}", i + 1))));
        chain.push(node("MatMul", &["x500", "b"], "reconstruction"));
        *nodes(m) = chain;
    });
}

#[test]
fn a_model_that_is_wrong_but_whole_is_refused() {
    let mut proto = ModelProto::decode(
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/forecaster.onnx"))
            .unwrap()
            .as_slice(),
    )
    .unwrap();
    let good = proto.encode_to_vec();
    assert!(try_out(&good).unwrap().us > 0.0);
    let check = |proto: &ModelProto, wanted: &str| {
        let said = format!("{:#}", try_out(&proto.encode_to_vec()).unwrap_err());
        assert!(said.contains(wanted), "wanted `{wanted}`, said: {said}");
    };
    let whole = proto.clone();
    // Every weight is zero: it hears nothing.
    for tensor in weights(&mut proto).iter_mut().filter(|t| t.data_type == 1) {
        tensor.raw_data.fill(0);
    }
    check(&proto, "probe");
    proto = whole.clone();
    for tensor in weights(&mut proto).iter_mut().filter(|t| t.data_type == 1) {
        tensor.raw_data = tensor.raw_data.chunks(4).flat_map(|_| f32::NAN.to_le_bytes()).collect();
    }
    check(&proto, "are not finite and in order");
    // What is subtracted is added: the quantiles cross.
    proto = whole;
    for node in nodes(&mut proto) {
        if node.op_type == "Softplus" {
            node.op_type = "Neg".into();
        }
    }
    check(&proto, "are not finite and in order");
}

#[test]
fn a_process_that_cannot_be_or_does_not_answer_is_no_verdict() {
    let check = |program: &str, wanted: &str| {
        let said = format!("{:#}", trial::try_out(Path::new(program), &[], None).unwrap_err());
        assert!(said.contains(wanted), "wanted `{wanted}`, said: {said}");
    };
    check("/no/such/program", "it cannot be tried: no process for it: No such file");
    check("/bin/true", "its trial died (exit status: 0)");
    check("/bin/false", "its trial died (exit status: 1)");
}
