"""What the pages say is what happens."""

import re
import runpy
from pathlib import Path

import pytest

import skmoe
from support.pages import (
    FLAGS,
    ROOT,
    NearlyTheSame,
    assert_examples_print_what_is_shown,
    name_of,
    nearly_equal,
    pages_of_documentation,
)

PAGES = pages_of_documentation()
EXAMPLES = [page for page in PAGES if "\n>>> " in page.read_text("utf-8")]


def test_a_p_value_is_not_nearly_another():
    assert not nearly_equal("0.004", "0.001")
    assert not nearly_equal("3", "4")
    assert nearly_equal("0.004", "0.005")
    assert nearly_equal("-123.4", "-123.9")


def links(page):
    """Targets of the links and pictures of a page that are files of ours."""
    text = page.read_text("utf-8")
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"```{image} (\S+)", text)
    return [target.split("#")[0] for target in found if not target.startswith(("http", "#"))]


@pytest.mark.parametrize("page", EXAMPLES, ids=name_of)
def test_examples_print_what_the_page_shows(page):
    assert_examples_print_what_is_shown(page)


def test_the_first_hour_shows_what_its_script_prints(capsys, monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", plt.close)
    runpy.run_path(str(ROOT / "examples" / "plot_00_start.py"))
    page = (ROOT / "docs" / "first_hour.md").read_text("utf-8")
    [shown] = re.findall(r"X=X_train\)\)\n(.*?)```", page, re.S)
    printed = capsys.readouterr().out
    assert NearlyTheSame().check_output(shown, printed, FLAGS), printed


def figures(paragraph):
    """Decimal numbers outside of code, targets of links and powers."""
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|<sup>.*?</sup>", "", paragraph)
    return re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)", text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_figures_are_those_of_the_benchmarks_that_are_linked(page):
    if "benchmarks" in name_of(page):
        return
    text = re.sub(r"^(`{3,}).*?^\1\s*$", "", page.read_text("utf-8"), flags=re.S | re.M)
    for paragraph in re.split(r"\n\s*\n|\n(?=[|*-])", text):
        linked = re.findall(r"\]\(([^)#]*benchmarks[^)#]*\.md)", paragraph)
        printed = "".join((page.parent / target).read_text("utf-8") for target in linked)
        assert [number for number in figures(paragraph) if linked and number not in printed] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_say_where(page):
    assert "[](" not in page.read_text("utf-8"), "only Sphinx finds the title"
    for target in links(page):
        # The gallery is made by the build of the site.
        if "gallery/" in target:
            source = ROOT / "examples" / f"{target.split('gallery/')[1].removesuffix('.html')}.py"
            assert "images" in target or target.endswith("/index") or source.exists(), target
        else:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_included_files_have_what_is_shown(page):
    """The site's build is slower to find it."""
    for target, options in re.findall(
        r"```{literalinclude} (\S+)\n(.*?)```", page.read_text("utf-8"), re.S
    ):
        package = Path(skmoe.__file__).parent  # which need not be beside the pages
        in_package = target.startswith("../skmoe/")
        path = package / target.removeprefix("../skmoe/") if in_package else page.parent / target
        source = path.read_text("utf-8")
        for option, value in re.findall(r"^:([a-z-]+): (.*)$", options, re.M):
            wanted = f"class {value}" if option == "pyobject" else value.strip('"')
            assert wanted in source, f"{target} lacks {wanted}"


def test_files_that_developers_look_for_exist():
    page = (ROOT / "docs" / "developers.md").read_text("utf-8")
    named = re.findall(r"`([\w/]+/(?:\w+\.py)?)`", page)
    folders = (ROOT, Path(skmoe.__file__).parent)
    assert len(named) > 40
    assert [name for name in named if not any((folder / name).exists() for folder in folders)] == []


def test_supported_versions_are_those_that_are_tested():
    """The oldest that the page names are those of the constraints and of the metadata."""
    page = (ROOT / "docs" / "user_guide" / "saving.md").read_text("utf-8")
    oldest = dict(
        line.split("==")
        for line in (ROOT / "tests" / "oldest.txt").read_text("utf-8").split()
        if "==" in line
    )
    setup = (ROOT / "setup.cfg").read_text("utf-8")
    for name, key in [
        ("NumPy", "numpy"),
        ("SciPy", "scipy"),
        ("scikit-learn", "scikit-learn"),
        ("matplotlib, for pictures", "matplotlib"),
        ("pandas, for frames", "pandas"),
    ]:
        told = re.search(rf"^\| {name} \| ([\d.]+) \|", page, re.M)[1]
        assert oldest[key].startswith(told)
        assert f"{key}>={told}" in setup
    python = re.search(r"^\| Python \| ([\d.]+) \| ([\d.]+) \|", page, re.M)
    assert f"python_requires = >={python[1]}" in setup
    assert f"Python :: {python[2]}\n" in setup


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=name_of)
def test_examples_are_short(path):
    assert path.read_text("utf-8").count("\n") < 80


def test_the_api_page_lists_all_families_and_distributions():
    listed = set((ROOT / "docs" / "api.md").read_text("utf-8").split())
    for module in (skmoe.families, skmoe.distributions):
        classes = {name for name in module.__all__ if isinstance(getattr(module, name), type)}
        assert classes <= listed, classes - listed
