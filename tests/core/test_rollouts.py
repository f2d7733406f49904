"""What a batch is made from, and what it refuses in words."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from concord import Groups, Outcome, Rollouts, advantages, create
from concord.core.errors import BatchError, ConcordError, ConfigError, UnknownName
from concord.report import analyse

ROWS = [[1.0, 0.2], [0.0, 0.9], [1.0, 0.9], [0.0, 0.2]]
IDS = ["q1", "q1", "q2", "q2"]


@pytest.mark.parametrize(
    "rewards",
    [
        ROWS,
        [tuple(row) for row in ROWS],
        np.array(ROWS),
        np.array(ROWS, dtype=">f8"),
        np.array(ROWS)[::-1][::-1],
        [np.array(row) for row in ROWS],
        [torch.tensor(row, dtype=torch.float64) for row in ROWS],
        torch.tensor(ROWS, dtype=torch.float64),
    ],
)
@pytest.mark.parametrize("groups", [IDS, tuple(IDS), np.array(IDS), np.array([0, 0, 1, 1]), Groups.of(IDS)])
def test_lists_and_arrays_are_taken_as_they_are(rewards: Any, groups: Any) -> None:
    batch = Rollouts(rewards, groups, ["right", "short"], {"lengths": [1, 2, 3, 4]})
    assert torch.equal(batch.rewards, torch.tensor(ROWS, dtype=torch.float64))
    assert batch.groups.index.tolist() == [0, 0, 1, 1]
    assert batch.names == ("right", "short")
    assert batch.column("lengths").tolist() == [1, 2, 3, 4]


def test_a_none_in_a_list_is_not_scored_and_whole_numbers_and_bools_are_scores() -> None:
    batch = Rollouts([[1, None], [False, 2]], ["q", "q"], ["a", "b"])
    assert batch.rewards[0, 1].isnan()
    assert batch.rewards.nan_to_num(nan=9).tolist() == [[1, 9], [0, 2]]


def test_a_read_only_array_is_copied() -> None:
    frozen = np.array(ROWS)
    frozen.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Rollouts(frozen, IDS, ["a", "b"]).rewards.shape == (4, 2)


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ("abc", "got str"),
        (3.0, "got float"),
        (None, "got NoneType"),
        ([["x", "y"]] * 4, "lists of numbers"),
        ([[1.0, 2.0], [1.0]], "lists of numbers"),
        (np.array([["x"]] * 4), "got an array of <U1"),
        (np.array(ROWS, dtype=complex), "array of complex128"),
        (torch.zeros(4), r"shape \(4,\); one reward is a column"),
        (torch.zeros(4, 0), "no reward at all"),
        (torch.zeros(4, 2, dtype=torch.int64), r"call .float\(\)"),
        (torch.zeros(4, 2).to_sparse(), r"sparse tensor; call .to_dense\(\)"),
        (torch.zeros(4, 2, device="meta"), "meta device"),
        (torch.zeros(4, 2).to(torch.float8_e4m3fn), r"no arithmetic; call .float\(\)"),
    ],
)
def test_what_is_no_score_is_refused(rewards: Any, said: str) -> None:
    with pytest.raises(BatchError, match=said):
        Rollouts(rewards, IDS, ["a", "b"])


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:.*quantize.*")
def test_tensors_that_torch_calls_experimental_are_refused_too() -> None:
    plain = torch.zeros(4, 2)
    with pytest.raises(BatchError, match=r"sparse tensor; call .to_dense\(\)"):
        Rollouts(plain.to_sparse_csr(), IDS, ["a", "b"])
    with pytest.raises(BatchError, match=r"quantised tensor; call .dequantize\(\)"):
        Rollouts(torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8), IDS, ["a", "b"])


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("qqqq", "got str"),
        (4, "got int"),
        (["q"] * 3, "groups cover 3 rollouts, rewards 4"),
        ([["a"], ["a"], ["b"], ["b"]], "hashable"),
        ({"q": 4}, "got dict"),
    ],
)
def test_what_is_no_group_is_refused(groups: Any, said: str) -> None:
    with pytest.raises(BatchError, match=said):
        Rollouts(ROWS, groups, ["a", "b"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("ab", "sequence of reward names"),
        (["a"], "2 reward columns, but 1 names"),
        (["a", "a"], "used twice: a"),
        (["a", 3], "must be text, got 3"),
        (["a", ""], "must be text"),
        (None, "sequence of reward names"),
    ],
)
def test_what_is_no_name_is_refused(names: Any, said: str) -> None:
    with pytest.raises(BatchError, match=said):
        Rollouts(ROWS, IDS, names)


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ({"columns": [1]}, "columns must be a mapping"),
        ({"columns": {"lengths": [1, 2]}}, r"'lengths' must be a tensor of 4 rows, got \(2,\)"),
        ({"columns": {"lengths": "long"}}, "'lengths' must be a tensor, an array or a list"),
        ({"columns": {"lengths": torch.zeros(4, device="meta")}}, None),
        ({"noise_floor": {"c": 1.0}}, "names reward 'c'; the batch has"),
        ({"noise_floor": {"a": -1.0}}, "at least 0, got -1.0"),
        ({"noise_floor": {"a": float("inf")}}, "finite"),
        ({"noise_floor": {"a": "much"}}, "got 'much'"),
        ({"noise_floor": 0.1}, "must be a mapping"),
    ],
)
def test_further_facts_are_checked(further: Any, said: str | None) -> None:
    if said is None:
        Rollouts(ROWS, IDS, ["a", "b"], **further)
        return
    with pytest.raises(BatchError, match=said):
        Rollouts(ROWS, IDS, ["a", "b"], **further)


@pytest.mark.parametrize("given", [torch.zeros(4, 2), ROWS, None, "batch"])
def test_a_signal_is_made_of_rollouts(given: Any) -> None:
    with pytest.raises(ConcordError, match="pass Rollouts"):
        create("gd2po").signal(given)


def test_without_lengths_rollouts_are_counted_alike_and_it_is_said_once() -> None:
    bare = Rollouts(torch.tensor(ROWS), ["q"] * 4, ["a", "b"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for _ in range(3):
            outcome = create("gdpo").signal(bare)
    assert [str(w.message).split(":")[0] for w in said] == ["stage 'whiten' counts every rollout alike"]
    alike = create("gdpo").signal(bare.with_columns(lengths=torch.ones(4)))
    assert torch.equal(outcome.advantages, alike.advantages)
    other = create("gdpo").signal(bare.with_columns(lengths=torch.tensor([1, 1, 1, 9])))
    assert not torch.equal(outcome.advantages, other.advantages)


def test_the_mathematics_in_one_call() -> None:
    lengths = [12, 5, 7, 9]
    want = create("gd2po", tau=0.5).signal(
        Rollouts(torch.tensor(ROWS, dtype=torch.float64), ["q"] * 4, ["a", "b"], {"lengths": lengths})
    )
    given = {"a": [1, 0, 1, 0], "b": [0.2, 0.9, 0.9, 0.2]}
    for rewards, names in ((ROWS, ["a", "b"]), (np.array(ROWS), None), (given, None)):
        got = advantages(rewards, ["q"] * 4, "gd2po", lengths, names, tau=0.5)
        assert isinstance(got, Outcome)
        assert torch.equal(got.advantages, want.advantages)
        assert torch.equal(got.keep, want.keep)
    method = create("gd2po", tau=0.5)
    assert torch.equal(advantages(ROWS, ["q"] * 4, method, lengths).advantages, want.advantages)


def test_the_one_call_names_what_is_wrong() -> None:
    with pytest.raises(UnknownName, match="did you mean 'gd2po'"):
        advantages(ROWS, IDS, "gd2p")
    with pytest.raises(TypeError, match="tua"):
        advantages(ROWS, IDS, tua=0.5)
    with pytest.raises(ConfigError, match="takes no parameters"):
        advantages(ROWS, IDS, create("grpo"), tau=0.5)
    with pytest.raises(BatchError, match="differ in length"):
        advantages({"a": [1, 2], "b": [1]}, ["q", "q"])
    with pytest.raises(BatchError, match="names come with the mapping"):
        advantages({"a": [1, 2]}, ["q", "q"], names=["a"])
    with pytest.raises(BatchError, match=r"shape \(4,\)"):
        advantages([1, 0, 1, 0], IDS)
    with pytest.raises(BatchError, match="got float"):
        advantages(3.0, IDS)
    assert advantages({"a": [], "b": []}, [], "grpo").advantages.shape == (0,)


def test_half_precision_comes_out_as_float32_and_doubles_as_doubles() -> None:
    for dtype, out in (
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        outcome = advantages(torch.tensor(ROWS, dtype=dtype), IDS, "grpo")
        assert outcome.advantages.dtype == out
        assert all(value.dtype == out for value in outcome.metrics.values())


def test_an_advantage_that_the_type_cannot_hold_is_its_largest() -> None:
    outcome = advantages(torch.tensor([[3e38], [3e38], [3e38], [-3e38]]), ["q"] * 4, "dr_grpo")
    assert outcome.advantages[3] == torch.finfo(torch.float32).min
    assert outcome.advantages[0] == pytest.approx(1.5e38, rel=1e-6)


@pytest.mark.parametrize("given", [3, None, [1, 2]])
def test_an_analysis_is_made_of_a_dump(given: Any) -> None:
    with pytest.raises(ConcordError, match="a dump is a path"):
        analyse(given)


def test_an_analysis_takes_a_path(tmp_path: Any) -> None:
    rows = [{"step": 1, "prompt": f"p{n // 4}", "completion": f"c{n}", "a": n % 2, "b": n / 10} for n in range(16)]
    (tmp_path / "rollouts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert analyse(str(tmp_path / "rollouts.jsonl")).rollouts == 16
    floored = analyse(tmp_path / "rollouts.jsonl", noise_floor={"b": 10.0})
    assert next(reward for reward in floored.rewards if reward.name == "b").dead_group_share == 1
    with pytest.raises(ConfigError, match="a floor for reward 'c'"):
        analyse(tmp_path / "rollouts.jsonl", noise_floor={"c": 1.0})
