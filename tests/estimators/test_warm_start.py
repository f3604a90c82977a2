"""What a warm start continues, what it keeps, and which other fits it refuses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from support.fits import CASES, fit_quietly, fitted
from support.fits import X as ALL_X
from support.fits import Y as ALL_Y
from support.refusals import assert_refused, refusal

N_ROWS = 80
# The first column of recording estimators is the number of the row.
X, Y = np.column_stack([np.arange(N_ROWS), ALL_X[:N_ROWS]]), ALL_Y[:N_ROWS]
CLASSES = (Y > 0).astype(int)
OPTIONS = {"n_experts": 2, "n_init": 1, "max_iter": 2, "random_state": 0, "warm_start": True}
OPTIONS |= {"alpha": 0.1, "gate_alpha": 1.0, "gate_features": [1, 2], "expert_features": [1, 2]}


def regressor(**options):
    return MixtureOfExpertsRegressor(**OPTIONS | options)


# --- continuing -------------------------------------------------------------------------------


EXACT = {"tol": 1e-9, "max_iter": 2000}
OF_KINDS = ["linear-regressor", "linear-classifier", "poisson-regressor", "student_t-regressor"]
OF_OPTIONS = ["constant gate", "units", "shared noise", "shared slopes", "signs", "outputs"]


@pytest.mark.parametrize("case", [*OF_KINDS, *OF_OPTIONS])
def test_a_fit_that_goes_on_ends_at_the_maximum_of_one_fit(case):
    """It begins at the parameters of the first one, so that it takes fewer iterations."""
    _, y, given = CASES[case]
    whole, moe = fitted(case, **EXACT), fitted(case, tol=1e-9, max_iter=25)
    bound = moe.lower_bound_
    fit_quietly(moe.set_params(warm_start=True, **EXACT), ALL_X, y, **given)
    assert moe.converged_
    assert moe.lower_bounds_[0] >= bound - 1e-9
    assert_allclose(moe.lower_bound_, whole.lower_bound_, rtol=1e-6)
    assert_allclose(moe.predict(ALL_X), whole.predict(ALL_X), atol=1e-3 * np.abs(y).max())
    assert moe.n_iter_ < whole.n_iter_
    fit_quietly(moe, ALL_X, y, **given)
    assert_allclose(moe.lower_bound_, whole.lower_bound_, rtol=1e-6)
    assert moe.n_iter_ < 10


@pytest.mark.parametrize("case", ["linear-regressor", "poisson-regressor", "linear-classifier"])
def test_a_fit_to_some_more_rows_is_faster_from_the_fit_before(case):
    _, y, _ = CASES[case]
    moe = fitted(case, **EXACT)
    first = fit_quietly(clone(moe).set_params(warm_start=True), ALL_X[:280], y[:280])
    fit_quietly(first, ALL_X, y)
    # Penalties are those of features with the scale of the first rows.
    assert first.lower_bound_ >= moe.lower_bound_ - 5e-3
    assert first.n_iter_ < moe.n_iter_


@pytest.mark.parametrize("options", [{}, {"family": "poisson"}, {"gate": "constant"}])
def test_parts_of_a_fit_are_the_whole_fit(options):
    """Each begins where the one before has ended, without a new start."""
    y = np.round(np.abs(Y)) if "family" in options else Y
    whole = fit_quietly(regressor(max_iter=60, **options), X, y)
    moe = fit_quietly(regressor(max_iter=5, **options), X, y)
    first = moe.lower_bound_
    moe.set_params(max_iter=60)
    for _ in range(3):
        fit_quietly(moe, X, y)
    assert whole.converged_
    assert moe.converged_
    assert moe.lower_bound_ >= first
    assert_allclose(moe.predict(X), whole.predict(X), rtol=1e-2, atol=1e-2)


def test_a_converged_fit_stays_as_it_is():
    moe = fit_quietly(regressor(max_iter=200), X, Y)
    before = moe.predict(X)
    assert_allclose(fit_quietly(moe, X, Y).predict(X), before, atol=1e-2)
    assert moe.set_params(warm_start=False).fit(X, Y).n_iter_ > 2


# --- folds of experts that are estimators -----------------------------------------------------


class FoldRecorder(Ridge):
    """A ridge regression that writes down the numbers of its rows, which are their first column.

    The list is no parameter, since experts with other parameters are fitted again.
    """

    log: list[frozenset] = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None, cost=None):
        first = X[:, [0]]
        first = first.toarray() if sparse.issparse(first) else first
        self.log.append(frozenset(first[:, 0].astype(int)))
        return super().fit(X, y, sample_weight)


DENSE, SPARSE = X, sparse.csr_array(np.where(np.abs(X) > 0.3, X, 0.0))
EDITED = SPARSE.copy()
EDITED.data[5] += 1.0
SHIFT = np.array([0.0, 1.0, 0.0])

# The second fit: its features, target, further arguments and parameters, and whether it continues.
SECOND_FITS = {
    "nothing": ({}, {}, True),
    "gate_alpha": ({}, {"gate_alpha": 3.0}, True),
    "gate features": ({}, {"gate_features": [0, 1]}, True),
    "more iterations": ({}, {"max_iter": 10, "tol": 0.0}, True),  # with new fits of the experts
    "features": ({"X": DENSE + SHIFT}, {}, False),
    "target": ({"y": 2.0 * Y}, {}, False),
    "weights": ({"sample_weight": np.full(N_ROWS, 2.0)}, {}, False),
    "metadata": ({"cost": np.ones(N_ROWS)}, {}, False),
    "features of experts": ({}, {"expert_features": [0, 2]}, False),
    "parameters of experts": ({}, {"expert__alpha": 2.0}, False),
}


@pytest.mark.parametrize("change", SECOND_FITS)
def test_the_same_rows_and_experts_keep_their_folds(change):
    given, parameters, keeps = SECOND_FITS[change]
    assert folds_are_kept({"X": DENSE, "y": Y}, {"X": DENSE, "y": Y} | given, parameters) == keeps


def test_sparse_rows_are_compared_by_their_numbers():
    SPARSE.copy().has_sorted_indices  # noqa: B018  # which is remembered by the matrix
    for other, keeps in ((SPARSE.copy(), True), (EDITED, False), (SPARSE.toarray(), False)):
        assert folds_are_kept({"X": SPARSE, "y": Y}, {"X": other, "y": Y}) == keeps


def folds_are_kept(first, second, parameters=None):
    """Whether a warm start uses the folds of the first fit, instead of drawing new ones."""
    moe = regressor(
        expert=FoldRecorder(),
        cross_fit=2,
        expert_features=[0, 1],
        max_iter=1,
        random_state=np.random.RandomState(0),
    )
    folds = []
    for data, options in ((first, {}), (second, parameters or {})):
        FoldRecorder.log.clear()
        fit_quietly(moe.set_params(**options), **data)
        folds.append({rows for rows in FoldRecorder.log if len(rows) < N_ROWS})
    return folds[1] <= folds[0]


# --- other problems ---------------------------------------------------------------------------

WIDER = np.column_stack([X, X[:, 1]])


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"n_experts": 3}, ["n_experts=3"]),
        ({}, {"gate": "constant"}, ["gate"]),
        ({}, {"family": "student_t"}, ["experts"]),
        ({}, {"expert": "tree"}, ["experts"]),
        ({"expert": "tree"}, {"expert": "linear"}, ["experts"]),
        ({"expert": "tree"}, {"n_experts": 3}, ["n_experts=3"]),
        ({}, {"gate_features": [1]}, ["gate"]),
        ({}, {"expert_features": [1]}, ["experts"]),
    ],
)
def test_other_models_do_not_continue_a_fit(before, after, words):
    moe = fit_quietly(regressor(**before), X, Y)
    predicted = moe.predict(X)
    message = refusal(moe.set_params(**after).fit, X, Y)
    assert_refused(message, "warm_start=True", *words, "warm_start=False")
    assert_array_equal(moe.predict(X), predicted)
    fit_quietly(moe.set_params(warm_start=False), X, Y)  # as the message says


@pytest.mark.parametrize(
    ("make", "first", "second", "name", "words"),
    [
        (regressor, (X, Y), (WIDER, Y), "warm_start", ["3 features", "X has 4"]),
        (regressor, (X, Y), (X, np.column_stack([Y, Y])), "y", ["1 output", "got 2"]),
        (regressor, (X, np.column_stack([Y, Y])), (X, Y), "y", ["2 output", "got 1"]),
        (MixtureOfExpertsClassifier, (X, CLASSES), (X, CLASSES + 1), "", ["classes", "[0, 1]"]),
        (
            MixtureOfExpertsClassifier,
            (X, CLASSES),
            (X, np.where(CLASSES == 1, "a", "b")),
            "",
            ["classes"],
        ),
    ],
)
def test_other_data_do_not_continue_a_fit(make, first, second, name, words):
    moe = fit_quietly(make(**OPTIONS), *first)
    assert_refused(refusal(moe.fit, *second), name, *words)


def test_a_target_of_counts_has_as_many_outputs():
    y = np.round(np.abs(Y))
    moe = fit_quietly(regressor(family="poisson"), X, y)
    assert_refused(refusal(moe.fit, X, np.column_stack([y, y])), "y", "1 output", "got 2")


def test_other_estimators_continue_the_gate_of_a_fit():
    trees = fit_quietly(regressor(expert="tree"), X, Y)
    for expert in (Ridge(), LinearRegression()):
        fit_quietly(trees.set_params(expert=expert), X, Y)
        assert type(trees.experts_[0][0]) is type(expert)
    labels = fit_quietly(MixtureOfExpertsClassifier(**OPTIONS, expert="tree"), X, CLASSES)
    fit_quietly(labels.set_params(expert=LogisticRegression()), X, CLASSES)
    assert isinstance(labels.experts_[0][0], LogisticRegression)


def test_sparse_rows_continue_a_fit_of_the_same_rows():
    features = sparse.csr_array(np.where(np.abs(X) > 0.3, X, 0.0))
    moe = fit_quietly(regressor(expert=Ridge(), expert_features=None), features, Y)
    bound = moe.lower_bound_
    assert fit_quietly(moe, features.copy(), Y).lower_bound_ >= bound - 1e-6


# Slopes that experts share, lack or have a sign of, of the second of two features.
CONSTRAINTS = {
    "shared": {"shared_features": [1]},
    "of some": {"expert_features": [[0, 1], [0]]},
    "signs": {"monotonic_cst": [0, -1]},
}


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("make", [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier])
def test_a_warm_start_takes_other_slopes_and_signs(make, name):
    rng = np.random.default_rng(0)
    features, regime = rng.normal(size=(400, 2)), np.arange(400) % 2
    predictor = np.where(regime, 2.0 + 2.0 * features[:, 0], -2.0 - 2.0 * features[:, 0])
    target = predictor + 0.1 * features[:, 1] + 0.5 * rng.logistic(size=400)
    target = target > 0.0 if make is MixtureOfExpertsClassifier else target
    options = {"gate": "constant", "alpha": 0.1, "random_state": 0}
    if make is MixtureOfExpertsRegressor:
        options |= {"family": "student_t", "dispersion_prior": 10.0}
    moe = make(2, warm_start=True, **options).fit(features, target)
    moe.set_params(**CONSTRAINTS[name]).fit(features, target)
    assert moe.converged_
    again = make(2, **options, **CONSTRAINTS[name])
    again.set_params(init=moe.responsibilities(features, target)).fit(features, target)
    assert_allclose(moe.lower_bound_, again.lower_bound_, rtol=1e-6)
    assert_allclose(moe.expert_coef_, again.expert_coef_, atol=1e-3)
