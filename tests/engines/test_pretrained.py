"""Model folders that are not whole: one message each, and before anything is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from concord.core.errors import ConfigError
from concord.engines.pretrained import check_model, in_base, load_model, load_tokenizer
from tests.engines import tiny

LACKING = "model.layers.0.mlp.gate_proj.weight"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    tiny.model().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "model"))


def lack(folder: Path, *names: str, shape: tuple[int, ...] | None = None) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name in names:
        del tensors[name]
        if shape is not None:
            tensors[name] = torch.zeros(shape)
    save_file(tensors, file, metadata={"format": "pt"})


def test_a_sound_folder_loads(folder: Path) -> None:
    check_model(str(folder), AutoModelForCausalLM)
    model = load_model(str(folder), AutoModelForCausalLM)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tiny.model().parameters(), strict=True))
    assert tiny.tokenizer().get_vocab().items() <= load_tokenizer(str(folder)).get_vocab().items()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "no file named model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x08" * 99), "SafetensorError"),
        (lambda folder: (folder / "config.json").write_text("{no"), "not a valid JSON"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json cannot be loaded"),
        (lambda folder: (folder / "config.json").unlink(), "config.json cannot be loaded"),
        (lambda folder: lack(folder, LACKING), f"lacks {LACKING}, which would be drawn at random"),
        (lambda folder: lack(folder, LACKING, shape=(3,)), "ignore_mismatched_sizes"),
    ],
)
def test_damaged_models(folder: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(folder)
    with pytest.raises(ConfigError, match=says) as raised:
        check_model(str(folder), AutoModelForCausalLM)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: [file.unlink() for file in folder.glob("tokenizer*")], "has no tokenizer"),
        (lambda folder: (folder / "tokenizer.json").write_text("{no"), "its tokenizer cannot be loaded"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("[1]"), "its tokenizer cannot be loaded"),
    ],
)
def test_damaged_tokenizers(folder: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(folder)
    with pytest.raises(ConfigError, match=says):
        load_tokenizer(str(folder))


def test_missing_tensors_are_named_and_allowed_on_request(folder: Path) -> None:
    names = sorted(load_file(folder / "model.safetensors"))
    lack(folder, *names[2:9])
    with pytest.raises(ConfigError, match=f"{names[2]}, .* and 2 more, .* allow_missing_weights: true"):
        load_model(str(folder), AutoModelForCausalLM)
    load_model(str(folder), AutoModelForCausalLM, allow_missing=True)
    check_model(str(folder), AutoModelForCausalLM, allow_missing=True)


def test_a_new_head_is_no_missing_tensor(folder: Path) -> None:
    check_model(str(folder), AutoModelForSequenceClassification, needed=in_base, num_labels=1)
    lack(folder, LACKING)
    with pytest.raises(ConfigError, match=LACKING):
        check_model(str(folder), AutoModelForSequenceClassification, needed=in_base, num_labels=1)
