# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The ONNX graph, written node by node, and the golden rows."""
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from data import CLIP_IN
from generator import WINDOW
from model import LEVELS, folded

NAME, VERSION, CONTRACT = "fieldmouse-forecaster", "1.0.0", "forecast/1"
LEVEL_TEXT = ",".join(f"{q:g}" for q in LEVELS)


def build(params):
    """Only Gemm, MatMul, same-shape Add/Sub/Mul/Div, Relu, Log and Softplus:
    no node broadcasts except Gemm its bias row, so a small runtime needs no
    shape logic beyond the batch."""
    const = folded(params)
    nodes = []

    def op(kind, inputs, output):
        nodes.append(helper.make_node(kind, inputs, [output], name=output))

    def magnitude(x, out):
        # |x| = relu(x) + (relu(x) - x); exact in floating point
        op("Relu", [x], out + "_pos")
        op("Sub", [out + "_pos", x], out + "_neg")
        op("Add", [out + "_pos", out + "_neg"], out)

    op("MatMul", ["window", "diff"], "d")
    magnitude("d", "d_abs")
    magnitude("window", "x_abs")
    op("MatMul", ["d_abs", "pool_d"], "rough_d")
    op("Gemm", ["x_abs", "pool_x", "pool_b"], "rough_x")
    op("Add", ["rough_d", "rough_x"], "rough")  # > 0 by its bias
    op("Log", ["rough"], "rough_log")
    op("MatMul", ["window", "w1"], "z")
    op("MatMul", ["rough", "q1"], "z_unit")
    op("Div", ["z", "z_unit"], "z_rel")
    op("Gemm", ["rough_log", "v1", "b1"], "z_log")
    op("Add", ["z_rel", "z_log"], "h1_in")
    op("Relu", ["h1_in"], "h1")
    op("Gemm", ["h1", "w2", "b2"], "h2_in")
    op("Relu", ["h2_in"], "h2")
    op("Gemm", ["h2", "wm", "bm"], "shift_rel")
    op("MatMul", ["rough", "qm"], "shift_unit")
    op("Mul", ["shift_rel", "shift_unit"], "shift")
    op("MatMul", ["window", "skip"], "level")
    op("Add", ["level", "shift"], "median")
    op("MatMul", ["median", "ones"], "median_7")
    op("Gemm", ["h2", "ws", "bs"], "step_in")
    op("Softplus", ["step_in"], "step_rel")
    op("MatMul", ["rough", "qs"], "step_unit")
    op("Mul", ["step_rel", "step_unit"], "step")
    op("MatMul", ["step", "steps"], "offset_7")
    op("Add", ["median_7", "offset_7"], "quantiles")

    used = {i for n in nodes for i in n.input}
    assert used >= set(const), set(const) - used
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", WINDOW])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["N", len(LEVELS)])],
        [numpy_helper.from_array(v, k) for k, v in const.items()],
    )
    model = helper.make_model(
        graph, producer_name="fieldmouse", opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    helper.set_model_props(
        model,
        {
            "fieldmouse.contract": CONTRACT,
            "fieldmouse.window": str(WINDOW),
            "fieldmouse.quantiles": LEVEL_TEXT,
            "fieldmouse.name": NAME,
            "fieldmouse.version": VERSION,
            "fieldmouse.license": "Apache-2.0 OR MIT",
        },
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def session(data):
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads = o.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, o, providers=["CPUExecutionProvider"])


def run(sess, x):
    return sess.run(["quantiles"], {"window": np.ascontiguousarray(x, np.float32)})[0]


def facts(data):
    """What the file holds, counted from the file itself."""
    g = onnx.load_from_string(data).graph
    sizes = {t.name: int(np.prod(t.dims)) for t in g.initializer}
    fixed = sum(sizes[k] for k in ("diff", "steps", "ones"))
    dense = [n for n in g.node if n.op_type in ("Gemm", "MatMul")]
    return {
        "bytes": len(data),
        "nodes": len(g.node),
        "constants": sum(sizes.values()),
        "fitted_parameters": sum(sizes.values()) - fixed,
        "multiply_adds_per_window": sum(sizes[n.input[1]] for n in dense),
        "ops": sorted({n.op_type for n in g.node}),
    }


def probes(seed=11, n=20000):
    """Windows no training row looks like, for checks of order and range."""
    r = np.random.Generator(np.random.PCG64(seed))
    sign = r.choice([-1.0, 1.0], (n, WINDOW))
    x = [
        r.uniform(-8, 8, (n, WINDOW)),
        8 * sign,
        sign * (r.random((n, WINDOW)) < 0.05) * 8,
        r.standard_normal((n, WINDOW)) * 10.0 ** r.uniform(-7, 1, (n, 1)),
        np.cumsum(r.standard_normal((n, WINDOW)), 1),
        np.repeat(r.uniform(-8, 8, (n, 1)), WINDOW, 1),
    ]
    return np.clip(np.concatenate(x), -8, 8).astype(np.float32)


def golden_windows():
    r = np.random.Generator(np.random.PCG64(64))
    t = np.arange(WINDOW, dtype=float)
    rows = []

    def add(v, scale=None):
        """As the caller does it: centre, divide by the sd or a larger scale."""
        v = np.asarray(v, float)
        s = max(v.std(), scale or 0.0, 1e-9)
        rows.append(np.clip((v - v.mean()) / s, -CLIP_IN, CLIP_IN))

    rows.append(np.zeros(WINDOW))
    for one in (1e-6, 1e-3, 0.1, 1.0, 8.0, -8.0):  # constants a caller would not send
        rows.append(np.full(WINDOW, one))
    for at in (1, 16, 32, 48, 60, 63):  # steps up and down
        add(t >= at), add(-(t >= at).astype(float), 2.0)
    for at in (0, 20, 50, 62, 63):  # single spikes; the sd makes them almost 8
        add(t == at)
    add(t == 63, 1.0), add(-(t == 40).astype(float), 5.0)
    add(np.where(t < 40, 0, 0.8 ** (t - 40)))  # spike with recovery
    for p in (2, 4, 7.5, 12, 24, 64, 200):  # seasons
        add(np.sin(2 * np.pi * t / p + 0.3))
    add(np.sin(2 * np.pi * t / 12) + 0.5 * np.sin(4 * np.pi * t / 12 + 1), 3.0)
    add(t % 8 < 2), add(t % 20 < 12), add((t * 0.13) % 1.0), add(-((t * 0.07) % 1.0))
    add(t), add(-t, 40.0), add(t * t), add(np.abs(t - 40)), add(np.minimum(t, 45))
    for k in (1, 0.3, 0.03, 0.001):  # noise, from full to tiny amplitude
        e = r.standard_normal(WINDOW)
        add(e, e.std() / k)
    for k in (0.3, 0.9, 0.99):
        x = [0.0]
        for e in r.standard_normal(WINDOW - 1):
            x.append(k * x[-1] + e)
        add(x), add(np.round(x))
    add(np.cumsum(r.standard_normal(WINDOW)))
    add(np.cumsum(np.cumsum(r.standard_normal(WINDOW))))
    add(r.poisson(0.1, WINDOW)), add(r.poisson(4.0, WINDOW)), add(np.exp(1.2 * r.standard_normal(WINDOW)))
    add(r.standard_t(2.2, WINDOW)), add(np.repeat(r.standard_normal(16), 4))
    add(np.where(t < 48, 1, 10) * r.standard_normal(WINDOW))
    # the ends of the input range
    rows.append(8.0 * (-1.0) ** t)
    rows.append(np.where(t < 32, -8.0, 8.0))
    rows.append(np.where(t == 63, 8.0, -8.0))
    for _ in range(3):
        rows.append(8.0 * r.choice([-1.0, 1.0], WINDOW))
        rows.append(r.uniform(-8, 8, WINDOW))
    return np.array(rows).astype(np.float32)


def golden(sess):
    """Header-less CSV, 64 inputs then 7 outputs; nine significant digits give
    every float32 back exactly."""
    x = golden_windows()
    rows = np.concatenate([x, run(sess, x)], 1)
    return "".join(",".join(f"{v:.9g}" for v in row) + "\n" for row in rows), len(rows)
