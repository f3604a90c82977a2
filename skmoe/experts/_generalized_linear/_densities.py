"""Several experts with families of their own: supports, initial values, densities and means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skmoe._data.checks import check_flag, check_real
from skmoe._numerics.offset_design import offset_predictor, split_offset
from skmoe._numerics.typing import TINY, Alpha, Array
from skmoe.experts._generalized_linear._params import GeneralizedLinearParams
from skmoe.families import Family, Poisson
from skmoe.protocols import Dispersion, Experts, SupportsONNX, SupportsReordering

# Responsibility for initial values of an expert without predictor, of the rows in its support: of a
# point mass, and of a distribution over all values.
INITIAL_SHARE = {"zero": 0.5}
OTHER_INITIAL_SHARE = 0.05

# Standard deviations from the median beyond which values are outliers, and the factor from the
# median absolute deviation to the standard deviation of a normal distribution.
MAX_DEVIATION = 4.0
MAD_TO_STD = 1.4826


@dataclass(frozen=True)
class FamilyDensities(Experts):
    """Densities of experts with a linear predictor; fields as of `GeneralizedLinearExperts`."""

    families: tuple[Family, ...] = (Poisson(),)
    alpha: Alpha = 1.0
    shared_dispersion: bool = False
    dispersion_prior: float = 10.0
    noise_variance: tuple[float, ...] = (1.0,)
    variance_floor: tuple[float, ...] = (1e-6,)
    target_variance: tuple[tuple[float, ...], ...] = ()
    initial_predictor: tuple[tuple[float, ...], ...] = ()
    shared_columns: tuple[int, ...] = ()

    def check_options(self) -> None:
        """Validate penalty, prior and families."""
        check_real("expert.alpha", self.alpha)
        check_flag("expert.shared_dispersion", self.shared_dispersion)
        check_real("expert.dispersion_prior", self.dispersion_prior)
        for family in self.families:
            family.check_options()

    def limitation(self, capability: type) -> str:
        """Experts of a list of families keep its order; ONNX graphs have no logistic function."""
        if capability is SupportsReordering and len(self.families) > 1:
            return "its experts have families of their own, in the order of the list"
        if capability is SupportsONNX and any(family.link == "logit" for family in self.families):
            return "its mean is not an exponential or a linear function"
        return ""

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
    def takes_offset(self) -> bool:
        """Whether all linear predictors are those of a log link."""
        return self.link == "log"

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
    def params_types(self) -> tuple[type, ...]:
        """Named tuple of the parameters."""
        return (GeneralizedLinearParams,)

    @property
    def dispersions(self) -> tuple[Dispersion, ...]:
        """Dispersion parameters of any family."""
        return tuple(dict.fromkeys(d for family in self.families for d in family.dispersions))

    def dispersions_of(self, k: int) -> tuple[Dispersion, ...]:
        """Dispersion parameters of one expert."""
        return self._family(k).dispersions

    def has_predictor(self, k: int) -> bool:
        """Whether one expert has a linear predictor."""
        return bool(self._family(k).link)

    def has_ratios(self, k: int) -> bool:
        """Whether the linear predictor of one expert is a log mean, log median or log odds."""
        return self._family(k).link in ("log", "logit")

    @property
    def _n_dispersions(self) -> int:
        return len(self.dispersions)

    @property
    def _n_outputs(self) -> int:
        return len(self.initial_predictor[0]) if self.initial_predictor else 1

    def _groups(self, n_experts: int) -> Iterator[tuple[int, Family, Any]]:
        """Index of each different family, the family, and the index of its experts."""
        if len(self.families) == 1:
            yield 0, self.families[0], slice(None)
            return
        for i, family in enumerate(self.families):
            if family not in self.families[:i]:
                # Averages of several starts have the experts of all starts one after the other.
                own = [k for k in range(n_experts) if self._family(k) == family]
                yield i, family, np.array(own, dtype=int)

    def _family(self, k: int) -> Family:
        return self.families[k % len(self.families)]

    def _own_dispersions(self, family: Family) -> list[int]:
        """Indices of the dispersion parameters of a family among those of all."""
        return [self.dispersions.index(dispersion) for dispersion in family.dispersions]

    def _scale_index(self, family: Family) -> int:
        """Index of the scale of a family among all dispersion parameters."""
        return self._own_dispersions(family)[0]

    def _log_dispersion(self, family: Family, log_dispersion: Array) -> Array:
        """Log dispersions (T, ..., m, 1) of a family, from (..., m, T)."""
        own = self._own_dispersions(family)
        return np.moveaxis(log_dispersion[..., own], -1, 0)[..., None]

    @property
    def option_for_parts(self) -> str:
        """That of the first family which needs one."""
        return next(filter(None, (family.option_for_parts for family in self.families)), "")

    def obstacle(self, y: Array) -> str:
        """That of the first family which has one."""
        return next(filter(None, (family.obstacle(y) for family in self.families)), "")

    def in_support(self, y: Array) -> Array:
        """Whether all outputs of a row are possible under any one of the families."""
        return np.any([family.in_support(y).all(axis=0) for family in self.families], axis=0)

    def working_target(self, y: Array) -> Array:
        """That of the first family with a linear predictor, without outliers if these occur."""
        regression = [family for family in self.families if family.link] or list(self.families)
        target = regression[0].working_target(y)
        return without_outliers(target) if self._has_outliers else target

    @property
    def _has_outliers(self) -> bool:
        return any(family.has_outliers for family in self.families)

    def fitted_to(self, design: Any, y: Array, weight: Array, scaling: Any) -> Any:
        """The experts with what depends on the target (m, n) of the fit.

        `scaling` has `center` and `scale`, by which y has been standardised.
        """
        offset = split_offset(design)[1]
        families = tuple(family.fitted_to(y, weight, scaling) for family in self.families)
        summaries = [
            [
                _summarize(family, self._has_outliers, output, weight, output_offset)
                for output, output_offset in pairs
            ]
            for family in families
            for pairs in [zip(y, np.broadcast_to(offset, y.shape), strict=True)]
        ]
        return replace(
            self,
            families=families,
            initial_predictor=tuple(tuple(start for start, _ in row) for row in summaries),
            target_variance=tuple(tuple(variance for _, variance in row) for row in summaries),
        )

    def initial_responsibilities(
        self, labels: Array, n_experts: int, y: Array, rng: np.random.Generator | None
    ) -> Array:
        """Responsibilities (K, n) from those (K', n) of a partition for experts with predictors.

        Experts without predictor get a share of the rows in their support, and no expert has
        responsibility outside its support. Different families take the cells of the partition in
        random order, if there is a generator.
        """
        if len(self.families) == 1:
            return labels
        with_predictor = [k for k in range(n_experts) if self._family(k).link]
        order = np.arange(len(labels))
        if rng is not None and len({self._family(k) for k in with_predictor}) > 1:
            order = rng.permutation(len(labels))
        resp = np.zeros((n_experts, labels.shape[1]))
        resp[with_predictor] = labels[order]
        for k in range(n_experts):
            family = self._family(k)
            if not family.link:
                share = INITIAL_SHARE.get(family.name, OTHER_INITIAL_SHARE)
                resp[k] = share * self._support_of(k, y)
        return self.restrict(resp, y)

    def restrict(self, resp: Array, y: Array) -> Array:
        """Responsibilities (K, n) that are zero where y is outside the support of an expert."""
        if len(self.families) == 1:
            return resp
        n_experts = len(resp)
        possible = [self._support_of(k, y) for k in range(n_experts)]
        resp = (resp + TINY**0.5) * np.stack(possible)
        return resp / np.maximum(resp.sum(axis=0), TINY)

    def n_cells(self, n_experts: int) -> int:
        """Number of cells of the initial partition: of experts with a linear predictor."""
        if len(self.families) == 1:
            return n_experts
        return max(sum(bool(self._family(k).link) for k in range(n_experts)), 1)

    # --- densities and moments ---

    def _predictors(self, params: GeneralizedLinearParams, design: Any) -> Array:
        """Linear predictors (K, m, n), bounded so that means are finite."""
        predictor = offset_predictor(params.coef, design)
        for _, family, index in self._groups(len(params.coef)):
            if np.isfinite(family.max_predictor):
                bounded = np.clip(predictor[index], -family.max_predictor, family.max_predictor)
                predictor[index] = bounded
        return predictor

    def _predictor_of(self, params: GeneralizedLinearParams, k: int, design: Any) -> Array:
        bound = self._family(k).max_predictor
        return np.clip(offset_predictor(params.coef[k], design), -bound, bound)

    def log_prob(self, params: GeneralizedLinearParams, design: Any, y: Array) -> Array:
        """Log density or log probability of y (m, n) under each expert, (K, n)."""
        predictor = self._predictors(params, design)
        logs = np.empty((len(predictor), predictor.shape[-1]))
        for _, family, index in self._groups(len(predictor)):
            theta = self._log_dispersion(family, params.log_dispersion[index])
            of_outputs = family.log_prob(y, predictor[index], theta)
            if self._atoms and family.is_continuous:
                of_outputs = np.where(np.isin(y, self._atoms), -np.inf, of_outputs)
            logs[index] = of_outputs.sum(axis=1)
        return logs

    @property
    def _atoms(self) -> list[float]:
        """Values with positive probability under some expert."""
        return [atom for family in self.families for atom in family.atoms]

    def _support_of(self, k: int, y: Array) -> Array:
        """Whether each row is possible under expert k, boolean of shape (n,)."""
        family = self._family(k)
        possible = family.in_support(y)
        if self._atoms and family.is_continuous:
            possible = possible & ~np.isin(y, self._atoms)
        return np.asarray(possible.all(axis=0))

    def mean(self, params: GeneralizedLinearParams, design: Any) -> Array:
        """Mean of each expert, (K, m, n)."""
        predictor = self._predictors(params, design)
        for _, family, index in self._groups(len(predictor)):
            theta = self._log_dispersion(family, params.log_dispersion[index])
            predictor[index] = family.mean(predictor[index], theta)
        return predictor

    def mean_of(self, params: GeneralizedLinearParams, k: int, design: Any) -> Array:
        """Mean of one expert, (m, n)."""
        family = self._family(k)
        theta = self._log_dispersion(family, params.log_dispersion[k])
        return family.mean(self._predictor_of(params, k, design), theta)

    def mean_derivative(self, params: GeneralizedLinearParams, design: Any) -> Array:
        """Derivative of the mean of each expert by its linear predictor, (K, m, n)."""
        predictor = self._predictors(params, design)
        for _, family, index in self._groups(len(predictor)):
            theta = self._log_dispersion(family, params.log_dispersion[index])
            predictor[index] = family.mean_derivative(predictor[index], theta)
        return predictor

    def components(self, params: GeneralizedLinearParams, k: int, design: Any) -> Any:
        """The distribution of one expert, as a mixture of one component."""
        family = self._family(k)
        theta = self._log_dispersion(family, params.log_dispersion[k])
        return family.components(self._predictor_of(params, k, design), theta)


def without_outliers(y: Array) -> Array:
    """Outputs (m, n) with values far from the median moved to `MAX_DEVIATION` from it."""
    median = np.median(y, axis=-1, keepdims=True)
    deviation = MAX_DEVIATION * MAD_TO_STD * np.median(np.abs(y - median), axis=-1, keepdims=True)
    moved = np.clip(y, median - deviation, median + deviation)
    return np.where(deviation > 0.0, moved, y)


def _summarize(
    family: Family, has_outliers: bool, y: Array, weight: Array, offset: Array
) -> tuple[float, float]:
    """Linear predictor without features, and variance of the working target, of one output."""
    rows = family.in_support(y[None])[0]
    if not family.link or not rows.any():
        return 0.0, 1.0
    y, weight, offset = y[rows], weight[rows], offset[rows]
    relative = y * np.exp(-offset) if family.link == "log" else y - offset
    start = family.initial_predictor(relative, weight)
    target = family.working_target(relative[None])
    target = (without_outliers(target) if has_outliers else target)[0]
    deviation = target - np.average(target, weights=weight)
    variance = float(np.average(np.square(deviation), weights=weight))
    return start, variance if variance > TINY else 1.0
