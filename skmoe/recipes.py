"""Estimators that are ready to use: strong ones, and readable ones.

Each function returns an ordinary estimator, whose parameters can be inspected and changed by
`set_params`. The models of the strong ones were chosen by their log density on held-out rows of
public tables: `tests/benchmarks/stacks.py` compares lists of models, and
`tests/benchmarks/accuracy.py` the recipes with other models.
"""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import SplineTransformer

from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor

__all__ = [
    "readable_classifier",
    "readable_regressor",
    "strong_classifier",
    "strong_regressor",
    "trajectories",
]

# Tolerance of mixtures in stacks, whose weights matter more than the last digits of their fit.
MODEL_TOL = 1e-3

# Penalties that hardly change estimates, so that criteria compare numbers of groups.
SMALL_PENALTY = 0.1

# Number of experts of which a reader can keep track.
MAX_READABLE_EXPERTS = 6

# Boosted trees under the experts of the regressor: few, which are fitted once for each fold.
BOOSTING = {
    "learning_rate": 0.18,
    "max_iter": 50,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 10,
}

# Boosted trees of the classifier: small steps with few columns, hardly any interactions, and many
# steps. Which of them is accurate depends on the data, and so do the weights of the stack.
DRAWN_COLUMNS = {
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 10,
    "max_features": 0.3,
    "l2_regularization": 1.0,
}
FEW_INTERACTIONS = DRAWN_COLUMNS | {"learning_rate": 0.1, "max_iter": 300, "max_leaf_nodes": 3}
MANY_STEPS = DRAWN_COLUMNS | {"max_iter": 200, "max_features": 1.0}

# Randomised trees; their largest number of leaves limits their cost on many rows.
RANDOMISED_TREES = {"n_estimators": 20, "min_samples_leaf": 2, "max_leaf_nodes": 1000}


def strong_regressor(
    *, random_state: Any = None, n_jobs: int | None = None, verbose: int = 0
) -> GatedStackingRegressor:
    """A regressor with an accurate mean and an accurate predictive distribution.

    Use it when the accuracy counts more than the interpretation. It is a stack of
    three models, whose weights depend on the features:

    - a mixture of eight linear experts, which drop features that they do not need,
    - a mixture of three linear experts on boosted trees, whose noise varies with the features,
    - extremely randomised trees with Student's t noise.

    Its distribution is continuous. For a target of at most 30 values, such as a rating, compare it
    with `MixtureOfExpertsRegressor("auto", family="ordinal")`, which predicts a probability of each
    value. With 100 000 rows a fit costs about 18 times that of `HistGradientBoostingRegressor`. See
    "A stack that is ready to use" in the user guide.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Source of randomness of all models. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Fits to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each model, 0 nothing.

    Returns
    -------
    regressor : GatedStackingRegressor
        Not fitted. It needs numbers without missing values, and takes one or several outputs.

    See Also
    --------
    readable_regressor : A mixture whose regimes can be read.

    Examples
    --------
    >>> from skmoe.recipes import strong_regressor
    >>> [name for name, _ in strong_regressor().estimators]
    ['linear_experts', 'boosting_experts', 'trees']
    """
    boosting = HistGradientBoostingRegressor(**BOOSTING)
    linear = MixtureOfExpertsRegressor(8, alpha="ard", gate_alpha="ard", n_init=2, tol=MODEL_TOL)
    models = [
        ("linear_experts", linear),
        (
            "boosting_experts",
            MixtureOfExpertsRegressor(3, base=boosting, n_init=1, tol=3.0 * MODEL_TOL),
        ),
        ("trees", ExtraTreesRegressor(**RANDOMISED_TREES)),
    ]
    return GatedStackingRegressor(
        models,
        family="student_t",
        gate_alpha="auto",
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def strong_classifier(
    *, random_state: Any = None, n_jobs: int | None = None, verbose: int = 0
) -> GatedStackingClassifier:
    """A classifier with accurate class probabilities.

    Use it when the accuracy counts more than the interpretation. It is a stack of four models,
    whose weights depend on the features: a mixture of three logistic regressions, and three kinds
    of boosted trees. One of these draws columns at random, one has trees of two splits, and one
    makes many steps. With 100 000 rows a fit costs about 11 times that of
    `HistGradientBoostingClassifier`. See "A stack that is ready to use" in the user guide.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Source of randomness of all models. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Fits to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each model, 0 nothing.

    Returns
    -------
    classifier : GatedStackingClassifier
        Not fitted. It needs numbers without missing values.

    See Also
    --------
    readable_classifier : A mixture whose regimes can be read.

    Examples
    --------
    >>> from skmoe.recipes import strong_classifier
    >>> [name for name, _ in strong_classifier().estimators]
    ['linear_experts', 'drawn_columns', 'few_interactions', 'many_steps']
    """
    linear = MixtureOfExpertsClassifier(3, alpha="auto", gate_alpha="auto", n_init=2, tol=MODEL_TOL)
    models = [
        ("linear_experts", linear),
        ("drawn_columns", HistGradientBoostingClassifier(**DRAWN_COLUMNS)),
        ("few_interactions", HistGradientBoostingClassifier(**FEW_INTERACTIONS)),
        ("many_steps", HistGradientBoostingClassifier(**MANY_STEPS)),
    ]
    return GatedStackingClassifier(
        models,
        gate_alpha="auto",
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def readable_regressor(
    *,
    family: Any = "normal",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> MixtureOfExpertsRegressor:
    """A mixture of few linear regressions, whose number is chosen by held-out log-likelihood.

    Use it when you want to know which regimes there are, and what the features do in each. It has
    at most six experts, of which a reader can keep track. Its penalties maximise the evidence. Read
    it by `summary`, `export_text` and the displays of `skmoe.inspection`: see "Reading a fit" in
    the user guide.

    Parameters
    ----------
    family : str or Family, default="normal"
        Conditional distribution of y under an expert, such as "negative_binomial" for counts, as in
        `MixtureOfExpertsRegressor`.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Starts to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each start, 0 nothing.

    Returns
    -------
    regressor : MixtureOfExpertsRegressor
        Not fitted. It needs numbers without missing values.

    See Also
    --------
    strong_regressor : A stack of models that predicts better, and is harder to read.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe.recipes import readable_regressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = readable_regressor(random_state=0).fit(X, y)
    >>> moe.n_experts_ <= 6
    True
    """
    return MixtureOfExpertsRegressor(
        "auto",
        max_n_experts=MAX_READABLE_EXPERTS,
        family=family,
        alpha="auto",
        gate_alpha="auto",
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def readable_classifier(
    *, random_state: Any = None, n_jobs: int | None = None, verbose: int = 0
) -> MixtureOfExpertsClassifier:
    """A mixture of few logistic regressions; held-out log-likelihood selects their number.

    Use it when you want to know which regimes there are, and what the features do in each. It has
    at most six experts, of which a reader can keep track. Its penalties maximise the evidence. Read
    it by `summary`, `export_text` and the displays of `skmoe.inspection`: see "Reading a fit" in
    the user guide.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Starts to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each start, 0 nothing.

    Returns
    -------
    classifier : MixtureOfExpertsClassifier
        Not fitted. It needs numbers without missing values.

    See Also
    --------
    strong_classifier : A stack of models that predicts better, and is harder to read.

    Examples
    --------
    >>> from skmoe.recipes import readable_classifier
    >>> readable_classifier().n_experts
    'auto'
    """
    return MixtureOfExpertsClassifier(
        "auto",
        max_n_experts=MAX_READABLE_EXPERTS,
        alpha="auto",
        gate_alpha="auto",
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def trajectories(
    n_groups: int | str,
    time: Any,
    unit_features: Any = None,
    *,
    degree: int = 3,
    n_knots: int = 2,
    family: Any = "normal",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Pipeline:
    """Groups of units with the same course over time (group-based trajectory model).

    Each expert is the mean course of a group: a spline of time, or a polynomial, under a
    conditional distribution of y [1]_. The gate is the probability of each group, which may depend
    on features of the units, such as the sex of a patient. All rows of a unit belong to one group.
    See "Courses over time" in the user guide.

    Parameters
    ----------
    n_groups : int or {"auto", "aic", "bic", "icl"}
        Number of groups, or how it is chosen. `n_experts_table` compares several numbers.
    time : str or int
        The column of X with the time, by name or index.
    unit_features : list of str or of int, default=None
        Columns of X on which the probabilities of the groups depend, which are constant within a
        unit. None for the same probabilities for all units.
    degree : int, default=3
        Degree of the polynomials between knots: 1 for straight lines, 3 for cubic ones.
    n_knots : int, default=2
        Number of knots, at equal distances from the smallest to the largest time. With 2 a course
        is a polynomial; with more it is a spline, which follows more changes of direction.
    family : str or Family, default="normal"
        Conditional distribution of y under an expert, such as "negative_binomial" for counts, or
        "ordinal" for yes and no.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Starts to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each start, 0 nothing.

    Returns
    -------
    pipeline : Pipeline
        Not fitted, with the steps "time" and "mixture": `fit(X, y, mixture__units=units)`. Its
        penalties are small, so that criteria are near those of maximum likelihood.

    See Also
    --------
    skmoe.inspection.TrajectoriesDisplay : The courses as a picture.
    skmoe.model_selection.n_experts_table : Criteria for the number of groups.
    skmoe.pipelines.mixture_of : The methods of the mixture, such as `responsibilities`.

    References
    ----------
    .. [1] D. S. Nagin (2005), "Group-based modeling of development", Harvard University Press.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.pipelines import mixture_of
    >>> from skmoe.recipes import trajectories
    >>> unit, year = np.repeat(np.arange(40), 5), np.tile(np.arange(5.0), 40)
    >>> y = np.where(unit % 3, year, 4.0 - year) + np.random.default_rng(0).normal(size=200)
    >>> X = year[:, None]
    >>> groups = trajectories(2, time=0, degree=1, random_state=0).fit(X, y, mixture__units=unit)
    >>> mixture_of(groups).responsibilities(X, y, units=unit).proba[:4].round(1)
    array([[0., 1.],
           [1., 0.],
           [1., 0.],
           [0., 1.]])
    """
    spline = SplineTransformer(n_knots, degree, include_bias=False)
    of_unit = [] if unit_features is None else list(unit_features)
    columns = [("time", spline, [time]), ("unit", "passthrough", of_unit)]
    n_splines = n_knots + degree - 2
    moe = MixtureOfExpertsRegressor(
        n_groups,
        family=family,
        gate="softmax" if of_unit else "constant",
        alpha=SMALL_PENALTY,
        gate_alpha=SMALL_PENALTY,
        expert_features=list(range(n_splines)),
        gate_features=[n_splines + i for i in range(len(of_unit))] or None,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    step = ColumnTransformer(columns, verbose_feature_names_out=False)
    return Pipeline([("time", step), ("mixture", moe)])
