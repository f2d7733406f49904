"""Rows in every form that preference data comes in, written for the tests; the real ones where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[3] / "shared" / "data" / "preferences"

Rows = list[dict[str, Any]]

_QUESTIONS = ("Which sea is north of Crete?", "Name a red fruit.", "How many legs has a spider?", "Is ice heavy?")


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def answers(index: int) -> tuple[str, str]:
    """A good answer and a bad one; the good one is longer three times out of four."""
    good, bad = f"Answer {index}.", "I do not know."
    return (good, bad) if index % 4 == 0 else (f"{good} That is so because of this and of that.", bad)


def text_pairs(count: int = 8) -> Rows:
    """Prompt and answers as text."""
    return [
        {"prompt": _QUESTIONS[i % 4], "chosen": answers(i)[0], "rejected": answers(i)[1], "source": "made"}
        for i in range(count)
    ]


def conversations(count: int = 8) -> Rows:
    """Whole conversations without a prompt of their own."""
    return [
        {side: [user(_QUESTIONS[i % 4]), says(answers(i)[place])] for place, side in enumerate(("chosen", "rejected"))}
        for i in range(count)
    ]


def hh(count: int = 8) -> Rows:
    """Transcripts in two turns, as in HH."""
    head = "\n\nHuman: Hello\n\nAssistant: Hello!\n\nHuman: "
    return [
        {s: f"{head}{_QUESTIONS[i % 4]}\n\nAssistant: {answers(i)[k]}" for k, s in enumerate(("chosen", "rejected"))}
        for i in range(count)
    ]


def pandalm(count: int = 8) -> Rows:
    """Two responses and three votes; of the first eight, the last one is tied and the one before a boolean."""
    rows = []
    for index in range(count):
        good, bad = answers(index)
        first, second, vote = (good, bad, 1) if index % 2 else (bad, good, 2)
        votes = (0, 0, 1) if index == 7 else (vote, vote, 0)
        rows.append(
            {
                "idx": index, "motivation_app": "made", "cmp_key": "a_b", "instruction": _QUESTIONS[index % 4],
                "input": "" if index % 3 else "Be brief.", "response1": True if index == 6 else first,
                "response2": second, **{f"annotator{k + 1}": v for k, v in enumerate(votes)},
            }
        )  # fmt: skip
    return rows


def llmbar(count: int = 8) -> Rows:
    """Two outputs, and which is better."""
    rows = []
    for index in range(count):
        good, bad = answers(index)
        outputs = (good, bad) if index % 2 else (bad, good)
        rows.append(
            {"input": _QUESTIONS[index % 4], "output_1": outputs[0], "output_2": outputs[1], "label": 2 - index % 2}
        )
    return rows


def rm_bench(count: int = 4) -> Rows:
    """One answer in three styles on each side."""
    styles = ("{}", "{} In more words, {}", "**{}**\n- {}\n- more")
    return [
        {
            "id": index, "prompt": _QUESTIONS[index % 4], "domain": "chat",
            **{
                side: [style.format(*[answers(index)[k]] * 2) for style in styles]
                for k, side in enumerate(("chosen", "rejected"))
            },
        }
        for index in range(count)
    ]  # fmt: skip


def write(path: Path, rows: Rows) -> Path:
    """A file of the rows, in the format of its suffix."""
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def files(folder: Path) -> dict[str, Path]:
    """By form, the real file, or a sample of its form written into ``folder``."""
    real = {
        "pandalm": REAL / "pandalm_testset_v1.json",
        "hh": REAL / "hh_harmless_test_1000.jsonl",
        "llmbar": REAL / "llmbar_Adversarial_Neighbor.json",
    }
    made = {"pandalm": pandalm(), "hh": hh(), "llmbar": llmbar()}
    return {form: p if p.is_file() else write(folder / f"{form}{p.suffix}", made[form]) for form, p in real.items()}
