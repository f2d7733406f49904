"""A judge in this process: a language model whose next word depends on its last one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from concord.core.errors import ConfigError
from concord.core.status import ABSTAINED, SCORED
from concord.rewards import Limits, LLMJudge, NamedReward, RewardBatch, RewardSet, Source
from concord.rewards.judging.local_chat import LocalChat

WORDS = ["<pad>", "<eos>", "user:", "judge:", "good", "bad", "loop", "9", "2", "Score:"]
NEXT = {"good": "9", "bad": "2", "loop": "loop", "9": "<eos>", "2": "<eos>", "judge:": "<eos>"}
TEMPLATE = "{% for m in messages %}user: {{ m.content }} {% endfor %}"


def save(folder: Path, *, random: bool = False, chat_template: str | None = TEMPLATE) -> Path:
    """A model of which the next word is that of ``NEXT``, or one drawn at random."""
    torch.manual_seed(3)
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    config = Qwen3Config(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=128, initializer_range=0.5,
        tie_word_embeddings=False, eos_token_id=1, pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    if not random:
        with torch.no_grad():
            layer = model.model.layers[0]
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
            model.model.embed_tokens.weight.copy_(torch.eye(len(WORDS), 16))
            model.lm_head.weight.zero_()
            for word, follows in NEXT.items():
                model.lm_head.weight[WORDS.index(follows), WORDS.index(word)] = 1
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", chat_template=chat_template,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("judge"))


@pytest.mark.parametrize("limits", [Limits(), Limits(batch_size=1), Limits(batch_size=4)], ids=["as it is", "1", "4"])
def test_it_is_asked_as_a_server_is(folder: Path, limits: Limits, tmp_path: Path) -> None:
    judge = LLMJudge(
        str(folder), prompt="{prompt} {completion}", scale=[1, 9], cache=tmp_path, parameters={"max_tokens": 4}
    )
    rewards = RewardSet([NamedReward("judged", Source(judge, limits=limits))])
    batch = RewardBatch(["bad", "good bad", "bad", "bad"], ["good", "bad", "loop", "judge:"])
    for cached in (0, 3):  # what is empty is not kept
        scored = rewards.score(batch)
        assert scored.values["judged"] == [1.0, 0.125, None, None]
        assert scored.statuses["judged"] == [SCORED, SCORED, ABSTAINED, ABSTAINED]
        assert judge.counts["cached"] == cached
    assert (judge.counts["scored"], judge.counts["unreadable"]) == (4, 4)


def test_answers_do_not_depend_on_what_else_is_asked(tmp_path: Path) -> None:
    folder = save(tmp_path, random=True)
    texts = ["good", "bad bad good 9", "2", "loop Score: 9 2 bad good"]
    questions = [[{"role": "user", "content": text}] for text in texts]
    alone, together = (LocalChat(str(folder), parameters={"max_tokens": 5, "batch_size": size}) for size in (1, 4))
    assert asyncio.run(alone.ask(questions)) == asyncio.run(together.ask(questions))


def test_a_model_without_a_template_is_given_the_text(tmp_path: Path) -> None:
    judge = LLMJudge(str(save(tmp_path / "m", chat_template=None)), prompt="{completion}", cache=False)
    assert asyncio.run(judge(prompts=["?"], completions=["bad"])) == [2.0]


def test_what_it_does_not_take_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="takes max_tokens, batch_size, not 'max_token'; did you mean 'max_tokens'"):
        LocalChat(str(folder), parameters={"max_token": 3})
    with pytest.raises(ConfigError, match="max_tokens must be a positive whole number, got 0"):
        LocalChat(str(folder), parameters={"max_tokens": 0})
    with pytest.raises(ConfigError, match="api_key is for a server"):
        LLMJudge(str(folder), prompt="{completion}", api_key="env:HOME", cache=False)
    with pytest.raises(ConfigError, match=r"no folder or hub name .* needs its url"):
        LocalChat("./nowhere")
    judge = LLMJudge(str(folder), prompt="{completion}", cache=False)
    with pytest.raises(ConfigError, match="cannot be run in a process of its own"):
        RewardSet([NamedReward("judged", Source(judge, limits=Limits(timeout=1.0)))])
