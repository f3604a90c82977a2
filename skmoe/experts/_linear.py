"""Experts with linear predictors: the options of `expert="linear"`, and what y they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from skmoe._data.censored_targets import is_exact, is_unknown, point_values
from skmoe._data.checks import check_choice, check_flag, check_real, has_bounds
from skmoe._mixture.experts import Experts
from skmoe._mixture.mixture import outermost_rows
from skmoe._numerics.linalg import split_offset
from skmoe._numerics.probability import without_outliers
from skmoe._numerics.typing import TINY, Alpha, Array
from skmoe.families import Family, LogNormal, Normal
from skmoe.families._categorical import Categorical
from skmoe.families._censored import of_target
from skmoe.families._joint_normal import JointNormal

# Families with a multivariate distribution of several outputs, alone or of their logarithms.
JOINT_FAMILIES = (Normal.name, LogNormal.name)

Options = dict[str, Any]

# Standard deviations below this fraction of the largest absolute value are round-off.
RELATIVE_ROUND_OFF = 1e-13


class Facts:
    """What experts are and take by default."""

    is_classifier: ClassVar[bool] = False
    # The common link of the families with a linear predictor, "" if they differ.
    link: ClassVar[str] = ""
    # Whether y is standardised; point masses stay where they are. Whether predictors may have an
    # offset, y may be censored, and a family has a scale, whose prior has a strength.
    standardizes_target: ClassVar[bool] = False
    takes_offset: ClassVar[bool] = False
    takes_bounds: ClassVar[bool] = False
    has_scale: ClassVar[bool] = False
    # What must be given if not all rows are in memory; "" for nothing.
    option_for_parts: ClassVar[str] = ""


@dataclass(frozen=True)
class LinearExperts(Facts):
    r"""Experts with a linear predictor and a family of conditional distributions of y [1]_.

    The conditional distribution of y under expert k is that of its family, with the linear
    predictor :math:`\eta = \beta_k^T x` plus the offset of the row. Several outputs are independent
    given the expert unless their covariances are wanted.

    The prior of the slopes is :math:`N(0, \phi / \alpha)` on standardised features, the penalty of
    scikit-learn's `Ridge`, `GammaRegressor` and `PoissonRegressor`. For families with a scale,
    :math:`\phi` is the first dispersion parameter (noise variance, squared scale, inverse shape),
    whose prior is inverse gamma [2]_; for counts it is one.

    In a `MixtureOfExpertsRegressor` these are the experts of `expert="linear"`, and `family`
    chooses their distributions. See "Families" in the user guide.

    Parameters
    ----------
    families : tuple of Family, default=(Normal(),)
        The family of all experts, or one for each.
    alpha : float, default=1.0
        L2 penalty on the slopes for standardised features, typically 0.01 to 100. Intercepts are
        free.
    shared_dispersion : bool, default=False
        Whether the experts, which have the same family then, share the dispersion parameters.
    dispersion_prior : float, default=10.0
        Strength of the prior on each scale, in rows, typically 1 to 100; 0 for none.
    dispersion_alpha : float, default=1.0
        L2 penalty on the slopes of log dispersions that depend on features.
    covariance_type : {"diag", "full"}, default="diag"
        Whether the noise of several outputs is independent, or multivariate normal.

    See Also
    --------
    LogisticExperts : Experts of a classifier.
    skmoe.families.Family : What a family must have.

    References
    ----------
    .. [1] P. McCullagh and J. A. Nelder (1989), "Generalized Linear Models", 2nd edition, Chapman
       and Hall.
    .. [2] C. Fraley and A. E. Raftery (2007), "Bayesian regularization for normal mixture
       estimation and model-based clustering", Journal of Classification 24, 155-181.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.experts import LinearExperts
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> moe = MixtureOfExpertsRegressor(2, expert=LinearExperts(alpha=0.1), random_state=0)
    >>> moe.fit(X, np.abs(X[:, 0])).alpha_
    0.1
    """

    families: tuple[Family, ...] = (Normal(),)
    alpha: Alpha = 1.0
    shared_dispersion: bool = False
    dispersion_prior: float = 10.0
    dispersion_alpha: float = 1.0
    covariance_type: str = "diag"

    def check_options(self) -> None:
        """Validate penalty, prior and families."""
        check_real("expert.alpha", self.alpha)
        check_flag("expert.shared_dispersion", self.shared_dispersion)
        check_real("expert.dispersion_prior", self.dispersion_prior)
        check_real("expert.dispersion_alpha", self.dispersion_alpha)
        for family in self.families:
            family.check_options()
        if self.covariance_type == "full":
            names = " and ".join(family.name for family in self.families)
            check_choice("expert.families", names, JOINT_FAMILIES)

    def __post_init__(self) -> None:
        """Sets the facts of the families."""
        own = [f for f in self.families if isinstance(f, Family)]  # others are refused later
        families = [one for family in own for one in family.outcomes or [family]]
        regression = [family for family in families if family.link]
        links = {family.link for family in regression}
        link = links.pop() if len(links) == 1 else ""
        atoms = [atom for family in families for atom in family.atoms]
        standard = bool(regression) and all(f.standardizes_target for f in regression)
        is_joint = self.covariance_type == "full"
        vars(self).update(
            link=link,
            standardizes_target=standard and not atoms and families == own,
            takes_offset="log" in {f.link for f in families} if own != families else link == "log",
            takes_bounds=all(f.takes_bounds and f.components for f in own) and not is_joint,
            has_scale=any(family.has_scale for family in families),
            option_for_parts=next((f.option_for_parts for f in families if f.option_for_parts), ""),
        )

    # --- the target ---

    @property
    def support(self) -> str:
        """Values that are possible under any family."""
        return " or ".join(dict.fromkeys(family.support for family in self.families))

    def obstacle(self, y: Array) -> str:
        """What a family needs and outputs (m, n) in its support do not have; "" for nothing."""
        censored = has_bounds(y)
        values = y["upper"] if censored else y
        for family in self.families:
            if censored and not family.takes_bounds:
                return "numbers, not bounds of them"
            if len(y) > family.max_outputs:
                return "one output"
            if np.inf in family.atoms and not np.isposinf(values).any():
                return "right-censored times (skmoe.data)"
            if family.max_values < np.inf:
                n_values = len(getattr(family, "values", ()) or np.unique(values))
                if not 2 <= n_values <= family.max_values:
                    return f"2 to {family.max_values} different values of y, not {n_values}"
        return ""

    def in_support(self, y: Array) -> Array:
        """Whether all outputs of a row are possible under any one of the families, (n,)."""
        families = [of_target(family, y) for family in self.families]
        of_each = np.stack([family.in_support(y).all(axis=0) for family in families])
        has_link, possible = [bool(family.link) for family in families], of_each.any(axis=0)
        if has_bounds(y) and any(has_link):  # also of an interval that contains an atom
            possible &= of_each[has_link].any(axis=0) | is_exact(y).all(axis=0)
        return np.asarray(possible)

    def working_target(self, y: Array) -> Array:
        """That of the first family with a linear predictor, without outliers if these occur."""
        regression = [family for family in self.families if family.link] or list(self.families)
        target = regression[0].working_target(y)
        expected = any(family.has_outliers for family in self.families)
        return without_outliers(target) if expected else target

    # --- the experts of a fit ---

    def experts_of(
        self, rows: Any, scaling: Any, n_experts: int, estimates: Options, own: Options
    ) -> Experts:
        """The experts for rows of a fit.

        `scaling` has `center` and `scale`, by which y has been standardised. `estimates` are the
        noise variance and its floor for each output, and `own` options of slopes and dispersions.
        """
        values = rows.y
        if has_bounds(values):
            values = np.where(is_unknown(values), np.nan, point_values(values))
        n_outputs, weight = len(values), rows.weight
        matrix, offset = split_offset(rows.expert_design)
        families = [family.fitted_to(values, weight, scaling) for family in self.families]
        has_outliers = any(family.has_outliers for family in self.families)
        found = [summaries(own, values, offset, weight, has_outliers) for own in families]
        starts, variances = ([[pair[i] for pair in own] for own in found] for i in (0, 1))
        if self.covariance_type == "full" and n_outputs > 1:
            joint = JointNormal(n_outputs, of_logs=families[0].name == LogNormal.name)
            # Means and log variances of each output, and correlations of zero.
            of_outputs = np.transpose([np.asarray(start)[:2] for start in starts[0]])
            families, starts = [joint], [[np.append(of_outputs, np.zeros(len(joint.pairs)))]]
        if effects := own.pop("effects", None):  # random ones, of normal noise
            families, starts = [effects], [[effects.start(y, weight) for y in values]]
            own["shared_effects"] = effects.is_shared
        index = [k % len(families) for k in range(n_experts)]
        penalties: Options = {"alpha": self.alpha, "dispersion_prior": self.dispersion_prior}
        if own.get("dispersion_columns"):
            penalties["dispersion_alpha"] = self.dispersion_alpha
            columns = matrix[:, list(own["dispersion_columns"])]
            columns = columns.toarray() if sparse.issparse(columns) else columns
            own = own | {"outermost_rows": outermost_rows(columns)}
        if (missing := np.isnan(values)).any():
            own = own | {"observed": (~missing) @ weight / weight.sum()}
        if self.has_scale:
            penalties["noise_variance"] = estimates["noise_variance"]
        floor = np.array(estimates.get("variance_floor", np.ones(n_outputs)))
        scales = np.array([variances[i] for i in index]), floor, [starts[i] for i in index]
        own = own | {"shared_dispersion": self.shared_dispersion}
        return Experts([families[i] for i in index], matrix.shape[1], *scales, penalties, **own)


def are_by_output(experts: Any, y: Array) -> bool:
    """Whether outputs (n, m) are seen each by itself: of different kinds, or where some miss."""
    if not isinstance(experts, LinearExperts) or y.dtype.kind not in "fV":
        return False
    return bool(is_unknown(y).any()) or any(family.outcomes for family in experts.families)


def of_one_output(experts: LinearExperts, j: int) -> Any:
    """Experts of one of several outputs."""
    return LinearExperts(tuple(f.outcomes[j] if f.outcomes else f for f in experts.families))


def summaries(
    of_all: Family, values: Array, offset: Any, weight: Array, has_outliers: bool
) -> list[tuple[Array, float]]:
    """Predictors without features, and variance of the working target, of each output (n,)."""
    found = []
    families = of_all.outcomes or [of_all] * len(values)
    offsets = np.broadcast_to(offset, values.shape)
    for family, own, of_output in zip(families, values, offsets, strict=True):
        rows = family.in_support(own)
        if not family.link or not rows.any():
            found.append((np.zeros(len(family.roles)), 1.0))
            continue
        y, own_weight, own_offset = own[rows], weight[rows], of_output[rows]
        relative = y * np.exp(-own_offset) if family.link == "log" else y - own_offset
        target = family.working_target(relative[None])[0]
        if has_outliers:
            target = without_outliers(target[None])[0]
        deviation = target - np.average(target, weights=own_weight)
        variance = float(np.average(np.square(deviation), weights=own_weight))
        # Round-off of a constant target is no variance.
        round_off = np.square(RELATIVE_ROUND_OFF * np.abs(target).max()) + TINY
        start = np.array(family.start(relative, own_weight))
        found.append((start, variance if variance > round_off else 1.0))
    return found


@dataclass(frozen=True)
class LogisticExperts(Facts):
    """Multinomial logistic regressions, y being class codes 0 to C - 1.

    The penalty is that of scikit-learn's `LogisticRegression` with `C=1/alpha` on standardised
    features: on the one coefficient vector of two classes, on the symmetric coefficients of more.

    In a `MixtureOfExpertsClassifier` these are the experts of `expert="linear"`. See
    "The model" in the user guide.

    Parameters
    ----------
    alpha : float, default=1.0
        L2 penalty on the slopes for standardised features, typically 0.1 to 100; intercepts are
        free. Zero lets coefficients grow without limit where an expert separates its classes.

    See Also
    --------
    LinearExperts : Experts of a regressor.

    Examples
    --------
    >>> from skmoe import MixtureOfExpertsClassifier
    >>> from skmoe.experts import LogisticExperts
    >>> MixtureOfExpertsClassifier(expert=LogisticExperts(alpha=10.0)).expert
    LogisticExperts(alpha=10.0)
    """

    is_classifier: ClassVar[bool] = True
    link: ClassVar[str] = "logit"
    support: ClassVar[str] = "class labels"

    alpha: Alpha = 1.0

    def check_options(self) -> None:
        """Validate the penalty."""
        check_real("expert.alpha", self.alpha)

    def experts_of(
        self, rows: Any, scaling: Any, n_experts: int, estimates: Options, own: Options
    ) -> Experts:
        """The experts for rows of a fit, whose classes are among the `estimates`."""
        family, one = Categorical(estimates["n_classes"]), np.ones((n_experts, 1))
        n_columns = split_offset(rows.expert_design)[0].shape[1]
        starts, penalties = [[np.zeros(len(family.roles))]] * n_experts, {"alpha": self.alpha}
        return Experts([family] * n_experts, n_columns, one, one[0], starts, penalties, **own)


# Experts by name and task. New ones are a module with their class, and a row here.
EXPERTS: dict[str, dict[str, Any]] = {
    "linear": {"regressor": LinearExperts, "classifier": LogisticExperts}
}
