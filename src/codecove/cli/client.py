"""A server's API, for commands: requests, errors that a person can act on, and the options that say which server."""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Concatenate, ParamSpec
from urllib.parse import quote

import httpx2
import typer

P = ParamSpec("P")
Json = dict[str, Any]

DEFAULT_URL = "http://127.0.0.1:8080"
_API_VERSION = "2023-06-01"
_TIMEOUT = httpx2.Timeout(None, connect=10)
"""No limit on answers: code may run for as long as the server lets it."""


class RequestFailed(Exception):
    """The server refused, or could not be asked. The message is for the person at the terminal."""


class Client:
    """One server, with one key. Every method raises `RequestFailed`."""

    def __init__(self, url: str, api_key: str | None, workspace: str | None) -> None:
        headers = {"anthropic-version": _API_VERSION}
        if api_key:
            headers["x-api-key"] = api_key
        if workspace:
            headers["x-cove-workspace"] = workspace
        self._url = url
        self._headers = headers
        try:
            self._http = httpx2.Client(base_url=url, headers=headers, timeout=_TIMEOUT, trust_env=False)
        except (httpx2.InvalidURL, UnicodeEncodeError, ValueError) as error:
            raise RequestFailed(f"The URL or the key can't be used: {error}") from error

    def websocket(self, path: str) -> tuple[str, dict[str, str]]:
        """Address and headers for a WebSocket."""
        url = self._http.base_url.join(path).copy_with(scheme="wss" if self._http.base_url.scheme == "https" else "ws")
        return str(url), self._headers

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def json(self, method: str, path: str, **given: Any) -> Json:
        """The JSON answer of a request. `given`: `params`, `json`, `content` or `files`, as httpx has them."""
        with self.stream(method, path, **given) as answer:
            answer.read()
            try:
                body = answer.json()
            except ValueError:
                body = None
        if not isinstance(body, dict):
            raise RequestFailed(f"{self._url} is no codecove server: it did not answer with a JSON object.")
        return body

    @contextmanager
    def stream(self, method: str, path: str, **given: Any) -> Iterator[httpx2.Response]:
        """A good answer, whose body is still to be read."""
        try:
            with self._http.stream(method, path, **given) as answer:
                if not answer.is_success:
                    answer.read()
                    raise RequestFailed(explained(answer))
                yield answer
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise RequestFailed(
                f"No server answers at {self._url} ({error}). Is `cove serve` running there? "
                "`--url` or COVE_URL says where to look."
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise RequestFailed(f"The connection to {self._url} broke: {error or type(error).__name__}") from error

    def pages(self, path: str, limit: int, **params: Any) -> Iterator[Json]:
        """The first `limit` entries of a list."""
        while limit > 0:
            page = self.json("GET", path, params=params | {"limit": min(limit, 1000)})
            yield from page["data"]
            limit -= len(page["data"])
            if not page["has_more"] or not page["data"]:
                return
            params["after_id"] = page["last_id"]


def delete_each(client: Client, paths: Sequence[str]) -> None:
    """Delete what is at these paths; one that can't be deleted does not keep the others. Raises `RequestFailed`."""
    failures = []
    for path in paths:
        try:
            client.json("DELETE", path)
        except RequestFailed as error:
            failures.append(str(error))
    if failures:
        raise RequestFailed("\n".join(failures))


def segment(text: str) -> str:
    """One segment of a URL's path."""
    return quote(text.encode("utf-8", "surrogateescape"), safe="")


def explained(answer: httpx2.Response) -> str:
    """What a refusal says."""
    try:
        said = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return f"The server answered with status {answer.status_code}, and not as a codecove server does."
    if answer.status_code == 401:
        return f"{said}. Give a key with --api-key or COVE_API_KEY; `cove keys create` makes one."
    if (seconds := answer.headers.get("retry-after")) is not None:
        return f"{said} (try again in {seconds} s)"
    return str(said)


_OPTIONS: dict[str, Any] = {
    "url": (
        Annotated[str, typer.Option(envvar="COVE_URL", help="Where the server answers.", show_envvar=True)],
        DEFAULT_URL,
    ),
    "api_key": (
        Annotated[str | None, typer.Option(envvar="COVE_API_KEY", help="A key that it accepts.", show_envvar=True)],
        None,
    ),
    "workspace": (
        Annotated[
            str | None,
            typer.Option(envvar="COVE_WORKSPACE", help="With an admin's key: where to work.", show_envvar=True),
        ],
        None,
    ),
}


def with_client(function: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """Makes a command of a function whose first argument is a client: the options for that come to its own.

    A `RequestFailed` ends the command with its message and exit code 1.
    """
    own = list(inspect.signature(function).parameters.values())[1:]

    @functools.wraps(function)
    def command(*args: Any, **given: Any) -> None:
        options = {name: given.pop(name) for name in _OPTIONS}
        try:
            client = Client(**options)
            try:
                function(client, *args, **given)
            finally:
                client.close()
        except RequestFailed as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in _OPTIONS.items()
    ]
    command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]  # typer reads it
    del command.__wrapped__  # or it would read the function's
    return command
