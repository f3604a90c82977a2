"""Former names of fitted attributes, which raise with the present ones, and are read from files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

# Names of the attributes that experts return, which estimators had in 0.1.0, and those of
# estimators. Other tools take an estimator with a `coef_` for a linear model.
PRESENT_NAMES = {"coef_": "expert_coef_", "intercept_": "expert_intercept_"}


def with_present_names(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by their present names, given those of experts or of an older release."""
    return {PRESENT_NAMES.get(name, name): value for name, value in attributes.items()}


class FormerNamesMixin:
    """Properties that raise for the former names, so that `hasattr` is False."""

    @property
    def coef_(self) -> NoReturn:
        """No attribute: see `expert_coef_`."""
        raise _no_attribute(self, "coef_")

    @property
    def intercept_(self) -> NoReturn:
        """No attribute: see `expert_intercept_`."""
        raise _no_attribute(self, "intercept_")

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(with_present_names(state))  # type: ignore[misc]  # of BaseEstimator


def _no_attribute(estimator: Any, name: str) -> AttributeError:
    return AttributeError(
        f"{type(estimator).__name__} has no {name} since version 0.2: tools such as "
        "SelectFromModel and shap.Explainer took the coefficients of the experts for those of the "
        f"prediction. Use {PRESENT_NAMES[name]}, which linear experts have, for the experts, and "
        "shap.Explainer(moe.predict, X) for the prediction."
    )
