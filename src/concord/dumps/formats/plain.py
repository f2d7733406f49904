"""Any table with a row a rollout: JSON lines, CSV or Parquet, its columns named or guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from concord.core.errors import DumpError, nearest
from concord.dumps.formats.base import Format, Record, Rollout, group_of, step_of
from concord.dumps.values import text

USUAL: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "input", "question", "query", "problem", "instruction"),
    "completion": ("completion", "response", "output", "generation", "answer"),
    "group": ("group", "group_id", "group_index", "prompt_id", "problem_id", "example_id", "question_id", "uid"),
    "step": ("step", "global_step", "iteration", "training_step"),
    "run": ("run", "run_id", "run_name"),
    "advantage": ("advantage", "advantages"),
    "keep": ("keep", "kept"),
    "length": ("length", "response_length", "completion_length", "num_tokens"),
    "truncated": ("truncated", "is_truncated"),
}
"""What a column may stand for, and the names that are taken for it where none is given."""

_NEVER = frozenset(
    {
        "epoch", "rank", "idx", "index", "id", "row", "rollout", "rollout_id", "sample", "sample_idx", "sample_index",
        "seed", "time", "timestamp", "logprob", "logprobs", "kl", "entropy", "loss", "lr", "temperature",
        "prompt_length", "total_length", "num_turns", "duration",
    }
)  # fmt: skip


def guess(record: Record) -> dict[str, str]:
    """Roles to columns, by the usual names; empty if neither a prompt nor a group can be told."""
    found = {role: next((name for name in names if name in record), None) for role, names in USUAL.items()}
    columns = {role: name for role, name in found.items() if name is not None}
    return columns if {"prompt", "group"} & columns.keys() else {}


def plain(columns: Mapping[str, str], guessed: bool = True) -> Format:
    """The format of a table whose columns stand for ``columns``: role to name.

    Raises:
        DumpError: a role is unknown, or there is neither a prompt nor a group.
    """
    for role in columns:
        if role not in USUAL:
            raise DumpError(f"columns: no role {role!r}{nearest(role, USUAL)}; roles: {', '.join(USUAL)}")
    if not {"prompt", "group"} & columns.keys():
        raise DumpError("columns: name the column of the prompt or of the group, or rollouts cannot be compared")
    needed = {columns[role] for role in ("prompt", "group", "completion", "step") if role in columns}
    others = frozenset(columns.values()) | _NEVER | frozenset(name for names in USUAL.values() for name in names)
    listed = ", ".join(f"{role} = {name!r}" for role, name in columns.items())

    def rollouts(record: Record) -> Iterator[Rollout]:
        def get(role: str) -> object:
            return record.get(columns[role]) if role in columns else None

        yield Rollout(
            values=record,
            prompt=text(get("prompt")),
            completion=text(get("completion")),
            group=group_of(record[columns["group"]]) if "group" in columns else None,
            step=step_of(get("step")),
            run=text(get("run")) or None,
            advantage=get("advantage"),
            keep=get("keep"),
            length=get("length"),
            truncated=get("truncated"),
        )

    return Format(
        name=f"plain table ({'guessed: ' if guessed else ''}{listed})",
        kinds=("JSON lines", "CSV", "Parquet"),
        fits=lambda record: needed <= record.keys(),
        rollouts=rollouts,
        others=others,
        whole_files=False,
        grouping=repr(columns.get("group", "")),
    )
