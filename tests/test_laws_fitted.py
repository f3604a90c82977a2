"""What a fit publishes and prints about itself agrees: starts, iterations, penalties, progress."""

import re
import warnings

import numpy as np
import pytest
from cases import ALL_CASES, X, fitted, short_fit
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from skmoe._estimators.attributes import attributes_of_mixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


PENALTIES = "alpha", "gate_alpha"

# --- starts and iterations ----------------------------------------------------------------------


@pytest.mark.parametrize("case", ALL_CASES)
def test_attributes_of_starts_and_iterations_agree(case):
    moe = short_fit(case)
    n_starts = 1 if case == "whole models" else moe.n_init
    assert len(moe.start_traces_) == len(moe.start_lower_bounds_) == n_starts
    assert_array_equal(moe.start_lower_bounds_, [trace[-1] for trace in moe.start_traces_])
    assert moe.start_converged_.dtype == bool
    assert moe.start_converged_.shape == (n_starts,)
    assert moe.lower_bound_ == moe.lower_bounds_[-1]
    assert 1 <= len(moe.lower_bounds_) <= moe.n_iter_
    if all(isinstance(getattr(moe, name), float) for name in PENALTIES):  # there is no search
        assert len(moe.lower_bounds_) == moe.n_iter_
    assert moe.n_iter_ <= moe.max_iter
    assert moe.converged_ or moe.n_iter_ == moe.max_iter


# --- printed progress ---------------------------------------------------------------------------

LINE = re.compile(r"(.*): lower bound (\S+), (\d+) iterations(, converged)?$")
DETAIL = re.compile(r"  (.*): +(\d+) +(\S+)$")


@pytest.mark.parametrize(
    ("case", "verbose"),
    [
        *(("linear-regressor", n) for n in range(3)),
        ("linear-classifier", 2),
        ("trees", 1),
        ("base", 0),
    ],
)
def test_progress_is_that_of_the_fit(case, verbose, capsys):
    """One line for each run with verbose=1, and one more for each iteration with verbose=2."""
    moe = fitted(case, verbose=verbose, max_iter=6)
    lines = capsys.readouterr().out.splitlines()
    ends = [match.groups() for line in lines if (match := LINE.match(line))]
    details = [match.groups() for line in lines if (match := DETAIL.match(line))]
    assert len(ends) + len(details) == len(lines)
    assert [label for label, *_ in ends[:2]] == (["start 0", "start 1"] if verbose else [])
    assert [label for label, *_ in ends[2:]] in ([], ["EM"])  # a start may have ended before
    assert bool(details) == (verbose > 1)
    if verbose:
        kept = [end for end in ends if abs(float(end[1]) - moe.lower_bound_) < 1e-7]
        assert (str(len(moe.lower_bounds_)), bool(moe.converged_)) in [
            (n_iter, bool(state)) for _, _, n_iter, state in kept
        ]
    if verbose > 1:
        printed = [float(bound) for label, _, bound in details if label == "start 0"]
        assert_allclose(printed, moe.start_traces_[0][: len(printed)], atol=1e-7)


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_progress_of_whole_models_is_a_line_for_each(verbose, capsys):
    fitted("whole models", verbose=verbose)
    lines = capsys.readouterr().out.splitlines()
    models = ["model 0, LinearRegression", "model 1, Ridge"]
    assert [line for line in lines if line.endswith(": fitted")] == (
        [f"{model}: fitted" for model in models] if verbose else []
    )
    begun = [line.split(":")[0].strip() for line in lines if "fits without each fold" in line]
    assert begun == (models if verbose > 1 else [])


# --- penalties ----------------------------------------------------------------------------------


def penalties_of(moe):
    return {name: getattr(moe, f"{name}_", None) for name in PENALTIES}


GIVEN = [
    case
    for case, (moe, _, _) in ALL_CASES.items()
    if isinstance(moe.alpha, float) and moe.combine != "average"  # its starts have their own
]


@pytest.mark.parametrize("case", GIVEN)
def test_penalties_that_are_given_are_those_of_the_fit(case):
    moe = short_fit(case)
    given = {name: getattr(moe, name) for name in PENALTIES}
    compared = [
        (value, given[name])
        for name, value in penalties_of(moe).items()
        if isinstance(given[name], float) and value is not None  # estimators have no penalty
    ]
    assert compared
    for value, expected in compared:
        assert value == expected


@pytest.mark.parametrize("case", ["linear-regressor", "linear-classifier", "poisson-regressor"])
def test_penalties_are_found_by_default_and_not_on_a_base(case):
    """`None` is "auto", or the number of the docstring on a base."""
    options = {"n_init": 1, "n_experts": 2}
    by_default = fitted(case, alpha=None, gate_alpha=None, **options)
    found = fitted(case, alpha="auto", gate_alpha="auto", **options)
    assert penalties_of(by_default) == penalties_of(found)
    numbers = re.search(r"None is \"auto\", or (\d+) on a `base`", " ".join(found.__doc__.split()))
    assert penalties_of(found)["alpha"] not in (0.1, 1.0, float(numbers[1]))
    base = ALL_CASES["base"][0].base if case != "linear-classifier" else LogisticRegression()
    if case == "poisson-regressor":
        base = PoissonRegressor()
    on_base = fitted(case, base=base, alpha=None, gate_alpha=None, **options)
    assert penalties_of(on_base) == {"alpha": float(numbers[1]), "gate_alpha": 1.0}


# --- warnings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["linear-regressor", "linear-classifier", "trees", "units"])
def test_warnings_of_fits_point_at_the_line_of_the_caller(case):
    moe, y, given = ALL_CASES[case]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        type(moe)(**moe.get_params(deep=False) | {"max_iter": 1, "n_init": 1}).fit(X, y, **given)
    caught = [warning for warning in caught if warning.category is ConvergenceWarning]
    assert caught
    assert {warning.filename for warning in caught} == {__file__}


def test_fits_of_earlier_releases_have_no_ranges():
    fitted = short_fit("linear-regressor")._fitted
    assert_array_equal(
        attributes_of_mixture(fitted)["feature_range_"], [X.min(axis=0), X.max(axis=0)]
    )
    without = fitted._replace(preprocessor=fitted.preprocessor._replace(feature_range=None))
    assert "feature_range_" not in attributes_of_mixture(without)


@pytest.mark.parametrize("case", ["linear-regressor", "linear-classifier"])
def test_a_stream_has_no_rows_that_others_could_differ_from(case):
    moe, y, _ = ALL_CASES[case]
    moe = clone(moe).set_params(n_init=1, max_iter=3)
    classes = {"classes": np.unique(y)} if case == "linear-classifier" else {}
    for rows in (slice(0, 150), slice(150, 300)):
        moe.partial_fit(X[rows], y[rows], **classes)
    for rows in (slice(None), slice(10, 60)):
        assert "Other rows" not in str(moe.summary(X[rows], y[rows]))
    fitted_once = short_fit(case)
    assert "Other rows" in str(fitted_once.summary(X[10:60], y[10:60]))


def test_numbers_that_were_tried_are_attributes_where_there_was_a_choice():
    """Errors of scores are those of held-out rows, which criteria have not."""
    selected = ("n_experts_tried_", "n_experts_scores_", "n_experts_score_errors_")
    rows, y = X[:60], ALL_CASES["selected number"][1][:60]
    moe = clone(ALL_CASES["selected number"][0]).set_params(n_init=1, max_iter=3)
    by_criterion = quiet(clone(moe), rows, y)
    held_out = quiet(moe.set_params(n_experts="auto"), rows, y)
    for moe, names in ((by_criterion, selected[:2]), (held_out, selected)):
        for name in selected:
            assert hasattr(moe, name) == (name in names)
        assert {len(getattr(moe, name)) for name in names} == {len(moe.n_experts_tried_)}
        assert moe.n_experts_ in moe.n_experts_tried_
    assert not [name for name in selected if hasattr(short_fit("two experts"), name)]
