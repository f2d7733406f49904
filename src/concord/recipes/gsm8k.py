"""GSM8K with a format to keep: its rows, with an instruction before the question.

The files are ``grade_school_math/data/{train,test}.jsonl`` of github.com/openai/grade-school-math: 7,473 and 1,319 rows
of ``question`` and ``answer``, with the result after ``####``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError

INSTRUCTION = (
    "Solve the problem. Write your reasoning between <think> and </think>, then nothing but the result in \\boxed{} "
    "between <answer> and </answer>."
)
"""The box is for math-verify, which does not see a number before a tag."""


def rows(path: str) -> list[dict[str, Any]]:
    """The rows of a file: ``prompt``, the instruction and the question as messages, and ``answer`` as it is.

    Raises:
        ConfigError: a line in another form.
    """
    made = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}, line {number}: is not JSON: {error}") from error
        match entry:
            case {"question": str(question), "answer": str(answer)}:
                messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": question}]
                made.append({"prompt": messages, "answer": answer})
            case _:
                raise ConfigError(f"{path}, line {number}: not {{question, answer}}, as GSM8K has it")
    return made
