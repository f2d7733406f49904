"""Models and tokenizers from a folder or the hub: whole, or a message that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concord.core.errors import ConcordError, ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHOWN = 5
"""Names of missing tensors that a message lists."""


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer.

    Raises:
        ConfigError: there is none, or its files are damaged.
    """
    from transformers import AutoTokenizer

    with _told(source, "tokenizer"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source)
    # In a folder without its files transformers makes one that knows no text at all.
    files = set(tokenizer.vocab_files_names.values())
    if files and Path(source).is_dir() and not any((Path(source) / name).is_file() for name in files):
        raise ConfigError(
            f"model: the folder {source} has no tokenizer ({' or '.join(sorted(files))}); copy it beside the weights"
        )
    return tokenizer


def load_model(
    source: str,
    architecture: Any,
    *,
    allow_missing: bool = False,
    needed: Callable[[str, PreTrainedModel], bool] = lambda name, model: True,
    **options: Any,
) -> PreTrainedModel:
    """Load a model whose checkpoint has every tensor that it needs.

    Args:
        source: a folder, or an id on the hub.
        architecture: the class, such as ``AutoModelForCausalLM``.
        allow_missing: take a checkpoint that lacks tensors, which are then drawn at random.
        needed: whether a checkpoint must have the tensor of a name; a new head is drawn at random on purpose.
        options: of ``from_pretrained``.

    Raises:
        ConfigError: missing or damaged files, a tensor that is missing or of another shape.
    """
    with _told(source, "model"):
        model, found = architecture.from_pretrained(source, **{**options, "output_loading_info": True})
    missing = sorted(name for name in found["missing_keys"] if needed(name, model))
    if missing and not allow_missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ConfigError(
            f"model: the checkpoint {source} lacks {', '.join(missing[:SHOWN])}{more}, which would be drawn at random; "
            "take a whole checkpoint, or say allow_missing_weights: true"
        )
    loaded: PreTrainedModel = model
    return loaded


def check_model(source: str, architecture: Any, *, allow_missing: bool = False, **options: Any) -> None:
    """Meet what is wrong with a checkpoint before it is loaded for training: its tensors go nowhere.

    A quantised checkpoint is not checked, because its tensors need their device.

    Raises:
        ConfigError: as :func:`load_model`.
    """
    from transformers import AutoConfig

    with _told(source, "config.json"):
        config = AutoConfig.from_pretrained(source, trust_remote_code=bool(options.get("trust_remote_code", False)))
    if getattr(config, "quantization_config", None) is None and "quantization_config" not in options:
        load_model(source, architecture, allow_missing=allow_missing, **{**options, "device_map": "meta"})


def in_base(name: str, model: PreTrainedModel) -> bool:
    """Whether a tensor is of the model below its head."""
    return name.startswith(f"{model.base_model_prefix}.")


@contextmanager
def _told(source: str, part: str) -> Iterator[None]:
    """Turn what loading raises, which may be of any type, into one line that names the model."""
    try:
        yield
    except (ConcordError, ModuleNotFoundError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise ConfigError(
            f"model: {source}: its {part} cannot be loaded; is the folder complete, and are its files whole? "
            f"{type(error).__name__}: {lines[0]}"
        ) from error
