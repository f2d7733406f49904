"""The built-in task: short requests in words, answered by calls of one or two of the tools that the prompt lists.

    prompt      hotel(city,nights) weather(city,day)
                how is the weather in Oslo on Friday
    answer      <think>use weather</think>
                <tool_call>
                {"name": "weather", "parameters": {"city": "Oslo", "day": "Friday"}}
                </tool_call>

A call fills the parameters that the prompt lists, and no others. The form and two of the rewards are ToolRL's
(arXiv:2504.13958), so what is learnt here about rewards that conflict carries over to ``recipes/tool_calling.yaml``.
"""

from __future__ import annotations

from pathlib import Path

from concord.recipes.builtin import base_model
from concord.recipes.tool_task.requests import rows
from concord.recipes.tool_task.rewards import conciseness, correctness, exact, format

__all__ = ["base_model_path", "conciseness", "correctness", "exact", "format", "rows"]


def base_model_path(seed: int = 0) -> Path:
    """The folder of the base model that ships with the task; made by ``scripts/train_base_model.py``.

    Raises: ValueError for a seed that does not ship.

    Example:
        >>> (base_model_path() / "config.json").is_file()
        True
    """
    return base_model(Path(__file__).parents[1] / "base_model", seed)
