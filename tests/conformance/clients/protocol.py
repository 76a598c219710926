# mypy: ignore-errors
"""How a client program is asked: a line of JSON names an example and where the server is, a line of JSON answers.

A program gives `serve` its version and its examples: functions that take `Options` and give a dictionary.
"""

import json
import os
import sys
import traceback
from types import SimpleNamespace

QUESTION = "Calculate the mean of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
TABLE = b"month,sum\nmay,3\njune,4\n"
WEATHER = "sunny, 21 degrees"

Options = SimpleNamespace
"""`base_url`, `api_key`, `model`, `tool` (its type) and `beta`: strings."""


def serve(version, examples):
    """Answer until stdin ends. What the client's libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked.pop("example")
        try:
            result = examples[name](Options(**asked))
            answer = {"version": version, "result": result}
        except Exception:  # noqa: BLE001 -- whatever it is, the test shows it
            answer = {"version": version, "error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def outputs(content):
    """The stdout of every execution in the content, as dictionaries."""
    return [part["content"]["stdout"] for part in content if "stdout" in (part.get("content") or ())]


def error_codes(content):
    """The codes of the executions that failed."""
    found = [part["content"] for part in content if part.get("type", "").endswith("_tool_result")]
    return [result["error_code"] for result in found if "error_code" in result]


def file_ids(content):
    """The files that executions made."""
    results = [part["content"] for part in content if "stdout" in (part.get("content") or ())]
    return [entry["file_id"] for result in results for entry in result["content"]]


def text_of(content):
    return "".join(part["text"] for part in content if part["type"] == "text")
