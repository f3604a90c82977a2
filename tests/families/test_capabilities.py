"""What works with which family, as the table in the user guide has it."""

import re
from functools import cache
from pathlib import Path

import pytest

from skmoe.families import FAMILIES
from support.capabilities import BY_FEATURES, CAPABILITIES, ROWS, WITH_DISPERSION, works

GUIDE = Path(__file__).parents[2] / "docs" / "user_guide" / "families.md"


@cache
def guide():
    """The capabilities of each family, by the two tables in the guide."""
    text = GUIDE.read_text("utf-8").split("capabilities.py`")[1].split("<!-- end of figures -->")[0]
    lines = [line[1:-1].split("|") for line in text.split("\n") if line.startswith("|")]
    _, _, [of_all], [_, *heads], _, *rows = lines
    return {
        name: {*of_all.split(", ")}.union(
            *(head.split(", ") for head, cell in zip(heads, cells, strict=True) if cell)
        )
        for names, *cells in rows
        for name in names.split(", ")
    }


def test_guide_has_all_families_and_capabilities():
    assert set(guide()) == set(ROWS)
    assert set().union(*guide().values()) == set(CAPABILITIES)
    of_lists = {name for name in FAMILIES if not FAMILIES[name].link}
    listed = {row for row in ROWS if " and " not in row}
    assert set(FAMILIES) - of_lists == listed - {"classes"}
    chosen = GUIDE.read_text(encoding="utf-8").split("| y |")[1].split("\n\n")[0]
    # "binary" is another name of "ordinal" with two values.
    assert set(re.findall(r'"(\w+)"', chosen)) == {*FAMILIES, "binary"}


# Every third pair, and all that are refused; the program that prints the table checks all.
PAIRS = [
    (row, capability)
    for i, row in enumerate(ROWS)
    for j, capability in enumerate(CAPABILITIES)
    if (i + j) % 3 == 0 or capability not in guide()[row]
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("row", "capability"), PAIRS)
def test_what_works_is_what_the_guide_says(row, capability):
    assert works(row, capability) == (capability in guide()[row])


# Every fifth pair: each row with three capabilities, and each capability with at least two rows.
WITH_FEATURES = [
    (row, capability)
    for i, row in enumerate(WITH_DISPERSION)
    for j, capability in enumerate(CAPABILITIES)
    if (i + j) % 5 == 0 and capability != "dispersion features"
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("row", "capability"), WITH_FEATURES)
def test_the_same_works_with_dispersions_that_depend_on_features(row, capability):
    """But for what needs one dispersion, and graphs of means that depend on the dispersion."""
    expected = capability in guide()[row]
    expected &= capability not in ("`partial_fit`", "trees", "full covariance", "random effects")
    of_dispersions = "lognormal", "weibull", "loglogistic", "gompertz"
    expected &= capability != "ONNX" or row not in of_dispersions
    assert works(row + BY_FEATURES, capability) == expected
