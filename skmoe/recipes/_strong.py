"""Stacks with accurate predictions.

Their models were chosen by their log density on held-out rows of public tables:
`tests/benchmarks/stacks.py` compares lists of models, and `tests/benchmarks/accuracy.py` the
recipes with other models.
"""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor

# Tolerance of mixtures in stacks, whose weights matter more than the last digits of their fit.
MODEL_TOL = 1e-3

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
