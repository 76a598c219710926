"""What is done again and again goes on when it fails, is counted, and ends with its owner."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from codecove.observe.chores import Chores
from codecove.observe.metrics import Metrics

HOUR = 3600.0


async def test_a_chore_that_fails_is_counted_and_tried_again() -> None:
    metrics, runs = Metrics(), 0
    done = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise OSError("the store is away")
        done.set()

    async with Chores(metrics) as chores:
        chores.every(0.001, "tidy up", work)
        await asyncio.wait_for(done.wait(), 10)
    counted = runs
    await asyncio.sleep(0.01)
    assert runs == counted, "nothing runs after the end"
    samples = {
        (sample.name, sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
        if sample.labels.get("chore") == "tidy up"
    }
    assert samples["codecove_chore_runs_total", "failed"] == 1
    assert samples["codecove_chore_runs_total", "ok"] >= 1
    assert samples["codecove_chore_last_success_timestamp_seconds", None] > 0


async def test_a_chore_can_be_asked_for_before_its_time() -> None:
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    async with Chores(Metrics()) as chores:
        soon = chores.every(HOUR, "tidy up", work)
        soon()
        await asyncio.wait_for(done.wait(), 10)
