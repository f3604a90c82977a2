"""Mixtures at the end of pipelines and searches, with all of their methods."""

from __future__ import annotations

from typing import Any

from skmoe._estimators.methods.input_steps import find_steps, names_of_output, with_input

__all__ = ["mixture_of"]


def mixture_of(estimator: Any) -> Any:
    """The mixture of experts in which a fitted pipeline or search ends, for the X of these.

    A pipeline has no method but `predict` and `score`. This function returns a copy of its last
    step whose methods transform X by the other steps first: `predict_interval`, `predict_gate`,
    `score_samples`, `summary`, `inference` and all others that use a fit. See "How do I get
    intervals, densities and summaries of a pipeline?" in the recipes.

    Parameters
    ----------
    estimator : fitted estimator
        A pipeline or search that ends in a mixture of experts or a stack, nested ones too. A
        mixture itself is returned as it is.

    Returns
    -------
    mixture : MixtureOfExpertsRegressor, MixtureOfExpertsClassifier or stack
        It is for predictions, summaries and displays. `fit`, `partial_fit` and the
        conversion to ONNX raise a ValueError, since they need the pipeline, or its last step alone.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts, such as a
        `TransformedTargetRegressor`: use `family="lognormal"`, or pass its `regressor_`.

    See Also
    --------
    skmoe.inspection.export_text : The experts of a pipeline as equations.
    skmoe.metrics.log_density_scorer : The mean of `score_samples`, which accepts pipelines.

    Notes
    -----
    Where the last steps scale columns by `StandardScaler`, `RobustScaler`, `MinMaxScaler` or
    `MaxAbsScaler`, coefficients and their standard errors are those of the columns before them, in
    their units. The same holds for scalers inside a `ColumnTransformer` with dense output. Behind
    other steps the features of `expert_coef_` and `summary` are those that the steps make. They
    have the names of `get_feature_names_out`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.pipelines import mixture_of
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), moe).fit(X, y)
    >>> mixture_of(pipeline).predict_interval(X[:1], coverage=0.9).shape
    (1, 2)
    >>> mixture_of(pipeline).summary(X, y).inference.terms[2]
    Term(part='expert 0', response='', name='sex')
    """
    steps, mixture = find_steps(estimator)
    return with_input(mixture, steps, names_of_output(steps, mixture.n_features_in_))
