"""Draw the figures of `bench/sandbox.py`, which come on stdin as JSON: plot.py FILE.

A bar for each system and row, from its median to its p99; a mark where our target is.
"""

import json
import sys
from typing import Any

from matplotlib import pyplot  # type: ignore[import-not-found]


def main() -> None:
    report: dict[str, Any] = json.load(sys.stdin)
    rows = report["milliseconds"]
    systems = list(dict.fromkeys(name for by in rows.values() for name in by))
    colours = dict(zip(systems, pyplot.get_cmap("tab10").colors, strict=False))
    targets = {
        target["what"].removesuffix(", median"): float(target["target"].split()[-1])
        for target in report["targets"]
        if target["what"].endswith(", median")
    }
    figure, axes = pyplot.subplots(figsize=(11, 0.9 + 0.17 * sum(len(by) + 1 for by in rows.values())))
    at, ticks = 0, []
    for row, by in rows.items():
        first = at
        for name, figures in by.items():
            axes.barh(at, figures["median"], color=colours[name])
            axes.plot([figures["median"], figures["p99"]], [at, at], color=colours[name], linewidth=1)
            at += 1
        if row in targets:
            axes.plot([targets[row]] * 2, [first - 0.5, at - 0.5], color="black", linewidth=1.5)
        ticks.append(((first + at - 1) / 2, row))
        at += 1
    axes.set_yticks([place for place, _ in ticks], [row for _, row in ticks], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds: bar to the median, line to p99; black: target for runsc")
    axes.legend([pyplot.Rectangle((0, 0), 1, 1, color=colours[name]) for name in systems], systems, fontsize=8)
    figure.tight_layout()
    figure.savefig(sys.argv[1], dpi=110)


main()
