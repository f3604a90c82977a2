"""The lists of changes in tests/mutations name places that the code has."""

import importlib
from pathlib import Path

import pytest

import skmoe

FOLDER = Path(__file__).parent / "mutations"
PACKAGE = Path(skmoe.__file__).parent


@pytest.fixture
def listed(monkeypatch):
    """A module of the folder, by its name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def test_changes_that_once_went_unnoticed_have_one_place(listed):
    module = listed("known")
    found, missing = module.known(PACKAGE.parent)
    assert missing == []
    assert len(found) == len(module.CHANGES)


def test_changes_that_nobody_can_notice_have_a_place(listed):
    for file, text, *_ in listed("equivalent").EQUIVALENT:
        assert text in (PACKAGE / file).read_text(), file
