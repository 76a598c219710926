"""Shell commands that are nothing but one call of Python: those need no shell, and find the Python that waits.

Models that have a shell alone write most of their programs so: `python3 analysis.py`, or a here-document. The grammar
is that of the shell (Shell Command Language, POSIX.1-2017, 2.2 and 2.7.4), and only what stands for itself is taken.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_PROGRAM: Final = "python3"
_FOUND: Final = "/usr/bin/python3"
_PART: Final = re.compile(r"""[A-Za-z0-9_./:,@%+=-]+|'([^']*)'|"([^"$`\\]*)\"""")
"""Of a word: its parts follow each other without anything between."""
_SPACE: Final = re.compile(r"[ \t]+")
_END: Final = re.compile(r"[ \t]*\n*")
"""Of what is the last command to bash: with a blank in a line after it, another one may follow."""
_HERE: Final = re.compile(r"""[ \t]*<<[ \t]*(?:'(?P<single>\w+)'|"(?P<double>\w+)"|(?P<bare>\w+))[ \t]*\n""", re.ASCII)
_LONGEST: Final = 1 << 16
"""Of longer programs it is not the start that takes long."""
_BLANK: Final = " \t\n"
_EXPANDED: Final = re.compile(r"[$`\\]")
_READ_BY_BASH: Final = re.compile(
    r"BASH|EPOCH|(?:SHELLOPTS|POSIXLY_CORRECT|IFS|PATH|PWD|OLDPWD|SHLVL|_|PS\d|ENV"
    r"|RANDOM|SRANDOM|LINENO|OPTIND|OPTERR|PPID|HISTCMD|COMP_WORDBREAKS)$"
)
"""Environment variables that change what bash does with a command, or that bash changes for it."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is started, and what it is given."""

    argv: Sequence[str]
    env: Mapping[str, str]
    """Beside the base (`environment.py`)."""
    stdin: bytes


def without_shell(call: Call, cwd: str) -> Call | None:
    """What bash would make of a call of bash in the directory `cwd`. None if it takes bash to know, or is no Python."""
    match call.argv:
        case ["bash", "-c", command] | ["bash", "-c", "--", command]:
            pass
        case _:
            return None
    if call.stdin or len(command) > _LONGEST or "\0" in command or any(map(_READ_BY_BASH.match, call.env)):
        return None
    command = command.lstrip(_BLANK)
    if not command.startswith(_PROGRAM):
        return None
    words, at = _words(command, len(_PROGRAM))
    argv = [_PROGRAM, *words]
    env = {**call.env, "PWD": cwd, "_": _FOUND}
    if _END.fullmatch(command, at):
        # The last command of all takes the shell's place, which is one level less.
        return Call(argv, env | {"SHLVL": "0"}, b"")
    here = _HERE.match(command, at)
    # A number right before it would be the descriptor that it is for.
    if here is None or (words and here[0].startswith("<") and command[at - 1].isdigit()):
        return None
    document = _document(command[here.end() :], here["single"] or here["double"] or here["bare"])
    if document is None or (here["bare"] and _EXPANDED.search(document)):
        return None
    stdin = document.encode(errors="surrogateescape")
    return Call(argv, env | {"SHLVL": "1"}, stdin)


def _words(command: str, at: int) -> tuple[list[str], int]:
    """Those that follow in `command`, without their quotes, and where they end. Each part is looked at once."""
    words = []
    while (space := _SPACE.match(command, at)) and (part := _PART.match(command, space.end())):
        parts = []
        while part:
            parts.append(part[0] if part.lastindex is None else part[part.lastindex])
            at = part.end()
            part = _PART.match(command, at)
        words.append("".join(parts))
    return words, at


def _document(text: str, end: str) -> str | None:
    """What is before the line `end`, if nothing follows it."""
    lines = text.split("\n")
    if end not in lines:
        return None
    at = lines.index(end)
    return None if "".join(lines[at + 1 :]).strip(_BLANK) else "".join(f"{line}\n" for line in lines[:at])
