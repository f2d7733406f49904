"""A reward in the shape of OpenRLHF's examples, graded by OpenRLHF itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from concord.rewards.batch import RewardBatch
from tests.rewards.forms.asking import ask

pytestmark = pytest.mark.filterwarnings("ignore")


def reward_func(queries: list[str], prompts: list[str], labels: list[str], **kwargs: Any) -> dict[str, Any]:
    from openrlhf.utils import extract_boxed_answer, grade_answer

    said = [extract_boxed_answer(query.removeprefix(prompt)) for query, prompt in zip(queries, prompts, strict=True)]
    right = torch.tensor([float(grade_answer(s, label)) for s, label in zip(said, labels, strict=True)])
    return {"rewards": right, "scores": right, "extra_logs": {"math_accuracy": right.mean()}}


def test_math_answers() -> None:
    pytest.importorskip("openrlhf.utils", exc_type=ImportError)
    said = [r"\boxed{\frac{1}{2}}", r"\boxed{3}", "none"]
    batch = RewardBatch([r"Is it \boxed{1/2}?"] * 3, said, columns={"label": [r"\frac12"] * 3})
    assert ask(reward_func, batch) == {"rewards": [1.0, 0.0, 0.0], "scores": [1.0, 0.0, 0.0]}
