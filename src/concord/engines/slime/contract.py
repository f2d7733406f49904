"""What Concord assumes of slime and miles, as data. Neither is on a package index: they are tested by their source."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

TESTED = {"slime": "0.3.1, THUDM/slime@624b824", "miles": "0.1.0, radixark/miles@31f1ca9"}
"""By engine, the version and the commit that the hook was written to."""

SAMPLE = ("group_index", "index", "rollout_id", "response_length", "reward", "loss_mask", "remove_sample", "status")
"""Fields of ``Sample`` in ``utils/types.py``."""

SOURCES: dict[str, dict[str, tuple[str, ...]]] = {
    "slime": {
        "ray/rollout.py": ("custom_reward_post_process_func(self.args, samples)", "sample.remove_sample"),
        "utils/arguments.py": ("--custom-reward-post-process-path", "--custom-config-path", "--normalize-advantages"),
        "backends/megatron_utils/loss.py": ('advantage_estimator in ["grpo", "gspo", "cispo"]',),
    },
    "miles": {
        "ray/rollout/train_data_conversion.py": ("return f(args, samples)", "sample.remove_sample"),
        "utils/arguments.py": ("--custom-reward-post-process-path", "--custom-config-path", "--normalize-advantages"),
        "backends/training_utils/loss_hub/advantages.py": ('advantage_estimator in ["grpo", "gspo"]',),
    },
}
"""By engine and file, what its source must say: the hook's call, the options, what becomes of the rewards."""


def check(engine: str, folder: Path | None = None) -> list[str]:
    """Compare an installed slime or miles with what is assumed here; nothing of it is imported.

    Args:
        engine: "slime" or "miles".
        folder: of the package, for a test; None = where it is installed.

    Returns:
        one line a difference; empty if there is none.
    """
    if folder is None:
        spec = importlib.util.find_spec(engine)
        if spec is None or not spec.submodule_search_locations:
            return [f"{engine} is not installed"]
        folder = Path(next(iter(spec.submodule_search_locations)))
    types = _read(folder / "utils" / "types.py")
    found = [f"Sample has no field {name}" for name in SAMPLE if not re.search(rf"^    {name}:", types, re.MULTILINE)]
    for file, wanted in SOURCES[engine].items():
        text = _read(folder / file)
        found += [f"{file} has no {words!r}" for words in wanted if words not in text]
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
