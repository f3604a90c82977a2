"""Explanations: derivatives of predictions, as a dict of arrays with names."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logit
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe.gates import SoftmaxGate
from skmoe.inspection import Explanation
from skmoe.recipes import mixture_of
from support.fits import (
    ALL_CASES,
    CLASSES,
    DISTINCT_CASES,
    OF_SERIES,
    X,
    Y,
    classifier,
    fit_quietly,
    is_routed,
    regressor,
    short_fit,
)
from support.refusals import assert_refused, refusal

ROWS = X[:7]
NAMES = ["price", "<i>age</i>"]
EXPERTS = ["small", "middle", "large <b>"]


def difference(function, j, step=1e-5):
    """Numerical derivative by the feature j."""
    move = step * (np.arange(X.shape[1]) == j)
    return (function(ROWS + move) - function(ROWS - move)) / (2.0 * step)


# --- derivatives ------------------------------------------------------------------------------

# Those whose experts have coefficients.
WITH_SLOPES = [
    case
    for case, moe in ((case, ALL_CASES[case][0]) for case in DISTINCT_CASES)
    if getattr(moe, "expert", "") == "linear"
    and not isinstance(moe.n_experts, str)
    and case not in OF_SERIES
]


@pytest.mark.parametrize("case", WITH_SLOPES)
def test_slope_and_gate_effect_sum_to_the_derivative_of_predict(case):
    moe = short_fit(case)
    explained = moe.explain(ROWS)
    gate, means = moe.predict_gate(ROWS), moe.predict_experts(ROWS)
    assert_array_equal(explained.gate, gate)
    assert_array_equal(explained.experts, means)
    is_classes = hasattr(moe, "classes_")

    def of_experts(rows):
        found = moe.predict_experts(rows)
        if moe.base is not None:  # a slope is that of the experts on top of the base
            found = found - moe.base_.predict(rows)[:, None]
        # Of two classes the log odds of the second.
        return logit(found[..., 1]) if is_classes else found

    has_effects = not is_classes and moe.base is None  # a base is a column of the gate
    assert ("gate_effect" in explained) == has_effects
    for j in range(X.shape[1]):
        expected = np.einsum("nk,nk...->n...", gate, difference(of_experts, j))
        scale = np.abs(explained.slope).max()
        assert_allclose(explained.slope[..., j], expected, rtol=1e-4, atol=1e-6 * scale)
        if has_effects and not is_routed(moe):
            total = explained.slope[..., j] + explained.gate_effect[..., j]
            expected = difference(moe.predict, j)
            assert_allclose(total, expected, rtol=1e-4, atol=1e-5 * max(scale, 1.0))


def test_gate_effects_are_those_of_features_only():
    """Not of columns that a transformer has made, be there as many."""
    gate = SoftmaxGate(transformer=StandardScaler())
    moe = fit_quietly(regressor(gate=gate, max_iter=3), X, Y)
    assert moe.gate_coef_.shape == (3, 2)
    assert set(moe.explain(ROWS)) == {"gate", "experts", "slope"}


BASES = {
    "base": ({}, Y),
    "base of two outputs": ({}, np.column_stack([Y, Y**2])),
    "base under a log link": ({"family": "gamma", "base": DummyRegressor()}, np.exp(Y)),
    "base of classes": ({"base": LogisticRegression()}, CLASSES),
}


@pytest.mark.parametrize("name", BASES)
def test_the_base_is_a_part_of_its_own(name):
    """Experts contain it, and derivatives leave it out."""
    options, y = BASES[name]
    make = classifier if name == "base of classes" else regressor
    moe = make(**{"base": Ridge(), "gate": "constant", "max_iter": 3} | options)
    explained = fit_quietly(moe, X, y).explain(ROWS)
    method = "predict" if make is regressor else "predict_proba"
    predict, of_base = getattr(moe, method), getattr(moe.base_, method)
    assert_allclose(explained.base, of_base(ROWS))
    assert_allclose(np.einsum("nk,nk...->n...", explained.gate, explained.experts), predict(ROWS))
    assert explained.to_frame("base").shape == (len(ROWS), explained.base[0].size)
    assert "base" in repr(explained)
    if isinstance(moe.base_, Ridge):
        for j in range(X.shape[1]):
            total = explained.slope[..., j] + difference(of_base, j)
            assert_allclose(total, difference(predict, j), rtol=1e-4, atol=1e-8)


def test_an_offset_moves_the_means():
    y = np.random.default_rng(0).poisson(np.exp(0.5 * X[:, 0] + 1.0)).astype(float)
    moe = fit_quietly(regressor(family="poisson", max_iter=3), X, y)
    plain, shifted = moe.explain(ROWS), moe.explain(ROWS, offset=np.full(len(ROWS), np.log(2.0)))
    assert_allclose(shifted.gate, plain.gate)
    for name in ("experts", "slope", "gate_effect"):
        assert_allclose(shifted[name], 2.0 * plain[name])


# --- a dict with names ------------------------------------------------------------------------


def named(case):
    """A fit on a frame, with names of experts, and its explanation."""
    _, y, given = ALL_CASES[case]
    rows = [f"r{i}" for i in range(len(X))]
    frame = pd.DataFrame(X, columns=NAMES, index=rows)
    moe = copy.copy(ALL_CASES[case][0]).set_params(max_iter=3, n_init=1)
    fit_quietly(moe, frame, y, **given).set_expert_names(EXPERTS)
    return moe, moe.explain(frame)


@pytest.mark.parametrize(
    ("case", "quantities"),
    [
        ("linear-regressor", ["gate", "experts", "slope", "gate_effect"]),
        ("outputs", ["gate", "experts", "slope", "gate_effect"]),
        ("linear-classifier", ["gate", "experts", "slope"]),
        ("trees", ["gate", "experts"]),
    ],
)
def test_the_frame_has_every_number_at_its_names(case, quantities):
    """Experts are on the second axis and responses on the third; features come after responses."""
    moe, explanation = named(case)
    assert isinstance(explanation, dict)
    assert isinstance(explanation, Explanation)
    assert list(explanation) == quantities
    assert repr(explanation) == f"Explanation of 300 rows: {', '.join(quantities)}"
    whole = explanation.to_frame()
    assert whole.columns.is_unique
    assert whole.shape == (len(X), sum(values[0].size for values in explanation.values()))
    responses = [str(c) for c in getattr(moe, "classes_", ())] or ["y0", "y1"]
    for quantity, values in explanation.items():
        assert getattr(explanation, quantity) is values
        assert quantity in dir(explanation)
        frame = explanation.to_frame(quantity)
        assert frame.index.tolist() == [f"r{i}" for i in range(len(X))]
        assert_array_equal(whole[quantity].to_numpy(), frame.to_numpy())
        of_experts = quantity in ("gate", "experts")
        for j, name in enumerate(EXPERTS if of_experts else NAMES):
            if values.ndim == 2:
                assert_array_equal(np.squeeze(frame[name].to_numpy()), values[:, j])
                continue
            for i, response in enumerate(responses):
                cell = values[:, j, i] if of_experts else values[:, i, j]
                assert_array_equal(frame[response, name], cell)


def test_what_an_explanation_lacks_is_no_attribute():
    explanation = short_fit("trees").explain(ROWS)
    assert not hasattr(explanation, "slope")
    with pytest.raises(AttributeError, match=r"no slope; it has \['gate', 'experts'\]"):
        _ = explanation.slope
    assert_refused(refusal(explanation.to_frame, "slope"), "what", "experts", "slope")


def test_explanations_of_dask_arrays_have_frames():
    array = pytest.importorskip("dask.array")
    moe = short_fit("linear-regressor")
    lazy = moe.explain(array.from_array(X, chunks=(100, 2)))
    pd.testing.assert_frame_equal(lazy.to_frame(), moe.explain(X).to_frame())


# --- columns of zeros and ones ----------------------------------------------------------------

INDICATOR = (X[:, :1] > 0.3).astype(float)
WITH_INDICATOR = np.hstack([INDICATOR, X[:, 1:]])


# Links, gates, outputs and slopes of every form.
INDICATED = ["linear-regressor", "linear-classifier", "poisson-regressor", "ordinal-regressor"]
INDICATED += ["constant gate", "outputs", "joint outputs", "routing", "shared slopes"]
INDICATED += ["slopes of some experts", "a list of families", "units", "base", "weights"]


@pytest.mark.parametrize("case", INDICATED)
def test_effects_of_an_indicator_are_the_change_from_zero_to_one(case):
    """Not a derivative at the row, which nonlinear means and gates do not have between them."""
    moe, y, given = ALL_CASES[case]
    moe = copy.copy(moe).set_params(max_iter=3, n_init=2)
    fit_quietly(moe, WITH_INDICATOR, y, **given)
    explained = moe.explain(WITH_INDICATOR[:7])
    if hasattr(moe, "classes_") or moe.base is not None:
        assert set(explained) >= {"gate", "experts", "slope"}
        return
    zero, one = (np.column_stack([np.full(7, value), X[:7, 1]]) for value in (0.0, 1.0))
    gate, other_gate = moe.predict_gate(zero), moe.predict_gate(one)
    means, other_means = moe.predict_experts(zero), moe.predict_experts(one)
    slope = np.einsum("nk,nk...->n...", 0.5 * (gate + other_gate), other_means - means)
    assert_allclose(explained.slope[..., 0], slope, rtol=1e-10, atol=1e-10)
    total = explained.slope[..., 0] + explained.gate_effect[..., 0]
    assert_allclose(total, moe.predict(one) - moe.predict(zero), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("other", [0.5, -1.0])
def test_a_column_with_another_value_has_derivatives(other):
    table = WITH_INDICATOR.copy()
    table[3, 0] = other
    moe = fit_quietly(regressor(family="lognormal", max_iter=3), table, np.exp(Y))
    explained, step = moe.explain(ROWS), np.array([1e-5, 0.0])
    derivative = (moe.predict(ROWS + step) - moe.predict(ROWS - step)) / 2e-5
    total = (explained.slope + explained.gate_effect)[:, 0]
    assert_allclose(total, derivative, rtol=1e-4)


def test_an_indicator_in_a_pipeline_is_one_of_its_input():
    pipeline = make_pipeline(StandardScaler(), regressor(n_experts=2, max_iter=3))
    fit_quietly(pipeline, WITH_INDICATOR, Y)
    found = mixture_of(pipeline).explain(WITH_INDICATOR[:7])
    zero, one = (np.column_stack([np.full(7, value), X[:7, 1]]) for value in (0.0, 1.0))
    change = pipeline.predict(one) - pipeline.predict(zero)
    assert_allclose((found.slope + found.gate_effect)[:, 0], change, rtol=1e-10, atol=1e-10)


# --- what must change ---------------------------------------------------------------------------


def test_the_nearest_change_makes_another_expert_as_probable():
    moe = fit_quietly(regressor(n_experts=3), X, Y)
    frame = moe.explain(ROWS).nearest_change()
    change = frame.drop(columns="expert").to_numpy()
    other = [moe.expert_names_.index(name) for name in frame["expert"]]
    own, index = moe.predict_gate(ROWS).argmax(axis=1), np.arange(len(ROWS))
    there = moe.predict_gate(ROWS + change)
    assert_allclose(there[index, other], there[index, own], rtol=1e-6)
    assert (there <= there[index, own][:, None] * (1.0 + 1e-6)).all()
    beyond = moe.predict_gate(ROWS + 1.01 * change)
    assert_array_equal(beyond.argmax(axis=1), other)
    # No shorter change, in standard deviations, leads to another expert.
    scale, rng = X.std(axis=0), np.random.default_rng(0)
    length = np.sqrt(np.square(change / scale).sum(axis=1))
    direction = rng.normal(size=(500, 1, X.shape[1]))
    direction /= np.sqrt(np.square(direction).sum(axis=-1, keepdims=True))
    for step in 0.999 * length[:, None] * direction * scale:
        assert_array_equal(moe.predict_gate(ROWS + step).argmax(axis=1), own)


def test_the_nearest_change_is_that_of_the_input_of_scalers():
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    piped = make_pipeline(StandardScaler().set_output(transform="pandas"), regressor(n_experts=2))
    of_input = mixture_of(fit_quietly(piped, frame, Y)).explain(frame[:7]).nearest_change()
    plain = fit_quietly(regressor(n_experts=2), frame, Y).explain(frame[:7]).nearest_change()
    assert_allclose(of_input.drop(columns="expert"), plain.drop(columns="expert"), rtol=1e-3)


def test_columns_of_zeros_and_ones_stay():
    table = np.column_stack([X[:, 0], np.median(Y) < Y])
    change = fit_quietly(regressor(n_experts=2), table, Y).explain(table[:5]).nearest_change()
    assert (change["x1"] == 0.0).all()
    assert np.isfinite(change["x0"]).all()


def test_gates_without_slopes_have_no_nearest_change():
    moe = fit_quietly(regressor(n_experts=2, gate="constant"), X, Y)
    assert_refused(refusal(moe.explain(ROWS).nearest_change), "nearest_change needs a gate")
