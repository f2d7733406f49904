"""From analyses to one HTML file."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concord.core.durable import write_whole
from concord.core.errors import ConfigError, MissingExtra
from concord.report.analysis import Analysis
from concord.report.records import Selection

if TYPE_CHECKING:
    from jinja2 import Environment

LIMIT = 5_000_000
"""Bytes of a page."""


@dataclass(frozen=True)
class Detail:
    """How much of an analysis is shown.

    Attributes:
        characters: of one text.
        tables: whether the numbers behind histograms and curves over steps are tabled.
        groups: examples of conflicted groups.
    """

    characters: int
    tables: bool
    groups: int


DETAILS = (Detail(2_000, True, 32), Detail(500, True, 32), Detail(500, False, 8), Detail(100, False, 2))
"""Tried in turn until the page is small enough."""

SECTIONS = (
    "Verdict",
    "Data quality",
    "Each reward",
    "Conflicts",
    "Queries",
    "Threshold",
    "Conflicted rollouts",
    "Length and drift",
    "Configuration",
)

_HUES = 7
"""Colours of the palette; further curves use them again, dashed."""

_TONES = {
    **dict.fromkeys(("optimised", "steady"), "good"),
    **dict.fromkeys(("hacked", "cancelled", "falling", "dead"), "bad"),
    **dict.fromkeys(("saturated", "ignored", "dominant"), "odd"),
}


def write_page(analyses: Mapping[str, Analysis], path: str | Path, *, command: str = "") -> None:
    """Write the report on one or several analyses as a page that needs nothing else.

    One HTML file in UTF-8 below 5 MB. It makes no request, and its Content-Security-Policy forbids
    any; style and script are its own, by their hashes. It can be read without JavaScript; with it,
    thresholds slide, rollouts are searched and tables are sorted and saved. With two analyses or
    more it begins with their comparison. Whatever comes from a dump is escaped; texts are cut so
    that the page stays small, and it says how much was cut.

    The file appears whole or not at all: it is written beside its place and moved there.

    Args:
        analyses: by the name that the page shows for each.
        path: of the page; its folder is made if absent.
        command: the command line that makes this page, shown in its last section.

    Raises:
        ConfigError: there is no analysis, or even with short texts they do not fit on a page.
        MissingExtra: jinja2 is not installed.
    """
    if not analyses:
        raise ConfigError("a page needs at least one analysis")
    page = _fitting(environment(), analyses, command)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page)


def _fitting(jinja: Environment, analyses: Mapping[str, Analysis], command: str) -> bytes:
    """The page with as much in it as keeps it within the limit."""
    template = jinja.get_template("page.html")
    style, script = asset("page.css"), asset("page.js")
    for detail in DETAILS:

        def clipped(text: str, cut: int = 0, limit: int = detail.characters) -> tuple[str, int]:
            return text[:limit], cut + max(len(text) - limit, 0)

        page = template.render(
            analyses=analyses,
            names=tuple(analyses),
            sections=SECTIONS,
            command=command,
            detail=detail,
            clipped=clipped,
            style=style,
            script=script,
            policy=policy(style, script),
        ).encode()
        if len(page) < LIMIT:
            return page
    raise ConfigError(
        f"a page of {len(analyses)} analyses would have {len(page) / 1e6:.1f} MB, "
        f"more than {LIMIT / 1e6:.0f}; compare fewer runs or rewards at once"
    )


def environment() -> Environment:
    """Jinja with the page's own words; every expression is escaped, and every text made visible."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtra.of("report", "jinja2") from error
    from concord.report.page import charts, compare, curves, tables, text

    def shown(value: Any) -> Any:
        return text.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    made = Environment(
        loader=PackageLoader("concord.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    made.globals.update(
        {name: getattr(text, name) for name in ("fixed", "number", "percent", "prose", "raw", "signed")}
        | {"charts": charts, "compare": compare, "curves": curves, "tables": tables}
        | {"dashed": _dashed, "hue": _hue, "nearest": _nearest, "tint": _tint, "tone": _tone}
    )
    return made


def asset(name: str) -> Any:
    """A style sheet or script of the page, to be put in as it is."""
    from markupsafe import Markup

    return Markup((files("concord.report.page") / "templates" / name).read_text(encoding="utf-8"))


def policy(style: str, script: str) -> str:
    """The content security policy: nothing but this very style and this very script."""

    def digest(source: str) -> str:
        return f"'sha256-{b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {digest(style)}; script-src {digest(script)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def _hue(index: int) -> int:
    return (index - 1) % _HUES + 1


def _dashed(index: int) -> str:
    return f" dash{(index - 1) // _HUES % 3}"


def _tone(verdict: str) -> str:
    return _TONES.get(verdict, "none")


def _tint(value: float | None) -> str:
    """The colour class of a correlation, in tenths of its size."""
    if value is None or value != value:
        return "none"
    return f"{'up' if value > 0 else 'down'} t{min(round(abs(value) * 10), 10)}"


def _nearest(sweep: Sequence[Selection], tau: float) -> int | None:
    """The place of the threshold nearest to ``tau``; None for an empty sweep."""
    distances = [abs(chosen.tau - tau) for chosen in sweep if chosen.tau is not None]
    return distances.index(min(distances)) if distances else None
