"""The README: its example, and its commands."""

import re

import pytest
from PIL import Image

from support.pages import ROOT, assert_examples_print_what_is_shown

README = ROOT / "README.md"


def test_example_prints_what_is_shown():
    assert_examples_print_what_is_shown(README)


def test_picture_text_and_example_show_the_same_slopes():
    [shown] = [Image.open(ROOT / "docs" / "cholesterol.png").text["Description"]]
    readme = README.read_text("utf-8")
    assert shown in readme  # the alternative text of the picture
    fallen, risen = re.findall(r"y = \S+ ([-+] \S+) age", readme)
    slopes = [f"{float(slope.replace(' ', '')):.2f}" for slope in (fallen, risen)]
    assert re.findall(r"\d\.\d\d", shown)[1:] == [slopes[0].removeprefix("-"), slopes[1]]


@pytest.mark.parametrize("end", ["quickstart.py", "pytest -n auto", "docs/_build/html"])
def test_each_command_does_all_its_set_up(end):
    [command] = re.findall(
        rf"^python3 -m venv .*{re.escape(end)}$", README.read_text("utf-8"), re.M
    )
    assert "pip install" in command
