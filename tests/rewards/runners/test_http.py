"""A reward server: asked again where that can help, and not where it cannot."""

from __future__ import annotations

import email.utils
import gc
import gzip
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from concord.core.errors import ConfigError, MissingExtra, RewardError
from concord.core.status import FAILED, TIMED_OUT
from concord.rewards.call import Call, Reply
from concord.rewards.runners import HttpReward, Inline, http

pytest.importorskip("httpx2")
pytest.importorskip("tenacity")


@dataclass(frozen=True)
class Answer:
    """What the server says; ``pause`` seconds before it does."""

    status: int = 200
    body: bytes = b'{"rewards": [1.0]}'
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


@dataclass
class Server:
    """A server that answers as scripted, then with the queries as rewards."""

    url: str
    script: list[Answer]
    heard: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    started: list[ThreadingHTTPServer] = []

    def start(*script: Answer) -> Server:
        server = Server("", list(script))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                heard = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.heard.append(heard)
                server.headers.append(dict(self.headers))
                server.connections.add(self.client_address)
                default = Answer(body=json.dumps({"rewards": [float(q) for q in heard["query"]]}).encode())
                answer = server.script.pop(0) if server.script else default
                time.sleep(answer.pause)
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Clients that hang up are part of the tests."""

        started.append(Quiet(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        server.url = f"http://127.0.0.1:{started[-1].server_port}/get_reward"
        return server

    yield start
    for each in started:
        each.shutdown()
        each.server_close()


def ask(url: str, count: int = 1, **options: Any) -> list[Reply]:
    calls = [Call({"queries": [str(i)], "prompts": ["?"], "labels": [None]}, 1) for i in range(count)]
    return Inline(HttpReward(url, **{"backoff": 0.01, **options})).run(calls)


def test_the_request_is_openrlhfs_and_the_headers_go_along(serve: Callable[..., Server]) -> None:
    server = serve()
    reward = HttpReward(server.url, headers={"Authorization": "Bearer secret"})
    arguments = {"queries": ["1", "2"], "prompts": ["é\ud800", [{"role": "user"}]], "labels": [None, 3]}
    (reply,) = Inline(reward).run([Call(arguments, 2)])
    assert reply.value == {"rewards": [1.0, 2.0]}
    assert server.heard == [{"query": ["1", "2"], "prompts": ["é\ud800", [{"role": "user"}]], "labels": [None, 3]}]
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert server.headers[0]["Content-Type"] == "application/json"


def test_answers_are_in_the_order_of_the_calls(serve: Callable[..., Server]) -> None:
    server = serve(Answer(503), Answer(503, pause=0.1))
    assert [reply.value for reply in ask(server.url, count=12)] == [{"rewards": [float(i)]} for i in range(12)]


def test_connections_are_reused_from_batch_to_batch(serve: Callable[..., Server]) -> None:
    server = serve()
    calls = [Call({"queries": [str(i)], "prompts": ["?"], "labels": [0]}, 1) for i in range(8)]
    runner = Inline(HttpReward(server.url), concurrency=1)
    for _ in range(2):
        assert all(reply.status is None for reply in runner.run(calls))
    runner.close()
    assert len(server.connections) == 1


def test_connections_end_with_whoever_asked(serve: Callable[..., Server]) -> None:
    """Also where nobody closes the runner, and reward and runner are collected together."""
    reward = HttpReward(serve().url)
    held: list[Any] = [reward, Inline(reward)]
    held.append(held)
    held[1].run([Call({"queries": ["1"], "prompts": ["?"], "labels": [0]}, 1)])
    (client,) = reward._clients.values()
    assert not client.is_closed
    del reward, held
    gc.collect()
    assert client.is_closed


@pytest.mark.parametrize(
    "first",
    [
        Answer(503),
        Answer(500),
        Answer(429),
        Answer(429, headers={"Retry-After": "0"}),
        Answer(503, headers={"Retry-After": email.utils.formatdate(0)}),
        Answer(429, headers={"Retry-After": "soon"}),
        Answer(200, headers={"Content-Length": "1000", "Connection": "close"}),  # breaks off
    ],
    ids=["503", "500", "429", "429 seconds", "503 date", "429 nonsense", "broken off"],
)
def test_what_may_pass_is_asked_again(serve: Callable[..., Server], first: Answer) -> None:
    server = serve(first, first)
    (reply,) = ask(server.url, timeout=5)
    assert (reply.value, reply.error) == ({"rewards": [0.0]}, None)
    assert len(server.heard) == 3


def test_a_server_that_asks_for_time_gets_it_up_to_a_cap(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(http.asyncio, "sleep", sleep)
    server = serve(*(Answer(429, headers={"Retry-After": after}) for after in ("7", "3600")), Answer(429))
    (reply,) = ask(server.url, backoff=2)
    assert reply.status is None
    assert waited[:2] == [7.0, 30.0]
    assert 8.0 <= waited[2] <= 10.0  # 2 * 2^2, and up to 2 by chance


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(400, b"query\n missing"), "answered 400 Bad Request: query missing"),
        (Answer(404, b""), "answered 404 Not Found"),
        (Answer(301, b"", {"Location": "/elsewhere"}), "answered 301 Moved Permanently"),
        (Answer(200, b"<html>hello"), "answered what is not JSON: <html>hello"),
        (Answer(200, b"[" * 100_000), "answered what is not JSON: " + "[" * 200),
        (Answer(200, b'"\xff"'), 'answered what is not JSON: "\ufffd"'),
        (Answer(200, b"not gzip", {"Content-Encoding": "gzip"}), "could not be asked: DecodingError: "),
    ],
    ids=["400", "404", "301", "html", "deep", "not text", "not gzip"],
)
def test_what_will_not_pass_fails_at_once(serve: Callable[..., Server], answer: Answer, error: str) -> None:
    server = serve(answer)
    (reply,) = ask(server.url)
    assert reply.status == FAILED
    assert str(reply.error).startswith(f"RewardError: {server.url} {error}")
    assert isinstance(reply.exception, RewardError)
    assert len(server.heard) == 1


def test_a_server_that_stays_busy_is_given_up_on(serve: Callable[..., Server]) -> None:
    server = serve(*[Answer(503, b"busy")] * 3)
    (reply,) = ask(server.url, retries=2)
    assert reply.error == (f"RewardError: {server.url} answered 503 Service Unavailable: busy (attempt 3 of 3)")


def test_a_slow_server_is_asked_again_and_then_given_up_on(serve: Callable[..., Server]) -> None:
    server = serve(*[Answer(pause=1.0)] * 2)
    (reply,) = ask(server.url, retries=1, timeout=0.3)
    assert reply.status == TIMED_OUT
    assert reply.error == f"RewardTimeout: {server.url} did not answer within 0.3 s (attempt 2 of 2)"


def test_the_runners_limit_ends_the_asking(serve: Callable[..., Server]) -> None:
    server = serve(Answer(pause=1.0))
    call = Call({"queries": ["0"], "prompts": ["?"], "labels": [0]}, 1)
    (reply,) = Inline(HttpReward(server.url), timeout=0.3).run([call])
    assert (reply.status, reply.error) == (TIMED_OUT, "no answer within 0.3 s")
    assert len(server.heard) <= 1


def test_no_server_is_a_failure_that_says_so(serve: Callable[..., Server]) -> None:
    (reply,) = ask("http://user:secret@127.0.0.1:9/get_reward?key=secret", retries=1)
    assert str(reply.error).startswith("RewardError: http://127.0.0.1:9/get_reward could not be asked: ConnectError: ")
    assert str(reply.error).endswith("(attempt 2 of 2)")


@pytest.mark.parametrize("encoding", [{}, {"Content-Encoding": "gzip"}], ids=["plain", "packed"])
def test_an_answer_without_end_is_not_read_to_it(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, encoding: dict[str, str]
) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 2**20)
    body = b"[" + b"1," * 2**20 + b"1]"
    (reply,) = ask(serve(Answer(200, gzip.compress(body) if encoding else body, encoding)).url)
    assert str(reply.error).endswith("answered with more than 1 MiB")


def test_labels_that_are_not_json_are_named() -> None:
    (reply,) = Inline(HttpReward("http://127.0.0.1:9")).run([Call({"queries": [], "prompts": [], "labels": [{1}]}, 1)])
    assert reply.error == (
        "RewardError: labels cannot be sent to a reward server as JSON: Object of type set is not JSON serializable"
    )


@pytest.mark.parametrize("url", ["", "localhost:5000", "ftp://host/x", "http://", "http://host:port/", "http://[::1/"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="write http://host:port/path"):
        HttpReward(url)


@pytest.mark.parametrize("options", [{"retries": -1}, {"retries": 1.5}, {"backoff": -1}, {"timeout": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        HttpReward("http://host/", **options)


@pytest.mark.parametrize("package", ["httpx2", "tenacity"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package} is not installed; run: pip install 'concord-rl\[rewards\]'"):
        HttpReward("http://host/")
