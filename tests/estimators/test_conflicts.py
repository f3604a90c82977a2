"""Options that do not go together: the page lists the pairs that the estimators refuse."""

import runpy
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import RowBlocks, interval_censored, right_censored
from skmoe.experts import LinearExperts
from skmoe.gates import SoftmaxGate
from skmoe.model_selection import likelihood_ratio_test, n_experts_test
from support.fits import fit_quietly
from support.heteroscedastic import HeteroscedasticExperts
from support.own_gates import FixedGate
from support.pages import ROOT
from support.tables import two_regimes

X, Y = two_regimes(n_rows=40)
COUNTS, CLASSES = np.round(np.abs(Y)), (Y > 0).astype(int)
GROUPS = np.arange(40) // 4
BLOCKS = RowBlocks.from_arrays(X, Y)


def regressor(**options):
    defaults = {"n_experts": 2, "n_init": 1, "max_iter": 2, "random_state": 0}
    return MixtureOfExpertsRegressor(**defaults | options)


def classifier(**options):
    return MixtureOfExpertsClassifier(2, n_init=1, max_iter=2, random_state=0, **options)


def call_gate(moe, data):
    return moe.predict_gate(**data)


# Options of the page, as parameters of an estimator.
PARAMETERS = {
    "top_k": {"gate": SoftmaxGate(top_k=1)},
    "balance": {"gate": SoftmaxGate(balance=0.1)},
    "estimators as experts": {"expert": "tree"},
    "experts of your own": {"expert": HeteroscedasticExperts()},
    "a gate of your own": {"gate": FixedGate()},
    'gate="markov"': {"gate": "markov"},
    "a base": {"base": Ridge()},
    "a transformer in the gate": {"gate": SoftmaxGate(transformer=StandardScaler())},
    "a family that depends on all values of y": {"family": "uniform"},
    "n_experts that the fit selects": {"n_experts": [1, 2]},
    "n_experts as an integer": {"n_experts": 2},
    "init as an array": {"init": np.full((40, 2), 0.5)},
    "a list as family or expert": {"family": ["normal", "normal"]},
    "warm_start=True": {"warm_start": True},
    "shared_features": {"shared_features": [0]},
    "dispersion_features": {"dispersion_features": [0]},
    "families without a dispersion": {"family": "poisson"},
    "monotonic_cst": {"monotonic_cst": [1, 0, -1]},
    "features of some experts": {"expert_features": [[0], [0, 1]]},
    "an expert with a density of its own": {"expert": LinearExperts()},
    "family as a dict": {"family": {0: "normal", 1: "poisson"}},
    "features as a dict": {"expert_features": {0: [0], 1: [1]}},
    'a family other than "normal"': {"family": "poisson"},
    'alpha="ard"': {"alpha": "ard"},
    "random_features": {"random_features": [], "gate": "constant"},
    "a list of different families": {"family": ["normal", "student_t"]},
    "a family without a mean": {"family": "ordinal"},
    'dispersion="shared"': {"dispersion": "shared"},
    'covariance_type="full"': {"covariance_type": "full"},
    'a family other than "normal" and "lognormal"': {"family": "poisson"},
    "experts without probabilities of intervals": {"family": "ordinal"},
    "experts with neither an identity nor a log link": {"family": "ordinal"},
    "estimators as experts under a log link": {"expert": "tree", "family": "gamma"},
    "experts with another link than log, or none": {"family": "ordinal"},
    "families of which averages have another distribution": {"family": "poisson"},
    "parametric experts without a base": {},
    "experts that are no estimators": {},
    "class_weight": {"class_weight": {0: 1.0, 1: 2.0}},
    'class_weight="balanced"': {"class_weight": "balanced"},
}
# Options of the page, as arguments of `fit`.
ARGUMENTS = {
    "blocks of rows": {"X": BLOCKS, "y": None},
    "an argument with a value for each row": {"sample_weight": np.ones(40)},
    "an offset": {"offset": np.zeros(40)},
    "var_weights": {"var_weights": 1.0 + GROUPS},
    "an offset of each output": {"offset": np.zeros((40, 2)), "y": np.column_stack([COUNTS] * 2)},
    "groups": {"groups": GROUPS},
    "random_features": {"units": GROUPS},
    "rows without units": {"units": None},
    "time": {"time": np.arange(40)},
    "known_experts": {"known_experts": GROUPS % 2},
    "known_experts as booleans": {"known_experts": np.ones((40, 2), dtype=bool)},
    "an exposure": {"exposure": np.ones(40)},
    "metadata": {"cost": np.ones(40)},
    "y with delayed entry": {
        "y": right_censored(COUNTS + 1.0, np.arange(40) % 2, entry=0.5 * np.ones(40))
    },
    "y between two bounds": {
        "y": interval_censored(COUNTS + 1.0, np.where(GROUPS, COUNTS + 2.0, np.inf))
    },
    "delayed entry of units, or of several outputs": {
        "y": right_censored(COUNTS + 1.0, np.arange(40) % 2, entry=0.5 * np.ones(40)),
        "units": np.arange(40),
    },
    "censored y": {"y": right_censored(COUNTS + 1.0, np.arange(40) % 2)},
    "missing values in some outputs": {"y": np.column_stack([Y, np.where(Y > 0, Y, np.nan)])},
    "class_weight": {"y": CLASSES},
    'class_weight="balanced"': {"y": CLASSES},
    "more than two classes": {"y": np.arange(40) % 3},
}
USES = {
    "n_experts_test": lambda moe, data: n_experts_test(moe, **data, n_bootstrap=1),
    "likelihood_ratio_test": lambda moe, data: likelihood_ratio_test(moe, moe, **data),
    "likelihood_ratio_test by draws": lambda moe, data: likelihood_ratio_test(
        clone(moe).set_params(gate_features=[0]), moe, **data, n_bootstrap=1
    ),
    "partial_fit": lambda moe, data: moe.partial_fit(**data),
}
# What else a pair needs.
FURTHER = {
    ("estimators as experts", "an offset of each output"): {"family": "poisson"},
    ("a base", "an offset of each output"): {"family": "poisson"},
    ("var_weights", "censored y"): {"family": "gamma"},
}


def rows_of_page():
    """Option, other option, and the reason with its remedy, of each pair of the page."""
    table = runpy.run_path(str(ROOT / "docs" / "_ext" / "conflicts.py"))["table"]()
    for line in table.replace("`", "").splitlines()[2:]:
        options, others, reason = line.strip("| ").split(" | ")
        for option, other in product(options.split("; "), others.split("; ")):
            yield option, other, reason


@pytest.mark.parametrize("row", rows_of_page(), ids=lambda row: f"{row[0]} with {row[1]}")
def test_pairs_of_the_page_are_refused_with_its_reason_and_remedy(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *options, reason = row
    use = USES.get(options[0]) or USES.get(options[1]) or (lambda moe, data: moe.fit(**data))
    data, parameters = {"X": X, "y": COUNTS}, FURTHER.get(tuple(options), {})
    for option in options:
        parameters = parameters | PARAMETERS.get(option, {})
        data |= ARGUMENTS.get(option, {})
    is_of_classes = "class" in options[1]
    moe = (classifier if is_of_classes else regressor)(**parameters)
    if options[1] == "predictions of Dask collections":
        fit_quietly(moe, **data)
        dask = pytest.importorskip("dask.array")
        data, use = {"X": dask.from_array(X, chunks=20), "units": GROUPS}, call_gate
    if options[0] == "time":  # a RowBlocks has no further arguments at all
        dask = pytest.importorskip("dask.array")
        data |= {"X": dask.from_array(X, chunks=20), "y": dask.from_array(Y, chunks=20)}
    before = dict(vars(moe))
    with pytest.raises((ValueError, AttributeError)) as caught:
        use(moe, data)
    message = str(caught.value.__cause__ or caught.value)
    assert message.endswith(f": {reason}")
    assert " cannot be used with " in message
    assert vars(moe) == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", PARAMETERS)
def test_every_option_is_accepted_by_itself(option):
    """What is refused is the pair."""
    if "class" not in option:
        y = np.column_stack([1.0 + COUNTS] * 2) if option.endswith("as a dict") else 1.0 + COUNTS
        given = ARGUMENTS.get(option, {})
        moe = fit_quietly(regressor(**PARAMETERS[option]), X, y, **given)
        assert_allclose(moe.predict_gate(X).sum(axis=1), 1.0)
        assert np.isfinite(moe.predict(X)).all()
