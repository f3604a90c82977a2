"""Explanations are derivatives of predictions, and targets of refits are draws from them."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cases import ALL_CASES, X, Y, regressor, short_fit
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin

from skmoe._data.rows import UserRows
from skmoe._estimators.refits import _sample_experts, _without_feature_names, draw_target
from skmoe._inference.bootstrap import bootstrap_rows
from skmoe._inference.explanation import Explanation, mean_derivatives

ROWS = X[:7]
STEP = 1e-5


def difference(function, j):
    """Numerical derivative by the feature j."""
    move = STEP * (np.arange(X.shape[1]) == j)
    return (function(ROWS + move) - function(ROWS - move)) / (2.0 * STEP)


# Those whose experts have coefficients, which cost little.
CASES = [
    case
    for case, (moe, *_) in ALL_CASES.items()
    if moe.expert == "linear" and not isinstance(moe.n_experts, str)
]


@pytest.mark.parametrize("case", CASES)
def test_an_explanation_is_a_derivative_of_the_predictions(case):
    moe = short_fit(case)
    explained = moe.explain(ROWS)
    gate, means = moe.predict_gate(ROWS), moe.predict_experts(ROWS)
    assert_array_equal(explained["gate"], gate)
    assert_array_equal(explained["experts"], means)
    is_classes = hasattr(moe, "classes_")

    def of_experts(rows):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = moe.predict_experts(rows)
        if moe.base is not None:  # a slope is that of the experts on top of the base
            found = found - moe.base_.predict(rows)[:, None]
        # Of two classes the log odds of the second.
        return logit(found[..., 1]) if is_classes else found

    for j in range(X.shape[1]):
        expected = np.einsum("nk,nk...->n...", gate, difference(of_experts, j))
        assert_allclose(explained["slope"][..., j], expected, rtol=1e-4, atol=1e-6)
        if "gate_effect" in explained and moe.top_k is None:
            total = explained["slope"][..., j] + explained["gate_effect"][..., j]
            expected = difference(moe.predict, j)
            assert_allclose(total, expected, rtol=1e-4, atol=1e-6)
    assert not is_classes or "gate_effect" not in explained


@pytest.mark.parametrize("shape", [(4, 2), (4, 3, 2), (4, 2, 3)])
@pytest.mark.parametrize("quantity", ["gate", "experts", "slope", "gate_effect"])
def test_frames_of_explanations_have_each_number_at_its_names(quantity, shape):
    """Experts are on the second axis and responses on the third; features come after responses."""
    of_experts = quantity in ("gate", "experts")
    experts, features = ["one", "two", "three"], ["a", "b", "c"]
    names = experts if of_experts else features
    responses = ["r0", "r1", "r2"]
    values = np.random.default_rng(0).normal(size=shape)
    position = 1 if of_experts else -1
    names = names[: shape[position]]
    responses = responses[: shape[2 if of_experts else 1]] if len(shape) == 3 else [""]
    result = Explanation(
        {"gate": np.zeros((4, len(experts)))} | {quantity: values},
        expert_names=names if of_experts else experts,
        feature_names=features if of_experts else names,
        response_names=responses,
        index=list("wxyz"),
    )
    frame = result.to_frame(quantity)
    assert frame.index.tolist() == list("wxyz")
    assert frame.shape == (4, values[0].size)
    for i, response in enumerate(responses):
        for j, name in enumerate(names):
            key = name if len(shape) == 2 else (response, name)
            cell = (slice(None), j) if len(shape) == 2 else (slice(None), j, i)
            if len(shape) == 3 and not of_experts:
                cell = (slice(None), i, j)
            assert_array_equal(frame[key], values[cell])
    assert_array_equal(getattr(result, quantity), values)
    assert quantity in dir(result)
    with pytest.raises(AttributeError, match="this explanation has no effect"):
        result.effect  # noqa: B018


# --- targets that are drawn -----------------------------------------------------------------------


class Numbers:
    """A generator of given uniform numbers."""

    def __init__(self, numbers):
        self.numbers = np.asarray(numbers)

    def uniform(self, size):
        return self.numbers.reshape(size)


class Drawn(BaseEstimator):
    """A mixture whose draws are the experts that they are asked from, and the offset."""

    def __init__(self, gate):
        self.gate = gate

    def predict_gate(self, X, units):
        return self.gate[units]

    def sample(self, X, n_samples, rng, offset=0.0, gate_proba=None):
        drawn = np.zeros(len(X)) if gate_proba is None else gate_proba.argmax(axis=1)
        return (drawn + 10.0 * np.asarray(offset))[:, None]


class DrawnClasses(ClassifierMixin, Drawn):
    classes_ = np.array(["a", "b"])

    def predict_proba(self, X, gate_proba=None):
        return np.eye(2)[gate_proba.argmax(axis=1) % 2]


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1, 2], [2, 0, 1, 0, 1, 1]])
def test_rows_of_a_unit_are_drawn_from_one_expert_by_its_probability(labels):
    gate = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0], [0.6, 0.3, 0.1]])
    units, numbers = np.array(labels), np.array([0.45, 0.7, 0.95])
    # The first expert at which the sum of the probabilities is not below the number.
    expected = np.array([1, 1, 2])[units]
    proba = _sample_experts(Drawn(gate), X[:6], units, Numbers(numbers))
    assert_array_equal(proba, np.eye(3)[expected])
    given = {"units": units, "offset": np.arange(6.0)}
    drawn = draw_target(Drawn(gate), X[:6], given, Numbers(numbers))
    assert_array_equal(drawn, expected + 10.0 * np.arange(6))
    assert_array_equal(draw_target(Drawn(gate), X[:6], {}, None), np.zeros(6))


def test_classes_are_drawn_by_their_labels():
    model, units = DrawnClasses(np.eye(2)), np.array([0, 1, 1])

    class Constant:
        def uniform(self, size):
            return np.full(size, 0.5)

    drawn = draw_target(model, X[:3], {"units": units}, Constant())
    assert drawn.tolist() == ["a", "b", "b"]


def test_copies_without_names_have_the_columns_by_number():
    frame = pd.DataFrame(X, columns=["a", "b"])
    options = {"gate_features": ["b"], "expert_features": ["b", "a"], "n_init": 1, "max_iter": 3}
    moe = quiet(regressor(**options), frame, Y)
    copy = _without_feature_names(moe)
    assert not hasattr(copy, "feature_names_in_")
    assert moe.feature_names_in_.tolist() == ["a", "b"]
    assert moe.gate_features == ["b"]
    assert_array_equal(copy.gate_features, [1])
    assert_array_equal(copy.expert_features, [1, 0])
    assert copy.shared_features is None
    assert_allclose(copy.predict(X), moe.predict(frame))
    plain = quiet(regressor(n_init=1, max_iter=3), X, Y)
    assert _without_feature_names(plain).gate_features is None
    assert _without_feature_names(plain) is not plain


@pytest.mark.parametrize("whole", [True, False])
def test_rows_of_whole_weight_are_drawn_as_often(whole):
    weight = np.array([2.0, 1.0, 0.0, 3.0]) + (0.0 if whole else 0.5)
    offset, units = np.arange(8.0).reshape(2, 4), np.array([0, 0, 1, 1])
    rows = UserRows(X[:4], None, weight, offset, units)
    found = bootstrap_rows(rows)
    assert found.of_fit is rows
    index = np.repeat(np.arange(4), [2, 1, 0, 3]) if whole else np.arange(4)
    assert_array_equal(found.drawn_X, X[:4][index])
    assert_array_equal(found.drawn_offset, offset[:, index])
    assert_array_equal(found.drawn_units, units[index])
    assert (found.drawn_weight is None) == whole
    plain = bootstrap_rows(rows._replace(offset=None, units=None))
    assert plain.drawn_offset is None
    assert plain.drawn_units is None


def test_an_explanation_of_a_stub_names_its_rows():
    result = Explanation(
        {"gate": np.zeros((3, 2)), "slope": np.ones((3, 1))},
        expert_names=["a", "b"],
        feature_names=["f"],
        response_names=[""],
    )
    lines = repr(result).splitlines()
    assert lines[0] == "Explanation of 3 rows"
    assert [line.split()[0] for line in lines[1:]] == ["gate", "slope"]
    assert [line.split("  ")[-1] for line in lines[1:]] == ["a, b", "f"]
    assert len({line.index(" x ") for line in lines[1:]}) == 1
    assert SimpleNamespace(**result).gate.shape == (3, 2)


def test_a_derivative_that_is_not_given_is_that_of_the_identity():
    """In the units of the target, as those that are given."""
    moe = short_fit("outputs")
    preprocessor, params = moe._fitted.preprocessor, moe._fitted.params
    means = np.random.default_rng(0).normal(size=(3, 2, len(X)))
    scale = preprocessor.target_scaling.scale[:, None]
    for given, expected in ((None, np.ones_like(means)), (means, means)):
        experts = SimpleNamespace(
            mean_derivative=lambda params, design, given=given: given,
            mean=lambda params, design: means,
        )
        mixture = SimpleNamespace(
            preprocessor=preprocessor, params=params, model=SimpleNamespace(experts=experts)
        )
        assert_allclose(mean_derivatives(mixture, X, None), scale * expected)
