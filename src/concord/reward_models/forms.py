"""The forms that preference data comes in, and how a row of each is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from concord.core.errors import ConfigError, nearest
from concord.reward_models.pairs import Pair, Pairs, Prompt, Unusable, pair, text
from concord.rewards.completions import completion_text

Row = Mapping[str, Any]

_TURN = re.compile(r"\n\n(Human|Assistant):")


def preference(row: Row) -> list[Pair]:
    """``chosen`` and ``rejected``, and maybe ``prompt``: each text or messages, as on the Hugging Face hub.

    Where the answers are whole conversations, all but the last message must be the same in both, and is the prompt.
    """
    (before, chosen), (other, rejected) = (_answer(row, key) for key in ("chosen", "rejected"))
    if before != other:
        raise Unusable("different prompts")
    prompt = row.get("prompt")
    if before:
        return [pair(before, chosen, rejected)]
    if isinstance(prompt, str) and not isinstance(row["chosen"], str):
        prompt = [{"role": "user", "content": prompt}]
    if prompt is None:
        prompt = ""
    if not isinstance(prompt, str):
        prompt = _messages(prompt, "prompt")
    return [pair(prompt, chosen, rejected)]


def hh(row: Row) -> list[Pair]:
    """``chosen`` and ``rejected`` dialogues of ``\\n\\nHuman:`` and ``\\n\\nAssistant:``, as in Anthropic's HH."""
    (before, chosen), (other, rejected) = (_dialogue(text(row, key), key) for key in ("chosen", "rejected"))
    if before != other:
        raise Unusable("different prompts")
    return [pair(before, chosen, rejected)]


def pandalm(row: Row) -> list[Pair]:
    """``instruction``, ``input``, ``response1``, ``response2`` and votes ``annotator*`` (0 = tie), as in PandaLM.

    The response with more votes than the other, and than the ties, is chosen.
    """
    votes = Counter(value for key, value in row.items() if re.fullmatch(r"annotator\d*", key))
    if not votes or set(votes) - {0, 1, 2}:
        raise ConfigError(f"the annotators' votes are {sorted(map(str, votes))}, not 0, 1 and 2")
    winner = max((1, 2), key=lambda side: votes[side])
    if votes[winner] <= max(votes[3 - winner], votes[0]):
        raise Unusable("ties")
    return [_of_two(_request(row, "instruction", "input"), text(row, "response1"), text(row, "response2"), winner)]


def llmbar(row: Row) -> list[Pair]:
    """``input``, ``output_1``, ``output_2`` and ``label`` 1 or 2, as in LLMBar."""
    label = row.get("label")
    if label not in (1, 2):
        raise ConfigError(f"'label' is {label!r}, not 1 or 2")
    return [_of_two(_request(row, "input"), text(row, "output_1"), text(row, "output_2"), label)]


def rm_bench(row: Row) -> list[Pair]:
    """``prompt``, and lists ``chosen`` and ``rejected`` of one answer in several styles, as in RM-Bench.

    The styles are in the same order in both, the plainest first. Every chosen answer is paired with every rejected
    one.
    """
    chosen, rejected = (_styles(row, key) for key in ("chosen", "rejected"))
    if len(chosen) != len(rejected):
        raise ConfigError(f"'chosen' has {len(chosen)} styles and 'rejected' {len(rejected)}")
    prompt = _request(row, "prompt")
    return [pair(prompt, a, b, (i, j)) for i, a in enumerate(chosen) for j, b in enumerate(rejected)]


FORMS: dict[str, Callable[[Row], list[Pair]]] = {
    "preference": preference,
    "hh": hh,
    "pandalm": pandalm,
    "llmbar": llmbar,
    "rm_bench": rm_bench,
}


def detect(row: Row) -> str:
    """The form of a row, by its columns.

    Raises:
        ConfigError: its columns are those of no form.

    Example:
        >>> detect({"input": "2 + 2", "output_1": "4", "output_2": "5", "label": 1})
        'llmbar'
    """
    if {"response1", "response2"} <= row.keys():
        return "pandalm"
    if {"output_1", "output_2", "label"} <= row.keys():
        return "llmbar"
    if not {"chosen", "rejected"} <= row.keys():
        raise ConfigError(
            f"no form has the columns {', '.join(row)}; rename them to chosen, rejected (and prompt) with columns:, "
            f"or state form: one of {', '.join(FORMS)}"
        )
    chosen = row["chosen"]
    if isinstance(chosen, str):
        return "hh" if "prompt" not in row and _TURN.match(chosen) else "preference"
    return "rm_bench" if chosen and isinstance(chosen, list) and isinstance(chosen[0], str) else "preference"


def read_pairs(rows: Sequence[Row], form: str | None = None) -> Pairs:
    """The pairs in rows of one form; rows without a preference in them are counted by reason.

    Args:
        rows: as read.
        form: of :data:`FORMS`; None = that of the first row.

    Raises:
        ConfigError: no such form; a row that is broken, by its number; no pair at all.
    """
    if not rows:
        raise ConfigError("there are no rows")
    form = form or detect(rows[0])
    if form not in FORMS:
        raise ConfigError(f"no form {form!r}{nearest(form, FORMS)}; there are {', '.join(FORMS)}")
    pairs: list[Pair] = []
    left_out: Counter[str] = Counter()
    for number, row in enumerate(rows):
        try:
            pairs += FORMS[form](row)
        except Unusable as reason:
            left_out[str(reason)] += 1
        except ConfigError as error:
            raise ConfigError(f"row {number} (form {form}): {error}") from error
    if not pairs:
        raise ConfigError(f"none of {len(rows)} rows holds a preference: {_reasons(left_out)}")
    return Pairs(tuple(pairs), left_out)


def _reasons(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())


def _of_two(prompt: Prompt, first: str, second: str, winner: int) -> Pair:
    return pair(prompt, first, second) if winner == 1 else pair(prompt, second, first)


def _request(row: Row, key: str, more: str | None = None) -> list[dict[str, str]]:
    """One message of the user's: an instruction, and what it is about."""
    about = text(row, more) if more is not None and row.get(more) is not None else ""
    return [{"role": "user", "content": "\n\n".join(filter(None, (text(row, key), about)))}]


def _styles(row: Row, key: str) -> list[str]:
    answers = row.get(key)
    if not (isinstance(answers, list) and len(answers) > 1 and all(isinstance(answer, str) for answer in answers)):
        raise ConfigError(f"{key!r} must be a list of two texts or more, one for each style")
    return answers


def _answer(row: Row, key: str) -> tuple[list[dict[str, str]], str]:
    """The messages before an answer, and the answer."""
    if isinstance(row.get(key), str):
        return [], str(row[key])
    *before, last = _messages(row.get(key), key)
    if last["role"] != "assistant":
        raise ConfigError(f"{key!r} ends with a message of the {last['role']}, not of the assistant")
    return before, last["content"]


def _messages(value: Any, key: str) -> list[dict[str, str]]:
    messages = list(value) if isinstance(value, list | tuple) else []
    if not messages or not all(isinstance(m, Mapping) and {"role", "content"} <= m.keys() for m in messages):
        raise ConfigError(f"{key!r} is {value!r:.60}, neither text nor messages with role and content")
    return [{"role": m["role"], "content": completion_text([{**m, "role": "assistant"}])} for m in messages]


def _dialogue(transcript: str, key: str) -> tuple[list[dict[str, str]], str]:
    """Messages of a transcript, and the last answer."""
    start, *parts = _TURN.split(transcript)
    roles = {"Human": "user", "Assistant": "assistant"}
    turns = [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)]
    if start.strip() or len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise ConfigError(f"{key!r} is no dialogue that begins with a blank line and Human: and ends with Assistant:")
    return turns[:-1], turns[-1]["content"]
