"""TRL's form: one call for many completions, everything by keyword."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from concord.core.errors import BatchError
from concord.rewards.batch import RESERVED, RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.forms.options import with_options
from concord.rewards.forms.parameters import as_function, check_columns, check_takes, no_column, taken, title
from concord.rewards.forms.recognise import found, names, orm_base, takes_rest
from concord.rewards.forms.returned import columns_of, entries, joined_by_name

_GROUPS = {"states", "answers", "infos", "tasks"}
"""Plural names by which verifiers' group functions are known."""


class TRL:
    """``f(prompts, completions, completion_ids, **columns) -> list[float | None]``, plain or async.

    Everything goes by keyword: the prompts and completions as they are, text or messages; ``completion_ids`` if the
    tokens are known; the data's columns; ``trainer_state``, ``log_extra`` and ``log_metric`` if the engine has them.
    None abstains. An option takes the place of a column of its name.

    Several scores at once, which TRL does not know, are a mapping of lists (``{"format": [...], "brief": [...]}``) or a
    list of mappings. The main one is ``score``, else ``reward``, ``rewards`` or ``overall``, else the only one.

    Source: ``GRPOTrainer._calculate_rewards`` of TRL 1.16.
    """

    name: ClassVar[str] = "trl"
    framework: ClassVar[str] = "TRL"
    whole: ClassVar[bool] = True
    signature: ClassVar[str] = "f(completions, **kwargs)"

    def fits(self, target: Any) -> str | None:
        """A parameter ``completions`` or ``completion_ids``; no ORM of ms-swift's, no group function of verifiers'."""
        there, open_ended = set(names(target)), takes_rest(target)
        if there & {"prompt", "prompt_ids"} and "completions" in there:  # AReaL's, of one completion
            return None
        if orm_base(target) or "states" in there or (there & _GROUPS and not open_ended):
            return None
        reason = found(target, "completions", "completion_ids")
        return reason if reason is None or open_ended else f"{reason}, but no **kwargs"

    def of(self, target: Any) -> TRL:
        """This one."""
        return self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it does not take all that TRL passes, or not an option."""
        function = as_function(target)
        check_takes(function, RESERVED, self.framework)
        return with_options(function, options, RESERVED, self.framework)

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Raises MissingColumn for a column that the function names and the data lack."""
        clash = [name for name in RESERVED if name in batch.columns]
        if clash:
            raise BatchError(f"the data have a column {clash[0]!r}, which is what TRL itself passes; rename the column")
        known = {**batch.columns, **batch.context, "prompts": batch.prompts, "completions": batch.completions}
        if batch.completion_ids is not None:
            known["completion_ids"] = batch.completion_ids
        check_columns(function, known, batch.columns, RESERVED)
        judge = getattr(function, "__self__", None)  # one that takes **columns, and knows which it reads
        if missing := [name for name in getattr(judge, "columns", ()) if name not in known]:
            raise no_column(f"{title(function)} reads {missing[0]!r}", missing[:1], batch.columns)
        return Call(taken(function, known), len(batch))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """A list, array or tensor of ``size`` entries, as the column ``score``; or several columns by name."""
        if isinstance(value, Mapping):
            return columns_of(value, size)
        return joined_by_name(entries(value, size))
