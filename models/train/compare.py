# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Trains other architectures beside the shipped one's, on the same windows and
for the same number of steps, and writes architectures.json and its table in
the card. It leaves the shipped file alone.

    python compare.py --data DATA --out .. [--steps 10000] [--only NAME]

One thread; about an hour. What architectures.json already holds of the same
steps and seed is not trained again.
"""
import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import architectures
import card
import fit
import model
from train import BATCH, CHOSEN, RATE, SEED, VARIANTS, figures_of, load, multiply_adds

STEPS = 10_000
# name -> (kind, size); the sizes bring them near the cost of the shipped one
OTHERS = {
    "seasonal terms": ("seasonal", (0,)),
    "GRU, 16 patches": ("gru", (16,)),
    "mixer, 2 blocks": ("mixer", (2,)),
    "TCN, 5 layers of 8": ("tcn", (8,)),
}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--data", required=True, type=pathlib.Path)
    a.add_argument("--out", required=True, type=pathlib.Path)
    a.add_argument("--steps", type=int, default=STEPS, help="fewer for a quick try")
    a.add_argument("--only", help="one of them, by its name")
    a = a.parse_args()
    start = time.time()

    def log(text):
        print(f"{time.time() - start:6.0f} s {text}", flush=True)

    train, sets, fam, unit, _ = load(a.data, log)
    figures = {"chosen": CHOSEN, "steps": a.steps, "batch": BATCH, "seed": SEED, "models": {}}
    kept = a.out / "architectures.json"
    if kept.exists():
        old = json.loads(kept.read_text())
        if {**old, "models": {}} == figures:
            figures = old
    models = figures["models"]
    runs = [(name, model, multiply_adds, *VARIANTS[name]) for name in ("linear only", CHOSEN)]
    runs += [(name, architectures, architectures.multiply_adds, *of) for name, of in OTHERS.items()]
    for name, net, cost, kind, size in runs:
        if name in models or a.only not in (None, name):
            continue
        p = fit.train(kind, size, train, a.steps, BATCH, RATE, SEED, log, net)
        models[name] = figures_of(lambda x: fit.predict(kind, p, x, net), cost(kind, size), sets, fam, unit)
        log(f"{name}: {models[name]['multiply_adds']} multiply-adds, "
            + ", ".join(f"{s} {v['pinball']:.4f}" for s, v in models[name]["sets"].items()))
        # kept after each, so that a run that is stopped has something to say
        kept.write_text(json.dumps(figures, indent=1) + "\n")
    readme = a.out / "README.md"
    if readme.exists():
        readme.write_text(card.update(readme.read_text(), card.architectures(figures)))


if __name__ == "__main__":
    main()
