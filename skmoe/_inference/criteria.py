"""Information criteria, how clearly rows belong to experts, and overdispersion of counts.

What criteria, inference and distributions require of a mixture is checked before any work.

References
----------
G. Schwarz (1978), "Estimating the dimension of a model", Annals of Statistics 6, 461-464. S. L.
Sclove (1987), "Application of model-selection criteria to some problems in multivariate analysis",
Psychometrika 52, 333-343. H. Bozdogan (1987), "Model selection and Akaike's information criterion:
the general theory and its analytical extensions", Psychometrika 52, 345-370. J. D. Banfield and
A. E. Raftery (1993), "Model-based Gaussian and non-Gaussian clustering", Biometrics 49, 803-821.
G. Celeux and G. Soromenho (1996), "An entropy criterion for assessing the number of clusters in a
mixture model", Journal of Classification 13, 195-212. D. S. Nagin (2005), "Group-based modeling of
development", Harvard University Press. P. McCullagh and J. A. Nelder (1989), "Generalized Linear
Models", 2nd edition, Chapman and Hall, chapter 6.2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import entr

from skmoe._data.censored_targets import point_values
from skmoe._data.rows import Rows, by_output, has_bounds
from skmoe._data.sklearn_adapter import count_parameters, typical_model
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.probability import log_normalise
from skmoe._numerics.typing import Array
from skmoe.protocols import (
    Part,
    SupportsDistribution,
    SupportsGateInference,
    SupportsInference,
    has_capability,
    missing_methods,
)


class FitStatistics(NamedTuple):
    """Log-likelihood, number of parameters and entropy of a mixture for weighted rows."""

    log_likelihood: float
    n_parameters: float
    n_rows: float  # sum of the weights
    entropy: float  # of the responsibilities of rows, or of units
    expert_weight: Array  # responsibilities summed over the weighted rows, (K,)
    n_units: int | None  # None for a unit of each row
    n_independent: float  # rows, or units
    share: Array  # of the rows, or units, by their responsibilities, (K,)
    # Mean, over rows or units, of the responsibility of the expert that has the largest, and for
    # each expert over those of which it has the largest, (K,); NaN for an expert without any.
    assigned_probability: float
    probability_of_own: Array

    @property
    def aic(self) -> float:
        """Akaike's information criterion, smaller is better."""
        return self._penalised(2.0)

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion, of independent rows or units."""
        return self._penalised(float(np.log(self.n_independent)))

    @property
    def sabic(self) -> float:
        """The criterion of Schwarz with the sample size adjusted by Sclove."""
        return self._penalised(float(np.log((self.n_independent + 2.0) / 24.0)))

    @property
    def caic(self) -> float:
        """Bozdogan's consistent form of Akaike's criterion."""
        return self._penalised(float(np.log(self.n_independent)) + 1.0)

    @property
    def awe(self) -> float:
        """Approximate weight of evidence, by the classification likelihood."""
        per_parameter = 3.0 + 2.0 * float(np.log(self.n_independent))
        return self._penalised(per_parameter) + 2.0 * self.entropy

    @property
    def relative_entropy(self) -> float:
        """One minus the entropy relative to its largest value; NaN for one expert."""
        largest = self.n_independent * np.log(len(self.share))
        return float(1.0 - self.entropy / largest) if len(self.share) > 1 else np.nan

    @property
    def odds_of_correct_classification(self) -> Array:
        """Odds of `probability_of_own` over those of the share, (K,) (Nagin 2005, chapter 5)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            odds, prior = (p / (1.0 - p) for p in (self.probability_of_own, self.share))
            return np.asarray(odds / prior) if len(self.share) > 1 else np.full(1, np.nan)

    def _penalised(self, per_parameter: float) -> float:
        """Minus twice the log-likelihood, plus a penalty for each parameter."""
        return self.n_parameters * per_parameter - 2.0 * self.log_likelihood

    @property
    def icl(self) -> float:
        """Integrated completed likelihood."""
        return self.bic + 2.0 * self.entropy


def fit_statistics(mixture: FittedMixture, rows: Rows) -> FitStatistics:
    """Statistics for weighted rows."""
    resp, log_density = log_normalise(mixture.log_joint(rows))
    weight, row_weight = rows.weight, rows.weight
    if rows.unit is not None:
        weight = np.ones(len(log_density))
        row_weight = np.bincount(rows.unit, rows.weight)
    return FitStatistics(
        float(log_density @ weight),
        n_parameters(mixture),
        float(rows.weight.sum()),
        0.0 + float(entr(resp).sum(axis=0) @ weight),  # not -0.0 for one expert
        resp @ row_weight,
        None if rows.unit is None else len(log_density),
        float(weight.sum()),
        resp @ weight / weight.sum(),
        float(resp.max(axis=0) @ weight / weight.sum()),
        mean_responsibility_of_own(resp, weight),
    )


def mean_responsibility_of_own(resp: Array, weight: Array) -> Array:
    """Mean responsibility of each expert, (K,), where it has the largest; NaN if nowhere."""
    own = weight * (resp.argmax(axis=0) == np.arange(len(resp))[:, None])
    with np.errstate(invalid="ignore"):
        return np.asarray((resp * own).sum(axis=1) / own.sum(axis=1))


def n_parameters(fitted: FittedMixture) -> float:
    """Number of free parameters of gate and experts; NaN if it cannot be counted."""
    of_experts, of_gate = fitted.mixture.split(fitted.theta)
    n_of_experts = fitted.mixture.experts.n_parameters(of_experts)
    return float(n_of_experts + fitted.mixture.gate.n_parameters(of_gate))


# Excess of the dispersion over one that is worth a sentence, and in standard errors.
MIN_EXCESS = 0.1
MIN_Z = 3.0


def describe_overdispersion(mixture: FittedMixture, rows: Rows, families: Sequence[Any]) -> str:
    """Sentence on families whose variance is their mean, if rows vary more; "" if not."""
    concerned = [k for k, family in enumerate(families) if family.larger_variance]
    if not concerned or has_bounds(rows.y):
        return ""
    resp = mixture.responsibilities(rows)[concerned]
    resp = resp if rows.unit is None else resp[:, rows.unit]
    mean = mixture.predict_experts(rows.X, rows.offset)[concerned]
    y = np.atleast_2d(by_output(rows.y))
    excess = (resp * ((y - mean) ** 2 / mean - 1.0).mean(axis=1)).sum(axis=0)
    weight = resp.sum(axis=0) @ rows.weight
    used_up = np.nan_to_num(n_parameters(mixture)) * len(concerned) / len(families)
    dispersion = (1.0 + excess @ rows.weight / weight) / (1.0 - min(used_up / weight, 0.5))
    error = np.sqrt(excess**2 @ rows.weight) / weight
    if not dispersion - 1.0 > max(MIN_EXCESS, MIN_Z * error):
        return ""
    used = families[concerned[0]]
    return (
        f"Within experts the variance is {dispersion:.2g} times the mean (Pearson's chi-squared "
        f'per degree of freedom), and 1 under family="{used.name}": try '
        f'family="{used.larger_variance}".'
    )


# Mean weights beyond which rows of a continuous y are hardly so many equal rows.
MAX_MEAN_FREQUENCY = 2.0


def doubtful_frequencies(rows: Rows) -> str:
    """Why weights are hardly the numbers of rows for which they are taken; "" if they may be."""
    weight, total = rows.weight, float(rows.weight.sum())
    if (weight != np.round(weight)).any():
        return "they are not whole numbers"
    y, n_rows = point_values(rows.y), len(weight)
    is_continuous = (y != np.round(y)).any()
    if is_continuous and not 1.0 / MAX_MEAN_FREQUENCY <= total / n_rows <= MAX_MEAN_FREQUENCY:
        return f"their sum, {total:g}, is far from the number of rows, {n_rows}"
    return ""


# The covariance matrix of more coefficients than this takes too much memory and time.
MAX_TERMS = 5000


# What a missing capability is, and a remedy.
REQUIREMENTS: dict[type, tuple[str, str]] = {
    SupportsDistribution: ("a predictive distribution", "Use score_samples for log densities."),
    SupportsInference: (
        "experts with second derivatives by coefficients",
        'Linear and logistic experts have them (expert="linear").',
    ),
    SupportsGateInference: (
        "a gate with second derivatives by coefficients",
        'The gates "softmax" and "constant" have them.',
    ),
}


def missing_capability(part: Any, capability: type, what: str) -> str:
    """Message for a family or gate that lacks a capability that `what` needs; "" if it has it."""
    if has_capability(part, capability):
        return ""
    need, remedy = REQUIREMENTS.get(capability, (capability.__name__, ""))
    name, methods = type(part).__name__, missing_methods(part, capability)
    limitation = part.limitation(capability)
    reason = f"{name} has no method{'s' * (len(methods) > 1)} {', '.join(methods)}"
    if limitation:
        reason = f"{name} has none: {limitation}"
    message = f"{what} needs {need}; {reason} (see skmoe.protocols.{capability.__name__}). {remedy}"
    return message.rstrip()


def require(part: Any, capability: type, what: str) -> None:
    """Raise ValueError if a part of a user lacks a capability that the method `what` needs.

    Linear parts have all of them. A part is one of a mixture, or what the user gave.
    """
    own = getattr(part, "own", part)
    message = missing_capability(own, capability, what) if isinstance(own, Part) else ""
    if message:
        raise ValueError(message)


def missing_for_inference(fitted: FittedMixture) -> str:
    """Message why a mixture has no standard errors; "" if it has."""
    mixture, extra = fitted.mixture, fitted.preprocessor.extra_features
    for part, capability in (
        (mixture.experts, SupportsInference),
        (mixture.gate, SupportsGateInference),
    ):
        if not part.has_derivatives:
            return missing_capability(part.own, capability, "inference")
    if mixture.top_k is not None:
        return (
            f"inference needs every expert to see every row; got top_k={mixture.top_k}. Fit with "
            "top_k=None."
        )
    n_terms = n_parameters(fitted)
    if n_terms > MAX_TERMS:
        return (
            "inference needs the covariance matrix of all coefficients, of which there may be at "
            f"most {MAX_TERMS}; the fit has {n_terms:g}. Use fewer features (expert_features, "
            "gate_features) or experts."
        )
    if extra is not None and extra.base is not None:
        return (
            f"inference needs a mixture without a base; got base={extra.base!r}, whose "
            "out-of-fold predictions, to which the mixture was fitted, are not kept. Fit with "
            "base=None."
        )
    return ""


def check_n_parameters_known(
    fitted: FittedMixture, criterion: str, models: Sequence[Sequence[Any]]
) -> None:
    """Raise ValueError if the parameters, such as those of fitted `models`, cannot be counted."""
    if not np.isnan(n_parameters(fitted)):
        return
    uncounted = f"{type(fitted.mixture.experts.own).__name__} has"
    for k, model in enumerate(map(typical_model, models)):
        if np.isnan(count_parameters(model)):
            uncounted = f"expert {k} ({type(model).__name__}) has"
            break
    raise ValueError(
        f"{criterion} needs experts whose parameters can be counted; {uncounted} no such number. "
        "Compare models by the log density of held-out rows (score_samples) instead."
    )
