"""The language of a completion."""

from __future__ import annotations

import sys

import pytest

from concord.core.errors import ConfigError, MissingExtra
from concord.rewards.builtin import in_language
from concord.rewards.builtin.language import PIECE, _identifier

pytest.importorskip("py3langid")

TEXTS = {
    "en": "First we add the two numbers, and then we divide the sum by three.",
    "de": "Zuerst addieren wir die beiden Zahlen, dann teilen wir die Summe durch drei.",
    "fr": "D'abord nous additionnons les deux nombres, puis nous divisons la somme par trois.",
    "zh": "我们先把这两个数字加起来,然后再把得到的和除以三,最后写出答案。",
    "ru": "Сначала мы складываем эти два числа и потом делим полученную сумму на три и пишем ответ.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_each_text_is_in_its_own_language(language: str) -> None:
    scores = in_language(list(TEXTS.values()), language=language)
    for other, score in zip(TEXTS, scores, strict=True):
        assert score is not None
        assert score > 0.8 if other == language else score < 0.05


def test_a_short_text_is_not_judged() -> None:
    assert in_language(["Yes.", "", "12 + 13 = 25 " * 20, "a" * 19], language="en") == [None] * 4
    assert in_language(["Yes, please."], language="en", min_letters=5) != [None]


def test_a_text_that_changes_its_language_scores_the_share() -> None:
    english, russian = (TEXTS[name] * (PIECE // len(TEXTS[name]) + 1) for name in ("en", "ru"))
    (score,) = in_language([english[:PIECE] + russian[: 3 * PIECE]], language="en")
    letters = sum(map(str.isalpha, english[:PIECE])), sum(map(str.isalpha, russian[: 3 * PIECE]))
    assert score == pytest.approx(letters[0] / sum(letters), abs=0.02)


@pytest.mark.parametrize(("language", "match"), [("english", "language is one of"), (None, "None"), (["en"], "en")])
def test_a_language_that_is_not_known(language: object, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        in_language(["x"], language=language)  # type: ignore[arg-type]


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    _identifier.cache_clear()
    with pytest.raises(MissingExtra, match=r"py3langid is not installed.*rewards"):
        in_language(["x"], language="en")
