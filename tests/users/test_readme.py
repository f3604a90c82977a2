"""The README: its example, and its commands."""

import re

import pytest

from support.pages import ROOT, assert_examples_print_what_is_shown

README = ROOT / "README.md"


def test_example_prints_what_is_shown():
    assert_examples_print_what_is_shown(README)


@pytest.mark.parametrize("end", ["quickstart.py", "pytest -n auto", "docs/_build/html"])
def test_each_command_does_all_its_set_up(end):
    [command] = re.findall(
        rf"^python3 -m venv .*{re.escape(end)}$", README.read_text("utf-8"), re.M
    )
    assert "pip install" in command
