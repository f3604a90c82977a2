"""Permutation importance of the features, apart for the gate and for the experts."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import Bunch

from skmoe._data.checks import check_integer
from skmoe._numerics.typing import Array
from skmoe.distributions._base import check_random_state
from skmoe.inspection._checks import check_any_features
from skmoe.inspection._grid import take_rows, with_column
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._segment_tables import positive_rows

# Parts in which a feature is permuted.
PARTS = ("gate", "experts", "both")

# Rows of one predictive distribution, with those of several experts one after another.
ROWS_AT_ONCE = 50_000


def permutation_importance_by_part(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    features: Any = None,
    n_repeats: int = 5,
    random_state: Any = None,
    sample_weight: Any = None,
    offset: Any = None,
    feature_names: Any = None,
) -> Bunch:
    """Permutation importance of each feature for the gate, for the experts, and for both.

    The importance is the decrease of the mean log density (of classes, log probability) of the
    observed y when the values of the feature are permuted over the rows [1]_. They are permuted in
    the input of the gate only, in that of the experts only, and in both. The two parts need not add
    up to the whole. Features that depend on each other share their effects: a permutation makes
    rows that may not exist. See "Displays" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one. Where the steps before it are more
        than scalers, the features are those of the transformed table.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features of rows that were not used in the fit.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed target.
    features : array-like, default=None
        Features to permute: names, indices or a boolean mask; None for all.
    n_repeats : int, default=5
        Permutations of each feature, typically 5 to 30: more are slower, and more precise.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the permutations.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the mean.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors of the rows, as in `fit`; None for 0.
    feature_names : list of str of length n_features, default=None
        Names of the features; None for those seen in fit.

    Returns
    -------
    importance : Bunch
        score : float
            Mean log density of the rows.
        features : ndarray of shape (n_chosen,)
            Indices of the features.
        gate, experts, both : Bunch
            With `importances` of shape (n_chosen, n_repeats), `importances_mean` and
            `importances_std` of shape (n_chosen,), in nats per row, as those of
            `sklearn.inspection.permutation_importance`.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.
    ValueError
        If a feature is unknown, `n_repeats` is not a positive integer, y has another length, a
        missing value or an unknown class, or the experts have no predictive distribution.

    See Also
    --------
    ImportanceDisplay : The importances as bars.

    References
    ----------
    .. [1] L. Breiman (2001), "Random forests", Machine Learning 45, 5-32.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import permutation_importance_by_part
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> y = np.where(X[:, 0] > 0, 1.0, -1.0) * X[:, 1]
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:200], y[:200])
    >>> found = permutation_importance_by_part(moe, X[200:], y[200:], random_state=0)
    >>> int(found.gate.importances_mean.argmax()), int(found.experts.importances_mean.argmax())
    (0, 1)
    """
    estimator, X, _ = find_mixture(estimator, X)
    n_repeats = check_integer("n_repeats", n_repeats, least=1)
    chosen = check_any_features("features", features, estimator, feature_names)
    table, y, weight, offset, _ = positive_rows(estimator, X, y, sample_weight, offset, None)
    estimator.score_samples(table, y, offset)  # checks y and offset
    generator = check_random_state(random_state)
    gate, log_density = estimator.predict_gate(table), log_densities(estimator, table, y, offset)
    score = _mean_score(gate, log_density, weight)
    importances = np.zeros((len(PARTS), len(chosen), n_repeats))
    for i, j in enumerate(chosen):
        for repeat in range(n_repeats):
            permuted = with_column(table, j, generator.permutation(table.shape[0]))
            other_gate = estimator.predict_gate(permuted)
            other_density = log_densities(estimator, permuted, y, offset)
            pairs = (other_gate, log_density), (gate, other_density), (other_gate, other_density)
            scores = [_mean_score(*pair, weight) for pair in pairs]
            importances[:, i, repeat] = score - np.array(scores)
    parts = {
        name: Bunch(
            importances=values,
            importances_mean=values.mean(axis=1),
            importances_std=values.std(axis=1),
        )
        for name, values in zip(PARTS, importances, strict=True)
    }
    return Bunch(score=score, features=np.array(chosen, dtype=int), **parts)


def _mean_score(gate: Array, log_density: Array, weight: Array | None) -> float:
    """Mean over rows of the log of sum_k gate_k density_k."""
    with np.errstate(divide="ignore"):
        log_joint = np.log(gate) + log_density
    return float(np.average(np.logaddexp.reduce(log_joint, axis=1), weights=weight))


def log_densities(estimator: Any, X: Any, y: Any, offset: Any) -> Array:
    """Log density (n, K) of the observed y, of all outputs together, under each expert."""
    if is_classifier(estimator):
        labels = np.asarray(y).ravel()
        code = (labels[:, None] == estimator.classes_).argmax(axis=1)
        with np.errstate(divide="ignore"):
            probability = estimator.predict_experts(X)[np.arange(len(labels)), :, code]
            return np.log(probability)
    target = np.asarray(y, dtype=np.float64)
    n_rows, n_experts = X.shape[0], estimator.n_experts_
    at_once = max(1, min(n_experts, ROWS_AT_ONCE // n_rows))
    parts = []
    for start in range(0, n_experts, at_once):
        experts = np.arange(start, min(start + at_once, n_experts))
        index = np.tile(np.arange(n_rows), len(experts))
        certain = np.eye(n_experts)[np.repeat(experts, n_rows)]
        given = None if offset is None else take_rows(np.asarray(offset), index)
        dist = estimator.predict_dist(take_rows(X, index), given, certain)
        log_density = dist.logpdf(take_rows(target, index))
        log_density[_atoms_of_others(estimator, experts, target)] = -np.inf
        parts.append(log_density.reshape(len(experts), n_rows, -1).sum(axis=2))
    return np.concatenate(parts).T


def _atoms_of_others(estimator: Any, experts: Array, target: Array) -> Array:
    """Where experts with a density have atoms of other experts as their target, one after another.

    A value with a probability has it from the experts that give one: densities do not count there.
    """
    families = getattr(estimator, "families_", None)
    if families is None:
        return np.zeros((len(experts) * len(target), *target.shape[1:]), dtype=bool)
    is_atom = np.isin(target, [atom for family in families for atom in family.atoms])
    return np.concatenate([is_atom & families[k].is_continuous for k in experts])
