"""Distal outcomes: means of a variable by regime, corrected for rows in the wrong regime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._data.checks import check_weights, has_bounds, numbers, shown
from skmoe._data.rows import Rows
from skmoe._data.series import is_missing
from skmoe._data.units import first_rows
from skmoe._estimators.methods.inference import covariance_by_fit
from skmoe._estimators.methods.input_steps import mixture_of
from skmoe._inference.effects import DistalOutcome
from skmoe._inference.inference import Term
from skmoe._inference.labels import printable_name
from skmoe._numerics.typing import TINY, Array
from skmoe.inspection._subject import has_series

METHOD = "three steps, corrected for misclassification"


def distal_outcome(
    estimator: Any,
    X: Any,
    y: Any,
    outcome: Any,
    *,
    sample_weight: Any = None,
    offset: Any = None,
    units: Any = None,
    known_experts: Any = None,
) -> DistalOutcome:
    """Mean or proportions of an outcome in each regime, by three steps.

    Rows, or units, are not assigned to regimes with certainty. Differences of an outcome between
    the groups to which they are assigned are therefore too small. After the fit, which is the first
    step, each row or unit is assigned to its most probable regime. The third step corrects the
    means of these groups for wrong assignments (BCH) [1]_ [2]_, whose probabilities follow from the
    responsibilities. See "Outcomes that come later" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features of the fit.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target of the fit.
    outcome : array-like of shape (n_samples,)
        A variable that had no part in the fit: numbers, or categories if they are text. Rows where
        it is missing do not count. With units it has the same value in all rows of a unit.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the fit, which are frequencies. With units they are those of rows in their unit,
        and each unit counts once.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the fit.
    units : array-like of shape (n_samples,), default=None
        Units of the fit.
    known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
        Known experts of the fit.

    Returns
    -------
    table : DistalOutcome
        To be printed, or read by `to_frame`, `estimates`, `standard_errors` and `conf_int`;
        `equality` is Wald's test that all regimes are equal.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.
    ValueError
        If the outcome has not one finite value for each row, or several in a unit; if a regime is
        not the most probable one of any row; and for `gate="markov"`, whose rows are dependent.

    See Also
    --------
    skmoe.MixtureOfExpertsRegressor.responsibilities : Probabilities of the regimes.

    Notes
    -----
    Let p be the responsibilities of a row, w the indicators of its most probable regime, and z its
    outcome. The means m solve the sum over the rows of w (z - p'm) = 0. This equals the means with
    the weights of [1]_, which are w times the inverse of the matrix of the probabilities of
    assignment. Standard errors are robust, with the correction HC2 [3]_, by the same equations:
    they count those probabilities as estimated. The errors of the coefficients are added by the
    delta method [4]_. Of mixtures without standard errors, as of trees, they are left out.

    Corrected proportions can lie outside of 0 and 1, where regimes overlap and rows are few.
    The outcome must depend on the regime only: not on y or the features within it.

    References
    ----------
    .. [1] A. Bolck, M. Croon and J. Hagenaars (2004), "Estimating latent structure models with
       categorical variables: one-step versus three-step estimators", Political Analysis 12, 3-27.
    .. [2] Z. Bakk, F. B. Tekle and J. K. Vermunt (2013), "Estimating the association between latent
       class membership and external variables using bias-adjusted three-step approaches",
       Sociological Methodology 43, 272-311.
    .. [3] J. G. MacKinnon and H. White (1985), "Some heteroskedasticity-consistent covariance
       matrix estimators with improved finite sample properties", Journal of Econometrics 29,
       305-325.
    .. [4] Z. Bakk, D. L. Oberski and J. K. Vermunt (2014), "Relating latent class assignments to
       external variables: standard errors for correct inference", Political Analysis 22, 520-540.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import distal_outcome
    >>> rng = np.random.default_rng(0)
    >>> regime, X = rng.integers(2, size=400), rng.normal(size=(400, 1))
    >>> y = 2.5 * regime + X[:, 0] + rng.normal(size=400)
    >>> moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y)
    >>> distal_outcome(moe, X, y, 10 * regime + rng.normal(size=400))
                             estimate std. error      2.5 %     97.5 %
      expert 0                  9.906     0.4998      8.926      10.89
      expert 1                 0.5782     0.6226    -0.6421      1.799
    Wald statistic 342.1, degrees of freedom 1, p = 2.2e-76. Equality of the regimes is
    rejected at the level of 5 %.
    """
    mixture = mixture_of(estimator)
    if has_series(mixture):
        raise ValueError(
            'distal_outcome needs independent rows or units; with gate="markov" a series has '
            "several regimes, one after another. Fit units with another gate, such as "
            'gate="constant".'
        )
    given = Rows(X, y, sample_weight, offset, units, possible=known_experts)
    resp = mixture.responsibilities(X, y, **given.arguments)
    n_rows = len(resp) if units is None else len(np.asarray(units))
    values, categories = _values(outcome, n_rows)
    weight, names = check_weights(sample_weight, n_rows), list(mixture.expert_names_)
    if units is not None:
        first, resp = _of_units(values, np.asarray(units), resp)
        counts_units = hasattr(mixture, "random_covariance_")
        values, weight = values[first], weight[first] if counts_units else np.ones(len(resp))
    kept = np.isfinite(values).all(axis=1) & (weight > 0.0)
    own = resp.argmax(axis=1)[kept], values[kept], weight[kept]
    estimates, covariance = corrected_means(resp[kept], *own, names)
    by_fit = covariance_by_fit(mixture, given, lambda at: corrected_means(at[kept], *own, names)[0])
    kind = "proportion" if categories else "mean"
    terms = [Term(name, of, kind) for of in categories or [""] for name in names]
    no_term, reasons = np.zeros(len(terms), dtype=bool), [""] * len(terms)
    of_terms = terms, estimates, no_term, no_term, reasons
    return DistalOutcome(*of_terms, method=METHOD, full_covariance=covariance + by_fit)


def corrected_means(
    resp: Array, own: Array, values: Array, weight: Array, names: Sequence[str]
) -> tuple[Array, Array]:
    """Means (m K,) of values (n, m) by regime, and their covariance given the responsibilities.

    `own` (n,) are the regimes to which rows are assigned; the weights are frequencies.
    """
    assigned = np.eye(resp.shape[1])[own]
    empty = np.flatnonzero(weight @ assigned == 0.0)
    if len(empty):
        raise ValueError(
            "distal_outcome needs rows of each regime; "
            f"{printable_name(names[empty[0]])} is not the most probable one of any row with an "
            "outcome. Fit fewer experts."
        )
    inverse = np.linalg.inv((assigned * weight[:, None]).T @ resp)
    values, level = values - values[0], values[0]  # which keeps a constant one without round-off
    means = inverse @ (assigned * weight[:, None]).T @ values  # (K, m)
    leverage = (resp @ inverse)[np.arange(len(own)), own]
    residuals = values - resp @ means
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = weight / np.where(leverage < 1.0 - TINY**0.5, 1.0 - leverage, np.nan)
    products = np.einsum("n,na,nb,nk->abk", factor, residuals, residuals, assigned)
    covariance = np.einsum("jk,abk,lk->ajbl", inverse, products, inverse)
    return (means + level).T.ravel(), covariance.reshape(means.size, -1)


def _values(outcome: Any, n_rows: int) -> tuple[Array, list[str]]:
    """The outcome as numbers (n, 1), or as indicators (n, C) of its categories, and these.

    They are NaN where it is missing.
    """
    given = np.asarray(outcome)
    if has_bounds(given) or given.shape != (n_rows,):
        found = "censored times" if has_bounds(given) else f"the shape {given.shape}"
        raise ValueError(
            f"outcome must have one value for each of the {n_rows} rows; got {found}. "
            "Pass one column of the same rows, such as whether the event came until a time."
        )
    absent = is_missing(given.astype(object))
    known = given[~absent].tolist()
    if not any(isinstance(value, str | bytes) for value in known):
        values = np.full((n_rows, 1), np.nan)
        values[~absent, 0] = numbers("outcome", known)
        if np.isinf(values).any():
            raise ValueError(
                f"outcome must be finite, or missing; row {np.isinf(values).argmax()} holds "
                "infinity. Replace it, or set it to NaN."
            )
        return values, []
    categories, codes = np.unique([str(value) for value in known], return_inverse=True)
    values = np.full((n_rows, len(categories)), np.nan)
    values[~absent] = np.eye(len(categories))[codes]
    return values, categories.tolist()


def _of_units(values: Array, units: Array, table: Any) -> tuple[Array, Array]:
    """First rows and responsibilities of units, from values of their rows and a table."""
    first = values[first_rows(units)]
    varies = ((values != first) & ~(np.isnan(values) & np.isnan(first))).any(axis=1)
    if varies.any():
        raise ValueError(
            "outcome must be constant within each unit, since a unit has one regime; it varies in "
            f"unit {shown(units[varies.argmax()])}. Give it one value in each unit, such as "
            "df.groupby(unit)[outcome].transform('mean')."
        )
    distinct, index = np.unique(units, return_index=True)
    return index[np.isin(distinct, table.labels)], table.proba
