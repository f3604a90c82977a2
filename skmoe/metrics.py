"""Scorers of predictive distributions, for `scoring=` in grid search and cross-validation.

Each is a callable `scorer(estimator, X, y, sample_weight=None, offset=None)`; greater is better, as
in scikit-learn. The estimator may be a pipeline or a fitted search that ends in a mixture of
experts. With metadata routing they request `offset`, and `log_density_scorer` also `units`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import WRAPPER_ASSIGNMENTS, partial, wraps
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils.metadata_routing import MetadataRequest

from skmoe._data import censored_targets as targets
from skmoe._data.checks import check_weights
from skmoe._data.outcomes import stacked_outcomes
from skmoe._data.series import misses_y
from skmoe._data.sklearn_adapter import split_pipeline, transform_by
from skmoe._estimators.methods.series import has_series
from skmoe._numerics.event_times import concordance, crps_of_bounds, integrated_brier
from skmoe._numerics.probability import weighted_mean
from skmoe._numerics.typing import Array
from skmoe.distributions import PredictiveDistribution, check_coverage
from skmoe.exceptions import warn_user

__all__ = [
    "censored_crps",
    "concordance_index",
    "integrated_brier_score",
    "log_density_scorer",
    "make_interval_scorers",
    "make_survival_scorers",
    "neg_crps_scorer",
    "neg_energy_score_scorer",
]

Scorer = Callable[..., float]


def _scorer(score: Callable[..., float], method: str = "predict_dist") -> Scorer:
    """A scorer from a function of what a method of a mixture returns, of y and of weights."""

    @wraps(score, [name for name in WRAPPER_ASSIGNMENTS if name != "__annotations__"])
    def scorer(
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
    ) -> float:
        steps, model = split_pipeline(estimator)
        if not (hasattr(model, "predict_gate") and hasattr(model, method)):
            raise TypeError(
                f"This scorer needs a mixture with {method}, or a pipeline or search that ends in "
                f"one; got {type(estimator).__name__}. Where the target is transformed, use "
                "TransformedTargetRegressor(GridSearchCV(mixture, grid, scoring=scorer))."
            )
        target = stacked_outcomes(y, getattr(model, "output_names_", ()))
        given = {"offset": offset, "var_weights": var_weights}
        weight = None if sample_weight is None else check_weights(sample_weight, len(target))
        of_series = has_series(model)
        if of_series:
            given |= {"y": y, "units": units, "time": time}
        if method == "score_samples":
            given["y"] = y
        if (of_series or np.ndim(target) > 1) and (missing := misses_y(target)).any():
            weight = np.where(missing, 0.0, check_weights(weight, len(target)))
        if method == "score_samples" and units is not None and not of_series:
            given |= {"units": units, "sample_weight": sample_weight}
            if weight is not None:  # with random effects a weight counts units
                own = weight[np.unique(np.asarray(units), return_index=True)[1]]
                weight = own[own > 0.0] if hasattr(model, "random_covariance_") else None
        # Mixtures of other kinds need not have options that are None.
        given = {name: value for name, value in given.items() if value is not None}
        return score(getattr(model, method)(transform_by(steps, X), **given), target, weight)

    request = MetadataRequest(owner=score.__name__)
    for name in ("offset", "units", "time", "var_weights"):
        request.score.add_request(param=name, alias=True)
    vars(scorer)["get_metadata_routing"] = lambda: request
    del vars(scorer)["__wrapped__"]  # whose parameters are others
    return scorer


@partial(_scorer, method="score_samples")
def log_density_scorer(log_density: Array, y: Any, weight: Any) -> float:
    """Mean log density of y, or log probability of classes: the negative of the log loss.

    It is strictly proper: the true distribution has the best expected score [1]_. A difference of
    0.01 is one percent of the density (or probability) of a row, on average. See "Scores" in the
    user guide.

    Parameters
    ----------
    estimator : fitted estimator
        A mixture of experts, or a pipeline or search that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed target.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors of the experts.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`. Folds must keep the rows of a unit together, as those of
        `GroupKFold` with the units as groups.
    time : array-like of shape (n_samples,), default=None
        Order of the rows of series (`gate="markov"`), whose score is that one step ahead.
    var_weights : array-like of shape (n_samples,), default=None
        Numbers of values of which each y is the mean.

    Returns
    -------
    score : float
        Natural logarithm of the density, averaged over the rows, or over the units. Larger is
        better. For continuous y it depends on the units of y, and can be positive or negative.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts. Where the target is transformed, put
        the search inside: `TransformedTargetRegressor(GridSearchCV(mixture, grid, scoring=...))`.

    See Also
    --------
    neg_crps_scorer : A score in the units of y, on which outliers have less influence.
    make_interval_scorers : Scores of prediction intervals.

    References
    ----------
    .. [1] T. Gneiting and A. E. Raftery (2007), "Strictly proper scoring rules, prediction, and
       estimation", Journal of the American Statistical Association 102, 359-378.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.metrics import log_density_scorer
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = MixtureOfExpertsRegressor(n_init=1, random_state=0)
    >>> search = GridSearchCV(moe, {"n_experts": [1, 2]}, scoring=log_density_scorer, cv=3)
    >>> bool(search.fit(X, y).best_score_ < 0)
    True
    """
    return weighted_mean(log_density, weight)


@_scorer
def neg_crps_scorer(dist: PredictiveDistribution, y: Any, weight: Any) -> float:
    """Negative mean of the continuous ranked probability score (CRPS) [1]_.

    The CRPS is a distance between the predictive distribution and the observed y, in the units of
    y: for a point prediction it is the absolute error. Outliers have less influence on it than on
    the log density. Several outputs have equal weights. Larger is better; 0 is the best score. See
    "Scores" in the user guide.

    Parameters
    ----------
    estimator : fitted estimator
        A mixture of experts for regression, or a pipeline or search that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed target.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors of the experts.
    units, time : array-like of shape (n_samples,), default=None
        Series of the rows and their order, for `gate="markov"`: the score is that one step ahead.
    var_weights : array-like of shape (n_samples,), default=None
        Numbers of values of which each y is the mean.

    Returns
    -------
    score : float
        Negative score in the units of y.

    See Also
    --------
    log_density_scorer : The log-likelihood, also for classifiers.

    References
    ----------
    .. [1] T. Gneiting and A. E. Raftery (2007), "Strictly proper scoring rules, prediction, and
       estimation", Journal of the American Statistical Association 102, 359-378.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.metrics import neg_crps_scorer
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> -0.1 < neg_crps_scorer(moe, X, y) < 0.0
    True
    """
    return -_mean(dist.crps(targets.numbers_of("the score", y)), weight)


@_scorer
def neg_energy_score_scorer(dist: PredictiveDistribution, y: Any, weight: Any) -> float:
    """Negative mean of the energy score [1]_, the CRPS of several outputs together.

    Unlike the CRPS it depends on the correlations of the outputs. Outputs with large values have
    large weights: give them comparable units. Larger is better; 0 is the best score.

    Parameters
    ----------
    estimator : fitted estimator
        A mixture of experts for regression, or a pipeline or search that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed target.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors of the experts.
    units, time : array-like of shape (n_samples,), default=None
        Series of the rows and their order, for `gate="markov"`: the score is that one step ahead.
    var_weights : array-like of shape (n_samples,), default=None
        Numbers of values of which each y is the mean.

    Returns
    -------
    score : float
        Negative score in the units of y, from 200 pairs of draws for each row.

    See Also
    --------
    neg_crps_scorer : The score of each output alone, without draws.

    References
    ----------
    .. [1] T. Gneiting and A. E. Raftery (2007), "Strictly proper scoring rules, prediction, and
       estimation", Journal of the American Statistical Association 102, 359-378.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.metrics import neg_energy_score_scorer
    >>> X, Y = load_iris().data[:, :1], load_iris().data[:, 2:]
    >>> moe = MixtureOfExpertsRegressor(2, covariance_type="full", random_state=0).fit(X, Y)
    >>> -0.5 < neg_energy_score_scorer(moe, X, Y) < 0.0
    True
    """
    return -_mean(dist.energy_score(targets.numbers_of("the score", y)), weight)


def make_survival_scorers() -> dict[str, Scorer]:
    """Scorers of predicted times of events, for `scoring=` of `cross_validate`.

    See "Time to an event" in the user guide.

    Returns
    -------
    scorers : dict of str to callable
        The scorer "log_density" is `log_density_scorer`, "concordance" is `concordance_index` of
        the means restricted to the last time, "neg_integrated_brier" is the negative of
        `integrated_brier_score`, at 100 times from the first event, and "neg_censored_crps" that of
        `censored_crps`, at 200 times from zero. They start at the smallest y if it is negative.
        Of rows with one event the Brier score is that at its time.

    Warns
    -----
    UndefinedMetricWarning
        If a score is NaN, since the rows have too few events.

    See Also
    --------
    skmoe.inspection.SurvivalDisplay : Predicted curves over the Kaplan-Meier curve.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_validate
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.data import right_censored
    >>> from skmoe.metrics import make_survival_scorers
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 1))
    >>> time = np.exp(X[:, 0]) * rng.weibull(2, size=200)
    >>> y = right_censored(np.minimum(time, 2), time < 2)
    >>> moe = MixtureOfExpertsRegressor(1, family="weibull")
    >>> scores = cross_validate(moe, X, y, scoring=make_survival_scorers(), cv=3)
    >>> bool(scores["test_concordance"].mean() > 0.8)
    True
    """

    def checked(name: str, score: float) -> float:
        if np.isnan(score):
            warn_user(
                f'The score "{name}" is NaN, since y has too few events. Use folds that each '
                "have some, such as those of StratifiedKFold by the event.",
                UndefinedMetricWarning,
            )
        return score

    def counted(y: Any, weight: Any) -> Array:
        bounds = _bounds_of_one("a survival score", y)
        return targets.point_values(bounds[check_weights(weight, len(y)) > 0.0])

    def concordance_of(dist: PredictiveDistribution, y: Any, weight: Any) -> float:
        means = dist.restricted_mean(counted(y, weight).max())
        return checked("concordance", concordance_index(y, means, sample_weight=weight))

    def brier_of(dist: PredictiveDistribution, y: Any, weight: Any) -> float:
        time, event = targets.times_and_events("the integrated Brier score", y)
        known = time[event & (check_weights(weight, len(time)) > 0.0)]
        if not len(known):
            return checked("neg_integrated_brier", np.nan)
        grid = np.unique(np.linspace(known.min(), known.max(), 100))
        return -integrated_brier_score(y, dist.sf(grid[None]), grid, sample_weight=weight)

    def crps_of(dist: PredictiveDistribution, y: Any, weight: Any) -> float:
        known = counted(y, weight)
        first, last = min(known.min(), 0.0), known.max()
        if first >= last:
            return checked("neg_censored_crps", np.nan)
        grid = np.linspace(first, last, 200)
        return -censored_crps(y, dist.sf(grid[None]), grid, sample_weight=weight)

    return {
        "log_density": log_density_scorer,
        "concordance": _scorer(concordance_of),
        "neg_integrated_brier": _scorer(brier_of),
        "neg_censored_crps": _scorer(crps_of),
    }


def concordance_index(y: Any, prediction: Any, *, sample_weight: Any = None) -> float:
    """Share of the pairs of rows that are predicted in the right order [1]_.

    Pairs count whose order is known: one event is observed before the other, or before the end of
    the observation of the other row. Equal predictions count a half.

    Parameters
    ----------
    y : structured array of shape (n_samples,)
        Times and events, or other bounds, of `skmoe.data`; or times of events.
    prediction : array-like of shape (n_samples,)
        Predicted times, or other numbers that are larger for later events. Take the negative of a
        risk.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    index : float
        0.5 for predictions without information, 1 for a perfect order, NaN without pairs.

    References
    ----------
    .. [1] F. E. Harrell, R. M. Califf, D. B. Pryor, K. L. Lee and R. A. Rosati (1982), "Evaluating
       the yield of medical tests", Journal of the American Medical Association 247, 2543-2546.

    Examples
    --------
    >>> from skmoe.data import right_censored
    >>> from skmoe.metrics import concordance_index
    >>> concordance_index(right_censored([1, 2, 3], [True, False, True]), [4.0, 7.0, 6.0])
    1.0
    """
    bounds = _bounds_of_one("concordance_index", y)
    weight = check_weights(sample_weight, len(bounds))
    prediction = np.asarray(prediction, dtype=float)
    if prediction.shape != bounds.shape or np.isnan(prediction).any():
        raise ValueError(
            f"prediction must have a number for each of the {len(bounds)} rows of y; got shape "
            f"{prediction.shape}, or NaN. Score one output at a time."
        )
    return concordance(bounds["lower"], bounds["upper"], prediction, weight)


def integrated_brier_score(
    y: Any, survival: Any, times: Any, *, sample_weight: Any = None
) -> float:
    """Mean squared error of predicted probabilities of no event until some times [1]_.

    A row whose status at a time is unknown, since its observation ended before, is left out there.
    Others are weighted by the inverse probability of being observed, by the Kaplan-Meier estimate
    for the ends of observations. These must not depend on the features. It is the continuous ranked
    probability score of times that are not censored, relative to the range of the times.

    Parameters
    ----------
    y : structured array of shape (n_samples,)
        Times and events, of `skmoe.data.right_censored`; or times of events.
    survival : array-like of shape (n_samples, n_times)
        Predicted probabilities, such as `predict_dist(X).sf(times[None])`.
    times : array-like of shape (n_times,)
        Increasing times, over which the score is averaged by the trapezoidal rule. A single one is
        possible.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    score : float
        From 0, the best; 0.25 is the score of the probability 0.5.

    References
    ----------
    .. [1] E. Graf, C. Schmoor, W. Sauerbrei and M. Schumacher (1999), "Assessment and comparison of
       prognostic classification schemes for survival data", Statistics in Medicine 18, 2529-2545.

    Examples
    --------
    >>> from skmoe.data import right_censored
    >>> from skmoe.metrics import integrated_brier_score
    >>> y = right_censored([1, 2, 3], [True, True, False])
    >>> round(integrated_brier_score(y, [[0.0, 0.0], [1.0, 0.5], [1.0, 0.5]], [1.0, 2.0]), 3)
    0.083
    """
    time, event = targets.times_and_events("the integrated Brier score", y)
    survival, times = targets.check_survival(survival, times, len(time))
    weight = check_weights(sample_weight, len(time))
    present = weight > 0.0
    time, event, survival = time[present], event[present], survival[present]
    return integrated_brier(time, event, survival, times, weight[present])


def censored_crps(y: Any, survival: Any, times: Any, *, sample_weight: Any = None) -> float:
    """Continuous ranked probability score (CRPS) of censored y [1]_.

    It is the squared error of the predicted probabilities of no event, integrated over the times at
    which the event is known to have come or not. These are the times before the lower bound of a
    row, and those after the upper one. Without censored rows it is the CRPS. With censored rows it
    is not proper [2]_: it prefers predictions of early events. Compare models whose scores differ
    little by the log density or `integrated_brier_score`.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Times and events, or other bounds, of `skmoe.data`; or values.
    survival : array-like of shape (n_samples, n_times)
        Predicted probabilities of more than each time, such as `predict_dist(X).sf(times[None])`.
        Between the times they are interpolated.
    times : array-like of shape (n_times,)
        Increasing times, 100 or more for three digits, between which errors count.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    score : float
        Mean over the rows, in the units of y. From 0, the best.

    Raises
    ------
    ValueError
        If the times are not increasing, `survival` has another shape or values outside of [0, 1],
        or y has several outputs.

    References
    ----------
    .. [1] A. Avati, T. Duan, S. Zhou, K. Jung, N. H. Shah and A. Y. Ng (2020), "Countdown
       regression: sharp and calibrated survival predictions", Uncertainty in Artificial
       Intelligence 35, 145-155.
    .. [2] D. Rindt, R. Hu, D. Steinsaltz and D. Sejdinovic (2022), "Survival regression with proper
       scoring rules and monotonic neural networks", AISTATS 25, 1190-1205.

    Examples
    --------
    >>> from skmoe.data import right_censored
    >>> from skmoe.metrics import censored_crps
    >>> y = right_censored([1, 2], [True, False])
    >>> round(censored_crps(y, [[1, 0.5, 0.0], [1.0, 1.0, 0.4]], [0.0, 1.0, 2.0]), 3)
    0.143
    """
    bounds = _bounds_of_one("censored_crps", y)
    survival, times = targets.check_survival(survival, times, len(bounds), 2)
    scores = crps_of_bounds(bounds["lower"], bounds["upper"], survival, times)
    return weighted_mean(scores, sample_weight)


def make_interval_scorers(coverage: float = 0.9) -> dict[str, Scorer]:
    """Scorers of central prediction intervals, for `scoring=` of `cross_validate`.

    See "Scores" in the user guide.

    Parameters
    ----------
    coverage : float, default=0.9
        Nominal coverage, in (0, 1): the probability of an interval under the model.

    Returns
    -------
    scorers : dict of str to callable
        The scorer "coverage" is the fraction of the values inside their interval, bounds included.
        It should be close to the nominal coverage. The scorer "neg_width" is the negative mean
        width, in the units of y: narrow intervals are better at the same coverage. The scorer
        "neg_interval_score" combines both in one proper score: it is the negative of the width plus
        a penalty for values outside [1]_.

    See Also
    --------
    neg_crps_scorer : A score of the whole distribution, in the units of y.
    skmoe.inspection.CalibrationDisplay : Observed against nominal coverage, as a picture.

    References
    ----------
    .. [1] T. Gneiting and A. E. Raftery (2007), "Strictly proper scoring rules, prediction, and
       estimation", Journal of the American Statistical Association 102, 359-378.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import cross_validate
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.metrics import make_interval_scorers
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0)
    >>> scores = cross_validate(moe, X, y, scoring=make_interval_scorers(0.8), cv=2)
    >>> float(scores["test_coverage"].mean()) > 0.7
    True
    """
    check_coverage(coverage)

    def mean_of(of_interval: Callable[[Any, Any, Any], Any]) -> Scorer:
        def score(dist: PredictiveDistribution, y: Any, weight: Any) -> float:
            y = targets.numbers_of("the score", y)
            lower, upper = np.moveaxis(dist.interval(coverage), 1, 0)
            if y.shape != lower.shape:
                raise ValueError(f"y must have shape {lower.shape}; got {y.shape}.")
            return _mean(np.where(np.isnan(y), np.nan, of_interval(lower, upper, y)), weight)

        return _scorer(score)

    def negative_score(lower: Any, upper: Any, y: Any) -> Any:
        distance = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
        return lower - upper - 2.0 / (1.0 - coverage) * distance

    return {
        "coverage": mean_of(lambda lower, upper, y: (lower <= y) & (y <= upper)),
        "neg_width": mean_of(lambda lower, upper, y: lower - upper),
        "neg_interval_score": mean_of(negative_score),
    }


def _bounds_of_one(use: str, y: Any) -> Array:
    """Bounds of a target, of which a score takes one output."""
    bounds = targets.bounds_of(y, use)
    if bounds.ndim != 1:
        raise ValueError(
            f"y must have one output for {use}; got shape {bounds.shape}. Score y[:, j] and the "
            "predictions of that output by themselves, or all outputs by log_density_scorer."
        )
    return bounds


def _mean(values: Any, sample_weight: Any) -> float:
    """Mean over rows and outputs; of each output over the rows in which it is observed."""
    entries = np.asarray(values, dtype=float).reshape(len(values), -1)
    known = ~np.isnan(entries)
    if known.all() or entries.shape[1] == 1:
        return weighted_mean(entries.mean(axis=1), sample_weight)
    weight = check_weights(sample_weight, len(entries))
    pairs = zip(entries.T, known.T, strict=True)
    return float(np.mean([weighted_mean(values[kept], weight[kept]) for values, kept in pairs]))
