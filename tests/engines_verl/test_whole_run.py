"""A whole run of unmodified verl from its own command line, on CPU: opt-in, because it takes minutes.

CONCORD_WHOLE_RUN=1 python -m pytest tests/engines_verl/test_whole_run.py
"""

from __future__ import annotations

import os
import re

import pytest

from tests.engines_verl import commands

pytestmark = [
    pytest.mark.skipif(not os.environ.get("CONCORD_WHOLE_RUN"), reason="takes minutes; set CONCORD_WHOLE_RUN=1"),
    pytest.mark.timeout(1800),
]


def steps(printed: str) -> list[dict[str, float]]:
    """verl's console log, a line a step."""
    lines = [line for line in printed.splitlines() if re.search(r"step:\d+ - ", line)]
    number = r"([\w/.@-]+):(?:np\.\w+\()?(-?[\d.]+(?:e[-+]?\d+)?)"
    return [{name: float(value) for name, value in re.findall(number, line)} for line in lines]


def test_gd2po_trains_validates_saves_and_resumes(tmp_path) -> None:
    words = [*commands.overrides(tmp_path), "trainer.save_freq=2", "trainer.test_freq=2"]
    first = steps(commands.run([*words, "trainer.total_training_steps=2"], tmp_path, 900))
    assert [entry["step"] for entry in first] == [1, 2]
    for entry in first:
        assert 0 < entry["concord/kept"] <= 1
        assert entry["concord/kept"] == pytest.approx(1 - entry["concord/mask_conflicts/dropped"], abs=1e-6)
        assert -3 <= entry["concord/rewards/correctness/mean"] <= 3
        assert entry["actor/concord/ratio"] == pytest.approx(
            1, abs=1e-3
        )  # one update a step: the policy is the sampler
        assert entry["training/rollout_probs_diff_max"] < 0.05  # weights reach the sampler; bfloat16 against float32
        assert entry["actor/grad_norm"] > 0
        named = sum(entry[f"concord/rewards/{name}/mean"] for name in ("correctness", "format", "conciseness"))
        assert named == pytest.approx(entry["critic/score/mean"], abs=1e-4)  # read from the right rollouts
    assert "val-aux/tool_task/format/mean@1" in first[1]
    assert (tmp_path / "checkpoints" / "global_step_2" / "concord.safetensors").is_file()

    resumed = steps(commands.run([*words, "trainer.total_training_steps=3"], tmp_path, 900))
    assert [entry["step"] for entry in resumed] == [3]
