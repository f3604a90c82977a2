"""The experts of a fitted mixture as an HTML table, beneath scikit-learn's own display."""

from __future__ import annotations

from html import escape
from typing import Any

from skmoe._inference.labels import expert_names, format_percent, noise_std

# Colours are those of the page, so that the table reads on dark ones too.
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
    """Hooks of notebooks that add the experts to what scikit-learn shows."""

    @property
    def _repr_html_(self):
        inner = super()._repr_html_  # type: ignore[misc]  # absent unless scikit-learn is to draw diagrams
        return lambda: inner() + experts_table(self)

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += experts_table(self)
        return bundle


def experts_table(estimator: Any) -> str:
    """One row for each expert; nothing before the fit."""
    if not hasattr(estimator, "weights_"):
        return ""
    deviations = noise_std(estimator)
    head = ["expert", "kind", "share of the rows", "rows sent to it"]
    if deviations is not None:
        head.append("noise (std. deviation)")
    rows = []
    for k, kind in enumerate(expert_names(estimator)):
        share = estimator.weights_[k]
        cells = [
            str(k),
            escape(kind),
            BAR.format(width=100 * share) + escape(format_percent(share)),
        ]
        cells.append(f"{estimator.load_[k]:.6g}")
        if deviations is not None:
            cells.append(", ".join(f"{value:.3g}" for value in deviations[k]))
        rows.append("<tr>" + _cells("td", cells) + "</tr>")
    n_experts = f"{len(rows)} expert" + "s" * (len(rows) > 1)
    return TABLE.format(n_experts=n_experts, head=_cells("th", head), rows="".join(rows))


def _cells(tag: str, contents: list[str]) -> str:
    aligned = ["left", "left", "left", "right", "right"]
    return "".join(
        CELL.format(tag=tag, align=align, content=content)
        for align, content in zip(aligned, contents, strict=False)
    )
