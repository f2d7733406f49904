"""Numbers about scored pairs, against counts by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from concord.core.errors import ConfigError
from concord.reward_models.evaluate import evaluate, measure
from concord.reward_models.forms import read_pairs
from concord.reward_models.measures import RATIOS, Accuracy, Calibration, LengthLink, Styles, by_length
from concord.reward_models.pairs import Pair
from concord.reward_models.residual import length_slope
from concord.reward_models.score import Scores, score
from tests.data import preferences as made


def scores(chosen: Sequence[float], rejected: Sequence[float], lengths: Sequence[tuple[float, float]] = ()) -> Scores:
    table = torch.tensor(lengths or [(1, 1)] * len(chosen), dtype=torch.float64)
    return Scores(torch.tensor(chosen).double(), torch.tensor(rejected).double(), table[:, 0], table[:, 1])


def test_accuracy_counts_ties_one_half_and_has_wilsons_interval() -> None:
    found = Accuracy.of(torch.tensor([1.0] * 7 + [-1.0] * 2 + [0.0]))
    assert (found.pairs, found.share) == (10, 0.75)
    assert (found.low, found.high) == (pytest.approx(0.4428, abs=1e-3), pytest.approx(0.9194, abs=1e-3))
    perfect = Accuracy.of(torch.ones(5))
    assert perfect.high == 1
    assert perfect.low == pytest.approx(0.5655, abs=1e-3)
    assert math.isnan(Accuracy.of(torch.ones(0)).share)


def test_buckets_hold_every_pair_once() -> None:
    lengths = [(4, 9), (5, 10), (8, 10), (9, 10), (11, 10), (12, 10), (20, 10), (5, 0), (0, 0), (0, 5)]
    found = by_length(scores([1.0] * 10, [0.0] * 10, lengths))
    assert [found[name].pairs for name in RATIOS] == [2, 2, 2, 2, 2]  # 1.1 is longer, 0.9 about equal
    assert sum(accuracy.pairs for accuracy in found.values()) == len(lengths)


def test_the_link_to_length_is_over_both_answers() -> None:
    linear = scores([3.0, 1.0], [2.0, 4.0], [(30, 20), (10, 40)])
    link = LengthLink.of(linear)
    assert (link.pearson, link.spearman) == (pytest.approx(1), pytest.approx(1))
    assert math.isnan(link.information)  # four answers say nothing
    x = torch.linspace(-1, 1, 400, dtype=torch.float64)
    bowl = LengthLink.of(Scores(x.square(), x.square(), 100 + 90 * x, 100 + 90 * x))
    assert abs(bowl.pearson) < 0.01
    assert bowl.information > 0.5


def test_a_calibrated_model_has_no_calibration_error() -> None:
    p = torch.rand(50_000, dtype=torch.float64) * 0.98 + 0.01
    margin = torch.where(torch.rand(50_000) < p, p.logit(), -p.logit())
    assert Calibration.of(margin).error < 0.01
    sure = Calibration.of(10 * margin)
    assert sure.error > 0.15
    assert sum(b.pairs for b in sure.bins) == 50_000
    assert Calibration.of(torch.zeros(4)).error == 0  # a coin's throw, and it says so


def test_styles_are_easy_where_the_better_answer_is_the_fancier_one() -> None:
    """A model that likes whatever is fancier: right below the diagonal, wrong above, and a tie on it."""
    pairs = [(i, j) for i in range(3) for j in range(3)] * 2
    found = Styles.of(torch.tensor([float(i - j) for i, j in pairs]), pairs)
    assert (found.easy, found.normal, found.hard) == (1.0, 0.5, 0.0)
    assert found.matrix == ((0.5, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 1.0, 0.5))


def test_the_slope_is_least_squares_over_pairs_in_both_orders() -> None:
    table = scores([1.0, 3.0, -2.0], [0.0, 1.0, 1.0], [(10, 4), (7, 9), (3, 11)])
    dr, dl = table.margin, table.longer
    both = torch.cat([dl, -dl])[:, None], torch.cat([dr, -dr])[:, None]
    want = torch.linalg.lstsq(*both).solution.item()
    assert length_slope(table) == pytest.approx(want)
    left = table.without_length(length_slope(table))
    assert float((left.margin * left.longer).sum()) == pytest.approx(0, abs=1e-12)
    assert length_slope(scores([1.0], [0.0], [(5, 5)])) == 0


def test_every_answer_is_scored_once_and_in_the_prompts_form() -> None:
    asked: list[Any] = []

    def reward(prompts: list[Any], completions: list[Any]) -> list[float | None]:
        asked.extend(zip(prompts, completions, strict=True))
        return [float(len(c if isinstance(c, str) else c[0]["content"])) for c in completions]

    pairs = [*read_pairs(made.rm_bench(2)).pairs, Pair("text", "abc", "de")]
    found = score(reward, pairs)
    assert len(asked) == 2 * 6 + 2
    assert asked[-1] == ("text", "de")
    assert asked[0][1] == [{"role": "assistant", "content": pairs[0].chosen}]
    assert found.chosen.tolist() == [len(pair.chosen) for pair in pairs] == found.chosen_length.tolist()
    assert found.rejected.tolist() == [len(pair.rejected) for pair in pairs]


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_score_that_is_no_number_is_named(value: float | None) -> None:
    def reward(prompts: list[Any], completions: list[Any]) -> list[float | None]:
        return [value if completion == "d" else 1.0 for completion in completions]

    with pytest.raises(ConfigError, match=f"pair 1: the rejected answer's score is {value}"):
        score(reward, [Pair("q", "a", "b"), Pair("q", "c", "d")])


def test_evaluate_measures_every_set_and_takes_the_slope_off_first() -> None:
    def reward(prompts: list[Any], completions: list[Any]) -> list[float | None]:
        return [0.1 * len(completion) + ("good" in completion) for completion in completions]

    pairs = [Pair("q", "good", "a very much longer answer that is bad"), Pair("q", "a longer good one", "no")]
    plain, level = (evaluate(reward, {"one": pairs, "two": pairs[:1]}, slope=s) for s in (0.0, 0.1))
    assert (plain["one"].accuracy.share, plain["two"].accuracy.share) == (0.5, 0.0)
    assert (level["one"].accuracy.share, level["two"].accuracy.share) == (1.0, 1.0)
    assert (plain["one"].longer_chosen.share, plain["one"].shorter_chosen.share) == (1.0, 0.0)
    assert plain["one"].styles is None


def test_an_rm_bench_set_has_its_matrix_and_its_mean_accuracy() -> None:
    pairs = read_pairs(made.rm_bench(4)).pairs
    table = scores(torch.randn(36).tolist(), torch.randn(36).tolist())
    found = measure(table, pairs)
    assert found.styles is not None
    mean = (found.styles.easy + found.styles.normal + found.styles.hard) / 3
    assert found.accuracy.share == pytest.approx(mean)
