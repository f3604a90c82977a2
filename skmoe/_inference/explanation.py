"""How the prediction of a row depends on its features, through the experts and the gate."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from scipy import sparse

from skmoe._data.checks import check_choice
from skmoe._data.extra_features import ExtraFeatures, predict_base
from skmoe._data.rows import Rows
from skmoe._inference.labels import printable_name
from skmoe._inference.results import WIDTH, FrameRepr
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array
from skmoe._optional import import_pandas

# Arrays of an explanation whose columns are experts; those of others are features.
OF_EXPERTS = ("gate", "experts")

# The array of the base model, whose columns are neither.
BASE = "base"

# Relative difference of moments, of features in single precision, that is round-off.
MOMENT_RTOL = 1e-6

# Least width of the names of the arrays.
MIN_QUANTITY_WIDTH = 11


class Explanation(FrameRepr, dict[str, Array]):
    """Contributions of experts, gate and features to the predictions of rows.

    Returned by the method `explain` of a fitted estimator; it is not constructed by hand. It is a
    dict of arrays, which are attributes too. Which of the five there are depends on the mixture.
    See "Predictions of single rows" in the user guide.

    Attributes
    ----------
    gate : ndarray of shape (n_samples, n_experts)
        Probabilities of the experts.
    experts : ndarray of shape (n_samples, n_experts) or (n_samples, n_experts, n_responses)
        Predictions of the experts.
    slope : ndarray of shape (n_samples, n_features) or (n_samples, n_responses, n_features)
        Derivatives of the means of the experts by the features, averaged with the gate. Of columns
        of zeros and ones, the change from zero to one.
    gate_effect : ndarray of the shape of `slope`
        Derivatives, or changes, of the prediction by the features through the gate.
    base : ndarray of shape (n_samples,) or (n_samples, n_responses)
        Predictions of the base model, which `experts` contain and the derivatives leave out.
    expert_names : list of str of length n_experts
        Names of the experts.
    feature_names : list of str of length n_features
        Names of the features.
    response_names : list of str of length n_responses
        Names of the outputs, or of the classes.
    index : pandas.Index or None
        Labels of the rows, if they came in a pandas frame.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = pd.DataFrame({"depth": np.linspace(-3, 3, 200)})
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, 1 - X.depth.abs())
    >>> explanation = moe.explain(X)
    >>> explanation
    Explanation of 200 rows
      gate         200 x 2  expert 0, expert 1
      experts      200 x 2  expert 0, expert 1
      slope        200 x 1  depth
      gate_effect  200 x 1  depth
    >>> explanation.to_frame("slope").loc[[0, 199]].round(1)
    name  depth
    0       1.0
    199    -1.0
    """

    def __init__(
        self,
        arrays: Mapping[str, Array],
        *,
        expert_names: Sequence[str],
        feature_names: Sequence[str],
        response_names: Sequence[str],
        index: Any = None,
    ) -> None:
        super().__init__(arrays)
        self.expert_names = list(expert_names)
        self.feature_names = list(feature_names)
        self.response_names = list(response_names)
        self.index = index

    def __getattr__(self, name: str) -> Array:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this explanation has no {name}; it has {list(self)}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def to_frame(self, what: str | None = None) -> Any:
        """A pandas frame with a row for each row that was explained.

        Parameters
        ----------
        what : {"gate", "experts", "slope", "gate_effect", "base"}, default=None
            The array to return, with the names of experts or features as columns. None returns all,
            side by side.

        Returns
        -------
        frame : pandas.DataFrame
            With the index of the rows, if they came in a pandas frame. Columns have several levels
            if all arrays are returned, or if there are several outputs or classes.

        Raises
        ------
        ValueError
            If the explanation has no such array.
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("Explanation.to_frame")
        if what is not None:
            check_choice("what", what, tuple(self))
        quantities = list(self) if what is None else [what]
        labels = [(quantity, *pair) for quantity in quantities for pair in self._columns(quantity)]
        columns = pandas.MultiIndex.from_tuples(labels, names=["quantity", "response", "name"])
        if not any(response for _, response, _ in labels):
            columns = columns.droplevel("response")
        columns = columns if what is None else columns.droplevel("quantity")
        values = np.hstack([self._matrix(quantity) for quantity in quantities])
        return pandas.DataFrame(values, index=self.index, columns=columns)

    def _names(self, quantity: str) -> list[str]:
        if quantity == BASE:
            return [BASE]
        return self.expert_names if quantity in OF_EXPERTS else self.feature_names

    def _has_responses(self, quantity: str) -> bool:
        """Whether an array has an axis of responses besides those of rows and names."""
        return self[quantity].ndim == (2 if quantity == BASE else 3)

    def _columns(self, quantity: str) -> list[tuple[str, str]]:
        """Response, which is empty if there is one only, and name of each column of an array."""
        responses = self.response_names if self._has_responses(quantity) else [""]
        return [(response, name) for response in responses for name in self._names(quantity)]

    def _matrix(self, quantity: str) -> Array:
        """An array as a table with these columns."""
        values = np.asarray(self[quantity])
        if values.ndim == 3 and quantity in OF_EXPERTS:
            values = values.transpose(0, 2, 1)
        return values.reshape(len(values), -1)

    def __repr__(self) -> str:
        lines = [f"Explanation of {self.gate.shape[0]} rows"]
        shapes = [" x ".join(map(str, values.shape)) for values in self.values()]
        width = max(map(len, shapes))
        for quantity, shape in zip(self, shapes, strict=True):
            axes = [self._names(quantity)]
            if self._has_responses(quantity):
                axes.insert(1 if quantity in OF_EXPERTS else 0, self.response_names)
            named = "; ".join(", ".join(map(printable_name, names)) for names in axes)
            line = f"  {quantity:<{MIN_QUANTITY_WIDTH}}  {shape:<{width}}  "
            lines.append(line + textwrap.shorten(named, WIDTH - len(line), placeholder="..."))
        return "\n".join(lines)


def base_predictions(mixture: FittedMixture, X: Any) -> Array:
    """Predictions of the base model (n, m) in units of y, or of class probabilities (n, C)."""
    extra = cast(ExtraFeatures, mixture.preprocessor.extra_features)
    prediction = predict_base(extra.base, X, extra.classes)
    return prediction if extra.classes is None else np.exp(prediction)


def mean_derivatives(mixture: FittedMixture, X: Any, offset: Array | None) -> Array:
    """Derivatives of the mean of each expert by its linear predictors, (B, K, m, n), in units of y.

    They are those by the linear predictor of the mean and, if it depends on that, of the log
    dispersion.
    """
    preprocessor = mixture.preprocessor
    of_experts, _ = mixture.mixture.split(mixture.theta)
    parts = [
        mixture.mixture.experts.mean_slopes(of_experts, mixture.data(rows))
        for rows, _ in preprocessor.transform_blocks(Rows(X, offset=offset))
    ]
    scaling = preprocessor.target_scaling
    scale = np.ones(1) if scaling is None else scaling.scale
    return scale[:, None] * np.concatenate(parts, axis=-1)


def indicator_columns(mixture: FittedMixture, feature_range: Array | None) -> Array:
    """Which columns, (p,), held zeros and ones only in the rows of the fit.

    Between two bounds such a column has the largest variance for its mean. The moments of sparse
    columns, which are not centred, do not show it. With extra features there is none.
    """
    preprocessor = mixture.preprocessor
    (center, scale), own = preprocessor.feature_scaling, preprocessor.feature_range
    plain = preprocessor.extra_features is None and preprocessor.encoder is None
    if own is None or feature_range is None or not plain:
        return np.zeros(len(scale), dtype=bool)
    is_extreme = np.isclose((own[1] - center) * (center - own[0]), scale**2, rtol=MOMENT_RTOL)
    is_unit = np.isclose(feature_range, [[0.0], [1.0]], rtol=0.0, atol=MOMENT_RTOL).all(axis=0)
    found: Array = is_extreme & is_unit
    return found


def indicator_effects(
    mixture: FittedMixture, X: Any, offset: Array | None, columns: Array
) -> Array:
    """Changes of the mean of y from zero to one in some columns, (n, 2, p, m); zeros in others.

    They are those through the experts and through the gate, which have the mean probabilities and
    the mean predictions of both ends as weights, so that their sum is the whole change.
    """
    _, _, preprocessor = mixture
    feature_range, target_scaling = preprocessor.feature_range, preprocessor.target_scaling
    assert feature_range is not None
    assert target_scaling is not None
    rows = X.toarray() if sparse.issparse(X) else np.array(X)
    effects = np.zeros((2, *X.shape, len(target_scaling.scale)))
    for j in np.flatnonzero(columns):
        given, ends = rows[:, j].copy(), []
        for value in feature_range[:, j]:
            rows[:, j] = value
            gate = np.exp(mixture.log_gate(rows))[:, None]
            ends.append((gate, mixture.predict_experts(rows, offset)))
        rows[:, j] = given
        (gate, means), (other_gate, other_means) = ends
        mean_gate, mean = 0.5 * (gate + other_gate), 0.5 * (means + other_means)
        effects[0, :, j] = (mean_gate * (other_means - means)).sum(axis=0).T
        effects[1, :, j] = ((other_gate - gate) * mean).sum(axis=0).T
    return np.moveaxis(effects, 0, 1)


def explain_predictions(
    mixture: FittedMixture,
    attributes: Mapping[str, Any],
    gate: Array,
    means: Array,
    derivative: Array | None,
) -> dict[str, Array]:
    """Derivatives of predictions by the features, by name, from the fitted attributes.

    `gate` is (n, K), `means` (n, K) or (n, K, m), and `derivative` that of the means by the linear
    predictors, (n, B, ...), as of `mean_derivatives`; None stands for one. The results are (n, p)
    or (n, m, p). The effect of the gate is there for means, if the columns of `gate_coef_` are the
    features.
    """
    coef, gate_coef = attributes["expert_coef_"], attributes.get("gate_coef_")
    if derivative is None:
        explained = {"slope": np.einsum("nk,k...p->n...p", gate, coef)}
    else:
        of_dispersion = np.nan_to_num(attributes.get("expert_dispersion_coef_", 0.0))
        parts = zip(np.moveaxis(derivative, 1, 0), (coef, of_dispersion), strict=False)
        explained = {
            "slope": sum(np.einsum("nk,nk...,k...p->n...p", gate, by, own) for by, own in parts)
        }
    preprocessor = mixture.preprocessor
    if gate_coef is None or not mixture.mixture.experts.explains_mean:
        return explained
    if gate_coef.shape[1] == attributes["n_features_in_"] and preprocessor.extra_features is None:
        relative = gate_coef - (gate @ gate_coef)[:, None]  # (n, K, p)
        explained["gate_effect"] = np.einsum("nk,nk...,nkp->n...p", gate, means, relative)
    return explained
