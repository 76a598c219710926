"""Lists of files: pages of both generations, and what goes on meanwhile."""

import asyncio
import random
from typing import Any

import pytest

from codecove.errors import InvalidRequest
from codecove.files.service import File, Files
from codecove.workspaces import Caller
from tests.files.support import pieces


async def make(files: Files, caller: Caller, count: int) -> list[File]:
    """Files with contents of their own, the newest first, as lists have them."""
    made = [
        await files.create(caller, filename=f"{number}.txt", data=pieces(str(number).encode()))
        for number in range(count)
    ]
    return made[::-1]


async def test_the_list_begins_with_the_newest(files: Files, caller: Caller) -> None:
    made = await make(files, caller, 22)
    page = await files.list(caller)
    assert (page.data, page.has_more) == (made[:20], True)
    wire = page.to_wire()
    assert (wire["first_id"], wire["last_id"], wire["has_more"]) == (made[0].id, made[19].id, True)
    assert wire["data"][0] == made[0].to_wire()


async def test_an_empty_list_has_no_ids(files: Files, caller: Caller) -> None:
    empty = {"data": [], "has_more": False, "first_id": None, "last_id": None, "next_page": None}
    assert (await files.list(caller)).to_wire() == empty


async def test_pages_forward_give_every_file_once(files: Files, caller: Caller) -> None:
    made = await make(files, caller, 7)
    seen, page = [], await files.list(caller, limit=3)
    while True:
        seen += page.data
        if not page.has_more:
            break
        page = await files.list(caller, limit=3, after_id=page.data[-1].id)
    assert seen == made


async def test_pages_backward_give_every_file_once(files: Files, caller: Caller) -> None:
    made = await make(files, caller, 7)
    seen, page = [made[-1]], await files.list(caller, limit=3, before_id=made[-1].id)
    while True:
        seen = page.data + seen
        if not page.has_more:
            break
        page = await files.list(caller, limit=3, before_id=page.data[0].id)
    assert seen == made


async def test_pages_miss_nothing_while_files_come_and_go(files: Files, caller: Caller) -> None:
    made = await make(files, caller, 6)
    first = await files.list(caller, limit=3)
    await make(files, caller, 2)
    await files.delete(caller, made[4].id)
    second = await files.list(caller, limit=3, after_id=first.data[-1].id)
    assert second.data == [made[3], made[5]]
    assert not second.has_more


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_limit_out_of_range_is_refused(files: Files, caller: Caller, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="limit: "):
        await files.list(caller, limit=limit)


async def test_both_directions_at_once_are_refused(files: Files, caller: Caller) -> None:
    (file,) = await make(files, caller, 1)
    with pytest.raises(InvalidRequest, match="before_id: "):
        await files.list(caller, before_id=file.id, after_id=file.id)


async def test_pages_by_token_give_every_file_once(files: Files, caller: Caller) -> None:
    made = await make(files, caller, 7)
    seen, page = [], await files.list(caller, limit=3)
    while True:
        seen += page.data
        token = page.to_wire()["next_page"]
        if token is None:
            break
        assert token.startswith("page_")
        page = await files.list(caller, limit=3, page=token)
    assert seen == made


async def test_a_client_that_deletes_what_it_lists_gets_every_file(files: Files, caller: Caller) -> None:
    made = await make(files, caller, 7)
    for older in (True, False):
        seen, page = [], await files.list(caller, limit=2)
        while page.data:
            for file in page.data:
                await files.delete(caller, file.id)
                seen.append(file)
            if not page.has_more:
                break
            token = page.to_wire()["next_page"]
            last = page.data[-1].id
            page = await files.list(caller, limit=2, **({"after_id": last} if older else {"page": token}))
        assert seen == made
        made = await make(files, caller, 7)


async def test_files_are_found_by_their_ids(files: Files, caller: Caller, stranger: Caller) -> None:
    made = await make(files, caller, 5)
    theirs = (await make(files, stranger, 1))[0]
    await files.delete(caller, made[1].id)
    wanted = [made[3].id, made[0].id, made[1].id, made[3].id, theirs.id, "file_01" + "x" * 22, "nonsense"]
    page = await files.list(caller, ids=wanted)
    assert (page.data, page.has_more, page.to_wire()["next_page"]) == ([made[0], made[3]], False, None)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"ids": ["file_01" + "x" * 22], "limit": 5}, "ids: "),
        ({"ids": ["file_01" + "x" * 22], "page": "page_01" + "x" * 22}, "ids: "),
        ({"ids": [f"file_{number}" for number in range(101)]}, "ids: at most 100"),
        ({"page": "nonsense"}, "page: "),
        ({"page": "page_"}, "page: "),
        ({"page": "page_01" + "x" * 22}, "page: "),
        ({"after_id": "file_01" + "x" * 22}, "after_id: "),
        ({"before_id": "a\0b"}, "before_id: "),
        ({"after_id": "file_01" + "x" * 22, "page": "page_01" + "x" * 22}, "after_id: "),
    ],
)
async def test_wrong_parameters_are_refused(
    files: Files, caller: Caller, parameters: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        await files.list(caller, **parameters)


async def test_a_page_of_another_workspace_says_nothing(files: Files, caller: Caller, stranger: Caller) -> None:
    await make(files, caller, 3)
    token = (await files.list(caller, limit=1)).to_wire()["next_page"]
    with pytest.raises(InvalidRequest, match="page: "):
        await files.list(stranger, page=token)


async def test_what_was_there_all_the_time_is_listed_once_while_others_write(files: Files, caller: Caller) -> None:
    kept = await make(files, caller, 12)
    done = asyncio.Event()

    async def come_and_go(seed: int) -> None:
        pick = random.Random(seed)
        mine: list[File] = []
        while not done.is_set():
            if mine and pick.random() < 0.4:
                await files.delete(caller, mine.pop(pick.randrange(len(mine))).id)
            else:
                data = pieces(str(pick.random()).encode())
                mine.append(await files.create(caller, filename="x", data=data))

    async def read_all() -> None:
        for round_ in range(6):
            seen, page = [], await files.list(caller, limit=2)
            while True:
                seen += page.data
                if not page.has_more:
                    break
                token = page.to_wire()["next_page"]
                after: dict[str, Any] = {"page": token} if round_ % 2 else {"after_id": page.data[-1].id}
                page = await files.list(caller, limit=2, **after)
            assert len({file.id for file in seen}) == len(seen)
            assert [file for file in seen if file in kept] == kept
        done.set()

    async with asyncio.TaskGroup() as tasks:
        for seed in range(3):
            tasks.create_task(come_and_go(seed))
        tasks.create_task(read_all())


async def test_a_client_that_follows_the_newest_misses_no_file(files: Files, caller: Caller) -> None:
    (newest,) = await make(files, caller, 1)
    made: list[File] = []

    async def write(number: int) -> None:
        for turn in range(8):
            file = await files.create(caller, filename="x", data=pieces(f"{number} {turn}".encode()))
            made.append(file)

    async def follow() -> list[File]:
        seen: list[File] = []
        last = newest.id
        while len(seen) < 32:
            page = await files.list(caller, limit=5, before_id=last)
            seen += page.data[::-1]
            last = page.data[0].id if page.data else last
            await asyncio.sleep(0)
        return seen

    following = asyncio.create_task(follow())
    await asyncio.gather(*(write(number) for number in range(4)))
    seen = await asyncio.wait_for(following, 20)
    assert {file.id for file in seen} == {file.id for file in made}
