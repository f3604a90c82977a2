"""Kinds of parametric experts for tests: every registered family, and its density by scipy."""

import numpy as np
from scipy import optimize, stats
from scipy.special import expit, gammaln, logsumexp, xlogy

from skmoe.data import interval_censored
from skmoe.experts import EXPERTS
from skmoe.families import FAMILIES, Ordinal


class Ratings:
    """Cumulative logits over the values 1, 2, 3, 4, as frozen distributions of scipy are."""

    def __init__(self, predictor, steps):
        thresholds = [np.zeros(()), *np.cumsum(np.stack([*steps]), axis=0)]
        up_to = [expit(threshold - predictor) for threshold in thresholds]
        up_to = [np.zeros_like(up_to[-1]), *up_to, np.ones_like(up_to[-1])]
        self.probabilities = np.diff(np.stack(np.broadcast_arrays(*up_to)), axis=0)

    def logpmf(self, y):
        codes = np.broadcast_to(np.asarray(y, dtype=int) - 1, self.probabilities.shape[1:])
        return np.log(np.take_along_axis(self.probabilities, codes[None], axis=0)[0])

    def mean(self):
        return np.einsum("l,l...->...", np.arange(1.0, 5.0), self.probabilities)

    def rvs(self, size=None, random_state=None):
        up_to = self.probabilities.cumsum(axis=0)[:-1]
        shape = up_to.shape[1:] if size is None else size
        drawn = np.random.default_rng(random_state).uniform(size=shape)
        return 1.0 + (drawn > up_to).sum(axis=0)


class CompoundPoisson:
    """Tweedie distributions of power 1.5: sums of a Poisson number of exponential variables."""

    def __init__(self, mean, dispersion):
        self.mean_ = np.asarray(mean, dtype=float)
        self.number = 2.0 * np.sqrt(self.mean_) / dispersion
        self.scale = 0.5 * dispersion * np.sqrt(self.mean_)
        self.dispersion = dispersion

    def logpdf(self, y):
        """From sums over 1 to 200 jumps, with their probabilities."""
        y = np.asarray(y, dtype=float)
        jumps = np.arange(1.0, 201.0).reshape(-1, *[1] * max(y.ndim, self.number.ndim))
        logs = xlogy(jumps, self.number) - self.number - gammaln(jumps + 1.0)
        logs = logs + xlogy(jumps - 1.0, y / self.scale) - gammaln(jumps) - y / self.scale
        return np.where(y == 0.0, -self.number, logsumexp(logs, axis=0) - np.log(self.scale))

    def mean(self):
        return self.mean_

    def var(self):
        return self.dispersion * self.mean_**1.5

    def rvs(self, size=None, random_state=None):
        rng = np.random.default_rng(random_state)
        jumps = rng.poisson(self.number, size=size)
        return self.scale * rng.standard_gamma(jumps)


# Frozen distributions of scipy, from linear predictors and dispersions.
DISTRIBUTIONS = {
    "normal": lambda mean, dispersion: stats.norm(mean, np.sqrt(dispersion)),
    "lognormal": lambda mean, dispersion: stats.lognorm(np.sqrt(dispersion), scale=np.exp(mean)),
    "gamma": lambda mean, dispersion: stats.gamma(1 / dispersion, scale=np.exp(mean) * dispersion),
    "inverse_gaussian": lambda mean, dispersion: stats.invgauss(
        np.exp(mean) * dispersion, scale=1 / dispersion
    ),
    "weibull": lambda mean, dispersion: stats.weibull_min(dispersion**-0.5, scale=np.exp(mean)),
    "loglogistic": lambda mean, dispersion: stats.fisk(dispersion**-0.5, scale=np.exp(mean)),
    "gompertz": lambda mean, dispersion: stats.gompertz(dispersion, scale=np.exp(mean)),
    "exponential": lambda mean: stats.expon(scale=np.exp(mean)),
    "tweedie": lambda mean, dispersion: CompoundPoisson(np.exp(mean), dispersion),
    "beta": lambda mean, dispersion: stats.beta(
        expit(mean) / dispersion, expit(-mean) / dispersion
    ),
    "poisson": lambda mean: stats.poisson(np.exp(mean)),
    "negative_binomial": lambda mean, dispersion: stats.nbinom(
        1 / dispersion, 1 / (1 + dispersion * np.exp(mean))
    ),
    "student_t": lambda mean, dispersion, df: stats.t(df, mean, np.sqrt(dispersion)),
    "ordinal": lambda mean, *steps: Ratings(mean, steps),
}


def predictor_of_mean(name, mean, dispersions):
    """The linear predictor of a mean, for families whose mean can be predicted by estimators."""
    if name == "lognormal":
        return np.log(mean) - 0.5 * dispersions[0]
    if name == "weibull":
        return np.log(mean) - gammaln(1.0 + np.sqrt(dispersions[0]))
    if name in ("loglogistic", "gompertz"):
        return np.log(mean) - np.log(DISTRIBUTIONS[name](0.0, dispersions[0]).mean())
    return np.log(mean) if FAMILIES[name].link == "log" else mean


# Names of families of values; "never" is for times that are censored.
OF_VALUES = [name for name in FAMILIES if name != "never"]

# Names of families with a linear predictor besides the normal one, which is `expert="linear"`.
GENERALIZED = [name for name, family in FAMILIES.items() if family.link and name != "normal"]

# Kinds of experts: a name of `expert` or of `family`, and the task.
KINDS = [(name, task) for name, row in EXPERTS.items() for task in row]
KINDS += [(name, "regressor") for name in GENERALIZED]

# One kind for each way of a fit: an M-step in closed form, classes, families without, with one and
# with several dispersions, and one of values.
KINDS_OF_FITS = [("linear", "regressor"), ("linear", "classifier")]
KINDS_OF_FITS += [(name, "regressor") for name in ("poisson", "gamma", "student_t", "ordinal")]


def options_of(name):
    """Parameters of an estimator for a kind of experts."""
    if isinstance(name, str) and name in FAMILIES:
        return {"family": example(name) if name == "ordinal" else name}
    return {"expert": name}


def n_dispersions(name):
    """Number of dispersion parameters of an output under each expert."""
    is_family = isinstance(name, str) and name in FAMILIES
    return len(example(name).dispersions) if is_family else 1


def example(name):
    """The family of a name, with the values of the distributions here."""
    return Ordinal(values=(1.0, 2.0, 3.0, 4.0)) if name == "ordinal" else FAMILIES[name]()


# Targets (1, n) of families that cannot have standard normal ones.
TARGETS = {
    "lognormal": lambda rng, n: rng.lognormal(size=(1, n)),
    "student_t": lambda rng, n: rng.standard_t(4.0, size=(1, n)),
    "gamma": lambda rng, n: rng.gamma(3.0, size=(1, n)),
    "weibull": lambda rng, n: rng.weibull(2.0, size=(1, n)),
    "loglogistic": lambda rng, n: np.exp(0.3 * rng.logistic(size=(1, n))),
    "gompertz": lambda rng, n: np.log1p(3.0 * rng.exponential(size=(1, n))),
    "exponential": lambda rng, n: rng.exponential(size=(1, n)),
    "inverse_gaussian": lambda rng, n: rng.wald(2.0, 2.0, size=(1, n)),
    "tweedie": lambda rng, n: rng.gamma(rng.poisson(1.1, size=(1, n))),
    "beta": lambda rng, n: rng.beta(2.0, 3.0, size=(1, n)),
    "poisson": lambda rng, n: rng.poisson(3.0, size=(1, n)).astype(float),
    "negative_binomial": lambda rng, n: rng.negative_binomial(2, 1 / 3, size=(1, n)).astype(float),
    "ordinal": lambda rng, n: rng.integers(1, 5, size=(1, n)).astype(float),
}


def bounded_by(lower, upper):
    """A censored target; a known value may be infinite, as an event that never comes is."""
    y = np.empty(np.shape(lower), dtype=interval_censored([0.0], [1.0]).dtype)
    y["lower"], y["upper"] = lower, upper
    return y


def example_target(family, rng, n_rows):
    """A target (1, n), or (m, n) of joint outputs, that a family can have."""
    known = getattr(family, "family", None)
    if known is not None:  # censored: half of it known, and intervals of all kinds
        lower, other = (example_target(known, rng, n_rows) for _ in range(2))
        kind, upper = rng.integers(6, size=lower.shape), np.maximum(lower, other)
        lower = np.where(kind == 3, np.minimum(lower, other), lower)
        upper = np.where(kind == 3, upper, np.where(kind == 4, np.inf, lower))
        return bounded_by(np.where(kind == 5, -np.inf, lower), upper)
    if family.couples_outputs:  # with correlations of about one half
        values = rng.normal(size=n_rows) + rng.normal(size=(family.n_outputs, n_rows))
        return np.exp(0.5 * values) if family.of_logs else values
    if family.link == "softmax":
        return rng.integers(0, family.n_classes, size=(1, n_rows))
    if family.name == "ordinal" and family.values:
        return rng.choice(family.values, size=(1, n_rows))
    if not family.link and family.atoms:
        return np.full((1, n_rows), family.atoms[0])
    return TARGETS.get(family.name, lambda rng, n: rng.normal(size=(1, n)))(rng, n_rows)


def draw(name, predictor, rng, dispersion=(0.3, 5.0)):
    """A target with given linear predictors."""
    values = [np.full(np.shape(predictor), value) for value in dispersion[: n_dispersions(name)]]
    seed = int(rng.integers(2**31))
    drawn = DISTRIBUTIONS[name](predictor, *values).rvs(random_state=seed).astype(float)
    return np.clip(drawn, 1e-9, 1.0 - 1e-9) if name == "beta" else drawn


def log_density(name, y, predictor, dispersion=()):
    """Log density or log probability by scipy."""
    distribution = DISTRIBUTIONS[name](predictor, *dispersion)
    return (distribution.logpmf if hasattr(distribution, "logpmf") else distribution.logpdf)(y)


def maximum_likelihood(name, X, y, weight):
    """Coefficients, the intercept last, and log dispersions of the weighted likelihood."""
    design = np.column_stack([X, np.ones(len(X))])
    n_columns = design.shape[1]

    def loss(values):
        with np.errstate(all="ignore"):
            dispersion = np.exp(values[n_columns:])
            logs = log_density(name, y, design @ values[:n_columns], dispersion)
            return -(weight @ logs) / weight.sum()

    start = np.zeros(n_columns + n_dispersions(name))
    start[n_columns - 1] = np.average(np.log(y + 0.5) if y.min() >= 0 else y, weights=weight)
    start[n_columns:] = [-0.5, 1.5][: n_dispersions(name)]
    for _ in range(3):
        start = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-10}).x
    return start[:n_columns], start[n_columns:]
