"""Putting the options of a configuration into a reward function, as the framework it was written for would."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from concord.core.errors import ConfigError, nearest
from concord.rewards.call import RewardFunction
from concord.rewards.forms.parameters import by_keyword, rest, title


class Arguments(SimpleNamespace):
    """The ``args`` of ms-swift, slime and miles: here the options, as attributes.

    Example:
        >>> Arguments(rm_url="http://host").rm_ulr
        Traceback (most recent call last):
        AttributeError: the reward reads args.rm_ulr, which is not under options:; did you mean 'rm_url'?
    """

    def __getattr__(self, name: str) -> Any:  # only for what is not there
        raise AttributeError(f"the reward reads args.{name}, which is not under options:{nearest(name, vars(self))}")


def with_options(
    function: RewardFunction, options: Mapping[str, Any], passed: Iterable[str], framework: str
) -> RewardFunction:
    """``function`` with ``options`` as keyword arguments, the same at every call; a coroutine function stays one.

    An option goes to a parameter of that name. ``**kwargs`` take others, unless the name is nearly a parameter's or
    theirs begins with an underscore, which says that nobody reads them: a misspelt option must not vanish there.

    Raises:
        ConfigError: an option that the function does not take, or that the framework passes itself.
    """
    names, further = by_keyword(function), rest(function)
    ours = set(passed)
    for name in options:
        if name in ours:
            raise ConfigError(f"option {name!r} of {title(function)} is what {framework} passes itself; rename it")
        if name not in names:
            near = nearest(name, [known for known in names if known not in ours])
            if near or further is None or further.startswith("_"):
                raise ConfigError(f"{title(function)} takes no option {name!r}{near}")
    return functools.partial(function, **options) if options else function


def instance(cls: type, options: Mapping[str, Any]) -> Any:
    """An object of a class: options that ``__init__`` names go there, all others to its ``args`` or ``cfg``.

    ``args`` has them as attributes; ``cfg``, NeMo-RL's, is a dict of them.

    Raises:
        ConfigError: an option for which there is neither, or the class raises.
    """
    settings = next((name for name in ("args", "cfg") if name in by_keyword(cls)), None)
    if settings in options:  # it is given whole
        settings = None
    names = [name for name in by_keyword(cls) if name != settings]
    arguments = {name: value for name, value in options.items() if name in names}
    others = {name: value for name, value in options.items() if name not in names}
    if settings is not None:
        arguments[settings] = Arguments(**others) if settings == "args" else others
    elif others:
        name = next(iter(others))
        raise ConfigError(f"{cls.__name__}() takes no option {name!r}{nearest(name, names)}")
    try:
        return cls(**arguments)
    except Exception as error:
        raise ConfigError(f"{cls.__name__}() raised {type(error).__name__}: {error}") from error
