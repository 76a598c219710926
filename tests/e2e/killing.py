"""Clients that keep a server busy while it is killed again and again, and a ledger of what it has acknowledged."""

import contextlib
import hashlib
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx2

from tests.support.script import Json
from tests.support.server import KEY

HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
MAX_CONTAINERS = 4
ABSENT = None

Contents = set[bytes | None]
"""What may be at a path: more than one thing while a write is not acknowledged."""


@dataclass
class Ledger:
    """What the clients know for certain, and what they don't."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    files: dict[str, str] = field(default_factory=dict)
    """Id → SHA-256 of those that must be there."""
    deleted: set[str] = field(default_factory=set)
    containers: dict[str, dict[str, Contents]] = field(default_factory=dict)
    """Id → path → what it may have; of those that must be there."""
    deleted_containers: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    """Promises that were not kept."""
    operations: int = 0
    interrupted: int = 0


def client(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, headers=HEADERS, timeout=60, trust_env=False)


class Load:
    """Threads of clients. As a context manager: they work until the end of the block."""

    def __init__(self, url: str, ledger: Ledger, seed: int, clients: int = 4) -> None:
        self._url = url
        self._ledger = ledger
        self._stop = threading.Event()
        self._numbers = itertools.count(seed * 1_000_000)
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(seed * 100 + number),)) for number in range(clients)
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a client is left without an answer"

    def _work(self, pick: random.Random) -> None:
        operations: list[Callable[[httpx2.Client, random.Random], None]] = [
            *[self._upload] * 4,
            *[self._download] * 3,
            self._delete,
            self._create,
            *[self._put] * 3,
            *[self._execute] * 3,
            self._delete_container,
        ]
        with client(self._url) as http:
            while not self._stop.is_set():
                try:
                    pick.choice(operations)(http, pick)
                    self._ledger.operations += 1
                except httpx2.TransportError:
                    self._ledger.interrupted += 1
                    self._stop.wait(0.05)

    def _upload(self, http: httpx2.Client, pick: random.Random) -> None:
        data = pick.randbytes(pick.choice([1, 5000, 3 * 2**20]))
        answer = http.post("/v1/files", files={"file": (f"{next(self._numbers)}.bin", data)})
        if answer.status_code == 200:
            with self._ledger.lock:
                self._ledger.files[answer.json()["id"]] = hashlib.sha256(data).hexdigest()

    def _download(self, http: httpx2.Client, pick: random.Random) -> None:
        file_id, sha256 = pick.choice(list(self._ledger.files.items()) or [("", "")])
        if not file_id:
            return
        answer = http.get(f"/v1/files/{file_id}/content")
        if answer.status_code == 200 and sha256 and hashlib.sha256(answer.content).hexdigest() != sha256:
            self._ledger.broken.append(f"{file_id} was served with {len(answer.content)} other bytes")

    def _delete(self, http: httpx2.Client, pick: random.Random) -> None:
        with self._ledger.lock:
            if len(self._ledger.files) < 20:
                return
            file_id = pick.choice(list(self._ledger.files))
            del self._ledger.files[file_id]
        if http.delete(f"/v1/files/{file_id}").status_code == 200:
            self._ledger.deleted.add(file_id)

    def _create(self, http: httpx2.Client, pick: random.Random) -> None:
        if len(self._ledger.containers) < MAX_CONTAINERS:
            answer = http.post("/v1/containers", json={})
            if answer.status_code == 200:
                self._ledger.containers[answer.json()["id"]] = {}

    @contextlib.contextmanager
    def _path(self, pick: random.Random, new: bytes) -> Iterator[tuple[str, str]]:
        """A container and a path that nobody else writes to, which may have `new` from now on."""
        with self._ledger.lock:
            container_id = pick.choice(list(self._ledger.containers) or [""])
            path = f"/workspace/{threading.get_ident()}-{pick.randrange(5)}"
            contents = self._ledger.containers.get(container_id, {})
            contents.setdefault(path, {ABSENT}).add(new)
        yield container_id, path

    def _written(self, container_id: str, path: str, new: bytes) -> None:
        with self._ledger.lock:
            if container_id in self._ledger.containers:
                self._ledger.containers[container_id][path] = {new}

    def _put(self, http: httpx2.Client, pick: random.Random) -> None:
        new = pick.randbytes(pick.choice([10, 2**20]))
        with self._path(pick, new) as (container_id, path):
            if container_id and http.put(f"/v1/containers/{container_id}/files{path}", content=new).status_code == 200:
                self._written(container_id, path, new)

    def _execute(self, http: httpx2.Client, pick: random.Random) -> None:
        new = f"{next(self._numbers)}\n".encode()
        with self._path(pick, new) as (container_id, path):
            if not container_id:
                return
            command = f"sleep {pick.choice([0, 0, 1])}; echo {new.decode().strip()} > {path}"
            answer = http.post(
                f"/v1/containers/{container_id}/executions",
                json={"name": "bash_code_execution", "input": {"command": command}},
            )
            content: Json = answer.json().get("content", {}) if answer.status_code == 200 else {}
            if content.get("return_code") == 0:
                self._written(container_id, path, new)
                with self._ledger.lock:
                    for entry in content["content"]:
                        if entry["file_id"] not in self._ledger.files:
                            self._ledger.files[entry["file_id"]] = ""

    def _delete_container(self, http: httpx2.Client, pick: random.Random) -> None:
        with self._ledger.lock:
            if len(self._ledger.containers) < MAX_CONTAINERS or pick.random() < 0.5:
                return
            container_id = pick.choice(list(self._ledger.containers))
            del self._ledger.containers[container_id]
        if http.delete(f"/v1/containers/{container_id}").status_code == 200:
            self._ledger.deleted_containers.add(container_id)
