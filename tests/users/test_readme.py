"""The README: its example, and its commands."""

import re

import pytest
from PIL import Image

from support.pages import ROOT, assert_examples_print_what_is_shown

README = ROOT / "README.md"


def test_example_prints_what_is_shown():
    assert_examples_print_what_is_shown(README)


def test_picture_text_and_guide_show_the_same_slopes():
    [shown] = [Image.open(ROOT / "docs" / "irises.png").text["Description"]]
    readme = README.read_text("utf-8")
    assert shown in readme  # the alternative text of the picture
    slopes = re.findall(r"y = \S+ \+ (\S+) sepal length", readme)
    guide = (ROOT / "docs/user_guide/reading.md").read_text("utf-8")
    summary = guide.split("## A summary")[1].split("\n## ")[0]
    in_summary = re.findall(r"sepal length +(0\.\d+) .*<0.0001", summary)
    drawn = re.findall(r"0\.\d\d", shown)[1:]
    for numbers in (slopes, in_summary):
        assert [f"{float(number):.2f}" for number in numbers] == drawn


@pytest.mark.parametrize("end", ["quickstart.py", "pytest -n auto", "docs/_build/html"])
def test_each_command_does_all_its_set_up(end):
    [command] = re.findall(
        rf"^python3 -m venv .*{re.escape(end)}$", README.read_text("utf-8"), re.M
    )
    assert "pip install" in command
