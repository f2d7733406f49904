"""Keeping other libraries' chatter out of a run's output."""

from __future__ import annotations

import os
import warnings


def hush() -> None:
    """Turn off progress bars of loading and saving, telemetry, and deprecation notes between TRL and transformers.

    Warnings that a user could act on stay.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers(\..*)?")
