"""Readable mixtures that are fitted to the predictions of strong models."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import rel_entr
from sklearn.base import clone, is_classifier
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skmoe._data.rows import index_rows
from skmoe._data.sklearn_adapter import (
    final_estimator,
    fit_estimator,
    groups_of_folds,
    has_predict_dist,
    predict_distribution,
)
from skmoe._estimators.parameters.parameters import options_of_number
from skmoe._inference.results import WHOLE_WORDS, WIDTH
from skmoe._numerics.typing import Array
from skmoe.distributions._checks import check_random_state
from skmoe.pipelines import mixture_of
from skmoe.recipes._readable import readable_classifier, readable_regressor

# Draws from the distribution of each row for the fit and for the divergence, fewer of many rows.
MAX_FIT_DRAWS = 40
MAX_FIT_DRAWS_OF_ALL_ROWS = 50_000
MAX_VALIDATION_DRAWS = 200
MAX_VALIDATION_DRAWS_OF_ALL_ROWS = 2_000_000

# Share of the rows that are held out, and the number of rows that this needs.
VALIDATION_SHARE = 0.2
MIN_DISTILLED_ROWS = 10

# Class probability below which chance decides whether a row has the class, with this weight.
SMALL_PROBABILITY = 0.01


# --- what a model predicts --------------------------------------------------------------------


class _Distributions(NamedTuple):
    """Predictive distributions of a regressor."""

    center: Array
    dist: Any
    error_name: str = "RMSE"

    def weighted_rows(self, rng: np.random.RandomState) -> tuple[Array, Array, Array]:
        """Index, target and weight of rows that stand for the distributions."""
        n_rows = len(self.center)
        n_draws = _n_draws(MAX_FIT_DRAWS, MAX_FIT_DRAWS_OF_ALL_ROWS, n_rows)
        draws, index = self.dist.rvs(n_draws, rng), np.repeat(np.arange(n_rows), n_draws)
        return index, draws.reshape(-1, *draws.shape[2:]), np.full(len(index), 1.0 / n_draws)

    def divergence(self, mixture: Any, rng: np.random.RandomState) -> Array:
        """Kullback-Leibler divergence of each row; infinite of values from densities."""
        most = MAX_VALIDATION_DRAWS, MAX_VALIDATION_DRAWS_OF_ALL_ROWS
        draws = self.dist.rvs(_n_draws(*most, len(self.center)), rng)
        loss = self.dist.joint_logpdf(draws) - mixture.dist.joint_logpdf(draws)
        same = _has_probability(self.dist, draws) == _has_probability(mixture.dist, draws)
        return np.where(same, loss, np.inf).mean(axis=1)

    def log_density(self, y: Array) -> Array:
        """Log density of targets, (n,)."""
        return self.dist.joint_logpdf(y)

    def error(self, y: Array) -> float:
        """Root mean squared error."""
        return root_mean_squared_error(y, self.center)


class _Points(NamedTuple):
    """Predictions of a regressor that has no distributions."""

    center: Array
    error_name: str = "RMSE"

    def weighted_rows(self, rng: np.random.RandomState) -> tuple[Array, Array, Array]:
        """Index, target and weight of rows."""
        return np.arange(len(self.center)), self.center, np.ones(len(self.center))

    def divergence(self, mixture: Any, rng: np.random.RandomState) -> Array:
        """It is unknown."""
        return np.full(len(self.center), np.nan)

    def log_density(self, y: Array) -> Array:
        """It is unknown."""
        return np.full(len(self.center), np.nan)

    def error(self, y: Array) -> float:
        """Root mean squared error."""
        return root_mean_squared_error(y, self.center)


class _Probabilities(NamedTuple):
    """Class probabilities of a classifier, (n, C)."""

    center: Array
    classes: Array
    error_name: str = "error rate"

    def weighted_rows(self, rng: np.random.RandomState) -> tuple[Array, Array, Array]:
        """Index, class and weight of rows whose expected weights are the probabilities."""
        prob = self.center
        chosen = SMALL_PROBABILITY * (rng.uniform(size=prob.shape) * SMALL_PROBABILITY < prob)
        is_small = (prob < SMALL_PROBABILITY) & (prob < prob.max(axis=0))
        weight = np.where(is_small, chosen, prob)
        index, k = np.nonzero(weight)
        return index, self.classes[k], weight[index, k]

    def divergence(self, mixture: Any, rng: np.random.RandomState) -> Array:
        """Kullback-Leibler divergence of each row."""
        return rel_entr(self.center, mixture.center).sum(axis=1)

    def log_density(self, y: Array) -> Array:
        """Log probability of labels, (n,)."""
        with np.errstate(divide="ignore"):
            return np.log((self.center * (y[:, None] == self.classes)).sum(axis=1))

    def error(self, y: Array) -> float:
        """Share of labels that are not the most probable class."""
        return float(np.mean(self.classes[self.center.argmax(axis=1)] != y))


_Predictions = _Distributions | _Points | _Probabilities


def _predictions(model: Any, X: Any, classes: Array | None) -> _Predictions:
    """What a fitted model predicts: the best of its methods for that, with columns of `classes`."""
    if classes is None:
        center = np.asarray(model.predict(X), dtype=float)
        if not has_predict_dist(model):
            return _Points(center)
        return _Distributions(center, predict_distribution(model, X))
    if not hasattr(model, "predict_proba"):
        return _Probabilities((np.asarray(model.predict(X))[:, None] == classes) * 1.0, classes)
    prob = np.zeros((X.shape[0], len(classes)))
    prob[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(X)
    return _Probabilities(prob, classes)


def _n_draws(most: int, most_of_all_rows: int, n_rows: int) -> int:
    """Number of draws for each of several rows."""
    return min(most, max(1, most_of_all_rows // n_rows))


def _has_probability(dist: Any, draws: Array) -> Array:
    """Whether values (n, n_draws) have a probability by themselves, as those of counts have."""
    mass: Array = dist.pmf(draws) if hasattr(dist, "pmf") else np.zeros_like(draws)
    return np.all((mass > 0.0).reshape(*draws.shape[:2], -1), axis=2)


# --- the result -------------------------------------------------------------------------------


@dataclass(eq=False)
class Distillation:
    """A readable mixture with the predictions of a strong model, and what it loses.

    Returned by `distil`; it is not constructed by hand. `print` shows it in sentences.

    Attributes
    ----------
    mixture : fitted estimator
        The readable mixture: `mixture.explain` reads a single prediction.
    n_rows : int
        Number of rows whose predictions the mixture was fitted to.
    r2 : float
        Share of the variance of the predictions of the strong model that the mixture explains, on
        held-out rows. For a classifier the predictions are the class probabilities.
    divergences : ndarray of shape (n_val,)
        Kullback-Leibler divergence of the distribution of the mixture from that of the strong model
        for each held-out row, in nats. NaN if the strong model predicts points.
    scores : dict of str to tuple of float
        With `y_val` the values of the strong model and of the mixture: "log density", unless the
        strong model predicts points, and "RMSE" or "error rate". Otherwise it is empty.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.recipes import distil
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = RandomForestRegressor(20, min_samples_leaf=5, random_state=0).fit(X, y)
    >>> found = distil(forest, X, MixtureOfExpertsRegressor(1), random_state=0)
    >>> round(found.r2, 1), found.divergence, found.scores
    (0.8, nan, {})
    """

    mixture: Any
    n_rows: int
    r2: float
    divergences: Array
    scores: dict[str, tuple[float, float]]
    _strong_name: str

    @property
    def divergence(self) -> float:
        """Mean of `divergences`."""
        return float(self.divergences.mean())

    def __str__(self) -> str:
        n_experts = mixture_of(self.mixture).n_experts_
        text = (
            f"Mixture of {n_experts} expert{'s' * (n_experts > 1)}, fitted to the predictions of "
            f"{self._strong_name} for {self.n_rows} rows. For {len(self.divergences)} held-out "
            f"rows it explains {100 * self.r2:.1f} % of the variance of these predictions. "
            f"{self._of_divergence()}"
        )
        scores = [f"{name} {b:.4g} (strong model: {a:.4g})" for name, (a, b) in self.scores.items()]
        if scores:
            text += f" On the targets of the held-out rows: {', '.join(scores)}."
        return textwrap.fill(text, WIDTH, **WHOLE_WORDS)

    def _of_divergence(self) -> str:
        if np.isnan(self.divergence):
            return (
                "The strong model predicts no distributions: the noise of the mixture is the "
                "error of its approximation, and not the noise of a target."
            )
        if np.isinf(self.divergence):
            return (
                "Its distributions exclude values that the strong model expects, or have densities "
                "where that has probabilities: choose a mixture with another family."
            )
        return (
            "What the strong model expects is "
            f"{-100 * np.expm1(-self.divergence):.1f} % less probable under the mixture, on "
            f"average (Kullback-Leibler divergence: {self.divergence:.3g} nats)."
        )


def distil(
    strong: Any,
    X: Any,
    mixture: Any = None,
    *,
    X_val: Any = None,
    y_val: Any = None,
    random_state: Any = None,
) -> Distillation:
    """Fit a readable mixture to the predictions of a strong model, and report what it loses.

    The strong model is the teacher of the mixture [1]_, which needs no targets. The mixture
    maximises the expected log-likelihood of targets that the strong model draws. This minimises the
    Kullback-Leibler divergence from the distribution of the strong model. Draws are weighted such
    that each row of X counts as one row. Use it to read what a strong model predicts [2]_.

    Parameters
    ----------
    strong : fitted estimator
        A regressor or classifier, or a pipeline or search. Regressors with `predict_dist`, such as
        `strong_regressor`, are approximated by their distributions. For others the mixture
        approximates the predictions of `predict`. Classifiers have `predict_proba`, or labels count
        as certain.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features of at least 10 rows, of the fit of the strong model or others, since no targets are
        needed.
    mixture : estimator, default=None
        Mixture of experts, or a pipeline that ends in one, with its family and its number of
        experts. None for `readable_regressor()` or `readable_classifier()`, with up to six experts.
        For counts use `readable_regressor(family="poisson")`.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
        Rows for which both are compared. None holds out a fifth of X.
    y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
        Targets of `X_val`, of rows that were not in the fit of the strong model, for the log
        density and the error of both.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of draws, held-out rows and starts. An integer makes the result
        reproducible.

    Returns
    -------
    distillation : Distillation
        The fitted mixture, and what it loses. `print` shows it in sentences.

    Raises
    ------
    ValueError
        If X has fewer than 10 rows, there are targets without `X_val`, or the mixture is of another
        task than the strong model or has no distributions.
    NotFittedError
        If the strong model is not fitted.

    See Also
    --------
    strong_regressor : A regressor that predicts well, and is hard to read.
    skmoe.inspection.export_text : The mixture as equations.

    Notes
    -----
    The distribution of a regression is represented by 40 draws for each row, or fewer of more than
    1250 rows. A classifier needs no draws: each class is a row whose weight is its probability. A
    probability below 0.01 becomes a weight of 0.01 or none at random, with the same expectation.
    One draw of each row decides on ``n_experts="auto"``. Divergences of regressions are means over
    200 draws, which differ from the exact ones by chance.

    References
    ----------
    .. [1] G. Hinton, O. Vinyals and J. Dean (2015), "Distilling the knowledge in a neural network",
       arXiv:1503.02531.
    .. [2] M. W. Craven and J. W. Shavlik (1996), "Extracting tree-structured representations of
       trained networks", Advances in Neural Information Processing Systems 8, 24-30.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.recipes import distil
    >>> X, y = load_diabetes(return_X_y=True)
    >>> strong = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:300], y[:300])
    >>> readable = MixtureOfExpertsRegressor(1)
    >>> found = distil(strong, X[:300], readable, X_val=X[300:], y_val=y[300:], random_state=0)
    >>> list(found.scores)
    ['log density', 'RMSE']
    >>> print(found)
    Mixture of 1 expert, fitted to the predictions of MixtureOfExpertsRegressor for 300
    rows. For 142 held-out rows it explains 9... % of the variance of these predictions. ...
    """
    mixture = _checked_mixture(strong, mixture)
    rng = check_random_state(random_state)
    X, X_val = _checked_rows(X, X_val, y_val, rng)
    classes = strong.classes_ if is_classifier(strong) else None
    index, y, weight = _predictions(strong, X, classes).weighted_rows(rng)
    seed = int(rng.randint(np.iinfo(np.int32).max))
    if isinstance(final_estimator(mixture).n_experts, str):
        one = _one_of_each(index, weight, rng)
        trial = fit_estimator(
            mixture, seed, index_rows(X, index[one]), y[one], np.ones(len(one)), {}
        )
        mixture = clone(mixture)
        options = options_of_number(final_estimator(mixture), mixture_of(trial).n_experts_)
        final_estimator(mixture).set_params(**options)
    groups = groups_of_folds(mixture, index)
    fitted = fit_estimator(mixture, seed, index_rows(X, index), y, weight, groups)
    expected, found = (_predictions(model, X_val, classes) for model in (strong, fitted))
    multioutput = "uniform_average" if classes is None else "variance_weighted"
    return Distillation(
        fitted,
        len(np.unique(index)),
        r2_score(expected.center, found.center, multioutput=multioutput),
        expected.divergence(found, rng),
        {} if y_val is None else _scores(expected, found, y_val),
        type(final_estimator(strong)).__name__,
    )


def _checked_mixture(strong: Any, mixture: Any) -> Any:
    """The mixture to fit, which must have distributions of what the strong model predicts."""
    check_is_fitted(strong)
    task = "classifier" if is_classifier(strong) else "regressor"
    if mixture is None:
        return readable_classifier() if is_classifier(strong) else readable_regressor()
    can_predict = hasattr(mixture, "predict_proba") or has_predict_dist(mixture)
    if is_classifier(mixture) != is_classifier(strong) or not can_predict:
        raise ValueError(
            f"mixture must be a mixture of experts for the task of strong, a {task}; got "
            f"{mixture!r}. Use readable_{task}(), or a MixtureOfExperts{task.capitalize()}."
        )
    return mixture


def _checked_rows(X: Any, X_val: Any, y_val: Any, rng: np.random.RandomState) -> tuple[Any, Any]:
    """The rows to fit and the held-out ones."""
    X = X if hasattr(X, "shape") else np.asarray(X)
    if X.shape[0] < MIN_DISTILLED_ROWS:
        raise ValueError(
            f"X must have at least {MIN_DISTILLED_ROWS} rows; got {X.shape[0]}. They need no "
            "targets: add more rows of the same kind."
        )
    if X_val is not None:
        if y_val is not None:
            check_consistent_length(X_val, y_val)
        return X, X_val if hasattr(X_val, "shape") else np.asarray(X_val)
    if y_val is not None:
        raise ValueError(
            "y_val has the targets of X_val, which is None. Pass rows that were not in the fit of "
            "the strong model as X_val, and their targets as y_val."
        )
    order, n_val = rng.permutation(X.shape[0]), round(VALIDATION_SHARE * X.shape[0])
    return index_rows(X, np.sort(order[n_val:])), index_rows(X, np.sort(order[:n_val]))


def _one_of_each(index: Array, weight: Array, rng: np.random.RandomState) -> Array:
    """One of the rows of each index, with probabilities in the ratio of their weights."""
    order = np.lexsort((rng.exponential(size=len(index)) / weight, index))
    return order[np.unique(index[order], return_index=True)[1]]


def _scores(strong: Any, mixture: Any, y: Any) -> dict[str, tuple[float, float]]:
    """Log density and error of both models for held-out targets."""
    y, pair = np.asarray(y), (strong, mixture)
    density, of_mixture = (float(found.log_density(y).mean()) for found in pair)
    scores = {} if np.isnan(density) else {"log density": (density, of_mixture)}
    return scores | {strong.error_name: (strong.error(y), mixture.error(y))}
