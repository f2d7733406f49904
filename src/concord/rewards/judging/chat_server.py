"""A chat model behind a server that answers as OpenAI's do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from concord.core.errors import ConfigError, RewardError
from concord.core.redaction import revealed
from concord.rewards.judging.chat_answer import ChatAnswer, read_completion
from concord.rewards.runners.http import JsonServer, as_json, without_secrets

PATH = "/chat/completions"

FIXED = ("model", "messages", "stream", "n")
"""Fields of a request that are not parameters."""


class ChatServer:
    """Asks ``POST {url}/chat/completions``; attempts and pauses are those of :class:`JsonServer`.

    Args:
        url: with or without the path, such as ``http://judge:8000/v1``; without password and query, which would be
            stored with the run.
        model: as the server calls it.
        parameters: further fields of a request, such as ``max_tokens``; None takes a field out. The temperature is 0
            unless they say otherwise.
        api_key: ``env:NAME``, the environment variable that holds the key. It is read at each question, sent as a
            bearer token, and taken out of the server's messages; it is never stored.
        retries, backoff, timeout: of :class:`JsonServer`.

    Raises:
        ConfigError: an argument that is none of these, or no such environment variable.
        MissingExtra: httpx2 or tenacity is not installed.
    """

    batch_size = 1
    waits = True

    def __init__(
        self,
        url: str,
        model: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        retries: int = 3,
        backoff: float = 0.5,
        timeout: float = 60.0,
    ) -> None:
        self.check(url, parameters, api_key)
        self._api_key = api_key
        self._key()
        whole = url.rstrip("/").removesuffix(PATH) + PATH
        self._server = JsonServer(whole, retries=retries, backoff=backoff, timeout=timeout)
        given = {"temperature": 0, **(parameters or {})}
        self._fields = {"model": model, **{name: value for name, value in given.items() if value is not None}}
        self.identity = {"url": whole, "request": self._fields}

    @staticmethod
    def check(url: str, parameters: Mapping[str, Any] | None, api_key: str | None) -> None:
        """Check arguments without asking anybody; ConfigError says what is wrong."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ConfigError(f"the judge's url is none ({error}); write http://host:port/v1") from error
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ConfigError(
                f"the judge's url {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path} has a password or "
                "query, which would be stored with the run; give a key as api_key: env:NAME"
            )
        without_secrets(url)
        if taken := [name for name in FIXED if name in (parameters or {})]:
            raise ConfigError(f"parameters: {taken[0]!r} is the judge's own to set; leave it out")
        try:
            json.dumps(parameters, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"parameters cannot be sent as JSON: {error}") from error
        if api_key is not None:
            _variable("api_key", api_key)

    async def ask(self, questions: Sequence[list[dict[str, str]]]) -> list[ChatAnswer]:
        """One answer for each question, asked one after another.

        Raises:
            RewardTimeout, RewardError: as :meth:`JsonServer.post`, or the answer is not a chat completion.
        """
        return [await self._ask(messages) for messages in questions]

    async def _ask(self, messages: list[dict[str, str]]) -> ChatAnswer:
        key = self._key()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        body = as_json({**self._fields, "messages": messages})
        try:
            reply = await self._server.post(body, headers)
            try:
                return read_completion(reply)
            except RewardError as error:
                raise RewardError(f"{self.identity['url']} {error}") from None
        except RewardError as error:
            # An error's text is without secrets, its arguments are not: whoever logs it shows these.
            raise type(error)(str(error)) from None

    def _key(self) -> str | None:
        return None if self._api_key is None else from_environment("api_key", self._api_key)


def from_environment(name: str, reference: str) -> str:
    """The secret that ``env:NAME`` stands for.

    Args:
        name: of the option, for messages.
        reference: as it stands in a configuration.

    Raises:
        ConfigError: it is not of that form (it may be the secret itself, and is not shown), or the variable is not
            set, or cannot be sent in a header.
    """
    variable = _variable(name, reference)
    secret = os.environ.get(variable, "").strip()
    if not secret:
        raise ConfigError(f"for {name}, the environment variable {variable} is not set")
    if not (secret.isascii() and secret.isprintable()):
        raise ConfigError(f"for {name}, the environment variable {variable} holds characters that no header takes")
    revealed(reference)  # from now on no message shows it
    return secret


def _variable(name: str, reference: str) -> str:
    variable = re.fullmatch(r"env:([A-Za-z_]\w*)", reference)
    if variable is None:
        raise ConfigError(
            f"{name} names an environment variable, as env:NAME: what stands in a configuration is stored with the run"
        )
    return variable[1]
