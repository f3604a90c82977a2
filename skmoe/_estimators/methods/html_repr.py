"""HTML table of the experts of a fitted mixture, below the HTML representation of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from skmoe._inference.labels import (
    counted_noun,
    format_number,
    format_percent,
    named_dispersions,
    printable_name,
)

# Text and borders have the colours of the page, so that the table is legible on dark ones too.
TABLE = (
    '<details open class="skmoe-experts" style="margin:0.5em 0;font-size:0.9em">'
    '<summary style="cursor:pointer">{n_experts}</summary>'
    '<table style="border-collapse:collapse;margin-top:0.3em"><thead><tr>{head}</tr></thead>'
    "<tbody>{rows}</tbody></table></details>"
)

CELL = '<{tag} style="text-align:{align};padding:0.15em 0.8em;white-space:nowrap">{content}</{tag}>'

BAR = (
    '<span style="display:inline-block;width:6em;margin-right:0.6em;border:1px solid currentColor">'
    '<span style="display:block;width:{width:.1f}%;height:0.7em;background:#0072B2"></span></span>'
)


class ExpertsReprMixin:
    """Hooks of notebooks that append the table of experts to the representation of scikit-learn."""

    @property
    def _repr_html_(self) -> Callable[[], str]:
        inner = super()._repr_html_  # type: ignore[misc]  # absent unless scikit-learn draws diagrams
        return lambda: inner() + experts_table(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += experts_table(self)
        return bundle


def experts_table(estimator: Any) -> str:
    """A table with a row for each expert; empty before the fit."""
    if not hasattr(estimator, "weights_"):
        return ""
    n_experts = estimator.n_experts_
    counted = counted_noun(hasattr(estimator, "n_units_"))
    head = ["expert", "kind", f"share of the {counted}s", "rows routed to it"]
    dispersions = [named_dispersions(estimator, k) for k in range(n_experts)]
    columns = list(dict.fromkeys(column for named in dispersions for column in named))
    columns.sort(key="noise".__ne__)  # it comes first
    head += ["noise (std. deviation)" if name == "noise" else name for name in columns]
    rows = []
    for k, (name, kind) in enumerate(
        zip(estimator.expert_names_, estimator.expert_kinds_, strict=True)
    ):
        weight = estimator.weights_[k]
        cells = [
            escape(printable_name(name)),
            escape(kind),
            BAR.format(width=100 * weight) + escape(format_percent(weight)),
            f"{estimator.load_[k]:.6g}",
        ]
        for column in columns:
            cells.append(", ".join(map(format_number, dispersions[k].get(column, []))))
        rows.append("<tr>" + _cells("td", cells) + "</tr>")
    title = f"{n_experts} expert" + "s" * (n_experts > 1)
    return TABLE.format(n_experts=title, head=_cells("th", head), rows="".join(rows))


def _cells(tag: str, contents: list[str]) -> str:
    aligned = ["left", "left", "left", *["right"] * (len(contents) - 3)]
    return "".join(
        CELL.format(tag=tag, align=align, content=content)
        for align, content in zip(aligned, contents, strict=True)
    )
