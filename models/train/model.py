# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The forecaster and the simpler variants it is compared with, in jax.

Final variant ("scaled"). Telemetry windows differ in roughness by orders of
magnitude while all have about unit spread, so the net first measures how rough
the window is and works in those units:

    d = x D                     differences          v = |d| Pd + |x| Px + eps
    h1 = act((x W1) / (v Q1) + log(v) V1 + b1)       h2 = act(h1 W2 + b2)
    median = x a + (v qm) * (h2 wm + bm)
    steps  = (v Qs) * softplus(h2 Ws + bs)           quantiles = median + steps T

Pd, Px, Q* and eps are kept positive, so nothing is divided by zero, and the
steps between neighbouring quantiles cannot be negative.
"""
import jax
import jax.numpy as jnp
import numpy as np

from generator import WINDOW

LEVELS = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
POOLS = 8
EPS_MIN = 1e-4


def differences():
    """[64, 48]: the last 32 steps, and every second older two-step change."""
    d = np.zeros((WINDOW, 48), np.float32)
    for j in range(32):
        d[WINDOW - 1 - j, j], d[WINDOW - 2 - j, j] = 1, -1
    for j in range(15):
        d[WINDOW - 32 - 2 * j, 32 + j], d[WINDOW - 34 - 2 * j, 32 + j] = 1, -1
    d[1, 47], d[0, 47] = 1, -1
    return d


def basis():
    """[64, K]: coordinates in which the linear maps are learnt. Forecasts of
    smooth series live in small differences of large readings; learning the
    weights of differences directly saves the optimiser that cancellation. The
    product with it is folded into plain 64-row matrices for export."""
    w = WINDOW
    cols = list(np.eye(w))
    for lag in (1, 2, 4, 8):
        for t in range(lag, w):
            c = np.zeros(w)
            c[t], c[t - lag] = 1, -1
            cols.append(c)
    for k in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
        c = np.zeros(w)
        c[-k:] -= 1 / k
        c[-1] += 1
        cols.append(c)
    for t in range(w - 8, w):
        c = np.zeros(w)
        c[t], c[t - 1], c[t - 2] = 1, -2, 1
        cols.append(c)
    return np.array(cols).T


B64 = basis()
B = jnp.asarray(B64, jnp.float32)
D = jnp.asarray(differences())
LAST = jnp.zeros(WINDOW).at[-1].set(1.0)
# steps below the median count downwards from it, those above upwards
T = np.zeros((6, 7), np.float32)
for _i in range(3):
    T[_i, : _i + 1] = -1
    T[5 - _i, 6 - _i :] = 1


def _pool_start():
    pd, px = np.full((48, POOLS), 1e-3), np.full((WINDOW, POOLS), 1e-4)
    for j, k in enumerate([32, 1, 3, 8, 16]):
        pd[:k, j] = 1 / k
    pd[32:, 5] = 1 / 16
    px[:, 0] = 0.05 / WINDOW
    px[:, 6] = 1 / WINDOW
    px[-4:, 7] = 1 / 4
    return np.log(pd), np.log(px)


def init(kind, hidden, seed):
    r = np.random.Generator(np.random.PCG64([seed, 7]))
    k = B.shape[1]

    def dense(i, o, gain=1.0):
        return gain * r.standard_normal((i, o)) / np.sqrt(i)

    p = {"a": np.zeros((k, 1)), "bs": np.array([0.5, 0.2, -0.5, -0.5, 0.2, 0.5])}
    if kind == "linear":
        p["cs"] = np.zeros((k, 6))
    else:
        h1, h2 = hidden
        p |= {"w1": dense(k, h1), "b1": np.zeros(h1), "w2": dense(h1, h2), "b2": np.zeros(h2)}
        p |= {"ws": dense(h2, 6, 0.1), "wm": dense(h2, 1, 0.1), "bm": np.zeros(1)}
    if kind.startswith("scaled"):
        p["pd"], p["px"] = _pool_start()
        p["eps"] = np.full(POOLS, np.log(2e-3))
        q = np.full((POOLS, h1 + 7), np.log(0.02))
        q[0] = 0.0
        p["q"] = q
        p["v1"] = dense(POOLS, h1, 0.3)
    return jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), p)


def forward(kind, p, x):
    act = jax.nn.relu if kind.endswith("relu") else jnp.tanh
    med = x @ (LAST[:, None] + B @ p["a"])
    if kind == "linear":
        return med + jax.nn.softplus(x @ (B @ p["cs"]) + p["bs"]) @ T
    z = x @ (B @ p["w1"])
    sm = ss = 1.0
    if kind.startswith("scaled"):
        h1 = p["v1"].shape[1]
        v = jnp.abs(x @ D) @ jnp.exp(p["pd"]) + jnp.abs(x) @ jnp.exp(p["px"])
        v = v + jnp.exp(p["eps"]) + EPS_MIN
        q = v @ jnp.exp(p["q"])
        z = z / q[:, :h1] + jnp.log(v) @ p["v1"]
        sm, ss = q[:, h1 : h1 + 1], q[:, h1 + 1 :]
    h = act(act(z + p["b1"]) @ p["w2"] + p["b2"])
    med = med + sm * (h @ p["wm"] + p["bm"])
    return med + (ss * jax.nn.softplus(h @ p["ws"] + p["bs"])) @ T


def folded(p):
    """Constants of the exported graph, folded in float64, stored as float32."""
    g = {k: np.asarray(v, np.float64) for k, v in p.items()}
    h1 = g["v1"].shape[1]
    q = np.exp(g["q"])
    c = {
        "diff": differences(), "pool_d": np.exp(g["pd"]), "pool_x": np.exp(g["px"]),
        "pool_b": np.exp(g["eps"]) + EPS_MIN,
        "w1": B64 @ g["w1"], "q1": q[:, :h1], "v1": g["v1"], "b1": g["b1"],
        "w2": g["w2"], "b2": g["b2"], "wm": g["wm"], "bm": g["bm"],
        "ws": g["ws"], "bs": g["bs"], "skip": np.asarray(LAST)[:, None] + B64 @ g["a"],
        "qm": q[:, h1 : h1 + 1], "qs": q[:, h1 + 1 :],
        "steps": T, "ones": np.ones((1, 7)),
    }
    return {k: np.ascontiguousarray(v, np.float32) for k, v in c.items()}
