"""Which framework a reward function was written for, by the names of its parameters; it is never called for that."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from concord.core.errors import ConfigError, nearest
from concord.rewards.forms.environment import Environment
from concord.rewards.forms.form import Form
from concord.rewards.forms.openrlhf import OpenRLHF
from concord.rewards.forms.parameters import as_function, title
from concord.rewards.forms.single import RLLM, AReaL, Nemo, mapped
from concord.rewards.forms.slime import Slime
from concord.rewards.forms.swift import Swift
from concord.rewards.forms.trl import TRL
from concord.rewards.forms.verifiers import Verifiers
from concord.rewards.forms.verl import EasyR1, Verl


class Recognised(Form, Protocol):
    """A form that can tell whether a function has it.

    Attributes:
        signature: how such a function looks, for messages.
    """

    signature: ClassVar[str]

    def fits(self, target: Any) -> str | None:
        """Why ``target`` seems to have this form; None if it does not."""
        ...

    def of(self, target: Any) -> Form:
        """This form, or the one of its name that scores many completions a call, if ``target`` does."""
        ...


class Detected(NamedTuple):
    """A form and why; as text ``verl (parameters solution_str, ground_truth)``."""

    form: Form
    reason: str

    def __str__(self) -> str:
        return f"{self.form.name} ({self.reason})"


_EVERY: tuple[Recognised, ...] = (
    TRL(), Verl(), OpenRLHF(), Swift(), Slime(), Verifiers(), EasyR1(), AReaL(), RLLM(), Nemo(), Environment(),
)  # fmt: skip
_FORMS = {form.name: form for form in _EVERY}
_ALIASES = {"miles": "slime", "ms-swift": "swift", "nemo-rl": "nemo"}

Stated = str | Mapping[str, str]
"""A framework's name; or names of one's own, see :class:`concord.rewards.forms.single.Mapped`."""


def forms() -> list[str]:
    """What ``form:`` may say.

    Example:
        >>> forms()  # doctest: +NORMALIZE_WHITESPACE
        ['trl', 'verl', 'openrlhf', 'swift', 'slime', 'verifiers', 'easyr1', 'areal', 'rllm', 'nemo', 'nemo-env',
        'miles', 'ms-swift', 'nemo-rl']
    """
    return [*_FORMS, *_ALIASES]


def get(name: Stated) -> Form:
    """The form of a name, or of names of one's own, to bind a function with.

    :func:`detect` also says whether one call scores one or many.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    return _named(name) if isinstance(name, str) else mapped(name)


def detect(target: Any, name: Stated | None = None) -> Detected:
    """The form of a reward function, and why; with ``name``, which of that name's.

    Args:
        target: a function, an object with ``__call__``, one of ms-swift's classes, or a Rubric of verifiers'.
        name: a form that was stated, or the names of its parameters; None = it is to be found.

    Raises:
        ConfigError: no form of that name; or its parameters' names are those of no form, or of several.

    Example:
        >>> def compute_score(data_source, solution_str, ground_truth, extra_info=None): ...
        >>> print(detect(compute_score))
        verl (parameters data_source, solution_str, ground_truth, extra_info)
        >>> print(detect(lambda answer, **_: answer, "trl"))
        trl (as stated)
    """
    if isinstance(name, Mapping):
        own = mapped(name)
        return Detected(own, own.reason)
    if name is not None:
        return Detected(_named(name).of(target), "as stated")
    fitting = [(form, reason) for form in _FORMS.values() if (reason := form.fits(target))]
    if len(fitting) == 1:
        [(form, reason)] = fitting
        return Detected(form.of(target), reason)
    if fitting:
        which = " or ".join(f"{form.name} ({reason})" for form, reason in fitting)
        raise ConfigError(f"{_shown(target)} may be {which}; state which, as form: {fitting[0][0].name}")
    known = "; ".join(f"{form.name}: {form.signature}" for form in _FORMS.values())
    raise ConfigError(
        f"the form of {_shown(target)} is none that is known; state it with form:, one of {known}; or say which "
        "parameter gets what, as form: {prompt: question, response: action, answer: truth}"
    )


def _named(name: str) -> Recognised:
    known = _ALIASES.get(name, name)
    if known not in _FORMS:
        raise ConfigError(f"no form {name!r}{nearest(name, forms())}; there are {', '.join(_FORMS)}")
    return _FORMS[known]


def _shown(target: Any) -> str:
    if inspect.isclass(target) or not callable(target):
        return f"{target!r}"
    try:
        return title(target)[:-2] + str(inspect.signature(as_function(target)))
    except (TypeError, ValueError):
        return f"{title(target)}, which shows no parameters,"
