"""Pages of the guide and examples of the gallery that docstrings name are there."""

import ast
import re
from pathlib import Path

import pytest

import skmoe

ROOT = Path(__file__).parents[2]
MODULES = sorted(Path(skmoe.__file__).parent.rglob("*.py"))

# What the words after a title stand for, and where its heading is.
PAGES = {
    "user guide": sorted((ROOT / "docs" / "user_guide").glob("*.md")),
    "documentation": sorted((ROOT / "docs").glob("*.md")),
    "gallery": sorted((ROOT / "examples").glob("plot_*.py")),
    "tutorials": sorted((ROOT / "examples" / "tutorials").glob("plot_*.py")),
}
REFERENCE = re.compile(r'"([^"]+)" in the (user guide|documentation|gallery|tutorials)')
# In a parameter the place is left out.
WITHOUT_PLACE = re.compile(r'[Ss]ee "([A-Z][^"]+)"(?! in the )(?!, and)')


def headings(page):
    text = page.read_text("utf-8")
    if page.suffix == ".py":
        return [ast.get_docstring(ast.parse(text)).splitlines()[0]]
    return re.findall(r"(?m)^#+ (.+)$", text)


def references(text):
    """Title and place of each reference; "in the user guide and in the gallery" has two."""
    text = " ".join(text.split())
    text = re.sub(
        r'("[^"]+") in the (user guide) and in the (gallery)', r"\1 in the \2, \1 in the \3", text
    )
    short = [(title, "user guide") for title in WITHOUT_PLACE.findall(text)]
    return [*REFERENCE.findall(text), *short]


def docstrings(module):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = ast.walk(ast.parse(module.read_text("utf-8")))
    return [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]


FOUND = [
    (module.name, title, place)
    for module in MODULES
    for text in docstrings(module)
    for title, place in references(text)
]


@pytest.mark.skipif(not PAGES["user guide"], reason="an installed package has no pages")
@pytest.mark.parametrize(("module", "title", "place"), sorted(set(FOUND)))
def test_titles_that_docstrings_name_exist(module, title, place):
    known = [heading for page in PAGES[place] for heading in headings(page)]
    assert any(title.lower() in heading.lower() for heading in known), known


def test_references_are_found():
    assert references('See "One" in the\nuser guide, and "Two" in the gallery.') == [
        ("One", "user guide"),
        ("Two", "gallery"),
    ]
    assert len(references('see "Outliers" in the user guide and in the gallery.')) == 2
    assert references('See "Several\noutputs".') == [("Several outputs", "user guide")]
    assert len(FOUND) > 30
