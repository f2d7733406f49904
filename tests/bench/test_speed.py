"""The programs that are timed do the same work."""

from __future__ import annotations

import pytest
import torch

from concord.bench.speed import signal, trainer, update
from concord.bench.speed.table import in_turn, medians
from concord.methods import gd2po


def test_programs_run_in_turn_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []
    seconds = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert "".join(order) == "ab" * 4
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}
    assert medians({"a": [3.0, 1.0, 2.0]}) == {"a": 2.0}


@pytest.mark.parametrize(("count", "kinds"), [(64, 2), (256, 5)])
def test_the_loop_over_groups_is_gd2po(count: int, kinds: int) -> None:
    scored = signal.Scored.draw(count, kinds)
    torch.testing.assert_close(
        signal.loop_over_groups(scored), gd2po(tau=signal.TAU).signal(scored.batch).advantages, rtol=1e-4, atol=1e-4
    )


def test_the_tables_have_a_row_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIZES", ((32, 2), (64, 3)))
    monkeypatch.setattr(signal, "ROUNDS", 1)
    table = signal.signal_table()
    assert table.columns == ("N=32 K=2", "N=64 K=3")
    assert [len(cells) for cells in table.rows.values()] == [2] * len(table.rows)
    monkeypatch.setattr(update, "SHARES", (1.0, 0.5))
    monkeypatch.setattr(update, "ROUNDS", 1)
    rows = update.update_table().rows
    assert list(rows) == ["100% kept", "50% kept"]
    assert 0.3 < float(rows["50% kept"][3]) < 0.7  # memory is a count of bytes, not a time


@pytest.mark.filterwarnings("ignore")
def test_both_trainers_end_in_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RUNS": 2, "STEPS": 3, "PROMPTS": 2}.items():
        monkeypatch.setattr(trainer, name, value)
    table = trainer.trainer_table()
    assert list(table.rows) == ["TRL grpo", "Concord grpo", "TRL gdpo", "Concord gdpo"]
    apart = float(table.note.split("up to ")[1].split()[0])
    assert apart < 1e-5
