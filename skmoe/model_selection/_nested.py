"""The likelihood-ratio test of nested mixtures, also of those at the end of pipelines."""

from __future__ import annotations

from typing import Any

import joblib
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skmoe._data.checks import shown
from skmoe._data.rows import Rows
from skmoe._data.steps import UnitPipeline
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.selection.likelihood_ratio import likelihood_ratio
from skmoe._inference.comparisons import NestedModelsTest


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
) -> NestedModelsTest:
    """Likelihood-ratio test of a mixture against a larger one with the same number of experts.

    The smaller model is the larger one with some coefficients at zero, or equal: features that an
    expert or the gate lacks, shared slopes, shared or constant dispersions, independent outputs.
    Under the smaller model twice the difference of the log-likelihoods has about a chi-squared
    distribution [1]_, with as many degrees of freedom as the larger model has parameters more.

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
        Target; labels for a classifier.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, which count rows.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`.
    time : array-like of shape (n_samples,), default=None
        Order of the rows of series, as in `fit` with `gate="markov"`. A mixture with
        `gate="constant"` is one without persistence: its rows are independent.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, as in `fit`.
    known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
        Experts of rows of which they are known, as in `fit`.

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
            f"{shown(second)}. Choose features by expert_features and gate_features."
        )
    X, smaller, pipeline = without_steps(smaller, X, y, units)
    larger = larger if pipeline is None else larger.steps[-1][1]
    rows = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
    test = likelihood_ratio(smaller, larger, rows)
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


def without_steps(estimator: Any, X: Any, y: Any, units: Any) -> tuple[Any, Any, Pipeline | None]:
    """Features that the steps of a pipeline transform, its mixture, and the fitted pipeline.

    The pipeline is None for a mixture alone. One of courses of units needs these.
    """
    if isinstance(estimator, UnitPipeline):
        estimator.check_units(units)
    if not isinstance(estimator, Pipeline):
        return X, estimator, None
    pipeline: Pipeline = clone(estimator)
    if len(pipeline.steps) > 1:
        X = pipeline[:-1].fit_transform(X, y)
    return X, pipeline.steps[-1][1], pipeline


def with_mixture(pipeline: Pipeline | None, fitted: Any) -> Any:
    """The pipeline with a fitted mixture at its end; the mixture itself for None."""
    if pipeline is None:
        return fitted
    return type(pipeline)([*pipeline.steps[:-1], (pipeline.steps[-1][0], fitted)])
