# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Other architectures of about the cost of the shipped one, to compare with.

All see the window in units of its own roughness, as the shipped variant does,
and end in the same head: a correction to a linear forecast of the median, and
six non-negative steps between the quantiles.

    v = |x D| Pd + |x| Px + eps        z = asinh((x - last) / (v qi))
    h = body(z, log v)                 head as in model.py
"""
import jax
import jax.numpy as jnp
import numpy as np

from generator import WINDOW
from model import B, D, EPS_MIN, LAST, POOLS, T, _pool_start

PATCH, WIDTH = 8, 16
LAGS = np.arange(2, 49)
DILATIONS = (1, 2, 4, 8, 16)
SEASON = ("ahead", "fit", "error")


def _dense(r, i, o, gain=1.0):
    return gain * r.standard_normal((i, o)) / np.sqrt(i)


def init(kind, hidden, seed):
    r = np.random.Generator(np.random.PCG64([seed, 7]))
    n, = hidden
    p = {"a": np.zeros((B.shape[1], 1)), "bs": np.array([0.5, 0.2, -0.5, -0.5, 0.2, 0.5])}
    p["pd"], p["px"] = _pool_start()
    p["eps"] = np.full(POOLS, np.log(2e-3))
    p["q"] = np.full((POOLS, 7), np.log(0.02))
    p["q"][0] = 0.0
    if kind == "seasonal":
        body, n = {"sharp": np.array(1.5)}, len(SEASON) + POOLS
    elif kind == "tcn":
        body = {f"c{d}": _dense(r, 3 * (n if d > 1 else 1), n) for d in DILATIONS}
        body |= {f"d{d}": np.zeros(n) for d in DILATIONS}
        n += POOLS
    elif kind == "gru":
        body = {"wi": _dense(r, PATCH // 2, 3 * n), "wh": _dense(r, n, 3 * n, 0.7), "bi": np.zeros(3 * n)}
        n += POOLS
    elif kind == "mixer":
        tokens = WINDOW // PATCH
        body = {"we": _dense(r, PATCH, WIDTH), "be": 0.1 * r.standard_normal((tokens, WIDTH))}
        for k in range(n):
            body |= {f"t{k}": _dense(r, tokens, tokens), f"u{k}": _dense(r, tokens, tokens, 0.5)}
            body |= {f"f{k}": _dense(r, WIDTH, WIDTH), f"g{k}": _dense(r, WIDTH, WIDTH, 0.5)}
        n = 2 * WIDTH + POOLS
    else:
        raise ValueError(kind)
    p |= body
    p |= {"w1": _dense(r, n, 32), "b1": np.zeros(32)}
    p |= {"ws": _dense(r, 32, 6, 0.1), "wm": _dense(r, 32, 1, 0.1), "bm": np.zeros(1)}
    return jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), p)


def _tcn(p, z):
    h = z[:, :, None]
    for d in DILATIONS:
        past = [jnp.pad(h, ((0, 0), (k * d, 0), (0, 0)))[:, :WINDOW] for k in range(3)]
        new = jax.nn.relu(jnp.concatenate(past, 2) @ p[f"c{d}"] + p[f"d{d}"])
        h = new if d == 1 else h + new
    return h[:, -1]


def _gru(p, z):
    parts = z.reshape(len(z), -1, PATCH // 2).swapaxes(0, 1)
    n = p["wh"].shape[0]

    def step(h, x):
        i, g = x @ p["wi"] + p["bi"], h @ p["wh"]
        keep = jax.nn.sigmoid(i[:, :n] + g[:, :n] + 1)
        new = jnp.tanh(i[:, n : 2 * n] + jax.nn.sigmoid(i[:, 2 * n :] + g[:, 2 * n :]) * g[:, n : 2 * n])
        return keep * h + (1 - keep) * new, None

    return jax.lax.scan(step, jnp.zeros((len(z), n)), parts)[0]


def _mixer(p, z):
    h = z.reshape(len(z), -1, PATCH) @ p["we"] + p["be"]
    for k in range(sum(name.startswith("t") for name in p)):
        across = h.swapaxes(1, 2)
        h = h + (jax.nn.relu(across @ p[f"t{k}"]) @ p[f"u{k}"]).swapaxes(1, 2)
        h = h + jax.nn.relu(h @ p[f"f{k}"]) @ p[f"g{k}"]
    return jnp.concatenate([h[:, -1], h.mean(1)], 1)


def _season(p, x, scale):
    """What the window says of its own periods: the reading one period ago,
    averaged over lags by how well each explained the window, how well, and how
    far off it was."""
    e = jnp.stack([jnp.abs(x[:, lag:] - x[:, :-lag]).mean(1) for lag in LAGS], 1) / scale
    share = jax.nn.softmax(-jnp.exp(p["sharp"]) * e, 1)
    ahead = (share * x[:, WINDOW - LAGS]).sum(1)
    return ahead, (share * share).sum(1), (share * e).sum(1)


def forward(kind, p, x):
    v = jnp.abs(x @ D) @ jnp.exp(p["pd"]) + jnp.abs(x) @ jnp.exp(p["px"]) + jnp.exp(p["eps"]) + EPS_MIN
    q = v @ jnp.exp(p["q"])
    scale, last = q[:, :1], x[:, -1:]
    med = x @ (LAST[:, None] + B @ p["a"])
    if kind == "seasonal":
        ahead, fit, error = _season(p, x, scale)
        h = jnp.stack([jnp.arcsinh((ahead - last[:, 0]) / scale[:, 0]), fit, jnp.log(error + 0.1)], 1)
    else:
        z = jnp.arcsinh((x - last) / scale)
        h = {"tcn": _tcn, "gru": _gru, "mixer": _mixer}[kind](p, z)
    h = jax.nn.relu(jnp.concatenate([h, jnp.log(v)], 1) @ p["w1"] + p["b1"])
    rise = h @ p["wm"] + p["bm"]
    if kind == "seasonal":
        # how far to believe in the period
        rise = jnp.tanh(rise) * (ahead[:, None] - last) / scale
    med = med + scale * rise
    return med + (q[:, 1:7] * jax.nn.softplus(h @ p["ws"] + p["bs"])) @ T


def multiply_adds(kind, hidden):
    """Of a plain evaluation of the whole window."""
    n, = hidden
    front = 64 * 48 + (48 + 64) * POOLS + POOLS * 7 + 64
    head = lambda i: i * 32 + 32 * 7 + 6 * 7 + 7
    if kind == "seasonal":
        return front + int((WINDOW - LAGS).sum()) + 3 * len(LAGS) + head(len(SEASON) + POOLS)
    if kind == "tcn":
        return front + WINDOW * 3 * (n + 4 * n * n) + head(n + POOLS)
    if kind == "gru":
        return front + 2 * WINDOW // PATCH * 3 * n * (PATCH // 2 + n + 1) + head(n + POOLS)
    tokens = WINDOW // PATCH
    block = 2 * tokens * tokens * WIDTH + 2 * tokens * WIDTH * WIDTH
    return front + tokens * PATCH * WIDTH + n * block + head(2 * WIDTH + POOLS)
