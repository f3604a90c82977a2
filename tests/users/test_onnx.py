"""Models in ONNX predict what the mixtures predict."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.export import register_converters, to_onnx
from skmoe.families import FAMILIES, StudentT
from skmoe.gates import ConstantGate, SoftmaxGate
from support.expert_kinds import GENERALIZED
from support.fits import CLASSES, fit_quietly, fitted_case, short_fit
from support.fits import X as TABLE
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

pytest.importorskip("skl2onnx")
runtime = pytest.importorskip("onnxruntime")

UNITS, SHIFTS = np.array([1.0, 100.0, 0.01]), np.array([0.0, 5000.0, 3.0])
X, Y = two_regimes(n_rows=120)
X = X * UNITS + SHIFTS
OUTPUTS = np.column_stack([Y, 1e4 + 100 * X[:, 2] ** 2])
CLASS_X, CODES = flipping_classes(n_rows=120, n_classes=3)
LABELS = np.array(["one", "two", "three"])[CODES]
SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 10, "random_state": 0}
REGRESSORS = {
    "outputs": ({}, OUTPUTS),
    "columns": ({"gate_features": [0], "expert_features": [2, 1]}, Y),
    "constant": ({"gate": "constant"}, Y),
    "routing": ({"n_experts": 4, "gate": SoftmaxGate(top_k=2)}, Y),
    "routing of outputs": ({"n_experts": 3, "gate": SoftmaxGate(top_k=1)}, OUTPUTS),
}
CLASSIFIERS = {
    "two": ({}, CODES % 2),
    "strings": ({}, LABELS),
    "objects": ({}, LABELS.astype(object)),
    "truth values": ({}, CODES > 0),
    "routing": ({"n_experts": 4, "gate": SoftmaxGate(top_k=1)}, CODES),
}


def regressor(**options):
    return MixtureOfExpertsRegressor(**SHORT | options)


def classifier(**options):
    return MixtureOfExpertsClassifier(**SHORT | options)


def predicted(onnx_model, rows):
    """What the runtime says of rows, an array or a dict of inputs."""
    session = runtime.InferenceSession(
        onnx_model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    inputs = rows if isinstance(rows, dict) else {session.get_inputs()[0].name: rows}
    return session.run(None, inputs)


def run(model, rows, **options):
    return predicted(to_onnx(model, rows[:1], **options), rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", REGRESSORS)
def test_means_are_those_of_the_regressor(case, dtype):
    options, y = REGRESSORS[case]
    moe = fit_quietly(regressor(**options), X, y)
    rows = X.astype(dtype)
    (found,) = run(moe, rows)
    assert found.dtype == dtype
    expected = moe.predict(rows).reshape(len(X), -1)
    assert found.shape == expected.shape
    scale = expected.std(axis=0)
    assert_allclose(found / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CLASSIFIERS)
def test_probabilities_and_labels_are_those_of_the_classifier(case, dtype):
    options, y = CLASSIFIERS[case]
    moe = fit_quietly(classifier(**options), CLASS_X, y)
    rows = CLASS_X.astype(dtype)
    labels, probs = run(moe, rows, options={"zipmap": False})
    expected = moe.predict_proba(rows)
    assert probs.dtype == dtype
    assert_allclose(probs, expected, atol=1e-5)
    assert labels.shape == (len(y),)
    first, second = np.sort(expected, axis=1)[:, [-1, -2]].T
    certain = first - second > 1e-4  # the rounding of single precision
    assert_array_equal(labels[certain], moe.predict(rows)[certain])


@pytest.mark.parametrize("name", GENERALIZED)
def test_every_family_is_converted_or_refused(name):
    moe = short_fit(f"{name}-regressor")
    if FAMILIES[name].link == "logit":
        assert_refused(refusal(to_onnx, moe, TABLE[:1]), "", "exponential or a linear")
        return
    (found,) = run(moe, TABLE)
    assert_allclose(found[:, 0], moe.predict(TABLE), rtol=1e-6, atol=1e-8)


FAR = np.concatenate([TABLE[:4] * factor for factor in (30.0, -30.0, 1e3, 1e6, 1e30)])
CONVERTED = [name for name in GENERALIZED if FAMILIES[name].link != "logit"]
CONVERTED = [f"{name}-regressor" for name in ["linear", *CONVERTED]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", [*CONVERTED, "linear-classifier", "a list of families"])
def test_means_are_those_of_the_mixture_far_from_the_data(case, dtype):
    """Predictors have the same bounds, and an expert of no weight may overflow."""
    moe, rows = short_fit(case), FAR.astype(dtype)
    options = {"options": {"zipmap": False}} if hasattr(moe, "classes_") else {}
    found, largest = run(moe, rows, **options)[-1], np.finfo(dtype).max
    expected = moe.predict_proba(rows) if options else moe.predict(rows)[:, None]
    assert_allclose(found, np.clip(expected, -largest, largest), rtol=2e-3, atol=1e-6)


class AboveT(StudentT):
    """Noise whose mean is its scale, so that the mean of y is not the linear predictor."""

    name = "above_t"

    def mean(self, eta):
        return eta[0] + np.exp(0.5 * eta[1])


def test_a_mean_above_the_linear_predictor_is_converted():
    for family in (AboveT(df=5), [AboveT(df=5), "normal"]):
        moe = fit_quietly(regressor(family=family), X, np.floor(3 * np.abs(Y)))
        assert_allclose(run(moe, X)[0][:, 0], moe.predict(X), rtol=1e-6, atol=1e-8)


def test_lists_of_families_are_converted_or_refused():
    counts = np.floor(3 * np.abs(Y))
    moe = fit_quietly(regressor(family=["negative_binomial", "poisson"]), X, counts)
    assert_allclose(run(moe, X)[0][:, 0], moe.predict(X), rtol=1e-6, atol=1e-8)
    values = np.clip(counts, 0, 3)
    moe = fit_quietly(regressor(family=["poisson", "ordinal"]), X, values)
    assert_refused(refusal(to_onnx, moe, X[:1]), "", "family is ['poisson', 'ordinal']: its mean")


@pytest.mark.parametrize(
    "names",
    [
        ("gamma", "normal"),
        ("poisson", "zero"),
        ("lognormal", "uniform", "student_t"),
        ("weibull", "normal"),
    ],
)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_exponentials_linear_functions_and_constants_stand_in_one_list(names, n_outputs):
    y = np.exp(Y / 2) if names[0] != "poisson" else np.floor(3 * np.abs(Y))
    if "zero" in names:
        y = y * (X[:, 1] > np.median(X[:, 1]))
    outputs = np.column_stack([y, 3.0 * y[::-1]][:n_outputs])
    options = {"family": list(names), "n_experts": len(names), "max_iter": 3}
    moe = fit_quietly(regressor(**options), X, outputs)
    (found,) = run(moe, X)
    assert_allclose(found, moe.predict(X).reshape(found.shape), rtol=1e-8, atol=1e-9)


def test_probabilities_come_by_class_as_in_skl2onnx():
    moe = fit_quietly(classifier(), CLASS_X, LABELS)
    _, probs = run(moe, CLASS_X.astype(np.float32))
    assert set(probs[0]) == {"one", "two", "three"}
    numbers, _ = run(moe, CLASS_X, options={"nocl": True, "zipmap": False})
    assert_array_equal(moe.classes_[numbers], moe.predict(CLASS_X))


@pytest.mark.parametrize("name", ["nocl", "output_class_labels"])
@pytest.mark.parametrize("value", [False, True])
def test_classifiers_take_the_options_of_skl2onnx(name, value):
    moe = fitted_case("linear-classifier")
    labels, probs, *_ = run(moe, TABLE, options={"zipmap": False, name: value})
    assert_allclose(probs, moe.predict_proba(TABLE), atol=1e-5)
    assert (labels == moe.predict(TABLE)).mean() > 0.99
    assert len(np.unique(CLASSES)) == probs.shape[1]


def test_integers_come_in_single_precision():
    counts = np.random.default_rng(0).integers(50, size=(120, 2))
    moe = fit_quietly(regressor(), counts, np.abs(counts[:, 0] - 25.0))
    (found,) = run(moe, counts)
    assert found.dtype == np.float32
    assert_allclose(found[:, 0], moe.predict(counts), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pipelines_are_converted_by_functions_of_skl2onnx(dtype):
    import skl2onnx

    register_converters()
    model = fit_quietly(make_pipeline(StandardScaler(), regressor()), X, Y)
    rows = X.astype(dtype)
    (found,) = predicted(skl2onnx.to_onnx(model, rows[:1]), {"X": rows})
    assert_allclose(found[:, 0], model.predict(rows), atol=1e-4 if dtype == np.float32 else 1e-9)


def test_names_of_experts_are_in_the_metadata_of_mixtures():
    def names(model):
        entries = [e.value for e in model.metadata_props if e.key == "skmoe.expert_names"]
        return [json.loads(entry) for entry in entries]

    moe = fitted_case("two experts")
    [found] = names(to_onnx(moe, TABLE[:1]))
    assert len(found) == 2
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(X, Y)
    assert names(to_onnx(pipeline, X[:1])) == []


def test_ties_in_the_routing_go_to_the_first():
    """Regimes that are far apart, of a half of the rows each, have equal probabilities."""
    regime = np.arange(120) % 2
    y = 100.0 * regime + (-1.0) ** regime * X[:, 1]
    options = {"dispersion_prior": 0.0, "alpha": 0.0, "init": np.eye(2)[regime], "max_iter": 5}
    moe = fit_quietly(regressor(n_experts=2, gate=ConstantGate(top_k=1), **options), X, y)
    assert np.ptp(moe.gate_intercept_) == 0.0
    assert np.ptp(moe.expert_intercept_) > 50.0
    assert_array_equal(moe.apply(X), 0)
    assert_allclose(run(moe, X)[0][:, 0], moe.predict(X), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_columns_of_a_data_frame_are_inputs_of_their_own(dtype):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(100, 3)).astype(dtype), columns=list("abc"))
    frame["whole"] = rng.integers(0, 5, size=100)
    y = np.where(frame.a > 0, frame.b, -frame.b) + 0.1 * frame.whole
    moe = fit_quietly(regressor(), frame, y)
    columns = {name: frame[[name]].to_numpy() for name in frame}
    (found,) = predicted(to_onnx(moe, frame[:1]), columns)
    atol = 1e-9 if dtype is np.float64 else 1e-4
    assert_allclose(found[:, 0], moe.predict(frame), atol=atol)


def test_initial_types_may_be_given():
    from skl2onnx.common.data_types import FloatTensorType

    frame = pd.DataFrame(CLASS_X, columns=["a", "b", "c"])
    moe = fit_quietly(classifier(), frame, CODES)
    model = to_onnx(moe, initial_types=[("X", FloatTensorType([None, 3]))])
    assert model.graph.output[0].name == "output_label"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centers_that_single_precision_does_not_hold(dtype):
    rng = np.random.default_rng(0)
    far = 1e7 + np.round(4.0 * rng.normal(size=(150, 2)))  # which single precision holds
    y = np.where(far[:, 0] > 1e7, 1.0, -1.0) * (far[:, 1] - 1e7) + 0.1 * rng.normal(size=150)
    center = far.mean(axis=0)
    assert np.abs(center - center.astype(np.float32)).max() > 0.1
    moe = fit_quietly(regressor(), far, y)
    assert_allclose(run(moe, far.astype(dtype))[0].ravel(), moe.predict(far), atol=1e-3)


def test_one_row_far_from_the_others_costs_no_digits():
    rng = np.random.default_rng(0)
    year = np.round(2005.0 + 8.0 * rng.normal(size=400))
    x = rng.normal(size=400).astype(np.float32).astype(float)
    y = np.where(year > 2005, x, -x) + 0.1 * rng.normal(size=400)
    year[0] = 0.0
    rows = np.column_stack([year, x])
    moe = fit_quietly(regressor(max_iter=30), rows, y)
    assert_allclose(run(moe, rows.astype(np.float32))[0][:, 0], moe.predict(rows), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expert": "tree", "max_iter": 2}, "; expert is 'tree': "),
        ({"base": Ridge()}, "base is"),
        ({"gate": SoftmaxGate(transformer=SplineTransformer())}, "gate.transformer is"),
    ],
)
def test_what_has_no_form_is_refused(options, words):
    assert_refused(refusal(to_onnx, fit_quietly(regressor(**options), X, Y), X[:1]), "", words)


def test_what_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        to_onnx(MixtureOfExpertsRegressor(), X[:1])


@pytest.mark.parametrize("call", [register_converters, lambda: to_onnx(None)])
def test_skl2onnx_is_named_if_it_is_missing(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    assert_refused(refusal(call), "", "skl2onnx", 'pip install "skmoe[onnx]"')
