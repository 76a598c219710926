"""What a batch must be made of: checked before anything runs, so that a mistake costs nothing."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from codecove.errors import InvalidRequest

MAX_REQUESTS = 100_000
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Submitted:
    """One entry of `requests`, as the client sent it."""

    text: str
    """Its JSON."""
    value: Any


class Intake:
    """Checks the requests of one batch, one after the other."""

    def __init__(self, check_params: Callable[[dict[str, Any]], None]) -> None:
        """`check_params` raises `InvalidRequest` for what can't be a Messages request."""
        self._check_params = check_params
        self._numbers: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many have been taken."""
        return len(self._numbers)

    def take(self, value: Any) -> str:
        """Check the next request; the value is its `custom_id`. Raises `InvalidRequest` that names it."""
        number = self.count
        path = f"requests.{number}"
        if number >= MAX_REQUESTS:
            raise InvalidRequest(f"requests: a batch may have at most {MAX_REQUESTS:,} requests; split it")
        if not isinstance(value, dict):
            _refuse(path, "Input should be an object with `custom_id` and `params`")
        for key in value:
            if key not in ("custom_id", "params"):
                _refuse(f"{path}.{key}", "Extra inputs are not permitted")
        custom_id = self._custom_id(value.get("custom_id"), f"{path}.custom_id")
        params = value.get("params")
        if not isinstance(params, dict):
            _refuse(f"{path}.params", "Field required" if params is None else "Input should be an object")
        try:
            _check_batched(params)
            self._check_params(params)
        except InvalidRequest as error:
            _refuse(f"{path}.params", error.message, separator=".")
        self._numbers[custom_id] = number
        return custom_id

    def _custom_id(self, value: Any, path: str) -> str:
        if not isinstance(value, str):
            _refuse(path, "Field required" if value is None else "Input should be a valid string")
        if _CUSTOM_ID.fullmatch(value) is None:
            _refuse(path, "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'")
        if (other := self._numbers.get(value)) is not None:
            _refuse(path, f"'{value}' is that of requests.{other} too; each must be unique in the batch")
        return value


def _check_batched(params: dict[str, Any]) -> None:
    """What a request must have in a batch, where nobody waits who could repair it."""
    if params.get("stream"):
        raise InvalidRequest("stream: Streaming is not supported in batches; leave it out")
    tokens = params.get("max_tokens")
    if isinstance(tokens, bool) or not isinstance(tokens, int):
        raise InvalidRequest(f"max_tokens: {'Field required' if tokens is None else 'Input should be a valid integer'}")
    if tokens < 1:
        raise InvalidRequest("max_tokens: Input should be greater than or equal to 1")


def _refuse(path: str, reason: str, *, separator: str = ": ") -> NoReturn:
    raise InvalidRequest(f"{path}{separator}{reason}")
