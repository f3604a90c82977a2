"""Models in ONNX predict what the mixtures predict."""

import json
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.export import register_converters, to_onnx
from skmoe.families import FAMILIES, StudentT
from skmoe.gates import ConstantGate, SoftmaxGate
from support.expert_kinds import GENERALIZED
from support.fits import X as TABLE
from support.fits import fit_quietly, fitted_case, short_fit
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

skl2onnx = pytest.importorskip("skl2onnx")
runtime = pytest.importorskip("onnxruntime")

UNITS, SHIFTS = np.array([1.0, 100.0, 0.01]), np.array([0.0, 5000.0, 3.0])
X, Y = two_regimes(n_rows=120)
X = X * UNITS + SHIFTS
OUTPUTS = np.column_stack([Y, 1e4 + 100 * X[:, 2] ** 2])
COUNTS = np.floor(3 * np.abs(Y))
CLASS_X, CODES = flipping_classes(n_rows=120, n_classes=3)
LABELS = np.array(["one", "two", "three"])[CODES]
SHORT = {"n_experts": 2, "n_init": 1, "max_iter": 10, "random_state": 0}


class AboveT(StudentT):
    """Noise whose mean is its scale, so that the mean of y is not the linear predictor."""

    name = "above_t"

    def mean(self, eta):
        return eta[0] + np.exp(0.5 * eta[1])


def families(*names):
    return {"family": list(names), "n_experts": len(names), "max_iter": 3}


POSITIVE = np.exp(Y / 2)
# Options of a regressor and its target.
REGRESSORS = {
    "outputs": ({}, OUTPUTS),
    "columns": ({"gate_features": [0], "expert_features": [2, 1]}, Y),
    "constant": ({"gate": "constant"}, Y),
    "routing": ({"n_experts": 4, "gate": SoftmaxGate(top_k=2)}, Y),
    "routing of outputs": ({"n_experts": 3, "gate": SoftmaxGate(top_k=1)}, OUTPUTS),
    "a mean above the predictor": ({"family": AboveT(df=5)}, COUNTS),
    "a list with a mean above": ({"family": [AboveT(df=5), "normal"]}, COUNTS),
    "a list of counts": (families("negative_binomial", "poisson"), COUNTS),
    "exponential, linear": (families("gamma", "normal"), POSITIVE),
    "exponential, constant": (families("poisson", "zero"), COUNTS * (X[:, 1] > 5000.0)),
    "exponential, constant, linear": (families("lognormal", "uniform", "student_t"), POSITIVE),
    "lists of outputs": (
        families("weibull", "normal"),
        np.column_stack([POSITIVE, 3.0 * POSITIVE[::-1]]),
    ),
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


BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@cache
def fitted(case, is_regressor):
    """A fit that tests read only, and its features."""
    make, cases, features = (
        (regressor, REGRESSORS, X) if is_regressor else (classifier, CLASSIFIERS, CLASS_X)
    )
    options, y = cases[case]
    return fit_quietly(make(**options), features, y), features


@BOTH
@pytest.mark.parametrize("case", REGRESSORS)
def test_means_are_those_of_the_regressor(case, dtype):
    moe, rows = fitted(case, is_regressor=True)
    rows = rows.astype(dtype)
    (found,) = run(moe, rows)
    expected = moe.predict(rows).reshape(found.shape)
    scale = expected.std(axis=0)
    assert found.dtype == dtype
    assert_allclose(found / scale, expected / scale, atol=1e-5 if dtype == np.float32 else 1e-7)


@BOTH
@pytest.mark.parametrize("case", CLASSIFIERS)
def test_probabilities_and_labels_are_those_of_the_classifier(case, dtype):
    moe, rows = fitted(case, is_regressor=False)
    rows = rows.astype(dtype)
    labels, probs = run(moe, rows, options={"zipmap": False})
    expected = moe.predict_proba(rows)
    assert probs.dtype == dtype
    assert_allclose(probs, expected, atol=1e-5)
    assert labels.shape == (len(rows),)
    first, second = np.sort(expected, axis=1)[:, [-1, -2]].T
    certain = first - second > 1e-4  # the rounding of single precision
    assert_array_equal(labels[certain], moe.predict(rows)[certain])
    if case == "strings" and dtype == np.float32:  # by class, as in skl2onnx, and by number
        assert set(run(moe, rows)[1][0]) == set(moe.classes_)
        numbers, _ = run(moe, rows, options={"nocl": True, "zipmap": False})
        assert_array_equal(moe.classes_[numbers][certain], labels[certain])
        named, *_ = run(moe, rows, options={"output_class_labels": True, "zipmap": False})
        assert_array_equal(named, labels)


FAR = np.concatenate([TABLE[:4] * factor for factor in (30.0, -30.0, 1e3, 1e6, 1e30)])
CONVERTED = [f"{name}-regressor" for name in GENERALIZED if FAMILIES[name].link != "logit"]
CONVERTED += ["linear-regressor", "linear-classifier", "a list of families"]


@BOTH
@pytest.mark.parametrize("case", CONVERTED)
def test_means_of_every_family_are_those_of_the_mixture_also_far_from_the_data(case, dtype):
    """Predictors have the same bounds, and an expert of no weight may overflow."""
    moe, largest = short_fit(case), np.finfo(dtype).max
    options = {"options": {"zipmap": False}} if is_classifier(moe) else {}
    for rows, rtol in ((TABLE, 1e-4 if dtype == np.float32 else 1e-6), (FAR, 2e-3)):
        rows = rows.astype(dtype)
        found = run(moe, rows, **options)[-1]
        expected = moe.predict_proba(rows) if options else moe.predict(rows)[:, None]
        assert_allclose(found, np.clip(expected, -largest, largest), rtol=rtol, atol=2e-6)


@BOTH
def test_pipelines_are_converted_by_functions_of_skl2onnx(dtype):
    register_converters()
    model = fit_quietly(make_pipeline(StandardScaler(), regressor()), X, Y)
    rows = X.astype(dtype)
    (found,) = predicted(skl2onnx.to_onnx(model, rows[:1]), {"X": rows})
    assert_allclose(found[:, 0], model.predict(rows), atol=1e-4 if dtype == np.float32 else 1e-9)


def test_names_of_experts_are_in_the_metadata_of_mixtures():
    def names(model):
        entries = [e.value for e in model.metadata_props if e.key == "skmoe.expert_names"]
        return [json.loads(entry) for entry in entries]

    [found] = names(to_onnx(fitted_case("two experts"), TABLE[:1]))
    assert len(found) == 2
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(X, Y)
    assert names(to_onnx(pipeline, X[:1])) == []


def test_ties_in_the_routing_go_to_the_first():
    """Regimes that are far apart, of a half of the rows each, have equal probabilities."""
    regime = np.arange(120) % 2
    y = 100.0 * regime + (-1.0) ** regime * X[:, 1]
    options = {"dispersion_prior": 0.0, "alpha": 0.0, "init": np.eye(2)[regime], "max_iter": 5}
    moe = fit_quietly(regressor(gate=ConstantGate(top_k=1), **options), X, y)
    assert np.ptp(moe.gate_intercept_) == 0.0
    assert np.ptp(moe.expert_intercept_) > 50.0
    assert_array_equal(moe.apply(X), 0)
    assert_allclose(run(moe, X)[0][:, 0], moe.predict(X), rtol=1e-9)


@BOTH
def test_columns_of_a_data_frame_are_inputs_of_their_own(dtype):
    """Integers come in single precision; the types of an input may be given."""
    from skl2onnx.common.data_types import FloatTensorType

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(100, 3)).astype(dtype), columns=list("abc"))
    frame["whole"] = rng.integers(0, 5, size=100)
    y = np.where(frame.a > 0, frame.b, -frame.b) + 0.1 * frame.whole
    moe = fit_quietly(regressor(), frame, y)
    columns = {name: frame[[name]].to_numpy() for name in frame}
    (found,) = predicted(to_onnx(moe, frame[:1]), columns)
    atol = 1e-9 if dtype is np.float64 else 1e-4
    assert_allclose(found[:, 0], moe.predict(frame), atol=atol)
    single = to_onnx(moe, initial_types=[("X", FloatTensorType([None, 4]))])
    assert_allclose(predicted(single, frame.to_numpy(np.float32))[0], found, atol=1e-4)
    counts = rng.integers(50, size=(120, 2))
    moe = fit_quietly(regressor(), counts, np.abs(counts[:, 0] - 25.0))
    (found,) = run(moe, counts)
    assert found.dtype == np.float32
    assert_allclose(found[:, 0], moe.predict(counts), atol=1e-4)


@BOTH
@pytest.mark.parametrize("case", ["far center", "one far row"])
def test_digits_that_single_precision_does_not_hold(case, dtype):
    rng = np.random.default_rng(0)
    rows = np.round(4.0 * rng.normal(size=(300, 2)))  # which single precision holds
    y = np.where(rows[:, 0] > 0.0, 1.0, -1.0) * rows[:, 1] + 0.1 * rng.normal(size=300)
    rows += 1e7 if case == "far center" else 2005.0
    if case == "far center":
        center = rows.mean(axis=0)
        assert np.abs(center - center.astype(np.float32)).max() > 0.1
    else:
        rows[0] = 0.0
    moe = fit_quietly(regressor(), rows, y)
    assert_allclose(run(moe, rows.astype(dtype))[0].ravel(), moe.predict(rows), atol=1e-3)


REFUSED = {
    "; expert is 'tree'.": ({"expert": "tree", "max_iter": 2}, Y),
    "base is": ({"base": Ridge()}, Y),
    "without a transformer; gate is SoftmaxGate(": (
        {"gate": SoftmaxGate(transformer=SplineTransformer())},
        Y,
    ),
    "function of the features; family is ['poisson', 'ordinal']": (
        {"family": ["poisson", "ordinal"]},
        np.clip(COUNTS, 0, 3),
    ),
    "exponential or a linear": ({"family": "beta"}, 1.0 / (1.0 + np.exp(-Y))),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_has_no_form_is_refused(words):
    options, y = REFUSED[words]
    assert_refused(refusal(to_onnx, fit_quietly(regressor(**options), X, y), X[:1]), "", words)


@pytest.mark.parametrize("call", [register_converters, lambda: to_onnx(None)])
def test_skl2onnx_and_a_fit_are_needed(call, monkeypatch):
    with pytest.raises(NotFittedError):
        to_onnx(MixtureOfExpertsRegressor(), X[:1])
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    assert_refused(refusal(call), "", "skl2onnx", 'pip install ".[onnx]"')
