"""Stop runs at every file event, and see that nothing is lost.

A tiny run is made once without interruption. Then it is made again and again, each time stopped just before another one
of its file events (an open for writing, a rename, a link, a removal, a new folder, an fsync) or at a random moment,
and taken up with ``--resume``. The end must be that of the uninterrupted run, to the bit: model, metrics by step,
rollouts, evaluation. A stop is SIGKILL, or a disk that says from this event on that it is full, read-only, out of quota
or broken; the latter must end in one line and exit code 2. Some resumed runs are stopped too.

    python -m scripts.torture.kills                 every event of every kind of run: about an hour
    python -m scripts.torture.kills --sample 3      an even spread, as in the tests

The counts are printed as JSON. Exit code 1: something was lost.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from concord.core.durable import MANIFEST
from concord.core.lock import LOCK

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", COLUMNS="200")

POLICY = """
model: builtin:tool_task/seed0
method: gd2po
data: {path: builtin:tool_task, size: 16, eval: {split: test, size: 2}}
rewards:
  correctness: {path: "concord.recipes.tool_task:correctness"}
  format: {path: "concord.recipes.tool_task:format"}
  conciseness: {path: "concord.recipes.tool_task:conciseness"}
engine: {max_steps: 4, num_generations: 4, per_device_train_batch_size: 8, learning_rate: 1e-2,
  lr_scheduler_type: linear, max_completion_length: 24, save_steps: 2, save_total_limit: 1, use_cpu: true}
out: run
"""

REWARD_MODEL = """
model: builtin:tool_task/seed0
data:
  train: {pairs: {path: pairs.jsonl}}
  eval: {held: {path: held.jsonl}}
objectives: {plain: null, level: {residual_of: plain}, dir: {dir: {length: {hidden: 4}}, correlation: 0.1}}
engine: {max_steps: 3, save_steps: 2, per_device_train_batch_size: 4, learning_rate: 1e-2, use_cpu: true,
  gradient_checkpointing: false, logging_steps: 1}
out: run
"""

DISKS = {"full": errno.ENOSPC, "quota": errno.EDQUOT, "read-only": errno.EROFS, "broken": errno.EIO}
KILL = "kill"
EVENTS = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


# ---- What is stopped ----


@dataclass(frozen=True)
class Subject:
    """A kind of run: its command, and what of its folder must be the same however often it was stopped."""

    words: tuple[str, ...]
    yaml: str
    files: Callable[[Path], None]

    def prepare(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "run.yaml").write_text(self.yaml)
        self.files(folder)


def _pairs(folder: Path) -> None:
    for seed, name in enumerate(("pairs.jsonl", "held.jsonl")):
        chance = random.Random(seed)
        rows = []
        for _ in range(12):
            short, long = (" ".join(chance.choices("abcdefgh", k=k)) for k in (3, 9))
            chosen, rejected = (long, short) if chance.random() < 0.7 else (short, long)
            say = [{"role": "user", "content": "letters"}]
            rows.append({s: [*say, {"role": "assistant", "content": c}]
                         for s, c in (("chosen", chosen), ("rejected", rejected))})  # fmt: skip
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


SUBJECTS = {
    "train": Subject(("train", "run.yaml"), POLICY, lambda folder: None),
    "reward-model": Subject(("reward-model", "train", "run.yaml"), REWARD_MODEL, _pairs),
}


def result(folder: Path) -> dict[str, Any]:
    """What a finished run must not differ in. A lock that is left over is free: its holder has ended."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "run").rglob("*")):
        place = path.relative_to(folder / "run")
        if (
            not path.is_file()
            or path.name == LOCK
            or any(part.startswith(("checkpoint-", "damaged-")) for part in place.parts)
        ):
            continue
        if path.name == "metrics.jsonl":
            entries = [json.loads(line) for line in path.read_text().splitlines()]
            timed = {"step_time", "train_runtime"}
            found[str(place)] = [{k: v for k, v in e.items() if k not in timed} for e in entries if "loss" in e]
        elif path.suffix == ".parquet":
            found[str(place)] = "there"
        elif path.suffix == ".json" and path.name not in ("run.json", MANIFEST):
            found[str(place)] = json.loads(path.read_text())  # tokenizers write keys in any order
        elif path.suffix == ".safetensors":
            found[str(place)] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[str(place)] = "there"
    return found


# ---- Stopping ----


@dataclass
class Hook:
    """Counts the file events below a folder, and stops the process at one of them.

    Files that torch, safetensors and pyarrow write without Python's knowing count at the call of their function.
    """

    root: str
    at: int | None
    how: str
    seen: int = 0

    def install(self) -> None:
        import pyarrow.parquet
        import safetensors.torch
        import torch
        import transformers.modeling_utils

        sys.addaudithook(self._audited)
        for module, name in (
            (os, "fsync"),
            (torch, "save"),
            (safetensors.torch, "save_file"),
            (transformers.modeling_utils, "safe_save_file"),
            (pyarrow.parquet, "write_table"),
        ):
            setattr(module, name, self._counted(getattr(module, name)))

    def _audited(self, event: str, details: tuple[Any, ...]) -> None:
        if event not in EVENTS or not details or not isinstance(details[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (isinstance(details[2], int) and details[2] & WRITING):
            return
        if os.path.abspath(os.fsdecode(details[0])).startswith(self.root):
            self.happen()

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.happen()
            return function(*args, **options)

        return counted

    def happen(self) -> None:
        self.seen += 1
        if self.at is None or self.seen < self.at:
            return
        if self.how == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        code = DISKS[self.how]
        raise OSError(code, os.strerror(code))


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, negative for a signal; what it printed; the events that were seen."""

    code: int
    said: str
    events: int


def command(folder: Path, words: tuple[str, ...], at: int | None = None, how: str = KILL, after: float = 0.0) -> Ended:
    """Run a command of concord's in a process that has everything imported already.

    Args:
        folder: the working directory.
        words: behind ``concord``.
        at: the event to stop at; None = none.
        how: KILL, or a name of DISKS.
        after: kill after so many seconds; 0 = not by the clock.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _become(folder, words, Hook(str(folder / "run"), at, how))
    if after:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    said = (folder / "said").read_text(errors="replace")
    events = folder / "events"
    return Ended(os.waitstatus_to_exitcode(status), said, int(events.read_text()) if events.exists() else 0)


def _become(folder: Path, words: tuple[str, ...], hook: Hook) -> None:
    """Be the command, in the forked process; never returns."""
    code = 70
    try:
        os.chdir(folder)
        said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        hook.install()
        from concord.cli.main import main

        sys.argv = ["concord", *words]
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / "events").write_text(str(hook.seen))
    finally:
        os._exit(code)


# ---- The campaign ----


@dataclass
class Campaign:
    """Counts, and what was lost."""

    subject: Subject
    place: Path
    counts: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)

    def baseline(self) -> int:
        """Make the uninterrupted run; the number of its file events."""
        folder = self.place / "whole"
        self.subject.prepare(folder)
        begun = time.monotonic()
        done = command(folder, self.subject.words)
        self.seconds = time.monotonic() - begun
        if done.code:
            raise SystemExit(f"the uninterrupted run ended with code {done.code}: {done.said}")
        self.want = result(folder)
        again = command(folder, (*self.subject.words, "--resume"))
        if again.code or "nothing to do" not in again.said or result(folder) != self.want:
            self.losses.append(f"the finished run, resumed: code {again.code}, {again.said[-200:]}")
        return done.events

    def stop(self, at: int | None, how: str, after: float = 0.0, again: int | None = None) -> None:
        """Stop a run, take it up, and compare.

        Args:
            at, how, after: of the stop, as in :func:`command`.
            again: an event of the resumed run to kill at; None = it is let be.
        """
        folder = self.place / "stopped"
        shutil.rmtree(folder, ignore_errors=True)
        self.subject.prepare(folder)
        what = f"{' '.join(self.subject.words[:1])}, {how} at {'event ' + str(at) if at else f'{after:.2f} s'}"
        first = command(folder, self.subject.words, at, how, after)
        self.counts[f"{how}s" if how == KILL else f"disks {how}"] += 1
        if how != KILL and (first.code != 2 or "Traceback" in first.said or len(_errors(first.said)) != 1):
            self.losses.append(f"{what}: exit code {first.code}: {first.said[-300:]}")
        if again is not None:
            command(folder, self._way_on(folder), again)
            self.counts["kills of resumed runs"] += 1
        last = command(folder, self._way_on(folder))
        if last.code:
            self.losses.append(f"{what}: resuming ended with code {last.code}: {last.said[-300:]}")
        elif (got := result(folder)) != self.want:
            differ = sorted(name for name in self.want.keys() | got.keys() if self.want.get(name) != got.get(name))
            self.losses.append(f"{what}: differs in {differ}")

    def _way_on(self, folder: Path) -> tuple[str, ...]:
        """What a stopped run is taken up with: ``--resume``, unless there is no folder yet."""
        begun = (folder / "run").exists()
        self.counts["taken up with --resume" if begun else "taken up by starting"] += 1
        return (*self.subject.words, "--resume") if begun else self.subject.words


def _errors(said: str) -> list[str]:
    return re.findall(r"^error: .*$", said, re.M)


def spread(count: int, events: int) -> Iterator[int]:
    """So many events, evenly spread over all of them."""
    yield from sorted({1 + int((i + 0.5) * events / count) for i in range(min(count, events))})


def campaign(name: str, place: Path, sample: int | None, seed: int) -> dict[str, Any]:
    """Stop a kind of run at every event, or at a sample of them."""
    run, chance = Campaign(SUBJECTS[name], place), random.Random(seed)
    events = run.baseline()
    points = list(spread(sample or events, events))
    for number, at in enumerate(points):
        run.stop(at, KILL, again=chance.randint(1, events) if number % 3 == 2 else None)
    for number, at in enumerate(points[:: 4 if sample is None else 3]):
        run.stop(at, list(DISKS)[number % len(DISKS)])
    for _ in range(len(points) // 3):
        run.stop(None, KILL, after=chance.uniform(0.1, run.seconds))
    return {"events": events, **run.counts, "losses": run.losses}


def warm_up() -> None:
    """Import what the runs need, and what they would each work out again; leave no thread, which no fork would have."""
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import matplotlib.figure
    import torch

    import concord.engines.trl
    import concord.reward_models.trainer
    import concord.run.train  # noqa: F401
    from concord.run.config import RunConfig  # noqa: F401

    torch.set_num_threads(1)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from concord.run.folder import versions
    from concord.run.paths import model_source

    base = model_source("builtin:tool_task/seed0")
    AutoModelForCausalLM.from_pretrained(base)
    AutoTokenizer.from_pretrained(base)
    versions()
    # Half of a tiny run's time goes into a picture of nothing.
    matplotlib.figure.Figure.savefig = lambda self, path, **_: Path(path).write_bytes(b"picture")


def main() -> None:
    """Run the campaign; exit code 1 if something was lost."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--sample", type=int, help="events to stop at, of each kind of run; all of them if left out")
    options.add_argument("--of", choices=SUBJECTS, action="append", help="only this kind of run")
    options.add_argument("--seed", type=int, default=0, help="of the random moments")
    given = options.parse_args()
    warm_up()
    found = {}
    for name in given.of or SUBJECTS:
        with tempfile.TemporaryDirectory() as place:
            found[name] = campaign(name, Path(place), given.sample, given.seed)
    print(json.dumps(found, indent=2))
    sys.exit(any(counts["losses"] for counts in found.values()))


if __name__ == "__main__":
    main()
