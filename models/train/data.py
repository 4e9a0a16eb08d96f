# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Windows and targets from the open sets and from the generator.

Of the open sets only the rows before `score_from` are ever parsed: the later
rows are what detectors are scored on, and no label file is opened.
"""
import csv
import gzip
import json
import os

import numpy as np

import generator
from generator import HISTORY, LENGTH, WINDOW

CLIP_IN = 8.0  # the contract's clip of the inputs
CLIP_OUT = 30.0  # targets beyond this say no more than "far away"

# Whole machines and channels are held out, not random windows: neighbouring
# windows of one series are near copies of each other.
HELD_OUT = {
    "smd": {"machine-2-8"},
    "asd": {"omi-3", "omi-6"},
    "msl": {"C-2", "D-16", "F-7", "M-4", "P-10", "T-5"},
}


def read_train_part(path, rows):
    """The first `rows` readings as [rows, columns], column names first."""
    with gzip.open(path, "rt", newline="") as f:
        r = csv.reader(f)
        head = next(r)
        out = np.empty((rows, len(head) - 1))
        for i in range(rows):
            out[i] = np.array(next(r)[1:], float)
    return head[1:], out


def windows(series, rng):
    """[n, LENGTH] raw readings (NaN where a series has no history yet) to
    the contract's inputs and targets."""
    w = series[:, HISTORY : HISTORY + WINDOW]
    n = len(w)
    m = w.mean(1, keepdims=True)
    flat = w.max(1, keepdims=True) == w.min(1, keepdims=True)
    m = np.where(flat, w[:, -1:], m)
    sd = np.where(flat, 0.0, w.std(1, keepdims=True))
    past = np.where(np.isfinite(series[:, :-1]), series[:, :-1], m)
    slow = past.std(1, keepdims=True)
    # The caller's slower scale is not part of the contract, so windows are
    # seen with no slower scale, with that of the last 320 readings, with a
    # mild random one and (seldom) with one far above the window's own sd.
    u = rng.random((n, 1))
    mild = sd * np.exp(rng.uniform(0, np.log(3), (n, 1)))
    far = sd * np.exp(rng.uniform(np.log(3), np.log(30), (n, 1)))
    s = np.where(u < 0.35, sd, np.where(u < 0.7, slow, np.where(u < 0.95, mild, far)))
    s = np.maximum(np.maximum(sd, s), 1e-6 * np.abs(m) + 1e-9)
    x = np.clip((w - m) / s, -CLIP_IN, CLIP_IN)
    y = np.clip((series[:, -1:] - m) / s, -CLIP_OUT, CLIP_OUT)
    return x.astype(np.float32), y.astype(np.float32)


def generated(seed, total):
    xs, ys, fs = [], [], []
    for k, (fam, series) in enumerate(generator.make(seed, total)):
        x, y = windows(series, np.random.Generator(np.random.PCG64([seed, k, 1])))
        xs.append(x), ys.append(y), fs.append(fam)
    return np.concatenate(xs), np.concatenate(ys), np.concatenate(fs)


def real(folder, name, held_out, total, seed):
    """`total` windows of one open set, spread evenly over its series."""
    with open(os.path.join(folder, name, "set.json")) as f:
        meta = json.load(f)
    rng = np.random.Generator(np.random.PCG64([seed, 2]))
    cols = []
    for part in meta["files"]:
        if (part["name"] in HELD_OUT[name]) != held_out:
            continue
        path = os.path.join(folder, name, "replay", part["name"] + ".csv.gz")
        names, v = read_train_part(path, part["score_from"])
        for c, col in enumerate(names):
            # a series that never moves teaches nothing the generator's
            # constants do not
            if len(v) > WINDOW + 1 and np.ptp(v[:, c]) > 0:
                # msl has one telemetry channel among 54 one-hot commands;
                # without this the commands would drown it
                cols.append((v[:, c], 0.02 if col.startswith("command") else 1.0))
    share = np.array([w for _, w in cols])
    want = np.maximum(1, np.round(total * share / share.sum())).astype(int)
    out = []
    for (v, _), k in zip(cols, want):
        # windows that do not move at all would be half of smd; one in eight
        # of them is kept
        lo = np.lib.stride_tricks.sliding_window_view(v[:-1], WINDOW)
        still = lo.max(1) == lo.min(1)
        p = np.where(still, 0.125, 1.0)
        k = min(k, len(p))
        at = rng.choice(len(p), k, replace=False, p=p / p.sum())
        padded = np.concatenate([np.full(HISTORY, np.nan), v])
        out.append(np.lib.stride_tricks.sliding_window_view(padded, LENGTH)[at])
    series = np.concatenate(out)
    return windows(series, rng)
