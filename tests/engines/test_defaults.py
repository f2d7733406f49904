"""Defaults of other libraries: read from them, and nowhere written down."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from trl import DPOConfig, GRPOConfig, RewardConfig
from trl.trainer.utils import create_model_from_path

from concord import create
from concord.core import safe_yaml
from concord.core.errors import ConfigError, MissingExtra
from concord.engines.defaults import GRPO, LORA, REWARD_MODEL, Options, verl_default
from concord.engines.loop import Loop
from concord.engines.trl import ConcordConfig
from concord.engines.trl.preference import ConcordDPOConfig
from concord.methods import dpo
from tests.engines import tiny

SRC = Path(__file__).parents[2] / "src" / "concord"


@dataclass
class Theirs:
    """Options of some other library."""

    required: int
    plain: float = 0.25
    made: list[int] = field(default_factory=lambda: [1, 2])
    derived: int = field(default=3, init=False)


THEIRS = Options(__name__, "Theirs", "train")


def test_what_a_run_sets_counts_and_what_it_leaves_out_is_the_librarys() -> None:
    assert THEIRS.read({"plain": None, "made": [3]}, "plain") is None  # None is a value like any other
    assert THEIRS.read_all({"made": [3]}, ("plain", "made")) == {"plain": 0.25, "made": [3]}
    assert THEIRS.default("made") == [1, 2]
    assert THEIRS.default("made") is not THEIRS.default("made")


@pytest.mark.parametrize(
    ("option", "message"),
    [("gone", r"Theirs has no option 'gone'.*concord doctor"), ("derived", "has no option"), ("required", "set it")],
)
def test_an_option_without_a_default_is_named(option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        THEIRS.default(option)


@pytest.mark.parametrize(("options", "package"), [(GRPO, "trl"), (REWARD_MODEL, "trl"), (LORA, "peft")])
def test_without_the_library_only_what_is_not_set_is_missing(
    options: Options, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert options.read({"r": 4}, "r") == 4
    with pytest.raises(MissingExtra, match=rf"{package} is not installed.*concord-rl\[train\]"):
        options.read({}, "r")


def test_verls_are_read_from_what_verl_ships(shipped_verl: dict[str, Any]) -> None:
    assert verl_default("actor_rollout_ref.actor.clip_ratio_c") == shipped_verl["clip_ratio_c"]
    assert verl_default("actor_rollout_ref.actor.policy_loss.loss_mode") == "other"
    assert verl_default("actor_rollout_ref.actor.loss_scale_factor") is None  # which is not "absent"
    for absent in ("actor_rollout_ref.actor.clip", "data.max_prompt_length.x"):
        with pytest.raises(ConfigError, match=f"verl has no option '{absent}'"):
            verl_default(absent)


def test_a_verl_without_that_file_and_no_verl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concord.engines.defaults.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"concord-rl\[verl\]"):
        verl_default("data.max_prompt_length")
    monkeypatch.undo()
    (tmp_path / "verl").mkdir()
    (tmp_path / "verl" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"_generated_ppo_trainer\.yaml is not there"):
        verl_default("data.max_prompt_length")


# ---- Our constants against theirs ----


def test_a_config_of_ours_changes_no_default_of_trls_but_those_it_names() -> None:
    for ours, theirs, changed in (
        (ConcordConfig, GRPOConfig, {"use_bias_correction_kl"}),
        (ConcordDPOConfig, DPOConfig, {"beta"}),
    ):
        mine, here = defaults(ours), defaults(theirs)
        assert {name for name in here if mine[name] != here[name]} == changed


def test_constants_that_must_stand_without_trl_are_trls() -> None:
    """The mathematics, and the loop that takes the engine's steps, work where TRL is not installed."""
    surrogate = create("grpo", numerics="trl").objective.surrogate
    assert (surrogate.low, surrogate.high, surrogate.dual) == (
        GRPO.default("epsilon"),
        GRPO.default("epsilon_high") or GRPO.default("epsilon"),
        GRPO.default("delta"),
    )
    assert dpo().loss.beta == Options("trl", "DPOConfig", "train").default("beta")
    loop = inspect.signature(Loop).parameters
    for name, theirs in {
        "temperature": "temperature",
        "max_grad_norm": "max_grad_norm",
        "updates": "num_iterations",
    }.items():
        assert loop[name].default == GRPO.default(theirs)


def test_trl_loads_a_model_in_float32_as_the_estimate_of_memory_says(tmp_path: Path) -> None:
    """That default is a line of a function of TRL's, which cannot be read from a class."""
    tiny.model().to(torch.bfloat16).save_pretrained(tmp_path)
    assert {p.dtype for p in create_model_from_path(str(tmp_path)).parameters()} == {torch.float32}


def defaults(owner: type[Any]) -> dict[str, Any]:
    found = {}
    for f in dataclasses.fields(owner):
        if f.init:
            found[f.name] = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
    return found


# ---- Nobody writes one down ----

LOOKED_UP = {
    room: {name: [of[name] for of in map(defaults, owners) if name in of] for of in owners for name in defaults(of)}
    for room, owners in {
        "reward_models": (RewardConfig, LoraConfig),
        "": (GRPOConfig, DPOConfig, LoraConfig),
    }.items()
}
"""By room: an option's name, and the defaults that its owners have."""

MEANT = {
    # Compared with TRL's by `concord doctor`: what the engine was written for.
    ("engines/contract.py", "CONFIG_FIELDS"),
    # Decisions of ours, which stay if TRL changes its mind: nothing is sent anywhere unless it is asked for ...
    ("run/train.py", "report_to"),
    ("reward_models/train.py", "report_to"),
    # Whether a run has a limit, when TRL may not be there to be asked: any number below 1 is none.
    ("run/config.py", "max_steps"),
    # A token that is null and one that is left out are alike.
    ("run/receivers.py", "hub_token"),
    # ... and an evaluation that samples does so from the whole distribution.
    ("run/evaluate.py", "top_k"),
    ("run/evaluate.py", "top_p"),
}


def copies(tree: ast.AST, options: dict[str, list[Any]]) -> Iterator[tuple[str, int]]:
    """Where source falls back to something of its own for an option, or has an option's default in a table."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=given, attr="get" | "pop" | "setdefault"), args=[key, *rest]):
                # Without a fallback it is None, which is one too; a value that something computes is not.
                if _option(key, options) and (_ours(given) or not rest or _fixed(rest[0])):
                    yield _option(key, options), node.lineno
            case ast.Call(func=ast.Name(id="getattr"), args=[_, key, fallback]):
                if _option(key, options) and _fixed(fallback):
                    yield _option(key, options), node.lineno
            case ast.IfExp(body=ast.Subscript(slice=key), orelse=fallback):
                if _option(key, options) and _fixed(fallback):
                    yield _option(key, options), node.lineno
            case ast.Dict(keys=keys, values=values):
                for key, given in zip(keys, values, strict=True):
                    name = _option(key, options)
                    entries = given.elts if isinstance(given, ast.Tuple | ast.List) else [given]
                    if name and any(value in options[name] for value in itertools.chain(*map(_literal, entries))):
                        yield name, given.lineno


def _option(key: ast.AST | None, options: dict[str, list[Any]]) -> str:
    return key.value if isinstance(key, ast.Constant) and key.value in options else ""


def _ours(given: ast.AST) -> bool:
    """Whether it is a run's options by its name."""
    return ast.unparse(given).rpartition(".")[2] in ("engine", "peft")


def _fixed(node: ast.AST) -> bool:
    """Whether it is a literal, or a constant by its name."""
    name = ast.unparse(node).rpartition(".")[2]
    return bool(_literal(node)) or (isinstance(node, ast.Name | ast.Attribute) and name.isupper())


def _literal(node: ast.AST) -> list[Any]:
    """The value of a literal, alone in a list; none of anything else."""
    try:
        return [ast.literal_eval(node)]
    except ValueError:
        return []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('limit = config.engine.get("max_completion_length", 256)', True),
        ('limit = config.engine.get("max_completion_length") or 256', True),
        ('limit = options.get("max_completion_length", LIMIT)', True),
        ('limit = config.engine.get("max_completion_length", limit)', True),
        ('limit = getattr(args, "max_completion_length", 256)', True),
        ('limit = engine["max_completion_length"] if "max_completion_length" in engine else 256', True),
        ('given = {"temperature": 1.0, **engine}', True),
        ('SAME = {"temperature": ("rollout.temperature", 1.0)}', True),
        ('given = {"r": 8, **peft}', True),
        ('given = {"num_train_epochs": 3} | engine', True),  # 3.0 there
        ('given = {"temperature": 0.7, **engine}', False),  # a choice of ours
        ('limit = GRPO.read(config.engine, "max_completion_length")', False),
        ('beta = parameters.get("beta", self.beta)', False),
        ('weight = weights.get("format", 1.0)', False),
    ],
)
def test_the_search_finds_a_default_that_is_written_down(source: str, found: bool) -> None:
    assert bool(list(copies(ast.parse(source), LOOKED_UP[""]))) is found


@pytest.mark.parametrize("room", sorted(path.name for path in SRC.iterdir() if path.is_dir() and path.name[0] != "_"))
def test_no_default_of_another_library_is_written_down(room: str) -> None:
    options = LOOKED_UP.get(room, LOOKED_UP[""])
    found = []
    for path in sorted((SRC / room).rglob("*.py")):
        where, tree = path.relative_to(SRC).as_posix(), ast.parse(path.read_text())
        if (where, "CONFIG_FIELDS") in MEANT:
            tree.body = [node for node in tree.body if "CONFIG_FIELDS" not in ast.unparse(node).partition("=")[0]]
        found += [f"{where}:{line}: {name}" for name, line in copies(tree, options) if (where, name) not in MEANT]
    assert found == []


def test_what_is_meant_is_there() -> None:
    for where, name in MEANT:
        assert name in (SRC / where).read_text()


RECIPES = sorted((SRC / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_repeats_a_default_only_where_it_says_whose_setting_it_is(path: Path) -> None:
    """In a comment of its own, or in that of the recipe that its head names."""
    text = path.read_text()
    head = text.partition("\n\n")[0] + text.partition("\n\n")[2].partition("\n\n")[0]
    known = defaults(RewardConfig if path.parent.name == "reward_models" else GRPOConfig)
    lines = [line for file in (path, *(f for f in RECIPES if f.name in head)) for line in file.read_text().splitlines()]
    for name, value in safe_yaml.read(text)["engine"].items():
        if value == known[name]:
            said = [line for line in lines if line.lstrip().startswith(f"{name}: ") and "#" in line]
            assert said, f"{name}: {value} is the library's default; leave it out, or say whose setting it is"
