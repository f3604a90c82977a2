"""Standard errors by second differences of log-likelihoods that are written here, with scipy only.

Every registered family under every registered gate: gradients vanish at the fit, the observed
information and the sandwich are those of numerical derivatives, p-values and intervals those of
scipy's normal distribution.
"""

from functools import partial

import numpy as np
import pytest
from kinds import GENERALIZED, KINDS, draw, log_density, n_dispersions, options_of
from numpy.testing import assert_allclose
from scipy import linalg, stats
from scipy.special import log_softmax

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._inference.coefficients import Coefficients, Term
from skmoe._inference.results import Inference
from skmoe._inference.standard_errors import compared_to_fit
from skmoe.experts import LinearExperts, LogisticExperts
from skmoe.families import FAMILIES
from skmoe.gates import GATES
from skmoe.protocols import SupportsDistribution


def table(family, task, n_regimes=2, n_outputs=1, n_classes=2, seed=0):
    """Rows whose regimes overlap, so that no coefficient is near a bound."""
    rng = np.random.default_rng(seed)
    n = 1200 if task == "classifier" else 400  # labels tell less than numbers
    Z = rng.normal(size=(n, 2))
    X = Z * [1.0, 3.0] + [2.0, -1.0]
    regime = np.digitize(Z[:, 0] + 0.3 * rng.logistic(size=n), [[0.0], [-0.6, 0.6]][n_regimes - 2])
    slopes, levels = np.array([[2.0, -2.0], [2.0, -2.0, 1.0]][n_regimes - 2]), [0.5, -1.0, 2.5]
    signal = slopes[regime] * Z[:, 1] + np.take(levels, regime) + 0.3 * Z[:, 0]
    weight = rng.uniform(0.5, 2.0, size=n)
    start = 0.9 * np.eye(n_regimes)[regime] + 0.1 / n_regimes
    if task == "classifier":
        scores = np.outer(signal, np.arange(n_classes)) * 2.0 / (n_classes - 1) + rng.gumbel(
            size=(n, n_classes)
        )
        return X, scores.argmax(axis=1), weight, start
    if family in GENERALIZED:
        level, steps = (0.7, (1.2, 1.5)) if family == "ordinal" else (1.5, (0.6, 1.5))
        return X, draw(family, level + 0.6 * signal, rng, steps), weight, start
    y = signal + 0.4 * rng.normal(size=n)
    if n_outputs == 1:
        return X, y, weight, start
    Y = np.column_stack([y, 20.0 - 10.0 * signal + 8.0 * rng.normal(size=n)])
    return X, Y, weight, start


class Likelihood:
    """A penalised log-likelihood in free coordinates, and what a fit reports as functions of them.

    Coordinates: coefficient vectors of experts, intercept first; log variances; logits of the gate
    against its last expert. Penalties are those of standardised features and outputs.
    """

    def __init__(self, moe, X, y, weight, family, task):
        self.X = np.column_stack([np.ones(len(X)), X])
        self.weight, self.family, self.task = weight, family, task
        self.K = moe.n_experts_
        mean = np.average(X, axis=0, weights=weight)
        self.scale = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
        self.alpha, self.gate_alpha = moe.alpha_, getattr(moe, "gate_alpha_", 0.0)
        self.has_slopes = np.abs(moe.gate_coef_).max() > 0
        self.shared = getattr(moe, "dispersion", "") == "shared"
        self.y = y
        self.normal = family == "linear" and task == "regressor"
        # Dispersion parameters of the other families, all without prior but for the scale.
        self.dispersions = moe._fitted.model.experts.dispersions
        self.n_dispersions = 0 if self.normal or task == "classifier" else n_dispersions(family)
        self.has_scale = family in GENERALIZED and FAMILIES[family].has_scale
        self.C = len(moe.classes_) if task == "classifier" else 0
        if self.normal:
            outputs = y.reshape(len(y), -1)
            center = np.average(outputs, axis=0, weights=weight)
            self.unit = np.average((outputs - center) ** 2, axis=0, weights=weight)
            self.prior = moe.dispersion_prior
            self.noise = np.array(moe._fitted.model.experts.noise_variance) * self.unit
        if self.has_scale:
            units = moe._fitted.preprocessor.target_scaling
            standard = (y - units.center) / units.scale
            experts = moe._fitted.model.experts
            working = units.scale * experts.working_target(standard[None])[0]
            center = np.average(working, weights=weight)
            unit = np.average((working - center) ** 2, weights=weight)
            self.prior = moe.dispersion_prior
            self.noise = moe._fitted.model.experts.noise_variance[0] * unit
            self.unit = units.scale**2
        self.n_vectors = max(self.C - 1, 1) if self.C else y.reshape(len(y), -1).shape[1]

    def at(self, moe):
        """The coordinates of a fit."""
        coef = np.concatenate([moe.expert_intercept_[..., None], moe.expert_coef_], axis=-1)
        if self.C > 2:  # against the last class
            coef = (coef - coef[:, -1:])[:, :-1]
        parts = [coef.ravel()]
        if self.normal:
            variance = moe.noise_variance_.reshape(self.K, -1)
            parts.append(np.log(variance[:1] if self.shared else variance).ravel())
        for dispersion in self.dispersions[: self.n_dispersions]:
            values = getattr(moe, dispersion.attribute)
            values = values if dispersion.position is None else values[..., dispersion.position]
            values = values.reshape(self.K, -1)
            parts.append(np.log(values[:1] if self.shared else values).ravel())
        gate = np.column_stack([moe.gate_intercept_, moe.gate_coef_])
        gate = (gate - gate[-1])[:-1]
        parts.append((gate if self.has_slopes else gate[:, :1]).ravel())
        return np.concatenate(parts)

    def split(self, theta):
        size = self.K * self.n_vectors * 3
        coef = theta[:size].reshape(self.K, self.n_vectors, 3)
        log_variance = None
        if self.normal:
            n_variances = self.n_vectors * (1 if self.shared else self.K)
            log_variance = theta[size : size + n_variances].reshape(-1, self.n_vectors)
            log_variance = np.broadcast_to(log_variance, (self.K, self.n_vectors))
            size += n_variances
        if self.n_dispersions:
            n_own = 1 if self.shared else self.K
            log_variance = theta[size : size + n_own * self.n_dispersions]
            log_variance = log_variance.reshape(self.n_dispersions, n_own, 1)
            log_variance = np.broadcast_to(log_variance, (self.n_dispersions, self.K, 1))
            size += n_own * self.n_dispersions
        gate = theta[size:].reshape(self.K - 1, -1)
        gate = np.pad(gate, ((0, 1), (0, 3 - gate.shape[1])))
        return coef, log_variance, gate

    def parts(self, theta):
        """Log probabilities of the gate and log densities under each expert, both (n, K)."""
        coef, log_variance, gate = self.split(theta)
        log_gate = log_softmax(self.X @ gate.T, axis=1)
        predictor = np.einsum("nd,kmd->nkm", self.X, coef)
        if self.normal:
            outputs = self.y.reshape(len(self.y), 1, -1)
            logs = stats.norm.logpdf(outputs, predictor, np.exp(0.5 * log_variance)).sum(axis=2)
        elif self.family in GENERALIZED:
            dispersion = [] if log_variance is None else np.exp(log_variance[..., 0])
            logs = log_density(self.family, self.y[:, None], predictor[..., 0], dispersion)
        else:
            zeros = np.zeros((len(self.y), self.K, 1))
            order = [zeros, predictor] if self.C == 2 else [predictor, zeros]
            logits = np.concatenate(order, axis=2)
            logs = log_softmax(logits, axis=2)[np.arange(len(self.y)), :, self.y]
        return log_gate, logs

    def rows(self, theta):
        """Log density of each row."""
        log_gate, logs = self.parts(theta)
        return np.logaddexp.reduce(log_gate + logs, axis=1)

    def penalty(self, theta):
        coef, log_variance, gate = self.split(theta)
        gate = gate - gate.mean(axis=0)
        value = 0.5 * self.gate_alpha * np.square(gate[:, 1:] * self.scale).sum()
        if self.C > 2:
            coef = np.concatenate([coef, np.zeros((self.K, 1, 3))], axis=1)
            coef = coef - coef.mean(axis=1, keepdims=True)
        slopes = np.square(coef[..., 1:] * self.scale).sum(axis=2)
        if self.normal:
            precision = np.exp(-log_variance)
            slopes = slopes * precision
            priors = log_variance + self.noise * precision
            value += 0.5 * self.prior * (priors[:1] if self.shared else priors).sum()
        if self.has_scale:
            precision = np.exp(-log_variance[0])
            slopes = slopes * precision
            priors = log_variance[0] + self.noise * precision
            value += 0.5 * self.prior * (priors[:1] if self.shared else priors).sum()
        return value + 0.5 * self.alpha * slopes.sum()

    def objective(self, theta):
        return self.weight @ self.rows(theta) - self.penalty(theta)

    def reported(self, theta, reference=None):
        """The terms of an inference, in their order."""
        coef, log_variance, gate = self.split(theta)
        if self.C > 2:
            coef = np.concatenate([coef, np.zeros((self.K, 1, 3))], axis=1)
            coef = coef - coef.mean(axis=1, keepdims=True)
        parts = []
        for k in range(self.K):
            parts.append(coef[k].ravel())
            if self.normal:
                parts.append(log_variance[k])
            elif self.n_dispersions:
                parts.append(log_variance[:, k, 0])
        constant_gate = log_softmax(gate[:, :1], axis=0)
        gate = gate - gate.mean(axis=0) if self.has_slopes else constant_gate
        gate = gate if reference is None else gate - gate[reference]
        return np.concatenate([*parts, gate.ravel()])


class UnitLikelihood(Likelihood):
    """The same for units of three rows, in which weights are powers of densities."""

    def rows(self, theta):
        """Log density of each unit."""
        log_gate, logs = self.parts(theta)
        sums = (self.weight[:, None] * logs).reshape(-1, 3, self.K).sum(axis=1)
        return np.logaddexp.reduce(log_gate[::3] + sums, axis=1)

    def objective(self, theta):
        return self.rows(theta).sum() - self.penalty(theta)


def unit_table(family, task):
    """Rows of `table` in units of three from one regime, which have the same features."""
    X, y, weight, start = table(family, task)
    regime = start.argmax(axis=1)
    rows = [np.flatnonzero(regime == r) for r in (0, 1)]
    rows = [own[np.argsort(X[own, 1], kind="stable")][: len(own) // 3 * 3] for own in rows]
    order = np.concatenate(rows)
    means = X[order].reshape(-1, 3, 2).mean(axis=1)
    return np.repeat(means, 3, axis=0), y[order], weight[order], start[order]


def derivative(function, point, step):
    """Central differences of a vector function, (n, D)."""
    columns = []
    for i, width in enumerate(step):
        unit = np.zeros(len(point))
        unit[i] = width
        ends = [function(point + sign * unit) for sign in (-2, -1, 1, 2)]
        columns.append((ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * width))
    return np.stack(columns, axis=-1)


def hessian(function, point, step):
    """Second differences of a number, (D, D)."""
    size = len(point)
    unit, found = np.diag(step), np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
            ends = [function(point + a * unit[i] + b * unit[j]) for a, b in signs]
            found[i, j] = (ends[0] - ends[1] - ends[2] + ends[3]) / (4 * step[i] * step[j])
            found[j, i] = found[i, j]
    return found


OPTIONS = {
    "plain": {},
    "three experts": {"n_experts": 3},
    "weights": {"weighted": True},
    "penalties": {"alpha": 5.0, "gate_alpha": 5.0},
    "weights, penalties, three experts": {
        "weighted": True,
        "alpha": 1.5,
        "gate_alpha": 2.0,
        "n_experts": 3,
    },
    "outputs": {"n_outputs": 2, "weighted": True},
    "shared": {"dispersion": "shared", "weighted": True},
    "shared outputs": {"dispersion": "shared", "n_outputs": 2, "alpha": 5.0},
    "variance prior": {"dispersion_prior": 40.0, "alpha": 5.0, "weighted": True},
    "shared with a prior": {"dispersion": "shared", "dispersion_prior": 40.0},
    "three classes": {"n_classes": 3, "weighted": True, "alpha": 2.0, "gate_alpha": 4.0},
}


def cases():
    for family, task in KINDS:
        for gate in GATES:
            for name, options in OPTIONS.items():
                if "n_outputs" in options and (family, task) != ("linear", "regressor"):
                    continue
                has_dispersion = task == "regressor" and n_dispersions(family) > 0
                if {"dispersion", "dispersion_prior"} & set(options) and not has_dispersion:
                    continue
                # What a family does with weights and penalties alone, it does with both.
                if name in ("three experts", "weights", "penalties") and family != "linear":
                    continue
                if "n_classes" in options and task != "classifier":
                    continue
                # Without features in the gate the tails of one expert can be rows of the other.
                if family in ("student_t", "ordinal") and gate == "constant":
                    continue
                # Shares of three logistic regressions cannot be told from a label per row.
                if task == "classifier" and gate == "constant" and "n_experts" in options:
                    continue
                yield pytest.param(family, task, gate, options, id=f"{family}-{task}-{gate}-{name}")


def fitted(family, task, gate, options):
    options = dict(options)
    weighted = options.pop("weighted", False)
    sizes = {name: options.pop(name) for name in ("n_outputs", "n_classes") if name in options}
    X, y, weight, regimes = table(family, task, options.get("n_experts", 2), **sizes)
    kind = MixtureOfExpertsClassifier if task == "classifier" else MixtureOfExpertsRegressor
    if task == "regressor":
        options.setdefault("dispersion_prior", 1.0)
    plain = {"alpha": 1.0, "n_experts": 2, "tol": 1e-13, "max_iter": 20_000, "init": regimes}
    moe = kind(**options_of(family), gate=gate, **(plain | options))
    moe.fit(X, y, sample_weight=weight if weighted else None)
    return moe, X, y, weight if weighted else np.ones(len(X))


@pytest.mark.parametrize(("family", "task", "gate", "options"), cases())
def test_inference_is_that_of_numerical_derivatives(family, task, gate, options):
    moe, X, y, weight = fitted(family, task, gate, options)
    likelihood = Likelihood(moe, X, y, weight, family, task)
    theta = likelihood.at(moe)
    log_likelihood = weight @ likelihood.rows(theta)
    assert_allclose(weight @ moe.score_samples(X, y), log_likelihood, rtol=1e-9)
    assert_allclose(
        moe.lower_bound_ * weight.sum(),
        likelihood.objective(theta) + constant(likelihood),
        rtol=1e-8,
    )
    rough = 1e-3 * np.maximum(1.0, np.abs(theta)) / 10
    observed = -hessian(likelihood.objective, theta, rough)
    assert linalg.eigvalsh(observed)[0] > 0
    inverse = linalg.inv(observed)
    # The fit is at the maximum: a Newton step is a small part of a standard error.
    gradient = derivative(likelihood.objective, theta, rough)
    errors = np.sqrt(np.diag(inverse))
    assert (np.abs(inverse @ gradient) < 1e-2 * errors).all()
    scores = derivative(likelihood.rows, theta, rough)
    sandwich = inverse @ (scores.T * weight) @ scores @ inverse
    for reference in (None, moe.n_experts_ - 1, 0):
        reported = partial(likelihood.reported, reference=reference)
        jacobian = derivative(reported, theta, rough)
        for method, covariance in (("observed", inverse), ("sandwich", sandwich)):
            result = moe.inference(X, y, weight, method=method, gate_reference=reference)
            assert_allclose(result.estimates, reported(theta), atol=1e-7)
            expected = np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))
            known = expected > 1e-9 * np.abs(result.estimates).max()
            fixed = [reason == "fixed" for reason in result.reasons]
            assert (known != fixed).all()
            # Where the likelihood is nearly flat, round-off decides about the error.
            clear = known & (expected < 30.0)
            assert clear.sum() >= 0.8 * known.sum()
            assert_allclose(result.standard_errors[clear], expected[clear], rtol=2e-3)
            check_tests_and_intervals(result, clear)


@pytest.mark.parametrize("gate", list(GATES))
@pytest.mark.parametrize(("family", "task"), KINDS)
def test_inference_of_units_is_that_of_numerical_derivatives(family, task, gate):
    X, y, weight, start = unit_table(family, task)
    units = np.repeat(np.arange(len(y) // 3), 3)
    kind = MixtureOfExpertsClassifier if task == "classifier" else MixtureOfExpertsRegressor
    options = options_of(family) | ({} if task == "classifier" else {"dispersion_prior": 1.0})
    options |= {"alpha": 1.0, "gate_alpha": 1.0, "tol": 1e-13, "max_iter": 20_000}
    moe = kind(2, gate=gate, init=start, **options)
    moe.fit(X, y, sample_weight=weight, units=units)
    likelihood = UnitLikelihood(moe, X, y, weight, family, task)
    theta = likelihood.at(moe)
    assert_allclose(
        moe.lower_bound_ * weight.sum(),
        likelihood.objective(theta) + constant(likelihood),
        rtol=1e-8,
    )
    rough = 1e-4 * np.maximum(1.0, np.abs(theta))
    inverse = linalg.inv(-hessian(likelihood.objective, theta, rough))
    gradient = derivative(likelihood.objective, theta, rough)
    assert (np.abs(inverse @ gradient) < 1e-2 * np.sqrt(np.diag(inverse))).all()
    scores = derivative(likelihood.rows, theta, rough)
    pairs = np.arange(len(scores)) // 2
    sums = np.stack([scores[pairs == pair].sum(axis=0) for pair in range(pairs.max() + 1)])
    jacobian = derivative(likelihood.reported, theta, rough)
    for options, covariance in (
        ({"method": "observed"}, inverse),
        ({"method": "sandwich"}, inverse @ scores.T @ scores @ inverse),
        ({"method": "sandwich", "cluster": np.repeat(pairs, 3)}, inverse @ sums.T @ sums @ inverse),
    ):
        found = moe.inference(X, y, weight, units=units, **options)
        expected = np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))
        known = (expected > 1e-9 * np.abs(found.estimates).max()) & (expected < 30.0)
        assert known.sum() > 3
        assert_allclose(found.standard_errors[known], expected[known], rtol=2e-3)


def constant(likelihood):
    """Constants of the normal prior and of units, which a lower bound leaves out."""
    if not (likelihood.normal or likelihood.has_scale):
        return 0.0
    n_priors = 1 if likelihood.shared else likelihood.K
    return 0.5 * likelihood.prior * n_priors * np.log(likelihood.unit).sum()


def check_tests_and_intervals(result, known):
    errors = result.standard_errors
    with np.errstate(divide="ignore", invalid="ignore"):
        z = result.estimates / errors
    tested = known & ~result.is_dispersion
    assert_allclose(result.z_values[tested], z[tested])
    assert_allclose(result.p_values[tested], 2 * stats.norm.sf(np.abs(z[tested])))
    assert np.isnan(result.z_values[result.is_dispersion]).all()
    for level in (0.95, 0.8):
        expected = stats.norm.interval(level, result.estimates[known], errors[known])
        assert_allclose(result.conf_int(level)[known], np.transpose(expected))


def test_p_values_of_one_expert_are_those_of_a_textbook():
    """A regression with known answers: y on x in {-1, 1}, errors of +-1."""
    X = np.repeat([-1.0, 1.0], 8)[:, None]
    y = 0.5 * X[:, 0] + np.tile([1.0, -1.0], 8)
    moe = MixtureOfExpertsRegressor(1, alpha=0.0, dispersion_prior=0.0, tol=1e-12).fit(X, y)
    result = moe.inference(X, y)
    assert_allclose(result.standard_errors, [0.25, 0.25, np.sqrt(2 / 16)], atol=1e-8)
    assert_allclose(result.p_values[1], 0.04550026, atol=1e-7)
    assert_allclose(result.conf_int(0.95)[1], [0.01000900, 0.98999100], atol=1e-7)
    frame = result.to_frame(0.95)
    assert_allclose(frame["p"].iloc[1], 0.04550026, atol=1e-7)
    assert_allclose(frame[["lower", "upper"]].iloc[1], [0.010009, 0.989991], atol=1e-7)


def test_intervals_of_a_bootstrap_are_reflected_quantiles():
    X, y, *_ = table("linear", "regressor")
    moe = MixtureOfExpertsRegressor(1, random_state=0).fit(X, y)
    result = moe.inference(X, y, method="bootstrap", n_bootstrap=20, random_state=0)
    low, high = np.quantile(result.replicates, [0.1, 0.9], axis=0)
    expected = np.column_stack([2 * result.estimates - high, 2 * result.estimates - low])
    assert_allclose(result.conf_int(0.8), expected)
    assert_allclose(result.covariance, np.cov(result.replicates, rowvar=False))
    assert_allclose(result.standard_errors, result.replicates.std(axis=0, ddof=1))


@pytest.mark.parametrize("method", ["observed", "sandwich"])
def test_the_reference_of_the_gate_does_not_change_the_estimates(method):
    """Its coefficients are zero without an error, which is no shift of the estimates."""
    X, y, *_ = table("linear", "regressor")
    moe = MixtureOfExpertsRegressor(2, n_init=1, tol=1e-8, random_state=0).fit(X, y)
    plain, coded = (moe.inference(X, y, method=method, gate_reference=k) for k in (None, 1))
    fixed = np.array([reason == "fixed" for reason in coded.reasons])
    assert [term.response for term, flag in zip(coded.terms, fixed, strict=True) if flag] == [
        "expert 1"
    ] * 3
    assert (coded.estimates[fixed] == 0.0).all()
    assert np.isfinite(coded.max_shift)
    of_experts = [term.part != "gate" for term in plain.terms]
    assert_allclose(coded.estimates[of_experts], plain.estimates[of_experts])
    shift = moe.expert_coef_[0] - plain.estimates[1:3]
    if plain.max_shift <= 0.01:  # then the estimates are those of the fit
        assert (shift == 0.0).all()


@pytest.mark.parametrize("task", ["regressor", "classifier"])
def test_only_the_bootstrap_of_a_regressor_draws_from_a_distribution(task, monkeypatch):
    """Classes are drawn by their probabilities, and other standard errors draw nothing."""
    X, y, *_ = table("linear", task)
    X, y = X[:200], y[:200]
    kind = MixtureOfExpertsClassifier if task == "classifier" else MixtureOfExpertsRegressor
    moe = kind(2, n_init=1, max_iter=20, alpha=0.1, gate_alpha=1.0, random_state=0).fit(X, y)
    experts = LogisticExperts if task == "classifier" else LinearExperts
    monkeypatch.setattr(
        experts, "limitation", lambda self, of: "no draws" * (of is SupportsDistribution)
    )
    for method in ("observed", "sandwich"):
        assert len(moe.inference(X, y, method=method, n_bootstrap=1).terms)
    draws = partial(moe.inference, X, y, method="bootstrap", n_bootstrap=2, random_state=0)
    if task == "classifier":
        assert draws().replicates.shape[0] == 2
    else:
        with pytest.raises(ValueError, match=r"the bootstrap needs .*no draws"):
            draws()
    with pytest.raises(ValueError, match="n_bootstrap must be"):
        moe.inference(X, y, method="bootstrap", n_bootstrap=1)


@pytest.mark.parametrize(("shift", "keeps"), [(0.001, True), (3.0, False)])
def test_coefficients_without_an_error_are_not_compared_with_the_maximum(shift, keeps):
    """A sandwich of scores that are zero has no width, by which no shift can be measured."""
    terms = [Term("expert 0", "", name) for name in ("(Intercept)", "a", "b")]
    flags = np.zeros(3, dtype=bool)
    maximum = np.array([1.0, 2.0, 3.0])
    covariance = np.diag([0.25, 0.0, np.nan])
    inference = Inference(
        Coefficients(terms, maximum, flags, flags), covariance, ["", "", "fixed"], "sandwich"
    )
    fitted = maximum + np.array([0.5 * shift, 0.0, 0.0])
    compared = compared_to_fit(inference, fitted)
    assert compared.max_shift == pytest.approx(shift)
    assert_allclose(compared.estimates, fitted if keeps else maximum)
