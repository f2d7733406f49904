"""Concord's own rollout dump: parquet, one row a rollout, readable with pandas alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from concord.core.durable import whole_file
from concord.core.errors import DumpError, MissingExtra
from concord.core.moments import group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome
from concord.core.status import ABSTAINED, STATUSES

SCHEMA_VERSION = 1
_ABSTAINED = STATUSES.index(ABSTAINED)
METADATA_KEY = b"concord"


def write(
    folder: str | Path,
    *,
    run: str,
    step: int,
    prompts: Sequence[str],
    completions: Sequence[str],
    batch: Rollouts,
    outcome: Outcome,
    unselected: Tensor,
    weights: Mapping[str, float] | None = None,
    gated: Sequence[str] = (),
    learner: Mapping[str, Tensor] | None = None,
    columns: Sequence[str] = (),
    extra: Mapping[str, Sequence[Any]] | None = None,
    config_hash: str = "",
) -> Path:
    """Write one step's rollouts to ``folder/rollouts_{step:08d}.parquet``.

    Columns: ``run, step, group, rollout, prompt, completion``; for each reward ``reward/<name>``
    (null where it has no score), ``weight/<name>``, ``status/<name>`` (a word of
    :mod:`concord.core.status`) and, where it is gated, ``gate/<name>``; ``advantage_before`` and
    ``advantage``; ``keep``; ``query_weight``, the share of the group's scored rollouts that is kept; ``length`` and
    ``truncated``, null where the batch has no such column; ``config_hash``; of a learner ``learner/<metric>``, alike in
    all rows, and ``column/<name>``, null for NaN; ``extra/<name>``, what rewards gave beside scores: numbers, or else
    text (JSON of what is neither). The schema's version stands in the file's metadata. The file is whole or not there.

    Args:
        folder: made if absent.
        run, step, config_hash: the run's name, the optimisation step that is fed, the configuration's hash.
        prompts, completions: N texts each.
        batch, outcome: of the chain. Without "statuses" (``[N, K]``, of ``STATUSES``) no score is an abstention.
        unselected: ``[N]``, the advantages without masks and group weights, from ``Chain.unselective``.
        weights: in force, by name; 1 where not named. gated: rewards whose column of "gates" (``[N, K]``) is written.
        learner, columns: what a learner measured, by name, each 0-d; columns ``[N]`` of the batch to add.
        extra: N entries each, by name.

    Raises:
        DumpError: texts and batch differ in length.
        MissingExtra: pyarrow is not installed.
    """
    pa, pq = _pyarrow()
    _check_lengths(count := len(batch.groups), prompts, completions)
    table = {
        "run": pa.array([run] * count, pa.string()),
        "step": pa.array([step] * count, pa.int64()),
        "group": batch.groups.index.cpu().numpy(),
        "rollout": pa.array(range(count), pa.int64()),
        "prompt": pa.array(prompts, pa.string()),
        "completion": pa.array(completions, pa.string()),
        **_reward_columns(batch, weights or {}, gated, pa),
        **_outcome_columns(batch, outcome, unselected),
        "length": _optional(batch, "lengths", pa.int64(), pa),
        "truncated": _optional(batch, "truncated", pa.bool_(), pa),
        "config_hash": pa.array([config_hash] * count, pa.string()),
        **_learner_columns(batch, learner or {}, columns, pa),
        **{f"extra/{name}": _extra(entries, pa) for name, entries in (extra or {}).items()},
    }
    about = {METADATA_KEY: json.dumps({"schema": SCHEMA_VERSION, "rewards": list(batch.names)})}
    return _put(pq, pa.table(table).replace_schema_metadata(about), Path(folder) / f"rollouts_{step:08d}.parquet")


def _check_lengths(count: int, prompts: Sequence[str], completions: Sequence[str]) -> None:
    if not len(prompts) == len(completions) == count:
        raise DumpError(f"{count} rollouts, but {len(prompts)} prompts and {len(completions)} completions")


def _put(pq: Any, table: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as place:
        pq.write_table(table, place, compression="zstd")
    return path


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra.of("report", "pyarrow") from error
    return pa, pq


def _outcome_columns(batch: Rollouts, outcome: Outcome, unselected: Tensor) -> dict[str, Any]:
    return {
        "advantage_before": unselected.double().cpu().numpy(),
        "advantage": outcome.advantages.double().cpu().numpy(),
        "keep": outcome.keep.cpu().numpy(),
        "query_weight": _query_weight(batch, outcome).double().cpu().numpy(),
    }


def _reward_columns(batch: Rollouts, weights: Mapping[str, float], gated: Sequence[str], pa: Any) -> dict[str, Any]:
    columns = {}
    for k, (name, scores) in enumerate(zip(batch.names, batch.rewards.double().cpu().T, strict=True)):
        scored = scores.isfinite()
        columns[f"reward/{name}"] = pa.array(scores.numpy(), mask=~scored.numpy())
        columns[f"weight/{name}"] = pa.array([float(weights.get(name, 1.0))] * len(scores), pa.float64())
        codes = batch.columns["statuses"][:, k] if "statuses" in batch.columns else _ABSTAINED * ~scored
        columns[f"status/{name}"] = pa.array([STATUSES[code] for code in codes.tolist()], pa.string())
        if name in gated:
            columns[f"gate/{name}"] = pa.array(batch.columns["gates"][:, k].tolist(), pa.bool_())
    return columns


def _learner_columns(batch: Rollouts, metrics: Mapping[str, Tensor], names: Sequence[str], pa: Any) -> dict[str, Any]:
    found = {f"learner/{name}": value.expand(len(batch.groups)) for name, value in metrics.items()}
    found |= {f"column/{name}": batch.columns[name] for name in names}
    return {name: _numbers(values, pa) for name, values in found.items()}


def _extra(entries: Sequence[Any], pa: Any) -> Any:
    """A column of numbers, where all entries are numbers; else of text."""
    plain = [entry.item() if getattr(entry, "shape", None) == () else entry for entry in entries]
    if all(entry is None or isinstance(entry, int | float) for entry in plain):
        try:
            return pa.array([None if entry is None else float(entry) for entry in plain], pa.float64())
        except OverflowError:  # an integer beyond float64
            pass
    return pa.array([None if entry is None else _text(entry) for entry in plain], pa.string())


def _text(entry: Any) -> str:
    if not isinstance(entry, str):
        try:
            entry = json.dumps(entry, default=str)
        except (ValueError, RecursionError, TypeError):  # it holds itself, or keys that are no names
            entry = str(entry)
    return str(entry).encode("utf-8", "replace").decode()


def _numbers(values: Tensor, pa: Any) -> Any:
    """A column of numbers; null for NaN and infinities."""
    numbers = values.double().cpu()
    return pa.array(numbers.numpy(), mask=~numbers.isfinite().numpy())


def _query_weight(batch: Rollouts, outcome: Outcome) -> Tensor:
    scored = batch.rewards.isfinite().any(1, keepdim=True).double()
    kept = group_sum(outcome.keep[:, None].double(), batch.groups)
    share = kept / group_sum(scored, batch.groups).clamp(min=1)
    return batch.groups.spread(share)[:, 0]


def _optional(batch: Rollouts, name: str, kind: Any, pa: Any) -> Any:
    if name not in batch.columns:
        return pa.nulls(len(batch.groups), kind)
    column = batch.columns[name].cpu()
    return pa.array((column.bool() if kind == pa.bool_() else column.to(torch.int64)).tolist(), kind)
