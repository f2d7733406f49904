"""Secrets: taken from the environment by name, and left out of whatever is written or printed.

A configuration names a secret as ``env:NAME``, alone or within a text, ``Bearer env:TOKEN``. The name is what is kept,
and :func:`revealed` puts the value in its place where the value is used. A secret that stands in a configuration as it
is works too, but is not kept: :func:`redacted` puts ``<secret>`` in its place.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

HIDDEN = "<secret>"

_REFERENCE = re.compile(r"(?<![A-Za-z0-9_])env:([A-Za-z_][A-Za-z0-9_]*)")
_NAMED_ONLY = re.compile(r"\s*(?:(?:bearer|basic|digest|token|apikey)\s+)?env:[A-Za-z_][A-Za-z0-9_]*\s*", re.IGNORECASE)

_KEY = re.compile(
    r"authorization|cookie|passw|passphrase|secret|credential|bearer|jwt|^pwd$|^auth$"
    r"|(api|access|auth|account|private|subscription|signing)[-_.]?key"
    r"|^((\w+[-_.])?(api|auth|access|refresh|id|session|hub|hf|github)[-_.]?)?token$",
    re.IGNORECASE,
)
"""Names of options whose text is a secret; ``pad_token`` is none."""

_OPEN_HEADERS = re.compile(r"accept(-\w+)?|content-type|user-agent|host|connection|cache-control", re.IGNORECASE)
"""Headers that hold no secret; any other may."""

_USER = re.compile(r"(?<=://)[^/?#\s'\"]{1,1000}(?=@)")
_QUERY = re.compile(r"([?&])([\w.~%-]+)=([^&#\s'\"<>]+)")
_IN_QUERY = re.compile(r"key|token|secret|passw|pwd|auth|sig|credential|session|jwt|code", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer)\s+(?!env:)([\w+/.~=-]{4,})", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"((?:authorization|api[-_]?key|passw(?:or)?d|client[-_]?secret|access[-_]?token|hub[-_]?token)['\"]?\s*[:=]\s*)"
    r"(\"[^\"]*\"|'[^']*'|(?:(?:bearer|basic|digest|token)\s+)?[^\s,;}\])'\"<]+)",
    re.IGNORECASE,
)

_WORD = re.compile(r"[a-z]{1,7}")
"""How a message about a key goes on: ``api_key: is for a server``."""

_SHORTEST = 4
"""Characters of a secret that is looked for in texts; a shorter one stands everywhere by chance."""

_known: set[str] = set()


def revealed(value: Any) -> Any:
    """Return a value with each ``env:NAME`` in it replaced by what the environment has under that name.

    What is revealed, and what looks like a secret that stands there as it is, is from then on left out of messages.

    Raises:
        ConfigError: a variable is not set; or the value comes from a file that secrets have been left out of.

    Example:
        >>> os.environ["A_TOKEN"] = "s3cr3t"
        >>> revealed({"headers": {"Authorization": "Bearer env:A_TOKEN"}})
        {'headers': {'Authorization': 'Bearer s3cr3t'}}
        >>> redact("the server said: no such token s3cr3t")
        'the server said: no such token <secret>'
    """
    _mapped(value, _remember, _remember_parts)
    opened = _revealed(value, "")
    _mapped(opened, _remember, _remember_parts)
    return opened


def redacted(value: Any) -> Any:
    """Return plain data with ``<secret>`` in the place of each secret; ``env:NAME`` stays, as it is only a name.

    Example:
        >>> redacted({"api_key": "abc", "url": "http://me:pw@host/?token=x&n=1", "headers": {"X-Mine": "env:MINE"}})
        {'api_key': '<secret>', 'url': 'http://<secret>@host/?token=<secret>&n=1', 'headers': {'X-Mine': 'env:MINE'}}
    """
    return _mapped(value, lambda _: HIDDEN, redact)


def redact(text: str) -> str:
    """Return a text without secrets: those that were revealed, and what looks like one.

    That is user and password in a URL, query parameters such as ``api_key=`` and ``token=``, what follows ``Bearer``,
    and what is assigned to a name such as ``api_key`` or ``Authorization``.
    """
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _USER.sub(lambda found: found[0] if _only_named(found[0]) else HIDDEN, text)
    text = _QUERY.sub(_query, text)
    text = _ASSIGNED.sub(_assigned, text)
    return _BEARER.sub(rf"\1 {HIDDEN}", text)


def guard_output() -> None:
    """Leave secrets out of log records and of the tracebacks of this process; for command lines."""
    make, show = logging.getLogRecordFactory(), sys.excepthook

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        with contextlib.suppress(TypeError, ValueError):  # arguments that do not fit, which logging itself reports
            made.msg, made.args = redact(made.getMessage()), ()
        return made

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        if redact(text) == text:
            show(kind, error, trace)
        else:
            print(redact(text), file=sys.stderr, end="")

    logging.setLogRecordFactory(record)
    sys.excepthook = hook


def private(path: str, flags: int) -> int:
    """Open a file that its owner alone may read; an opener for ``open(..., opener=private)``."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)  # where the file was there before
    return descriptor


def _revealed(value: Any, where: str) -> Any:
    from concord.core.errors import ConfigError

    if isinstance(value, Mapping):
        return {key: _revealed(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_revealed(item, f"{where}.{index}") for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    at = f"{where.lstrip('.')}: " if where else ""
    if HIDDEN in value:
        raise ConfigError(
            f"{at}a secret was left out here when the file was written; give it again, as env:NAME, the name of a "
            "variable of the environment"
        )
    for name in _REFERENCE.findall(value):
        if name not in os.environ:
            raise ConfigError(f"{at}env:{name} names a variable of the environment that is not set")
        _remember(os.environ[name])
    return _REFERENCE.sub(lambda found: os.environ[found[1]], value)


def _mapped(value: Any, secret: Callable[[str], Any], text: Callable[[str], Any], header: bool = False) -> Any:
    """Return plain data with ``secret`` applied to what is a secret by its key, and ``text`` to all other text."""
    if isinstance(value, Mapping):
        return {
            key: secret(item)
            if _is_secret(str(key), item, header)
            else _mapped(item, secret, text, str(key).lower() == "headers")
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_mapped(item, secret, text) for item in value]
    return text(value) if isinstance(value, str) else value


def _is_secret(key: str, value: Any, header: bool) -> bool:
    named = _KEY.search(key) or (header and not _OPEN_HEADERS.fullmatch(key))
    return bool(named) and isinstance(value, str) and bool(value) and not _NAMED_ONLY.fullmatch(value)


def _only_named(user: str) -> bool:
    """Whether of ``user:password`` the password, or else the user, comes from the environment."""
    rest = _REFERENCE.sub("", user)
    return rest != user and (not rest or rest.endswith(":"))


def _query(found: re.Match[str]) -> str:
    secret = _IN_QUERY.search(found[2]) and not _REFERENCE.fullmatch(found[3])
    return f"{found[1]}{found[2]}={HIDDEN}" if secret else found[0]


def _assigned(found: re.Match[str]) -> str:
    told = found[1].endswith(": ") and _WORD.fullmatch(found[2]) and found.string[found.end() :].startswith(" ")
    named = _NAMED_ONLY.fullmatch(found[2].strip("'\""))
    return found[0] if told or named else found[1] + HIDDEN


def _remember(secret: str) -> None:
    _known.update(part for part in (secret, *secret.split()[-1:]) if len(part) >= _SHORTEST)


def _remember_parts(text: str) -> None:
    for user in _USER.findall(text):
        if not _only_named(user):
            for part in (user, user.partition(":")[2], base64.b64encode(user.encode()).decode()):  # as it is sent
                _remember(part)
    for _, name, value in _QUERY.findall(text):
        if _IN_QUERY.search(name) and not _REFERENCE.fullmatch(value):
            _remember(value)
    for _, value in _BEARER.findall(text):
        _remember(value)
