"""A verl that is no more than the configuration that it ships, for what reads no more than that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from concord.core import safe_yaml

ACTOR = {
    "clip_ratio": 0.3,
    "clip_ratio_low": 0.3,
    "clip_ratio_high": 0.31,
    "clip_ratio_c": 4.0,
    "loss_agg_mode": "token-sum",
    "loss_scale_factor": None,
    "policy_loss": {"loss_mode": "other"},
}
"""Defaults as no verl has them: who has copied verl's is found out."""


@pytest.fixture
def shipped_verl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Install it; its actor's defaults. That the real one ships the same file is tested where verl is."""
    folder = tmp_path / "site" / "verl"
    (folder / "trainer" / "config").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('nobody has to import verl for this')")
    composed = safe_yaml.write({"actor_rollout_ref": {"actor": ACTOR}, "data": {"max_prompt_length": 7}})
    (folder / "trainer" / "config" / "_generated_ppo_trainer.yaml").write_text(composed)
    monkeypatch.syspath_prepend(folder.parent)
    return ACTOR
