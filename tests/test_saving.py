"""Fitted mixtures are written and read without loss, and damage is told."""

import copy
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from regimes import flipping_classes, quiet, two_regimes
from sklearn.base import clone

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._estimators.plain_values import checksum
from skmoe.experts import GeneralizedLinearExperts
from skmoe.gates import GATES, SoftmaxGate

X, Y = two_regimes(n_rows=300)
WIDE_Y = np.column_stack([Y, X[:, 0]])
CLASS_X, CODES = flipping_classes(n_rows=300, n_classes=3)
LABELS = np.array(["one", "two", "three"])[CODES]
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(constant=1.0)

CASES = {
    "regressor": (MixtureOfExpertsRegressor(2), X, Y),
    "outputs": (MixtureOfExpertsRegressor(2, dispersion="shared"), X, WIDE_Y),
    "mixture of regressions": (MixtureOfExpertsRegressor(2, gate="constant"), X, Y),
    "routing": (MixtureOfExpertsRegressor(3, top_k=2, balance=0.1), X, Y),
    "average": (MixtureOfExpertsRegressor(2, combine="average", n_init=2), X, Y),
    "one expert": (MixtureOfExpertsRegressor(1), X, Y),
    "frame": (MixtureOfExpertsRegressor(2, gate_features=["a"], gate=SoftmaxGate(2.0)), FRAME, Y),
    "columns": (MixtureOfExpertsRegressor(2, expert_features=np.array([0, 2])), X, Y),
    "constant target": (MixtureOfExpertsRegressor(2), X, np.ones(300)),
    "start": (MixtureOfExpertsRegressor(2, init=np.full((300, 2), 0.5)), X, Y),
    "family": (
        MixtureOfExpertsRegressor(2, expert=GeneralizedLinearExperts(alpha=0.5)),
        X,
        np.floor(np.abs(3 * Y)),
    ),
    "classes": (MixtureOfExpertsClassifier(2), CLASS_X, CODES),
    "labels": (MixtureOfExpertsClassifier(2), CLASS_X, LABELS),
    "objects": (MixtureOfExpertsClassifier(2), CLASS_X, LABELS.astype(object)),
    "two classes": (
        MixtureOfExpertsClassifier(2, class_weight={False: 1.0, True: 2.0}),
        CLASS_X,
        CODES == 0,
    ),
    "average of classifiers": (
        MixtureOfExpertsClassifier(2, combine="average", n_init=2),
        CLASS_X,
        LABELS,
    ),
}

# What docs/user_guide/saving.md says that skops is to trust.
DOCUMENTED = {"MixtureOfExpertsRegressor", "MixtureOfExpertsClassifier", "FittedMixture"}
DOCUMENTED |= {"MixtureModel", "Preprocessor", "TrainingState", "ResumeState"}
DOCUMENTED |= {
    "Params",
    "Standardization",
    "SoftmaxGate",
    "SoftmaxParams",
    "LinearExperts",
    "LinearParams",
}
DOCUMENTED |= {"LogisticExperts", "LogisticParams", "AveragedGate", "AverageParams"}


def fitted(moe, features, y):
    return quiet(clone(moe).set_params(random_state=0), features, y)


def assert_same(read, moe, features, y):
    """Every answer, to the last bit."""
    names = ["predict", "predict_gate", "predict_experts", "apply"]
    names += ["predict_proba" if hasattr(moe, "predict_proba") else "predict_interval"]
    for name in names:
        assert_array_equal(getattr(read, name)(features), getattr(moe, name)(features))
    for name in ("score_samples", "responsibilities"):
        assert_array_equal(getattr(read, name)(features, y), getattr(moe, name)(features, y))
    assert str(read.summary()) == str(moe.summary())


@pytest.mark.parametrize("case", CASES)
def test_documents_keep_every_answer(case):
    moe = fitted(*CASES[case])
    text = json.dumps(moe.to_dict(), allow_nan=False)
    read = type(moe).from_dict(json.loads(text))
    assert_same(read, moe, *CASES[case][1:])
    assert set(vars(read)) == set(vars(moe))
    assert repr(read.get_params()) == repr(moe.get_params())


@pytest.mark.parametrize("case", ["regressor", "labels"])
@pytest.mark.parametrize("copied", ["pickle", "joblib"])
def test_pickles_keep_every_answer(case, copied, tmp_path):
    moe = fitted(*CASES[case])
    if copied == "pickle":
        read = pickle.loads(pickle.dumps(moe))
    else:
        joblib.dump(moe, tmp_path / "moe.joblib")
        read = joblib.load(tmp_path / "moe.joblib")
    assert_same(read, moe, *CASES[case][1:])


@pytest.mark.parametrize("case", ["regressor", "average", "labels"])
def test_skops_keeps_every_answer(case):
    skops = pytest.importorskip("skops.io")
    moe = fitted(*CASES[case])
    written = skops.dumps(moe)
    unknown = skops.get_untrusted_types(data=written)
    assert {name.rsplit(".", 1)[1] for name in unknown} <= DOCUMENTED
    assert_same(skops.loads(written, trusted=unknown), moe, *CASES[case][1:])


@pytest.mark.parametrize("family", ["poisson", ["zero", "gamma"], ["student_t", "uniform"]])
def test_the_page_names_the_types_of_families_for_skops(family):
    skops = pytest.importorskip("skops.io")
    target = np.floor(np.abs(3 * Y))
    moe = fitted(MixtureOfExpertsRegressor(2, family=family), X, target)
    written = skops.dumps(moe)
    unknown = skops.get_untrusted_types(data=written)
    page = (Path(__file__).parents[1] / "docs" / "user_guide" / "saving.md").read_text("utf-8")
    assert [name for name in unknown if f"`{name}`" not in page] == []
    assert any(".families." in name for name in unknown)
    assert_same(skops.loads(written, trusted=unknown), moe, X, target)


def test_a_read_mixture_goes_on():
    moe = fitted(MixtureOfExpertsRegressor(2, warm_start=True, max_iter=8, tol=0.0), X, Y)
    read = MixtureOfExpertsRegressor.from_dict(moe.to_dict())
    quiet(read, X, Y)
    assert_array_equal(read.predict(X), quiet(moe, X, Y).predict(X))


def test_documents_are_read_after_other_programs_wrote_them():
    """Whole numbers may have lost their decimal point, and keys their order."""
    moe = fitted(MixtureOfExpertsRegressor(2, alpha=1.0), X, Y)
    text = json.dumps(moe.to_dict(), sort_keys=True).replace(": 1.0,", ": 1,")
    assert_same(MixtureOfExpertsRegressor.from_dict(json.loads(text)), moe, X, Y)


def test_documents_are_small():
    moe = fitted(*CASES["regressor"])
    assert len(json.dumps(moe.to_dict())) < 10_000


def test_what_could_not_be_read_is_not_written():
    moe = fitted(*CASES["regressor"])
    for change, message in (({"alpha": -1.0}, "alpha must be a finite"), ({"top_k": 9}, "top_k")):
        with pytest.raises(ValueError, match=f"to_dict writes what from_dict can read.*{message}"):
            copy.deepcopy(moe).set_params(**change).to_dict()
    moe.threshold_ = 0.5
    with pytest.raises(ValueError, match="'threshold_' is no attribute of such a fit"):
        moe.to_dict()


def test_a_generator_is_left_out():
    moe = quiet(MixtureOfExpertsRegressor(2, random_state=np.random.RandomState(0)), X, Y)
    assert moe.to_dict()["parameters"]["random_state"] is None


def damaged(document, change):
    document = copy.deepcopy(document)
    change(document)
    return document


DAMAGE = {
    "number": (
        lambda d: d["attributes"]["expert_coef_"]["values"][0].__setitem__(0, 0.0),
        "checksum",
    ),
    "parameter": (lambda d: d["parameters"].update(alpha=3.0), "checksum"),
    "part": (lambda d: d.pop("attributes"), "'attributes'.* missing"),
    "unsigned": (lambda d: d.pop("checksum"), "'checksum'.* missing"),
    "newer": (lambda d: d.update(version=99), "version 99.*upgrade"),
    "foreign": (lambda d: d.update(format="other"), '"format": "skmoe"'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_documents_are_refused(damage):
    change, message = DAMAGE[damage]
    document = fitted(*CASES["regressor"]).to_dict()
    with pytest.raises(ValueError, match=message):
        MixtureOfExpertsRegressor.from_dict(damaged(document, change))


def test_what_this_release_does_not_know_is_refused():
    document = fitted(*CASES["regressor"]).to_dict()
    document["parameters"]["invented_later"] = 1
    document["checksum"] = checksum({k: v for k, v in document.items() if k != "checksum"})
    with pytest.raises(ValueError, match=r"invented_later.*upgrade"):
        MixtureOfExpertsRegressor.from_dict(document)


def test_documents_of_others_are_refused():
    document = fitted(*CASES["regressor"]).to_dict()
    with pytest.raises(ValueError, match=r"Use MixtureOfExpertsRegressor\.from_dict"):
        MixtureOfExpertsClassifier.from_dict(document)
    with pytest.raises(ValueError, match="Parse JSON first"):
        MixtureOfExpertsRegressor.from_dict(json.dumps(document))


def test_experts_without_plain_form_are_refused():
    moe = fitted(MixtureOfExpertsRegressor(2, expert="tree", n_init=1), X, Y)
    with pytest.raises(ValueError, match=r"linear experts.*joblib"):
        moe.to_dict()


@dataclass(frozen=True)
class Unregistered(SoftmaxGate):
    """A gate with named parameters that is in no registry."""


@dataclass(frozen=True)
class Untyped(SoftmaxGate):
    """A gate that does not list the types of its parameters."""

    params_types = ()


def test_the_reason_why_a_gate_has_no_plain_form_is_given(monkeypatch):
    monkeypatch.setitem(GATES, "untyped", Untyped)
    for gate, reason in ((Unregistered(), "not registered"), (Untyped(), r"\(params_types\)")):
        moe = fitted(MixtureOfExpertsRegressor(2, gate=gate), X, Y)
        with pytest.raises(ValueError, match=f"{type(gate).__name__} has no plain form.*{reason}"):
            moe.to_dict()


def test_a_document_of_a_gate_that_is_not_registered_here_is_refused(monkeypatch):
    with monkeypatch.context() as registered:
        registered.setitem(GATES, "own", Unregistered)
        document = fitted(MixtureOfExpertsRegressor(2, gate=Unregistered(3.0)), X, Y).to_dict()
        read = MixtureOfExpertsRegressor.from_dict(document)
        assert read._fitted.model.gate == Unregistered(3.0)
    with pytest.raises(ValueError, match=r"Unregistered.*not registered here"):
        MixtureOfExpertsRegressor.from_dict(document)
