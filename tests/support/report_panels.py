"""Panels and pages of reports, as tests compare them with the mixture."""

import html
import json
import re
from functools import cached_property
from typing import NamedTuple

from skmoe._data.rows import Rows
from skmoe.inspection import export_html
from skmoe.inspection._report._inputs import Report, make_inputs
from skmoe.inspection._report._panel import make_panel


def panel_of(moe, X, y, *, row=None, labels=None, max_features=99, output=0, **options):
    """What the scripts of a page are given, without the page."""
    inputs = make_inputs(moe, X, row, labels)
    options |= {"outputs": [output], "max_features": max_features}
    report = Report(inputs.mixture, Rows(inputs.X, y), "y", **options)
    return json.loads(json.dumps(make_panel(report, inputs, inputs.strongest(report))))


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
        return self._data("panel")

    @cached_property
    def charts(self):
        """Charts of the panel, as the JSON that Bokeh reads."""
        return self._data("charts")

    def _data(self, name):
        return json.loads(re.search(rf'id="{name}-data">(.*?)</script>', self.text, re.DOTALL)[1])


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
