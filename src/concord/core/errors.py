"""What can go wrong, as a tree; every message says what, where, and what to change.

ConcordError
├── BatchError (ValueError)          the rollouts handed in are malformed
│   └── MissingColumn (KeyError)     a stage or a reward reads a column that the batch lacks
├── UnknownName (KeyError)           no method, stage or recipe of that name
├── DuplicateName (ValueError)       a name is taken already
├── ConfigError (ValueError)         a run's configuration does not fit
├── RewardError (ValueError)         a reward function returned something unusable
│   └── RewardTimeout                a reward's server did not answer in time
├── DumpError (ValueError)           rollouts on disk cannot be read or written
├── RunFolderError                   the run folder is not free, or not a run
└── MissingExtra (ImportError)       an optional dependency is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from concord.core.redaction import redact


class ConcordError(Exception):
    """The root: ``except ConcordError`` catches whatever Concord raises on purpose."""

    def __str__(self) -> str:
        # KeyError would print the repr of its argument, quotes and all; and no message shows a secret.
        return redact(str(self.args[0])) if self.args else ""


class BatchError(ConcordError, ValueError):
    """The rollouts handed in are malformed: shapes, dtypes, names, or groups."""


class MissingColumn(BatchError, KeyError):
    """A stage, an objective or a reward function reads a column that the batch does not carry."""


class UnknownName(ConcordError, KeyError):
    """Nothing is registered under that name."""


class DuplicateName(ConcordError, ValueError):
    """The name is taken already."""


class ConfigError(ConcordError, ValueError):
    """A run's configuration has an unknown key, a wrong type, or parts that do not fit."""


class RewardError(ConcordError, ValueError):
    """A reward function returned the wrong length, type or value, or raised."""


class RewardTimeout(RewardError):
    """A reward's server did not answer in time, however often it was asked."""


class DumpError(ConcordError, ValueError):
    """Rollouts on disk cannot be read or written."""


class RunFolderError(ConcordError):
    """The run folder holds another run, or none where one is expected."""


class MissingExtra(ConcordError, ImportError):
    """An optional dependency is not installed; the message names the extra."""

    @classmethod
    def of(cls, extra: str, package: str) -> MissingExtra:
        return cls(f"{package} is not installed; run: pip install 'concord-rl[{extra}]'")


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'gdpo'?"`` for the closest known name, or nothing.

    Example:
        >>> nearest("gdop", ["grpo", "gdpo"])
        "; did you mean 'gdpo'?"
        >>> nearest("zzz", ["grpo", "gdpo"])
        ''
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
