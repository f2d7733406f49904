"""What every registered method promises. Register one, and it is asked the same."""

from __future__ import annotations

import inspect
import json
import pickle
import warnings
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

import concord.learners as learners
import concord.objectives as objectives
import concord.stages as stages
from concord import Chain, Groups, Method, Rollouts, create, info, names
from concord.core import safe_yaml
from concord.core.catalogue import builder
from concord.core.errors import ConcordError, MissingColumn
from tests.batches import make_batch, make_columns, reorder

METHODS = names("*", "advantage", "loss")
each = pytest.mark.parametrize("name", METHODS)
# Whose baseline is not the group, so that a unanimous group has something to say.
BEYOND_THE_GROUP = {"brpo", "copo", "dcpo", "eapo", "igpo", "pf_ppo", "ppo", "reinforce_pp", "risk_po", "turn_ppo"}
# What it says depends on the order, by which it puts prompts into bundles and responses into papers.
BY_ORDER = {"risk_po"}
# Where a batch's groups meet.
BATCH_STEPS = (
    "batch_normalize",
    "beta_normalize",
    "blend_by_consistency",
    "bundle_risk",
    "group_centre_batch_scale",
    "tempered_target",
    "whiten",
    "whiten_tokens",
)
GROUP_RELATIVE = [name for name in METHODS if name not in BEYOND_THE_GROUP]


def make(name: str, **parameters: Any) -> Method:
    """The method, with those of the parameters that it has."""
    known = inspect.signature(builder(name)).parameters
    return create(name, **{key: value for key, value in parameters.items() if key in known})


def with_numerics(known: Iterable[str]) -> list[tuple[str, str]]:
    """Each name with each set of numerics that its method has; those without one stand once."""
    has = {name: "numerics" in inspect.signature(builder(name)).parameters for name in known}
    return [(name, numerics) for name in has for numerics in (("verl", "trl") if has[name] else ("verl",))]


def flat_batch(values: list[float], size: int, dtype: torch.dtype, kinds: int = 2) -> Rollouts:
    """Groups whose rollouts all scored alike, each group something else."""
    per_group = torch.tensor(values, dtype=dtype)[:, None] * torch.arange(1, kinds + 1, dtype=dtype) / 3
    n = len(values) * size
    groups = Groups.uniform(len(values), size)
    columns = make_columns(torch.Generator().manual_seed(n), n, torch.float32)
    columns["contrastive_loss"] = torch.full((n,), torch.nan)  # where all are correct, or none is, there is no anchor
    return Rollouts(per_group[groups.index], groups, tuple("abcd"[:kinds]), columns)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
def test_shapes_and_finite(name: str, missing: float, dtype: torch.dtype) -> None:
    batch, _ = make_batch(1, missing=missing, dtype=dtype)
    outcome = create(name).signal(batch)
    assert outcome.advantages.shape == outcome.keep.shape == (16,)
    assert outcome.empty_groups.shape == (4,)
    assert outcome.advantages.dtype == dtype
    assert outcome.push.advantages.isfinite().all()
    assert set(outcome.columns) == create(name).signal.writes
    assert all(len(column) == 16 and column.isfinite().all() for column in outcome.columns.values())
    assert (outcome.advantages[~outcome.keep] == 0).all()
    unscored = batch.rewards.isnan().all(1)
    assert not outcome.keep[unscored].any()
    assert all(value.ndim == 0 and value.isfinite() for value in outcome.metrics.values())


@each
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    power=st.integers(-38, 38),
    spread=st.sampled_from(["uniform", "signs", "two sizes"]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_finite_scores_of_any_size_give_finite_numbers(
    name: str, seed: int, power: int, spread: str, dtype: torch.dtype
) -> None:
    batch, _ = make_batch(seed, missing=0.1)
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(batch.rewards.shape, generator=generator, dtype=torch.float64) - 1
    small = torch.rand(x.shape, generator=generator) < 0.5
    x = {"uniform": x, "signs": x.sign(), "two sizes": torch.where(small, x / 10.0**power, x)}[spread]
    limits = torch.finfo(dtype)
    sized = (3 * x * 10.0**power).clamp(limits.min, limits.max).to(dtype)
    scores = torch.where(batch.rewards.isnan(), torch.nan, sized)
    outcome = create(name).signal(Rollouts(scores, batch.groups, batch.names, batch.columns))
    assert outcome.advantages.isfinite().all()
    assert outcome.push.advantages.isfinite().all()
    assert all(column.isfinite().all() for column in outcome.columns.values())
    assert all(value.isfinite() for value in outcome.metrics.values()), outcome.metrics


@pytest.mark.parametrize("name", [name for name in METHODS if name not in BY_ORDER])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_order_of_rollouts_is_irrelevant(name: str, seed: int, sizes: list[int]) -> None:
    batch, ids = make_batch(seed, sizes, missing=0.1)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    method = create(name)
    moved = method.signal(reorder(batch, ids, order)).advantages
    torch.testing.assert_close(moved, method.signal(batch).advantages[order], rtol=1e-7, atol=1e-7)


@each
def test_inputs_are_left_alone(name: str) -> None:
    batch, _ = make_batch(missing=0.2)
    before = batch.rewards.clone()
    create(name).signal(batch)
    torch.testing.assert_close(batch.rewards, before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("name", "numerics"), with_numerics(GROUP_RELATIVE))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_no_signal_anywhere_is_exactly_zero(name: str, numerics: str, dtype: torch.dtype) -> None:
    method = make(name, numerics=numerics)
    for size in (1, 2, 3, 5, 7, 8, 12, 16):
        batch = flat_batch([0.1, 0.3, 0.7, 0.9, 2.4, 1 / 3, -0.7], size, dtype)
        assert (method.signal(batch).advantages == 0).all(), size


@pytest.mark.parametrize(("name", "numerics"), with_numerics(GROUP_RELATIVE))
@pytest.mark.parametrize("size", [4, 5, 7, 8, 16])
def test_a_unanimous_group_is_exactly_silent_beside_others(name: str, numerics: str, size: int) -> None:
    batch = flat_batch([0.7] * 6, size, torch.float32)
    rewards = batch.rewards.clone()
    rewards[size:] = torch.rand(5 * size, 2, generator=torch.Generator().manual_seed(size))
    mixed = Rollouts(rewards, batch.groups, batch.names, batch.columns)
    advantages = make(name, numerics=numerics).signal(mixed).advantages
    assert (advantages[:size] == 0).all()
    assert (advantages[size:] != 0).any()


def test_reinforce_pp_is_silent_only_where_the_whole_batch_is() -> None:
    batch = flat_batch([0.7] * 5, 7, torch.float32)
    assert (create("reinforce_pp").signal(batch).advantages == 0).all()
    differing = flat_batch([0.1, 0.9], 7, torch.float32)
    low, high = create("reinforce_pp").signal(differing).advantages.view(2, 7)
    assert (low < 0).all()
    assert (high > 0).all()


@each
def test_runs_without_host_sync(name: str) -> None:
    """Under fake tensors any ``.item()``, ``bool(tensor)`` or data-dependent shape raises."""
    batch, _ = make_batch()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor
        parts = {part: fake(getattr(batch.groups, part)) for part in ("index", "table", "there", "slot")}
        columns = {key: fake(value) for key, value in batch.columns.items()}
        groups = Groups(**parts, dense=batch.groups.dense)
        create(name).signal(Rollouts(fake(batch.rewards), groups, batch.names, columns))


@each
def test_is_a_value(name: str) -> None:
    method = create(name)
    assert pickle.loads(pickle.dumps(method)) == method == create(name)
    assert hash(method) == hash(create(name))
    rebuilt = eval(repr(method.signal), vars(stages) | {"Chain": Chain})
    assert rebuilt == method.signal
    assert eval(repr(method.objective), vars(objectives)) == method.objective
    assert eval(repr(method.learner), vars(learners)) == method.learner


@each
def test_config_survives_json_and_yaml(name: str) -> None:
    chain = make(name, weights={"r0": 2.0, "r1": 0.5}).signal
    config = chain.to_config()
    assert Chain.from_config(config) == chain
    assert Chain.from_config(json.loads(json.dumps(config))) == chain
    assert Chain.from_config(safe_yaml.read(safe_yaml.write(json.loads(json.dumps(config))))) == chain


@each
def test_one_thread_and_two_give_the_same_bits(name: str) -> None:
    """Sums over many tokens are split among threads, in double precision."""
    batch, _ = make_batch(4, [8] * 128, dtype=torch.float32)
    threads = torch.get_num_threads()
    outcomes = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            outcomes.append(create(name).signal(batch).push.advantages)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*outcomes)


@each
def test_state_replays(name: str) -> None:
    chain, (first, _), (second, _) = create(name).signal, make_batch(1), make_batch(2)
    state = chain(first).state
    again = [chain(second, state).advantages for _ in range(2)]
    assert torch.equal(*again)


@each
def test_trace_holds_every_stage_in_order(name: str) -> None:
    batch, _ = make_batch()
    chain = create(name).signal
    outcome = chain(batch, trace=True)
    assert tuple(stage for stage, _ in outcome.trace) == chain.names
    last = outcome.trace[-1][1]
    assert torch.equal(outcome.advantages[last.keep], last.values[last.keep, 0])


@each
def test_missing_columns_are_named_with_their_stage(name: str) -> None:
    batch, _ = make_batch()
    method = create(name)
    bare = Rollouts(batch.rewards, batch.groups, batch.names)
    if method.signal.needs:
        columns = r"\['\w+'(, '\w+')*\]"
        with pytest.raises(MissingColumn, match=rf"stage '\w+' needs columns {columns}; this batch carries \[\]"):
            method.signal(bare)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tokens cannot be counted, where they would be
            method.signal(bare)


@each
def test_an_empty_batch_has_an_empty_outcome(name: str) -> None:
    columns = make_columns(torch.Generator(), 0, torch.float32)
    batch = Rollouts(torch.empty(0, 2), Groups.of([]), ("a", "b"), columns)
    assert create(name).signal(batch).advantages.shape == (0,)


@each
def test_one_missing_reward_moves_only_its_own_group(name: str) -> None:
    """Group-relative parts are local; only a batch step may carry a change further."""
    batch, _ = make_batch(3, (4, 4, 4), shuffle=False)
    holed = batch.rewards.clone()
    holed[0, 1] = torch.nan
    chain = create(name).signal
    for step in BATCH_STEPS:
        chain = chain.without(step) if step in chain.names else chain
    before = chain(batch).advantages
    after = chain(Rollouts(holed, batch.groups, batch.names, batch.columns)).advantages
    assert torch.equal(before[4:], after[4:])


@each
def test_the_card_says_where_it_comes_from(name: str) -> None:
    card = info(name)
    assert card.title
    assert card.formula
    assert len(card.arxiv.split(".")) == 2


@each
def test_every_number_that_it_takes_is_in_what_it_builds(name: str) -> None:
    for key, parameter in inspect.signature(builder(name)).parameters.items():
        value = parameter.default
        if type(value) not in (int, float):
            continue
        others = [other for other in (value + 1, value / 2, value * 1.01, value + 0.1) if other != value]
        made = next(method for other in others if (method := _allowed(name, key, other)) is not None)
        assert made != create(name), key


def _allowed(name: str, key: str, value: float) -> Method | None:
    try:
        return create(name, **{key: value})
    except (ConcordError, ValueError):
        return None


@each
def test_an_unknown_parameter_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match="tua"):
        create(name, tua=0.5)
