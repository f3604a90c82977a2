"""Attributes of fits of every kind, the progress that a fit prints, and tags of estimators."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.utils import get_tags

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.families import FAMILIES
from support.fits import (
    ALL_CASES,
    CLASSES,
    DISTINCT_CASES,
    X,
    Y,
    ends_of_starts,
    fit_quietly,
    fitted,
    short_fit,
)
from support.refusals import assert_refused, refusal

PENALTIES = "alpha", "gate_alpha"


def expected_link(moe):
    """The link of the experts, if they have one in common."""
    if not hasattr(moe, "expert_coef_"):
        return None
    if hasattr(moe, "classes_"):
        return "logit"
    families = moe.family if isinstance(moe.family, list) else [moe.family]
    names = [family if isinstance(family, str) else family.name for family in families]
    links = {FAMILIES[name].link for name in names} - {""}
    return links.pop() if len(links) == 1 else None


@pytest.mark.parametrize("case", DISTINCT_CASES)
def test_attributes_of_fits_agree(case):
    moe, (given, _, _) = short_fit(case), ALL_CASES[case]
    # Starts and iterations.
    n_starts = getattr(given, "n_init", 1)
    assert len(moe.start_traces_) == len(ends_of_starts(moe)) == n_starts
    assert_array_equal(ends_of_starts(moe), [trace[-1] for trace in moe.start_traces_])
    assert moe.start_converged_.dtype == bool
    assert moe.start_converged_.shape == (n_starts,)
    assert moe.lower_bound_ == moe.lower_bounds_[-1]
    assert 1 <= len(moe.lower_bounds_) <= moe.n_iter_ <= moe.max_iter
    assert moe.converged_ or moe.n_iter_ == moe.max_iter
    # What is there if it has a meaning.
    has_gate_penalty = given.gate != "constant" and moe.n_experts_ > 1
    assert np.isfinite(getattr(moe, "gate_alpha_", np.nan)).all() == has_gate_penalty
    assert getattr(moe, "link_", None) == expected_link(moe)
    if moe.base_ is not None:
        assert_allclose(moe.base_.predict(X), clone(given.base).fit(X, Y).predict(X))
    assert (moe.base_ is None) == (getattr(given, "base", None) is None)
    assert type(moe.n_parameters_) is (int if float(moe.n_parameters_).is_integer() else float)
    selected = [name for name in vars(moe) if name.startswith("n_experts_s")]
    assert selected == (["n_experts_scores_"] if case == "selected number" else [])
    # Numbers that were given.
    for name in PENALTIES:
        value = getattr(moe, f"{name}_", np.nan)
        if isinstance(getattr(given, name, None), float) and np.isfinite(value).all():
            assert value == getattr(given, name)
    assert_array_equal(moe.feature_range_, [X.min(axis=0), X.max(axis=0)])
    assert_allclose(moe.weights_.sum(), 1.0)


# --- printed progress -------------------------------------------------------------------------

LINE = re.compile(r"(.*): lower bound (\S+), (\d+) iterations(, converged)?$")
DETAIL = re.compile(r"  (.*): +(\d+) +(\S+)$")


@pytest.mark.parametrize(
    ("case", "verbose"),
    [
        *(("linear-regressor", verbose) for verbose in (0, 1, True, 2)),
        ("linear-classifier", 2),
        ("trees", 1),
        ("base", 0),
    ],
)
def test_progress_is_that_of_the_fit(case, verbose, capsys):
    """One line for each run with verbose=1, and more for iterations with verbose=2."""
    moe = fitted(case, verbose=verbose, max_iter=4 if case == "trees" else 6, n_init=2)
    lines = capsys.readouterr().out.splitlines()
    ends = [match.groups() for line in lines if (match := LINE.match(line))]
    details = [match.groups() for line in lines if (match := DETAIL.match(line))]
    assert len(ends) + len(details) == len(lines)
    assert [label for label, *_ in ends[:2]] == (["start 0", "start 1"] if verbose else [])
    assert [label for label, *_ in ends[2:]] in ([], ["EM"])  # a start may have ended before
    assert bool(details) == (verbose == 2)
    if verbose:
        kept = [end for end in ends if abs(float(end[1]) - moe.lower_bound_) < 1e-7]
        assert (str(len(moe.lower_bounds_)), bool(moe.converged_)) in [
            (n_iter, bool(state)) for _, _, n_iter, state in kept
        ]
    if verbose == 2:
        printed = {int(n): float(bound) for label, n, bound in details if label == "start 0"}
        traced = [moe.start_traces_[0][n - 1] for n in printed]
        assert_allclose(list(printed.values()), traced, atol=1e-7)


@pytest.mark.parametrize("verbose", [0, 1])
def test_progress_of_a_stack_is_a_line_for_each_model(verbose, capsys):
    fitted("stacking", verbose=verbose)
    lines = capsys.readouterr().out.splitlines()
    models = ["model 0, LinearRegression", "model 1, Ridge"]
    ended = [line.split(": fitted in")[0] for line in lines if ": fitted in" in line]
    assert ended == (models if verbose else [])


# --- tags -------------------------------------------------------------------------------------

BOTH = [(MixtureOfExpertsRegressor, Y[:80]), (MixtureOfExpertsClassifier, CLASSES[:80])]


@pytest.mark.parametrize(("make", "y"), BOTH)
def test_tags_say_which_data_are_taken(make, y):
    rows = X[:80]
    moe = make(2, n_init=1, max_iter=2, alpha=0.1, gate_alpha=1.0)
    tags = get_tags(moe)
    outputs = np.column_stack([CLASSES, CLASSES])[:80].astype(float)
    assert tags.target_tags.multi_output == (make is MixtureOfExpertsRegressor)
    if tags.target_tags.multi_output:
        assert fit_quietly(clone(moe), rows, outputs).predict(rows).shape == outputs.shape
    else:
        assert_refused(refusal(clone(moe).fit, rows, outputs), "y")
    assert tags.input_tags.sparse
    fits = [fit_quietly(clone(moe), given, y) for given in (sparse.csr_array(rows), rows)]
    assert_allclose(fits[0].predict_gate(rows), fits[1].predict_gate(rows), atol=1e-6)
    # Missing values are taken if every expert does.
    missing = np.where(rows > 1.5, np.nan, rows)
    for expert, takes in (("linear", False), ("tree", True)):
        moe.set_params(expert=expert)
        assert get_tags(moe).input_tags.allow_nan == takes
        if takes:
            assert np.isfinite(fit_quietly(moe, missing, y).predict_gate(missing)).all()
    for expert in (Ridge(), ["tree", Ridge()], ["tree", "linear"], [], None, 5, "forest", Ridge):
        takes = expert == ["tree", "linear"]  # in a list, linear models see imputed values
        assert get_tags(moe.set_params(expert=expert)).input_tags.allow_nan == takes
