"""Experts with a linear predictor and families of their own: starts, densities and priors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.checks import check_flag, check_numbers_of_outputs, check_real
from skmoe._numerics.evidence import without_dropped
from skmoe._numerics.linalg import offset_predictor, ridge_diagonal
from skmoe._numerics.signed_steps import (
    equal_parts,
    of_holders,
    slope_holders,
    step_within,
    with_signs,
)
from skmoe._numerics.typing import Alpha, Array
from skmoe.experts._dispersion_features import DispersionLayout
from skmoe.experts._family_targets import FamilyTargets
from skmoe.families import Family, Poisson
from skmoe.families._base import DIFFERENCE_STEP
from skmoe.families._censored import of_target
from skmoe.protocols import (
    Block,
    Dispersion,
    LinearPredictor,
    SupportsReordering,
    SupportsStreaming,
)

# Largest slope of a log dispersion, for standardised features.
LARGEST_SLOPE = 1e3

# Distance below and above the bounds of a log dispersion at the means of the features up to which
# those of the rows of a fit go, and those of new rows.
MARGINS_OF_ROWS = np.log([1e3, 5.0])
MARGINS_OF_NEW_ROWS = np.log([1e6, 10.0])


class GeneralizedLinearParams(NamedTuple):
    """Coefficients (K, m, d), and log dispersions (K, m, T) for m outputs.

    T is the number of dispersion parameters of all families; unused ones are zero, and so are the
    coefficients of experts without linear predictor. If dispersions depend on features, the first T
    are the slopes of the dispersion of each expert, and its intercept follows.
    """

    coef: Array
    log_dispersion: Array


class FamilyGroup(NamedTuple):
    """A family, and the experts that have it."""

    number: int  # of the family in the list of families
    family: Family
    experts: Any  # their indices, or a slice
    dispersions: list[int]  # indices of the family's dispersion parameters among those of all

    def log_dispersion(self, params: GeneralizedLinearParams) -> list[Array]:
        """Log dispersions (T) of the family, each (..., m, 1), at the means of the features."""
        own = params.log_dispersion[self.experts]
        return [own[..., index, None] for index in self.dispersions]


class FitConstants(NamedTuple):
    """What is the same in all iterations of a fit."""

    groups: list[FamilyGroup]
    has_predictor: Array  # of each expert, boolean of shape (K,)
    low: Array  # smallest log dispersions, (K, m, T); zero for unused ones
    high: Array  # largest log dispersions, (K, m, T)
    flat: Array  # log dispersions up to which the likelihood is nearly constant, (K, m, T)
    has_scale: Array  # one for each expert and output with a scale, and zero for others, (K, m)
    scale_index: Array  # of the scale among the dispersion parameters, (K,)
    strength: Array  # of the prior of each scale, in rows, (K, m); zero without a scale
    prior_squares: Array  # which are added to those of the residuals, (K, m)
    predictor_squares: Array  # those of them that are variances of predictors, (K, m)
    ridge: Array  # diagonal of the penalty, (d,)
    signs: Array  # of the coefficients, (d,); zero for any
    holders: Array  # of the coefficients of each expert, as in `slope_holders`, (K, d)
    share: Array  # part of the penalty on a slope that each expert has, (K, 1, d)

    def penalised_squares(self, params: GeneralizedLinearParams) -> Array:
        """Squares of the slopes times their penalties, (K, m)."""
        return np.asarray((self.share * np.square(params.coef)) @ self.ridge)

    def log_scale(self, params: GeneralizedLinearParams) -> Array:
        """Log scale of each expert and output, (K, m); zero without a scale."""
        if not params.log_dispersion.size:
            return self.has_scale
        rows = np.arange(len(self.scale_index))
        return np.asarray(self.has_scale * params.log_dispersion[rows, :, self.scale_index])


@dataclass(frozen=True)
class LinearFamilies(FamilyTargets):
    """Densities and priors of experts with a linear predictor.

    The fields are those of `GeneralizedLinearExperts`.
    """

    families: tuple[Family, ...] = (Poisson(),)
    alpha: Alpha = 1.0
    shared_dispersion: bool = False
    dispersion_prior: float = 10.0
    noise_variance: tuple[float, ...] = (1.0,)
    variance_floor: tuple[float, ...] = (1e-6,)
    target_variance: tuple[tuple[float, ...], ...] = ()
    initial_predictor: tuple[tuple[float, ...], ...] = ()
    slopes: tuple[tuple[int, ...], ...] = ()
    signs: tuple[int, ...] = ()
    predictor_squares: tuple[tuple[float, ...], ...] = ()
    dispersion_columns: tuple[int, ...] = ()
    dispersion_alpha: float = 1.0
    extreme_rows: tuple[tuple[float, ...], ...] = ()

    def in_order(self, order: Array) -> Any:
        """The experts with what each of them has of its own in another order."""
        squares = self.predictor_squares
        reordered = tuple(squares[k % len(squares)] for k in order if squares)
        return self.with_options({"predictor_squares": reordered})

    @property
    def shares_parameters(self) -> bool:
        """Whether experts share dispersions."""
        return self.shared_dispersion

    def fitted_to(self, design: Any, y: Array, weight: Array, scaling: Any) -> Any:
        """The experts with what depends on the target (m, n) and the features of the fit."""
        fitted = super().fitted_to(design, y, weight, scaling)
        if not self.layout.n_slopes:
            return fitted
        return fitted.with_options({"extreme_rows": self.layout.extreme_rows(design)})

    def check_options(self) -> None:
        """Validate penalty, prior and families."""
        check_real("expert.alpha", self.alpha)
        check_flag("expert.shared_dispersion", self.shared_dispersion)
        check_real("expert.dispersion_prior", self.dispersion_prior)
        check_real("expert.dispersion_alpha", self.dispersion_alpha)
        check_numbers_of_outputs("expert.noise_variance", self.noise_variance)
        check_numbers_of_outputs("expert.variance_floor", self.variance_floor)
        for family in self.families:
            family.check_options()

    def limitation(self, capability: type) -> str:
        """Experts of a list of families keep its order, and dispersions of features no streams."""
        if capability is SupportsStreaming and self.layout.n_slopes:
            return "its dispersions depend on features"
        if capability is SupportsReordering and len(self.families) > 1:
            return "its experts have families of their own, in the order of the list"
        return super().limitation(capability)

    def _has_varying_mean(self, family: Family) -> bool:
        """Whether the mean depends on a dispersion that depends on features."""
        if not self.layout.depends(family):
            return False
        zero = np.zeros((1, 1))
        means = [family.mean(zero, [zero + change]).item() for change in (0.0, 1.0)]
        return means[0] != means[1]

    # --- the families ---

    @property
    def link(self) -> str:
        """The link of all experts with a linear predictor; "" if they differ."""
        links = {family.link for family in self.families if family.link}
        return links.pop() if len(links) == 1 else ""

    @property
    def standardizes_target(self) -> bool:
        """Whether all families with a linear predictor are of the location-scale kind.

        Point masses stay where they are.
        """
        kinds = {family.standardizes_target for family in self.families if family.link}
        return kinds == {True} and not self._atoms

    @property
    def explains_mean(self) -> bool:  # type: ignore[override]
        """Whether the mean is finite."""
        return np.inf not in self._atoms

    @property
    def takes_offset(self) -> bool:
        """Whether all linear predictors are those of a log link."""
        return self.link == "log"

    @property
    def takes_bounds(self) -> bool:
        """Whether y may be censored: all families have the probabilities of intervals."""
        return all(family.takes_bounds for family in self.families)

    @property
    def support(self) -> str:
        """Values that are possible under any family."""
        return " or ".join(dict.fromkeys(family.support for family in self.families))

    @property
    def can_separate(self) -> bool:
        """Whether coefficients can be infinite, as where all counts of an expert are zero."""
        return all(family.is_count for family in self.families)

    @property
    def estimated_options(self) -> tuple[str, ...]:
        """Scale of the prior, where it is needed, and smallest variance."""
        if any(family.has_scale for family in self.families):
            return ("noise_variance", "variance_floor")
        return ()

    @property
    def dispersions(self) -> tuple[Dispersion, ...]:
        """Dispersion parameters of any family."""
        return tuple(dict.fromkeys(d for family in self.families for d in family.dispersions))

    @property
    def layout(self) -> DispersionLayout:
        """Positions of the dispersion parameters."""
        return DispersionLayout(self.families, self.dispersion_columns)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The linear predictor, and the dispersion parameters of any family."""
        main = LinearPredictor(link=self.link)
        return (main, *(block for block in self.layout.blocks() if block is not None))

    def blocks_of(self, k: int) -> tuple[Block | None, ...]:
        """The linear predictor of one expert, if it has one, and its dispersion parameters."""
        family = self._family(k)
        predictor = LinearPredictor(link=family.link, ratios=family.measures)
        return (predictor if family.link else None, *self.layout.blocks(family))

    @property
    def _n_outputs(self) -> int:
        return len((self.initial_predictor or (self.noise_variance,))[0])

    def _groups(self, n_experts: int) -> list[FamilyGroup]:
        """The different families, with their experts."""
        if len(self.families) == 1:
            positions = self.layout.positions(self.families[0])
            return [FamilyGroup(0, self.families[0], slice(None), positions)]
        return [
            FamilyGroup(
                number,
                family,
                np.array([k for k in range(n_experts) if self._family(k) == family], dtype=int),
                self.layout.positions(family),
            )
            for number, family in enumerate(self.families)
            if family not in self.families[:number]
        ]

    def _group_of(self, k: int) -> FamilyGroup:
        """The family of one expert, with this expert alone."""
        family = self._family(k)
        return FamilyGroup(k % len(self.families), family, k, self.layout.positions(family))

    # --- densities and moments ---

    def _predictors(self, params: GeneralizedLinearParams, design: Any) -> Array:
        """Linear predictors (K, m, n), bounded so that means are finite."""
        predictor = offset_predictor(params.coef, design)
        for _, family, experts, _ in self._constants(params).groups:
            bound = family.max_predictor
            if bound < np.inf:
                predictor[experts] = np.clip(predictor[experts], -bound, bound)
        return predictor

    def _by_family(
        self,
        params: GeneralizedLinearParams,
        design: Any,
        values: Callable[[Family, Array, list[Array]], Array],
    ) -> Array:
        """Values of each expert (K, m, n) from its family, linear predictor and log dispersions."""
        predictor = self._predictors(params, design)
        groups = self._constants(params).groups
        own = [
            values(
                group.family, predictor[group.experts], self._log_dispersion(group, params, design)
            )
            for group in groups
        ]
        if len(groups) == 1 and own[0].shape == predictor.shape:
            return own[0]
        for group, found in zip(groups, own, strict=True):
            predictor[group.experts] = found
        return predictor

    def log_prob(self, params: GeneralizedLinearParams, design: Any, y: Array) -> Array:
        """Log density or log probability of y (m, n) under each expert, (K, n)."""
        logs = self._by_family(
            params, design, lambda family, *at: of_target(family, y).log_prob(y, *at)
        )
        if len(self.families) > 1 and self._atoms:
            impossible = [
                of_target(self._family(k), y).has_atom_of_others(y, self.families)
                for k in range(len(logs))
            ]
            logs = np.where(np.stack(impossible), -np.inf, logs)
        return logs.sum(axis=1)

    def mean(self, params: GeneralizedLinearParams, design: Any) -> Array:
        """Mean of each expert, (K, m, n)."""
        return self._by_family(params, design, lambda family, *at: family.mean(*at))

    def mean_derivative(self, params: GeneralizedLinearParams, design: Any) -> Array:
        """Derivative of the mean of each expert by its linear predictor, (K, m, n)."""
        return self._by_family(params, design, lambda family, *at: family.mean_derivative(*at))

    def mean_derivative_by_dispersion(
        self, params: GeneralizedLinearParams, design: Any
    ) -> Array | None:
        """Central differences; None if no mean depends on a dispersion that varies."""
        if not any(map(self._has_varying_mean, self.families)):
            return None
        step = np.zeros(params.log_dispersion.shape[-1])
        step[self.layout.n_slopes] = DIFFERENCE_STEP
        ends = [
            self.mean(params._replace(log_dispersion=params.log_dispersion + sign * step), design)
            for sign in (1.0, -1.0)
        ]
        return (ends[0] - ends[1]) / (2.0 * DIFFERENCE_STEP)

    def _log_dispersion(
        self, group: FamilyGroup, params: GeneralizedLinearParams, design: Any
    ) -> list[Array]:
        """Log dispersions (T) of a family, (..., m, 1); (..., m, n) of those that vary by row.

        The latter are linear in the features. Only new rows far outside of those of the fit reach
        the bounds, where numbers stay finite.
        """
        logs = group.log_dispersion(params)
        if self.layout.depends(group.family):
            slopes = params.log_dispersion[group.experts][..., : self.layout.n_slopes]
            room = self._room(params, MARGINS_OF_NEW_ROWS)[:, group.experts]
            below, above = room[..., None]
            change = slopes @ self.layout.features(design).T
            logs[0] = logs[0] + np.clip(change, -below, above)
        return logs

    def _room(self, params: GeneralizedLinearParams, margins: Array) -> Array:
        """How far the log dispersion of a row may lie below and above that at the means, (2, K, m).

        `margins` are those beyond the bounds at the means.
        """
        constants, level = self._constants(params), params.log_dispersion[..., self.layout.n_slopes]
        low, high = (
            bounds[..., self.layout.n_slopes] for bounds in (constants.low, constants.high)
        )
        return np.stack([level - low + margins[0], high - level + margins[1]])

    def _excess_of_rows(self, params: GeneralizedLinearParams) -> Array:
        """Largest changes of log dispersions in the rows of the fit, in units of their room.

        For changes below and above, (2, K, m).
        """
        change = self._change_of_rows(params)
        largest = np.maximum([-change.min(axis=-1), change.max(axis=-1)], 0.0)
        return largest / self._room(params, MARGINS_OF_ROWS)

    def _change_of_rows(self, params: GeneralizedLinearParams) -> Array:
        """Log dispersions of the extreme rows, minus those at the means, (K, m, S)."""
        slopes = params.log_dispersion[..., : self.layout.n_slopes]
        return np.asarray(slopes @ np.array(self.extreme_rows).T)

    def _step_within_rows(
        self, params: GeneralizedLinearParams, step: Array, curvature: Array, vectors: Array
    ) -> Array:
        """A step of the log dispersions (K, m, T) that stays within the bounds in the rows.

        `curvature` and `vectors` are as of `bounded_newton_step`.
        """
        rows, n_slopes = np.array(self.extreme_rows), self.layout.n_slopes
        matrix = np.zeros((len(rows), step.shape[-1]))
        matrix[:, :n_slopes], matrix[:, n_slopes] = rows, 1.0
        normals, change = np.vstack([-matrix, matrix]), self._change_of_rows(params)
        below, above = self._room(params, MARGINS_OF_ROWS)[..., None]
        room = np.maximum(np.concatenate([below + change, above - change], axis=-1), 0.0)
        for at in zip(*np.nonzero((step @ normals.T > room).any(axis=-1)), strict=True):
            inverse = (vectors[at] / curvature[at]) @ vectors[at].T
            step[at] = step_within(step[at], inverse, normals, room[at])
        return step

    def _of_expert(
        self, params: GeneralizedLinearParams, k: int, design: Any
    ) -> tuple[Family, Any, Any]:
        """Family of one expert, its linear predictor (m, n) and its log dispersions."""
        group, predictor = self._group_of(k), offset_predictor(params.coef[k], design)
        bound = group.family.max_predictor
        if bound < np.inf:
            predictor = np.clip(predictor, -bound, bound)
        return group.family, predictor, self._log_dispersion(group, params, design)

    def mean_of(self, params: GeneralizedLinearParams, k: int, design: Any) -> Array:
        """Mean of one expert, (m, n)."""
        family, *at = self._of_expert(params, k, design)
        return family.mean(*at)

    def components(self, params: GeneralizedLinearParams, k: int, design: Any) -> Any:
        """The distribution of one expert, as a mixture of one component."""
        family, *at = self._of_expert(params, k, design)
        return family.components(*at)

    # --- the prior, and the parameters that it allows ---

    def init_params(self, n_experts: int, n_columns: int) -> Any:
        """Slopes of zero, and dispersions of the target without features, within bounds."""
        return self.project(self.first_params(n_experts, n_columns))

    def first_params(self, n_experts: int, n_columns: int) -> Any:
        """Slopes of zero, and dispersions of the target without features."""
        coef = np.zeros((n_experts, self._n_outputs, n_columns))
        log_dispersion = np.zeros((*coef.shape[:2], self.layout.size))
        for number, family, experts, indices in self._groups(n_experts):
            if self.initial_predictor:  # zero for families without predictor
                coef[experts, :, -1] = self.initial_predictor[number]
            for index, start in zip(indices, family.initial_log_dispersion, strict=True):
                log_dispersion[experts, :, index] = start
            if family.has_scale:
                log_dispersion[experts, :, indices[0]] += np.log(self._target_variance(number))
        return GeneralizedLinearParams(coef, log_dispersion)

    def constants(self, n_experts: int, n_outputs: int, n_columns: int) -> FitConstants:
        """What is the same for all parameters of a shape."""
        groups, shape = self._groups(n_experts), (n_experts, n_outputs)
        low, high, margin = np.zeros((3, *shape, self.layout.size))
        scale_index = np.zeros(n_experts, dtype=int)
        has_scale, strength, noise_squares, predictor_squares = np.zeros((4, *shape))
        found = np.resize(self.predictor_squares, shape)  # those of an average are repeated
        for number, family, experts, indices in groups:
            for index, ends in zip(indices, family.log_dispersion_bounds, strict=True):
                low[experts, :, index], high[experts, :, index] = ends
                margin[experts, :, index] = family.flat_margin
            if self.layout.depends(family):
                slopes = slice(self.layout.n_slopes)
                low[experts, :, slopes] = -LARGEST_SLOPE
                high[experts, :, slopes] = LARGEST_SLOPE
            if family.has_scale:
                variance = self._target_variance(number)
                low[experts, :, indices[0]] = np.log(np.array(self.variance_floor) * variance)
                high[experts, :, indices[0]] += np.log(np.maximum(variance, 1.0))
                scale_index[experts], has_scale[experts] = indices[0], 1.0
                strength[experts] = self.dispersion_prior
                noise = np.array(self.noise_variance) * variance
                noise_squares[experts] = self.dispersion_prior * noise
                predictor_squares[experts] = found[experts] * variance
        if self.shared_dispersion:  # a shared scale has one prior
            strength[1:] = noise_squares[1:] = predictor_squares[1:] = 0.0
        has_predictor = np.array([bool(self._family(k).link) for k in range(n_experts)])
        holders = self.slope_holders(n_experts, n_columns)
        share, signs = equal_parts(holders), np.zeros(n_columns)
        signs[: len(self.signs)] = self.signs
        scales = has_scale, scale_index, strength
        squares = noise_squares + predictor_squares, predictor_squares
        bounds = low, high, low + margin
        of_slopes = ridge_diagonal(self.alpha, n_columns), signs, holders, share[:, None]
        return FitConstants(groups, has_predictor, *bounds, *scales, *squares, *of_slopes)

    def slope_holders(self, n_experts: int, n_columns: int) -> Array:
        """Those of the slopes, of which experts without predictor have none."""
        has_predictor = np.array([bool(self._family(k).link) for k in range(n_experts)])
        return slope_holders(self.slopes, has_predictor, n_columns)

    def _constants(self, params: GeneralizedLinearParams) -> FitConstants:
        return _constants_of(self, params.coef.shape)

    def _target_variance(self, number: int) -> Array:
        """Variance of the working target of each output, (m,), for a family of the list."""
        return np.array(self.target_variance[number]) if self.target_variance else np.ones(1)

    def project(self, params: GeneralizedLinearParams) -> GeneralizedLinearParams:
        """Log dispersions within bounds, equal where shared; slopes as the experts have them.

        Slopes that do not have their sign are zero. Slopes of log dispersions are shortened where
        these would be out of bounds in rows of the fit.
        """
        constants = self._constants(params)
        log_dispersion = np.maximum(params.log_dispersion, constants.low)
        log_dispersion = np.minimum(log_dispersion, constants.high)
        if self.shared_dispersion:
            log_dispersion = equal_values(log_dispersion)
        if self.extreme_rows:
            within = params._replace(log_dispersion=log_dispersion)
            excess = self._excess_of_rows(within).max(axis=0)[..., None]
            log_dispersion = log_dispersion.copy()
            log_dispersion[..., : self.layout.n_slopes] /= np.maximum(excess, 1.0)
        coef = of_holders(params.coef, constants.holders) if self.slopes else params.coef
        coef = without_dropped(coef, self.alpha)
        if self.signs:
            coef = with_signs(coef, constants.signs)
        return GeneralizedLinearParams(coef, log_dispersion)

    @property
    def penalties(self) -> dict[str, Any]:
        """Penalties of the slopes, and strength of the prior of the dispersions in rows."""
        of_dispersions = {"dispersion_alpha": self.dispersion_alpha}
        of_slopes = {"alpha": self.alpha} | (of_dispersions if self.layout.n_slopes else {})
        return of_slopes | {"dispersion_prior": self.dispersion_prior}

    def penalty(self, params: GeneralizedLinearParams) -> float:
        """Negative log prior, up to a constant."""
        constants = self._constants(params)
        log_scale, strength = constants.log_scale(params), constants.strength
        squares = constants.penalised_squares(params) + constants.prior_squares
        of_scales = float((squares * np.exp(-log_scale) + strength * log_scale).sum())
        of_slopes = self._dispersion_ridge(params) * np.square(params.log_dispersion)
        return 0.5 * (of_scales + float(of_slopes.sum()))

    def _dispersion_ridge(self, params: GeneralizedLinearParams) -> Array:
        """Penalty of the square of each log dispersion, (K, 1, T): that of slopes."""
        ridge = np.zeros((len(params.coef), 1, params.log_dispersion.shape[-1]))
        penalised = slice(1 if self.shared_dispersion else None)  # once if they are shared
        ridge[penalised, :, : self.layout.n_slopes] = self.dispersion_alpha
        return ridge

    def _scale_penalty_derivatives(self, params: GeneralizedLinearParams) -> tuple[Array, Array]:
        """First and second derivative of the penalty by the log scale, if there is one, (K, m)."""
        constants = self._constants(params)
        log_scale, strength = constants.log_scale(params), constants.strength
        squares = constants.penalised_squares(params) + constants.prior_squares
        decreasing = 0.5 * squares * np.exp(-log_scale)
        return 0.5 * strength - decreasing, decreasing


def equal_values(values: Array) -> Array:
    """Means of values (K, ...) of all experts; equal values stay as they are, without round-off."""
    return np.broadcast_to(values[:1] + (values - values[:1]).mean(axis=0), values.shape)


@lru_cache(maxsize=4)  # each iteration of EM needs them, several times
def _constants_of(experts: LinearFamilies, shape: tuple[int, int, int]) -> FitConstants:
    return experts.constants(*shape)
