"""Models in ONNX say what they are of, and take the options of classifiers."""

import numpy as np
import pytest
from cases import CLASSES, X, Y, fitted_case
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe.experts import GeneralizedLinearExperts
from skmoe.families import FAMILIES
from skmoe.onnx import NAMES_KEY, to_onnx
from skmoe.protocols import SupportsONNX

pytest.importorskip("skl2onnx")
runtime = pytest.importorskip("onnxruntime")


def run(model):
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: X})


def keys_of(model):
    return [entry.key for entry in model.metadata_props]


def test_names_of_experts_are_those_of_mixtures():
    moe = fitted_case("two experts")
    assert keys_of(to_onnx(moe, X[:1])).count(NAMES_KEY) == 1
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(X, Y)
    assert NAMES_KEY not in keys_of(to_onnx(pipeline, X[:1]))


@pytest.mark.parametrize("name", ["nocl", "output_class_labels"])
@pytest.mark.parametrize("value", [False, True])
def test_classifiers_take_the_options_of_skl2onnx(name, value):
    moe = fitted_case("linear-classifier")
    labels, probs, *_ = run(to_onnx(moe, X[:1], options={"zipmap": False, name: value}))
    assert_allclose(probs, moe.predict_proba(X), atol=1e-5)
    assert (labels == moe.predict(X)).mean() > 0.99
    assert len(np.unique(CLASSES)) == probs.shape[1]


@pytest.mark.parametrize("names", [["ordinal"], ["normal", "ordinal"], ["ordinal", "poisson"]])
def test_one_logistic_mean_is_enough_to_have_no_graph(names):
    experts = GeneralizedLinearExperts(tuple(FAMILIES[name]() for name in names))
    assert "exponential or a linear" in experts.limitation(SupportsONNX)
    others = GeneralizedLinearExperts(tuple(FAMILIES[name]() for name in ["normal", "poisson"]))
    assert not others.limitation(SupportsONNX)
