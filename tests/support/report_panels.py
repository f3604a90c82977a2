"""Panels and pages of reports, as tests compare them with the mixture."""

import html
import json
import re
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from skmoe._data.rows import Rows
from skmoe.families import FAMILIES
from skmoe.inspection import export_html
from skmoe.inspection._report._panel import Report, make_inputs, make_panel
from support.expert_kinds import draw, options_of
from support.fits import classifier, fit_quietly, regressor
from support.tables import flipping_classes


def panel_of(moe, X, y, *, row=None, labels=None, max_features=99, output=0, **options):
    """What the scripts of a page are given, without the page."""
    inputs = make_inputs(moe, X, row, labels)
    options |= {"outputs": [output], "max_features": max_features}
    report = Report(inputs.mixture, Rows(inputs.X, y), "y", **options)
    return json.loads(json.dumps(make_panel(report, inputs, inputs.strongest(report))))


@cache
def table_of(name, task, n_rows):
    """A table of a kind of experts, of which each column matters to some."""
    if task == "classifier":
        return flipping_classes(n_rows, 3)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_rows, 3))
    predictor = np.where(X[:, 0] > 0, 0.3 + X[:, 1], 1.0 - 0.5 * X[:, 1])
    return X, draw(name if name in FAMILIES else "normal", predictor, rng)


def fitted_kind(name, task, n_rows=60, **options):
    """A mixture of a kind of experts, and its table."""
    make = classifier if task == "classifier" else regressor
    X, y = table_of(name, task, n_rows)
    short = {"n_experts": 2, "n_init": 1, "max_iter": 10} | options_of(name)
    return fit_quietly(make(**short | options), X, y), X, y


class Table(NamedTuple):
    """A table of a page: its caption, its head and its rows of texts."""

    caption: str
    head: list[str]
    rows: list[list[str]]

    def column(self, name):
        """Numbers of a column, by the names of the rows."""
        j = self.head.index(name)
        return {row[0]: as_number(row[j]) for row in self.rows}


class Page:
    """The text of a page, and what is read from it."""

    def __init__(self, text):
        self.text = text

    def section(self, name):
        """Text of a section, without tags."""
        pattern = rf'<section aria-labelledby="{name}-title".*?</section>'
        return plain(re.search(pattern, self.text, re.DOTALL)[0])

    def tables(self, name):
        """Tables of a section."""
        pattern = rf'<section aria-labelledby="{name}-title".*?</section>'
        section = re.search(pattern, self.text, re.DOTALL)[0]
        return [_table(found) for found in re.findall(r"<table>.*?</table>", section, re.DOTALL)]

    def cards(self):
        """Texts of the cards of the experts."""
        return [plain(card) for card in re.findall(r"<article.*?</article>", self.text, re.DOTALL)]

    @cached_property
    def panel(self):
        """What the scripts of the page are given."""
        return json.loads(re.search(r'id="panel-data">(.*?)</script>', self.text, re.DOTALL)[1])


def write_page(folder, moe, X, y, **options):
    """The page of a report."""
    path = folder / "report.html"
    export_html(moe, X, y, path, **options)
    return Page(path.read_text("utf-8"))


def plain(markup):
    """Text without tags, with one space between words."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def as_number(text):
    """The number in a cell; None if it has none."""
    cleaned = text.replace("\N{MINUS SIGN}", "-").rstrip(" %")
    try:
        return float(cleaned)
    except ValueError:
        return None


def _table(markup):
    caption = re.search(r"<caption>(.*?)</caption>", markup, re.DOTALL)
    rows = [
        [plain(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr.*?</tr>", markup, re.DOTALL)
    ]
    return Table(plain(caption[1]) if caption else "", rows[0], rows[1:])
