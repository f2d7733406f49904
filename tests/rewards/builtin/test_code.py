"""Programs against tests: what passes, and what does not however it tries."""

from __future__ import annotations

from typing import Any

import pytest

from concord.core.errors import ConfigError, RewardError
from concord.rewards.builtin import code_tests
from concord.rewards.builtin.code import program_of

ADD = "def add(a, b):\n    return a + b"
RIGHT, WRONG = "assert add(1, 2) == 3", "assert add(1, 2) == 4"
DOUBLE = "n = int(input())\nprint(2 * n)"
PAIR = {"input": "4\n", "output": "8\n"}

TO_EVERY_DESCRIPTOR = """
import os
for fd in range(64):
    try: os.write(fd, b'x' * 16)
    except OSError: pass
"""
TOO_LARGE = """
def f():
    with open('x', 'wb') as file:
        for _ in range(64): file.write(b'x' * 2**20)
"""
A_MAIN_THAT_READS = f"""
{ADD}
if __name__ == '__main__':
    print(add(*map(int, input().split())))
"""
DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class A:
    x: int
"""
ECHO = """
import sys
for line in sys.stdin:
    print(line, end='')
"""


def pair(given: str, printed: str) -> dict[str, str]:
    return {"input": given, "output": printed}


# name: (program, tests, score)
PROGRAMS: dict[str, tuple[str, list[Any], float]] = {
    "right": (ADD, [RIGHT], 1),
    "half right": (ADD, [RIGHT, WRONG], 0.5),
    "several statements": (ADD, ["x = add(1, 1)\nfor _ in range(3):\n    x = add(x, x)\nassert x == 16"], 1),
    "a test that does not compile": (ADD, ["assert add(1, 2) ==", RIGHT], 0.5),
    "a main that reads": (A_MAIN_THAT_READS, [RIGHT, pair("1 2", "3")], 1),
    "a global that a function changes": ("n = 0\ndef f():\n    global n\n    n += 1", ["f(); f(); assert n == 2"], 1),
    "state of another test": ("seen = []", ["seen.append(1); assert seen == [1]"] * 2, 1),
    "files of another test": ("import os", ["assert os.listdir() == []; open('x', 'w').close()"] * 2, 1),
    "dataclasses": (DATACLASS, ["assert A(1) == A(1)"], 1),
    "unicode": ("# \u4e2d\U0001f600\ndef f():\n    return '\u00e9\u2028'", ["assert f() == '\u00e9\\u2028'"], 1),
    "a coding line": ("# coding: latin-1\ns = '\u00e9'", ["assert s == '\\xe9'"], 1),
    "installed packages": ("import typing_extensions", ["assert typing_extensions"], 1),
    "empty": ("", [RIGHT, "assert True"], 0.5),
    "no Python": ("Add the two numbers.", [RIGHT], 0),
    "zero bytes": (ADD + "\n\0", [RIGHT], 0),
    "a lone surrogate": (ADD + "\ns = '\ud800'", [RIGHT], 0),
    "brackets without end": (ADD + "\n" + "(" * 100_000, [RIGHT], 0),
    "recursion without end": ("def add(a, b):\n    return add(a, b)", [RIGHT, "assert True"], 0.5),
    "raises when loaded": (ADD + "\n1 / 0", [RIGHT], 0),
    "exit": ("import sys\nsys.exit(0)\n" + ADD, [RIGHT], 0),
    "exit when called": ("import sys\ndef add(a, b):\n    sys.exit(0)", [RIGHT, "assert True"], 0.5),
    "os._exit": ("import os\nos._exit(0)", [RIGHT], 0),
    "os._exit when called": ("import os\ndef add(a, b):\n    os._exit(0)", [RIGHT], 0),
    "os._exit at exit": ("import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit", [RIGHT], 0),
    "says that it passed": ("print('True')\nprint('passed')\nprint('[true]', flush=True)", [RIGHT], 0),
    "writes to every descriptor": (TO_EVERY_DESCRIPTOR, [RIGHT], 0),
    "closes every descriptor": (ADD + "\nimport os\nos.closerange(0, 64)", [RIGHT], 0),
    "no stdin": ("import sys\ntext = sys.stdin.read()", ["assert text == ''"], 1),
    "too much memory": ("x = bytearray(8 * 2**30)", ["assert True"], 0),
    "too much memory, caught": ("try: bytearray(8 * 2**30)\nexcept MemoryError: x = 1", ["assert x"], 1),
    "too large a file": (TOO_LARGE, ["try: f()\nexcept OSError: pass\nelse: raise AssertionError"], 1),
    "prints": (DOUBLE, [PAIR, pair("5", "10"), pair("5", "11")], 2 / 3),
    "white space at the end": ("print('a  \\nb\\t\\n\\n')", [pair("", "a\nb"), pair("", " a\nb")], 0.5),
    "echo": (ECHO, [pair(text, text) for text in ("a\nb\n", "", "\u00fc\u4e2d\U0001f600", "x" * 500_000)], 1),
    "reads nothing": ("print(8)", [pair("4\n" * 100_000, "8")], 1),
    "prints when it ends": ("import atexit\natexit.register(print, 8)", [PAIR], 1),
    "prints from a child": ("import os\nif os.fork(): os.wait()\nelse: print(8)", [PAIR], 1),
    "right and then wrong": ("print(8)\nraise ValueError", [PAIR], 0),
    "right and then status 3": ("print(8)\nraise SystemExit(3)", [PAIR], 0),
    "right and then status 0": ("print(8)\nraise SystemExit", [PAIR], 1),
    "right and then killed": ("import os\nprint(8, flush=True)\nos.kill(os.getpid(), 9)", [PAIR], 0),
    "a wrong encoding": ("import os\nos.write(1, b'\\xff8')", [PAIR], 0),
    "more output than is read": ("print(8)\nprint(' ' * 2**21)", [PAIR], 0),
    "a flood of output": ("while True:\n    print('x' * 2**16)", [PAIR], 0),
}


@pytest.fixture(scope="module")
def scores() -> dict[str, float | None]:
    texts = [f"So:\n```python\n{program}\n```\n" for program, _, _ in PROGRAMS.values()]
    found = code_tests(texts, [tests for _, tests, _ in PROGRAMS.values()], timeout=60)
    return dict(zip(PROGRAMS, found, strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_share_of_tests_that_a_program_passes(name: str, scores: dict[str, float | None]) -> None:
    assert scores[name] == pytest.approx(PROGRAMS[name][2])


def test_what_takes_too_long_has_failed() -> None:
    endless = "while True: pass"
    deaf = (
        "import signal\nfor number in set(signal.Signals) - {9, 19}: signal.signal(number, signal.SIG_IGN)\n" + endless
    )
    programs = [
        endless,
        deaf,
        "import time\ntime.sleep(1000)",
        f"def f():\n    {endless}",
        "print(8, flush=True)\n" + endless,
    ]
    tests: list[list[Any]] = [[RIGHT], [RIGHT], [RIGHT], ["assert True", "f()", "assert True"], [PAIR]]
    found = code_tests([f"```py\n{program}\n```" for program in programs], tests, timeout=1.5, parallel=5)
    assert found == [0.0, 0.0, 0.0, pytest.approx(1 / 3), 0.0]


def test_the_scores_do_not_depend_on_how_many_run_at_once() -> None:
    names = ["right", "half right", "exit", "prints"]
    texts = [f"```\n{PROGRAMS[name][0]}\n```" for name in names]
    columns = [PROGRAMS[name][1] for name in names]
    expected = [pytest.approx(PROGRAMS[name][2]) for name in names]
    assert code_tests(texts, columns, parallel=1, timeout=60) == expected
    assert code_tests(texts[::-1], columns[::-1], parallel=8, timeout=60) == expected[::-1]


def test_sets_have_the_same_order_every_time() -> None:
    text = "```python\nprint(list(set('abcdefghijklmnop')))\n```"
    printed = code_tests([text] * 2, [[{"input": "", "output": _printed()}]] * 2, timeout=60)
    assert printed == [1.0, 1.0]


def _printed() -> str:
    from concord.rewards.builtin.containment import containment, run

    program = "print(list(set('abcdefghijklmnop')))"
    (output,) = run(program, [{"input": ""}], timeout=60, memory=2**30, level=containment())
    assert isinstance(output, str)
    return output


def test_without_tests_there_is_no_score_and_without_a_program_it_is_zero() -> None:
    texts = ["```python\nx = 1\n```"] * 3 + ["x = 1", "", "```python\nx = 1"]
    assert code_tests(texts, [None, [], ()] + [["assert True"]] * 3) == [None] * 3 + [0.0] * 3
    assert code_tests([], []) == []


def test_of_messages_the_models_own_block() -> None:
    messages = [
        {"role": "tool", "content": "```python\n1 / 0\n```"},
        {"role": "assistant", "content": f"```python\n{ADD}\n```"},
    ]
    assert code_tests([messages], [[RIGHT]], timeout=60) == [1.0]


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\na\n```\n```python\nb\n```", "b"),
        ("```python\na\n```\n```\nb\n```", "a"),
        ("```Py\na\n```\n```json\nb\n```", "a"),
        ("```python3\na\n```", "a"),
        ("```\na\n```\n```\nb\n```", "b"),
        ("```bash\na\n```", None),
        ("```python\na", None),
        ("a", None),
    ],
)
def test_the_program_is_the_last_block_of_python(text: str, program: str | None) -> None:
    assert program_of(text) == program


@pytest.mark.parametrize(
    "entry",
    ["assert True", [1], [None], [{"input": "1"}], [{"input": "1", "output": 2}], [["assert True"]], {"input": "1"}, 3],
)
def test_tests_that_are_none_are_refused_with_their_place(entry: Any) -> None:
    with pytest.raises(RewardError, match=r"the tests of completion 1 are .*write a list of assert statements"):
        code_tests(["", ""], [["assert True"], entry])


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from concord.rewards.builtin.containment import containment

    monkeypatch.setattr("os.name", "nt")
    containment.cache_clear()
    with pytest.raises(ConfigError, match="needs Linux or macOS"):
        code_tests(["```\nx\n```"], [["assert True"]])
