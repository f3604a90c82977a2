"""
Write your own family, gate and experts
=======================================

**The question.** The distribution, the gate or the experts that you need are not in skmoe. How few
lines do you have to write, and what does each further method bring?

Write a ``Family`` if a linear predictor has the mean, which is nearly always so. Write ``Experts``
if there is no such predictor, and a ``Gate`` for probabilities of your own.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import i0e, i1e
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsRegressor
from skmoe.distributions import NegativeBinomialComponents
from skmoe.families import FAMILIES, Family
from skmoe.gates import GATES
from skmoe.protocols import Dispersion, Experts, Gate

# %%
# A family: one method
# --------------------
# Visits to a doctor in a year (RAND Health Insurance Experiment, public domain) have a geometric
# distribution, if a person goes on seeing doctors with the same probability after each visit. A
# family is a frozen dataclass with a name and the log probability of y, given the predictors
# ``eta``: the linear predictor, and logs of dispersions, of which there are none here. The log link
# makes the exponential of ``eta[0]`` the mean.

table = pd.read_csv(files("statsmodels.datasets.randhie") / "src" / "randhie.csv")
adults = table[(table["year"] == 1) & (table["xage"] >= 18)].head(1500)
X, y = adults[["xage", "female", "disea"]], adults["mdvis"].astype(float)


@dataclass(frozen=True)
class JustGeometric(Family):
    name = "geometric"
    link = "log"
    is_continuous = False  # a probability of counts, not a density

    def log_prob(self, y, eta):
        return y * eta[0] - (y + 1) * np.logaddexp(0, eta[0])


moe = MixtureOfExpertsRegressor(2, family=JustGeometric(), random_state=0)
pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), moe).fit(X, y)
print(pipeline[-1].summary(pipeline[:-1].transform(X), y))

# %%
# Derivatives are differences of ``log_prob``, so that standard errors, weights, units, regimes in
# time, known experts, signs and ``n_experts="auto"`` work already.
#
# A distribution and a support
# ----------------------------
# Intervals, draws and the report need the distribution of y, of ``skmoe.distributions``: the
# geometric one is negative binomial with dispersion one. ``in_support`` refuses other targets by a
# message with ``support``, ``working_target`` makes them linear for the starts, and the registry
# makes the name a value of ``family``, also in lists.


@dataclass(frozen=True)
class Geometric(JustGeometric):
    support = "counts, which are non-negative integers,"

    def in_support(self, y):
        return (y >= 0) & (y == np.floor(y))

    def working_target(self, y):
        return np.log1p(y)

    def components(self, eta):
        return NegativeBinomialComponents.single(np.exp(np.atleast_2d(eta[0])), np.ones(()))


FAMILIES["geometric"] = Geometric
for family in ("poisson", "geometric", "negative_binomial", ["zero", "geometric"]):
    moe = MixtureOfExpertsRegressor(2, family=family, random_state=0).fit(X, y)
    low, high = moe.predict_interval(X, coverage=0.9).T
    covered = ((low <= y) & (y <= high)).mean()
    print(f"{family!s:<22} BIC {moe.bic(X, y):.0f}, {covered:.0%} covered")

# %%
# Further facts of a family have comments in ``skmoe/families/_base.py``. A positive dispersion is a
# ``Dispersion`` in ``dispersions``, with bounds in ``log_dispersion_bounds`` and its log in
# ``eta[1]``; location-scale families have ``standardizes_target = True``. For speed yield the score
# and the information in ``derivatives``, as ``skmoe/families/_positive.py`` does.
#
# A gate: five methods
# --------------------
# A gate is a classifier whose target is the expert, with responsibilities ``resp`` of shape (K, n)
# as weights. Parameters and sums over rows are named tuples of arrays. This gate has the same
# probabilities for all rows, as ``gate="constant"``.


class Weights(NamedTuple):
    log_weight: np.ndarray  # log probability of each expert, (K,)


class WeightsGate(Gate):
    depends_on_features = False

    def init_params(self, n_experts, n_columns):
        return Weights(np.full(n_experts, -np.log(n_experts)))

    def log_prob(self, params, design):
        return np.repeat(params.log_weight[:, None], design.shape[0], axis=1)

    def statistics(self, params, design, resp, log_prob):
        return resp.sum(axis=1)

    def m_step(self, statistics, factor, params, step):
        return self.project(Weights(np.log(statistics)))

    def project(self, params):  # the nearest valid parameters
        return Weights(params.log_weight - np.logaddexp.reduce(params.log_weight))

    def n_parameters(self, params):
        return len(params.log_weight) - 1


# %%
# A Dirichlet prior adds an option and its penalty, which is subtracted from the log-likelihood: an
# expert has ``alpha`` rows more than it has. The estimator passes its ``gate_alpha`` to the field.


@dataclass(frozen=True)
class DirichletGate(WeightsGate):
    alpha: float = 1.0

    def m_step(self, statistics, factor, params, step):
        return super().m_step(statistics + self.alpha, factor, params, step)

    def penalty(self, params):
        return -self.alpha * params.log_weight.sum()


GATES["dirichlet"] = DirichletGate
for alpha in (0.0, 1000.0):
    moe = MixtureOfExpertsRegressor(
        2, family="geometric", gate="dirichlet", gate_alpha=alpha, random_state=0
    )
    print(f"gate_alpha={alpha:<6} weights {moe.fit(X, y).weights_.round(2)}")

# %%
# Experts: five methods
# ---------------------
# The direction of the wind is an angle, whose mean is no linear predictor. Each expert has a von
# Mises distribution: a direction, and a concentration about it. ``y`` has the shape (1, n), and the
# M-step needs the sums of cosines and sines (Mardia and Jupp 2000, *Directional Statistics*).

rng = np.random.default_rng(0)
winds = pd.DataFrame({"month": rng.uniform(0, 12, size=400)})
is_from_sea = rng.uniform(size=400) < 1 / (1 + np.exp(6 - winds["month"]))
angles = np.where(is_from_sea, rng.vonmises(1, 8, size=400), rng.vonmises(-2, 2, size=400))


class Winds(NamedTuple):
    direction: np.ndarray  # (K,)
    log_concentration: np.ndarray  # (K,)


class Sums(NamedTuple):
    weight: np.ndarray
    cos: np.ndarray
    sin: np.ndarray


class JustVonMises(Experts):
    standardizes_target = False
    other_params = "direction", "log_concentration"

    def init_params(self, n_experts, n_columns):
        return Winds(np.zeros(n_experts), np.zeros(n_experts))

    def log_prob(self, params, design, y):
        kappa = np.exp(params.log_concentration)[:, None]
        turned = np.cos(y[0] - params.direction[:, None])
        return kappa * (turned - 1) - np.log(2 * np.pi * i0e(kappa))

    def mean(self, params, design):
        return np.repeat(params.direction[:, None, None], design.shape[0], axis=2)

    def statistics(self, params, design, y, resp):
        return Sums(resp.sum(axis=1), resp @ np.cos(y[0]), resp @ np.sin(y[0]))

    def m_step(self, statistics, factor, params, step):
        weight, cos, sin = statistics
        length = np.hypot(cos, sin) / weight
        kappa = length * (2 - length**2) / (1 - length**2)  # nearly, and two Newton steps
        for _ in range(2):
            ratio = i1e(kappa) / i0e(kappa)
            kappa = kappa + (length - ratio) / (1 - ratio**2 - ratio / kappa)
        return Winds(np.arctan2(sin, cos), np.log(kappa))


moe = MixtureOfExpertsRegressor(2, expert=JustVonMises(), random_state=0).fit(winds, angles)
print("log density", moe.score_samples(winds, angles).mean().round(3))
january = pd.DataFrame({"month": [0.5]})
print("probabilities in January", moe.predict_gate(january)[0].round(2))

# %%
# ``attributes`` are what a fit shows. ``blocks`` lists what tables show and inference estimates: a
# ``Dispersion`` for positive numbers, and a ``LinearPredictor`` for coefficients of the design,
# which has standardised features and a last column of ones. Each field of the parameters is in a
# block, or in ``other_params``. With ``reorder`` experts can have any order, so that the largest is
# the first.


class VonMises(JustVonMises):
    support = "angles in radians, from -pi to pi"
    blocks = (Dispersion("log(concentration)", "concentration_", params="log_concentration"),)
    other_params = ("direction",)

    def in_support(self, y):
        return (np.abs(y) <= np.pi).all(axis=0)

    def attributes(self, params, units):
        return {"direction_": params.direction, "concentration_": np.exp(params[1])}

    def reorder(self, params, order):
        return Winds(*(values[order] for values in params))


moe = MixtureOfExpertsRegressor(2, expert=VonMises(), random_state=0)
moe = make_pipeline(StandardScaler(), moe).fit(winds, angles)[-1]
print(moe.direction_.round(2))
print(moe.summary(StandardScaler().fit_transform(winds), angles))

# %%
# Options are fields of a dataclass, as ``alpha`` of the gate. ``hessian`` and ``factorize`` give
# the M-step its ``factor`` for a Newton step, of which ``step`` is the length. ``components`` has
# the distribution under one expert, and ``takes_offset`` and ``takes_bounds`` further rows.
# ``skmoe.protocols`` describes all of them. EM halves an M-step that lowers the likelihood, and
# ``lower_bounds_`` never falls: test that for what you write.
