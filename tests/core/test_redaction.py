"""Secrets by name, and nowhere else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from concord.core import redaction
from concord.core.errors import ConfigError, RewardError
from concord.core.redaction import private, redact, redacted, revealed


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setenv("A_TOKEN", "tok-5512")
    monkeypatch.setenv("A_PASSWORD", "pw-9931")
    monkeypatch.delenv("NOT_SET", raising=False)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"headers": {"Authorization": "Bearer abc123"}}, {"headers": {"Authorization": "<secret>"}}),
        ({"Headers": {"X-Any": "abc", "Accept": "*/*"}}, {"Headers": {"X-Any": "<secret>", "Accept": "*/*"}}),
        ({"api_key": "abc", "key": "score"}, {"api_key": "<secret>", "key": "score"}),
        ({"token": "abc", "pad_token": "<pad>"}, {"token": "<secret>", "pad_token": "<pad>"}),
        ({"hub_token": "abc", "use_auth_token": True}, {"hub_token": "<secret>", "use_auth_token": True}),
        ({"a": [{"client_secret": "abc"}]}, {"a": [{"client_secret": "<secret>"}]}),
        ("http://me:pw@host:1/x?n=1", "http://<secret>@host:1/x?n=1"),
        ("http://me:p@w@host/", "http://<secret>@host/"),
        ("https://ghp_abc@host/x", "https://<secret>@host/x"),
        ("http://host/?api_key=abc&n=1&sig=d%3D", "http://host/?api_key=<secret>&n=1&sig=<secret>"),
        ("http://host/x@y?n=1", "http://host/x@y?n=1"),
    ],
)
def test_secrets_are_left_out_of_what_is_kept(given: Any, kept: Any) -> None:
    assert redacted(given) == kept
    assert redacted(kept) == kept


@pytest.mark.parametrize(
    "named",
    [
        {"headers": {"Authorization": "Bearer env:A_TOKEN", "X-Any": "env:A_TOKEN"}},
        {"api_key": "env:A_TOKEN"},
        "http://me:env:A_PASSWORD@host/?token=env:A_TOKEN",
    ],
)
def test_a_name_is_kept_and_its_value_is_used(named: Any) -> None:
    assert redacted(named) == named
    opened = str(revealed(named))
    assert "env:" not in opened
    assert "tok-5512" in opened
    assert "tok-5512" not in redact(opened)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{'Authorization': 'Basic dXNlcg=='}", "{'Authorization': <secret>}"),
        ("Authorization: Bearer abc123", "Authorization: <secret>"),
        ("sent Bearer abc123 to it", "sent Bearer <secret> to it"),
        ("api_key=abc, n=2", "api_key=<secret>, n=2"),
        ("OPENAI_API_KEY=sk-1", "OPENAI_API_KEY=<secret>"),
        ("the key 'b' stands twice; pad_token: <pad>", "the key 'b' stands twice; pad_token: <pad>"),
        ("no password is wrong", "no password is wrong"),
        ("see someone@example.com", "see someone@example.com"),
    ],
)
def test_secrets_in_texts(text: str, shown: str) -> None:
    assert redact(text) == redact(redact(text)) == shown


def test_what_was_revealed_is_left_out_of_messages() -> None:
    assert str(RewardError("the server said: bad tok-5512")) == "the server said: bad tok-5512"
    revealed(
        {"token": "env:A_TOKEN", "headers": {"Authorization": "Bearer plain-777"}, "url": "http://u:word-8@h/?key=q-99"}
    )
    assert str(RewardError("bad tok-5512")) == "bad <secret>"
    for secret in ("plain-777", "word-8", "q-99"):
        assert redact(f"bad {secret}.") == "bad <secret>."


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigError, match=r"headers\.Authorization: env:NOT_SET names a variable .* not set"):
        revealed({"headers": {"Authorization": "Bearer env:NOT_SET"}})


def test_a_secret_that_a_file_does_not_hold_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"headers\.X: a secret was left out here .* env:NAME"):
        revealed(redacted({"headers": {"X": "abc"}}))


def test_private_files(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old")
    os.chmod(tmp_path / "there", 0o644)
    for name in ("there", "new"):
        with open(tmp_path / name, "w", opener=private) as file:
            file.write("x")
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        assert (tmp_path / name).read_text() == "x"


def test_log_records_and_tracebacks() -> None:
    code = (
        "import logging\n"
        "from concord.core.redaction import guard_output, revealed\n"
        "guard_output()\n"
        "revealed('env:A_TOKEN')\n"
        "logging.getLogger('x').warning('asked with %s, %d times', 'tok-5512', 2)\n"
        "raise ValueError('no such token tok-5512')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "asked with <secret>, 2 times" in done.stderr
    assert "ValueError: no such token <secret>" in done.stderr
    assert "tok-5512" not in done.stderr


def test_importing_it_changes_no_logging() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import logging, concord.core.redaction; print(logging.getLogRecordFactory().__name__)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "LogRecord"
