"""Tables of benchmarks on the pages are those that commands print."""

import re
import runpy
from pathlib import Path

import pytest

from support.pages import ROOT, name_of, pages_of_documentation

PAGES = [p for p in pages_of_documentation() if "<!-- figures -->" in p.read_text("utf-8")]
PAGE = """Command: `python {}`. Version: 0.1.0.
<!-- figures -->

|old|

<!-- end of figures -->
"""


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "docs" / "print_figures.py"))


def test_a_table_is_replaced_by_what_its_command_prints(script):
    page = PAGE.format("-c \"print('| a | b |')\"")
    new = script["page_with_figures"](page, "print", "DIR")
    assert "|a|b|" in new
    assert "|old|" not in new
    changelog = (ROOT / "docs" / "changelog.md").read_text("utf-8")
    latest = changelog.partition("\n## ")[2].split()[0]
    assert f"Version: {latest}." in new
    assert script["page_with_figures"](page, "another command", "DIR") == page


def test_a_command_without_a_table_is_an_error(script):
    with pytest.raises(SystemExit, match="printed no table"):
        script["page_with_figures"](PAGE.format("-c pass"), "pass", "DIR")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_table_has_a_command_with_a_script(page, script):
    text = page.read_text("utf-8")
    commands = [place["command"] for place in script["PLACE"].finditer(text)]
    assert len(commands) == text.count("<!-- figures -->") == text.count("<!-- end of figures -->")
    for command in commands:
        assert (ROOT / command.split()[0]).exists(), command


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scripts_that_a_page_names_exist(page):
    for name in re.findall(r"`([a-z_]+\.py)", page.read_text("utf-8")):
        assert (Path(ROOT) / "tests" / "benchmarks" / name).exists(), name
