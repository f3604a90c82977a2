"""Fitted mixtures are written and read without loss: pickles, joblib and skops."""

import copy
import io
import pickle
from functools import cache
from importlib import import_module

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.experts import LinearExperts
from skmoe.export import trusted_types
from skmoe.gates import GATES, SoftmaxGate
from skmoe.recipes import mixture_of
from support.expert_kinds import KINDS_OF_FITS
from support.fits import ALL_CASES, fit_quietly, short_fit
from support.fits import X as TABLE
from support.tables import flipping_classes, two_regimes

N_ROWS = 20  # of which answers are compared
X, Y = two_regimes(n_rows=80)
CLASS_X, CODES = flipping_classes(n_rows=80, n_classes=3)
LABELS = np.array(["one", "two", "three"])[CODES]
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(constant=1.0)
HOLED = FRAME.assign(kind=np.where(Y > 0, "u", "v"))
SHORT = {"n_init": 1, "max_iter": 6, "random_state": 0}


def regressor(n_experts=2, **options):
    return MixtureOfExpertsRegressor(n_experts, **SHORT | options)


def classifier(**options):
    return MixtureOfExpertsClassifier(2, **SHORT | options)


CASES = {
    "frame": (regressor(gate_features=["a"], gate=SoftmaxGate(2.0)), FRAME, Y),
    "categories": (regressor(expert="tree"), HOLED, Y),
    "columns": (regressor(expert_features=np.array([0, 2])), X, Y),
    "single precision": (regressor(gate_features=(0, 1)), X.astype(np.float32), Y),
    "constant target": (regressor(), X, np.ones(80)),
    "start": (regressor(init=np.full((80, 2), 0.5)), X, Y),
    "family by its class": (
        regressor(expert=LinearExperts(alpha=0.5)),
        X,
        np.floor(np.abs(3 * Y)),
    ),
    "transformer": (regressor(gate=SoftmaxGate(transformer=StandardScaler())), X, Y),
    "labels": (classifier(), CLASS_X, LABELS),
    "objects": (classifier(class_weight={"one": 1.5}), CLASS_X, LABELS.astype(object)),
    "flags": (classifier(class_weight={False: 1.0, True: 2.0}), CLASS_X, CODES == 0),
    "bytes": (classifier(), CLASS_X, CODES.astype(np.uint8)),
    "floats": (classifier(), CLASS_X, CODES.astype(np.float32)),
}
# Kinds of experts and gates, and fits with attributes of their own.
SHARED = [f"{name}-{task}" for name, task in KINDS_OF_FITS] + [f"{name} gate" for name in GATES]
SHARED += ["outputs", "units", "found penalties", "selected number"]
SHARED += ["a list of families", "trees", "trees of classes", "gamma trees", "base"]
SHARED += ["stacking", "a list of estimators", "joint outputs", "signs", "known experts"]


@cache
def fitted(case):
    """A fit that tests read only, its features, target and units."""
    if case in SHARED:
        _, y, given = ALL_CASES[case]
        given = {name: values[:N_ROWS] for name, values in given.items() if name == "units"}
        return short_fit(case), TABLE[:N_ROWS], y[:N_ROWS], given
    moe, features, y = CASES[case]
    return fit_quietly(clone(moe), features, y), features, y, {}


def by_joblib(moe):
    buffer = io.BytesIO()
    joblib.dump(moe, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def by_skops(moe):
    skops = pytest.importorskip("skops.io")
    return skops.loads(skops.dumps(moe), trusted=trusted_types())


WAYS = {"pickle": lambda moe: pickle.loads(pickle.dumps(moe)), "joblib": by_joblib}
WAYS["skops"] = by_skops
ROUND_TRIPS = [("pickle", case) for case in (*CASES, *SHARED)]
# skops loses the False among the keys of a dict, and does not trust the trees of scikit-learn.
LOST = ("flags", "categories")
ROUND_TRIPS += [(way, case) for way in ("joblib", "skops") for case in CASES if case not in LOST]


@pytest.mark.parametrize(("way", "case"), ROUND_TRIPS)
def test_files_keep_every_answer(way, case):
    """And every public attribute, to the last bit."""
    moe, features, y, given = fitted(case)
    read = WAYS[way](moe)
    names = ["predict", "predict_gate", "predict_experts", "apply"]
    names += ["predict_proba" if hasattr(moe, "predict_proba") else "predict_interval"]
    for name in names:
        assert_array_equal(getattr(read, name)(features), getattr(moe, name)(features))
    for name in ["score_samples"] if given else ["score_samples", "responsibilities"]:
        answer = getattr(moe, name)(features, y, **given)
        assert_array_equal(getattr(read, name)(features, y, **given), answer)
    assert str(read.summary()) == str(moe.summary())
    assert repr(read.get_params()) == repr(moe.get_params())
    assert vars(read).keys() == vars(moe).keys()
    for name, value in vars(moe).items():
        if name.endswith("_") and isinstance(value, np.ndarray):
            assert getattr(read, name).dtype == value.dtype
            assert_array_equal(getattr(read, name), value)


def test_skops_can_trust_the_types_of_every_fit():
    skops = pytest.importorskip("skops.io")
    fits = [fitted(case)[0] for case in (*CASES, *SHARED)]
    fits += [
        regressor(gate=gate).partial_fit(X, Y) for gate, kind in GATES.items() if not kind.persists
    ]
    fits += [regressor(family="poisson").partial_fit(X, np.abs(Y) // 1)]
    fits += [classifier().partial_fit(X, CODES, classes=[0, 1, 2])]
    fits += [mixture_of(fit_quietly(make_pipeline(StandardScaler(), regressor()), X, Y))]
    names = set(trusted_types())
    for moe in fits:
        found = skops.get_untrusted_types(data=skops.dumps(moe))
        assert [name for name in found if name.startswith("skmoe.") and name not in names] == []
    for name in names:
        module, _, kind = name.rpartition(".")
        assert hasattr(import_module(module), kind)


def test_a_mixture_that_was_read_goes_on_from_where_it_was():
    moe = fit_quietly(regressor(warm_start=True, tol=0.0), X, Y)
    read = fit_quietly(pickle.loads(pickle.dumps(moe)), X, Y)
    assert_array_equal(read.predict(X), fit_quietly(moe, X, Y).predict(X))


def test_a_file_of_another_version_warns():
    content, version = pickle.dumps(fitted("columns")[0]), skmoe.__version__
    other = version[:-1] + "x"
    with pytest.warns(InconsistentVersionWarning, match=f"skmoe from version {other} when"):
        pickle.loads(content.replace(version.encode(), other.encode()))


def test_files_are_small_and_keep_attributes_of_a_user():
    moe = copy.deepcopy(fitted("columns")[0])
    moe.threshold_ = 0.5
    written = pickle.dumps(moe)
    assert pickle.loads(written).threshold_ == 0.5
    assert len(written) < 10_000
