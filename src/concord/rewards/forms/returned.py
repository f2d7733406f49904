"""Reading what reward functions return: lists and tensors, mappings, one entry for each completion."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from concord.rewards.forms.form import Unreadable

MAIN = "score"
"""The name of the main column, where the framework has none of its own."""


MAINS = (MAIN, "reward", "rewards", "overall")
"""Names under which the main score stands among several, in the order in which they are looked for."""


def shown(value: Any) -> str:
    """A value and its type, shortened, for a message."""
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def entries(value: Any, size: int) -> list[Any]:
    """``value`` as a list: one raw entry for each of ``size`` completions.

    Args:
        value: a list, a tuple, an array or a tensor.

    Raises:
        Unreadable: another kind, or another length.

    Example:
        >>> entries((1, None), 2)
        [1, None]
        >>> entries([1.0], 2)
        Traceback (most recent call last):
        concord.rewards.forms.form.Unreadable: returned 1 score for 2 completions; return one for each, and None ...
    """
    if not isinstance(value, list | tuple):
        if not getattr(value, "shape", ()):  # torch's and NumPy's; a scalar has the empty shape
            raise Unreadable(f"returned {shown(value)}; return a list with one score for each completion")
        value = value.tolist()
    if len(value) != size:
        raise Unreadable(
            f"returned {len(value)} score{'s' * (len(value) != 1)} for {size} completions; return one for each, and "
            "None for those it does not judge"
        )
    return list(value)


def joined(rows: Sequence[Mapping[str, Any]], main: str = MAIN) -> dict[str, list[Any]]:
    """The entries of each completion as columns, ``main`` first; None where a completion has no entry of that name.

    Example:
        >>> joined([{"score": 1}, {"score": 0, "acc": True}])
        {'score': [1, 0], 'acc': [None, True]}
    """
    names = dict.fromkeys((main, *(name for row in rows for name in row)))
    return {name: [row.get(name) for row in rows] for name in names}


def joined_by_name(values: Sequence[Any]) -> dict[str, list[Any]]:
    """What was returned for each completion, a score or a mapping of several, as columns, the main one first.

    Of several names the main one is ``score``, else ``reward``, ``rewards`` or ``overall``, else the only one. Where
    none of these is there, ``score`` holds the mappings, which are no scores: ``key:`` says which.

    Example:
        >>> joined_by_name([0.5]), joined_by_name([{"fmt": 1.0, "reward": 0.0}, None])
        ({'score': [0.5]}, {'reward': [0.0, None], 'fmt': [1.0, None]})
    """
    mappings = [value for value in values if isinstance(value, Mapping)]
    main = _main(dict.fromkeys(name for mapping in mappings for name in mapping))
    name = MAIN if main is None else main
    several = [{MAIN: dict(value), **value} if main is None else value for value in mappings]
    rows = iter(several)
    return joined([next(rows) if isinstance(value, Mapping) else {name: value} for value in values], name)


def columns_of(value: Mapping[str, Any], size: int) -> dict[str, list[Any]]:
    """What was returned for many completions as a list for each name, the main one first, as in :func:`joined_by_name`.

    Raises:
        Unreadable: an entry is no list, or one of another length.
    """
    columns = {str(name): entries(column, size) for name, column in value.items()}
    main = _main(columns)
    if main is not None:
        return {main: columns[main], **columns}
    rows: list[Any] = [{name: column[index] for name, column in columns.items()} for index in range(size)]
    return {MAIN: rows, **columns}


def _main(named: Mapping[str, Any]) -> str | None:
    found = next((name for name in MAINS if name in named), None)
    return next(iter(named)) if found is None and len(named) == 1 else found
