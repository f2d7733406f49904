"""Runs in parallel processes of one thread, each kept in a file of its own, so that what is done is not done again."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from concord.bench.trial import Job, Point, run
from concord.core.durable import clear_unfinished, read_json, set_aside, whole_file, write_whole
from concord.core.errors import ConcordError, MissingExtra
from concord.core.lock import locked

RUNS, PARQUET = "runs", "results.parquet"


class RunFailed(ConcordError):
    """A run of the benchmark raised; the others' results are kept."""


@dataclass(frozen=True)
class Run:
    """A finished run: what was asked, and what was measured at each step."""

    job: Job
    points: tuple[Point, ...]

    def curve(self, name: str) -> list[float]:
        """One measure over the steps; NaN where it was not measured."""
        return [float("nan") if (value := point.get(name)) is None else value for point in self.points]


def jobs(tasks: Sequence[str], methods: Sequence[str], seeds: int) -> list[Job]:
    """Every method on every task with every seed; seed by seed, so that what is there early can be compared."""
    return [Job(task, method, seed) for seed in range(seeds) for task in tasks for method in methods]


def run_all(wanted: Sequence[Job], folder: Path, *, processes: int, console: Console) -> list[Run]:
    """Make the runs that the folder does not hold yet, and return them all, in the order wanted.

    Args:
        wanted: the runs.
        folder: keeps a file a run. A file that is damaged is set aside (renamed), and its run made again.
        processes: at a time, with one thread each; with 1 it is this very process.
        console: where the progress bar is drawn.

    Raises:
        UnknownName, ConfigError: a task or method that there is not, before any run.
        RunFailed: a run raised, or its process died; what was finished stays, and the same command goes on from there.
        RunFolderError: another process writes to the folder.
    """
    places = {job: _place(job, folder) for job in wanted}
    (folder / RUNS).mkdir(parents=True, exist_ok=True)
    with locked(folder):
        clear_unfinished(folder)
        kept = {job: _kept(place, console) for job, place in places.items()}
        missing = {job: place for job, place in places.items() if kept[job] is None}
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("Running", total=len(wanted), completed=len(wanted) - len(missing))
            if min(processes, len(missing)) > 1:
                _run_apart(missing, processes, lambda: progress.advance(bar))
            else:
                _run_here(missing, lambda: progress.advance(bar))
        kept |= {job: _kept(place, console) for job, place in missing.items()}
    return [Run(job, points) for job, points in kept.items() if points is not None]


def _kept(place: Path, console: Console) -> tuple[Point, ...] | None:
    """The steps of a run that was made; None if it was not."""
    content = read_json(place)
    if content is not None and isinstance(content.get("points"), list):
        return tuple(content["points"])
    if place.exists():
        console.print(
            f"{place.name} is damaged: it holds no steps; set aside as {set_aside(place).name}", soft_wrap=True
        )
    return None


def _run_apart(places: Mapping[Job, Path], processes: int, advance: Callable[[], None]) -> None:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(places)), context, initializer=torch.set_num_threads, initargs=(1,))
    try:
        pending = {pool.submit(_make, job, place): job for job, place in places.items()}
        for future in as_completed(pending):
            with _named(pending[future]):
                future.result()
            advance()
    finally:
        pool.shutdown(cancel_futures=True)


def _run_here(places: Mapping[Job, Path], advance: Callable[[], None]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums over threads add in another order
    try:
        for job, place in places.items():
            with _named(job):
                _make(job, place)
            advance()
    finally:
        torch.set_num_threads(threads)


def write_parquet(runs: Sequence[Run], folder: Path) -> Path:
    """Every step of every run as a row: ``task, method, seed``, and what was measured.

    Columns that a task does not have, such as another's rewards, are null.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra.of("report", "pyarrow") from error
    names = dict.fromkeys(name for run in runs for name in run.points[0])
    rows: dict[str, Any] = {key: [getattr(r.job, key) for r in runs for _ in r.points] for key in Job.__annotations__}
    rows |= {name: pa.array([p.get(name) for r in runs for p in r.points], pa.float64()) for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PARQUET
    with whole_file(path) as place:
        pq.write_table(pa.table(rows), place)
    return path


def _place(job: Job, folder: Path) -> Path:
    """The run's file; its name has a digest of the settings, so a run of other settings is never taken for it."""
    words = re.sub(r"[^A-Za-z0-9_.=-]+", "-", f"{job.task}--{job.method}")
    return folder / RUNS / f"{words}--seed{job.seed}--{job.digest()}.json"


def _make(job: Job, place: Path) -> None:
    points = run(job)
    write_whole(place, json.dumps({"task": job.task, "method": job.method, "seed": job.seed, "points": points}))


@contextmanager
def _named(job: Job) -> Iterator[None]:
    """Say which run it was that failed."""
    try:
        yield
    except BrokenProcessPool as error:
        raise RunFailed("a process of the benchmark died; is there enough memory? The same command goes on") from error
    except Exception as error:
        what = f"{job.method} on {job.task}, seed {job.seed}"
        raise RunFailed(f"{what}: {type(error).__name__}: {error}") from error
