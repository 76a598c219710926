"""Files whose names are in Chinese and German and have emoji, two of one name, by the TypeScript clients."""

import json
from pathlib import Path

import pytest

from tests.conformance.environments import CLIENTS, node_environment, run
from tests.support.script import Turn, bash, say
from tests.support.server import Server
from tests.support.upstream import MODEL, ScriptedUpstream

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

NAMES = ["数据.csv", "Größe & Übersicht.xlsx", "🎉 party.pdf", "same.txt", "same.txt"]
TYPES = [
    "text/csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/pdf",
    "text/plain",
    "text/plain",
]
COMMAND = 'cd "$INPUT_DIR"; cat *; ls | wc -l; echo 1 > "$OUTPUT_DIR/Übersicht 🎉.csv"; echo 2 > /workspace/结果.txt'


@pytest.mark.parametrize("version", ["typescript-0.52.0", "typescript-current"])
def test_files_go_in_and_come_out_under_their_names(server: Server, upstream: ScriptedUpstream, version: str) -> None:
    upstream.script(Turn([bash(COMMAND)]), Turn([say("Done.")]))
    directory = node_environment(version)
    program: Path = CLIENTS / "files.mjs"
    answer = json.loads(run(["node", str(program), str(directory), server.url, server.api_key, MODEL]))
    uploaded = answer["uploaded"]
    assert [file["filename"] for file in uploaded] == NAMES
    assert [file["mime_type"] for file in uploaded] == TYPES
    ids = [file["id"] for file in uploaded]
    assert [id_ for id_ in answer["listed"] if id_ in ids] == ids[::-1]
    digits, count = answer["stdout"][:5], answer["stdout"][5:].strip()
    assert (sorted(digits), count) == (list("01234"), "5")
    assert answer["made"] == {"Übersicht 🎉.csv": "1\n", "结果.txt": "2\n"}
    assert answer["gone"] == 404
