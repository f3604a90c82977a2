"""Tests of nested mixtures and intervals of held-out rows, also of mixtures in pipelines."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from skmoe._data.checks import check_metadata, check_n_jobs, shown
from skmoe._data.rows import Rows
from skmoe._data.sklearn_adapter import final_estimator
from skmoe._data.steps import UnitPipeline
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.methods.input_steps import fitted_to, held_out_folds, mixture_of
from skmoe._estimators.methods.series import has_series
from skmoe._estimators.selection.likelihood_ratio import check_draws, likelihood_ratio
from skmoe._inference.comparisons import NestedModelsTest
from skmoe._numerics.typing import Array
from skmoe.distributions import check_coverage

# Number of draws where the distribution of a statistic is not known.
N_BOOTSTRAP = 99


def likelihood_ratio_test(
    smaller: Any,
    larger: Any,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    units: Any = None,
    time: Any = None,
    offset: Any = None,
    known_experts: Any = None,
    var_weights: Any = None,
    n_bootstrap: int | None = None,
    n_exceedances: int | None = 10,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> NestedModelsTest:
    """Likelihood-ratio test of a mixture against a larger one with the same number of experts.

    The smaller model is the larger one with some coefficients at zero, or equal: features that an
    expert or the gate lacks, shared slopes, shared or constant dispersions, independent outputs.
    Under the smaller model twice the difference of the log-likelihoods has about a chi-squared
    distribution [1]_, with as many degrees of freedom as the larger model has parameters more.

    The larger model may also have one expert more, of a single value: "never", "zero" or "one", as
    in `family=["never", "weibull"]` against `n_experts=1, family="weibull"`. Then the test asks
    whether there are cured rows, or more zeros than the others explain. A probability of zero lies
    on the border of the parameters. Under `gate="constant"` the statistic has the distribution with
    all degrees of freedom in one half of all tables, and with one fewer in the other half [2]_,
    [3]_. After a long follow-up the test is then conservative: pass `n_bootstrap`. Under a gate
    with features targets are always drawn from the smaller model, and censored as the rows are
    [4]_. The result also has a check whether the
    follow-up is long enough for cures [5]_: it is rough, and often too optimistic.

    Both models are fitted by maximum likelihood: penalties and priors of the estimators do not
    count. Each is fitted from its own starts, and from the responsibilities of the other. See
    "Effects that are zero or equal" in the user guide.

    Parameters
    ----------
    smaller, larger : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Linear experts whose parameters differ in `expert_features`, `shared_features`, `gate`,
        `gate_features`, `dispersion`, `dispersion_features` or `covariance_type` only. Both are
        cloned, and not fitted. Two pipelines that end in such mixtures are accepted too, if their
        other steps are the same; these are fitted once.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target, also censored; labels for a classifier.
    sample_weight : array-like of shape (n_samples,), default=None
        Whole numbers, which count rows. For sampling weights use `Inference.wald_test`.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`.
    time : array-like of shape (n_samples,), default=None
        Order of the rows of series, as in `fit` with `gate="markov"`. A mixture with
        `gate="constant"` is one without persistence: its rows are independent.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, as in `fit`.
    known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
        Experts of rows of which they are known, as in `fit`.
    var_weights : array-like of shape (n_samples,), default=None
        Numbers of values of which each y is the mean, as in `fit`.
    n_bootstrap : int or None, default=None
        Largest number of targets that are drawn from the smaller model, for a p-value by the
        bootstrap. None: 99 where the distribution of the statistic is not known, and no draws
        elsewhere.
    n_exceedances : int or None, default=10
        Number of drawn targets with a statistic at least as large as that of the data after which
        the test stops, as in `n_experts_test`; None draws all of them.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the draws.
    n_jobs : int, default=None
        Draws to fit in parallel; -1 for all processors, None for one.

    Returns
    -------
    result : NestedModelsTest
        With `statistic`, `df`, `p_value`, `log_likelihoods` and `estimators`. Printed, it is a
        sentence.

    Raises
    ------
    TypeError
        If an estimator is neither a mixture of experts nor a pipeline that ends in one.
    ValueError
        If the models are not nested, or have different numbers of experts or other families. Also
        if one has experts that are not linear, a transformer in its gate, or an option that has no
        likelihood, and if the pipelines differ in their steps.

    Warns
    -----
    ConvergenceWarning
        If a fit has not converged within `max_iter` iterations of its estimator.

    See Also
    --------
    n_experts_test : A test of the number of experts.
    skmoe.inspection.Inference.wald_test : A test of coefficients of one fit.

    References
    ----------
    .. [1] S. S. Wilks (1938), "The large-sample distribution of the likelihood ratio for testing
       composite hypotheses", Annals of Mathematical Statistics 9, 60-62.
    .. [2] S. G. Self and K.-Y. Liang (1987), "Asymptotic properties of maximum likelihood
       estimators and likelihood ratio tests under nonstandard conditions", Journal of the American
       Statistical Association 82, 605-610.
    .. [3] R. A. Maller and X. Zhou (1996), "Survival Analysis with Long-Term Survivors", Wiley,
       chapter 5.
    .. [4] A. C. Davison and D. V. Hinkley (1997), "Bootstrap Methods and their Application",
       Cambridge University Press, section 7.3.
    .. [5] R. A. Maller and S. Zhou (1994), "Testing for sufficient follow-up and outliers in
       survival data", Journal of the American Statistical Association 89, 1499-1506.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import likelihood_ratio_test
    >>> rng = np.random.default_rng(0)
    >>> X, regime = rng.normal(size=(300, 2)), rng.random(300) < 0.5
    >>> y = np.where(regime, 3 + X[:, 0], X[:, 0] + X[:, 1]) + 0.3 * rng.normal(size=300)
    >>> larger = MixtureOfExpertsRegressor(2, gate="constant", random_state=0)
    >>> smaller = MixtureOfExpertsRegressor(2, gate="constant", random_state=0, shared_features=[0])
    >>> likelihood_ratio_test(smaller, larger, X, y)
    Likelihood-ratio statistic ..., degrees of freedom 1, p = ...

    Are there cured rows among times of which one in five is infinite?

    >>> from skmoe.data import right_censored
    >>> cured, end = rng.random(300) < 0.2, rng.uniform(1, 4, size=300)
    >>> time = np.where(cured, np.inf, rng.weibull(1.5, size=300))
    >>> seen = right_censored(np.minimum(time, end), time <= end)
    >>> cure = MixtureOfExpertsRegressor(2, family=["never", "weibull"], gate="constant")
    >>> likelihood_ratio_test(MixtureOfExpertsRegressor(1, family="weibull"), cure, X, seen)
    Likelihood-ratio statistic ..., p = ... The model without "never" is rejected at the level of...
    The p-value is the mean of those of 0 and 1 degrees of freedom: ...
    The follow-up is long enough for a plateau (Maller and Zhou 1994: alpha = ...).
    """
    for name, estimator in (("smaller", smaller), ("larger", larger)):
        check_is_mixture(name, estimator)
    first, second = (
        [clone(step, safe=False) for _, step in one.steps[:-1]] if isinstance(one, Pipeline) else []
        for one in (smaller, larger)
    )
    if joblib.hash(first) != joblib.hash(second):
        raise ValueError(
            f"larger must have the steps of smaller before its mixture, here {shown(first)}; got "
            f"{shown(second)}. Leave features out in the mixture, by expert_features or "
            'gate_features, or all of a gate by gate="constant": trajectories(...).set_params('
            'mixture__gate="constant").'
        )
    rows = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
    rows = rows._replace(n_values=var_weights)
    rows, smaller, pipeline = without_steps("likelihood_ratio_test", smaller, rows)
    larger = larger if pipeline is None else larger.steps[-1][1]
    number = N_BOOTSTRAP if n_bootstrap is None else n_bootstrap
    draws = check_draws(number, n_exceedances, random_state)[1], n_exceedances, check_n_jobs(n_jobs)
    test = likelihood_ratio((smaller, larger), rows, draws, n_bootstrap is not None)
    test.estimators = [with_mixture(pipeline, fitted) for fitted in test.estimators]
    return test


# --- pipelines, whose steps before the mixture are fitted once -----------------------------------


def check_is_mixture(name: str, estimator: Any) -> None:
    """Raise TypeError for anything but a mixture of this package, or a pipeline with one."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, BaseMixtureOfExperts):
        remedy = "Pass an instance, or a pipeline that ends in one."
        if hasattr(last, "estimators"):
            remedy = "The number of models of a stack is that of its list."
        raise TypeError(
            f"{name} must be a MixtureOfExpertsRegressor or MixtureOfExpertsClassifier; got "
            f"{shown(last)}. {remedy}"
        )


def without_steps(name: str, estimator: Any, rows: Rows) -> tuple[Rows, Any, Pipeline | None]:
    """Rows whose features the steps of a pipeline transform, its mixture, and the fitted pipeline.

    The pipeline is None for a mixture alone. One of courses of units needs these. A fitted mixture
    warns, for the function of this name, of arguments of its fit that the refits will lack.
    """
    if isinstance(estimator, UnitPipeline):
        estimator.check_units(rows.unit)
    if not isinstance(estimator, Pipeline):
        if estimator._row_arguments:
            others = "sample_weight", "offset", "units", "var_weights"
            estimator._warn_of_missing(name, rows, *others)
        return rows, estimator, None
    pipeline: Pipeline = clone(estimator)
    if len(pipeline.steps) > 1:
        rows = rows._replace(X=pipeline[:-1].fit_transform(rows.X, rows.y))
    return rows, pipeline.steps[-1][1], pipeline


def with_mixture(pipeline: Pipeline | None, fitted: Any) -> Any:
    """The pipeline with a fitted mixture at its end; the mixture itself for None."""
    if pipeline is None:
        return fitted
    return type(pipeline)([*pipeline.steps[:-1], (pipeline.steps[-1][0], fitted)])


# --- intervals of held-out rows ---


def cross_val_predict_interval(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    coverage: float = 0.9,
    cv: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    units: Any = None,
    offset: Any = None,
    n_jobs: int | None = None,
) -> Array:
    """Prediction interval of each row by a fit to the rows of other folds.

    `cross_val_predict` of scikit-learn has no such method. The share of the values that are inside
    estimates the coverage of intervals of new rows.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor, GatedStackingRegressor, pipeline or search
        One of these, or a pipeline or search that ends in one. It is cloned, and not fitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target.
    coverage : float, default=0.9
        Probability of y in the interval, in (0, 1), under the model.
    cv : int, splitter or iterable, default=None
        Folds, as in `cross_val_predict`; None for five. Each row must be held out once. An integer
        keeps the rows of a group, or of a unit, in one fold.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows, for the folds; None for the units.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in fits.
    units : array-like of shape (n_samples,), default=None
        Units of the rows in fits. Intervals of a unit are those without a history.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, in fits and predictions.
    n_jobs : int, default=None
        Fits in parallel, through joblib; -1 for all processors, None for one.

    Returns
    -------
    interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
        Lower and upper bounds, in the units of y.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture or stack for regression.
    ValueError
        If the coverage is outside (0, 1), or the folds do not hold each row out once. Also where
        `fit` or `predict_interval` raises it.

    See Also
    --------
    skmoe.metrics.make_interval_scorers : Coverage and width of held-out intervals as scores.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import cross_val_predict_interval
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-3, 3, size=(200, 1))
    >>> y = np.abs(X[:, 0]) + 0.2 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> low, high = cross_val_predict_interval(moe, X, y, coverage=0.8).T
    >>> float(np.mean((low <= y) & (y <= high)).round(1))
    0.8
    """
    check_coverage(coverage)
    if not hasattr(final_estimator(estimator), "predict_interval"):
        raise TypeError(
            "estimator must be a MixtureOfExpertsRegressor or GatedStackingRegressor, or a "
            f"pipeline or search that ends in one; got {shown(final_estimator(estimator))}. Of "
            'classifiers use cross_val_predict(..., method="predict_proba").'
        )
    if has_series(final_estimator(estimator)) and units is None:
        raise ValueError(
            'estimator must not have gate="markov" without units: folds cut a single series, and '
            "intervals of its rows need earlier ones. Pass units=, or fit to the first rows, and "
            "call predict_interval(X, y=y, time=time) with all rows: it uses earlier y only."
        )
    given = {"groups": groups, "sample_weight": sample_weight, "units": units, "offset": offset}
    arrays = check_metadata(given, X.shape[0] if hasattr(X, "shape") else len(X))
    weight, unit, offset = map(arrays.get, ("sample_weight", "units", "offset"))
    rows = Rows(X, y, weight, offset, unit, arrays.get("groups", unit))
    folds = held_out_folds(cv, rows, "Use make_interval_scorers for other folds.")
    found = Parallel(n_jobs=check_n_jobs(n_jobs))(
        delayed(_intervals)(estimator, rows, coverage, fold) for fold in folds
    )
    return np.concatenate(found)[np.argsort(np.concatenate([test for _, test in folds]))]


def _intervals(estimator: Any, rows: Rows, coverage: float, fold: tuple[Array, Array]) -> Array:
    """Intervals of the test rows of a fold."""
    train, test = fold
    mixture, own = mixture_of(fitted_to(estimator, rows, train)), rows.take(test)
    return np.asarray(mixture.predict_interval(own.X, coverage=coverage, offset=own.offset))
