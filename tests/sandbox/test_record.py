"""What is kept of a container beside its disk."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codecove.sandbox import record
from codecove.sandbox.limits import Limits
from codecove.sandbox.record import Checkpoint, Record

RECORDS = st.builds(
    Record,
    container_id=st.text(max_size=20),
    limits=st.builds(Limits, memory_bytes=st.integers(1, 2**40), cpus=st.floats(0.1, 64)),
    checkpoint=st.none() | st.builds(Checkpoint, st.text(max_size=64), st.text(max_size=64)),
    without=st.text(max_size=50),
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS)
def test_what_is_written_is_read(tmp_path: Path, kept: Record) -> None:
    record.write(tmp_path, kept)
    assert record.read(tmp_path) == kept


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"container_id": "x", "limits": {"no_such": 1}}'])
def test_what_can_not_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / record.NAME).write_text(text)
    assert record.read(tmp_path) is None


def test_a_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"3")
    first = record.digest(tmp_path)
    assert record.digest(tmp_path) == first
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"23")
    assert record.digest(tmp_path) != first
