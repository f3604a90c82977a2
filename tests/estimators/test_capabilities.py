"""What an estimator can do with its parameters: streams, row blocks, units."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.experts import LinearExperts
from skmoe.families import Uniform
from skmoe.gates import ConstantGate, SoftmaxGate
from skmoe.stacking import GatedStackingClassifier
from support.fits import X as ALL_X
from support.fits import Y as ALL_Y
from support.fits import fit_quietly
from support.refusals import assert_fit_refused, assert_refused, refusal

N_ROWS = 60
X, Y = ALL_X[:N_ROWS], ALL_Y[:N_ROWS]
CLASSES = np.where(Y > 0, "high", "low")
UNITS = np.arange(N_ROWS) // 2
OPTIONS = {"n_experts": 2, "n_init": 1, "max_iter": 2, "random_state": 0}
OPTIONS |= {"alpha": 0.1, "gate_alpha": 1.0}


def regressor(**options):
    return MixtureOfExpertsRegressor(**OPTIONS | options)


def blocks(*given):
    return RowBlocks(lambda: iter([given]))


# --- rows in blocks and streams ---------------------------------------------------------------

TRANSFORMED = SoftmaxGate(transformer=StandardScaler())

# Parameters, and whether rows may be blocks, and a stream: a method that is there, or works.
ROWS_IN_PARTS = [
    ({}, True, True, True),
    ({"family": "student_t"}, True, True, True),
    ({"family": Uniform(low=(-50.0,), high=(50.0,))}, True, True, True),
    ({"expert": LinearExperts()}, True, True, True),
    ({"gate": "constant"}, True, True, True),
    ({"init": np.full((N_ROWS, 2), 0.5)}, False, True, True),
    ({"family": Uniform()}, False, True, False),
    ({"gate": TRANSFORMED}, False, False, False),
    ({"n_experts": "bic"}, False, False, False),
    ({"base": Ridge()}, False, False, False),
    ({"expert": Ridge()}, False, False, False),
    ({"expert": ["linear", "linear"]}, False, False, False),
]


@pytest.mark.parametrize(("options", "in_blocks", "has_method", "in_streams"), ROWS_IN_PARTS)
def test_rows_come_in_parts_where_the_estimator_allows_it(
    options, in_blocks, has_method, in_streams
):
    """What is refused, and why, is in the table of conflicts."""
    moe = regressor(**options)
    if in_blocks:
        assert np.isfinite(fit_quietly(clone(moe), blocks(X, Y)).predict(X)).all()
    else:
        assert " cannot be used with " in refusal(clone(moe).fit, blocks(X, Y))
    assert hasattr(moe, "partial_fit") == has_method
    if in_streams:
        assert np.isfinite(moe.partial_fit(X, Y).predict(X)).all()
    elif has_method:
        assert " cannot be used with " in refusal(moe.partial_fit, X, Y)


def test_classes_of_a_stream_have_known_weights():
    for weights, known in ((None, True), ({"low": 1.0, "high": 2.0}, True), ("balanced", False)):
        moe = MixtureOfExpertsClassifier(**OPTIONS, class_weight=weights)
        assert hasattr(moe, "partial_fit") == known


def test_classes_of_a_stream_stay_those_of_its_first_batch():
    moe = MixtureOfExpertsClassifier(**OPTIONS)
    for classes in (None, ["low"], ["low", "low"]):
        assert "class" in refusal(moe.partial_fit, X, CLASSES, classes=classes)
    moe.partial_fit(X, CLASSES, classes=["low", "high", "other", "low"])
    assert moe.classes_.tolist() == ["high", "low", "other"]
    for same in (None, ["low", "other", "high", "high"]):
        moe.partial_fit(X, CLASSES, classes=same)
    for other in (["low", "high"], ["low", "high", "others"]):
        message = refusal(moe.partial_fit, X, CLASSES, classes=other)
        assert_refused(message, "classes", "first call", other, "clone")


def test_the_number_of_experts_of_a_stream_stays():
    moe = regressor().partial_fit(X, Y)
    for other in (1, 3):
        message = refusal(moe.set_params(n_experts=other).partial_fit, X, Y)
        assert_refused(message, "n_experts", "stay 2", other, "clone")
    moe = fit_quietly(regressor(expert="tree"), X, Y).set_params(expert="linear")
    assert_refused(
        refusal(moe.partial_fit, X, Y), "partial_fit continues", "linear experts", "clone"
    )


@pytest.mark.parametrize("half_life", [0, 0.0, -5, "long", [1.0], np.nan, np.inf])
def test_a_half_life_is_a_positive_number_of_rows(half_life):
    moe = regressor()
    message = refusal(moe.partial_fit, X, Y, half_life=half_life)
    assert_refused(message, "half_life", "positive number of rows", half_life, "half_life=1000")
    assert not hasattr(moe, "weights_")
    later = moe.partial_fit(X, Y)
    before = later.predict(X)
    assert_refused(refusal(later.partial_fit, X, Y, half_life=half_life), "half_life")
    assert_array_equal(later.predict(X), before)


def test_an_infinite_past_is_that_of_no_half_life():
    """Rows count half after so many rows; a huge number is the same as None."""
    fits = [
        regressor().partial_fit(X, Y).partial_fit(X[:20] + 1.0, Y[:20], half_life=h)
        for h in (None, 1e300, 10)
    ]
    assert_allclose(fits[1].predict(X), fits[0].predict(X), rtol=1e-10)
    assert not np.allclose(fits[2].predict(X), fits[0].predict(X), rtol=1e-3)


# --- units ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "given", "name", "words"),
    [
        ({"gate": "constant"}, {"units": np.zeros(N_ROWS)}, "units", ["two", "got one"]),
        (
            {"gate": "constant"},
            {"units": UNITS, "sample_weight": UNITS == 3},
            "units",
            ["positive weight", "3"],
        ),
        (
            {"gate": "constant", "n_experts": 3},
            {"units": UNITS, "sample_weight": UNITS < 2},
            "n_experts",
            ["units", "2"],
        ),
        ({}, {"units": UNITS}, "gate_features", ["constant", "'x0'", 'gate="constant"']),
        ({"gate_features": [1]}, {"units": UNITS}, "gate_features", ["constant", "'x1'"]),
        ({"gate": "constant"}, {"units": UNITS[:-1]}, "units", [str(N_ROWS)]),
        ({"gate": "constant"}, {"units": UNITS[:, None]}, "units", ["dimension"]),
        ({"gate": "constant"}, {"units": ["a", None] * (N_ROWS // 2)}, "units", ["one kind"]),
    ],
)
def test_units_of_a_fit_are_several_with_constant_gate_features(options, given, name, words):
    assert_fit_refused(regressor(**options), (X, Y), name, *words, **given)


def test_gate_features_may_vary_where_they_are_not_used():
    moe = fit_quietly(regressor(gate=ConstantGate()), X, Y, units=UNITS)
    fit_quietly(clone(moe), blocks(X, Y, None, None, UNITS))
    probs = moe.predict_gate(X, units=UNITS)
    assert_allclose(probs[::2], probs[1::2], atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "first"])
def test_gate_features_are_constant_after_the_remedy_of_the_message(reduction):
    frame = pd.DataFrame(X, columns=["age", "income"])
    moe = regressor(gate_features=[0])
    remedy = "df.groupby(unit)['age'].transform('mean')"
    assert_fit_refused(moe, (frame, Y), "gate_features", "'age'", "unit 0", remedy, units=UNITS)
    reduced = frame.assign(age=frame.groupby(UNITS)["age"].transform(reduction))
    probs = fit_quietly(moe, reduced, Y, units=UNITS).predict_gate(reduced, units=UNITS)
    assert_array_equal(probs[::2], probs[1::2])
    assert np.ptp(probs[:, 0]) > 0.01
    fit_quietly(moe, blocks(reduced.to_numpy(), Y, None, None, UNITS))
    assert np.ptp(moe.predict_gate(reduced.to_numpy(), units=UNITS)[:, 0]) > 0.01


def test_units_of_row_blocks_are_together():
    moe = regressor(gate="constant")
    message = refusal(moe.fit, blocks(X, Y, None, None, np.append(UNITS[1:], 0)))
    assert_refused(message, "block 0: units", "next to each other", "unit 0", "Sort")
    message = refusal(regressor().fit, blocks(X, Y, None, None, UNITS))
    assert_refused(message, "block 0: gate_features", "constant", "'x0'")


def test_initial_responsibilities_of_units_are_those_of_all_their_rows():
    first = np.where(UNITS % 2, 0.2, 0.7)
    init = np.column_stack([first, 1.0 - first])
    moe = regressor(gate="constant")
    fit_quietly(clone(moe).set_params(init=init), X, Y, units=UNITS)
    fit_quietly(clone(moe).set_params(init=init[:, ::-1]), X, Y, units=UNITS)
    other = init.copy()
    other[7] = [0.5, 0.5]
    moe = clone(moe).set_params(init=other)
    assert_fit_refused(moe, (X, Y), "init", "row 7", "unit 3", "Average", units=UNITS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[1:], ["shape", f"({N_ROWS}, 2)"]),
        (lambda p: np.column_stack([p, 0 * p[:, 0]]), ["shape", f"({N_ROWS}, 3)"]),
        (lambda p: np.where(np.arange(N_ROWS)[:, None] == 4, [0.2, 0.7], p), ["row 4", "Divide"]),
        (lambda p: np.where(np.arange(N_ROWS)[:, None] == 4, [1.2, -0.2], p), ["row 4"]),
        (lambda p: np.where(np.arange(N_ROWS)[:, None] == 4, [np.nan, 1.0], p), ["row 4"]),
        (lambda p: np.where(np.arange(N_ROWS)[:, None] == 4, [np.inf, 0.0], p), ["row 4"]),
    ],
)
def test_given_probabilities_of_experts_are_checked(change, words):
    moe = fit_quietly(regressor(), X, Y)
    proba = moe.predict_gate(X)
    own, slightly = (moe.predict_dist(X, gate_proba=p).mean for p in (proba, proba * (1 + 9e-7)))
    assert_allclose(slightly, own, rtol=1e-12)
    assert_refused(refusal(moe.predict_dist, X, gate_proba=change(proba)), "gate_proba", *words)


# --- methods of regressors --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["predict_dist", "predict_interval", "predict_quantile"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: MixtureOfExpertsClassifier(**OPTIONS),
        lambda: GatedStackingClassifier([("one", DecisionTreeClassifier())]),
    ],
)
def test_classifiers_name_what_they_have_in_place_of_methods_of_regressors(make, name):
    moe = make()
    words = f"has no {name}", "predict_proba", "family='ordinal'"
    assert_refused(refusal(getattr, moe, name), type(moe).__name__, *words)
    assert not hasattr(moe, name)
    assert not hasattr(clone(moe), name)
