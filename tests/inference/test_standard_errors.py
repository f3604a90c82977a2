"""Standard errors against second differences of log-likelihoods that are written out here.

Every registered family under every registered gate: gradients vanish at the fit, and the observed
information, the sandwich and its clusters are those of numerical derivatives.
"""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import linalg
from scipy.special import log_softmax

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import GATES, SoftmaxGate
from support.expert_kinds import GENERALIZED, KINDS_OF_FITS, draw, example, log_density, options_of


def table(family, task, n_regimes=2, n_outputs=1, n_classes=2):
    """Rows in units of three, whose regimes overlap, so that no coefficient is near a bound.

    Rows of a unit have the same features and, but for a tenth of the probability, one regime.
    """
    rng = np.random.default_rng(0)
    n = 600 if task == "classifier" else 180  # labels tell less than numbers
    Z = np.repeat(rng.normal(size=(n // 3, 2)), 3, axis=0)
    X = Z * [1.0, 3.0] + [2.0, -1.0]
    noise = np.repeat(0.3 * rng.logistic(size=n // 3), 3)
    regime = np.digitize(Z[:, 0] + noise, [[0.0], [-0.6, 0.6]][n_regimes - 2])
    slopes, levels = np.array([[2.0, -2.0], [2.0, -2.0, 1.0]][n_regimes - 2]), [0.5, -1.0, 2.5]
    signal = slopes[regime] * Z[:, 1] + np.take(levels, regime) + 0.3 * Z[:, 0]
    weight = rng.uniform(0.5, 2.0, size=n)
    start = 0.9 * np.eye(n_regimes)[regime] + 0.1 / n_regimes
    if task == "classifier":
        scores = np.outer(signal, np.arange(n_classes)) * 2.0 / (n_classes - 1)
        y = (scores + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    elif family in GENERALIZED:
        level, steps = (0.7, (1.2, 1.5)) if family == "ordinal" else (1.5, (0.6, 1.5))
        y = draw(family, level + 0.6 * signal, rng, steps)
    else:
        y = signal + 0.4 * rng.normal(size=n)
        other = 20.0 - 10.0 * signal + 8.0 * rng.normal(size=n)
        y = y if n_outputs == 1 else np.column_stack([y, other])
    return X, y, weight, start


class Likelihood:
    """A penalised log-likelihood in free coordinates, and what a fit reports as functions of them.

    Coordinates: coefficient vectors of experts, intercept first; log dispersions; logits of the
    gate against its last expert. Penalties are those of standardised features and outputs.
    """

    def __init__(self, moe, rows, family, prior, in_units):
        X, y, self.weight = rows
        self.X, self.y = np.column_stack([np.ones(len(X)), X]), y
        self.K, self.prior, self.in_units = moe.n_experts_, prior, in_units
        self.balance = getattr(moe.gate, "balance", 0.0)
        mean = np.average(X, axis=0, weights=self.weight)
        self.scale = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=self.weight))
        self.alpha, self.gate_alpha = moe.alpha_, np.nan_to_num(moe.gate_alpha_)
        self.has_slopes = moe.gate != "constant"
        self.shared = getattr(moe, "dispersion", "") == "shared"
        self.C = len(moe.classes_) if hasattr(moe, "classes_") else 0
        self.family = None if self.C else family
        self.n_vectors = max(self.C - 1, 1) if self.C else y.reshape(len(y), -1).shape[1]
        self.attributes = []
        if family == "linear" and not self.C:
            self.attributes = [("noise_variance_", None)]
        elif not self.C:
            self.attributes = [(d.attribute, d.position) for d in example(family).dispersions]
        self.has_scale = bool(self.attributes) and (family == "linear" or example(family).has_scale)
        self.unit = 1.0  # of a dispersion, relative to which slopes are penalised
        if self.has_scale and family != "linear":
            self.unit = float(np.ravel(moe.families_[0].dispersion_unit)[0])
        self.n_own = 1 if self.shared else self.K
        self.noise = 0.0  # scale of the prior of noise variances, if it has one
        if prior:
            self.noise = self.scale_of_prior(moe)

    def scale_of_prior(self, moe):
        """The scale at which the noise variance of the first expert is at its maximum."""
        theta, place = self.at(moe), self.K * self.n_vectors * 3
        step = 1e-5 * (np.arange(len(theta)) == place)
        slope = (self.objective(theta + step) - self.objective(theta - step)) / 2e-5
        return -2.0 * slope * np.exp(theta[place]) / self.prior

    def at(self, moe):
        """The coordinates of a fit."""
        coef = np.concatenate([moe.expert_intercept_[..., None], moe.expert_coef_], axis=-1)
        if self.C > 2:  # against the last class
            coef = (coef - coef[:, -1:])[:, :-1]
        parts = [coef.ravel()]
        for name, position in self.attributes:
            values = getattr(moe, name)
            values = values if position is None else values[..., position]
            parts.append(np.log(values.reshape(self.K, -1)[: self.n_own]).ravel())
        gate = np.column_stack([moe.gate_intercept_, moe.gate_coef_])
        gate = (gate - gate[-1])[:-1]
        parts.append((gate if self.has_slopes else gate[:, :1]).ravel())
        return np.concatenate(parts)

    def split(self, theta):
        """Coefficients (K, m, d), log dispersions (D, K, m) and logits of the gate (K, d)."""
        size = self.K * self.n_vectors * 3
        coef = theta[:size].reshape(self.K, self.n_vectors, 3)
        n_dispersions = len(self.attributes)
        end = size + n_dispersions * self.n_own * (1 if self.C else self.n_vectors)
        logs = theta[size:end].reshape(n_dispersions, self.n_own, -1) if n_dispersions else None
        if logs is not None:
            logs = np.broadcast_to(logs, (n_dispersions, self.K, self.n_vectors))
        gate = theta[end:].reshape(self.K - 1, -1)
        logits = np.zeros((self.K, 3))  # of a constant gate the intercepts only
        logits[:-1, : gate.shape[1]] = gate
        return coef, logs, logits

    def log_gate(self, gate):
        """Log probabilities of the experts for each row."""
        logits = self.X @ gate.T
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)

    def rows(self, theta):
        """Log density of each row, or of each unit, in which weights are powers of densities."""
        coef, dispersions, gate = self.split(theta)
        log_gate = self.log_gate(gate)
        predictor = np.einsum("nd,kmd->nkm", self.X, coef)
        if self.C:
            zeros = np.zeros((len(self.y), self.K, 1))
            order = [zeros, predictor] if self.C == 2 else [predictor, zeros]
            logits = np.concatenate(order, axis=2)
            logs = log_softmax(logits, axis=2)[np.arange(len(self.y)), :, self.y]
        elif self.family == "linear":
            outputs = self.y.reshape(len(self.y), 1, -1)
            squares = (outputs - predictor) ** 2 * np.exp(-dispersions[0])
            logs = -0.5 * (squares + dispersions[0] + np.log(2.0 * np.pi)).sum(axis=2)
        else:
            values = [] if dispersions is None else np.exp(dispersions[..., 0])
            logs = log_density(self.family, self.y[:, None], predictor[..., 0], values)
        if self.in_units:
            logs = (self.weight[:, None] * logs).reshape(-1, 3, self.K).sum(axis=1)
            log_gate = log_gate[::3]
        return np.logaddexp.reduce(log_gate + logs, axis=1)

    def objective(self, theta):
        """The log-likelihood less penalties and priors, up to a constant."""
        rows = self.rows(theta)
        log_likelihood = rows.sum() if self.in_units else self.weight @ rows
        coef, dispersions, gate = self.split(theta)
        if self.balance:  # a prior on the mean probabilities of the experts
            usage = np.average(np.exp(self.log_gate(gate)), axis=0, weights=self.weight)
            log_likelihood += self.balance * self.weight.sum() * np.log(usage).mean()
        gate = gate - gate.mean(axis=0)
        penalty = self.gate_alpha * np.square(gate[:, 1:] * self.scale).sum()
        if self.C > 2:
            coef = np.concatenate([coef, np.zeros((self.K, 1, 3))], axis=1)
            coef = coef - coef.mean(axis=1, keepdims=True)
        slopes = np.square(coef[..., 1:] * self.scale).sum(axis=2)
        if self.has_scale:
            slopes = slopes * np.exp(-dispersions[0]) * self.unit
            priors = dispersions[0] + self.noise * np.exp(-dispersions[0])
            penalty += self.prior * priors[: self.n_own].sum()
        return log_likelihood - 0.5 * (penalty + self.alpha * slopes.sum())

    def reported(self, theta, reference=0):
        """The terms of an inference, in their order: log odds against an expert, or a class."""
        coef, dispersions, gate = self.split(theta)
        if self.C > 2:
            coef = np.concatenate([coef, np.zeros((self.K, 1, 3))], axis=1)
            coef = coef[:, 1:] - coef[:, :1]
        parts = []
        for k in range(self.K):
            parts.append(coef[k].ravel())
            parts.append([] if dispersions is None else dispersions[:, k].ravel())
        gate = np.delete(gate - gate[reference], reference, axis=0)
        gate = gate if self.has_slopes else gate[:, :1]
        return np.concatenate([*parts, gate.ravel()])


def jacobian(function, point, steps):
    """Central differences of a vector function, (n, D)."""
    columns = []
    for i, width in enumerate(steps):
        unit = width * (np.arange(len(point)) == i)
        columns.append((function(point + unit) - function(point - unit)) / (2 * width))
    return np.stack(columns, axis=-1)


def hessian(function, point, steps):
    """Second differences of a number, (D, D)."""
    size = len(point)
    unit, found = np.diag(steps), np.empty((size, size))
    # Twice the even part of the function, less that at the point.
    middle = 2.0 * function(point)

    def even(step):
        return function(point + step) + function(point - step) - middle

    alone = [even(step) for step in unit]
    for i in range(size):
        for j in range(i + 1):
            both = even(unit[i] + unit[j])
            found[i, j] = (both - alone[i] - alone[j]) / (2 * steps[i] * steps[j])
            found[j, i] = found[i, j]
    return found


def cases():
    """Each family and gate with weights and penalties, and what some of them have besides."""
    for family, task in KINDS_OF_FITS:
        yield family, task, "softmax", {}
    for gate in sorted(
        name for name, kind in GATES.items() if not kind.persists and name != "softmax"
    ):
        for family, task in (("linear", "regressor"), ("linear", "classifier")):
            yield family, task, gate, {}
    yield "linear", "regressor", "softmax", {"n_experts": 3}
    yield "linear", "regressor", "softmax", {"sizes": {"n_outputs": 2}}
    yield "linear", "regressor", "softmax", {"dispersion": "shared", "sizes": {"n_outputs": 2}}
    yield "linear", "regressor", "constant", {"dispersion": "shared"}
    yield "linear", "regressor", SoftmaxGate(balance=0.5), {"prior": 40.0}
    yield "gamma", "regressor", "softmax", {"dispersion": "shared"}
    yield "linear", "classifier", "softmax", {"sizes": {"n_classes": 3}}
    yield "linear", "regressor", "softmax", {"in_units": True}
    yield "linear", "regressor", "constant", {"in_units": True}
    yield "gamma", "regressor", "softmax", {"in_units": True}


def fitted(family, task, gate, n_experts=2, prior=0.0, in_units=False, sizes=None, **options):
    """A fit at its maximum, its rows and its likelihood."""
    X, y, weight, start = table(family, task, n_experts, **sizes or {})
    kind = MixtureOfExpertsClassifier if task == "classifier" else MixtureOfExpertsRegressor
    options |= {"alpha": 2.0, "gate_alpha": 3.0, "init": start, "tol": 1e-12, "max_iter": 5000}
    options |= {"dispersion_prior": prior} if task == "regressor" else {}
    moe = kind(n_experts, gate=gate, **options, **options_of(family))
    given = {"units": np.repeat(np.arange(len(y) // 3), 3)} if in_units else {}
    moe.fit(X, y, sample_weight=weight, **given)
    return moe, (X, y, weight), given, Likelihood(moe, (X, y, weight), family, prior, in_units)


@pytest.mark.parametrize(("family", "task", "gate", "options"), cases())
@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_standard_errors_are_those_of_numerical_derivatives(family, task, gate, options):
    moe, (X, y, weight), given, likelihood = fitted(family, task, gate, **options)
    theta = likelihood.at(moe)
    weighted = given | ({"sample_weight": weight} if given else {})
    assert_allclose(moe.score_samples(X, y, **weighted), likelihood.rows(theta), atol=1e-7)
    steps = 1e-4 * np.maximum(1.0, np.abs(theta))
    observed = -hessian(likelihood.objective, theta, steps)
    assert linalg.eigvalsh(observed)[0] > 0
    inverse = linalg.inv(observed)
    # The fit is at the maximum: a Newton step is a small part of a standard error.
    gradient = jacobian(likelihood.objective, theta, steps)
    assert (np.abs(inverse @ gradient) < 1e-2 * np.sqrt(np.diag(inverse))).all()
    scores = jacobian(likelihood.rows, theta, steps)
    of_rows = np.ones(len(scores)) if given else weight
    # Clusters are pairs of units, or six rows.
    pairs = np.arange(len(scores)) // (2 if given else 6)
    sums = np.stack([
        (of_rows[:, None] * scores)[pairs == pair].sum(axis=0) for pair in np.unique(pairs)
    ])  # fmt: skip
    clusters = np.arange(len(y)) // 6
    few = len(sums) / (len(sums) - 1)
    sums -= sums.mean(axis=0)  # the gradient of the penalty
    sandwich = {"method": "sandwich"}
    for requested, middle in (
        ({}, observed),
        ({"gate_reference": moe.n_experts_ - 1}, observed),
        (sandwich, (scores.T * of_rows) @ scores),
        (sandwich | {"cluster": clusters, "gate_reference": 0}, few * sums.T @ sums),
    ):
        result = moe.inference(X, y, sample_weight=weight, **given, **requested)
        reported = partial(likelihood.reported, reference=requested.get("gate_reference", 0))
        assert_allclose(result.estimates, reported(theta), atol=1e-6)
        slopes = jacobian(reported, theta, steps)
        covariance = slopes @ inverse @ middle @ inverse @ slopes.T
        expected = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        known = expected > 1e-6
        assert (known == [reason != "fixed" for reason in result.reasons]).all()
        # Where the likelihood is nearly flat, the step of the differences decides.
        known &= expected < 30.0
        assert known.mean() > 0.6
        assert_allclose(result.standard_errors[known], expected[known], rtol=5e-3)
        assert_allclose(
            result.covariance[np.ix_(known, known)] / np.outer(expected, expected)[known][:, known],
            covariance[np.ix_(known, known)] / np.outer(expected, expected)[known][:, known],
            atol=5e-3,
        )
