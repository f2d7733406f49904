"""The base model that ships: it loads offline, is small, and leaves room for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from concord.recipes.tool_task import base_model_path, conciseness, correctness, exact, format, rows
from concord.recipes.tool_task.vocabulary import VALUES

pytest.importorskip("transformers")
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

SEEDS = (0, 1)


class Policy:
    """A shipped model and its tokenizer."""

    def __init__(self, seed: int) -> None:
        path = base_model_path(seed)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
        self.model: Any = AutoModelForCausalLM.from_pretrained(path, local_files_only=True).eval()

    def answer(self, prompts: list[Any], **sampling: Any) -> list[str]:
        texts = [self.tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
        inputs = self.tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
        tokens = self.model.generate(**inputs, max_new_tokens=80, **sampling)
        return list(self.tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


@pytest.fixture(scope="module", params=SEEDS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return Policy(request.param)


def test_a_seed_that_does_not_ship_is_an_error_that_names_those_that_do() -> None:
    with pytest.raises(ValueError, match="no base model with seed 9; these seeds ship: 0, 1"):
        base_model_path(9)


def test_all_of_it_is_at_most_2_megabytes_and_nothing_in_it_is_code_or_a_pickle() -> None:
    files = [file for file in Path(base_model_path(0)).parent.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 2_000_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja"}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_weights_are_float32_and_finite(seed: int) -> None:
    weights = load_file(base_model_path(seed) / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_the_seeds_are_two_models_with_one_tokenizer() -> None:
    first, second = (base_model_path(seed) for seed in SEEDS)
    assert (first / "tokenizer.json").read_text() == (second / "tokenizer.json").read_text()
    assert (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes()


def test_it_has_well_under_a_million_parameters(policy: Policy) -> None:
    assert policy.model.num_parameters() < 200_000


def test_every_value_is_one_token_the_same_in_a_request_and_in_a_call(policy: Policy) -> None:
    for value in (value for kind in VALUES.values() for value in kind):
        [token] = policy.tokenizer.encode(str(value))
        assert token in policy.tokenizer.encode(f"fly from {value} to")
        assert token in policy.tokenizer.encode('{"origin": "' + str(value) + '"}')


def test_text_survives_the_tokenizer(policy: Policy) -> None:
    """Also text that no demonstration holds."""
    for text in [*(row["answer"] for row in rows("test", 50)), "Größe  €\n\t<think>\0漢字"]:
        ids = policy.tokenizer.encode(text)
        assert policy.tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_chat_template_renders_prompts_of_under_40_tokens(policy: Policy) -> None:
    for row in rows("test", 300):
        ids = policy.tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        assert len(ids) < 40
        assert policy.tokenizer.decode(ids) == f"<|user|>{row['prompt'][0]['content']}<|end|><|assistant|>"


def test_padding_and_end_are_set(policy: Policy) -> None:
    assert policy.tokenizer.pad_token_id != policy.tokenizer.eos_token_id == policy.model.config.eos_token_id
    assert policy.tokenizer.pad_token_id == policy.model.generation_config.pad_token_id
    assert policy.tokenizer.padding_side == "left"


def test_greedy_answers_leave_room(policy: Policy) -> None:
    """The bands are those the task is made for: calls right in about a quarter, the form in about six of ten."""
    held_out = rows("test", 64)
    texts = policy.answer([row["prompt"] for row in held_out], do_sample=False)
    answers = [row["answer"] for row in held_out]
    assert 0.15 <= sum(exact(texts, answers)) / 64 <= 0.4
    assert 0.45 <= sum(format(texts, answers)) / 64 <= 0.75


def test_correctness_and_conciseness_conflict_at_the_start(policy: Policy) -> None:
    """16 prompts x 8 rollouts: at least 30 % lie above their group's mean in one and below it in the other."""
    torch.manual_seed(0)
    chosen = [row for row in rows("train", 16) for _ in range(8)]
    texts = policy.answer([row["prompt"] for row in chosen], do_sample=True, temperature=1.0, top_k=0)
    answers = [row["answer"] for row in chosen]
    rewards = torch.tensor([correctness(texts, answers), conciseness(texts)], dtype=torch.float64).view(2, 16, 8)
    centred = rewards - rewards.mean(2, keepdim=True)
    signs = torch.where(centred.abs() > 1e-9, centred.sign(), 0.0)
    assert (signs[0] * signs[1] < 0).double().mean() >= 0.3
