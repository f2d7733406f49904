"""Our own dump: what ``concord.dumps.write`` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from concord.dumps.formats.base import Format, Record, Rollout, has

_REWARD, _WEIGHT, _STATUS = "reward/", "weight/", "status/"


def _rollouts(record: Record) -> Iterator[Rollout]:
    names = [column[len(_REWARD) :] for column in record if column.startswith(_REWARD)]
    yield Rollout(
        values={name: record[_REWARD + name] for name in names},
        prompt=record["prompt"],
        completion=record["completion"],
        group=record["group"],
        step=record["step"],
        run=record["run"],
        advantage=record["advantage"],
        keep=record["keep"],
        length=record["length"],
        truncated=record["truncated"],
        weights={name: record[_WEIGHT + name] for name in names},
        statuses={name: record[_STATUS + name] for name in names},
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
