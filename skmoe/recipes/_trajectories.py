"""Groups of units with the same course over time."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import SplineTransformer

from skmoe._estimators.regressor import MixtureOfExpertsRegressor

# Penalties that hardly change estimates, so that criteria compare numbers of groups.
SMALL_PENALTY = 0.1


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
