"""Penalties are numbers that are given, or are found, as the docstrings of the parameters say."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.experts import LinearExperts
from skmoe.gates import ConstantGate, SoftmaxGate
from support.fits import CLASSES, X, Y, fit_quietly, target_of
from support.own_gates import PriorGate

ROWS = slice(0, 80)
OBJECT = LinearExperts(alpha=3.0)
OPTIONS = {"n_experts": 2, "n_init": 1, "max_iter": 60, "tol": 1e-3, "random_state": 0}


def kind_of(value, start):
    """How a fitted penalty was found: one for each feature, a number, or not at all."""
    if np.ndim(value):
        return "ard"
    if value is None or np.isnan(value):
        return "none"
    return "given" if value == start else "auto"


@dataclass(frozen=True)
class GateWithPenalty(PriorGate):
    """A gate of a user, which has a penalty of its own."""

    alpha: float = 3.0

    @property
    def penalties(self):
        return {"alpha": self.alpha}


# Parameters, and how the penalties of the gate, the slopes and the dispersions are found.
SEARCHES = [
    ({}, "auto", "auto", "auto"),
    ({"alpha": 0.1}, "auto", 0.1, "auto"),
    ({"gate_alpha": 0.1, "alpha": "ard"}, 0.1, "ard", "auto"),
    ({"gate_alpha": "ard", "dispersion_prior": "auto"}, "ard", "auto", "auto"),
    ({"base": Ridge()}, "auto", "auto", "auto"),
    ({"base": Ridge(), "alpha": 10.0, "gate_alpha": "auto"}, "auto", 10.0, "auto"),
    ({"expert": "tree", "max_iter": 2}, "given", "none", "given"),
    ({"expert": Ridge(), "gate_alpha": "auto", "cross_fit": 2}, "auto", "none", "auto"),
    ({"expert": OBJECT}, "given", 3.0, "given"),
    ({"expert": OBJECT, "gate_alpha": "auto"}, "auto", 3.0, "given"),
    ({"expert": OBJECT, "gate": SoftmaxGate()}, "given", 3.0, "given"),
    ({"gate": SoftmaxGate()}, "auto", "auto", "auto"),
    ({"gate": SoftmaxGate(alpha=2.0)}, 2.0, "auto", "auto"),
    ({"gate": SoftmaxGate(alpha=2.0), "gate_alpha": 7.0}, 7.0, "auto", "auto"),
    ({"gate": GateWithPenalty()}, 3.0, "auto", "auto"),
    ({"gate": GateWithPenalty(), "gate_alpha": 7.0}, 7.0, "auto", "auto"),
    ({"gate": SoftmaxGate(alpha=2.0), "gate_alpha": "auto"}, "auto", "auto", "auto"),
    ({"gate": "constant"}, "none", "auto", "auto"),
    ({"gate": ConstantGate()}, "none", "auto", "auto"),
    ({"family": "student_t", "shared_features": [0]}, "auto", "auto", "auto"),
    ({"family": ["normal", "student_t"], "alpha": "ard"}, "auto", "ard", "auto"),
    ({"n_experts": 1, "alpha": "ard", "gate_alpha": "ard"}, "none", "ard", "auto"),
]


# The same without dispersions, of classifiers.
OF_CLASSIFIERS = [
    ({}, "auto", "auto"),
    ({"alpha": "ard", "gate_alpha": 1.0}, "given", "ard"),
    ({"base": LogisticRegression()}, "auto", "auto"),
    ({"gate": "constant"}, "none", "auto"),
]


@pytest.mark.parametrize(
    ("make", "y", "row"),
    [
        *((MixtureOfExpertsRegressor, Y, row) for row in SEARCHES),
        *((MixtureOfExpertsClassifier, CLASSES, row) for row in OF_CLASSIFIERS),
    ],
)
def test_penalties_are_found_where_the_documentation_says(make, y, row):
    options, *kinds = row
    rows = ROWS if make is MixtureOfExpertsRegressor else slice(0, 120)
    moe = fit_quietly(make(**OPTIONS | options), X[rows], y[rows])
    # Where the search of the slopes starts, without and with a base.
    of_slopes = (0.1, 10.0) if make is MixtureOfExpertsRegressor else (1.0, 10.0)
    starts = {"gate_alpha": 1.0, "alpha": of_slopes["base" in options], "dispersion_prior": 10.0}
    for (name, start), kind in zip(starts.items(), kinds, strict=False):
        is_kind = isinstance(kind, str)
        found = kind_of(getattr(moe, f"{name}_", None), start if is_kind else kind)
        assert found == (kind if is_kind else "given"), name


@pytest.mark.parametrize(
    ("options", "slopes", "dispersions"),
    [
        ({}, "auto", "auto"),
        ({"alpha": 2.0}, 2.0, 2.0),
        ({"alpha": "ard"}, "ard", "auto"),
        ({"base": Ridge(), "alpha": 10.0}, 10.0, 10.0),
    ],
)
def test_slopes_of_dispersions_have_the_given_number_or_find_their_own(
    options, slopes, dispersions
):
    moe = MixtureOfExpertsRegressor(**OPTIONS | options, dispersion_features=[1])
    fit_quietly(moe, X[ROWS], Y[ROWS])
    for value, kind, start in (
        (moe.alpha_, slopes, 0.1),
        (moe.dispersion_alpha_, dispersions, 1.0),
    ):
        is_kind = isinstance(kind, str)
        assert kind_of(value, start if is_kind else kind) == (kind if is_kind else "given")
    if not options:
        assert moe.dispersion_alpha_ != moe.alpha_


@pytest.mark.parametrize(
    ("make", "base", "y"),
    [
        (MixtureOfExpertsRegressor, None, Y),
        (MixtureOfExpertsRegressor, Ridge(), Y),
        (MixtureOfExpertsRegressor, PoissonRegressor(), target_of("poisson")),
        (MixtureOfExpertsClassifier, LogisticRegression(), CLASSES),
    ],
)
def test_default_penalties_are_a_search(make, base, y):
    options = {"family": "poisson"} if isinstance(base, PoissonRegressor) else {}
    default, auto = (
        fit_quietly(make(**OPTIONS | options | given, base=base), X[ROWS], y[ROWS])
        for given in ({}, {"alpha": "auto", "gate_alpha": "auto"})
    )
    assert (default.alpha_, default.gate_alpha_) == (auto.alpha_, auto.gate_alpha_)


def test_penalties_of_dropped_features_are_infinite():
    moe = MixtureOfExpertsRegressor(**OPTIONS | {"n_experts": 1, "alpha": "ard"})
    fit_quietly(moe, X[ROWS], X[ROWS, 0])
    assert_array_equal(np.isinf(moe.alpha_), moe.expert_coef_[0] == 0.0)
    assert np.isinf(moe.alpha_).tolist() == [False, True]
