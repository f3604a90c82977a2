"""Every mistake gets one clear error that names the parameter, the rule, the value and the remedy,
and leaves what was fitted before as it was."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from scipy import sparse
from sklearn.exceptions import NotFittedError

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
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
    ({"n_experts": 121}, "n_experts must not exceed the number of distinct rows"),
    (
        {"expert": "trees"},
        "expert must be one of ['linear', 'poisson', 'tree'], a scikit-learn estimator or a",
    ),
    (
        {"expert": None},
        "expert must be one of ['linear', 'poisson', 'tree'], a scikit-learn estimator or a",
    ),
    ({"expert": ["linear", "tree"]}, "one entry for each of the n_experts=4 experts; got 2"),
    ({"cross_fit": 1}, 'cross_fit must be "auto", "oob", False or an integer of at least 2; got 1'),
    ({"top_k": 0}, "top_k must be an integer of at least 1; got 0"),
    ({"top_k": 5}, "top_k must not exceed n_experts=4; got 5"),
    ({"balance": -1.0}, "balance must be a finite number of at least 0; got -1.0"),
    ({"gate": "sofmax"}, "gate must be one of ['constant', 'softmax'] or an object"),
    ({"gate": 3}, "gate must be one of ['constant', 'softmax'] or an object"),
    ({"gate": SoftmaxGate}, "gate must be one of ['constant', 'softmax'] or an object"),
    ({"alpha": -1.0}, "alpha must be a finite number of at least 0; got -1.0"),
    ({"alpha": np.nan}, "alpha must be a finite number of at least 0; got nan"),
    ({"alpha": "1"}, "alpha must be a finite number of at least 0; got '1'"),
    ({"gate_alpha": -0.1}, "gate_alpha must be a finite number of at least 0; got -0.1"),
    (
        {"init": "k-means"},
        "init must be one of ['auto', 'kmeans', 'linear_tree', 'random', 'tree']",
    ),
    ({"init": None}, "init must be one of ['auto', 'kmeans', 'linear_tree', 'random', 'tree']"),
    ({"init": np.ones((120, 3)) / 3}, "init as an array must have shape (n_samples, n_experts)"),
    ({"init": np.ones((120, 4))}, "rows that sum to 1; row 0 sums to 4"),
    ({"init": np.tile([2.0, -1, 0, 0], (120, 1))}, "non-negative responsibilities"),
    ({"n_init": 0}, "n_init must be an integer of at least 1; got 0"),
    ({"max_iter": 0}, "max_iter must be an integer of at least 1; got 0"),
    ({"tol": -1e-3}, "tol must be a finite number of at least 0; got -0.001"),
    ({"warm_start": "yes"}, "warm_start must be True or False; got 'yes'"),
    ({"verbose": -1}, "verbose must be an integer of at least 0; got -1"),
    ({"gate_features": []}, "gate_features must not be empty"),
    ({"gate_features": ["age"]}, "gate_features holds column names, but X has none"),
    ({"gate_features": [3]}, "gate_features must hold column indices of X, from 0 to 2; got 3"),
    ({"gate_features": [0, 0]}, "gate_features must not name a feature twice"),
    ({"gate_features": [True, False]}, "must have one entry for each of the 3 features; got 2"),
    ({"gate_features": [False] * 3}, "gate_features must not be empty"),
    ({"gate_features": [0.5]}, "gate_features must be None, column names, column indices"),
    ({"expert_features": [[0, 1]]}, "expert_features must be one-dimensional"),
]


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
def test_bad_parameters(make, parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**parameters).fit(X, target(make))


@pytest.mark.parametrize(
    ("make", "parameters", "message"),
    [
        (BOTH[0], {"variance": "each"}, "variance must be one of ['per_expert', 'shared']"),
        (BOTH[0], {"variance_prior": -1}, "variance_prior must be a finite number of at least 0"),
        (BOTH[1], {"class_weight": "even"}, 'class_weight must be None, "balanced" or a dict'),
        (BOTH[1], {"class_weight": {0: -1.0, 1: 1.0}}, "class_weight must give finite"),
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


def test_sparse_input_with_holes_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        MixtureOfExpertsRegressor().fit(sparse.csr_array(spoiled(np.nan)), Y)


@pytest.mark.parametrize("estimator", BOTH)
def test_missing_values_have_a_remedy_of_this_package(estimator):
    holes = np.where(np.arange(X.size).reshape(X.shape) == 5, np.nan, X)
    with pytest.raises(ValueError, match="X contains NaN") as caught:
        estimator(2).fit(holes, CLASSES)
    assert 'expert="tree"' in caught.value.__notes__[0]
    quiet(estimator(2, expert="tree", random_state=0, n_init=1, max_iter=5), holes, CLASSES)
