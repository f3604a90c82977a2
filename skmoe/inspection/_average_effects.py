"""average_effects: average changes of predictions by features, with standard errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from skmoe._data.checks import check_choice, check_real
from skmoe._data.row_checks import check_columns, check_weights
from skmoe._data.rows import Rows, index_rows
from skmoe._estimators.methods.average_effects import infer_average_effects, predicts_steps
from skmoe._inference.average_effects import AverageEffects
from skmoe._inference.labels import feature_labels
from skmoe._numerics.typing import Array
from skmoe.inspection._checks import check_table
from skmoe.inspection._grid import column_at, is_numeric, levels_of, numeric_values, with_column
from skmoe.inspection._segment_tables import deviation
from skmoe.pipelines import mixture_of

# Width of the change of a numeric feature, in standard deviations: of a derivative, and of
# predictions that may be steps.
DERIVATIVE_STEP, STEP_OF_ESTIMATORS = 1e-4, 1.0

# The smallest change that is not lost in round-off.
MIN_STEP = 1e-6


def average_effects(
    estimator: Any,
    X: Any,
    sample_weight: Any = None,
    *,
    inference: Any = None,
    features: Any = None,
    discrete_features: Any = None,
    what: str = "prediction",
    per: str = "unit",
    step: float | None = None,
    offset: Any = None,
) -> AverageEffects:
    """Average effect of each feature on the predictions, with standard errors.

    For a numeric feature it is the derivative of the prediction, averaged over the rows (average
    marginal effect). For a feature of two values, or of categories, it is the average change from
    the first value to each of the others, with all other features as they are [1]_. See "Average
    effects" in the user guide.

    The effect of the mixture is the sum of two parts, of which both are listed. Through the
    experts: the effects of the experts, each averaged over the rows with its probabilities as
    weights, times its mean probability. Through the gate: what the change of the probabilities
    contributes, at the predictions of the experts.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one. The features are those of the
        input of a pipeline, also where its steps make splines or indicators of them.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows over which the effects are averaged, such as those of the fit.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the averages.
    inference : Inference, default=None
        Coefficients with their covariance, as the method `inference` of the mixture returns them.
        Standard errors are by the delta method, with the rows of X as they are. With the bootstrap
        they are those of the effects of its refits. None for no standard errors.
    features : array-like, default=None
        Features that change: names, indices or a boolean mask; None for all.
    discrete_features : array-like, default=None
        Numeric features that change between their values; None for those with two values.
    what : {"prediction", "gate"}, default="prediction"
        Effects on the mean of y, or on the probabilities of the classes (of the second of two), or
        on the probabilities of the experts.
    per : {"unit", "sd"}, default="unit"
        Whether effects of numeric features are for one unit or one standard deviation more.
    step : float, default=None
        Width of the change of numeric features about their values, in standard deviations. None for
        a derivative; or for 1 if estimators are in the experts, base or gate, whose predictions
        may be steps.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors of the rows, as in `fit`; None for 0.

    Returns
    -------
    effects : AverageEffects
        To be printed, or read by `to_frame`, `estimates`, `standard_errors` and `conf_int`.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.
    ValueError
        If a parameter is invalid, a feature does not vary, or the inference is that of another
        mixture. Also if the mean is infinite, since an expert never has the event.

    See Also
    --------
    skmoe.MixtureOfExpertsRegressor.explain : Derivatives of the prediction of each row.
    ImportanceDisplay : What each feature does for the log density of y.

    References
    ----------
    .. [1] T. S. Breen, K. B. Karlson and A. Holm (2018), "Interpreting and understanding logits,
       probits, and other nonlinear probability models", Annual Review of Sociology 44, 39-54.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import average_effects
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    >>> moe = MixtureOfExpertsRegressor(n_experts=1).fit(X, y)
    >>> average_effects(moe, X, inference=moe.inference(X, y), features=["sex", "bmi"])
    mixture
                               effect std. error          z          p      2.5 %     97.5 %
      sex: 1 to 2              -21.93      5.784      -3.79     0.0001     -33.26     -10.59
      bmi                       5.575     0.7072       7.88    <0.0001      4.189      6.961
    Standard errors: delta method, observed information.
    """
    check_choice("what", what, ("prediction", "gate"))
    check_choice("per", per, ("unit", "sd"))
    mixture = mixture_of(estimator)
    if step is None:
        step = STEP_OF_ESTIMATORS if predicts_steps(mixture) else DERIVATIVE_STEP
    step = check_real("step", step, least=MIN_STEP)
    rows = Rows(check_table(mixture, X), None, None, offset)
    if what == "prediction":
        try:
            mixture.predict(index_rows(rows.X, [0]))
        except ValueError as error:  # of an infinite mean
            remedy = 'Or pass what="gate", for effects on the probabilities of the experts.'
            raise ValueError(f"{error} {remedy}") from error
    rows = rows._replace(weight=check_weights(sample_weight, rows.n_rows)).of_positive_weight()
    rows = rows._replace(weight=rows.weight / rows.weight.sum())
    names = getattr(X, "columns", getattr(estimator, "feature_names_in_", None))
    labels = feature_labels(names, rows.X.shape[1])
    known = None if names is None else np.array(labels, dtype=object)
    given = {"features": features, "discrete_features": discrete_features}
    chosen, discrete = (
        check_columns(name, value, len(labels), known, allow_empty=name != "features")
        for name, value in given.items()
    )
    chosen = np.arange(len(labels)) if chosen is None else chosen
    changes = _changes(rows, [(int(j), labels[j]) for j in chosen], discrete, step, per == "sd")
    return infer_average_effects(mixture, changes, rows, what == "gate", inference)


def _changes(
    rows: Rows, features: list[tuple[int, str]], discrete: Array | None, step: float, per_sd: bool
) -> Iterator[tuple[str, Any, Any, float]]:
    """Name, tables at both ends, and width of each change."""
    for j, name in features:
        levels = levels_of(rows.X, j)
        if len(levels.values) < 2:
            raise ValueError(
                f"features must vary in X; {name!r} does not. Choose others by features=, or pass "
                "more rows."
            )
        is_discrete = len(levels.values) == 2 if discrete is None else j in discrete
        if is_discrete or not is_numeric(rows.X, j):
            (first, low), *others = [
                (level, with_column(rows.X, j, column_at(rows.X, j, np.full(rows.n_rows, row))))
                for level, row in zip(levels.texts, levels.rows, strict=True)
            ]
            for level, high in others:
                yield f"{name}: {first} to {level}", low, high, 1.0
        else:
            values = numeric_values(rows.X, j)
            known = np.isfinite(values)
            spread = deviation(values[known], rows.weight[known])
            low, high = (
                with_column(rows.X, j, values + sign * 0.5 * step * spread) for sign in (-1, 1)
            )
            yield name, low, high, step if per_sd else step * spread
