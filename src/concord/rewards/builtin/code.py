"""Whether the program in a completion passes its tests."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from concord.core.errors import RewardError
from concord.rewards.builtin.containment import Sandbox, containment, run
from concord.rewards.builtin.fences import fenced_blocks
from concord.rewards.builtin.options import positive, short, whole
from concord.rewards.completions import Completion, completion_text

Test = str | Mapping[str, str]
Tests = Sequence[Test]

LABELS = ("python", "py", "python3")


def code_tests(
    completions: Sequence[Completion],
    tests: Sequence[Tests | None],
    *,
    timeout: float = 10.0,
    memory_mb: int = 1024,
    parallel: int = 4,
    sandbox: str | None = None,
    **_: Any,
) -> list[float | None]:
    """The share of its tests that the program in a completion passes.

        score = tests passed / tests

    The program is the last fenced block labelled python, py or python3, or the last without a label if none is. A test
    is one of

        "assert add(1, 2) == 3"               run in the program's namespace after it; fails if it raises. The program
                                              is imported for it: its ``__name__`` is not ``"__main__"``.
        {"input": "1 2\\n", "output": "3\\n"}   the program is run as a script, must print the output, and end with
                                              status 0. White space at the end of a line or of the whole is ignored.

    Each has a process and a folder of its own, so none sees what another did. Installed packages can be imported. How
    programs are kept from harm is said in :mod:`concord.rewards.builtin.containment`: it is containment, not a sandbox.

    To print, to write to strange places or to end early passes no test. But a program that searches its own process,
    or returns objects whose ``__eq__`` says yes to everything, can pass statements; output is compared outside.

    Args:
        tests: the data's column; a list for each completion.
        timeout: seconds for all tests of a completion together; what is not done by then has failed.
        memory_mb: MiB of address space for each process of a program; NumPy alone takes 150.
        parallel: completions whose programs run at once; of no effect on the scores while time suffices.
        sandbox: a command that runs ``{command}`` in a sandbox of yours, such as ``"bwrap --ro-bind / / --bind
            {folder} {folder} --dev /dev --unshare-all {command}"``; see
            :class:`concord.rewards.builtin.containment.Sandbox`.

    Range: [0, 1].  Unjudgeable: tests that are None or an empty list give None; no program is 0.
    Raises: ConfigError for a wrong option, and on Windows; RewardError if tests are not as above or none can be run.

    Example:
        >>> wrong = "```python\\ndef add(a, b):\\n    return a - b\\n```"
        >>> code_tests([wrong], [["assert add(1, 0) == 1", "assert add(1, 1) == 2"]])
        [0.5]
    """
    limits: dict[str, Any] = {"timeout": positive("timeout", timeout), "memory": whole("memory_mb", memory_mb) * 2**20}
    outer = None if sandbox is None else Sandbox(sandbox)
    columns = [_checked(index, entry) for index, entry in enumerate(tests)]
    programs = [program_of(completion_text(completion)) for completion in completions]
    score = functools.partial(_score, level=containment(outer), sandbox=outer, **limits)
    with ThreadPoolExecutor(whole("parallel", parallel)) as pool:
        return list(pool.map(lambda pair: score(*pair), zip(programs, columns, strict=True)))


def program_of(text: str) -> str | None:
    """The program in a text: see :func:`code_tests`; None if there is none.

    Example:
        >>> program_of("First\\n```python\\nx = 1\\n```\\nwhich prints\\n```\\n1\\n```")
        'x = 1'
    """
    blocks = fenced_blocks(text)
    found = [block for block in blocks if block.label in LABELS] or [block for block in blocks if not block.label]
    return found[-1].text if found else None


def _checked(index: int, entry: Any) -> Tests | None:
    if entry is None:
        return None
    if isinstance(entry, list | tuple) and all(isinstance(test, str) or _is_pair(test) for test in entry):
        return entry
    raise RewardError(
        f"the tests of completion {index} are {short(entry)}; write a list of assert statements, or of "
        '{"input": ..., "output": ...} with text in both'
    )


def _is_pair(test: Any) -> bool:
    return isinstance(test, Mapping) and all(isinstance(test.get(name), str) for name in ("input", "output"))


def _score(program: str | None, tests: Tests | None, **how: Any) -> float | None:
    if not tests:
        return None
    if program is None:
        return 0.0
    runs = [{"test": test} if isinstance(test, str) else {"input": test["input"]} for test in tests]
    return sum(map(_passed, tests, run(program, runs, **how))) / len(tests)


def _passed(test: Test, outcome: Any) -> bool:
    if isinstance(test, str):
        return outcome is True
    return isinstance(outcome, str) and _lines(outcome) == _lines(test["output"])


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
