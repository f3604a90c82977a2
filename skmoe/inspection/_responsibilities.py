"""ResponsibilitiesDisplay: responsibilities of the experts for observed rows or units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skmoe._inference.labels import counted_noun, printable_name
from skmoe._inference.unit_responsibilities import UnitResponsibilities
from skmoe._numerics.typing import Array
from skmoe._optional import import_pyplot
from skmoe.inspection import _style as draw
from skmoe.inspection._checks import drawn_mixture

# Width of a bar.
BAR_WIDTH = 0.38


@dataclass(kw_only=True, eq=False, repr=False)
class ResponsibilitiesDisplay(draw.DisplayOfExperts, draw.StyledDisplay):
    """Usage of the experts, rows assigned to them, and certainty of the assignment.

    Each row is assigned to the expert with the largest responsibility. Left: the mean
    responsibility of each expert, and the fraction of the rows assigned to it. Right: its
    responsibilities for those rows, a box between the quartiles with whiskers from the 5th to the
    95th percentile; at the dashed line all experts are equally probable. Boxes near one mean that
    the regimes are separate, boxes near the dashed line that they overlap. Where units are given,
    such as customers or patients, these are counted instead of rows. See "Displays" in the user
    guide.

    Parameters
    ----------
    responsibilities : ndarray of shape (n_samples, n_experts) or (n_units, n_experts)
        Probability that each expert generated each row, or each unit.
    of_units : bool, default=False
        Whether they are of units.
    expert_names : list of str of length n_experts, default=None
        Names of the experts; None for their numbers.

    Attributes
    ----------
    usage : ndarray of shape (n_experts,)
        Mean responsibility.
    assigned_share : ndarray of shape (n_experts,)
        Fraction of the rows or units that are assigned to each expert.
    certainty : list of ndarray
        Responsibilities of each expert for the rows or units assigned to it.
    ax_ : ndarray of shape (2,) of matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    usage_bars_, assigned_bars_ : matplotlib bars
        The bars on the left.
    boxes_ : list of matplotlib patches
        The boxes on the right, one for each expert with rows.

    See Also
    --------
    SegmentProfileDisplay : Which rows each expert describes.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.inspection import ResponsibilitiesDisplay
    >>> responsibilities = np.array([[1.0, 0.0], [0.75, 0.25], [0.75, 0.25], [0.0, 1.0]])
    >>> display = ResponsibilitiesDisplay.from_predictions(responsibilities)
    >>> display.usage
    array([0.625, 0.375])
    >>> display.assigned_share
    array([0.75, 0.25])
    """

    responsibilities: Array
    of_units: bool = False

    _by_expert = "responsibilities"

    @property
    def usage(self) -> Array:
        """Mean responsibility of each expert."""
        return self.responsibilities.mean(axis=0)

    @property
    def assigned_share(self) -> Array:
        """Fraction of the rows or units that are assigned to each expert."""
        return np.array([len(rows) for rows in self.certainty]) / len(self.responsibilities)

    @property
    def certainty(self) -> list[Array]:
        """Responsibilities of each expert for the rows or units that are assigned to it."""
        assigned_expert = self.responsibilities.argmax(axis=1)
        return [resp[assigned_expert == k] for k, resp in enumerate(self.responsibilities.T)]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        offset: Any = None,
        units: Any = None,
        known_experts: Any = None,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the responsibilities of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, which are then counted; None for rows.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Known experts of the rows, as in `fit`.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for those of the model, `expert_names_`.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.
        **kwargs : dict
            Passed to matplotlib's `bar`.

        Returns
        -------
        display : ResponsibilitiesDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If there is not one name for each expert.
        """
        found = drawn_mixture(cls, kwargs, estimator, X, None, expert_names)
        estimator, X, *_, names = found
        by_row = {"units": units, "known_experts": known_experts}
        resp = estimator.responsibilities(X, y, offset=offset, **by_row)
        return cls.from_predictions(resp, expert_names=names, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        responsibilities: Any,
        *,
        expert_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw given responsibilities.

        Parameters
        ----------
        responsibilities : array-like of shape (n_samples, n_experts), or UnitResponsibilities
            Non-negative, with rows that sum to one; or the table of units that
            `responsibilities(X, y, units=units)` returns.
        expert_names : list of str of length n_experts, default=None
            Names of the experts; None for their numbers.
        ax : matplotlib axes or array-like of two, default=None
            Axes to draw on; a single one is replaced by two. None for new ones.
        **kwargs : dict
            Passed to matplotlib's `bar`.

        Returns
        -------
        display : ResponsibilitiesDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the values are negative, or rows do not sum to one.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        names = expert_names
        if names is None:
            names = getattr(responsibilities, "expert_names", None)  # of a table of units
        names = None if names is None else [printable_name(name) for name in names]
        of_units = isinstance(responsibilities, UnitResponsibilities)
        given = responsibilities.proba if of_units else responsibilities
        resp = np.asarray(given, dtype=np.float64)
        if resp.ndim != 2 or resp.size == 0:
            raise ValueError(
                "responsibilities must have shape (n_samples, n_experts), with at least one row; "
                f"got {resp.shape}."
            )
        invalid = ~(np.isclose(resp.sum(axis=1), 1.0, atol=1e-6) & (resp >= 0.0).all(axis=1))
        if invalid.any():
            row = int(np.argmax(invalid))
            raise ValueError(
                f"responsibilities must be non-negative, with rows that sum to 1; row {row} is "
                f"{resp[row].tolist()}. Pass those of estimator.responsibilities(X, y)."
            )
        return cls(responsibilities=resp, of_units=of_units, expert_names=names).plot(ax, **kwargs)

    def _draw(self, ax: Any, **kwargs: Any) -> Any:
        axes = self._axes(ax, 2, draw.TWO_PANELS_SIZE)
        self._draw_shares(axes[0], kwargs)
        self._draw_certainties(axes[1])
        for cells in axes:
            cells.set_xlabel("Expert")
            draw.label_categories(cells, draw.beside_marks(self.expert_names))
        return axes

    def _draw_shares(self, ax: Any, kwargs: dict[str, Any]) -> None:
        from matplotlib.patches import Patch

        position = np.arange(len(self.usage))
        colours = [draw.colour(k) for k in range(len(position))]
        full: dict[str, Any] = {"color": colours, "edgecolor": colours, "linewidth": 1.5}
        left, right = position - BAR_WIDTH / 2, position + BAR_WIDTH / 2
        self.usage_bars_ = ax.bar(left, self.usage, BAR_WIDTH, **draw.merged(full, kwargs))
        hatched = draw.merged(full | {"color": "white", "hatch": "////"}, kwargs)
        self.assigned_bars_ = ax.bar(right, self.assigned_share, BAR_WIDTH, **hatched)
        grey: dict[str, Any] = {"edgecolor": draw.LIGHT_GREY, "facecolor": draw.LIGHT_GREY}
        usage = Patch(label="usage: mean responsibility", **grey)
        grey |= {"facecolor": "white", "hatch": "////"}
        draw.legend_above(ax, [usage, Patch(label="assigned: largest responsibility", **grey)])
        ax.set_ylabel(f"Share of the {counted_noun(self.of_units)}s")

    def _draw_certainties(self, ax: Any) -> None:
        certainty = {k: rows for k, rows in enumerate(self.certainty) if len(rows)}
        style: dict[str, Any] = {"medianprops": {"color": "black", "linewidth": 2}, "widths": 0.6}
        style |= {"whis": (5, 95), "showfliers": False, "patch_artist": True}
        boxes = ax.boxplot(list(certainty.values()), positions=list(certainty), **style)
        self.boxes_ = boxes["boxes"]
        for k, box in zip(certainty, self.boxes_, strict=True):
            box.set_facecolor(draw.colour(k))
        label = "all experts equally probable"
        line = ax.axhline(1.0 / len(self.usage), label=label, **draw.REFERENCE)
        draw.legend_above(ax, [line])
        ax.set_ylabel(f"Responsibility for assigned {counted_noun(self.of_units)}s")
        ax.set_ylim(0.0, 1.03)
