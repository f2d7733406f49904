"""What is assumed of TRL holds for the TRL that is installed."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig, GRPOTrainer

from concord.core.errors import MissingExtra
from concord.engines import contract
from concord.engines.trl import ConcordTrainer
from concord.engines.trl.resume import ResumableTrainer
from tests.engines import tiny


def test_the_installed_trl_is_as_assumed() -> None:
    assert contract.check() == []
    contract.require()


def test_the_dependency_range_is_the_tested_one() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert f"trl{contract.TESTED}" in project["optional-dependencies"]["train"]


def test_keys_and_logs_of_a_real_batch(tmp_path: Path) -> None:
    """The source says so; a run does too."""
    seen: dict[str, Any] = {}

    class Spy(GRPOTrainer):  # type: ignore[misc]
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            seen.update(super()._generate_and_score_completions(inputs))
            return seen

    args = GRPOConfig(
        str(tmp_path), bf16=False, use_cpu=True, max_steps=1, per_device_train_batch_size=8, num_generations=4,
        max_completion_length=4, num_iterations=2, beta=0.1, report_to=[], save_strategy="no", disable_tqdm=True,
        dataloader_pin_memory=False, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = Spy(
        tiny.saved_model(tmp_path / "base"), tiny.early, args, tiny.prompts(), processing_class=tiny.tokenizer()
    )
    trainer.train()
    assert set(contract.OUTPUT_KEYS) - seen.keys() == {"importance_sampling_ratio", "tool_mask"}
    assert all(hasattr(trainer, name) for name in contract.ATTRIBUTES)
    assert set(contract.LOG_KEYS) <= trainer._logs.keys()


def test_no_name_of_ours_is_one_of_theirs() -> None:
    """What is overridden is in the contract; whatever else the subclasses add or set, TRL does not have."""
    for cls, meant in ((ConcordTrainer, {"_name", "_tag_names", "evaluate"}), (ResumableTrainer, set())):
        added = {name for name in vars(cls) if not name.startswith("__")} - contract.METHODS.keys()
        assert {name for name in added if hasattr(GRPOTrainer, name)} == meant
    theirs = "".join(map(_source, (GRPOTrainer.__module__, "trl.trainer.base_trainer", "transformers.trainer")))
    ours = "".join(map(_source, (ConcordTrainer.__module__, ResumableTrainer.__module__)))
    set_here = set(re.findall(r"self\.(\w+)(?:: [^=\n]+)? = ", ours)) | {"_state"}
    shared = {name for name in set_here if re.search(rf"self\.{name}\b", theirs)}
    assert shared == {"reward_weights", "_buffered_inputs", "_paper", "_step"}


def _source(module: str) -> str:
    return Path(importlib.import_module(module).__file__ or "").read_text()


# ---- What a TRL that moved would be told ----


class Moved(GRPOTrainer):  # type: ignore[misc]
    """A later TRL, as it might be."""

    def __init__(self) -> None:
        self._step = 0

    def _compute_loss(self, model: Any, batch: Any) -> Any: ...

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        return {"prompt_ids": inputs, "advantages": None}


@dataclass
class MovedConfig(GRPOConfig):  # type: ignore[misc]
    loss_type: str = field(default="grpo")


def test_differences_are_named() -> None:
    found = contract.check(Moved, MovedConfig)
    assert "GRPOTrainer._compute_loss has no parameter 'inputs'" in found
    assert "GRPOTrainer sets no attribute _buffered_inputs" in found
    assert "_generate_and_score_completions returns no 'completion_mask'" in found
    assert "_logs has no 'advantages'" in found
    assert "GRPOConfig.loss_type is 'grpo' by default, not 'dapo'" in found
    assert not any("'advantages'" in line and "returns" in line for line in found)
    assert not any("_step" in line.split() for line in found)


def test_something_else_altogether() -> None:
    found = contract.check(type("Empty", (), {"__init__": lambda self: None}), dataclass(type("NoFields", (), {})))
    assert "GRPOTrainer has no method _compute_loss" in found
    assert "GRPOConfig has no field beta" in found


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda number: monkeypatch.setattr(contract, "version", lambda name: number)


def test_an_untested_version_that_looks_alike(installed: Callable[[str], None]) -> None:
    installed("1.17.0")
    with pytest.warns(UserWarning, match="trl 1.17.0 is outside the tested range"):
        contract.require()


def test_an_untested_version_that_differs(installed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    installed("2.0.0")
    monkeypatch.setitem(contract.METHODS, "_gone", ())
    with pytest.raises(MissingExtra, match=r"trl 2.0.0 differs .*: GRPOTrainer has no method _gone; run: pip install"):
        contract.require()


def test_no_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(contract, "version", absent)
    with pytest.raises(MissingExtra, match=r"trl is not installed; run: pip install 'concord-rl\[train\]'"):
        contract.require()
