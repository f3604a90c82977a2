"""Fitted mixtures are written and read without loss: documents, pickles, joblib and skops."""

import copy
import json
import pickle
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.experts import GeneralizedLinearExperts
from skmoe.gates import GATES, SoftmaxGate
from skmoe.pipelines import mixture_of
from skmoe.skops import trusted_types
from support.expert_kinds import KINDS_OF_FITS
from support.fits import ALL_CASES, fit_quietly, short_fit
from support.fits import X as TABLE
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

X, Y = two_regimes(n_rows=80)
CLASS_X, CODES = flipping_classes(n_rows=80, n_classes=3)
LABELS = np.array(["one", "two", "three"])[CODES]
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(constant=1.0)
SHORT = {"n_init": 1, "max_iter": 6, "random_state": 0}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


def classifier(**options):
    return MixtureOfExpertsClassifier(2, **SHORT | options)


CASES = {
    "frame": (regressor(gate_features=["a"], gate=SoftmaxGate(2.0)), FRAME, Y),
    "columns": (regressor(expert_features=np.array([0, 2])), X, Y),
    "single precision": (regressor(gate_features=(0, 1)), X.astype(np.float32), Y),
    "constant target": (regressor(), X, np.ones(80)),
    "start": (regressor(init=np.full((80, 2), 0.5)), X, Y),
    "family by its class": (
        regressor(expert=GeneralizedLinearExperts(alpha=0.5)),
        X,
        np.floor(np.abs(3 * Y)),
    ),
    "labels": (classifier(), CLASS_X, LABELS),
    "objects": (classifier(class_weight={"one": 1.5}), CLASS_X, LABELS.astype(object)),
    "flags": (classifier(class_weight={False: 1.0, True: 2.0}), CLASS_X, CODES == 0),
    "bytes": (classifier(), CLASS_X, CODES.astype(np.uint8)),
    "floats": (classifier(), CLASS_X, CODES.astype(np.float32)),
    "average of classifiers": (classifier(combine="average", n_init=2), CLASS_X, LABELS),
}
# Kinds of experts and gates, and fits with attributes of their own. The documents of all families
# are read in `families/test_capabilities.py`.
SHARED_CASES = [f"{name}-{task}" for name, task in KINDS_OF_FITS] + [
    f"{name} gate" for name in GATES
]
SHARED_CASES += ["outputs", "average", "units", "found penalties", "selected number"]
SHARED_CASES += ["a list of families"]
# Fits that have no documents.
OTHER_CASES = ["trees", "trees of classes", "gamma trees", "average of trees", "base", "stacking"]
OTHER_CASES += ["a list of estimators", "joint outputs", "signs", "known experts"]


@cache
def fitted(case):
    """A fit that tests read only."""
    moe, features, y = CASES[case]
    return fit_quietly(clone(moe), features, y)


def assert_same(read, moe, features, y, **given):
    """Every answer and every public attribute, to the last bit."""
    names = ["predict", "predict_gate", "predict_experts", "apply"]
    names += ["predict_proba" if hasattr(moe, "predict_proba") else "predict_interval"]
    for name in names:
        assert_array_equal(getattr(read, name)(features), getattr(moe, name)(features))
    names = ["score_samples"] if given else ["score_samples", "responsibilities"]
    for name in names:
        answer = getattr(moe, name)(features, y, **given)
        assert_array_equal(getattr(read, name)(features, y, **given), answer)
    assert str(read.summary()) == str(moe.summary())
    assert vars(read).keys() == vars(moe).keys()
    for name, value in vars(moe).items():
        if name.endswith("_") and isinstance(value, np.ndarray):
            assert getattr(read, name).dtype == value.dtype
            assert_array_equal(getattr(read, name), value)


def through_json(moe):
    text = json.dumps(moe.to_dict(), allow_nan=False)
    read = type(moe).from_dict(json.loads(text))
    assert repr(read.get_params()) == repr(moe.get_params())
    return read


@pytest.mark.parametrize("case", CASES)
def test_documents_keep_every_answer(case):
    assert_same(through_json(fitted(case)), fitted(case), *CASES[case][1:])


@pytest.mark.parametrize("case", SHARED_CASES)
def test_documents_of_all_kinds_keep_every_answer(case):
    moe, (_, y, given), n_rows = short_fit(case), ALL_CASES[case], 20
    units = {name: values[:n_rows] for name, values in given.items() if name == "units"}
    assert_same(through_json(moe), moe, TABLE[:n_rows], y[:n_rows], **units)


@pytest.mark.parametrize("case", ["frame", "labels"])
@pytest.mark.parametrize("copied", ["pickle", "joblib"])
def test_pickles_keep_every_answer(case, copied, tmp_path):
    moe = fitted(case)
    if copied == "pickle":
        read = pickle.loads(pickle.dumps(moe))
    else:
        joblib.dump(moe, tmp_path / "moe.joblib")
        read = joblib.load(tmp_path / "moe.joblib")
    assert_same(read, moe, *CASES[case][1:])


@pytest.mark.parametrize("case", ["frame", "average of classifiers"])
def test_skops_keeps_every_answer(case):
    skops = pytest.importorskip("skops.io")
    written = skops.dumps(fitted(case))
    assert_same(skops.loads(written, trusted=trusted_types()), fitted(case), *CASES[case][1:])


def streams():
    yield from (regressor(gate=gate).partial_fit(X, Y) for gate in GATES)
    yield from (regressor(family=name).partial_fit(X, np.abs(Y) // 1) for name in ["poisson"])
    yield classifier().partial_fit(X, CODES, classes=[0, 1, 2])


def with_categories():
    return fit_quietly(regressor(expert="tree"), FRAME.assign(kind=np.where(Y > 0, "u", "v")), Y)


def test_skops_can_trust_the_types_of_every_fit():
    skops = pytest.importorskip("skops.io")
    transformed = fit_quietly(regressor(gate=SoftmaxGate(transformer=StandardScaler())), X, Y)
    pipeline = fit_quietly(make_pipeline(StandardScaler(), regressor()), X, Y)
    fits = [
        *map(short_fit, [*SHARED_CASES, *OTHER_CASES]),
        *streams(),
        with_categories(),
        transformed,
    ]
    fits.append(mixture_of(pipeline))
    names = set(trusted_types())
    for moe in fits:
        found = skops.get_untrusted_types(data=skops.dumps(moe))
        assert [name for name in found if name.startswith("skmoe.") and name not in names] == []
    for name in names:
        module, _, kind = name.rpartition(".")
        assert hasattr(import_module(module), kind)


def test_a_mixture_that_was_read_goes_on_from_where_it_was():
    moe = fit_quietly(regressor(warm_start=True, tol=0.0), X, Y)
    read = fit_quietly(through_json(moe), X, Y)
    assert_array_equal(read.predict(X), fit_quietly(moe, X, Y).predict(X))


def test_documents_are_read_after_other_programs_wrote_them():
    """Whole numbers may have lost their decimal point, and keys their order."""
    moe = fit_quietly(regressor(alpha=1.0), X, Y)
    text = json.dumps(moe.to_dict(), sort_keys=True).replace(": 1.0,", ": 1,")
    assert_same(MixtureOfExpertsRegressor.from_dict(json.loads(text)), moe, X, Y)


def test_attributes_of_a_user_are_kept():
    moe = copy.deepcopy(fitted("columns"))
    moe.threshold_ = 0.5
    assert through_json(moe).threshold_ == 0.5
    moe.loss_ = print
    assert_refused(refusal(moe.to_dict), "to_dict", "loss_", "no plain form", "joblib")


def test_documents_are_small():
    assert len(json.dumps(fit_quietly(regressor(), X, Y).to_dict())) < 10_000


# --- what is not written --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"), [({"alpha": -1.0}, "alpha must be a finite"), ({"top_k": 9}, "top_k")]
)
def test_what_could_not_be_read_is_not_written(change, words):
    moe = copy.deepcopy(fitted("columns")).set_params(**change)
    assert_refused(refusal(moe.to_dict), "to_dict writes what from_dict can read", words)


def test_a_fit_that_has_not_ended_is_not_written():
    moe = copy.deepcopy(fitted("columns"))
    del moe.weights_
    assert_refused(refusal(moe.to_dict), "to_dict writes", "'weights_' is missing", "Fit again")


@pytest.mark.parametrize(
    "value",
    [
        np.ones(2, dtype=complex),
        np.ones(2, dtype=np.float16),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array(["a", None], dtype=object),
        {1, 2},
        b"a",
        object(),
        [range(3)],
        {"a": 1j},
    ],
    ids=lambda value: type(value).__name__,
)
def test_parameters_without_a_plain_form_are_not_written(value):
    moe = copy.deepcopy(fitted("columns")).set_params(gate_features=value)
    assert_refused(refusal(moe.to_dict), "to_dict", "gate_features", "no plain form", "joblib")


def test_a_generator_is_left_out():
    moe = fit_quietly(regressor(random_state=np.random.RandomState(0)), X, Y)
    assert moe.to_dict()["parameters"]["random_state"] is None


def test_experts_that_are_estimators_are_not_written():
    moe = fit_quietly(regressor(expert="tree"), X, Y)
    assert_refused(refusal(moe.to_dict), "to_dict", "linear experts", "joblib")


@dataclass(frozen=True)
class Unregistered(SoftmaxGate):
    """A gate with named parameters that is in no registry."""


@dataclass(frozen=True)
class Untyped(SoftmaxGate):
    """A gate that does not list the types of its parameters."""

    params_types = ()


@pytest.mark.parametrize(
    ("gate", "reason"), [(Unregistered(), "not registered"), (Untyped(), "(params_types)")]
)
def test_the_reason_why_a_gate_has_no_plain_form_is_given(gate, reason, monkeypatch):
    monkeypatch.setitem(GATES, "untyped", Untyped)
    moe = fit_quietly(regressor(gate=gate), X, Y)
    message = refusal(moe.to_dict)
    assert_refused(message, "to_dict", f"{type(gate).__name__} has no plain form", reason)


def test_a_document_of_a_gate_that_is_not_registered_here_is_refused(monkeypatch):
    with monkeypatch.context() as registered:
        registered.setitem(GATES, "own", Unregistered)
        document = fit_quietly(regressor(gate=Unregistered(3.0)), X, Y).to_dict()
        read = MixtureOfExpertsRegressor.from_dict(document)
        assert read.get_params()["gate"] == Unregistered(3.0)
    message = refusal(MixtureOfExpertsRegressor.from_dict, document)
    assert_refused(message, "document", "Unregistered", "not registered here")
