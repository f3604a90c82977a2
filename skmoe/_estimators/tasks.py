"""Regression and classification: how the target is validated, scaled and passed to experts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from skmoe._data.checks import check_same_outputs, check_two_classes, class_codes, class_weights
from skmoe._data.scaling import Standardization, fit_standardization
from skmoe._mixture.initialization import InitData
from skmoe._numerics.typing import Array
from skmoe.experts._variance_prior import estimate_noise_variance, variance_floor


class TrainingTarget(NamedTuple):
    """The target of a fit, as the experts see it."""

    y: Array  # outputs (m, n), or class codes (n,)
    init_targets: Array  # standardised outputs or class indicators (m, n), for initialisation
    weight: Array
    scaling: Standardization | None  # of the outputs; None for classes
    attributes: dict[str, Any]


class TargetData(NamedTuple):
    """What `make_target` needs of the training data and of a previous fit."""

    y: Array  # outputs (n,) or (n, m), or class codes (n,)
    weight: Array
    classes: Array | None
    keeps_all_classes: bool  # whether classes without rows stay
    known_scaling: Standardization | None  # of the outputs, from a first pass over row blocks
    previous_scaling: Standardization | None  # of the fit that a warm start continues
    previous_classes: Array | None


class Task(ABC):
    """What differs between the two estimators."""

    name: ClassVar[str]
    is_classification: ClassVar[bool]
    class_weight: Any = None

    @abstractmethod
    def validate(
        self, validation_copy: Any, X: Any, y: Any, ensure_all_finite: bool | str
    ) -> tuple[Any, Array, dict[str, Any]]:
        """X and y as numbers (or class codes), and fitted attributes, by scikit-learn's checks.

        `validation_copy` receives `n_features_in_` and `feature_names_in_`.
        """

    @abstractmethod
    def make_target(self, data: TargetData, standardize: bool) -> TrainingTarget:
        """The target of a fit, with the standardisation of a previous fit if there is one."""

    @abstractmethod
    def family_options(self) -> dict[str, Any]:
        """Hyper-parameters of families that only this task has."""

    @abstractmethod
    def estimates(
        self, init_data: InitData, names: Sequence[str], noise_variance: Array | None
    ) -> dict[str, Any]:
        """Options of a family that are estimated from the data, see `Experts.estimated_options`.

        `noise_variance` of the standardised outputs is used instead of an estimate, if given.
        """

    def cross_fitted_options(
        self, init_data: InitData, noise_variance: Array | None
    ) -> dict[str, Any]:
        """Options of experts that are estimators, whose target is not standardised."""
        return {}


@dataclass(frozen=True)
class Regression(Task):
    """Regression: one or several numeric outputs."""

    name: ClassVar[str] = "regressor"
    is_classification: ClassVar[bool] = False

    shared_variance: bool
    variance_prior: float

    def validate(
        self, validation_copy: Any, X: Any, y: Any, ensure_all_finite: bool | str
    ) -> tuple[Any, Array, dict[str, Any]]:
        """X and y as numbers."""
        X, y = validate_data(
            validation_copy,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=ensure_all_finite,
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
        )
        return X, y.astype(np.float64), {"_single_output": y.ndim == 1}

    def make_target(self, data: TargetData, standardize: bool) -> TrainingTarget:
        """Outputs (m, n), standardised on request."""
        outputs = data.y.reshape(len(data.y), -1)
        if data.previous_scaling is not None:
            check_same_outputs(outputs.shape[1], len(data.previous_scaling.center))
        if data.previous_scaling is not None and standardize:
            scaling = data.previous_scaling
        elif data.known_scaling is not None:
            scaling = data.known_scaling
        else:
            center, scale = fit_standardization(outputs, data.weight)
            scaling = Standardization(center, np.where(np.isfinite(scale), scale, 1.0))
        standard = np.ascontiguousarray(((outputs - scaling.center) / scaling.scale).T)
        if standardize:
            return TrainingTarget(standard, standard, data.weight, scaling, {})
        own = identity_scaling(outputs.shape[1])
        return TrainingTarget(np.ascontiguousarray(outputs.T), standard, data.weight, own, {})

    def family_options(self) -> dict[str, Any]:
        """Sharing and prior strength of the noise variances."""
        return {"shared_variance": self.shared_variance, "variance_prior": self.variance_prior}

    def estimates(
        self, init_data: InitData, names: Sequence[str], noise_variance: Array | None
    ) -> dict[str, Any]:
        """Noise variance and floor of the standardised outputs, mean of those the family sees."""
        found: dict[str, Any] = {}
        if "noise_variance" in names:
            found["noise_variance"] = _as_tuple(_noise_variance(init_data, noise_variance))
        if "variance_floor" in names:
            found["variance_floor"] = _as_tuple(variance_floor(init_data.Y))
        if "target_mean" in names:
            rows = init_data.rows
            found["target_mean"] = _as_tuple(rows.y @ rows.weight / rows.weight.sum())
        return found

    def cross_fitted_options(
        self, init_data: InitData, noise_variance: Array | None
    ) -> dict[str, Any]:
        """Noise options in the squared units of y."""
        noise = _noise_variance(init_data, noise_variance)
        _, scale = fit_standardization(init_data.rows.y.T, init_data.rows.weight)
        unit = np.where(np.isfinite(scale), scale, 1.0) ** 2
        return self.family_options() | {
            "noise_variance": _as_tuple(unit * noise),
            "variance_floor": _as_tuple(unit * variance_floor(init_data.Y)),
        }


@dataclass(frozen=True)
class Classification(Task):
    """Classification: one label for each row."""

    name: ClassVar[str] = "classifier"
    is_classification: ClassVar[bool] = True

    class_weight: Any

    def validate(
        self, validation_copy: Any, X: Any, y: Any, ensure_all_finite: bool | str
    ) -> tuple[Any, Array, dict[str, Any]]:
        """X as numbers, y as class codes."""
        X, y = validate_data(
            validation_copy,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=ensure_all_finite,
            ensure_min_samples=2,
        )
        check_classification_targets(y)
        labels, codes = np.unique(y, return_inverse=True)
        return X, codes, {"classes_": labels}

    def make_target(self, data: TargetData, standardize: bool) -> TrainingTarget:
        """Class codes (n,); classes need rows of positive weight, unless all are kept."""
        classes, codes = data.classes, data.y
        assert classes is not None
        if not data.keeps_all_classes:
            present, codes = np.unique(data.y, return_inverse=True)
            classes = classes[present]
        check_two_classes(classes)
        if data.previous_classes is not None:
            check_same_classes(classes, data.previous_classes)
        weight = class_weights(self.class_weight, classes, codes, data.weight)
        indicators = (np.arange(len(classes))[:, None] == codes).astype(np.float64)
        return TrainingTarget(codes, indicators, weight, None, {"classes_": classes})

    def family_options(self) -> dict[str, Any]:
        """None."""
        return {}

    def estimates(
        self, init_data: InitData, names: Sequence[str], noise_variance: Array | None
    ) -> dict[str, Any]:
        """The number of classes."""
        return {"n_classes": len(init_data.Y)}


def _noise_variance(init_data: InitData, known: Array | None) -> Array:
    if known is not None:
        return known
    return estimate_noise_variance(init_data.X, init_data.Y, init_data.rows.weight)


def _as_tuple(values: Array) -> tuple[float, ...]:
    return tuple(values.tolist())


def identity_scaling(n_outputs: int) -> Standardization:
    """The standardisation that changes nothing, for families that see y in its own units."""
    return Standardization(np.zeros(n_outputs), np.ones(n_outputs))


# --- targets of new rows ----------------------------------------------------------------------


def validate_outputs(y: Any, n_outputs: int) -> Array:
    """Numeric outputs of new rows, (m, n)."""
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    outputs = y[:, None] if y.ndim == 1 else y
    check_same_outputs(outputs.shape[1], n_outputs)
    return outputs.T


def validate_labels(y: Any, classes: Array) -> Array:
    """Class codes of new rows, (n,)."""
    return class_codes(column_or_1d(y), classes)


def check_same_classes(classes: Array, previous: Array) -> None:
    """A warm start needs the classes of the previous fit."""
    if not np.array_equal(classes, previous):
        raise ValueError(
            f"warm_start=True goes on from a fit with classes {previous.tolist()}; y has "
            f"{classes.tolist()}. Set warm_start=False to fit anew."
        )
