"""The built-in tool task as verl reads it: prompts in a parquet file, and a ``compute_score`` with named rewards."""

from __future__ import annotations

from pathlib import Path

from concord.recipes.tool_task import base_model_path, conciseness, correctness, format, rows

REWARDS = {"correctness": correctness, "format": format, "conciseness": conciseness}


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    """verl's form: a dict of one rollout, with the sum under "score"."""
    scores = {name: reward(completions=[solution_str], answer=[ground_truth])[0] for name, reward in REWARDS.items()}
    return {"score": sum(scores.values()), **scores}


def write(path: Path, split: str, size: int) -> str:
    """Rows in verl's columns."""
    import pandas

    table = [
        {
            "data_source": "tool_task",
            "prompt": row["prompt"],
            "reward_model": {"style": "rule", "ground_truth": row["answer"]},
            "extra_info": {"index": index},
        }
        for index, row in enumerate(rows(split, size, seed=0))
    ]
    pandas.DataFrame(table).to_parquet(path)
    return str(path)


def model(folder: Path) -> str:
    """The base model that ships, with the end-of-turn token that verl asks of every Qwen; it is never used."""
    import shutil

    from transformers import AutoTokenizer

    shutil.copytree(base_model_path(0), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<|im_end|>"])
    tokenizer.save_pretrained(folder)
    return str(folder)
