"""A sequence classifier as a reward: its scores are those of the model alone, whatever the batch."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3ForSequenceClassification,
)

from concord.core.errors import ConfigError
from concord.rewards.model import RewardModel

WORDS = ["<pad>", "<eos>", "[CLS]", "[SEP]", "user:", "assistant:", *"abcdefghijklmnop"]
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}<eos>"
PROMPTS = ["a b ", "c ", "d e f g h i ", "j ", "k l ", "", "m n o "]
COMPLETIONS = ["p", "a b c d e", "f", "g h i j k l m n", "o p", "a", "b b b b"]


def tokenizer(**changes: Any) -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    if changes.get("cls_token"):
        words.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    given = {"pad_token": "<pad>", "eos_token": "<eos>", "padding_side": "left"} | changes
    return PreTrainedTokenizerFast(tokenizer_object=words, clean_up_tokenization_spaces=False, **given)


def decoder(**changes: Any) -> Qwen3Config:
    shape = {
        "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "head_dim": 8,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "initializer_range": 0.5,
        "num_labels": 1, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1,
    }  # fmt: skip
    return Qwen3Config(**shape | changes)


def encoder(**changes: Any) -> BertConfig:
    shape = {
        "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 32, "initializer_range": 0.5, "pad_token_id": 0,
        "id2label": {0: "bad", 1: "fair", 2: "good"}, "label2id": {"bad": 0, "fair": 1, "good": 2},
    }  # fmt: skip
    return BertConfig(**shape | changes)


def save(folder: Path, model: Any, words: PreTrainedTokenizerFast) -> Path:
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def scalar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder with one output."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("scalar")
    return save(folder, Qwen3ForSequenceClassification(decoder()), tokenizer(chat_template=TEMPLATE))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with three labels, which puts [CLS] and [SEP] around a text."""
    torch.manual_seed(2)
    words = tokenizer(cls_token="[CLS]", sep_token="[SEP]", model_max_length=20)
    return save(tmp_path_factory.mktemp("labelled"), BertForSequenceClassification(encoder()), words)


@functools.cache
def loaded(folder: Path) -> tuple[Any, Any]:
    return AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def logits(folder: Path, text: str, **options: Any) -> torch.Tensor:
    """The model alone, one text and no padding."""
    model, words = loaded(folder)
    batch = words(text, return_tensors="pt", **options)
    with torch.no_grad():
        return model(**batch).logits[0]


def close(found: list[float | None], want: list[float]) -> None:
    assert found == pytest.approx(want, abs=1e-5)


def test_a_models_one_output_is_the_score(scalar: Path) -> None:
    found = RewardModel(scalar, device="cpu")(prompts=PROMPTS, completions=COMPLETIONS, answer=[1] * 7)
    close(found, [logits(scalar, p + c).item() for p, c in zip(PROMPTS, COMPLETIONS, strict=True)])
    assert all(type(score) is float for score in found)
    assert max(found) - min(found) > 0.1  # so that the closeness says something


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_scores_do_not_depend_on_batch_size_or_order(scalar: Path, labelled: Path, batch_size: int) -> None:
    for folder, label in ((scalar, None), (labelled, "good")):
        want = RewardModel(folder, label=label, batch_size=5, device="cpu")(PROMPTS, COMPLETIONS)
        model = RewardModel(folder, label=label, batch_size=batch_size, device="cpu")
        close(model(PROMPTS, COMPLETIONS), want)
        close(model(PROMPTS[::-1], COMPLETIONS[::-1]), want[::-1])


@pytest.mark.parametrize(("label", "index"), [("good", 2), ("bad", 0), (1, 1)])
@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
def test_a_labels_score_is_its_probability(
    labelled: Path, tmp_path: Path, label: str | int, index: int, problem: str | None
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(labelled)
    model.config.problem_type = problem
    folder = save(tmp_path, model, AutoTokenizer.from_pretrained(labelled))
    found = RewardModel(folder, label=label, device="cpu")(PROMPTS, COMPLETIONS)
    texts = [p + c for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    probability = torch.sigmoid if problem else (lambda x: torch.softmax(x, 0))
    close(found, [probability(logits(folder, text))[index].item() for text in texts])


def test_messages_become_the_chat_templates_text_without_further_special_tokens(scalar: Path) -> None:
    question = [{"role": "user", "content": "a b"}]
    answers = [[{"role": "assistant", "content": "c"}], [{"role": "assistant", "content": "d e f"}]]
    model = RewardModel(scalar, device="cpu")
    texts = ["user: a b assistant: c <eos>", "user: a b assistant: d e f <eos>"]
    want = [logits(scalar, text, add_special_tokens=False).item() for text in texts]
    close(model([question] * 2, answers), want)
    close(model([question] * 2, ["c", "d e f"]), want)  # a completion in text is the assistant's


@pytest.mark.parametrize("as_file", [True, False])
def test_a_chat_template_can_be_given_as_text_or_file(labelled: Path, tmp_path: Path, as_file: bool) -> None:
    (tmp_path / "mine.jinja").write_text(TEMPLATE)
    model = RewardModel(
        labelled, label="good", device="cpu", chat_template=tmp_path / "mine.jinja" if as_file else TEMPLATE
    )
    found = model([[{"role": "user", "content": "a"}]], [[{"role": "assistant", "content": "b"}]])
    want = logits(labelled, "user: a assistant: b <eos>", add_special_tokens=False).softmax(0)[2]
    close(found, [want.item()])


def test_messages_without_a_chat_template_are_refused(labelled: Path) -> None:
    model = RewardModel(labelled, label="good", device="cpu")
    with pytest.raises(ConfigError, match=r"prompts are messages, .* no chat template; give one as chat_template="):
        model([[{"role": "user", "content": "a"}]], ["b"])
    assert model(["a "], [[{"role": "assistant", "content": "b"}]]) == model(["a "], ["b"])


def test_long_texts_lose_their_beginning_and_are_counted(scalar: Path) -> None:
    logged: dict[str, float] = {}
    model = RewardModel(scalar, max_length=4, device="cpu")
    found = model(["a b c d e ", "a "], ["f g", "h"], log_metric=logged.__setitem__)
    close(found, [logits(scalar, "d e f g").item(), logits(scalar, "a h").item()])
    assert model.truncated == 1
    assert logged == {f"reward_model/{scalar.name}/truncated": 0.5}


def test_a_cut_text_keeps_its_special_tokens(labelled: Path) -> None:
    """The limit is the tokenizer's, 20; the model's own is 32."""
    model = RewardModel(labelled, label="good", device="cpu")
    found = model(["a " * 30], ["b " * 17 + "c"])
    close(found, [logits(labelled, "b " * 17 + "c").softmax(0)[2].item()])
    assert model.truncated == 1


def test_a_tokenizer_without_padding_pads_with_its_end_token(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = decoder(pad_token_id=None)
    folder = save(tmp_path, Qwen3ForSequenceClassification(config), tokenizer(pad_token=None))
    texts = zip(PROMPTS, COMPLETIONS, strict=True)
    close(RewardModel(folder, device="cpu")(PROMPTS, COMPLETIONS), [logits(folder, p + c).item() for p, c in texts])


def test_the_tokenizers_padding_is_the_models(tmp_path: Path) -> None:
    """A configuration that names another token would have the model read its score off the padding."""
    torch.manual_seed(4)
    folder = save(tmp_path, Qwen3ForSequenceClassification(decoder(pad_token_id=3)), tokenizer())
    texts = zip(PROMPTS, COMPLETIONS, strict=True)
    close(RewardModel(folder, device="cpu")(PROMPTS, COMPLETIONS), [logits(folder, p + c).item() for p, c in texts])


def test_a_text_of_no_tokens_has_no_score(scalar: Path) -> None:
    model = RewardModel(scalar, device="cpu")
    assert model(["", "a "], ["", "b"])[0] is None
    assert model(["", "a "], ["", "b"])[1] == pytest.approx(logits(scalar, "a b").item(), abs=1e-5)
    assert model([""], [""]) == [None]
    assert model([], []) == []


def test_two_models_at_once_do_not_mix(scalar: Path, labelled: Path) -> None:
    one, two = RewardModel(scalar, device="cpu"), RewardModel(labelled, label="bad", device="cpu")
    assert one(["a "], ["b"]) != two(["a "], ["b"])
    assert one.__name__ != two.__name__


def test_no_more_than_one_batch_goes_through_the_model_and_no_gradient(scalar: Path) -> None:
    model = RewardModel(scalar, batch_size=3, device="cpu")
    shapes = []
    model._model.register_forward_hook(lambda _, __, out: shapes.append((len(out.logits), out.logits.requires_grad)))
    model(PROMPTS, COMPLETIONS)
    assert shapes == [(3, False), (3, False), (1, False)]
    assert not model._model.training


def test_weights_have_the_type_that_is_asked_for(scalar: Path) -> None:
    half = RewardModel(scalar, dtype="bfloat16", device="cpu")
    assert half._model.dtype is torch.bfloat16
    assert half(PROMPTS, COMPLETIONS) == pytest.approx(RewardModel(scalar, device="cpu")(PROMPTS, COMPLETIONS), abs=0.1)


def test_without_a_device_it_is_the_accelerator_or_the_cpu(scalar: Path) -> None:
    model = RewardModel(scalar)
    model(["a "], ["b"])
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    assert model._model.device.type == here.type  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"it has 3 outputs; say which one counts, label= one of 0: bad, 1: fair, 2: good"),
        ({"label": "god"}, r"no label 'god'; there are 0: bad, 1: fair, 2: good; did you mean 'good'"),
        ({"label": 3}, r"no label 3; there are 0: bad"),
        ({"label": True}, r"no label True; there are 0: bad"),
        ({"label": 0, "batch_size": 0}, r"batch_size must be a positive whole number, got 0"),
        ({"label": 0, "max_length": 0.5}, r"max_length must be a positive whole number, got 0.5"),
        ({"label": 0, "max_length": 21}, r"max_length is 21; the model takes 20 tokens"),
        ({"label": 0, "chat_template": "no/such.jinja"}, r"no chat template no/such.jinja"),
        ({"label": 0, "dtype": "float3"}, r"can be loaded as a sequence classifier in safetensors: \w+: "),
    ],
)
def test_what_does_not_fit_is_refused_at_the_start(labelled: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        RewardModel(labelled, **options)
    assert str(labelled) in str(caught.value)


def test_a_label_for_one_output_is_refused(scalar: Path) -> None:
    with pytest.raises(ConfigError, match="it has one output, its score; leave out label='good'"):
        RewardModel(scalar, label="good")


def test_a_language_model_is_no_reward_model(tmp_path: Path) -> None:
    """Transformers would draw the head at random, and say so in a log."""
    folder = save(tmp_path, Qwen3ForCausalLM(decoder()), tokenizer())
    with pytest.raises(ConfigError, match=r"the checkpoint lacks score.weight, which would be drawn at random"):
        RewardModel(folder)


@pytest.mark.parametrize("source", ["no/such/folder", "nobody/nothing"])
def test_a_missing_checkpoint_is_named(source: str) -> None:
    with pytest.raises(ConfigError, match=f"reward model '{source}': no folder or hub name that can be loaded"):
        RewardModel(source)


def test_pickled_weights_and_code_of_a_models_own_are_refused(scalar: Path, tmp_path: Path) -> None:
    words = AutoTokenizer.from_pretrained(scalar)
    pickled = save(tmp_path / "pickled", Qwen3ForSequenceClassification(decoder()), words)
    torch.save({}, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="in safetensors: OSError"):
        RewardModel(pickled)
    own = save(tmp_path / "own", Qwen3ForSequenceClassification(decoder()), words)
    config = json.loads((own / "config.json").read_text())
    classes = {"AutoConfig": "code.Config", "AutoModelForSequenceClassification": "code.Model"}
    (own / "config.json").write_text(json.dumps(config | {"model_type": "mine", "auto_map": classes}))
    (own / "code.py").write_text("raise RuntimeError('this was run')")
    with pytest.raises(ConfigError, match="contains custom code"):
        RewardModel(own)


def test_a_tokenizer_that_can_neither_pad_nor_end_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, Qwen3ForSequenceClassification(decoder()), tokenizer(pad_token=None, eos_token=None))
    with pytest.raises(ConfigError, match="neither a padding token nor an end-of-text token"):
        RewardModel(folder)
