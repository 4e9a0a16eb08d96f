# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Generated telemetry: a broad mix of shapes that agents on machines see.

Every shape is made for a whole batch of rows at once (rows x time), in plain
float64 numpy from one seeded generator, so the same seed gives the same data.
"""
import numpy as np

HISTORY = 256  # readings before the window, only used for the slower scale
WINDOW = 64
LENGTH = HISTORY + WINDOW + 1  # the last one is the reading to forecast


def _logu(rng, lo, hi, n):
    return np.exp(rng.uniform(np.log(lo), np.log(hi), (n, 1)))


def _unit(x):
    """Rows to about unit spread, so that sums of two shapes are balanced."""
    return (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + 1e-12)


def _held(values, change):
    """Keep the last value wherever `change` is false (zero-order hold)."""
    t = np.where(change, np.arange(values.shape[1])[None, :], 0)
    return np.take_along_axis(values, np.maximum.accumulate(t, axis=1), axis=1)


def _runs(rng, n, up, down):
    """Two-state Markov chain; mean stay of `up` and `down` readings."""
    s = np.empty((n, LENGTH), bool)
    u = rng.random((n, LENGTH))
    cur = rng.random(n) < (up / (up + down))[:, 0]
    pu, pd = 1 / up[:, 0], 1 / down[:, 0]
    for t in range(LENGTH):
        cur = cur ^ (u[:, t] < np.where(cur, pu, pd))
        s[:, t] = cur
    return s


def white(rng, n):
    return rng.standard_normal((n, LENGTH))


def heavy_noise(rng, n):
    return rng.standard_t(rng.uniform(2.2, 6, (n, 1)), (n, LENGTH))


def skewed_noise(rng, n):
    g = rng.gamma(_logu(rng, 0.3, 8, n), 1.0, (n, LENGTH))
    log = np.exp(rng.uniform(0.2, 1.3, (n, 1)) * rng.standard_normal((n, LENGTH)))
    return np.where(rng.random((n, 1)) < 0.5, g, log)


def ar1(rng, n):
    phi = (1 - _logu(rng, 1e-3, 0.9, n))[:, 0]
    phi = np.where(rng.random(n) < 0.1, -0.7 * phi, phi)
    e = white(rng, n)
    x = np.empty_like(e)
    cur = e[:, 0] / np.sqrt(1 - phi**2)
    for t in range(LENGTH):
        cur = phi * cur + e[:, t]
        x[:, t] = cur
    return x + _logu(rng, 0.01, 2, n) * (rng.random((n, 1)) < 0.4) * white(rng, n)


def ar2(rng, n):
    rad = rng.uniform(0.6, 0.995, n)
    w = 2 * np.pi / _logu(rng, 3, 120, n)[:, 0]
    e = white(rng, n)
    x = np.zeros_like(e)
    a = b = np.zeros(n)
    for t in range(LENGTH):
        a, b = 2 * rad * np.cos(w) * a - rad**2 * b + e[:, t], a
        x[:, t] = a
    return x


def walk(rng, n):
    x = np.cumsum(white(rng, n), 1)
    return x + _logu(rng, 0.02, 5, n) * (rng.random((n, 1)) < 0.5) * white(rng, n)


def smooth_walk(rng, n):
    x = _unit(np.cumsum(ar1(rng, n), 1))
    return x + _logu(rng, 1e-3, 0.3, n) * (rng.random((n, 1)) < 0.6) * white(rng, n)


def trend(rng, n):
    t = np.linspace(-1, 1, LENGTH)[None, :]
    x = rng.standard_normal((n, 1)) * t + 0.5 * rng.standard_normal((n, 1)) * t * t
    return x + _logu(rng, 1e-3, 1, n) * white(rng, n)


def season(rng, n):
    p = _logu(rng, 4, 500, n)
    whole = rng.random((n, 1)) < 0.5  # schedules repeat on whole readings
    p = np.where(whole, np.round(p), p)
    t = np.arange(LENGTH)[None, :]
    ph = rng.uniform(0, 2 * np.pi, (n, 4))
    x = np.zeros((n, LENGTH))
    for k in range(1, 5):
        amp = 1.0 if k == 1 else rng.uniform(0, 1, (n, 1)) / k * (rng.random((n, 1)) < 0.6)
        x += amp * np.sin(2 * np.pi * k * t / p + ph[:, k - 1 : k])
    return x + _logu(rng, 1e-3, 1, n) * white(rng, n)


def schedule(rng, n):
    """Square waves and short pulses of fixed period: cron jobs, heaters."""
    p = np.round(_logu(rng, 4, 200, n))
    on = np.maximum(1, np.round(p * rng.uniform(0.03, 0.7, (n, 1))))
    t = np.arange(LENGTH)[None, :] + np.floor(rng.uniform(0, 1, (n, 1)) * p)
    jit = np.round(rng.standard_normal((n, LENGTH)) * (rng.random((n, 1)) < 0.2))
    x = (((t + jit) % p) < on).astype(float)
    return x + _logu(rng, 1e-3, 0.3, n) * (rng.random((n, 1)) < 0.7) * white(rng, n)


def duty(rng, n):
    """On/off with random stays."""
    s = _runs(rng, n, _logu(rng, 2, 150, n), _logu(rng, 2, 150, n)).astype(float)
    return s + _logu(rng, 1e-3, 0.3, n) * (rng.random((n, 1)) < 0.7) * white(rng, n)


def shifts(rng, n):
    jump = rng.random((n, LENGTH)) < 1 / _logu(rng, 20, 400, n)
    x = np.cumsum(jump * rng.standard_normal((n, LENGTH)), 1)
    back = np.cumsum(jump, 1) % 2 * rng.standard_normal((n, 1))
    x = np.where(rng.random((n, 1)) < 0.5, x, back)
    return x + _logu(rng, 1e-3, 0.5, n) * white(rng, n)


def ramps(rng, n):
    jump = rng.random((n, LENGTH)) < 1 / _logu(rng, 8, 200, n)
    jump[:, 0] = True
    slope = _held(rng.standard_normal((n, LENGTH)), jump)
    flat = _held((rng.random((n, LENGTH)) < 0.4).astype(float), jump)
    x = np.cumsum(slope * (1 - flat), 1)
    return _unit(x) + _logu(rng, 1e-3, 0.2, n) * (rng.random((n, 1)) < 0.7) * white(rng, n)


def bursts(rng, n):
    """Quiet noise with stretches of much louder noise."""
    s = _runs(rng, n, _logu(rng, 2, 60, n), _logu(rng, 10, 300, n))
    lift = rng.uniform(0, 5, (n, 1)) * (rng.random((n, 1)) < 0.6)
    return white(rng, n) * np.where(s, _logu(rng, 2, 30, n), 1.0) + s * lift


def volatility(rng, n):
    """Noise whose level drifts slowly."""
    h = np.cumsum(white(rng, n), 1) * _logu(rng, 0.01, 0.2, n)
    x = white(rng, n) * np.exp(np.clip(h, -4, 4))
    return np.where(rng.random((n, 1)) < 0.4, np.cumsum(x, 1), x)


def saw(rng, n):
    """Memory that fills and is collected."""
    rate = _logu(rng, 0.004, 0.2, n)[:, 0]
    e = np.abs(1 + _logu(rng, 0.01, 1, n) * white(rng, n))
    low = rng.uniform(0, 0.5, n)
    wob = _logu(rng, 0.001, 0.15, n)[:, 0]
    u = rng.standard_normal((n, LENGTH))
    x = np.empty((n, LENGTH))
    cur = rng.random(n)
    for t in range(LENGTH):
        cur = cur + rate * e[:, t]
        cur = np.where(cur > 1 + wob * u[:, t], low + wob * np.abs(u[:, t]), cur)
        x[:, t] = cur
    return np.where(rng.random((n, 1)) < 0.15, -x, x)


def counts(rng, n):
    lam = _logu(rng, 0.02, 30, n)
    mod = np.where(rng.random((n, 1)) < 0.4, np.exp(0.6 * _unit(ar1(rng, n))), 1.0)
    return rng.poisson(lam * mod).astype(float)


def sparse(rng, n):
    """Rates of mostly idle counters: zeros and lumps."""
    s = _runs(rng, n, _logu(rng, 1.01, 12, n), _logu(rng, 4, 200, n))
    return s * np.exp(rng.uniform(0.05, 1.2, (n, 1)) * white(rng, n))


def constant(rng, n):
    """Constants, some with a rare different reading."""
    x = np.zeros((n, LENGTH))
    rare = (rng.random((n, LENGTH)) < _logu(rng, 5e-4, 2e-2, n)) & (rng.random((n, 1)) < 0.6)
    return x + rare * rng.choice([-1.0, 1.0], (n, 1)) * rng.uniform(0.5, 1.5, (n, LENGTH))


FAMILIES = [
    (white, 6), (heavy_noise, 4), (skewed_noise, 5), (ar1, 10), (ar2, 4), (walk, 8),
    (smooth_walk, 5), (trend, 4), (season, 10), (schedule, 6), (duty, 5), (shifts, 6),
    (ramps, 5), (bursts, 5), (volatility, 5), (saw, 6), (counts, 6), (sparse, 6), (constant, 3),
]
NAMES = [f.__name__ for f, _ in FAMILIES]


def _disturb(rng, x):
    """What sensors and collectors do to a clean series. Order matters: the
    world disturbs first, then the sensor clips and rounds, then readings get
    lost on the way and are repeated."""
    n = len(x)

    def some(p):
        return rng.random((n, 1)) < p

    sd = x.std(1, keepdims=True) + 1e-12
    # single spikes and dips, some decaying back over several readings
    hit = (rng.random((n, LENGTH)) < _logu(rng, 1e-3, 2e-2, n)) & some(0.18)
    size = sd * _logu(rng, 1, 12, n) * rng.choice([-1.0, 1.0], (n, 1))
    decay = np.where(some(0.5), 0.0, rng.uniform(0.3, 0.95, (n, 1)))[:, 0]
    add = hit * size * rng.uniform(0.5, 1.5, (n, LENGTH))
    cur = np.zeros(n)
    for t in range(LENGTH):
        cur = decay * cur + add[:, t]
        add[:, t] = cur
    x = x + add
    # saturation at one or both bounds
    lo = np.quantile(x, 0.25, axis=1, keepdims=True)
    hi = np.quantile(x, 0.8, axis=1, keepdims=True)
    f = rng.uniform(0, 1.5, (n, 1))
    x = np.where(some(0.06), np.maximum(x, lo - f * sd), x)
    x = np.where(some(0.06), np.minimum(x, hi + f * sd), x)
    # rounding, from invisible to two or three values in the whole window
    step = sd * _logu(rng, 0.01, 3, n)
    x = np.where(some(0.3), np.round(x / step) * step, x)
    # the source refreshes more slowly than it is read
    every = np.floor(_logu(rng, 2, 12, n))
    tick = (np.arange(LENGTH)[None, :] + np.floor(every * rng.random((n, 1)))) % every == 0
    x = np.where(some(0.1), _held(x, tick), x)
    # lost readings, repeated
    got = rng.random((n, LENGTH)) > _logu(rng, 0.01, 0.5, n)
    return np.where(some(0.1), _held(x, got), x)


def make(seed, total, chunk=8192):
    """Yield (family index [n], series [n, LENGTH]) until `total` rows."""
    p = np.array([w for _, w in FAMILIES], float)
    p /= p.sum()
    for k, start in enumerate(range(0, total, chunk)):
        rng = np.random.Generator(np.random.PCG64([seed, k]))
        n = min(chunk, total - start)
        fam = np.sort(rng.choice(len(FAMILIES), n, p=p))
        x = np.empty((n, LENGTH))
        for i, (f, _) in enumerate(FAMILIES):
            at = np.flatnonzero(fam == i)
            if len(at):
                x[at] = f(rng, len(at))
        # a third of the rows carry a second shape on top of the first
        other = x[rng.permutation(n)]
        mix = (rng.random((n, 1)) < 0.33) & (fam != NAMES.index("constant"))[:, None]
        x = np.where(mix, _unit(x) + _logu(rng, 0.1, 1.5, n) * _unit(other), x)
        yield fam, _disturb(rng, x)
