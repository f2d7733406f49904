"""The rows of a run: read, with the columns that rewards and trainer expect, checked before a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import track

from concord.core.errors import ConfigError, MissingExtra, nearest
from concord.recipes.builtin import TASKS, builtin_task
from concord.rewards import find
from concord.rewards.batch import RESERVED
from concord.rewards.forms.parameters import unpacked
from concord.run.config import RowsConfig
from concord.run.paths import BUILTIN, DATA_FILES

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_log = logging.getLogger(__name__)
_CHUNK = 256  # prompts tokenized at a time


def load_rows(data: RowsConfig, tokenizer: PreTrainedTokenizerBase | None = None, seed: int = 0) -> Dataset:
    """The rows that ``data`` describes, with the columns ``prompt`` and ``answer``.

    The columns named by ``data.prompt`` and ``data.answer`` (dots go into nested ones) come out under those two
    names, and replace columns that bear them already. All others pass through, and reach the rewards; except that
    columns named as something that TRL passes to rewards itself are left out, with a warning. Then prompts longer
    than ``data.max_prompt_tokens`` are left out, with a warning that counts them, and the first ``data.size`` rows
    are taken.

    Args:
        data: path, split, columns and limits.
        tokenizer: of the model; ``max_prompt_tokens`` needs it.
        seed: of the rows of a built-in task, which are made as asked for.

    Raises:
        ConfigError: no such file or data set, a missing column (the nearest is named), no rows, fewer rows than
            ``size``, a prompt that is neither text nor messages, a missing answer, messages for a tokenizer
            without a chat template.
    """
    dataset = _name_columns(_read(data, seed), data)
    taken = [name for name in RESERVED if name in dataset.column_names]
    if taken:
        _log.warning("data: left out the columns %s: TRL passes rollouts under those names", ", ".join(taken))
        dataset = dataset.remove_columns(taken)
    if data.max_prompt_tokens is None:
        dataset = dataset.select(range(min(data.size or len(dataset), len(dataset))))
    _check_rows(dataset, data)
    if tokenizer is not None:
        _check_template(dataset, tokenizer)
    if data.max_prompt_tokens is not None:
        if tokenizer is None:
            raise ValueError("max_prompt_tokens counts the model's tokens: pass its tokenizer")
        dataset, dropped = drop_long(dataset, tokenizer, data.max_prompt_tokens, data.size)
        if dropped:
            _log.warning("data: left out %d prompts longer than %d tokens", dropped, data.max_prompt_tokens)
    if len(dataset) < (data.size or 1):
        limit = f" with prompts of at most {data.max_prompt_tokens} tokens" if data.max_prompt_tokens else ""
        raise ConfigError(f"data.size: asked for {data.size or 'all'} rows, {data.path} has {len(dataset)}{limit}")
    rows: Dataset = dataset.select(range(data.size or len(dataset)))
    return rows


def drop_long(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, limit: int, size: int | None = None
) -> tuple[Dataset, int]:
    """The first ``size`` rows whose prompt has at most ``limit`` tokens, and how many longer ones were met.

    Messages are counted as the chat template renders them, with the assistant's header.
    """
    keep: list[int] = []
    dropped = 0
    starts = range(0, len(dataset), _CHUNK)
    for start in track(starts, "Counting the tokens of the prompts", transient=True):
        prompts = dataset[start : start + _CHUNK]["prompt"]
        short = [count <= limit for count in _token_counts(prompts, tokenizer)]
        keep += [start + offset for offset, fits in enumerate(short) if fits]
        dropped += len(short) - sum(short)
        if size is not None and len(keep) >= size:
            break
    return dataset.select(keep), dropped


def _token_counts(prompts: list[Any], tokenizer: PreTrainedTokenizerBase) -> Iterable[int]:
    texts = [
        prompt
        if isinstance(prompt, str)
        else tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        for prompt in prompts
    ]
    # A template writes its special tokens itself; before plain text the tokenizer puts them.
    plain = isinstance(prompts[0], str)
    return map(len, tokenizer(texts, add_special_tokens=plain)["input_ids"])


def _read(data: RowsConfig, seed: int) -> Dataset:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra.of("train", "datasets") from error
    if data.path.startswith(BUILTIN):
        return _make(data, seed)
    path = Path(data.path)
    if data.reader is not None:
        _check_file(path, data.split)
        return datasets.Dataset.from_list(_made_by(data.reader, data.path, data.split))
    if path.suffix in DATA_FILES:
        _check_file(path, data.split)
        source: dict[str, Any] = {"path": DATA_FILES[path.suffix], "data_files": str(path)}
    else:
        source = {"path": data.path, "name": data.name}
    try:
        dataset: Dataset = datasets.load_dataset(**source, split=data.split)
    except Exception as error:  # whatever its readers raise; for an empty file that is StopIteration
        cause = error.__cause__ or error
        raise ConfigError(
            f"data.path: {data.path}, split {data.split!r}, cannot be loaded; has it no rows, or is it broken? "
            f"{type(cause).__name__}: {cause}"
        ) from error
    return dataset


def _made_by(reader: str, path: str, split: str) -> list[dict[str, Any]]:
    """What a function of the user's makes of a file."""
    if split != "train":
        raise ConfigError(f"data.split: a reader reads whole files, and {split!r} is a part; data.size takes fewer")
    try:
        rows = find(reader)(path)
    except ConfigError as error:
        raise ConfigError(f"data.reader: {error}") from error
    except Exception as error:  # whatever the function raises
        raise ConfigError(f"data.reader: {reader} raised {type(error).__name__} on {path}: {error}") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"data.reader: {reader} made {rows!r:.60} of {path}; it must return a list of dicts")
    return rows


def _check_file(path: Path, split: str) -> None:
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*") if other.suffix in DATA_FILES]
        raise ConfigError(f"data.path: no file {path}" + nearest(path.name, beside))
    if split.partition("[")[0] != "train":
        raise ConfigError(
            f"data.split: a file is one split, 'train', and {split!r} is not in it; name another file, "
            "or a slice such as train[:90%]"
        )


def _make(data: RowsConfig, seed: int) -> Dataset:
    """The rows of a built-in task; there is no end to them, so ``size`` says how many."""
    task = data.path.removeprefix(BUILTIN)
    if task not in TASKS:
        known = [f"{BUILTIN}{name}" for name in TASKS]
        raise ConfigError(f"data.path: {data.path!r} does not ship" + nearest(data.path, known))
    if data.size is None:
        raise ConfigError("data.size: a built-in task makes as many rows as asked for; say how many")
    import datasets

    try:
        made = builtin_task(task).rows(data.split, data.size, seed)
    except ValueError as error:
        raise ConfigError(f"data.split: {error}") from error
    dataset: Dataset = datasets.Dataset.from_list(made)
    return dataset


def _name_columns(dataset: Dataset, data: RowsConfig) -> Dataset:
    import datasets

    columns = {"prompt": data.prompt} | ({"answer": data.answer} if data.answer is not None else {})
    flat = dataset.flatten()
    known = sorted({*dataset.column_names, *flat.column_names})
    chosen = []
    for key, column in columns.items():
        if column not in known and (entries := _in_json(dataset, column)) is not None:
            chosen.append(datasets.Dataset.from_dict({key: entries}))
            continue
        if column not in known:
            hint = nearest(column, known)
            without = "; write data.answer: null where there is no answer" if key == "answer" else ""
            raise ConfigError(
                f"data.{key}: {data.path} has no column {column!r}{hint}; it has {', '.join(known)}{without}"
            )
        owner = dataset if column in dataset.column_names else flat
        alone = owner.select_columns([column])
        chosen.append(alone if column == key else alone.rename_column(column, key))
    rest = [name for name in dataset.column_names if name not in {*columns, *columns.values()}]
    others = [dataset.select_columns(rest)] if rest else []
    named: Dataset = datasets.concatenate_datasets([*chosen, *others], axis=1)
    return named


def _in_json(dataset: Dataset, column: str) -> list[Any] | None:
    """The entries at ``column.key`` of a column that holds mappings as JSON text, as CSV and flat tables do."""
    head, *keys = column.split(".")
    if head not in dataset.column_names or not keys:
        return None
    found: list[Any] = [unpacked(entry) if isinstance(entry, str) else None for entry in dataset[head]]
    for key in keys:
        if not all(isinstance(entry, Mapping) and key in entry for entry in found):
            return None
        found = [entry[key] for entry in found]
    return found


def _check_rows(dataset: Dataset, data: RowsConfig) -> None:
    for index, prompt in enumerate(dataset["prompt"]):
        if not _is_prompt(prompt):
            raise ConfigError(
                f"data.prompt: row {index} of column {data.prompt!r} is {prompt!r:.80}; a prompt is text, "
                "or a list of messages with role and content"
            )
    if data.answer is not None:
        for index, answer in enumerate(dataset["answer"]):
            if answer is None:
                raise ConfigError(f"data.answer: row {index} of column {data.answer!r} is empty")


def _check_template(dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> None:
    if len(dataset) and not isinstance(dataset[0]["prompt"], str) and not tokenizer.chat_template:
        raise ConfigError(
            "data.prompt: the prompts are messages and the model's tokenizer has no chat template; "
            "take an instruct model, or prompts that are text"
        )


def _is_prompt(prompt: Any) -> bool:
    if isinstance(prompt, str):
        return bool(prompt)
    return (
        isinstance(prompt, list)
        and bool(prompt)
        and all(isinstance(message, Mapping) and {"role", "content"} <= message.keys() for message in prompt)
    )
