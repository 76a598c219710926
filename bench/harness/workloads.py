"""What is run: as a program for everything that starts programs, and as Python for what runs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

_GROUP_BY = """
import pandas
frame = pandas.DataFrame({"key": list("abcab") * 200, "value": range(1000)})
print(frame.groupby("key").value.sum())
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request."""

    name: str
    argv: Sequence[str]
    code: str
    """The same for an interpreter that takes Python."""
    share: float = 1.0
    """Of the number of requests: what takes long is asked for less often."""


def _python(name: str, code: str, share: float = 1.0) -> Workload:
    return Workload(name, ["python3", "-c", code], code, share)


ECHO = Workload("bash echo hi", ["bash", "-c", "echo hi"], "import subprocess; subprocess.run(['echo', 'hi'])")
PRINT = _python("python print(1)", "print(1)")
GROUP_BY = _python("pandas group-by", _GROUP_BY, 0.3)
ALL = (ECHO, PRINT, GROUP_BY)
