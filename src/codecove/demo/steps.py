"""The steps of the demo: what each asks, and how it knows that the answer is right."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codecove.demo import picture
from codecove.demo.conversation import FILES_BETA, Answer, Conversation, Task

OLDER = "code_execution_20250522"
NEWER = "code_execution_20250825"
OUTPUT_DIRECTORY = Path("demo-output")


class WrongAnswer(Exception):
    """A step did not give what it should; the message says what is missing."""


@dataclass(frozen=True)
class Step:
    title: str
    run: Callable[[Conversation], str]
    """Does the step and returns a line on what was proved. Raises `WrongAnswer`."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise WrongAnswer(message)


def _fenced(language: str, code: str) -> str:
    return f"```{language}\n{code.strip()}\n```\n"


def _edit(**call: str) -> str:
    return _fenced("text_editor", json.dumps(call, indent=2))


_STATISTICS = """
import statistics

numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
print("mean:", statistics.mean(numbers))
print("standard deviation:", round(statistics.stdev(numbers), 4))
"""

_QUICKSTART = "Calculate the mean and the sample standard deviation of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]. Print both."


def _quickstart_older(conversation: Conversation) -> str:
    answer = conversation.ask(Task(_QUICKSTART, _fenced("python", _STATISTICS)), tool=OLDER)
    return _check_statistics(answer)


def _quickstart_newer(conversation: Conversation) -> str:
    command = f"python3 - <<'EOF'\n{_STATISTICS.strip()}\nEOF"
    answer = conversation.ask(Task(_QUICKSTART, _fenced("bash", command)), tool=NEWER)
    return _check_statistics(answer)


def _check_statistics(answer: Answer) -> str:
    _require(bool(answer.executions), "nothing was executed")
    _require(answer.executions[-1].succeeded, "the code failed")
    output = "".join(execution.output for execution in answer.executions)
    _require("5.5" in output, "the mean of 1..10 is 5.5, and the output lacks it")
    _require("3.02" in output or "3.03" in output, "the standard deviation of 1..10 is 3.0277, and the output lacks it")
    return "mean 5.5, standard deviation 3.0277"


_SCRIPT = """
def primes(limit):
    return [n for n in range(2, limit) if all(n % d for d in range(2, n))]


print("sum of the primes below 100:", sum(prime(100)))
"""

_REPAIR = (
    "With the text editor tool, create /tmp/primes.py with exactly the content below, mistake included. Run it with "
    "python3 to see the error. Then repair it with one str_replace, and run it again.\n"
)


def _repair(conversation: Conversation) -> str:
    path = "/tmp/primes.py"  # noqa: S108  (inside the container)
    script = _SCRIPT.lstrip()
    blocks = [
        _edit(command="create", path=path, file_text=script),
        _fenced("bash", f"python3 {path}"),
        _edit(command="str_replace", path=path, old_str="prime(100)", new_str="primes(100)"),
        _fenced("bash", f"python3 {path}"),
    ]
    answer = conversation.ask(Task(f"{_REPAIR}\n{script}", "\n".join(blocks)), tool=NEWER)
    kinds = [execution.result["type"] for execution in answer.executions]
    _require("text_editor_code_execution_create_result" in kinds, "no file was created")
    _require("text_editor_code_execution_str_replace_result" in kinds, "no file was changed with str_replace")
    runs = [execution for execution in answer.executions if execution.result["type"] == "bash_code_execution_result"]
    failures = [execution for execution in runs if "NameError" in str(execution.result["stderr"])]
    _require(bool(failures), "the script with the mistake did not fail with a NameError")
    _require(bool(runs) and runs[-1].succeeded, "the repaired script failed")
    _require("1060" in runs[-1].output, "the sum of the primes below 100 is 1060, and the output lacks it")
    return "created, failed with a NameError, repaired, and printed 1060"


def _reuse(conversation: Conversation) -> str:
    path = "/tmp/answer.txt"  # noqa: S108  (inside the container)
    write = Task(f"Write the number 42 into {path}.", _fenced("bash", f"echo 42 > {path}"))
    first = conversation.ask(write, tool=NEWER)
    _require(first.container_id is not None, "the answer does not name its container")
    read = Task(f"Print the content of {path}.", _fenced("bash", f"cat {path}"))
    second = conversation.ask(read, tool=NEWER, container_id=first.container_id)
    _require(second.container_id == first.container_id, "the second request ran in another container")
    _require(any("42" in execution.output for execution in second.executions), "the file was not there any more")
    return f"both requests ran in {first.container_id}"


_TABLE = """month,zurich,bergen
Jan,0.3,1.6
Feb,1.3,1.7
Mar,5.3,3.5
Apr,8.8,6.6
May,13.3,10.8
Jun,16.4,13.6
Jul,18.6,15.4
Aug,18.0,15.0
Sep,14.1,12.1
Oct,9.9,8.4
Nov,4.4,4.9
Dec,1.4,2.4
"""

_CHART = """
import os
import matplotlib.pyplot as plt
import pandas as pd

table = pd.read_csv(os.path.join(os.environ["INPUT_DIR"], "temperatures.csv"))
axes = table.plot(x="month", y=["zurich", "bergen"], marker="o", figsize=(8, 4.5), ylabel="°C", xlabel="")
axes.set_title("Mean temperature")
axes.grid(alpha=0.3)
plt.tight_layout()
plt.savefig(os.path.join(os.environ["OUTPUT_DIR"], "temperatures.png"), dpi=120)
print(f"yearly mean: {table.zurich.mean():.2f} in Zurich, {table.bergen.mean():.2f} in Bergen")
"""


def _chart(conversation: Conversation) -> str:
    files = conversation.client.beta.files
    uploaded = files.upload(file=("temperatures.csv", _TABLE.encode(), "text/csv"), betas=[FILES_BETA])
    words = (
        "Draw a line chart of the temperatures in $INPUT_DIR/temperatures.csv (columns month, zurich, bergen), save it "
        "as $OUTPUT_DIR/temperatures.png, and print the yearly mean of both cities with two decimals."
    )
    answer = conversation.ask(Task(words, _fenced("python", _CHART)), tool=OLDER, file_ids=[uploaded.id])
    output = "".join(execution.output for execution in answer.executions)
    _require("9.32" in output and "8.00" in output, "the yearly means are 9.32 and 8.00, and the output lacks them")
    produced = [file_id for execution in answer.executions for file_id in execution.file_ids]
    _require(bool(produced), "no file came out of the container")
    data = files.download(produced[-1], betas=[FILES_BETA]).read()
    try:
        width, height = picture.check_png(data)
    except picture.NotADrawing as error:
        raise WrongAnswer(str(error)) from error
    OUTPUT_DIRECTORY.mkdir(exist_ok=True)
    target = OUTPUT_DIRECTORY / "temperatures.png"
    target.write_bytes(data)
    return f"{target}: {width} x {height} pixels, {len(data):,} bytes"


STEPS = [
    Step("Quickstart with code_execution_20250522: Python", _quickstart_older),
    Step("Quickstart with code_execution_20250825: bash", _quickstart_newer),
    Step("Create, run, repair and run a script with the editor", _repair),
    Step("One container for two requests", _reuse),
    Step("A chart from an uploaded CSV", _chart),
]
