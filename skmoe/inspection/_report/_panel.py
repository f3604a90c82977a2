"""What the panel needs: controls, and formulas or predictions on slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.scaling import RANGE_RTOL
from skmoe._numerics.probability import weighted_quantiles
from skmoe._numerics.typing import Array
from skmoe.inspection._report._formulas import find_formulas
from skmoe.inspection._report._inputs import Feature, Inputs, Subject
from skmoe.inspection._style import colour
from skmoe.inspection._targets import observed_rates, one_target, values_at

# Points of a slice, and of a curve of a density.
N_SLICE_POINTS, N_CURVE_POINTS = 41, 121

# Steps of a slider, about.
N_STEPS = 200

# Values of y that are shown, from quantiles of the observed ones.
SHOWN_QUANTILES = (0.01, 0.99)

# Most counts whose probabilities are drawn one by one.
MAX_COUNTS_DRAWN = 150


def make_panel(subject: Subject, inputs: Inputs, shown: Sequence[Feature]) -> dict[str, Any]:
    """Description of the panel for the features that are shown, which can be written as JSON."""
    estimator = inputs.mixture
    classes = [str(label) for label in estimator.classes_] if is_classifier(estimator) else None
    n_colours = max(len(subject.experts), len(classes or ()))
    tail = 0.5 * (1.0 - subject.coverage)
    limits = None if classes else _shown_range(subject)
    panel: dict[str, Any] = {
        "target": subject.target,
        "experts": list(subject.experts),
        "classes": classes,
        "colours": [colour(k) for k in range(n_colours)],
        "coverage": subject.coverage,
        "horizon": subject.horizon,
        "shown_range": limits,
        "features": [_controls(inputs, feature) for feature in shown],
        "n_features": len(inputs.labels),
        "n_constant": len(inputs.labels) - len(inputs.features),
        "formulas": find_formulas(inputs, shown, subject.output, tail),
        "slices": None,
        "has_density": not classes,
    }
    if panel["formulas"] is None:
        rows = [inputs.start[None]]
        for feature in shown:
            grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS)
            rows.append(inputs.along(feature, grid))
        found = [_predictions(subject, estimator, inputs.rows(codes), limits) for codes in rows]
        panel["start"], *panel["slices"] = found
        panel["has_density"] = "interval" in panel["start"]
    return panel


def _controls(inputs: Inputs, feature: Feature) -> dict[str, Any]:
    """A slider or choices of a feature."""
    start = inputs.value_at_start(feature)
    described: dict[str, Any] = {"label": feature.label, "start": start}
    if feature.is_choice:
        choices = feature.values.tolist()
        return described | {"choices": choices, "is_category": feature.is_category}
    low, high = (float(end) for end in feature.values)
    grid = feature.grid(inputs.start[feature.column], N_SLICE_POINTS).tolist()
    step = 1.0 if feature.is_integer else _step(high - low)
    described |= {"low": low, "high": high, "step": step, "grid": grid}
    # How far a value may be beyond the range, as for `is_outside_range`.
    tolerance = RANGE_RTOL * max(-low, high) if inputs.has_range(feature) else None
    return described | {"tolerance": tolerance}


def _step(width: float) -> float:
    """1, 2 or 5 times a power of ten, for about `N_STEPS` steps."""
    power = 10.0 ** np.floor(np.log10(width / N_STEPS))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= width / N_STEPS))


def _shown_range(subject: Subject) -> list[float]:
    """Values of y for the axis of the density, or of the probabilities of no event."""
    rows = subject.rows
    if subject.horizon is not None:
        times = rows.y["lower"]
        return [min(float(times.min()), 0.0), float(times.max())]
    values, exposure = observed_rates(subject.mixture, rows, subject.output)
    if rows.offset is None:
        low, high = np.quantile(values, SHOWN_QUANTILES)
    else:
        low, high = weighted_quantiles(values, exposure, np.array(SHOWN_QUANTILES))
    margin = 0.05 * (high - low) or abs(high) or 1.0
    above_zero = values.min() >= 0.0
    return [float(max(low - margin, 0.0) if above_zero else low - margin), float(high + margin)]


# --- slices, for mixtures that are no formulas -------------------------------------------------


def _predictions(
    subject: Subject, estimator: Any, rows: Any, limits: Sequence[float] | None
) -> dict[str, Any]:
    """Predictions for rows, as lists."""
    experts, mean = subject.predict(estimator, rows)
    found = {"gate": estimator.predict_gate(rows), "experts": experts, "mean": mean}
    if limits is not None:
        try:
            distribution = estimator.predict_dist(rows)
        except (AttributeError, ValueError):
            pass  # experts without a distribution
        else:
            interval = distribution.interval(subject.coverage)
            found["interval"] = one_target(interval, subject.output, 2)
            curve = np.linspace(limits[0], limits[1], N_CURVE_POINTS)
            if subject.horizon is None:
                last_count = max(float(found["interval"].max()), limits[1])
                found |= _densities(distribution, subject.output, curve, last_count)
            else:
                found |= {"median": distribution.median, "curve": curve}
                found["density"] = distribution.sf(curve[None])
    return {name: _rounded(values) for name, values in found.items()}


def _densities(distribution: Any, output: int, curve: Array, last_count: float) -> dict[str, Array]:
    """Probabilities of single values, and densities."""
    components = distribution.as_components()
    blocks = [part.block() for part in getattr(components, "parts", (components,))]
    atoms, found = np.zeros(0), {}
    for functions, parameters in blocks:
        if functions.counts:
            atoms = np.union1d(atoms, np.arange(min(last_count, MAX_COUNTS_DRAWN) + 1.0))
        for values in functions.atoms(*(of[..., output] for of in parameters)):
            atoms = np.union1d(atoms, values)
    if len(atoms):
        mass = values_at(distribution, distribution.pmf, atoms, output)
        found = {"atoms": atoms, "mass": mass}
    if not all(functions.discrete for functions, _ in blocks):
        curve = np.setdiff1d(curve, atoms)
        density = values_at(distribution, distribution.pdf, curve, output)
        found |= {"curve": curve, "density": density}
    return found


def _rounded(values: Array) -> Any:
    """Lists of numbers with ten significant digits, which make the page smaller."""
    flat = [float(f"{value:.10g}") for value in np.ravel(values)]
    finite: Any = [value if np.isfinite(value) else None for value in flat]
    return np.array(finite, dtype=object).reshape(np.shape(values)).tolist()
