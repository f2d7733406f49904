"""Make a small model to train reward models from where nothing can be downloaded: a tokenizer and random weights.

    python scripts/make_reward_base.py preferences/*.json* --out reward_base

The tokenizer, a byte-level BPE, is trained on the pairs in the files, which may be in any form that
``concord reward-model`` reads. The weights are random: what a reward model trained from them knows, it learnt from the
pairs. Good for trying things out; not for use.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForSequenceClassification

from concord.reward_models.config import SourceConfig
from concord.reward_models.read import load_pairs

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
LONGEST = 1024


def texts(files: list[Path]) -> Iterator[str]:
    """Everything that is said in the pairs."""
    for file in files:
        for pair in load_pairs(file.stem, SourceConfig(path=str(file))).pairs:
            yield from (pair.question, pair.chosen, pair.rejected)


def make_tokenizer(files: list[Path], size: int) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts(files), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        model_max_length=LONGEST,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> Qwen3ForSequenceClassification:
    return Qwen3ForSequenceClassification(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=width // 4,
            max_position_embeddings=LONGEST,
            initializer_range=width**-0.5,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            num_labels=1,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a small model to train reward models from.")
    parser.add_argument("pairs", type=Path, nargs="+", help="files of preference pairs, for the tokenizer")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--vocabulary", type=int, default=4096, help="tokens")
    parser.add_argument("--width", type=int, default=64, help="of the hidden states")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    tokenizer = make_tokenizer(arguments.pairs, arguments.vocabulary)
    model = make_model(tokenizer, arguments.width, arguments.layers)
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    print(f"wrote {arguments.out}: {model.num_parameters():,} parameters, {len(tokenizer)} tokens")


if __name__ == "__main__":
    main()
