"""An upstream over HTTP: any server that speaks the Messages protocol."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx2

from codecove.messages import upstream_errors
from codecove.messages.protocol import Event, PassedHeaders
from codecove.messages.upstream_events import read_events

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
                    raise await _refusal(response)
                async with aclosing(read_events(response)) as events:
                    async for event in events:
                        started = True
                        yield event
        except httpx2.HTTPError as error:
            raise upstream_errors.of_transport(error, started=started) from error

    async def count_tokens(self, request: dict[str, Any], headers: PassedHeaders) -> dict[str, Any]:
        """The upstream's own count; see `Upstream`."""
        url = f"{self._url}/count_tokens"
        try:
            async with self._client.stream(
                "POST", url, content=_encode(request), headers=self._headers(headers)
            ) as response:
                if response.status_code != 200:
                    raise await _refusal(response)
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


async def _refusal(response: httpx2.Response) -> Exception:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= _MAX_ERROR_BODY:
            break
    return upstream_errors.of_response(response.status_code, response.headers, bytes(body[:_MAX_ERROR_BODY]))
