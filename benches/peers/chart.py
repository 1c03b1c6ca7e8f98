"""Draw how long one inference takes on each peer, as bars: one panel for each model.

    python benches/peers/chart.py REPORT.json OUT.svg

Bars that are much longer than those of Samara in wasm end at an arrow; the number beside a bar is its time, always.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

REFERENCE = "samara-fresh"
# Beside which the others explain details, and are in the tables only.
LEFT_OUT = {"samara-in-all", "onnxruntime-native"}
COLUMNS = 2
# How many times as long as Samara's a bar is drawn at most.
LONGEST = 4
SAMARA = "#c2410c"
SAMARA_OTHERWISE = "#fdba74"
OTHERS = "#64748b"


def show(nanoseconds: float) -> str:
    """A time for people."""
    milliseconds = nanoseconds / 1e6
    if milliseconds < 1:
        return f"{milliseconds * 1e3:.1f} µs" if milliseconds < 0.1 else f"{milliseconds * 1e3:.0f} µs"
    if milliseconds < 1000:
        return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.1f} ms"
    return f"{milliseconds / 1e3:.2f} s"


def colour(peer: dict) -> str:
    """Samara as the others are compared with it, Samara in other ways, and the others."""
    if peer["id"] == REFERENCE:
        return SAMARA
    return OTHERS if peer["against"] else SAMARA_OTHERWISE


def draw(axes: Axes, model: dict, peers: list[dict]) -> None:
    """One panel: a bar for each peer, the first on top."""
    cells = [model["cells"].get(peer["id"], {}) for peer in peers]
    times = [cell.get("p50_ns") for cell in cells]
    reference = model["cells"].get(REFERENCE, {}).get("p50_ns") or max(filter(None, times), default=1)
    limit = LONGEST * reference
    for row, (peer, cell, time) in enumerate(zip(peers, cells, times, strict=True)):
        if time is None:
            axes.annotate(cell.get("result", "").replace("failed", "cannot"), (0, row), (4, 0), **TEXT, style="italic")
            continue
        axes.barh(row, min(time, limit), color=colour(peer))
        label = show(time) + (" →" if time > limit else "")
        axes.annotate(label, (min(time, limit), row), (4, 0), **TEXT)
    axes.set_title(model["name"], fontsize=11, loc="left", fontweight="bold")
    axes.set_yticks(range(len(peers)), [peer["name"] for peer in peers], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, limit * 1.22)
    axes.invert_yaxis()
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


TEXT = {"textcoords": "offset points", "va": "center", "fontsize": 8}


def chart(report: dict) -> Figure:
    """All panels."""
    peers = [peer for peer in report["peers"] if peer["id"] not in LEFT_OUT]
    models = report["models"]
    rows = -(-len(models) // COLUMNS)
    figure = Figure(figsize=(12, 0.8 + rows * (0.5 + 0.19 * len(peers))), layout="constrained", facecolor="white")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharey=False)
    for index, axes in enumerate(panels.flat):
        if index < len(models):
            draw(axes, models[index], peers)
        else:
            axes.set_visible(False)
    figure.suptitle("Time of one inference, one thread, median: shorter is better", fontsize=12)
    return figure


def main() -> None:
    """Read, draw, write. The same numbers give the same file."""
    source, output = (Path(path) for path in sys.argv[1:])
    mpl.rcParams.update({"svg.hashsalt": "samara", "svg.fonttype": "none", "font.family": "sans-serif"})
    figure = chart(json.loads(source.read_text(encoding="utf-8")))
    partial = output.with_suffix(".partial")
    figure.savefig(partial, format="svg", metadata={"Date": None, "Creator": None})
    partial.rename(output)


if __name__ == "__main__":
    main()
