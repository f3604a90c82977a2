"""Responsibilities of units, by their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmoe._data.checks import shown
from skmoe._inference.labels import default_expert_names
from skmoe._inference.results import FrameRepr
from skmoe._numerics.typing import Array
from skmoe._optional import import_pandas


class UnitResponsibilities(FrameRepr):
    """Probability that each expert generated the rows of each unit.

    Returned by `responsibilities` with `units`. It serves predictions for rows of units whose
    history is known, as in `predict(X, gate_proba=table.rows(units))`. See "Predictions for units
    with a history" in the user guide.

    Attributes
    ----------
    labels : ndarray of shape (n_units,)
        Labels of the units, in ascending order.
    proba : ndarray of shape (n_units, n_experts)
        Probabilities, which sum to one over the experts.
    expert_names : list of str of length n_experts
        Names of the experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> units = np.repeat(np.arange(40), 5)
    >>> X = rng.normal(size=(200, 1))
    >>> y = np.where(units % 2 == 0, 1.0, -1.0) * X[:, 0] + 0.1 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0)
    >>> table = moe.fit(X, y, units=units).responsibilities(X, y, units=units)
    >>> table
    UnitResponsibilities(40 units, 2 experts)
    >>> known = table.rows([0, 1, 2])
    >>> moe.predict([[1.0], [1.0], [1.0]], gate_proba=known).round(0)
    array([ 1., -1.,  1.])
    """

    def __init__(
        self, labels: Array, proba: Array, expert_names: Sequence[str] | None = None
    ) -> None:
        self.labels = labels
        self.proba = proba
        names = default_expert_names(proba.shape[1]) if expert_names is None else expert_names
        self.expert_names = list(names)

    def __repr__(self) -> str:
        n_units, n_experts = self.proba.shape
        return f"UnitResponsibilities({n_units} units, {n_experts} experts)"

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, units: Any, new: Any = None) -> Array:
        """Probabilities of the experts for rows of the units.

        Parameters
        ----------
        units : array-like of shape (n_samples,)
            Labels of the units of rows, in any order.
        new : array-like of shape (n_samples, n_experts), default=None
            Probabilities for rows of units that are not in the table, such as `predict_gate(X)` of
            the same rows. None refuses such units.

        Returns
        -------
        gate_proba : ndarray of shape (n_samples, n_experts)
            For the argument `gate_proba` of predictions.

        Raises
        ------
        ValueError
            If a unit is not in the table and `new` is None, or if `new` has another shape.
        """
        wanted = np.asarray(units)
        index = {label: i for i, label in enumerate(self.labels.tolist())}
        position = np.array([index.get(label, -1) for label in wanted.tolist()], dtype=int)
        is_new = position < 0
        proba = self.proba[position]
        if not is_new.any():
            return proba
        if new is None:
            unknown = wanted[is_new.argmax()]
            raise ValueError(
                f"units must be in the table; {shown(unknown)} is not. Pass new=predict_gate(X), "
                "the probabilities of the gate for units without history."
            )
        prior = np.asarray(new, dtype=np.float64)
        if prior.shape != proba.shape:
            raise ValueError(
                f"new must have shape (n_samples, n_experts) = {proba.shape}; got {prior.shape}. "
                "Pass predict_gate(X) of the same rows."
            )
        return np.where(is_new[:, None], prior, proba)

    def to_frame(self) -> Any:
        """The table as a pandas data frame.

        Returns
        -------
        frame : pandas.DataFrame of shape (n_units, n_experts)
            Indexed by the labels of the units, with the names of the experts as columns.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("UnitResponsibilities.to_frame")
        index = pandas.Index(self.labels, name="unit")
        return pandas.DataFrame(self.proba, index=index, columns=self.expert_names)
