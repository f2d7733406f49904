"""``concord recipes``: the list with its estimates, and copies that run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from concord.reward_models.config import load_config as load_reward_model
from concord.reward_models.config import shipped_recipes as shipped_reward_models
from concord.run.config import load_config
from concord.run.paths import shipped_recipes
from tests.cli.test_commands import Run, run  # noqa: F401 fixture

ALL = sorted(shipped_recipes() | shipped_reward_models())


def test_the_list_has_every_recipe_with_its_title_and_numbers(run: Run) -> None:  # noqa: F811
    text = run("recipes").stdout
    rows = json.loads(run("recipes", "--json").stdout)
    assert sorted(rows) == ALL
    assert all(name in text for name in ALL)
    assert rows["tool_calling"]["command"] == "train"
    assert rows["length"]["command"] == "reward-model"
    for name, row in rows.items():
        assert row["parameters"] > 0, name
        assert row["memory"] > 0, name
        assert 10 < len(row["what"]) < 80, name
        assert not row["what"].startswith("#"), name
    (line,) = [line for line in text.splitlines() if "train tool_calling " in line]
    assert line.split()[2:8] == ["1.5", "B", "25", "GB", "1.6", "M"]


@pytest.mark.parametrize("name", ALL)
def test_a_copy_is_the_same_run(name: str, run: Run, tmp_path: Path) -> None:  # noqa: F811
    assert run("recipes", "copy", name).stdout == f"{name}.yaml\n"
    load = load_config if name in shipped_recipes() else load_reward_model
    assert load(tmp_path / f"{name}.yaml") == load(name)  # paths start where one stands, and at the file


def test_a_copy_goes_where_it_is_told_and_over_nothing(run: Run, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "mine").mkdir()
    assert run("recipes", "copy", "demo", "--to", "mine").returncode == 0
    assert run("recipes", "copy", "demo", "--to", "mine/other.yaml").returncode == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["demo.yaml", "other.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["copy", "demmo"], "no recipe 'demmo'; did you mean 'demo'?"),
        (["copy", "demo", "--to", "there.yaml"], "there.yaml exists; name another file with --to"),
        (["copy", "demo", "--to", "no/such/demo.yaml"], "no folder no/such"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str, run: Run, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "there.yaml").write_text("mine")
    done = run("recipes", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert (tmp_path / "there.yaml").read_text() == "mine"
