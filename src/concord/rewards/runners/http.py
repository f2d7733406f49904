"""Servers asked for JSON with JSON; a reward server in OpenRLHF's protocol."""

from __future__ import annotations

import asyncio
import email.utils
import functools
import json
import math
import ssl
import time
import urllib.parse
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from concord.core.errors import ConfigError, MissingExtra, RewardError, RewardTimeout

if TYPE_CHECKING:
    import httpx2
    import tenacity

LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer's body, unpacked."""

LONGEST_WAIT = 30.0
"""Seconds between two attempts, also where the server asks for more."""


class JsonServer:
    """Posts JSON to a server, and returns the JSON of its answer.

    An attempt that finds no connection or takes too long, or is answered 429 or 5xx, is repeated after

        wait[k] = min(backoff 2^k, 30) + uniform(0, backoff)  seconds,   or Retry-After, 30 seconds at most

    Any other status but 2xx fails at once, a redirection too. Within one event loop connections are kept and reused.

    Args:
        url: of the endpoint, such as ``http://host:5000/get_reward``.
        retries: attempts after the first.
        headers: to send along, for one with a token.
        backoff: seconds, see above.
        timeout: seconds for one attempt, from connecting to the last byte.

    Raises:
        ConfigError: the URL is not one of http or https, or a number is out of range.
        MissingExtra: httpx2 or tenacity is not installed.
    """

    waits: ClassVar[bool] = True
    """Its calls wait for a server and never block, so that a time limit can end them in this process."""

    def __init__(
        self,
        url: str,
        *,
        retries: int = 3,
        headers: Mapping[str, str] | None = None,
        backoff: float = 0.5,
        timeout: float = 60.0,
    ) -> None:
        self._shown = without_secrets(url)
        if not (isinstance(retries, int) and retries >= 0):
            raise ConfigError(f"{self._shown}: retries must be a whole number from 0 up, got {retries!r}")
        if not (0 <= backoff < math.inf and 0 < timeout < math.inf):
            raise ConfigError(f"{self._shown}: backoff and timeout must be seconds, got {backoff!r} and {timeout!r}")
        try:
            import httpx2  # noqa: F401
            import tenacity  # noqa: F401
        except ImportError as error:
            raise MissingExtra.of("rewards", error.name or "httpx2") from error
        self._url = url
        self._retries = retries
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._backoff = backoff
        self._timeout = timeout
        self._clients: dict[asyncio.AbstractEventLoop, httpx2.AsyncClient] = {}

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> Any:
        """What the server answers to a body of JSON; with ``headers`` for this body alone.

        Raises:
            RewardTimeout: the last attempt took too long.
            RewardError: it does not answer, or not with JSON.
        """
        import tenacity

        client = await self._client()
        retrying = tenacity.AsyncRetrying(
            sleep=asyncio.sleep,
            stop=tenacity.stop_after_attempt(self._retries + 1),
            wait=self._wait,
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, _Failed) and error.again),
            reraise=True,
        )
        try:
            return await retrying(self._attempt, client, body, {**self._headers, **(headers or {})})
        except _Failed as error:
            attempts = retrying.statistics["attempt_number"]
            times = f" (attempt {attempts} of {self._retries + 1})" if error.again else ""
            kind = RewardTimeout if error.late else RewardError
            raise kind(f"{self._shown} {error}{times}") from error.__cause__

    async def _attempt(self, client: httpx2.AsyncClient, body: bytes, headers: Mapping[str, str]) -> Any:
        import httpx2

        try:
            async with (
                asyncio.timeout(self._timeout),
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                answer = await _read(response)
        except TimeoutError:
            raise _Failed(f"did not answer within {self._timeout:g} s", again=True, late=True) from None
        except httpx2.HTTPError as error:
            again = isinstance(error, httpx2.NetworkError | httpx2.ProxyError | httpx2.RemoteProtocolError)
            raise _Failed(f"could not be asked: {type(error).__name__}: {error}", again=again) from error
        if response.is_success:
            return _from_json(answer)
        again = response.status_code == 429 or response.is_server_error
        status = f"{response.status_code} {response.reason_phrase}"
        raise _Failed(f"answered {status}{_excerpt(answer)}", again=again, after=_seconds(response.headers))

    def _wait(self, state: tenacity.RetryCallState) -> float:
        import tenacity

        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, _Failed) and error.after is not None:
            return min(error.after, LONGEST_WAIT)
        exponential = tenacity.wait_exponential(multiplier=self._backoff, max=LONGEST_WAIT)
        return exponential(state) + tenacity.wait_random(0, self._backoff)(state)

    async def _client(self) -> httpx2.AsyncClient:
        """This event loop's client, which is closed when the loop shuts down its asynchronous generators."""
        import httpx2

        loop = asyncio.get_running_loop()

        async def closing(client: httpx2.AsyncClient) -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                _open.discard(end)
                del self._clients[loop]
                await client.aclose()

        if loop not in self._clients:
            # Attempts have a limit of their own, and the runner says how many there are at once.
            client = httpx2.AsyncClient(timeout=None, limits=httpx2.Limits(), verify=_certificates())
            self._clients[loop] = client
            end = closing(client)
            _open.add(end)
            await anext(end)
        return self._clients[loop]


_open: set[AsyncGenerator[None, None]] = set()
"""What closes clients at the end of their loop, held until then: their server may have been collected before."""


class HttpReward(JsonServer):
    """Asks a reward server; a coroutine function of queries, prompts and labels.

    Posts ``{"query": queries, "prompts": prompts, "labels": labels}`` as JSON and returns the JSON of the answer, in
    OpenRLHF ``{"rewards": [...], "scores": [...], "extra_logs": {...}}``, the last two optional. Arguments, attempts
    and pauses are those of :class:`JsonServer`.

    Source: OpenRLHF 0.11.2, ``SingleTurnAgentExecutor`` (the request) and ``serve_rm`` (the answer). It repeats on any
    error, five attempts 1 second apart, of 180 seconds each.
    """

    async def __call__(
        self, queries: Sequence[str], prompts: Sequence[Any], labels: Sequence[Any] | None = None
    ) -> Any:
        """What the server answers.

        Raises:
            RewardError: as :meth:`JsonServer.post`, or the prompts or labels are not JSON.
        """
        return await self.post(
            as_json({"query": queries, "prompts": prompts, "labels": labels or [None] * len(queries)})
        )


class _Failed(Exception):
    """An attempt failed.

    Attributes:
        again: whether another may succeed.
        after: in so many seconds, if the server says so.
        late: whether it failed for lack of time.
    """

    def __init__(self, text: str, *, again: bool = False, after: float | None = None, late: bool = False) -> None:
        super().__init__(text)
        self.again = again
        self.after = after
        self.late = late


@functools.cache
def _certificates() -> ssl.SSLContext:
    """What all clients trust; reading it takes longer than asking a server."""
    import httpx2

    return httpx2.create_ssl_context()


def without_secrets(url: str) -> str:
    """The URL for messages, without password and query."""
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f"{url!r} is not the URL of a reward server; write http://host:port/path")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def as_json(fields: Mapping[str, Any]) -> bytes:
    """The body of a request; RewardError names the field that is not JSON."""
    parts = []
    for name, value in fields.items():
        try:
            parts.append(f'"{name}": {json.dumps(value)}')
        except (TypeError, ValueError, RecursionError) as error:
            raise RewardError(f"{name} cannot be sent to a reward server as JSON: {error}") from error
    return f"{{{', '.join(parts)}}}".encode()


def _from_json(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise _Failed(f"answered what is not JSON{_excerpt(answer)}") from error


async def _read(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise _Failed(f"answered with more than {LARGEST_ANSWER // 2**20} MiB")
    return bytes(body)


def _excerpt(answer: bytes) -> str:
    text = " ".join(answer[:200].decode(errors="replace").split())
    return f": {text}" if text else ""


def _seconds(headers: httpx2.Headers) -> float | None:
    """What ``Retry-After`` says: seconds, or a date."""
    value = headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None
