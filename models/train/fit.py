# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Training loop and measures."""
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import model
from model import LEVELS

TAU = np.array(LEVELS, np.float32)
# the outer levels are what detection rests on, and their plain pinball loss
# is small
LEVEL_WEIGHT = np.array([3, 1.5, 1, 1, 1, 1.5, 3], np.float32)


def pinball(q, y):
    e = y - q
    return np.maximum(TAU * e, (TAU - 1) * e)


def _loss(net, kind, p, x, y, w):
    e = y - net.forward(kind, p, x)
    return jnp.mean(w * (jnp.maximum(TAU * e, (TAU - 1) * e) @ LEVEL_WEIGHT))


@partial(jax.jit, static_argnums=(0, 1))
def _chunk(net, kind, state, x, y, w, idx, lr):
    """Adam with clipped gradients over a chunk of batches."""

    def step(s, batch):
        p, m, v, t = s
        i, rate = batch
        loss, g = jax.value_and_grad(partial(_loss, net, kind))(p, x[i], y[i], w[i])
        norm = jnp.sqrt(sum(jnp.sum(a * a) for a in jax.tree.leaves(g)))
        g = jax.tree.map(lambda a: a * jnp.minimum(1.0, 1.0 / norm), g)
        t = t + 1
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        p = jax.tree.map(lambda a, b, c: a - rate * (b / c1) / (jnp.sqrt(c / c2) + 1e-8), p, m, v)
        return (p, m, v, t), loss

    return jax.lax.scan(step, state, (idx, lr))


def train(kind, hidden, xy, steps, batch, rate, seed, log=print, net=model):
    x, y = xy
    # Any positive function of the window may weigh the rows without moving the
    # best quantiles; this keeps small-amplitude windows from being ignored.
    w = 1 / (0.1 + x.std(1, keepdims=True))
    w = jnp.asarray(w / w.mean())
    x, y = jnp.asarray(x), jnp.asarray(y)
    p = net.init(kind, hidden, seed)
    zero = jax.tree.map(jnp.zeros_like, p)
    state = (p, zero, zero, jnp.float32(0))
    rng = np.random.Generator(np.random.PCG64([seed, 8]))
    order, at, done, avg = rng.permutation(len(x)), 0, 0, None
    while done < steps:
        k = min(500, steps - done)
        idx = np.empty((k, batch), np.int32)
        for i in range(k):
            if at + batch > len(order):
                order, at = rng.permutation(len(x)), 0
            idx[i] = order[at : at + batch]
            at += batch
        t = np.arange(done, done + k) / steps
        lr = rate * np.minimum(1, (t * steps + 1) / 200) * (0.5 + 0.5 * np.cos(np.pi * t))
        state, loss = _chunk(net, kind, state, x, y, w, idx, jnp.asarray(lr, jnp.float32))
        done += k
        if done % 5000 == 0 or done == steps:
            log(f"  {kind} {done}/{steps} loss {float(loss.mean()):.4f}")
    return state[0]


def predict(kind, p, x, net=model):
    return np.asarray(jax.jit(partial(net.forward, kind))(p, jnp.asarray(x)))


def baseline(x, scale):
    """Last value plus normal quantiles of the given spread."""
    z = np.array([-2.326348, -1.644854, -0.6744898, 0, 0.6744898, 1.644854, 2.326348])
    return x[:, -1:] + scale * z[None, :]


def measure(q, x, y):
    """Mean pinball over the levels (raw, and in units of the window's sd so
    that the scale of the caller does not matter) and the share of targets at
    or below each quantile, over windows that move."""
    sd = x.std(1, keepdims=True)
    move = sd[:, 0] > 1e-4
    loss = pinball(q, y)
    rel = loss[move] / sd[move]
    return {
        "windows": int(len(x)),
        "moving": int(move.sum()),
        "pinball": float(loss.mean()),
        "pinball_per_sd": float(np.minimum(rel, 30).mean()),
        "coverage": [float(c) for c in (y <= q)[move].mean(0)],
        "below": [float(c) for c in (y < q)[move].mean(0)],
        "still_inside_98": float(((y >= q[:, :1]) & (y <= q[:, 6:]))[~move].mean()) if (~move).any() else None,
    }
