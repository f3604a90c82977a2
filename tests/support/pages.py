"""Pages of the documentation, their examples, and the comparison of what these print."""

import doctest
import re
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE_BY_BUILDS = {"_build", "api", "gallery"}
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def pages_of_documentation():
    """README.md and the pages in docs/, without those that a build makes."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    return [
        ROOT / "README.md",
        *(page for page in pages if not MADE_BY_BUILDS & set(page.relative_to(ROOT).parts)),
    ]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


class NearlyTheSame(doctest.OutputChecker):
    """Text as it stands, and numbers to one in a hundred: releases of scikit-learn differ so.

    Of small numbers the last printed digit may be another by one.
    """

    NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?")

    def check_output(self, want, got, optionflags):
        if super().check_output(want, got, optionflags):
            return True
        numbers = [self.NUMBER.findall(text) for text in (want, got)]
        if len(numbers[0]) != len(numbers[1]) or not all(map(nearly_equal, *numbers)):
            return False
        want, got = (self.NUMBER.sub("#", text) for text in (want, got))
        return super().check_output(want, got, optionflags)


def nearly_equal(want, got):
    decimals = len(want.partition(".")[2])
    last_digit = 1.001 * 10.0**-decimals if decimals else 0.0
    difference = abs(float(want) - float(got))
    return difference <= max(0.01 * abs(float(want)), last_digit)


def examples(page):
    """The fenced examples of a page, with the blank lines of what they print marked for doctest."""
    for block in re.findall(r"```python\n(>>> .*?)```", page.read_text("utf-8"), re.S):
        yield re.sub(r"\n\n(?!>>>|$)", "\n<BLANKLINE>\n", block)


def assert_examples_print_what_is_shown(page):
    """Run the examples of a page, and compare what they print."""
    text = "\n".join(examples(page))
    assert text.count(">>> ") == page.read_text("utf-8").count("\n>>> ")
    for package, file in re.findall(r'files\("([\w.]+)"\) / "src" / "([\w.]+)"', text):
        pytest.importorskip(package)
        if not (files(package) / "src" / file).is_file():
            pytest.skip(f"{file} is in later releases of {package.partition('.')[0]}")
    test = doctest.DocTestParser().get_doctest(text, {}, name_of(page), str(page), 0)
    assert test.examples
    report = []
    runner = doctest.DocTestRunner(NearlyTheSame(), optionflags=FLAGS)
    assert not runner.run(test, out=report.append).failed, "".join(report)
