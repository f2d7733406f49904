"""Tests that need verl, in an environment of their own: ``make test-engines``. Without verl there is nothing here."""

from __future__ import annotations

import importlib.util
import os

# cpu.py changes the platform of the process that imports it.
collect_ignore_glob = ["cpu.py"] if importlib.util.find_spec("verl") else ["*"]

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
