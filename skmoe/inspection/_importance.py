"""ImportanceDisplay: importance of the features for the gate and for the experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from skmoe._data.checks import check_integer
from skmoe._inference.labels import printable_name
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection._checks import check_names
from skmoe.inspection._heat_map import shortened, text_width
from skmoe.inspection._importance_by_part import PARTS, permutation_importance_by_part
from skmoe.inspection._pipelines import find_mixture
from skmoe.inspection._style import DARK_GREY, LIGHT_GREY, legend_above, merged, panel_axes

# How the bars of each part are filled: as in the waterfall of a prediction, the gate is hatched.
PART_STYLES: dict[str, dict[str, Any]] = {
    "both": {"facecolor": DARK_GREY, "edgecolor": DARK_GREY},
    "experts": {"facecolor": LIGHT_GREY, "edgecolor": DARK_GREY},
    "gate": {"facecolor": "white", "edgecolor": DARK_GREY, "hatch": "////"},
}

# Names of the parts in the legend.
PART_NAMES = {"both": "both", "experts": "in the experts only", "gate": "in the gate only"}

# Height of a bar, of which there are three, as a fraction of a row.
PART_HEIGHT = 0.27

# Width of the picture without names, height of a row, and of the frame, in inches.
IMPORTANCE_WIDTH, IMPORTANCE_ROW_HEIGHT, IMPORTANCE_FRAME = 4.4, 0.5, 1.3

# Characters of the name of a feature.
IMPORTANCE_NAME_WIDTH = 30


class ImportanceDisplay:
    """Permutation importance of the features: what each does for the gate and for the experts.

    Bars are decreases of the mean log density of y when a feature is permuted: in the whole
    mixture, in the input of the experts only, and in that of the gate only. Error bars are standard
    deviations over the permutations. See `permutation_importance_by_part`, "Displays" in the user
    guide, and "Reading a fit by its pictures" in the gallery.

    Parameters
    ----------
    feature_names : list of str of length n_shown
        Names of the features, from top to bottom.
    both, experts, gate : ndarray of shape (n_shown, n_repeats)
        Importances, in nats per row.
    n_columns : int, default=None
        Number of features of which the most important are drawn; None if all are.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    bars_ : dict of str to matplotlib bars
        The bars of "both", "experts" and "gate".

    See Also
    --------
    CoefficientsDisplay : Coefficients of experts with linear predictors.
    PredictionDisplay : Contributions of the features to one prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import ImportanceDisplay
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> y = np.where(X[:, 0] > 0, 1.0, -1.0) * X[:, 1]
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:200], y[:200])
    >>> display = ImportanceDisplay.from_estimator(moe, X[200:], y[200:], random_state=0)
    >>> display.experts.shape
    (2, 5)
    """

    def __init__(
        self,
        *,
        feature_names: Sequence[str],
        both: Array,
        experts: Array,
        gate: Array,
        n_columns: int | None = None,
        feature_note: str = "",
    ) -> None:
        self.feature_names = feature_names
        self.both = both
        self.experts = experts
        self.gate = gate
        self.n_columns = n_columns
        self.feature_note = feature_note

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        features: Any = None,
        max_features: int = 12,
        n_repeats: int = 5,
        random_state: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the importances of the features of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of rows that were not used in the fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        features : array-like, default=None
            Features to permute: names, indices or a boolean mask; None for all.
        max_features : int, default=12
            Largest number of features that are drawn, the most important ones.
        n_repeats : int, default=5
            Permutations of each feature, typically 5 to 30: more are slower, and more precise.
        random_state : int, RandomState instance or None, default=None
            Source of randomness of the permutations.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        feature_names : list of str of length n_features, default=None
            Names of the features; None for those seen in fit, or x0, x1 and so on.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ImportanceDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If a feature is unknown, a number is not a positive integer, or the experts have no
            predictive distribution.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X, note = find_mixture(estimator, X)
        labels = [printable_name(name) for name in check_names(estimator, feature_names)]
        check_integer("max_features", max_features, least=1)
        found = permutation_importance_by_part(
            estimator,
            X,
            y,
            features=features,
            n_repeats=n_repeats,
            random_state=random_state,
            sample_weight=sample_weight,
            offset=offset,
            feature_names=feature_names,
        )
        order = np.argsort(-found.both.importances_mean, kind="stable")[:max_features]
        n_chosen = len(found.features)
        display = cls(
            feature_names=[labels[j] for j in found.features[order]],
            both=found.both.importances[order],
            experts=found.experts.importances[order],
            gate=found.gate.importances[order],
            n_columns=n_chosen if len(order) < n_chosen else None,
            feature_note=note,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the importances.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.
        **kwargs : dict
            Passed to matplotlib's `barh`.

        Returns
        -------
        display : ImportanceDisplay
            This display.
        """
        names = [shortened(name, IMPORTANCE_NAME_WIDTH) for name in self.feature_names]
        height = IMPORTANCE_FRAME + IMPORTANCE_ROW_HEIGHT * len(names)
        (ax,) = panel_axes(
            ax, f"{type(self).__name__}.plot", [IMPORTANCE_WIDTH], text_width(names), height
        )
        rows = np.arange(len(names))
        importances = {"gate": self.gate, "experts": self.experts, "both": self.both}
        self.bars_: dict[str, Any] = {}
        for i, (part, style) in enumerate(PART_STYLES.items()):
            values = importances[part]
            own = {**style, "label": PART_NAMES[part], "linewidth": 0.8}
            error = {"ecolor": DARK_GREY, "elinewidth": 1.0, "capsize": 2}
            self.bars_[part] = ax.barh(
                rows + (i - 1) * PART_HEIGHT,
                values.mean(axis=1),
                PART_HEIGHT,
                xerr=values.std(axis=1),
                error_kw=error,
                **merged(own, kwargs),
            )
        ax.axvline(0.0, color=DARK_GREY, linewidth=0.8)
        ax.set_yticks(rows, names, fontsize=9)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        lines = ["Decrease of the log density per row, permuted"]
        if self.n_columns is not None:
            lines.append(f"{len(names)} of {self.n_columns} features: the most important ones")
        lines += [self.feature_note] if self.feature_note else []
        ax.set_xlabel("\n".join(lines))
        legend_above(ax, [self.bars_[part] for part in PART_STYLES], ncols=len(PARTS), fontsize=8)
        self.ax_, self.figure_ = ax, ax.figure
        return self
