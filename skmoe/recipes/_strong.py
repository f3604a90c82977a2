"""Stacks with accurate predictions.

Their models were chosen by their log density on held-out rows of public tables:
`tests/benchmarks/stacks.py` compares lists of models, and `tests/benchmarks/accuracy.py` the
recipes with other models.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline

from skmoe._data.checks import check_choice
from skmoe.recipes._sized import (
    KernelFeatures,
    KernelMetric,
    NumericColumns,
    RefittedBoostingClassifier,
    RefittedBoostingRegressor,
    StackedMixtureClassifier,
    StackedMixtureRegressor,
)
from skmoe.stacking import GatedStackingClassifier, GatedStackingRegressor


class Effort(NamedTuple):
    """Sizes of the members, the largest that they may find, and which members there are."""

    n_iterations: int  # of boosting
    n_components: int  # of kernels
    n_trees: int
    n_experts: int  # on the predictions of a base
    regressors: str
    classifiers: str


REGRESSORS = "kernel_experts boosting_experts linear_experts trees ordinal_experts"
CLASSIFIERS = "kernel drawn_columns few_interactions trees"
EFFORTS = {
    "fast": Effort(60, 200, 20, 3, "kernel_experts boosting trees ordinal_experts", CLASSIFIERS),
    "balanced": Effort(120, 400, 60, 4, REGRESSORS, f"{CLASSIFIERS} linear_experts"),
    "best": Effort(500, 1000, 200, 6, REGRESSORS, f"{CLASSIFIERS} linear_experts boosting"),
}

# Boosting stops when its loss on this share of the rows has not decreased in some iterations.
STOPPING: dict[str, Any] = {
    "validation_fraction": 0.2,
    "n_iter_no_change": 20,
}

# Boosted trees of the classifier: small steps with few columns, and hardly any interactions. Which
# of them is accurate depends on the data, and so do the weights of the stack.
DRAWN_COLUMNS = STOPPING | {
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 10,
    "max_features": 0.3,
    "l2_regularization": 1.0,
}
FEW_INTERACTIONS = DRAWN_COLUMNS | {"learning_rate": 0.1, "max_leaf_nodes": 3}

# Of mixtures in stacks, whose weights matter more than the last digits of their fit; and of the
# gate, whose iterations cost nothing beside the fits of the models.
MIXTURE_OPTIONS: dict[str, Any] = {"n_init": 1, "tol": 3e-3}
GATE_OPTIONS: dict[str, Any] = {"gate_alpha": "auto", "max_iter": 3000}


def strong_regressor(
    *,
    effort: str = "balanced",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> GatedStackingRegressor:
    """A regressor with an accurate mean and an accurate predictive distribution.

    Use it when the accuracy counts more than the interpretation. It is a stack of models whose
    weights depend on the features:

    - a mixture of experts on a kernel regression, whose distances count important features,
    - a mixture of experts on boosted trees, whose number is found on held-out rows,
    - a mixture of eight linear experts, which drop features that they do not need,
    - extremely randomised trees with Student's t noise,
    - a mixture of ordinal experts, for targets of few values.

    The experts on a base correct its predictions, and their noise varies with the features. The
    distribution is continuous. A target of at most 30 values, such as a rating, has a probability
    of each value instead; ordinal experts are fitted to such targets only. See "A stack that is
    ready to use" in the user guide.

    Parameters
    ----------
    effort : {"fast", "balanced", "best"}, default="balanced"
        How large models may grow. With 10 000 rows a fit costs about 15, 40 or 135 times that of
        `HistGradientBoostingRegressor`, which `tests/benchmarks/speed.py --only recipes` prints.
        With fewer rows it is more: "balanced" costs 80 to 150 fits of 300 to 2500 rows.
        "fast" has no linear experts, and boosting without experts.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of all models. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Fits to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each model, with the time of its fits; 0 nothing.

    Returns
    -------
    regressor : GatedStackingRegressor
        Not fitted. It takes numbers, missing values and, in data frames, categories; and one
        output.

    Raises
    ------
    ValueError
        If `effort` is none of its values.

    See Also
    --------
    readable_regressor : A mixture whose regimes can be read.

    Examples
    --------
    >>> from skmoe.recipes import strong_regressor
    >>> [name for name, _ in strong_regressor().estimators]
    ['kernel_experts', 'boosting_experts', 'linear_experts', 'trees', 'ordinal_experts']
    """
    sizes = EFFORTS[check_choice("effort", effort, list(EFFORTS))]
    kernel: Any = make_pipeline(KernelFeatures(sizes.n_components), Ridge())
    boosting: Any = RefittedBoostingRegressor(
        HistGradientBoostingRegressor(max_iter=sizes.n_iterations, **STOPPING)
    )
    mixture = partial(StackedMixtureRegressor, **MIXTURE_OPTIONS)
    models: dict[str, Any] = {
        "kernel_experts": make_pipeline(KernelMetric(), mixture(sizes.n_experts, base=kernel)),
        "boosting": boosting,
        "boosting_experts": mixture(sizes.n_experts, base=boosting),
        "linear_experts": mixture(8, alpha="ard", gate_alpha="ard"),
        "trees": ExtraTreesRegressor(sizes.n_trees, min_samples_leaf=2),
        "ordinal_experts": mixture(4, family="ordinal"),
    }
    common: dict[str, Any] = {"random_state": random_state, "n_jobs": n_jobs, "verbose": verbose}
    members = _members(models, sizes.regressors)
    return GatedStackingRegressor(members, family="student_t", **GATE_OPTIONS, **common)


def strong_classifier(
    *,
    effort: str = "balanced",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> GatedStackingClassifier:
    """A classifier with accurate class probabilities.

    Use it when the accuracy counts more than the interpretation. It is a stack of models whose
    weights depend on the features:

    - a logistic regression on a kernel, whose distances count important features,
    - boosted trees that draw columns at random, and others with two splits each, whose number is
      found on held-out rows,
    - extremely randomised trees,
    - a mixture of three logistic regressions.

    With `effort="best"` there are boosted trees of all columns as well. See "A stack that is ready
    to use" in the user guide.

    Parameters
    ----------
    effort : {"fast", "balanced", "best"}, default="balanced"
        How large models may grow. With 10 000 rows a fit costs about 10, 20 or 45 times that of
        `HistGradientBoostingClassifier`, which `tests/benchmarks/speed.py --only recipes` prints.
        "fast" has no mixture of logistic regressions.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of all models. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Fits to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each model, with the time of its fits; 0 nothing.

    Returns
    -------
    classifier : GatedStackingClassifier
        Not fitted. It takes numbers, missing values and, in data frames, categories.

    Raises
    ------
    ValueError
        If `effort` is none of its values.

    See Also
    --------
    readable_classifier : A mixture whose regimes can be read.

    Examples
    --------
    >>> from skmoe.recipes import strong_classifier
    >>> [name for name, _ in strong_classifier().estimators]
    ['kernel', 'drawn_columns', 'few_interactions', 'trees', 'linear_experts']
    """
    sizes = EFFORTS[check_choice("effort", effort, list(EFFORTS))]
    kernel = KernelFeatures(sizes.n_components, is_class=True)

    def boosting(factor: int, options: dict[str, Any]) -> RefittedBoostingClassifier:
        n_iterations = factor * sizes.n_iterations
        return RefittedBoostingClassifier(
            HistGradientBoostingClassifier(max_iter=n_iterations, **options)
        )

    models: dict[str, Any] = {
        "kernel": make_pipeline(
            KernelMetric(is_class=True), kernel, LogisticRegression(max_iter=1000)
        ),
        "drawn_columns": boosting(2, DRAWN_COLUMNS),
        "few_interactions": boosting(3, FEW_INTERACTIONS),
        "boosting": boosting(1, STOPPING),
        "trees": ExtraTreesClassifier(sizes.n_trees, min_samples_leaf=2),
        "linear_experts": StackedMixtureClassifier(
            3, alpha="auto", gate_alpha="auto", **MIXTURE_OPTIONS
        ),
    }
    common: dict[str, Any] = {"random_state": random_state, "n_jobs": n_jobs, "verbose": verbose}
    return GatedStackingClassifier(_members(models, sizes.classifiers), **GATE_OPTIONS, **common)


def _members(models: dict[str, Any], names: str) -> list[tuple[str, Pipeline]]:
    """Some models by name, behind the encoding of categories and missing values."""
    return [
        (name, Pipeline([("columns", NumericColumns()), ("model", models[name])]))
        for name in names.split()
    ]
