# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Writes the measured figures into the marked sections of the model card, so
that no number in it is typed by hand."""
import re

SETS = {"generated": "generated", "smd": "smd", "asd": "asd", "msl": "msl"}


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def _losses(models, labels):
    rows = []
    for name, v in models.items():
        cell = [f"{v['sets'][s]['pinball']:.4f}" for s in SETS]
        cell += [f"{v['sets'][s]['pinball_per_sd']:.4f}" for s in SETS]
        rows.append([labels.get(name, name), str(v["multiply_adds"]) if v["multiply_adds"] else "-"] + cell)
    return _table(["forecast", "multiply-adds"] + list(SETS) + [f"{s}, per sd" for s in SETS], rows)


def architectures(f):
    """The one section that compare.py measures."""
    about = f"{f['steps']} steps of {f['batch']} windows each, seed {f['seed']}."
    return {"architectures": _losses(f["models"], {f["chosen"]: f"{f['chosen']} (the shipped one's)"}) + "\n\n" + about}


def sections(f):
    m, chosen = f["models"], f["chosen"]
    out = {}
    out["file"] = _table(
        ["", ""],
        [
            ["sha256 of `forecaster.onnx`", f"`{f['sha256']}`"],
            ["size", f"{f['file']['bytes']} bytes"],
            ["constants in the file", f"{f['file']['constants']} float32, of these {f['file']['fitted_parameters']} fitted"],
            ["multiply-adds per window", str(f["file"]["multiply_adds_per_window"])],
            ["nodes", str(f["file"]["nodes"])],
            ["ops", ", ".join(f["file"]["ops"])],
            ["opset / IR version", f"{f['opset']} / {f['ir_version']}"],
            ["rows in `golden.csv`", str(f["golden_rows"])],
            ["graph against training code, largest difference", f"{f['graph_difference']:.1e}"],
            ["probe windows, all finite and in order", str(f["probe_windows"])],
            ["output for an all-zero window", ", ".join(f"{v:.3g}" for v in f["zero_window"])],
        ],
    )
    out["variants"] = _losses(m, {chosen: f"**{chosen}** (shipped)"})
    rows = []
    for s in SETS:
        v = m[chosen]["sets"][s]
        rows.append([s, str(v["windows"]), str(v["moving"])] + [f"{c:.3f}" for c in v["coverage"]])
    out["coverage"] = _table(["held-out set", "windows", "of these moving"] + f["levels"], rows)
    rows = []
    for name in m:
        rows.append([name] + [
            f"{m[name]['sets'][s]['coverage'][0]:.3f} / {m[name]['sets'][s]['coverage'][-1]:.3f}" for s in SETS
        ])
    out["outer"] = _table(["forecast"] + list(SETS), rows)
    amps = list(m[chosen]["amplitude"])
    rows = [[n] + [f"{v['amplitude'][k]:.4f}" for k in amps] for n, v in m.items()]
    out["amplitude"] = _table(["forecast"] + amps, rows)
    names = [n for n in m if n != chosen][:3] + [chosen]
    rows = [[fam] + [f"{m[n]['families'][fam]:.4f}" for n in names] for fam in m[chosen]["families"]]
    out["families"] = _table(["main shape"] + names, rows)
    rows = [[k, str(v)] for k, v in f["training"].items()]
    out["training"] = _table(["", ""], rows)
    return out


def update(text, sections):
    for name, body in sections.items():
        mark = rf"(<!-- figures: {name} -->\n).*?(<!-- end -->)"
        text, n = re.subn(mark, lambda k: k.group(1) + body + "\n" + k.group(2), text, flags=re.S)
        if n != 1:
            raise SystemExit(f"README.md: section {name} found {n} times")
    return text
