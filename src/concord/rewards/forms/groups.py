"""Functions that score the completions of one prompt together, and functions that only look asynchronous."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from concord.rewards.forms.returned import entries

T = TypeVar("T")


def by_prompt(prompts: Sequence[Any]) -> list[list[int]]:
    """The indices of equal prompts, group by group; two groups of one prompt in a batch are taken as one.

    Example:
        >>> by_prompt(["a", "b", "a"])
        [[0, 2], [1]]
    """
    groups: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(repr(prompt), []).append(index)
    return list(groups.values())


async def each(tasks: Iterable[Coroutine[Any, Any, T]], together: bool) -> list[T]:
    """The results in order, of all ``together`` or of one after the other."""
    return list(await asyncio.gather(*tasks)) if together else [await task for task in tasks]


async def settled(value: Any) -> Any:
    """The value, or what it comes to."""
    return await value if inspect.isawaitable(value) else value


async def group_scores(prompts: Sequence[Any], ask: Callable[[list[int]], Awaitable[Any]], together: bool) -> list[Any]:
    """One raw entry for each prompt: ``ask`` is called with the indices of each group.

    Raises:
        Unreadable: it returned no list, or one of another length than the group.
    """

    async def scored(group: list[int]) -> list[Any]:
        return entries(await ask(group), len(group))

    groups = by_prompt(prompts)
    found: dict[int, Any] = {}
    for group, scores in zip(groups, await each((scored(group) for group in groups), together), strict=True):
        found.update(zip(group, scores, strict=True))
    return [found[index] for index in range(len(prompts))]


def plain(function: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    """A plain function of a coroutine function that waits for nothing, so that no event loop is needed for it."""

    def run(**arguments: Any) -> T:
        coroutine = function(**arguments)
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            coroutine.close()
        raise TypeError("a plain reward function returned something that waits; define it with async def")

    return run
