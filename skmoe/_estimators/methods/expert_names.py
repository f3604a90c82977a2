"""Names of experts, which tables, texts and pictures print, and what notebooks show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from skmoe._data.checks import shown
from skmoe._data.sklearn_adapter import named_estimator, typical_model
from skmoe._inference.coefficients import ALL_EXPERTS, GATE
from skmoe._inference.labels import (
    Labels,
    default_expert_names,
    feature_labels,
    printable_name,
)
from skmoe._mixture.fitted import FittedMixture


class ExpertNamesMixin:
    """The attribute `expert_names_`, and the method that sets it."""

    _fitted: FittedMixture
    _expert_names: tuple[str, ...]  # those that the user gave; absent without

    @property
    def expert_names_(self) -> list[str]:
        """Names of the experts: those of `set_expert_names`, or "expert 0" and so on."""
        check_is_fitted(self)
        names = getattr(self, "_expert_names", None)
        return list(names or default_expert_names(self._fitted.mixture.n_experts))

    @property
    def expert_kinds_(self: Any) -> list[str]:
        """Kind of each expert: its family, the class of its estimators, or what was chosen."""
        check_is_fitted(self)
        if families := getattr(self, "families_", ()):
            return [family.name for family in families]
        if models := getattr(self, "experts_", ()):
            finals = [list(map(named_estimator, of_folds)) for of_folds in models]
            return [type(typical_model(own)).__name__ for own in finals]
        _, expert = self._expert_parameter
        chosen = list(expert) if isinstance(expert, list | tuple) else [expert]
        names = [value if isinstance(value, str) else type(value).__name__ for value in chosen]
        return [names[k % len(names)] for k in range(self._fitted.mixture.n_experts)]

    def set_expert_names(self, names: Any) -> Self:
        """Name the experts, for all tables, texts, pictures and frames.

        The names are saved with the estimator. A warm start and `partial_fit`, which continue the
        fit, keep them; a new `fit` forgets them.

        Parameters
        ----------
        names : list of str of length n_experts, or None
            A name for each expert, in the order of `weights_`. None removes the names.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            If there is not one name for each expert, if a name is empty or no string, or if two
            experts have the same name. The names "gate" and "all experts" are not possible, since
            tables use them.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, 1 - np.abs(X[:, 0]))
        >>> names = ["falls" if slope < 0 else "rises" for slope in moe.expert_coef_[:, 0]]
        >>> sorted(moe.set_expert_names(names).expert_names_)
        ['falls', 'rises']
        """
        check_is_fitted(self)
        if names is None:
            vars(self).pop("_expert_names", None)
        else:
            n_experts = self._fitted.mixture.n_experts
            self._expert_names = tuple(check_expert_names("names", names, n_experts))
        return self


def check_expert_names(parameter: str, names: Any, n_experts: int) -> list[str]:
    """The names as a list, if there is one for each expert, and all are different."""
    unordered = isinstance(names, str | bytes | dict | set | frozenset)
    listed = list(names) if isinstance(names, Iterable) and not unordered else None
    if listed is None or len(listed) != n_experts:
        given = shown(names) if listed is None else f"{len(listed)}"
        raise ValueError(
            f"{parameter} must be a list with one name for each of the {n_experts} experts; got "
            f"{given}. Pass None for {', '.join(default_expert_names(n_experts)[:2])} and so on."
        )
    printed = [printable_name(name) if isinstance(name, str) else "" for name in listed]
    taken = ["", GATE, ALL_EXPERTS]
    for k, name in enumerate(printed):
        if name in taken:
            raise ValueError(
                f"{parameter} must be strings that differ, not empty and neither {GATE!r} nor "
                f"{ALL_EXPERTS!r}, which tables use for other terms; that of expert {k} is "
                f"{shown(listed[k])}. Give each expert a name of its own."
            )
        taken.append(name)
    return [str(name) for name in listed]


def labels_of(estimator: Any) -> Labels:
    """The names of a fitted estimator."""
    classes = [str(label) for label in getattr(estimator, "classes_", ())]
    responses = classes[1:] if len(classes) == 2 else classes  # log odds of the second of two
    if not classes:
        n_outputs = len(estimator._fitted.preprocessor.target_scaling.center)
        responses = [f"y{j}" for j in range(n_outputs)]
    names = getattr(estimator, "feature_names_in_", None)
    features = feature_labels(names, estimator.n_features_in_)
    gate_features = list(estimator.gate_feature_names_)
    return Labels(estimator.expert_names_, features, gate_features, classes, responses)


class ExpertsReprMixin:
    """Hooks of notebooks that append the summary to the representation of scikit-learn."""

    @property
    def _repr_html_(self) -> Callable[[], str]:
        inner = super()._repr_html_  # type: ignore[misc]  # absent unless scikit-learn draws diagrams
        return lambda: inner() + _summary_in_html(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += _summary_in_html(self)
        return bundle


def _summary_in_html(estimator: Any) -> str:
    """The text of the summary without rows; empty before the fit."""
    if not hasattr(estimator, "weights_"):
        return ""
    title = f"{estimator.n_experts_} expert" + "s" * (estimator.n_experts_ > 1)
    return (
        f'<details open class="skmoe-experts"><summary style="cursor:pointer">{title}</summary>'
        f"<pre>{escape(str(estimator.summary()))}</pre></details>"
    )
