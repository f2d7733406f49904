"""Our own dump: what ``concord.dumps.write`` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from concord.dumps.formats.base import Format, Record, Rollout, group_of, has, step_of
from concord.dumps.values import text

_REWARD, _WEIGHT, _STATUS, _LEARNER = "reward/", "weight/", "status/", "learner/"


def _rollouts(record: Record) -> Iterator[Rollout]:
    names = [column[len(_REWARD) :] for column in record if column.startswith(_REWARD)]
    yield Rollout(
        values={name: record[_REWARD + name] for name in names},
        prompt=text(record["prompt"]),
        completion=text(record["completion"]),
        group=group_of(record["group"]),
        step=step_of(record["step"]),
        run=text(record["run"]),
        config=text(record["config_hash"]),
        advantage=record["advantage"],
        keep=record["keep"],
        length=record["length"],
        truncated=record["truncated"],
        weights={name: record[_WEIGHT + name] for name in names},
        statuses={name: record[_STATUS + name] for name in names},
        learner={text(c[len(_LEARNER) :]): record[c] for c in record if c.startswith(_LEARNER)} or None,
    )


def _declared(sample: Sequence[Rollout]) -> list[str]:
    return list(dict.fromkeys(name for rollout in sample for name in rollout.values))


FORMAT = Format(
    name="concord",
    kinds=("Parquet",),
    fits=has("run", "step", "group", "rollout", "advantage_before", "query_weight", "config_hash"),
    rollouts=_rollouts,
    declared=_declared,
    grouping="group",
)
