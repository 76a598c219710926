"""Shell commands that are nothing but one call of Python: those need no shell, and find the Python that waits.

Models that have a shell alone write most of their programs so: `python3 analysis.py`, or a here-document. The grammar
is that of the shell (Shell Command Language, POSIX.1-2017, 2.2 and 2.7.4), and only what stands for itself is taken.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

_PROGRAM: Final = "python3"
_FOUND: Final = "/usr/bin/python3"
# Possessive throughout: no command may take more than one look at each character.
_WORD: Final = r"""(?:[A-Za-z0-9_./:,@%+=-]++|'[^']*+'|"[^"$`\\]*+")++"""
_COMMAND: Final = re.compile(
    rf"""{_PROGRAM}(?P<words>(?:[ \t]++{_WORD})*+)[ \t]*+
    (?:<<[ \t]*+(?:'(?P<single>\w++)'|"(?P<double>\w++)"|(?P<bare>\w++))[ \t]*+\n(?P<rest>.*+))?+""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_WORDS: Final = re.compile(rf"[ \t]++({_WORD})")
_QUOTED: Final = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_LONGEST: Final = 1 << 16
"""Of longer programs it is not the start that takes long."""
_BLANK: Final = " \t\n"
_EXPANDED: Final = re.compile(r"[$`\\]")
_READ_BY_BASH: Final = re.compile(r"BASH|SHELLOPTS$|POSIXLY_CORRECT$|IFS$|PATH$|PWD$|OLDPWD$|SHLVL$|_$|PS4$|ENV$")
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
    if call.stdin or len(command) > _LONGEST or any(_READ_BY_BASH.match(name) for name in call.env):
        return None
    found = _COMMAND.fullmatch(command.strip(_BLANK))
    if found is None:
        return None
    words = [_QUOTED.sub(r"\1\2", word) for word in _WORDS.findall(found["words"])]
    env = {**call.env, "PWD": cwd, "_": _FOUND}
    if found["rest"] is None:
        # The last command of all takes the shell's place, which is one level less.
        return Call([_PROGRAM, *words], env | {"SHLVL": "0"}, b"")
    document = _document(found["rest"], found["single"] or found["double"] or found["bare"])
    if document is None or (found["bare"] and _EXPANDED.search(document)):
        return None
    stdin = document.encode(errors="surrogateescape")
    return replace(call, argv=[_PROGRAM, *words], env=env | {"SHLVL": "1"}, stdin=stdin)


def _document(text: str, end: str) -> str | None:
    """What is before the line `end`, if nothing follows it."""
    lines = text.split("\n")
    if end not in lines:
        return None
    at = lines.index(end)
    return None if "".join(lines[at + 1 :]).strip(_BLANK) else "".join(f"{line}\n" for line in lines[:at])
