"""Every mistake gets one clear error that names the parameter, the rule, the value and the remedy,
and leaves what was fitted before as it was."""

import re
import tracemalloc
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.checks import (
    MAX_OFFSET,
    MAX_TOTAL_WEIGHT,
    check_block_weights,
    check_columns,
    check_enough_rows,
    check_integer,
    check_n_jobs,
    check_offset,
    check_real,
    check_two_classes,
    check_weights,
    class_codes,
)
from skmoe._data.folds import check_folds
from skmoe._data.target_checks import MAX_TARGET, MIN_TARGET, check_target_size
from skmoe.blocks import RowBlocks
from skmoe.experts import GeneralizedLinearExperts, LinearExperts, LogisticExperts
from skmoe.gates import SoftmaxGate

X, Y = two_regimes(n_rows=120)
CLASSES = flipping_classes(n_rows=120)[1]
BOTH = [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier]
FRAME = pd.DataFrame(X, columns=["age", "income", "height"])


def target(make):
    return Y if make is MixtureOfExpertsRegressor else CLASSES


BAD_PARAMETERS = [
    ({"n_experts": 0}, "n_experts must be an integer of at least 1; got 0"),
    ({"n_experts": -3}, "n_experts must be an integer of at least 1; got -3"),
    ({"n_experts": 2.0}, "n_experts must be an integer of at least 1; got 2.0"),
    ({"n_experts": True}, "n_experts must be an integer of at least 1; got True"),
    ({"n_experts": 121}, "n_experts must not exceed the number of rows, 120"),
    ({"n_experts": 10**400}, "n_experts must not exceed the number of rows, 120"),
    ({"n_experts": 10**5000}, "got an int of more digits than Python writes. Use fewer experts"),
    (
        {"expert": "trees"},
        "expert must be one of ['linear', 'tree'], a scikit-learn estimator or a",
    ),
    (
        {"expert": None},
        "expert must be one of ['linear', 'tree'], a scikit-learn estimator or a",
    ),
    ({"expert": ["linear", "tree"]}, "one entry for each of the n_experts=4 experts; got 2"),
    ({"cross_fit": 1}, 'cross_fit must be "auto", "oob", False or an integer of at least 2; got 1'),
    ({"top_k": 0}, "top_k must be an integer of at least 1; got 0"),
    ({"top_k": 5}, "top_k must not exceed n_experts=4; got 5"),
    ({"balance": -1.0}, "balance must be a finite number of at least 0 and at most 1e+100; got -1"),
    ({"gate": "sofmax"}, "gate must be one of ['constant', 'softmax'] or an object"),
    ({"gate": 3}, "gate must be one of ['constant', 'softmax'] or an object"),
    ({"gate": SoftmaxGate}, "gate must be an instance; got the class SoftmaxGate. Pass"),
    ({"gate": SoftmaxGate(alpha=-5.0)}, "gate.alpha must be a finite number of at least 0; got -5"),
    ({"gate": SoftmaxGate(alpha=np.nan)}, "gate.alpha must be a finite number of at least 0"),
    ({"gate": SoftmaxGate(alpha=np.inf)}, "gate.alpha must be a finite number of at least 0"),
    ({"gate": SoftmaxGate(alpha="1")}, "gate.alpha must be a finite number of at least 0; got '1'"),
    ({"gate": SoftmaxGate(transformer=3)}, "gate.transformer must be None or a transformer of"),
    ({"gate": SoftmaxGate(transformer=Ridge())}, "got Ridge(), which has no method transform"),
    ({"gate": SoftmaxGate(transformer=Ridge)}, "gate.transformer must be an instance; got the cla"),
    ({"n_experts": 1, "gate": SoftmaxGate(alpha=-5.0)}, "gate.alpha must be a finite number"),
    ({"expert": Ridge}, "must be an instance; got the class Ridge. Pass an instance: Ridge()"),
    ({"expert": [Ridge] * 4}, "expert[0] must be an instance; got the class Ridge"),
    ({"expert": LinearExperts}, "expert must be an instance; got the class LinearExperts"),
    ({"expert": "gamma"}, "got 'gamma'. For positive targets use family=\"gamma\"."),
    ({"base": Ridge}, "base must be an instance; got the class Ridge"),
    ({"alpha": -1.0}, "alpha must be a finite number of at least 0; got -1.0"),
    ({"alpha": np.nan}, "alpha must be a finite number of at least 0; got nan"),
    ({"alpha": "1"}, 'alpha must be "auto" or "ard", or a number of at least 0; got \'1\''),
    ({"alpha": 10**400}, "alpha must be a finite number of at least 0; got 10000"),
    ({"tol": 10**400}, "tol must be a finite number of at least 0; got 10000"),
    ({"alpha": Fraction(-1, 3)}, "alpha must be a finite number of at least 0; got Fraction("),
    ({"balance": 1e308}, "balance must be a finite number of at least 0 and at most 1e+100"),
    ({"n_jobs": 0}, "n_jobs must be None or an integer other than 0; got 0"),
    ({"n_jobs": "all"}, "n_jobs must be None or an integer other than 0; got 'all'"),
    ({"n_jobs": "2"}, "n_jobs must be None or an integer other than 0; got '2'"),
    ({"n_jobs": 1.5}, "n_jobs must be None or an integer other than 0; got 1.5"),
    ({"random_state": -1}, "random_state must be None, an integer from 0 to 2**32 - 1, or a"),
    ({"random_state": "a"}, "random_state must be None, an integer from 0 to 2**32 - 1, or a"),
    ({"n_experts": "auto", "random_state": -1}, "random_state must be None, an integer from 0 to"),
    ({"n_experts": "auto", "n_init": 0}, "n_init must be an integer from 1 to 10000; got 0"),
    ({"n_experts": "auto", "max_iter": "a"}, "max_iter must be an integer of at least 1; got 'a'"),
    ({"n_experts": "auto", "tol": "a"}, "tol must be a finite number of at least 0; got 'a'"),
    ({"gate_alpha": -0.1}, "gate_alpha must be a finite number of at least 0; got -0.1"),
    (
        {"init": "k-means"},
        "init must be one of ['auto', 'kmeans', 'linear_tree', 'random', 'tree']",
    ),
    ({"init": None}, "init must be one of ['auto', 'kmeans', 'linear_tree', 'random', 'tree']"),
    ({"init": np.ones((120, 3)) / 3}, "init as an array must have shape (n_samples, n_experts)"),
    ({"init": np.ones((120, 4))}, "rows that sum to 1; row 0 sums to 4"),
    ({"init": np.tile([2.0, -1, 0, 0], (120, 1))}, "non-negative responsibilities"),
    ({"n_init": 0}, "n_init must be an integer from 1 to 10000; got 0"),
    ({"n_init": 10**7}, "n_init must be an integer from 1 to 10000; got 10000000. Pass a smaller"),
    ({"max_iter": 0}, "max_iter must be an integer of at least 1; got 0"),
    ({"tol": -1e-3}, "tol must be a finite number of at least 0; got -0.001"),
    ({"warm_start": "yes"}, "warm_start must be True or False; got 'yes'"),
    ({"verbose": -1}, "verbose must be an integer of at least 0; got -1"),
    ({"gate_features": []}, "gate_features must not be empty"),
    ({"gate_features": ["age"]}, "gate_features holds column names, but X has none"),
    ({"gate_features": "x0"}, "gate_features=[0] for the column that reports call x0"),
    ({"gate_features": [[0], [0, 1]]}, "gate_features must be a flat list of column names or"),
    ({"expert_features": [[0], [0, 1]]}, "expert_features must be a flat list of column names or"),
    ({"gate_features": [3]}, "gate_features must hold column indices of X, from 0 to 2; got 3"),
    ({"gate_features": [0, 0]}, "gate_features must not name a feature twice"),
    ({"gate_features": [True, False]}, "must have one entry for each of the 3 features; got 2"),
    ({"gate_features": [False] * 3}, "gate_features must not be empty"),
    ({"gate_features": [0.5]}, "gate_features must be None, column names, column indices"),
    ({"expert_features": [[0, 1]]}, "expert_features must be one-dimensional"),
]


def test_a_family_is_no_entry_of_a_list_of_different_experts():
    moe = MixtureOfExpertsRegressor(2, expert=[LinearExperts(), "tree"])
    with pytest.raises(ValueError, match=r"^expert\[0\] must be one of .* got the family Linear"):
        moe.fit(np.zeros((10, 1)), np.zeros(10))


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
def test_bad_parameters(make, parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**parameters).fit(X, target(make))


@pytest.mark.parametrize(
    ("make", "parameters", "message"),
    [
        (BOTH[0], {"dispersion": "each"}, "dispersion must be one of ['per_expert', 'shared']"),
        (
            BOTH[0],
            {"dispersion_prior": -1},
            "dispersion_prior must be a finite number of at least 0",
        ),
        (BOTH[1], {"class_weight": "even"}, 'class_weight must be None, "balanced" or a dict'),
        (BOTH[1], {"class_weight": {0: -1.0, 1: 1.0}}, "class_weight must give finite"),
        (BOTH[1], {"class_weight": {0: "a", 1: 1}}, "class_weight must give finite"),
        (BOTH[1], {"class_weight": {5: 1.0}}, "for classes among [0, 1]; got {5: 1.0}"),
        (BOTH[1], {"class_weight": {0: 1e308, 1: 1e308}}, "sample_weight times class_weight must"),
        (BOTH[0], {"expert": LinearExperts(alpha=-1.0)}, "expert.alpha must be a finite number"),
        (BOTH[0], {"expert": LinearExperts(alpha="a")}, "expert.alpha must be a finite number"),
        (
            BOTH[0],
            {"expert": LinearExperts(dispersion_prior=-1)},
            "expert.dispersion_prior must be a",
        ),
        (
            BOTH[0],
            {"expert": LinearExperts(shared_dispersion="no")},
            "expert.shared_dispersion",
        ),
        (BOTH[0], {"expert": LinearExperts(noise_variance=3)}, "expert.noise_variance must be a"),
        (BOTH[0], {"expert": LinearExperts(variance_floor=(-1.0,))}, "expert.variance_floor must"),
        (BOTH[0], {"expert": GeneralizedLinearExperts(alpha=np.nan)}, "expert.alpha must be a"),
        (
            BOTH[0],
            {"expert": GeneralizedLinearExperts(dispersion_prior=-1.0)},
            "expert.dispersion_prior must be a finite",
        ),
        (
            BOTH[1],
            {"expert": LogisticExperts(alpha=np.inf)},
            "expert.alpha must be a finite number",
        ),
        (BOTH[1], {"expert": LogisticExperts(n_classes=1)}, "expert.n_classes must be an integer"),
    ],
)
def test_bad_parameters_of_one_estimator(make, parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**parameters).fit(X, target(make))


@pytest.mark.parametrize("make", BOTH)
def test_unknown_names_of_features(make):
    with pytest.raises(ValueError, match=r"gate_features must name columns of X; 'size' is not"):
        make(gate_features=["size"]).fit(FRAME, target(make))
    with pytest.raises(ValueError, match="expert_features must name columns of X"):
        make(expert_features=["age", 1]).fit(FRAME, target(make))


def spoiled(value):
    spoiled = X.copy()
    spoiled[3, 1] = value
    return spoiled


BAD_DATA = [
    (spoiled(np.nan), None, None, "contains NaN"),
    (spoiled(np.inf), None, None, "contains infinity"),
    (X[:, 0], None, None, "Expected 2D array, got 1D array"),
    (X[:50], None, None, "inconsistent numbers of samples"),
    (X, None, -np.ones(120), "sample_weight must not be negative"),
    (X, None, np.zeros(120), "all weights are zero"),
    (X, None, np.ones(119), "sample_weight must have one entry for each of the 120 rows"),
    (X, None, np.ones((120, 1)), "sample_weight must have one entry for each of the 120 rows"),
    (X, None, np.full(120, np.nan), "sample_weight must be finite"),
    (X, None, ["a"] * 120, "sample_weight must be an array of numbers"),
    (X, None, np.full(120, 1j), "sample_weight must be an array of numbers; got an array of compl"),
    (X, None, np.full(120, np.datetime64("2020-01-01")), "numbers; got an array of datetime64"),
    (X, None, np.full(120, 1e308), "weights with a sum of at most 1e.140; the largest weight"),
    (X, sparse.csr_array(np.ones((120, 1))), None, "y must be a dense array; got a csr_array"),
    (X, np.full(120, np.nan), None, "Input y contains NaN"),
    (np.tile(X[:1], (120, 1)), np.tile([0, 1], 60), None, "must not exceed the number of distinct"),
]


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(("features", "y", "weight", "message"), BAD_DATA)
def test_bad_data(make, features, y, weight, message):
    y = target(make) if y is None else y
    with pytest.raises(ValueError, match=message):
        make().fit(features, y, sample_weight=weight)


@pytest.mark.parametrize("dtype", [str, object])
def test_text_is_no_target_of_a_regression(dtype):
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0)
    text = np.array(["1.5", "many"] * 60, dtype=dtype)
    refusal = pytest.raises(ValueError, match=r"y must hold numbers; got 'many'\. .*Classifier")
    for method in (moe.fit, moe.partial_fit):
        with refusal:
            method(X, text)
    assert not hasattr(moe, "n_features_in_")
    moe.fit(X, Y)
    for method in (moe.score_samples, moe.partial_fit):
        with refusal:
            method(X, text)
    numbers = np.array([str(value) for value in Y], dtype=dtype)
    assert_array_equal(moe.score_samples(X, numbers), moe.score_samples(X, Y))


def test_one_class_only():
    with pytest.raises(ValueError, match=r"at least two classes .* one class: \['no'\]"):
        MixtureOfExpertsClassifier().fit(X, ["no"] * 120)
    weight = (CLASSES == 1).astype(float)
    with pytest.raises(ValueError, match="one class"):
        MixtureOfExpertsClassifier().fit(X, CLASSES, sample_weight=weight)
    with pytest.raises(ValueError, match="continuous"):
        MixtureOfExpertsClassifier().fit(X, Y)


@pytest.mark.parametrize("make", BOTH)
def test_predicting_before_fitting(make):
    moe = make()
    for method in ("predict", "predict_gate", "predict_experts", "apply"):
        with pytest.raises(NotFittedError):
            getattr(moe, method)(X)
    for method in ("score_samples", "responsibilities", "aic", "bic", "icl"):
        with pytest.raises(NotFittedError):
            getattr(moe, method)(X, target(make))


@pytest.mark.filterwarnings("ignore:Experts have collapsed")
@pytest.mark.parametrize("make", BOTH)
def test_predicting_with_other_columns(make):
    moe = make(2).fit(FRAME, target(make))
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match=r"2 features, but .* is expecting 3"),
    ):
        moe.predict(X[:, :2])
    with pytest.raises(ValueError, match="feature names should match"):
        moe.predict(FRAME.rename(columns={"age": "years"}))
    with pytest.raises(ValueError, match="NaN"):
        moe.predict(FRAME * np.nan)
    with pytest.raises(ValueError, match="same number of rows"):
        moe.score_samples(FRAME, target(make)[:-1])


def test_targets_unlike_those_of_the_fit():
    moe = MixtureOfExpertsClassifier(2, random_state=0).fit(X, CLASSES)
    with pytest.raises(ValueError, match=r"classes seen in fit, \[0, 1\]; got 7"):
        moe.score_samples(X, np.where(CLASSES == 1, 7, 0))
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"y must have the 1 output\(s\) seen in fit; got 2"):
        moe.responsibilities(X, np.column_stack([Y, Y]))


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    "spoil",
    [
        {"n_experts": 0},
        {"gate": "none"},
        {"gate_features": [7]},
        {"init": np.ones((3, 2)) / 2},
    ],
)
def test_a_previous_fit_survives_an_error(make, spoil):
    moe = make(2, random_state=0).fit(FRAME, target(make))
    before = moe.predict(FRAME)
    fitted = {name: value for name, value in vars(moe).items() if name.endswith("_")}
    with pytest.raises(ValueError, match="must"):
        moe.set_params(**spoil).fit(X[:, :2], target(make))
    assert_array_equal(moe.predict(FRAME), before)
    for name, value in fitted.items():
        assert getattr(moe, name) is value
    with pytest.raises(ValueError, match="NaN"):
        moe.set_params(n_experts=2, gate="softmax", gate_features=None, init="auto").fit(
            spoiled(np.nan)[:, :2], target(make)
        )
    assert_array_equal(moe.predict(FRAME), before)


@dataclass(frozen=True)
class Breaking(SoftmaxGate):
    """A gate that fails in the middle of a fit."""

    def m_step(self, statistics, factor, params, step):
        raise RuntimeError("broken gate")


@pytest.mark.parametrize("make", BOTH)
def test_a_previous_fit_survives_a_failure_inside(make):
    moe = make(2, random_state=0).fit(X, target(make))
    before = moe.predict(X)
    with pytest.raises(RuntimeError, match="broken gate"):
        moe.set_params(gate=Breaking()).fit(X, target(make))
    assert_array_equal(moe.predict(X), before)
    fresh = make(2, gate=Breaking())
    with pytest.raises(RuntimeError, match="broken gate"):
        fresh.fit(X, target(make))
    with pytest.raises(NotFittedError):
        fresh.predict(X)


@pytest.mark.filterwarnings("ignore:Experts have collapsed")
@pytest.mark.parametrize("make", BOTH)
def test_warm_start_refuses_another_problem(make):
    moe = make(2, warm_start=True, random_state=0).fit(X, target(make))
    with pytest.raises(ValueError, match="fit with 3 features; X has 2"):
        moe.fit(X[:, :2], target(make))
    with pytest.raises(ValueError, match=r"n_experts=3 and the data want .*warm_start=False"):
        moe.set_params(n_experts=3).fit(X, target(make))
    with pytest.raises(ValueError, match="warm_start=True continues a fit whose gate"):
        moe.set_params(n_experts=2, gate="constant").fit(X, target(make))
    moe.set_params(warm_start=False).fit(X, target(make))  # as the message says


def test_warm_start_refuses_other_targets():
    moe = MixtureOfExpertsClassifier(2, warm_start=True, random_state=0).fit(X, CLASSES)
    with pytest.raises(ValueError, match="fit with classes"):
        moe.fit(X, CLASSES + 1)
    moe = MixtureOfExpertsRegressor(2, warm_start=True, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="output"):
        moe.fit(X, np.column_stack([Y, Y]))


@pytest.mark.parametrize("estimator", BOTH)
def test_the_remedy_for_missing_values_works(estimator):
    holes = np.where(np.arange(X.size).reshape(X.shape) == 5, np.nan, X)
    with pytest.raises(ValueError, match=r'column 2 of X contains NaN.*expert="tree"'):
        estimator(2).fit(holes, CLASSES)
    quiet(estimator(2, expert="tree", random_state=0, n_init=1, max_iter=5), holes, CLASSES)


# --- the same error on every path -------------------------------------------------------------


def fit_blocks(moe, X, y, weight=None):
    return moe.fit(RowBlocks(lambda: iter([(X, y) if weight is None else (X, y, weight)])))


def fit_stream(moe, X, y, weight=None):
    return moe.partial_fit(X, y, sample_weight=weight)


def fit_second_batch(moe, X, y, weight=None):
    columns = getattr(X, "columns", None)
    first = np.random.default_rng(0).normal(size=(60, X.shape[1]))
    first = first if columns is None else pd.DataFrame(first, columns=columns)
    return moe.partial_fit(first, first @ np.ones(X.shape[1])).partial_fit(X, y, weight)


def fit_rows(moe, X, y, weight=None):
    return moe.fit(X, y, weight)


def fit_auto(moe, X, y, weight=None):
    return moe.set_params(n_experts="auto").fit(X, y, weight)


PATHS = [fit_rows, fit_auto, fit_stream, fit_second_batch, fit_blocks]


def with_column(values):
    return FRAME.assign(extra=values)


DATES = pd.date_range("2020-01-01", periods=120)
BAD_ROWS = [
    (with_column(["No", "Yes"] * 60), Y, None, "column 'extra' holds 'No'. Encode categories by a"),
    (with_column(pd.Categorical(["No", "Yes"] * 60)), Y, None, "column 'extra' holds 'No'"),
    (with_column(DATES), Y, None, "X must hold numbers; column 'extra' holds datetime64"),
    (with_column(DATES - DATES[0]), Y, None, "column 'extra' holds timedelta64"),
    (FRAME.assign(income=np.nan), Y, None, "column 'income' of X contains NaN"),
    (FRAME.assign(income=np.inf), Y, None, "column 'income' of X contains infinity"),
    (with_column([None, 1.0] * 60).astype(object), Y, None, "column 'extra' of X contains NaN"),
    (with_column(["No", "Yes"] * 60).to_numpy(), Y, None, "column 3 holds 'No'"),
    (sparse.csr_array(spoiled(np.nan)), Y, None, "column 1 of X contains NaN"),
    (X, sparse.csr_array(Y[:, None]), None, "y must be a dense array; got a csr_array"),
    (X, np.arange(120).astype("datetime64[D]"), None, "y must hold numbers; got datetime64[D]"),
    (X, ["a", "b"] * 60, None, "y must hold numbers; got 'a'. For labels"),
    (X, Y * 1e150, None, "y must hold numbers of at most 1e+140 in absolute value"),
    (X, Y, np.full(120, 1j), "sample_weight must be an array of numbers; got an array of complex"),
    (X, Y, np.array(["a"] * 120), "sample_weight must be an array of numbers"),
    (X, Y, np.full(120, 1e308), "sample_weight must give weights with a sum of at most 1e+140"),
    (X, Y, -np.ones(120), "sample_weight must not be negative"),
]


@pytest.mark.parametrize("fit", PATHS)
@pytest.mark.parametrize(("features", "y", "weight", "message"), BAD_ROWS)
def test_every_path_has_the_same_error(fit, features, y, weight, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fit(MixtureOfExpertsRegressor(2, random_state=0), features, y, weight)


@pytest.mark.parametrize(("features", "y", "weight", "message"), BAD_ROWS[:8])
def test_new_rows_have_the_same_error(features, y, weight, message):
    numbers = FRAME.assign(extra=1.0) if features.shape[1] == 4 else FRAME
    moe = MixtureOfExpertsRegressor(2, n_init=1, random_state=0).fit(numbers, Y)
    if not hasattr(features, "columns"):
        moe.fit(numbers.to_numpy(), Y)
    with pytest.raises(ValueError, match=re.escape(message)):
        moe.predict(features)


@pytest.mark.parametrize("fit", [fit_rows, fit_stream, fit_blocks])
def test_outputs_without_squares_are_refused(fit):
    with pytest.raises(ValueError, match="numbers larger than 1e-140 in absolute value"):
        fit(MixtureOfExpertsRegressor(2, random_state=0), X, Y * 1e-163)


@pytest.mark.parametrize(
    ("fit", "options"),
    [
        (fit, options)
        for fit in (fit_rows, fit_stream, fit_blocks)
        for options in ({}, {"family": "poisson"}, {"expert": GeneralizedLinearExperts()})
    ]
    + [(fit_rows, {"expert": expert}) for expert in ("tree", Ridge())],
)
def test_more_experts_than_rows_are_refused_without_work(fit, options):
    moe = MixtureOfExpertsRegressor(10**9, **options)
    tracemalloc.start()
    with pytest.raises(ValueError, match="n_experts must not exceed the number of rows, 120"):
        fit(moe, X, np.abs(np.round(Y)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


def test_estimators_that_take_no_text_have_a_note_on_the_column():
    with pytest.raises(ValueError, match="could not convert") as caught:
        MixtureOfExpertsRegressor(2, expert=Ridge()).fit(with_column(["No", "Yes"] * 60), Y)
    assert "column 'extra' holds 'No'" in caught.value.__notes__[1]


@pytest.mark.parametrize(
    "groups", [[None, "a"] * 60, [np.nan, 1.0] * 60, np.array([1, "a"] * 60, dtype=object)]
)
@pytest.mark.parametrize("parameters", [{"expert": "tree"}, {"n_experts": "auto"}])
def test_groups_are_labels_of_one_kind(groups, parameters):
    with pytest.raises(ValueError, match="groups must hold labels of one kind"):
        MixtureOfExpertsRegressor(**parameters).fit(X, Y, groups=groups)


def test_groups_have_one_dimension():
    with pytest.raises(ValueError, match=r"groups must have one dimension; got shape \(120, 2\)"):
        MixtureOfExpertsRegressor(2, expert="tree").fit(X, Y, groups=np.ones((120, 2)))


@pytest.mark.parametrize("labels", [[None, "a"] * 60, np.array([1, "a"] * 60, dtype=object)])
def test_labels_are_of_one_kind(labels):
    with pytest.raises(ValueError, match="y must hold labels of one kind"):
        MixtureOfExpertsClassifier(2).fit(X, labels)


def test_a_search_for_the_number_of_experts_needs_y():
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        MixtureOfExpertsRegressor("auto").fit(X)


@pytest.mark.parametrize("q", [[], "a", ["a"], None, np.nan, 90, [[0.1, 0.2]], 0.5j])
@pytest.mark.parametrize("family", ["normal", "poisson", "student_t", "ordinal"])
def test_quantiles_are_of_probabilities(family, q):
    moe = MixtureOfExpertsRegressor(1, family=family).fit(X, np.abs(np.round(Y)))
    with pytest.raises(ValueError, match=r"q must be a probability in \(0, 1\), or a list"):
        moe.predict_quantile(X, q)


@pytest.mark.parametrize("random_state", [-1, "a", 2**40])
def test_draws_need_a_valid_random_state(random_state):
    moe = MixtureOfExpertsRegressor(1).fit(X, Y)
    with pytest.raises(ValueError, match="random_state must be None, an integer from 0"):
        moe.sample(X, random_state=random_state)


@pytest.mark.parametrize("half_life", [-5, 0, "a", np.nan])
def test_a_half_life_is_a_number_of_rows(half_life):
    with pytest.raises(ValueError, match=r"positive number of rows; got .*such as half_life=1000"):
        MixtureOfExpertsRegressor(2, half_life=half_life).partial_fit(X, Y)


def test_a_base_needs_two_distinct_rows():
    with pytest.raises(ValueError, match=r"at least 2 distinct rows; got 1\. Leave base out"):
        MixtureOfExpertsRegressor(1, base=Ridge()).fit(np.ones((20, 2)), np.ones(20))


@pytest.mark.parametrize("parameter", ["alpha", "gate_alpha", "tol"])
def test_fractions_are_numbers(parameter):
    moe = MixtureOfExpertsRegressor(2, random_state=0, **{parameter: Fraction(1, 4)}).fit(X, Y)
    same = MixtureOfExpertsRegressor(2, random_state=0, **{parameter: 0.25}).fit(X, Y)
    assert_array_equal(moe.predict(X), same.predict(X))


@pytest.mark.parametrize(
    "parameters", [{"expert": "tree"}, {"expert": DecisionTreeRegressor(max_depth=3)}, {"base": 1}]
)
def test_sparse_rows_may_have_indices_of_64_bits(parameters):
    if "base" in parameters:
        parameters = {"base": DecisionTreeRegressor(max_depth=3, random_state=0)}
    narrow = sparse.csr_array(np.where(np.abs(X) > 0.5, X, 0.0))
    wide = narrow.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    moe = MixtureOfExpertsRegressor(2, n_init=1, max_iter=5, random_state=0, **parameters)
    expected = quiet(moe, narrow, Y).predict(narrow)
    assert_array_equal(quiet(moe, wide, Y).predict(wide), expected)


def test_top_k_may_exceed_a_chosen_number_of_experts():
    moe = MixtureOfExpertsRegressor("auto", top_k=9, random_state=0).fit(X, Y)
    assert moe.n_experts_ < 9


@pytest.mark.parametrize(("kind", "shown"), [(str, "'no'"), (bytes, "b'no'")])
def test_a_text_is_shown_without_its_type_of_numpy(kind, shown):
    X = np.array([["1.5"], ["no"], ["2"]]).astype(kind)
    with pytest.raises(ValueError, match=f"column 0 holds {shown}"):
        MixtureOfExpertsRegressor(1).fit(X, np.zeros(3))


# --- bounds -------------------------------------------------------------------------------------

# A check, arguments at the bound that it accepts, and arguments beyond that it refuses.
BOUNDS = [
    (check_integer, [("n", 2, 2), ("n", 5, 2, 5)], [("n", 1, 2), ("n", 6, 2, 5)]),
    (
        check_real,
        [("a", 0.0), ("a", 0.5, 0.5, 2.0), ("a", 2.0, 0.5, 2.0)],
        [("a", -1e-300), ("a", 0.499, 0.5, 2.0), ("a", 2.001, 0.5, 2.0), ("a", np.inf)],
    ),
    (check_n_jobs, [(None,), (1,), (-1,)], [(0,), (True,), (1.0,)]),
    (check_enough_rows, [(3, 3)], [(4, 3)]),
    (check_two_classes, [(np.arange(2),)], [(np.arange(1),)]),
    (
        check_columns,
        [("c", [-3, 1], 3, None), ("c", [2], 3, None), ("c", [], 3, None, True)],
        [("c", [-4], 3, None), ("c", [3], 3, None), ("c", [], 3, None), ("c", [0, -3], 3, None)],
    ),
    (
        check_offset,
        [([MAX_OFFSET, -MAX_OFFSET], 2, 1), ([[0.0, 1.0]], 1, 2), ([0.0], 1, 2)],
        [([1.001 * MAX_OFFSET, 0.0], 2, 1), ([0.0, -1.001 * MAX_OFFSET], 2, 1), ([0.0], 2, 1)],
    ),
    (
        check_block_weights,
        [([0.0, 0.0], 2), ([0.5 * MAX_TOTAL_WEIGHT] * 2, 2)],
        [([-1e-300, 1.0], 2), ([0.51 * MAX_TOTAL_WEIGHT] * 2, 2), ([np.nan, 1.0], 2), ([1.0], 2)],
    ),
    (check_weights, [([0.0, 1e-300], 2)], [([0.0, 0.0], 2)]),
    (
        partial(check_target_size, whole=True),
        [(np.array([MAX_TARGET, 0.0]),), (np.array([0.0, -MIN_TARGET]),), (np.zeros(3),)],
        [(np.array([1.001 * MAX_TARGET]),), (np.array([0.0, 0.999 * MIN_TARGET]),)],
    ),
    (
        partial(check_target_size, whole=False),
        [(np.array([0.999 * MIN_TARGET]),), (np.array([MAX_TARGET]),)],
        [(np.array([-1.001 * MAX_TARGET]),)],
    ),
    (
        check_folds,
        [(3, 3, None, None), (3, 9, 3, None), (3, 9, None, 3)],
        [(4, 3, None, None), (4, 9, 3, None), (4, 9, None, 3)],
    ),
]


@pytest.mark.parametrize(("check", "accepted", "refused"), BOUNDS)
def test_checks_accept_their_bounds_and_nothing_beyond(check, accepted, refused):
    for arguments in accepted:
        check(*arguments)
    for arguments in refused:
        with pytest.raises(ValueError, match=r"must|more than|at least"):
            check(*arguments)


def test_negative_columns_count_from_the_last():
    assert_array_equal(check_columns("c", [-1, 0], 4, None), [3, 0])
    assert_array_equal(check_columns("c", [False, True, True], 3, None), [1, 2])
    assert_array_equal(check_columns("c", ["b"], 2, np.array(["a", "b"], dtype=object)), [1])


def test_labels_that_the_fit_has_not_seen_are_refused_wherever_they_are():
    classes = np.array([1, 3, 5])
    assert_array_equal(class_codes(np.array([5, 1, 3, 3]), classes), [2, 0, 1, 1])
    for label in (0, 2, 4, 6):
        with pytest.raises(ValueError, match=rf"seen in fit, \[1, 3, 5\]; got {label}"):
            class_codes(np.array([1, label]), classes)
