"""What the panel needs to predict: formulas, or predictions on slices through the starting row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._numerics.typing import Array
from skmoe.distributions import (
    NegativeBinomialComponents,
    OrdinalComponents,
    PointMassComponents,
    PoissonComponents,
)
from skmoe.inspection._report._formulas import find_formulas
from skmoe.inspection._report._rows import (
    Feature,
    describe_feature,
    grid_of,
    starting_row,
    strongest_features,
    value_of,
    with_values,
)
from skmoe.inspection._targets import one_target, predicted_mean

# Points of a slice, and of a curve of a density.
N_SLICE_POINTS, N_CURVE_POINTS = 41, 121

# Steps of a slider, about.
N_STEPS = 200

# Values of y that are shown, from quantiles of the observed ones.
SHOWN_QUANTILES = (0.01, 0.99)

# Distributions on single values.
DISCRETE = (
    NegativeBinomialComponents,
    OrdinalComponents,
    PointMassComponents,
    PoissonComponents,
)

# Most counts whose probabilities are drawn one by one.
MAX_COUNTS_DRAWN = 150


class PanelOptions(NamedTuple):
    """Choices of the user about the panel."""

    labels: Sequence[str]  # of all features
    expert_names: Sequence[str]
    target_name: str
    output: int  # its index
    row: int | None
    coverage: float
    max_features: int


def make_panel(estimator: Any, X: Any, y: Any, options: PanelOptions) -> dict[str, Any]:
    """Description of the panel, which can be written as JSON."""
    start = starting_row(X, options.row)
    found = [describe_feature(X, j, label) for j, label in enumerate(options.labels)]
    varying = [feature for feature in found if feature is not None]
    shown = strongest_features(estimator, X, start, varying, options.max_features)
    columns = [feature.column for feature in shown]
    formulas = find_formulas(estimator, X, start, columns, options.output)
    values = [value_of(start, feature) for feature in shown]
    classes = [str(label) for label in estimator.classes_] if is_classifier(estimator) else None
    panel: dict[str, Any] = {
        "target": options.target_name,
        "experts": list(options.expert_names),
        "classes": classes,
        "coverage": options.coverage,
        "shown_range": None if classes else _shown_range(estimator, y, options.output),
        "features": [_controls(*pair) for pair in zip(shown, values, strict=True)],
        "n_features": len(options.labels),
        "n_constant": len(options.labels) - len(varying),
        "formulas": formulas,
        "slices": None,
    }
    if formulas is None:
        limits = panel["shown_range"]
        pieces = Slicer(estimator, options.output, options.coverage, limits)
        panel["slices"] = [
            pieces.along(with_values(X, start, feature, grid_of(feature, N_SLICE_POINTS, value)))
            for feature, value in zip(shown, values, strict=True)
        ]
        panel["start"] = pieces.along(start)
    return panel


def _controls(feature: Feature, start: float | str | None) -> dict[str, Any]:
    """A slider or choices of a feature."""
    described: dict[str, Any] = {"label": feature.label, "start": start}
    grid = grid_of(feature, N_SLICE_POINTS, start).tolist()
    if feature.is_choice:
        return described | {"choices": grid}
    low, high = (float(end) for end in feature.values)
    return described | {"low": low, "high": high, "step": _step(high - low), "grid": grid}


def _step(width: float) -> float:
    """1, 2 or 5 times a power of ten, for about `N_STEPS` steps."""
    power = 10.0 ** np.floor(np.log10(width / N_STEPS))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= width / N_STEPS))


def _shown_range(estimator: Any, y: Any, index: int) -> list[float]:
    """Values of y for the axis of the density."""
    values = one_target(np.asarray(y, dtype=float), index, 1)
    low, high = np.quantile(values, SHOWN_QUANTILES)
    margin = 0.05 * (high - low) or abs(high) or 1.0
    above_zero = values.min() >= 0.0
    return [float(max(low - margin, 0.0) if above_zero else low - margin), float(high + margin)]


# --- slices -----------------------------------------------------------------------------------


class Slicer:
    """Predictions on slices, for mixtures that are no formulas."""

    def __init__(
        self, estimator: Any, index: int, coverage: float, limits: Sequence[float] | None
    ) -> None:
        self.estimator = estimator
        self.index = index
        self.coverage = coverage
        self.limits = limits

    def along(self, rows: Any) -> dict[str, Any]:
        """Predictions for rows, as lists."""
        estimator = self.estimator
        found: dict[str, Any] = {"gate": estimator.predict_gate(rows)}
        if is_classifier(estimator):
            found["experts"] = estimator.predict_experts(rows)
            found["mean"] = estimator.predict_proba(rows)
        else:
            found["experts"] = one_target(estimator.predict_experts(rows), self.index, 2)
            found["mean"] = predicted_mean(estimator, rows, self.index)
            found |= self._densities(rows)
        return {name: _rounded(values) for name, values in found.items()}

    def _densities(self, rows: Any) -> dict[str, Array]:
        """Intervals and densities; nothing for experts without a distribution."""
        assert self.limits is not None
        try:
            distribution = self.estimator.predict_dist(rows)
        except (AttributeError, ValueError):
            return {}
        interval = one_target(distribution.interval(self.coverage), self.index, 2)
        parts = _parts(distribution)
        found = {"interval": interval}
        atoms = _atoms(parts, self.index, max(float(interval.max()), self.limits[1]))
        if len(atoms):
            found |= {"atoms": atoms, "mass": self._at(distribution, "pmf", atoms)}
        if not all(isinstance(part, DISCRETE) for part in parts):
            low, high = self.limits
            curve = np.setdiff1d(np.linspace(low, high, N_CURVE_POINTS), atoms)
            found |= {"curve": curve, "density": self._at(distribution, "pdf", curve)}
        return found

    def _at(self, distribution: Any, what: str, points: Array) -> Array:
        """Densities or probabilities (n, P) at some values."""
        function = distribution.pmf if what == "pmf" else distribution.pdf
        if distribution.mean.ndim == 1:
            return function(points[None])
        n_outputs = distribution.mean.shape[1]
        values = np.repeat(points[None, :, None], n_outputs, axis=2)
        return one_target(function(values), self.index, 2)


def _parts(distribution: Any) -> Sequence[Any]:
    components = distribution.as_components()
    return getattr(components, "parts", (components,))


def _atoms(parts: Sequence[Any], index: int, highest: float) -> Array:
    """Values of y with positive probability, of counts those up to the highest that is shown."""
    found = [np.zeros(0)]
    for part in parts:
        if isinstance(part, OrdinalComponents):
            found.append(np.asarray(part.values, dtype=float))
        elif isinstance(part, PointMassComponents):
            found.append(np.unique(part.value[:, index]))
        elif isinstance(part, DISCRETE):
            found.append(np.arange(min(highest, MAX_COUNTS_DRAWN) + 1.0))
    return np.unique(np.concatenate(found))


def _rounded(values: Array) -> Any:
    """Lists of numbers with ten significant digits, which make the page smaller."""
    flat = [float(f"{value:.10g}") for value in np.ravel(values)]
    finite: Any = [value if np.isfinite(value) else None for value in flat]
    return np.array(finite, dtype=object).reshape(np.shape(values)).tolist()
