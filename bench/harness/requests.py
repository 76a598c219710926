"""Requests to something that is ready: every system in turn, request by request."""

import asyncio
from collections.abc import Sequence

from harness.figures import Figures
from harness.systems import System
from harness.workloads import ALL, Workload

THINK_SECONDS = 0.2
PACES = {"tight": 0.0, "think": THINK_SECONDS}
_WARM_UP = 2


async def measure(systems: Sequence[System], figures: Figures, requests: int) -> None:
    """Each workload at each pace."""
    for workload in ALL:
        able = [system for system in systems if await _is_able(system, workload, figures)]
        for pace, pause in PACES.items():
            for _ in range(max(5, round(requests * workload.share))):
                for system in able:
                    await asyncio.sleep(pause)
                    taken = await system.run(workload)
                    assert taken is not None
                    figures.took(f"{workload.name}, {pace}", system.name, taken)


async def _is_able(system: System, workload: Workload, figures: Figures) -> bool:
    """Whether it can run this at all; it is warm then."""
    try:
        for _ in range(_WARM_UP):
            if await system.run(workload) is None:
                figures.problems.append(f"{system.name} can't do {workload.name}")
                return False
    except RuntimeError as error:
        figures.problems.append(f"{system.name} can't do {workload.name}: {str(error)[-200:]}")
        return False
    return True
