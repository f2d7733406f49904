"""Telling the forms apart by parameters' names."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import concord.rewards.forms
from concord.core.errors import ConfigError
from concord.rewards.forms.detect import detect, forms, get
from tests.rewards.forms import test_openrlhf, test_slime, test_swift, test_trl, test_verifiers, test_verl
from tests.test_architecture import imports


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return outer


class Method:
    def score(self, data_source: str, solution_str: str, ground_truth: str) -> float:
        return 0.0


TABLE: list[tuple[Any, str]] = [
    (test_trl.exact, "trl (parameter completions)"),
    (test_trl.short, "trl (parameters completions, completion_ids)"),
    (test_trl.Judge(1.0), "trl (parameter completions)"),
    (functools.partial(test_trl.exact, answer=[]), "trl (parameter completions)"),
    (wrapped(test_trl.exact_later), "trl (parameter completions)"),
    (lambda completions, **_: [], "trl (parameter completions)"),
    (lambda completions, answer: [], "trl (parameter completions, but no **kwargs)"),
    (lambda prompts, completion_ids, **_: [], "trl (parameter completion_ids)"),
    (test_verl.compute_score, "verl (parameters data_source, solution_str, ground_truth, extra_info)"),
    (test_verl.strictly, "verl (parameters solution_str, ground_truth)"),
    (test_verl.compute_score_batched, "verl (parameters data_sources, solution_strs, ground_truths, extra_infos)"),
    (Method().score, "verl (parameters data_source, solution_str, ground_truth)"),
    (lambda solution_str, **_: 0, "verl (parameter solution_str)"),
    (test_openrlhf.reward_func, "openrlhf (parameters queries, prompts, labels)"),
    (test_openrlhf.Remote(), "openrlhf (parameters queries, prompts, labels)"),
    (test_swift.Solution, "swift (Solution is an ORM)"),
    (test_swift.Later(), "swift (Later is an AsyncORM)"),
    (test_swift.Bare, "swift (a class called with completions)"),
    (test_slime.custom_rm, "slime (parameters args, sample)"),
    (test_slime.rank, "slime (parameters args, samples)"),
    (functools.partial(test_slime.custom_rm, more=1), "slime (parameters args, sample)"),
    (test_verifiers.correct, "verifiers (parameters completion, answer)"),
    (lambda state: 0, "verifiers (parameter state)"),
    (lambda prompt, completion, **_: 0, "verifiers (parameters prompt, completion)"),
    (lambda completions, answers: [], "verifiers (parameters completions, answers)"),
    (lambda states, **_: [], "verifiers (parameter states)"),
    (test_verifiers.rubric([test_verifiers.correct, len]), "verifiers (SimpleNamespace of correct, len)"),
]


@pytest.mark.parametrize(("target", "said"), TABLE, ids=lambda entry: entry if isinstance(entry, str) else "")
def test_the_form_is_told_by_names(target: Any, said: str) -> None:
    assert str(detect(target)) == said


@pytest.mark.parametrize(("target", "said"), TABLE, ids=lambda entry: entry if isinstance(entry, str) else "")
def test_a_stated_form_is_the_same_form(target: Any, said: str) -> None:
    found, stated = detect(target), detect(target, said.split()[0])
    assert type(stated.form) is type(found.form)
    assert stated.reason == "as stated"


def test_nothing_is_called_to_find_out() -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError

    class Fails:
        def __init__(self) -> None:
            raise AssertionError

        def __call__(self, completions: Any, **kwargs: Any) -> None:
            raise AssertionError

    assert detect(Fails).form.name == "swift"
    with pytest.raises(ConfigError):
        detect(fails)


@pytest.mark.parametrize(
    "target",
    [
        lambda **kwargs: 0,
        lambda *args, **kwargs: 0,
        lambda: 0,
        lambda text, gold: 0,
        lambda prompts, **_: 0,
        lambda answer: 0,
        max,
        operator.itemgetter("a"),
        Method,
        SimpleNamespace(funcs=1, weights=2),
        "compute_score",
        None,
    ],
)
def test_what_has_no_form_that_is_known(target: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"the form of .* is none that is known; state it with form:, one of trl: f\(com"
    ):
        detect(target)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (lambda completions, answers, **_: [], r"trl \(parameter completions\) or verifiers \(parameters completions"),
        (lambda completions: [], r"trl \(parameter completions, but no \*\*kwargs\) or verifiers"),
        (lambda completions, solution_str, **_: [], r"trl \(.*\) or verl \(parameter solution_str\)"),
    ],
)
def test_what_may_have_several_forms(target: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"<lambda>\(completions.* may be {said}.*; state which, as form: trl"):
        detect(target)


def test_the_names_of_the_forms() -> None:
    frameworks = [
        "trl",
        "verl",
        "openrlhf",
        "swift",
        "slime",
        "verifiers",
        "easyr1",
        "areal",
        "rllm",
        "nemo",
        "nemo-env",
    ]
    assert forms() == [*frameworks, "miles", "ms-swift", "nemo-rl"]
    assert [get(name).name for name in forms()] == [*frameworks, "slime", "swift", "nemo"]
    with pytest.raises(ConfigError, match=r"no form 'verll'; did you mean 'verl'\?; there are trl, verl, openrlhf"):
        get("verll")
    with pytest.raises(ConfigError, match="no form 'TRL'"):
        detect(test_trl.exact, "TRL")


@pytest.mark.parametrize("name", forms())
@pytest.mark.parametrize("target", ["text", None, 3])
def test_what_is_no_function_is_said_to_be_none(name: str, target: Any) -> None:
    with pytest.raises(ConfigError, match=r"is a \w+, not a function; name a function or an instance"):
        detect(target, name).form.bind(target, {})


@pytest.mark.parametrize("path", sorted(Path(concord.rewards.forms.__file__).parent.glob("*.py")), ids=lambda p: p.name)
def test_forms_import_no_framework_and_nothing_heavy(path: Path) -> None:
    ours = ("concord.core.", "concord.rewards.forms", "concord.rewards.batch", "concord.rewards.call")
    for module in imports(path):
        name = module.split(".")[0]
        assert name in sys.stdlib_module_names or module.startswith((*ours, "concord.rewards.completions")), module
