"""Models in ONNX predict what the mixtures predict."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate
from skmoe.onnx import register_converters, to_onnx

UNITS, SHIFTS = np.array([1.0, 100.0, 0.01]), np.array([0.0, 5000.0, 3.0])
X, Y = two_regimes(n_rows=400)
X = X * UNITS + SHIFTS
OUTPUTS = np.column_stack([Y, 1e4 + 100 * X[:, 2] ** 2])
CLASS_X, CODES = flipping_classes(n_rows=400, n_classes=3)
LABELS = np.array(["one", "two", "three"])[CODES]
REGRESSORS = {
    "plain": ({}, Y),
    "outputs": ({}, OUTPUTS),
    "columns": ({"gate_features": [0], "expert_features": [2, 1]}, Y),
    "constant": ({"gate": "constant"}, Y),
    "routing": ({"n_experts": 4, "top_k": 2}, Y),
    "average": ({"combine": "average", "n_init": 3}, Y),
    "routed average": ({"combine": "average", "n_init": 2, "n_experts": 3, "top_k": 1}, OUTPUTS),
    "positive": ({"family": "lognormal"}, np.exp(0.5 * Y / Y.std())),
    "constant average": ({"combine": "average", "n_init": 2, "gate": "constant"}, Y),
}
CLASSIFIERS = {
    "two": ({}, CODES % 2),
    "three": ({}, CODES),
    "strings": ({}, LABELS),
    "objects": ({}, LABELS.astype(object)),
    "truth values": ({}, CODES > 0),
    "routing": ({"n_experts": 4, "top_k": 1}, CODES),
    "average": ({"combine": "average", "n_init": 2}, CODES),
}


def run(model, X, **options):
    """What the runtime says."""
    runtime = pytest.importorskip("onnxruntime")
    content = to_onnx(model, X[:1], **options).SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X})


@pytest.fixture(autouse=True, scope="module")
def converter():
    pytest.importorskip("skl2onnx")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", REGRESSORS)
def test_regressors(case, dtype):
    options, y = REGRESSORS[case]
    moe = quiet(MixtureOfExpertsRegressor(**{"n_experts": 2, "random_state": 0} | options), X, y)
    rows = X.astype(dtype)
    (told,) = run(moe, rows)
    assert told.dtype == dtype
    expected = moe.predict(rows).reshape(len(X), -1)
    assert told.shape == expected.shape
    assert_allclose(told / expected.std(axis=0), expected / expected.std(axis=0), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CLASSIFIERS)
def test_classifiers(case, dtype):
    options, y = CLASSIFIERS[case]
    moe = MixtureOfExpertsClassifier(**{"n_experts": 2, "random_state": 0} | options)
    rows = CLASS_X.astype(dtype)
    labels, probs = run(quiet(moe, CLASS_X, y), rows, options={"zipmap": False})
    assert probs.dtype == dtype
    assert_allclose(probs, moe.predict_proba(rows), atol=1e-5)
    assert labels.shape == (len(y),)
    assert_array_equal(labels, moe.predict(rows))


def test_probabilities_come_by_class_as_in_skl2onnx():
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0), CLASS_X, LABELS)
    _, probs = run(moe, CLASS_X.astype(np.float32))
    assert set(probs[0]) == {"one", "two", "three"}
    numbers, _ = run(moe, CLASS_X, options={"nocl": True, "zipmap": False})
    assert_array_equal(moe.classes_[numbers], moe.predict(CLASS_X))


def test_integers_come_in_single_precision():
    counts = np.random.default_rng(0).integers(50, size=(300, 2))
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0), counts, np.abs(counts[:, 0] - 25.0))
    (told,) = run(moe, counts)
    assert told.dtype == np.float32
    assert_allclose(told[:, 0], moe.predict(counts), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pipelines_by_functions_of_skl2onnx(dtype):
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    register_converters()
    model = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(2, random_state=0))
    model.fit(X, Y)
    rows = X.astype(dtype)
    content = skl2onnx.to_onnx(model, rows[:1]).SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (told,) = session.run(None, {"X": rows})
    assert_allclose(told[:, 0], model.predict(rows), atol=1e-4 if dtype == np.float32 else 1e-9)


def test_ties_go_to_the_first():
    """Routing among experts that are equally probable is the routing of the mixture."""
    moe = MixtureOfExpertsRegressor(3, gate="constant", top_k=1, random_state=0)
    quiet(moe, X, Y)
    params = moe._fitted.params
    gate = params.gate._replace(log_prior=np.full(3, -np.log(3.0)))
    moe._fitted = moe._fitted._replace(params=params._replace(gate=gate))
    assert_allclose(run(moe, X)[0][:, 0], moe.predict(X), rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expert": "tree", "max_iter": 2}, "expert=\"linear\"; expert is 'tree'"),
        ({"base": Ridge()}, "neither base.*base is"),
        ({"gate": SoftmaxGate(transformer=SplineTransformer())}, "gate.transformer is"),
    ],
)
def test_what_has_no_form_is_refused(options, message):
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1, **options), X, Y)
    with pytest.raises(ValueError, match=message):
        to_onnx(moe, X[:1])


def test_what_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        to_onnx(MixtureOfExpertsRegressor(), X[:1])


def test_mixtures_of_frames_by_initial_types():
    frame = pd.DataFrame(CLASS_X, columns=["a", "b", "c"])
    moe = quiet(MixtureOfExpertsClassifier(2, random_state=0), frame, CODES)
    types = pytest.importorskip("skl2onnx.common.data_types")
    model = to_onnx(moe, initial_types=[("X", types.FloatTensorType([None, 3]))])
    assert model.graph.output[0].name == "output_label"


def test_skl2onnx_is_named_if_it_is_missing(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("skmoe._optional.import_module", missing)
    for call in (register_converters, lambda: to_onnx(None)):
        with pytest.raises(ImportError, match=r"skmoe\[onnx\]"):
            call()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_columns_of_a_data_frame_are_inputs_of_their_own(dtype):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)).astype(dtype), columns=list("abc"))
    frame["whole"] = rng.integers(0, 5, size=200)
    y = np.where(frame.a > 0, frame.b, -frame.b) + 0.1 * frame.whole
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(frame, y)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(
        to_onnx(moe, frame[:1]).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    columns = {name: frame[[name]].to_numpy() for name in frame}
    (predicted,) = session.run(None, columns)
    atol = 1e-9 if dtype is np.float64 else 1e-4
    assert_allclose(predicted[:, 0], moe.predict(frame), atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centers_that_single_precision_does_not_hold(dtype):
    rng = np.random.default_rng(0)
    far = 1e7 + np.round(4.0 * rng.normal(size=(300, 2)))  # which single precision holds
    y = np.where(far[:, 0] > 1e7, 1.0, -1.0) * (far[:, 1] - 1e7) + 0.1 * rng.normal(size=300)
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=0, n_init=1), far, y)
    center = moe._fitted.preprocessor.feature_scaling.center
    assert np.abs(center - center.astype(np.float32)).max() > 0.1
    found = run(moe, far.astype(dtype))[0]
    assert_allclose(found.ravel(), moe.predict(far), atol=1e-3)
