"""The sample that a reward of slime's or miles's reads: theirs where the reward's module has it, else one like it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from concord.rewards.call import RewardFunction
from concord.rewards.forms.parameters import no_column, title, unpacked

_THEIRS = ("slime.utils.types", "miles.utils.types")
_LABELS = ("label", "answer", "ground_truth")


@dataclass
class Sample:
    """The attributes of slime's ``Sample`` that a reward reads, under its names.

    ``tokens`` are those of the response alone; they and ``response_length`` are None where the tokens are not known.
    """

    group_index: int | None = None
    index: int | None = None
    prompt: str | list[dict[str, Any]] = ""
    tokens: list[int] | None = None
    multimodal_inputs: dict[str, Any] | None = None
    response: str = ""
    response_length: int | None = None
    label: Any = None
    reward: float | dict[str, Any] | None = None
    loss_mask: list[int] | None = None

    class Status(Enum):
        """slime's; that a completion was cut is not known here, and all are completed."""

        PENDING = "pending"
        COMPLETED = "completed"
        TRUNCATED = "truncated"
        ABORTED = "aborted"
        FAILED = "failed"

    status: Status = Status.PENDING
    metadata: dict[str, Any] = field(default_factory=dict)


def sample_of(row: Mapping[str, Any], args: Any, function: RewardFunction) -> Any:
    """A sample for one completion.

    Args:
        row: ``prompt`` and ``response`` as text, ``tokens``, and the data's ``columns`` of this completion.
        args: its ``label_key`` and ``metadata_key`` name columns, as slime's arguments do. Without them the label is
            that of ``label``, else ``answer``, else ``ground_truth``, else None, and the metadata of ``metadata``.

    Raises:
        MissingColumn: there is no column of the name that ``args`` gives.
    """
    columns = row["columns"]
    given = {name: getattr(args, name, None) for name in ("label_key", "metadata_key")}
    for name, key in given.items():
        if key is not None and key not in columns:
            raise no_column(f"option {name} of {title(function)} is {key!r}", [key], columns)
    label = given["label_key"] or next((name for name in _LABELS if name in columns), None)
    cls = _class(function)
    return cls(
        prompt=row["prompt"],
        response=row["response"],
        tokens=row["tokens"],
        response_length=None if row["tokens"] is None else len(row["tokens"]),
        label=None if label is None else columns[label],
        metadata=dict(unpacked(columns.get(given["metadata_key"] or "metadata")) or {}),
        status=cls.Status.COMPLETED,
    )


def _class(function: RewardFunction) -> Any:
    """What the function's module calls ``Sample``, if it is slime's or miles's: some rewards insist on the type."""
    while isinstance(function, functools.partial):
        function = function.func
    theirs = getattr(sys.modules.get(function.__module__), "Sample", None)
    return theirs if inspect.isclass(theirs) and theirs.__module__ in _THEIRS else Sample
