"""The codec: whatever a hostile agent sends is either a frame or a `ProtocolError`."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecove.sandbox.executing import return_code
from codecove.sandbox.frames import (
    CHUNK,
    MAX_REQUEST,
    Answer,
    Frame,
    FrameParser,
    ProtocolError,
    Request,
    Status,
    decode_entries,
    decode_exit,
    decode_number,
    decode_status,
    encode,
    encode_path,
)

frames = st.builds(Frame, st.sampled_from(Answer), st.integers(0, 2**32 - 1), st.binary(max_size=300))


def raw(frame: Frame) -> bytes:
    return struct.pack("<IBI", len(frame.payload) + 5, frame.type, frame.id) + frame.payload


@given(st.lists(frames, max_size=20), st.data())
def test_frames_are_the_same_however_the_stream_is_cut(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(map(raw, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    parser = FrameParser()
    got: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got.extend(parser.feed(stream[start:end]))
    assert got == sent


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_garbage_gives_frames_or_an_error_and_is_not_hoarded(parts: list[bytes]) -> None:
    parser = FrameParser()
    with contextlib.suppress(ProtocolError):
        for part in parts:
            for frame in parser.feed(part):
                assert len(frame.payload) <= CHUNK
    assert len(parser._pending) <= CHUNK + 9 + 2000


@pytest.mark.parametrize("length", [0, 4, CHUNK + 6, 2**31, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_anything_is_kept(length: int) -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        list(FrameParser().feed(struct.pack("<IBI", length, Answer.DATA, 1)))


@pytest.mark.parametrize("kind", [0, Request.SPAWN, 63, 79, 255])
def test_an_unknown_type_is_refused(kind: int) -> None:
    with pytest.raises(ProtocolError, match="unknown type"):
        list(FrameParser().feed(struct.pack("<IBI", 5, kind, 1)))


@given(st.binary(max_size=400))
def test_payloads_of_garbage_give_values_or_errors(payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert 0 <= return_code(decode_exit(payload).wait_status) < 256
    with contextlib.suppress(ProtocolError):
        assert isinstance(decode_status(payload), Status)
    with contextlib.suppress(ProtocolError):
        assert decode_number(payload, "<Q") >= 0
    with contextlib.suppress(ProtocolError):
        for name, _ in decode_entries(payload):
            assert name not in {"", ".", ".."}
            assert "/" not in name
            assert "\0" not in name


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=255), st.integers(0, 2**63 - 1)), max_size=5))
def test_directory_entries(entries: list[tuple[bytes, int]]) -> None:
    payload = b"".join(
        struct.pack("<IQqQI", 0o100644, size, -1, 7, 1) + struct.pack("<H", len(name)) + name for name, size in entries
    )
    bad = any(set(name) & {0, 0x2F} or name in {b".", b".."} for name, _ in entries)
    if bad:
        with pytest.raises(ProtocolError):
            list(decode_entries(payload))
    else:
        got = [(name.encode("utf-8", "surrogateescape"), status.size) for name, status in decode_entries(payload)]
        assert got == entries


# 0x7F and what has it as its low byte is a process that has stopped, or goes on.
@pytest.mark.parametrize("status", [-1, 0x10000, 2**31 - 1, 0x7F, 0x137F, 0xFFFF])
def test_an_impossible_wait_status_is_refused(status: int) -> None:
    with pytest.raises(ProtocolError):
        decode_exit(struct.pack("<iBQQ", status, 0, 0, 0))


def test_a_request_has_its_length_before_it() -> None:
    assert encode(Request.KILL, 7) == b"\x05\0\0\0\x03\x07\0\0\0"


def test_a_request_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="SPAWN of"):
        encode(Request.SPAWN, 1, bytes(MAX_REQUEST))


def test_paths_keep_bytes_that_are_no_text() -> None:
    assert encode_path("/a\udcff", follow=True) == b"\x01/a\xff\0"
