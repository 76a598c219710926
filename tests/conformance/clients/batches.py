# mypy: ignore-errors
"""Run by an old client in its own environment: the life of a batch in both of its namespaces. Prints JSON.

Usage: python batches.py BASE_URL API_KEY MODEL
"""

import json
import sys
import time

import anthropic

BASE_URL, API_KEY, MODEL = sys.argv[1:]
PARAMS = {
    "model": MODEL,
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Calculate."}],
    "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
}


def as_json(thing):
    return json.loads(thing.model_dump_json())


def life(batches, **betas):
    made = batches.create(requests=[{"custom_id": "only", "params": PARAMS}], **betas)
    batch = made
    while batch.processing_status != "ended":
        time.sleep(0.1)
        batch = batches.retrieve(made.id, **betas)
    return {
        "made": as_json(made),
        "ended": as_json(batch),
        "results": [as_json(line) for line in batches.results(made.id, **betas)],
        "listed": [listed.id for listed in batches.list(limit=1, **betas)],
        "cancelled": as_json(batches.cancel(made.id, **betas)),
        "deleted": as_json(batches.delete(made.id, **betas)),
    }


client = anthropic.Anthropic(base_url=BASE_URL, api_key=API_KEY, max_retries=0, timeout=60)
lives = {
    "plain": life(client.messages.batches),
    "beta": life(client.beta.messages.batches, betas=["code-execution-2025-08-25"]),
}
print(json.dumps({"version": anthropic.__version__, "lives": lives}))
