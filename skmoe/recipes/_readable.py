"""Mixtures whose regimes can be read: few linear experts, and groups of courses over time."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from skmoe._data.checks import check_integer, is_integer, shown
from skmoe._data.steps import TimePolynomial, UnitPipeline, categorical_columns
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor

# As many experts as a reader can keep track of, and penalties that maximise the evidence.
OPTIONS: dict[str, Any] = {"n_experts": range(1, 7), "alpha": "auto", "gate_alpha": "auto"}

# Penalties that hardly change estimates, so that criteria compare numbers of groups. Powers of the
# time depend on each other, so that a larger penalty would change courses. The prior, in rows,
# keeps a group from collapsing on few rows.
PENALTY, GATE_PENALTY, PRIOR = 1e-3, 0.1, 1.0


def readable_regressor(
    *, family: Any = "normal", random_state: Any = None, n_jobs: int | None = None, verbose: int = 0
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
    >>> moe = readable_regressor(random_state=0).fit(X[:60], y[:60])
    >>> moe.n_experts_ <= 6
    True
    """
    options = OPTIONS | {"random_state": random_state, "n_jobs": n_jobs, "verbose": verbose}
    return MixtureOfExpertsRegressor(family=family, **options)


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
    range(1, 7)
    """
    options = OPTIONS | {"random_state": random_state, "n_jobs": n_jobs, "verbose": verbose}
    return MixtureOfExpertsClassifier(**options)


def trajectories(
    n_groups: int | str | Iterable[int],
    time: Any,
    unit_features: Any = None,
    *,
    degree: int = 3,
    n_knots: int = 2,
    family: Any = "normal",
    dispersion: str = "per_expert",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Pipeline:
    """Groups of units with the same course over time (group-based trajectory model).

    Each expert is the mean course of a group: a polynomial of time, or a spline, under a
    conditional distribution of y [1]_. The gate is the probability of each group, which may depend
    on features of the units, such as the sex of a patient. All rows of a unit belong to one group.
    See "Trajectories for a paper" in the user guide.

    Parameters
    ----------
    n_groups : int, {"auto", "aic", "bic", "icl"} or list or range of int
        Number of groups, or how it is chosen. `n_experts_table` compares several numbers.
    time : str or int
        The column of X with the time, by name or index.
    unit_features : str, int, or list of these, default=None
        Columns of X on which the probabilities of the groups depend, which are constant within a
        unit. None for the same probabilities for all units. Categories become indicators of all
        but their first value.
    degree : int, default=3
        Degree of the polynomials: 1 for straight lines, 3 for cubic ones.
    n_knots : int, default=2
        Number of knots, at equal distances from the smallest to the largest time. With 2 a course
        is a polynomial; with more it is a spline, which follows more changes of direction.
    family : str or Family, default="normal"
        Conditional distribution of y under an expert, such as "negative_binomial" for counts, or
        "ordinal" for yes and no.
    dispersion : {"per_expert", "shared"}, default="per_expert"
        Whether each group has dispersion parameters of its own, such as its noise variance.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Starts to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each start, 0 nothing.

    Returns
    -------
    pipeline : Pipeline
        Not fitted, with the steps "time" and "mixture": `fit(X, y, units=units)`, or in searches
        `mixture__units=units`. Without units its fit raises a ValueError. Its penalties and its
        prior are small, so that criteria are near those of maximum likelihood.

    Raises
    ------
    ValueError
        If `time` is not one column, `degree` is no integer of at least 1, or `n_knots` of 2.

    See Also
    --------
    skmoe.inspection.TrajectoriesDisplay : The courses as a picture.
    skmoe.model_selection.n_experts_table : Criteria for the number of groups.
    skmoe.recipes.mixture_of : The methods of the mixture, such as `responsibilities`.

    Notes
    -----
    The columns are "year", "year^2" and so on, and "max(year - 4, 0)^3" for a knot at 4. So the
    slope of a straight line is the change of y, or of its link, in one unit of time. The intercept
    is the level at time 0. If all times are far from 0, as calendar years are, time is counted from
    a round number before the first, and the columns are "(year - 1990)" and so on;
    `set_params(time__time__origin=2000)` chooses another year. Beyond the first and the last time
    the polynomials go on, and `is_outside_range` is True.

    `TrajectoriesDisplay` and `average_effects` change the time. `ExpertsDisplay` and
    `RegimesDisplay`, which would change one of its powers at a time, refuse courses of several.

    References
    ----------
    .. [1] D. S. Nagin (2005), "Group-based modeling of development", Harvard University Press.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.recipes import mixture_of
    >>> from skmoe.recipes import trajectories
    >>> unit, year = np.repeat(np.arange(40), 5), np.tile(np.arange(5.0), 40)
    >>> y = np.where(unit % 3, year, 4.0 - year) + np.random.default_rng(0).normal(size=200)
    >>> X = year[:, None]
    >>> groups = trajectories(2, time=0, degree=1, random_state=0).fit(X, y, units=unit)
    >>> mixture_of(groups).responsibilities(X, y, units=unit).proba[:4].round(1)
    array([[0., 1.],
           [1., 0.],
           [1., 0.],
           [0., 1.]])
    """
    check_integer("degree", degree, least=1)
    check_integer("n_knots", n_knots, least=2)
    if not (isinstance(time, str) or is_integer(time)):
        raise ValueError(
            f"time must be the name or the index of one column; got {shown(time)}. Pass time='year'"
            " for the column year."
        )
    of_unit = [] if unit_features is None else np.atleast_1d(unit_features).tolist()
    encoder = OneHotEncoder(drop="first", sparse_output=False)
    names = {"verbose_feature_names_out": False}
    indicators = ColumnTransformer(
        [("categories", encoder, categorical_columns)], remainder="passthrough", **names
    )
    polynomial = TimePolynomial(degree, n_knots)
    step = ColumnTransformer([("time", polynomial, [time]), ("unit", indicators, of_unit)], **names)
    if isinstance(time, str):  # a data frame, whose names are those in messages of the mixture
        step.set_output(transform="pandas" if find_spec("pandas") else "polars")
    n_columns = degree + n_knots - 2
    moe = MixtureOfExpertsRegressor(
        n_groups,
        family=family,
        dispersion=dispersion,
        gate="softmax" if of_unit else "constant",
        alpha=PENALTY,
        gate_alpha=GATE_PENALTY,
        dispersion_prior=PRIOR,
        expert_features=list(range(n_columns)),
        gate_features=slice(n_columns, None) if of_unit else None,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return UnitPipeline([("time", step), ("mixture", moe)])
