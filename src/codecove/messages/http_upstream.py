"""An upstream over HTTP: any server that speaks the Messages protocol."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx2
import structlog

from codecove.messages import upstream_errors
from codecove.messages.estimate import input_tokens
from codecove.messages.protocol import Event, PassedHeaders
from codecove.messages.upstream_events import read_events

_log = structlog.stdlib.get_logger(__name__)
_MAX_ERROR_BODY = 64 * 1024
# What these announce is done here: an upstream that knows them would do it a second time, others might refuse them.
_OWN_BETAS = ("code-execution-", "files-api-")


class HttpUpstream:
    """One server, by its base URL. The client is shared and stays open; its owner closes it."""

    def __init__(self, client: httpx2.AsyncClient, *, base_url: str, api_key: str | None) -> None:
        self._client = client
        self._url = base_url.rstrip("/").removesuffix("/v1") + "/v1/messages"
        self._api_key = api_key

    async def stream(self, request: dict[str, Any], headers: PassedHeaders) -> AsyncGenerator[Event, None]:
        """One model turn; see `Upstream`."""
        started = False
        try:
            async with self._client.stream(
                "POST",
                self._url,
                content=_encode({**request, "stream": True}),
                headers={**self._headers(headers), "accept": "text/event-stream"},
            ) as response:
                if response.status_code != 200:
                    body = await _error_body(response)
                    raise upstream_errors.of_response(response.status_code, response.headers, body)
                async with aclosing(read_events(response)) as events:
                    async for event in events:
                        started = True
                        yield event
        except httpx2.HTTPError as error:
            raise upstream_errors.of_transport(error, started=started) from error

    async def count_tokens(self, request: dict[str, Any], headers: PassedHeaders) -> dict[str, Any]:
        """The upstream's own count, or an estimate if it doesn't know the endpoint; see `Upstream`."""
        url = f"{self._url}/count_tokens"
        try:
            async with self._client.stream(
                "POST", url, content=_encode(request), headers=self._headers(headers)
            ) as response:
                if response.status_code != 200:
                    body = await _error_body(response)
                    if not _means_no_endpoint(response.status_code, body):
                        raise upstream_errors.of_response(response.status_code, response.headers, body)
                    _log.info("the upstream counts no tokens: estimated", url=url)
                    return {"input_tokens": input_tokens(request)}
                answer = json.loads(await response.aread())
        except httpx2.HTTPError as error:
            raise upstream_errors.of_transport(error, started=False) from error
        except ValueError:
            raise upstream_errors.not_an_answer("broken JSON") from None
        if not isinstance(answer, dict):
            raise upstream_errors.not_an_answer("JSON that is no object")
        return answer

    def _headers(self, passed: PassedHeaders) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "anthropic-version": passed.version,
            # Compression would hold tokens back.
            "accept-encoding": "identity",
        }
        if self._api_key is not None:
            headers["x-api-key"] = self._api_key
        betas = [beta for beta in passed.betas if not beta.startswith(_OWN_BETAS)]
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
        return headers


def _encode(request: dict[str, Any]) -> bytes:
    """The same bytes for the same request; escapes carry even a string that has no UTF-8."""
    return json.dumps(request, separators=(",", ":")).encode("ascii")


def _means_no_endpoint(status: int, body: bytes) -> bool:
    """Whether the upstream has no such endpoint. A 404 that speaks of a model means that there is no such model."""
    return status in (405, 501) or (status == 404 and b"model" not in body.lower())


async def _error_body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= _MAX_ERROR_BODY:
            break
    return bytes(body[:_MAX_ERROR_BODY])
