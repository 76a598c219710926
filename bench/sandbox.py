"""How long the sandbox takes, against the same programs without one, and against other products.

    python bench/sandbox.py [--quick] [--only PART …] [--runtimes NAME …] [--json FILE] [--plot FILE]

Systems take turns request by request, so that what else the machine does hits all alike. "tight" is back to back,
"think" has a pause of 200 ms before each request, which is how a model uses a container. Every target of
ours is printed with what was measured beside it. Other products are measured if `make bench-peers` has installed them.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from codecove.images.library import Library
from codecove.settings import Settings
from harness import crowds, http, lives, requests, standing
from harness.figures import Figures
from harness.peers import ENVIRONMENT, peers
from harness.systems import RUNTIMES, Native, hosts
from harness.targets import SYSTEM, verdicts

PARTS = ("requests", "lives", "http", "standing", "throughput", "growth")


async def measure(arguments: argparse.Namespace, rootfs: Path, figures: Figures) -> None:
    """All parts that were asked for."""
    quick = arguments.quick
    count = arguments.requests or (20 if quick else 100)
    wanted = set(arguments.only or PARTS)
    if wanted & {"requests", "lives", "http"}:
        async with hosts(rootfs, arguments.runtimes) as sandboxed:
            if "requests" in wanted:
                async with peers(figures) as others:
                    await requests.measure([*sandboxed, Native(rootfs), *others], figures, count)
            if "lives" in wanted:
                await lives.measure(sandboxed, figures, max(5, count // 7))
                for system in sandboxed:
                    await lives.pooled(rootfs, system.name, figures, max(5, count // 7))
            if "http" in wanted:
                await http.measure(sandboxed, figures, count)
    for runtime in arguments.runtimes:
        if runtime != SYSTEM:
            continue  # the rest is about what gVisor costs
        if "standing" in wanted:
            await standing.measure(rootfs, runtime, figures, seconds=3 if quick else 20)
        if "throughput" in wanted:
            await crowds.throughput(rootfs, runtime, figures, seconds=5 if quick else 20)
        if "growth" in wanted:
            await crowds.growth(rootfs, runtime, figures, awake=30 if quick else 60, asleep=40 if quick else 200)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def show(report: dict[str, Any]) -> None:
    """The figures as tables."""
    print(f"{'milliseconds':50} {'':11} {'n':>5} {'median':>8} {'p90':>8} {'p99':>8}  of native")
    for row, by in report["milliseconds"].items():
        native = by.get("native", {}).get("median")
        for name, figures in by.items():
            ratio = f"{figures['median'] / native:9.1f}" if native else ""
            values = " ".join(f"{figures[key]:8.1f}" for key in ("median", "p90", "p99"))
            print(f"{row:50} {name:11} {figures['n']:5} {values}  {ratio}")
    print()
    for row, by in report["numbers"].items():
        print(f"{row:60} " + ", ".join(f"{name} {value:.3g}" for name, value in by.items()))
    print(f"\n{'target (' + SYSTEM + ')':60} {'':>13} {'measured':>9}")
    for verdict in report["targets"]:
        measured = "-" if verdict["measured"] is None else f"{verdict['measured']:.3g}"
        word = {True: "met", False: "MISSED", None: "not measured"}[verdict["met"]]
        print(f"{verdict['what']:60} {verdict['target']:>13} {measured:>9}  {word}")
    for problem in dict.fromkeys(report["problems"]):
        print(f"note: {problem}")
    print(f"\nmachine before: {report['machine']}\nload after: {report['load_after']}, {report['seconds']:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rootfs", type=Path, help="root file system of an image (default: the built one)")
    parser.add_argument("--quick", action="store_true", help="fewer of everything: about two minutes instead of ten")
    parser.add_argument("--requests", type=int, help="requests of each kind (default 100, quick 20)")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts alone")
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=RUNTIMES, help="these runtimes alone")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--plot", type=Path, help="where to draw them (PNG or SVG; needs `make bench-peers`)")
    arguments = parser.parse_args()
    rootfs = arguments.rootfs or Library(Settings().image_dir).resolve().rootfs
    before, began = machine(), time.monotonic()
    figures = Figures()
    asyncio.run(measure(arguments, rootfs, figures))
    report = {"machine": before, "load_after": round(os.getloadavg()[0], 2), "seconds": time.monotonic() - began}
    report |= figures.report()
    report["targets"] = list(verdicts(report))
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.plot:
        draw = [str(ENVIRONMENT / "bin/python"), str(Path(__file__).parent / "plot.py"), str(arguments.plot)]
        subprocess.run(draw, input=json.dumps(report), text=True, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
