"""A run's rows in verl's columns: ``python -m concord.run.launch.rows run.yaml`` writes them beside the file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concord.core.durable import whole_file
from concord.core.errors import ConcordError
from concord.run.config import DataConfig, RowsConfig
from concord.run.data import load_rows
from concord.run.launch.plan import HELD_OUT, TRAIN, read

if TYPE_CHECKING:
    from datasets import Dataset

_log = logging.getLogger(__name__)


def write(folder: Path) -> list[Path]:
    """Write the training rows of a launch folder, and those to evaluate on, if there are any.

    Raises:
        ConfigError: as :func:`concord.run.data.load_rows`.
    """
    run = read(folder)
    data = DataConfig.model_validate(run["data"])
    wanted: dict[str, RowsConfig] = {TRAIN: data} | ({HELD_OUT: data.eval} if data.eval else {})
    for name, rows in wanted.items():
        # verl leaves long prompts out itself: it has the tokenizer.
        loaded = load_rows(rows.model_copy(update={"max_prompt_tokens": None}), None, run["seed"])
        with whole_file(folder / name) as place:
            in_columns(loaded, rows.path).to_parquet(place)
    return [folder / name for name in wanted]


def in_columns(rows: Dataset, source: str) -> Dataset:
    """``prompt``, ``data_source``, ``reward_model.ground_truth``; and in ``extra_info`` what rewards are asked with."""
    import datasets

    def row(entry: dict[str, Any], index: int) -> dict[str, Any]:
        others = {name: value for name, value in entry.items() if name not in ("prompt", "answer")}
        return {
            "data_source": source,
            "prompt": _messages(entry["prompt"]),
            "reward_model": {"style": "rule", "ground_truth": entry.get("answer")},
            # Parquet has no mapping without a key.
            "extra_info": {"index": index, "prompt": entry["prompt"]} | ({"columns": others} if others else {}),
        }

    if len(rows) and isinstance(rows[0]["prompt"], str):
        _log.warning("the prompts are text: verl applies the chat template, and sees each as one message of the user")
    return datasets.Dataset.from_list([row(entry, index) for index, entry in enumerate(rows)])


def _messages(prompt: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


if __name__ == "__main__":
    try:
        for path in write(Path(sys.argv[1]).parent):
            print(path)
    except ConcordError as error:
        sys.exit(f"error: {error}")
