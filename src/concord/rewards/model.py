"""Reward models: what a sequence classifier makes of a prompt and its completion."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from concord.core.errors import ConfigError, MissingExtra, nearest
from concord.rewards.completions import Completion, completion_text


class RewardModel:
    """A sequence-classification checkpoint as a reward function in TRL's form.

        score = logit                          of a model with one output
        score = softmax(logits)[label]         with several, of which one label holds
        score = sigmoid(logits)[label]         with several that hold or not (``multi_label_classification``)

    The model is loaded at once, so that what is wrong with it shows before a run begins, and reads with its own
    tokenizer. Where the prompt is messages, its chat template makes prompt and completion one text, which has its
    special tokens already. Where the prompt is text, the completion is appended as it is, and the tokenizer adds the
    special tokens that it puts around every text (TRL adds none there either). Texts too long for the model lose
    their beginning, never the end of the completion.

    The memory taken beside the model is that of one batch. Scores do not depend on ``batch_size`` beyond the rounding
    of the model's arithmetic (1e-5 in float32).

    Args:
        source: a folder or a name on the hub; weights in safetensors, no code of its own.
        batch_size: texts in one forward pass.
        max_length: tokens that the model is given at most; None = as many as it takes.
        chat_template: text of a Jinja template or a path that ends in .jinja; None = the tokenizer's own.
        label: the name or index of the output that counts; required where there are several.
        device: None = the accelerator of this process, found at the first call; else the CPU.
        dtype: of the weights, such as "bfloat16"; None = as they were saved.

    Attributes:
        truncated: how many texts have lost their beginning so far.

    Raises:
        ConfigError: there is no such checkpoint, or not in safetensors; it has no classification head (it would be
            drawn at random); the label is missing, or not one of its labels; the tokenizer can neither pad nor end
            a text; a length or size that is not positive, or beyond what the model takes.
        MissingExtra: transformers is not installed.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        batch_size: int = 16,
        max_length: int | None = None,
        chat_template: str | Path | None = None,
        label: str | int | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> None:
        self.__name__ = Path(source).name
        folder = Path(os.path.expanduser(source))
        self.source = str(folder if folder.is_dir() else source)
        self.truncated = 0
        for name, value in (("batch_size", batch_size), ("max_length", max_length)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise self._error(f"{name} must be a positive whole number, got {value!r}")
        self._batch_size = batch_size
        self._model, self._tokenizer = self._load("auto" if dtype is None else dtype)
        if chat_template is not None:
            self._tokenizer.chat_template = self._template(chat_template)
        self._output = self._index(label)
        self._max_length = self._limit(max_length)
        self._device = None if device is None else torch.device(device)
        if self._device is not None:
            self._model.to(self._device)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Completion],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """One score for each completion, in their order; None for a text of no tokens.

        Where ``log_metric`` is handed in, ``reward_model/<name>/truncated`` is the share of texts that lost their
        beginning.

        Raises:
            ConfigError: prompts are messages and there is no chat template.
        """
        if self._device is None:  # not sooner: accelerate chooses a process's device after the rewards are built
            self._device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            self._device = self._device or torch.device("cpu")
            self._model.to(self._device)
        encoded, cut = self._encode(prompts, completions)
        self.truncated += cut
        if log_metric is not None and encoded:
            log_metric(f"reward_model/{self.__name__}/truncated", cut / len(encoded))
        scores: list[float | None] = [None] * len(encoded)
        for rows in self._batches(encoded):
            for row, score in zip(rows, self._score([encoded[row] for row in rows]).tolist(), strict=True):
                scores[row] = score
        return scores

    def check_prompt(self, prompt: Any) -> None:
        """Raise ConfigError if the prompt is messages and there is no chat template."""
        if not isinstance(prompt, str) and self._tokenizer.chat_template is None:
            raise self._error(
                "the prompts are messages, its tokenizer has no chat template; give one as chat_template=, the text "
                "of a template or a path that ends in .jinja (in a run: options: {chat_template: ...})"
            )

    # ---- Texts ----

    def _encode(self, prompts: Sequence[Any], completions: Sequence[Completion]) -> tuple[list[dict[str, Any]], int]:
        """The tokens of each text, and how many texts were cut."""
        encoded: list[dict[str, Any]] = []
        cut = 0
        for prompt, completion in zip(prompts, completions, strict=True):
            text, options = self._text(prompt, completion)
            tokens = self._tokenizer(text, verbose=False, **options)
            if self._max_length is not None and len(tokens["input_ids"]) > self._max_length:
                tokens = self._tokenizer(text, truncation=True, max_length=self._max_length, verbose=False, **options)
                cut += 1
            encoded.append(dict(tokens))
        return encoded, cut

    def _text(self, prompt: Any, completion: Completion) -> tuple[str, dict[str, bool]]:
        """Prompt and completion as one text, and how it is to be tokenised."""
        if isinstance(prompt, str):
            return prompt + completion_text(completion), {}
        self.check_prompt(prompt)
        answer = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
        return self._tokenizer.apply_chat_template([*prompt, *answer], tokenize=False), {"add_special_tokens": False}

    def _batches(self, encoded: Sequence[Mapping[str, Any]]) -> Iterator[list[int]]:
        """The rows with tokens, longest first: little padding, and what does not fit does not fit at once."""
        rows = [row for row, tokens in enumerate(encoded) if tokens["input_ids"]]
        rows.sort(key=lambda row: -len(encoded[row]["input_ids"]))
        for start in range(0, len(rows), self._batch_size):
            yield rows[start : start + self._batch_size]

    # ---- Scores ----

    @torch.inference_mode()
    def _score(self, encoded: list[dict[str, Any]]) -> Tensor:
        batch = self._tokenizer.pad(encoded, padding_side="right", return_tensors="pt", verbose=False)
        logits: Tensor = self._model(**batch.to(self._device)).logits.float()
        if logits.shape[1] > 1:
            several = self._model.config.problem_type == "multi_label_classification"
            logits = logits.sigmoid() if several else logits.softmax(1)
        return logits[:, self._output].cpu()

    # ---- Loading ----

    def _load(self, dtype: str | torch.dtype) -> tuple[Any, Any]:
        try:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as error:
            raise MissingExtra.of("train", "transformers") from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.source, trust_remote_code=False, truncation_side="left")
            model, found = AutoModelForSequenceClassification.from_pretrained(
                self.source, trust_remote_code=False, use_safetensors=True, dtype=dtype, output_loading_info=True
            )
        except Exception as error:  # of many types, from missing files to unknown architectures
            first = str(error).partition("\n")[0]
            raise self._error(
                f"no folder or hub name that can be loaded as a sequence classifier in safetensors: "
                f"{type(error).__name__}: {first}"
            ) from error
        if lost := sorted([*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])]):
            raise self._error(
                f"the checkpoint lacks {', '.join(lost)}, which would be drawn at random; it is no trained sequence "
                "classifier"
            )
        if tokenizer.pad_token is None:
            if tokenizer.eos_token is None:
                raise self._error("its tokenizer has neither a padding token nor an end-of-text token")
            tokenizer.pad_token = tokenizer.eos_token
        config = model.config.get_text_config()
        config.pad_token_id = tokenizer.pad_token_id  # by it the model finds a text's last token
        config.use_cache = False  # nothing is generated
        return model.eval(), tokenizer

    def _template(self, template: str | Path) -> str:
        if not str(template).endswith(".jinja"):
            return str(template)
        path = Path(os.path.expanduser(template))
        if not path.is_file():
            raise self._error(f"no chat template {path}")
        return path.read_text(encoding="utf-8")

    def _index(self, label: str | int | None) -> int:
        """Which of the model's outputs counts."""
        labels: dict[int, str] = self._model.config.id2label
        if len(labels) == 1:
            if label is not None:
                raise self._error(f"it has one output, its score; leave out label={label!r}")
            return 0
        listed = ", ".join(f"{index}: {name}" for index, name in labels.items())
        if label is None:
            raise self._error(f"it has {len(labels)} outputs; say which one counts, label= one of {listed}")
        for index, name in labels.items():
            if label == name or (label == index and not isinstance(label, bool)):
                return index
        raise self._error(f"no label {label!r}; there are {listed}" + nearest(str(label), labels.values()))

    def _limit(self, max_length: int | None) -> int | None:
        """How many tokens the model is given at most."""
        config = self._model.config.get_text_config()
        # A tokenizer that does not know says 1e30.
        known = [self._tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
        most = min((length for length in known if length is not None and length < 10**9), default=None)
        if max_length is not None and most is not None and max_length > most:
            raise self._error(f"max_length is {max_length}; the model takes {most} tokens")
        return most if max_length is None else max_length

    def _error(self, message: str) -> ConfigError:
        return ConfigError(f"reward model {self.source!r}: {message}")
