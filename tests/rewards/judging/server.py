"""A server that answers as OpenAI-compatible ones do, scripted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def completion(content: Any, **changes: Any) -> dict[str, Any]:
    """A chat completion; ``changes`` go into its choice."""
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | changes
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "judge", "choices": [choice]}


@dataclass(frozen=True)
class Reply:
    """What the server says: JSON, or bytes as they are; ``pause`` seconds before it does."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


@dataclass
class Served:
    """A running server.

    Attributes:
        url: of its API.
        answer: the reply to a request's body, where nothing is scripted.
        script: replies to the next requests.
        heard: the bodies of all requests, and ``headers`` theirs.
        most: how many requests were ever under way at once.
    """

    answer: Callable[[dict[str, Any]], Any]
    url: str = ""
    script: list[Reply] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    most: int = 0

    @property
    def questions(self) -> list[str]:
        """The last message of each request."""
        return [body["messages"][-1]["content"] for body in self.heard]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are part of the tests."""


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Any] | str = "7") -> Iterator[Served]:
    """A server on loopback; ``answer`` is what it says to each request, or a function of the request's body."""
    served = Served((lambda _: completion(answer)) if isinstance(answer, str) else answer)
    lock, now = threading.Lock(), 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal now
            heard = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                now += 1
                served.most = max(served.most, now)
                served.heard.append(heard)
                served.headers.append(dict(self.headers))
                served.paths.append(self.path)
                scripted = served.script.pop(0) if served.script else None
            reply = scripted or Reply(served.answer(heard))
            time.sleep(reply.pause)
            with lock:
                now -= 1
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with _Quiet(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        served.url = f"http://127.0.0.1:{http.server_port}/v1"
        yield served
        http.shutdown()
