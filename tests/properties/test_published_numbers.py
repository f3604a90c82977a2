"""What is published is what is printed: summaries and their frames agree.

This holds for experts and gates of every kind.
"""

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from support.fits import ALL_CASES, DISTINCT_CASES, cases_of, fit_quietly, tables

pytestmark = pytest.mark.filterwarnings("ignore")  # fits are short

# Experts with coefficients, which are no estimators.
WITH_COEFFICIENTS = [
    case for case in DISTINCT_CASES if getattr(ALL_CASES[case][0], "expert", "models") == "linear"
]


N_ROWS = 120


class Published(NamedTuple):
    """A fit, its rows, what else it was given, and its summary."""

    moe: Any
    X: np.ndarray
    y: np.ndarray
    given: dict
    summary: Any

    @property
    def frame(self):
        return self.summary.to_frame()

    @property
    def has_errors(self):
        return self.summary.inference is not None


# Names of columns, of which some are two or three words.
HEADINGS = re.compile(r"std\. error|[\d.]+ %|ratio of means|noise variance ratio|\w+ ratio|\S+")

# Names of the same columns in frames.
IN_FRAMES = {"std. error": "standard error", "2.5 %": "lower", "97.5 %": "upper"}


def printed_tables(text):
    """Cells of each term by the names of columns in frames, with the text behind them.

    Intervals of what exponentials are, such as odds ratios, have names such as "odds ratio lower".
    """
    part, response, columns, found = None, "", [], {}
    for line in text.splitlines():
        if re.match(r"\S.* \(.*\): .* % of the", line):
            part, columns = line.split(" (")[0], []
        elif line.startswith("Common to ") or ": log odds against " in line:
            part = line.removeprefix("Common to ").partition(":")[0]
            part = part[0].lower() + part[1:]
            columns = []
        elif part is not None and re.match(r" {22,}[a-z]", line):
            matches = [*HEADINGS.finditer(line)]
            first = matches[0].group()
            ends = [match.end() for match in matches]
            begin = ends[0] - max(11, len(first) + 1)
            names = [IN_FRAMES.get(match.group(), match.group()) for match in matches]
            if first != "estimate":
                names = [first, f"{first} lower", f"{first} upper"]
            columns = list(zip(names, [begin, *ends], ends, strict=False))
            response = ""
        elif not line.startswith("  "):
            part = None
        elif columns:
            cells = {name: line[left:right].strip() for name, left, right in columns}
            if any(cells.values()):
                row = found.setdefault((part, response, line[: columns[0][1]].strip()), {})
                row |= cells | {"remark": line[columns[-1][2] :].strip()}
            else:
                response = line.strip()
    return found


def assert_printed(text, number):
    """A printed number is the number, but for its rounding."""
    if np.isnan(number):
        assert text == ""
    elif text.startswith("<"):
        assert number < float(text[1:])
    else:
        digits = len(text.partition("e")[0].partition(".")[2])
        exponent = int(text.partition("e")[2] or 0)
        rounding = 0.51 * 10.0 ** (exponent - digits)
        assert abs(float(text) - number) <= rounding + 6e-4 * abs(number)


@pytest.fixture(scope="module", params=WITH_COEFFICIENTS)
def published(request, global_random_seed):
    cases, others = cases_of(global_random_seed)
    (moe, y, given), X = (cases | others)[request.param], tables(global_random_seed).X[:N_ROWS]
    y, given = y[:N_ROWS], {name: values[:N_ROWS] for name, values in given.items()}
    moe = fit_quietly(clone(moe).set_params(max_iter=4), X, y, **given)
    return Published(moe, X, y, given, moe.summary(X, y, **given))


def test_printed_tables_are_the_frame(published):
    """Number by number; dispersions are left out where the noise is in the heading."""
    text, frame, inference = str(published.summary), published.frame, published.summary.inference
    if not published.has_errors:
        assert frame.columns.intersection(["standard error", "lower"]).empty
        return
    assert "nan" not in text
    printed = printed_tables(text)
    numbers = frame.drop(columns=["reference", "reason"], errors="ignore")
    dependent = dict(zip(frame.index, inference.is_dependent, strict=True))
    for term, cells in printed.items():
        row = numbers.loc[term]
        known = row[[name for name in row.index if name in cells]]
        assert row.drop(known.index).isna().all()  # such as ratios of an intercept
        for name, number in known.items():
            assert_printed(cells[name], number)
        assert cells["remark"] == (frame.loc[term, "reason"] or "dependent" * int(dependent[term]))
    hidden = set(frame.index) - set(printed)
    logs = {tuple(t) for t in frame.index[inference.is_dispersion]}
    assert not hidden - logs or hasattr(published.moe, "expert_covariance_")
    assert not hidden or hasattr(published.moe, "noise_variance_")


def test_frames_of_summary_and_inference_are_equal(published):
    moe, X, y, given, _ = published
    frame, before = published.frame, moe.summary().to_frame()
    pd.testing.assert_frame_equal(before, frame[before.columns])
    if published.has_errors:
        pd.testing.assert_frame_equal(frame, moe.inference(X, y, **given).to_frame())


@pytest.mark.parametrize("reference", [0, -1])
def test_coefficients_of_transitions_are_log_odds_against_staying(global_random_seed, reference):
    """Those of the first rows are log odds against the reference, as those of a gate are."""
    data = tables(global_random_seed)
    moe = fit_quietly(clone(ALL_CASES["markov gate"][0]), data.X, data.y)
    names = moe.expert_names_
    reference %= len(names)
    frame = moe.summary(data.X, data.y, gate_reference=reference).to_frame()
    for j, origin in enumerate(names):
        own = frame.loc[f"transitions from {origin}"]
        others = [k for k in range(len(names)) if k != j]
        assert list(dict.fromkeys(own.index.get_level_values(0))) == [names[k] for k in others]
        assert (own["reference"] == origin).all()
        for k in others:
            rows = own.loc[names[k]]
            intercept = moe.transition_intercept_[j, k] - moe.transition_intercept_[j, j]
            assert_allclose(rows.loc["(Intercept)", "estimate"], intercept)
            slopes = rows.loc[list(moe.gate_feature_names_)]
            difference = moe.transition_coef_[j, k] - moe.transition_coef_[j, j]
            assert_allclose(slopes["estimate"], difference)
            assert_allclose(slopes["odds ratio"], np.exp(difference))
    first = frame.loc["first rows"]
    assert (first["reference"] == names[reference]).all()
    others = [k for k in range(len(names)) if k != reference]
    expected = moe.initial_intercept_ - moe.initial_intercept_[reference]
    assert_allclose(first["estimate"], expected[others])


def test_coefficients_of_the_gate_are_log_odds_against_the_reference(published):
    """Differences of `gate_coef_`. Odds ratios are their exponentials, and so are their ends."""
    moe, X, y, given, _ = published
    if moe.gate == "markov":
        assert not hasattr(moe, "gate_coef_")
        return
    if moe.n_experts_ == 1:
        assert "gate" not in moe.summary().to_frame().index
        return
    reference = moe.n_experts_ - 1
    data = (X, y) if published.has_errors else ()
    given = given if published.has_errors else {}
    summary = moe.summary(*data, **given, gate_reference=reference)
    frame, names = summary.to_frame().loc["gate"], list(moe.gate_feature_names_)
    experts = [k for k in range(moe.n_experts_) if k != reference]
    assert list(dict.fromkeys(frame.index.get_level_values(0))) == [f"expert {k}" for k in experts]
    assert (frame["reference"] == f"expert {reference}").all()
    for k in experts:
        rows = frame.loc[f"expert {k}"]
        intercept = moe.gate_intercept_[k] - moe.gate_intercept_[reference]
        assert_allclose(rows.loc["(Intercept)", "estimate"], intercept)
        slopes = rows.drop("(Intercept)")
        expected = pd.Series(moe.gate_coef_[k] - moe.gate_coef_[reference], names)
        assert_allclose(slopes["estimate"], expected[slopes.index])
        assert not moe.gate_coef_[:, ~np.isin(names, slopes.index)].any()
        if len(slopes):
            assert_allclose(slopes["odds ratio"], np.exp(slopes["estimate"]))
        if len(slopes) and published.has_errors:
            for end in ("lower", "upper"):
                assert_allclose(slopes[f"odds ratio {end}"], np.exp(slopes[end]))
            # Where there are few rows, or features separate experts, a term is marked.
            assert_array_equal(slopes["lower"].isna(), slopes["reason"] != "")
    assert "sum to zero" not in str(summary)
